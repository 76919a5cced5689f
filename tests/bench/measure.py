# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What a measurement is: two ways to do the same, taken in turn, and the ratio of their medians."""

import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from stackway import clock

Work = Callable[[], object]


@dataclass(frozen=True)
class Taken:
    """What one run took: seconds by the clock, and seconds of processor in the programs it started."""

    wall: float
    processor: float


@dataclass(frozen=True)
class Result:
    """One row: what was measured, of whom, and by how much the first is quicker."""

    name: str
    what: str
    ours: Sequence[Taken]
    other_name: str
    others: Sequence[Taken]
    facts: dict[str, Any]

    @property
    def ratio(self) -> float | None:
        """Median of the other's wall seconds in terms of ours; None when there is nobody to compare with."""
        return middle(self.others).wall / middle(self.ours).wall if self.others else None

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON-ready data, with every single run."""
        runs = {"stackway": self.ours, self.other_name: self.others}
        return {
            "name": self.name,
            "what": self.what,
            "ratio": self.ratio,
            "runs": {who: [vars(taken) for taken in found] for who, found in runs.items() if found},
            "facts": self.facts,
        }


def middle(taken: Sequence[Taken]) -> Taken:
    """Return the medians."""
    return Taken(median(item.wall for item in taken), median(item.processor for item in taken))


def take(work: Work) -> Taken:
    """Do the work once. Processor seconds count programs that have ended, not daemons that go on."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), clock.monotonic()
    work()
    wall, after = clock.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Taken(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def in_turn(first: Work, second: Work, times: int) -> tuple[list[Taken], list[Taken]]:
    """Do A B A B …, so that a machine which grows slower or quicker meanwhile does so for both."""
    pairs = [(take(first), take(second)) for _ in range(times)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]
