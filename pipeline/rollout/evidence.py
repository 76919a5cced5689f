# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What requests to pods say of a new revision beside the old one: the prober's raw counts become outcomes of a test. Pure.

Both revisions are asked in the same seconds. What fails on both is the cluster's fault or that of something below, and
counts against nobody; but it is limited, for a cloud that fails everywhere is no place for an upgrade. Where only the old one
fails, the new one is what users need.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.rollout.sequential import Evidence, Outlook, Rates

# A request of a few milliseconds is slower by chance.
_LEAST_SECONDS = 0.02
# A process that has just come up loads and connects at its first requests. It is warm when so many were answered well.
_WARM = 5
# Who has not looked for longer knows nothing of that time.
_GAP = 2.0
_BET = 0.5


@dataclass(frozen=True)
class Count:
    """What was counted for a pod since it was first asked: requests, failures, and what was wrong.

    `logs` is the sum of the natural logarithms of all seconds: a single slow answer of a busy machine weighs little there.
    """

    requests: int = 0
    failures: int = 0
    logs: float = 0.0
    kinds: tuple[tuple[str, int], ...] = ()

    def since(self, before: "Count") -> "Count":
        """Return what came after `before`; a counter that began anew counts from nothing."""
        if self.requests < before.requests:
            return self
        requests, failures = self.requests - before.requests, self.failures - before.failures
        return Count(requests, failures, self.logs - before.logs, _sum(self.kinds, before.kinds, -1))

    def and_(self, other: "Count") -> "Count":
        """Return both together."""
        requests, failures = self.requests + other.requests, self.failures + other.failures
        return Count(requests, failures, self.logs + other.logs, _sum(self.kinds, other.kinds, 1))

    @property
    def is_warm(self) -> bool:
        """Whether it has answered a few requests well."""
        return self.requests - self.failures >= _WARM

    @property
    def without_timeouts(self) -> "Count":
        """What is left without answers that did not come in time."""
        late = dict(self.kinds).get(_TIMEOUT, 0)
        kinds = tuple(item for item in self.kinds if item[0] != _TIMEOUT)
        return replace(self, requests=self.requests - late, failures=self.failures - late, kinds=kinds)

    @property
    def mean(self) -> float | None:
        """The geometric mean of the seconds of a request, None without any."""
        return math.exp(self.logs / self.requests) if self.requests else None


Counts = Mapping[str, Count]
_TIMEOUT = "timeout"


def _sum(
    left: tuple[tuple[str, int], ...], right: tuple[tuple[str, int], ...], sign: int
) -> tuple[tuple[str, int], ...]:
    found = dict(left)
    for kind, number in right:
        found[kind] = found.get(kind, 0) + sign * number
    return tuple(sorted((kind, number) for kind, number in found.items() if number))


@dataclass(frozen=True)
class Trial:
    """What is known of a new revision: evidence so far, and the counts and the time (seconds) that it goes on from."""

    evidence: Evidence = field(default_factory=Evidence)
    slower: int = 0
    pairs: int = 0
    is_compared: bool = False
    disturbed: float = 0.0
    began: float = 0.0
    at: float = 0.0
    before: tuple[tuple[str, Count], ...] = ()
    kinds: tuple[tuple[str, int], ...] = ()

    def outlook(self, rates: Rates) -> Outlook:
        """Return what may be said of its answers."""
        if self.slowness >= -math.log(rates.alpha):
            return Outlook.FAILED
        found = self.evidence.outlook(rates)
        if found is Outlook.PASSED and self.is_compared and self.swiftness < -math.log(rates.beta):
            return Outlook.UNDECIDED
        return found

    @property
    def slowness(self) -> float:
        """The logarithm of the wealth against "not slower more often than every other time" (a sign test by betting)."""
        return self.slower * math.log1p(_BET) + (self.pairs - self.slower) * math.log1p(-_BET)

    @property
    def swiftness(self) -> float:
        """The logarithm of the wealth against "slower at least every other time"."""
        return (self.pairs - self.slower) * math.log1p(_BET) + self.slower * math.log1p(-_BET)


@dataclass(frozen=True)
class Patience:
    """So many times slower than the old revision counts as slower; so many seconds a new process may take to warm up."""

    slower: float = 1.5
    warmup: float = 10.0


def observe(trial: Trial, new: Counts, old: Counts, now: float, patience: Patience = Patience()) -> Trial:
    """Return the trial with what was counted since; `now` is in seconds."""
    before = dict(trial.before)
    began = trial.began or now
    warms_up = now - began < patience.warmup
    since, known = _since(new, before), _together(_since(old, before).values())
    warm = {pod for pod in since if before.get(pod, Count()).is_warm}
    # While a process warms up nobody waits for it, and its times are not those that it will have.
    fresh = _together(count.without_timeouts if warms_up and pod not in warm else count for pod, count in since.items())
    is_compared = trial.is_compared or bool(known.requests)
    after = replace(
        trial, before=tuple(sorted({**before, **new, **old}.items())), began=began, at=now, is_compared=is_compared
    )
    if not fresh.requests:
        return after
    if known.failures and fresh.failures:
        # Both have their troubles: nobody learns anything about the new one from that.
        return replace(after, disturbed=trial.disturbed + (min(now - trial.at, _GAP) if trial.at else 0.0))
    evidence = trial.evidence.and_(fresh.failures, fresh.requests - fresh.failures)
    pairs, lost = trial.pairs, trial.slower
    timed = _together(count for pod, count in since.items() if pod in warm)
    if timed.mean is not None and known.mean is not None and not fresh.failures:
        # Any answer is quicker than none.
        limit = math.inf if known.failures else max(known.mean * patience.slower, _LEAST_SECONDS)
        pairs, lost = pairs + 1, lost + (timed.mean > limit)
    return replace(after, evidence=evidence, pairs=pairs, slower=lost, kinds=_sum(trial.kinds, fresh.kinds, 1))


def _since(counts: Counts, before: Counts) -> Counts:
    """Return what was counted since. A pod that is seen first may have been asked before we looked: all of that is about it."""
    return {pod: count.since(before.get(pod, Count())) for pod, count in counts.items()}


def _together(counts: Iterable[Count]) -> Count:
    total = Count()
    for count in counts:
        total = total.and_(count)
    return total


def read_counts(status: Mapping[str, Any], key: tuple[str, str], revisions: Iterable[str]) -> dict[str, Count]:
    """Return what the prober has counted for the pods of a process in these revisions."""
    wanted = set(revisions)
    found = {}
    for row in status.get("pods") or []:
        if (row.get("service"), row.get("process")) == key and row.get("revision") in wanted:
            found[str(row["pod"])] = Count(
                int(row["totalRequests"]),
                int(row["totalFailures"]),
                float(row["totalLogs"]),
                tuple(sorted((str(kind), int(number)) for kind, number in (row.get("kinds") or {}).items())),
            )
    return found
