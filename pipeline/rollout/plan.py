# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The way of a live control plane from one release to another: steps in order, each with its reason and its way back. Pure.

A plan names objects and does not hold them: they are rendered from the release, so a plan is small, can be saved, and is the
same on another machine.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from pipeline.rollout.sequential import Rates
from stackway.console import Table


class Kind(StrEnum):
    """What a step does."""

    LAY = "lay"  # files, credentials and policies that new pods mount
    CHECK = "check"  # the new release's own upgrade checks
    BACKUP = "backup"
    WATCH = "watch"  # the prober asks what the new release has
    EXPAND = "expand"
    STOP = "stop"  # a process of which there must not be two
    START = "start"
    SHARE = "share"  # a part of the traffic
    HOLD = "hold"  # until somebody says how it goes on
    GROW = "grow"  # to as many pods as all traffic wants
    SHIFT = "shift"  # traffic
    REPLACE = "replace"  # a stateful workload, in its place
    SOAK = "soak"


TRAFFIC = frozenset({Kind.SHARE, Kind.SHIFT})


class Undo(StrEnum):
    """What going back takes."""

    NOTHING = "nothing"
    REVERSIBLE = "reversible"
    FORWARD = "forward-only"


class Strategy(StrEnum):
    """How traffic gets to the new revision."""

    ROLLING = "rolling"
    BLUE_GREEN = "blue-green"


@dataclass(frozen=True)
class Way:
    """How an upgrade goes: how users get to the new revision, how long it is watched, and with which share of them it holds."""

    strategy: Strategy = Strategy.ROLLING
    soak: float = 0.0
    share: float = 1.0


@dataclass(frozen=True)
class Step:
    """One step. `old` are the names of workloads that serve until then, with their pods; `seconds` is its limit."""

    kind: Kind
    service: str
    process: str
    reason: str
    undo: Undo
    seconds: float
    revision: str = ""
    old: tuple[tuple[str, int], ...] = ()
    replicas: int = 0

    @property
    def name(self) -> str:
        """The step in words."""
        return " ".join(part for part in (self.service, self.process, str(self.kind)) if part)


@dataclass(frozen=True)
class Rules:
    """What proves a new revision good or bad.

    Seconds that it may take to warm up, that the old one may fail too, and that a worker may be ready and an API not know.
    """

    rates: Rates = field(default_factory=Rates)
    slower: float = 1.5
    warmup: float = 10.0
    disturbance: float = 15.0
    silence: float = 60.0


@dataclass(frozen=True)
class RolloutPlan:
    """All steps of an upgrade."""

    environment: str
    source: str
    target: str
    digest: str
    way: Way
    steps: tuple[Step, ...]
    kept: tuple[str, ...]
    rules: Rules = field(default_factory=Rules)

    def stops(self, step: Step) -> bool:
        """Tell whether the old revision of a step's process is stopped before the new one starts."""
        return any(
            other.kind is Kind.STOP and (other.service, other.process) == (step.service, step.process)
            for other in self.steps
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {"apiVersion": "stackway/v1", "kind": "RolloutPlan", **asdict(self)}

    def to_table(self) -> Table:
        """Return the steps for people."""
        rows = [
            (str(number), step.service or "-", step.process or "-", str(step.kind), step.reason, str(step.undo))
            for number, step in enumerate(self.steps, 1)
        ]
        return Table(("STEP", "SERVICE", "PROCESS", "DOES", "WHY", "WAY BACK"), rows)


def read_plan(value: Mapping[str, Any]) -> RolloutPlan:
    """Return a plan from its data. Raises KeyError, TypeError or ValueError for what is none."""
    steps = tuple(
        Step(
            **{
                **row,
                "kind": Kind(row["kind"]),
                "undo": Undo(row["undo"]),
                "old": tuple((str(name), int(count)) for name, count in row["old"]),
            }
        )
        for row in value["steps"]
    )
    own = {name: str(value[name]) for name in ("environment", "source", "target", "digest")}
    rules = Rules(**{**value["rules"], "rates": Rates(**value["rules"]["rates"])})
    said = value["way"]
    way = Way(Strategy(said["strategy"]), float(said["soak"]), float(said["share"]))
    return RolloutPlan(**own, way=way, steps=steps, kept=tuple(value["kept"]), rules=rules)
