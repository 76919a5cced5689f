# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What the prober has measured: requests, answers, times, disruptions. Pure: is told everything, and the time too.

Bounded: a pod that is gone is forgotten after a while, and of disruptions the last ones are kept.
"""

import math
from collections import deque
from dataclasses import dataclass, field

BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
HEALS = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
GOOD = "ok"
KEPT = 50
# So many good answers in a row, and what was disrupted counts as whole again.
_SURE = 3
_LEAST = 1e-4


@dataclass(frozen=True, order=True)
class Target:
    """What is asked: a process by its Service (no pod), or one of its pods."""

    service: str
    process: str
    pod: str = ""
    revision: str = ""


@dataclass
class Histogram:
    """How often a value was at most each bound; sum and number of all."""

    bounds: tuple[float, ...] = BOUNDS
    buckets: list[int] = field(default_factory=list)
    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        self.buckets = self.buckets or [0] * len(self.bounds)
        self.buckets = [number + (value <= bound) for number, bound in zip(self.buckets, self.bounds, strict=True)]
        self.total += value
        self.count += 1


class Tally:
    """The outcomes of one target: all since it was first asked, and those of the last seconds."""

    def __init__(self, window: int) -> None:
        self.kinds: dict[str, int] = {}
        self.seconds = Histogram()
        self.logs = 0.0
        self.asked = 0.0
        self._window = window
        self._recent: deque[tuple[int, int, int]] = deque()

    def add(self, now: float, kind: str, seconds: float) -> None:
        """Count one outcome: `ok`, or what was wrong."""
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        self.seconds.add(seconds)
        self.logs += math.log(max(seconds, _LEAST))
        self.asked = now
        second, failed = int(now), int(kind != GOOD)
        if self._recent and self._recent[-1][0] == second:
            _, requests, failures = self._recent.pop()
            self._recent.append((second, requests + 1, failures + failed))
        else:
            self._recent.append((second, 1, failed))

    @property
    def requests(self) -> int:
        return sum(self.kinds.values())

    @property
    def failures(self) -> int:
        return self.requests - self.kinds.get(GOOD, 0)

    def recent(self, now: float) -> tuple[int, int]:
        """Return requests and failures of the last seconds."""
        while self._recent and self._recent[0][0] < now - self._window:
            self._recent.popleft()
        return sum(item[1] for item in self._recent), sum(item[2] for item in self._recent)


@dataclass
class Disruption:
    """A time in which a process did not answer or had lost pods; `end` is None while it lasts."""

    service: str
    process: str
    begin: float
    what: str
    cause: str = ""
    sure: bool = False
    end: float | None = None
    good: int = 0
    lost: set[str] = field(default_factory=set)


class Counts:
    """Everything that was measured since the prober began."""

    def __init__(self, begin: float, window: int = 300) -> None:
        self.begin = begin
        self.window = window
        self.tallies: dict[Target, Tally] = {}
        self.open: dict[tuple[str, str], Disruption] = {}
        self.past: deque[Disruption] = deque(maxlen=KEPT)
        self.heals: dict[tuple[str, str], Histogram] = {}
        self.tokens = Histogram()
        self.token_failures = 0

    def answer(self, target: Target, now: float, kind: str, seconds: float) -> None:
        """Count an outcome. Only what users would meet, a request by the Service, is a disruption."""
        self.tallies.setdefault(target, Tally(self.window)).add(now, kind, seconds)
        if target.pod:
            return
        key = (target.service, target.process)
        if kind != GOOD:
            self._begin(key, now, f"requests fail: {kind}").good = 0
        elif key in self.open:
            self.open[key].good += 1
            self._end(key, now)

    def lost(self, key: tuple[str, str], now: float, workload: str, what: str) -> None:
        """Tell that a workload has fewer pods than it had."""
        self._begin(key, now, what).lost.add(workload)

    def explain(self, key: tuple[str, str], cause: str, *, sure: bool) -> None:
        """Tell why something is amiss: the first that is said, or the first that is more than a sign."""
        found = self.open.get(key)
        if found and cause and (not found.cause or (sure and not found.sure)):
            found.cause, found.sure = cause, sure

    def whole(self, key: tuple[str, str], now: float, workload: str) -> None:
        """Tell that a workload has as many pods as before, or is not wanted any more."""
        if key in self.open:
            self.open[key].lost.discard(workload)
            self._end(key, now)

    def token(self, seconds: float, *, failed: bool) -> None:
        """Count a token that was asked for."""
        self.tokens.add(seconds)
        self.token_failures += failed

    def forget(self, now: float, seconds: float) -> None:
        """Forget pods that were not asked for so long."""
        for target in [item for item, tally in self.tallies.items() if item.pod and tally.asked < now - seconds]:
            del self.tallies[target]

    def _begin(self, key: tuple[str, str], now: float, what: str) -> Disruption:
        if key not in self.open:
            self.open[key] = Disruption(*key, now, what)
        return self.open[key]

    def _end(self, key: tuple[str, str], now: float) -> None:
        found = self.open[key]
        asked = Target(*key) in self.tallies
        if found.lost or (asked and found.good < _SURE):
            return
        found.end = now
        self.past.append(self.open.pop(key))
        self.heals.setdefault(key, Histogram(HEALS)).add(now - found.begin)
