# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What requests to pods say of a new revision beside the old one: the prober's raw counts become outcomes of a test. Pure.

Both revisions are asked in the same seconds. What fails on both is the cluster's fault or that of something below, and
counts against nobody; but it is limited, for a cloud that fails everywhere is no place for an upgrade.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.rollout.sequential import Evidence, Outlook, Rates

# A request of a few milliseconds is slower by chance.
_LEAST_SECONDS = 0.02
_BET = 0.5


@dataclass(frozen=True)
class Count:
    """What was counted for a pod since it was first asked: requests, failures, and the seconds of all."""

    requests: int = 0
    failures: int = 0
    seconds: float = 0.0

    def since(self, before: "Count") -> "Count":
        """Return what came after `before`; a counter that began anew counts from nothing."""
        if self.requests < before.requests:
            return self
        return Count(self.requests - before.requests, self.failures - before.failures, self.seconds - before.seconds)

    def and_(self, other: "Count") -> "Count":
        """Return both together."""
        return Count(self.requests + other.requests, self.failures + other.failures, self.seconds + other.seconds)

    @property
    def mean(self) -> float | None:
        """Seconds of a request, None without any."""
        return self.seconds / self.requests if self.requests else None


Counts = Mapping[str, Count]


@dataclass(frozen=True)
class Trial:
    """What is known of a new revision: evidence so far, and the counts and the time (seconds) that it goes on from."""

    evidence: Evidence = field(default_factory=Evidence)
    slower: int = 0
    pairs: int = 0
    disturbed: float = 0.0
    at: float = 0.0
    before: tuple[tuple[str, Count], ...] = ()
    kinds: tuple[str, ...] = ()

    def outlook(self, rates: Rates) -> Outlook:
        """Return what may be said of its answers."""
        if self.slowness >= -math.log(rates.alpha):
            return Outlook.FAILED
        found = self.evidence.outlook(rates)
        if found is Outlook.PASSED and self.pairs and self.swiftness < -math.log(rates.beta):
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


def observe(trial: Trial, new: Counts, old: Counts, now: float, slower: float = 1.5) -> Trial:
    """Return the trial with what was counted since; `slower` times as long as the old revision takes counts as slower."""
    before = dict(trial.before)
    fresh, known = (_together(counts, before) for counts in (new, old))
    counts_now = {**before, **new, **old}
    after = replace(trial, before=tuple(sorted(counts_now.items())), at=now)
    if not fresh.requests:
        return after
    if known.failures:
        # Both had their troubles, or only the old one: nobody learns anything about the new one from that.
        return replace(after, disturbed=trial.disturbed + (now - trial.at if trial.at else 0.0))
    evidence = trial.evidence.and_(fresh.failures, fresh.requests - fresh.failures)
    pairs, lost = trial.pairs, trial.slower
    if fresh.mean is not None and known.mean is not None and not fresh.failures:
        pairs += 1
        lost += fresh.mean > max(known.mean * slower, _LEAST_SECONDS)
    return replace(after, evidence=evidence, pairs=pairs, slower=lost)


def _together(counts: Counts, before: Counts) -> Count:
    total = Count()
    for pod, count in counts.items():
        # A pod that is seen first may have been asked before we looked: all of that is about it.
        total = total.and_(count.since(before.get(pod, Count())))
    return total


def read_counts(status: Mapping[str, Any], key: tuple[str, str], revisions: Iterable[str]) -> dict[str, Count]:
    """Return what the prober has counted for the pods of a process in these revisions."""
    wanted = set(revisions)
    found = {}
    for row in status.get("pods") or []:
        if (row.get("service"), row.get("process")) == key and row.get("revision") in wanted:
            found[str(row["pod"])] = Count(
                int(row["totalRequests"]), int(row["totalFailures"]), float(row["totalSeconds"])
            )
    return found
