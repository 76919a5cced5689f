# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""How an environment does, as a value: verdicts, and what they rest on, per service, process, revision and pod. Pure.

`pipeline.diagnosis` makes one from what was seen; `pipeline.telling` and `pipeline.condition_page` show it.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from pipeline.ailment import Ailment, Restarts
from pipeline.measurements import Answers, Disruption, Use


class Verdict(StrEnum):
    """How something does. Not knowing is worse than being well, and never taken for it."""

    HEALTHY = "healthy"
    UNKNOWN = "unknown"
    DEGRADED = "degraded"
    DOWN = "down"

    @property
    def severity(self) -> int:
        """The greater the worse."""
        return list(Verdict).index(self)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of some verdicts; nothing at all is unknown."""
    return max(verdicts, key=lambda item: item.severity, default=Verdict.UNKNOWN)


@dataclass(frozen=True)
class Remark:
    """One thing that was noticed, what it does to the verdict, and what to do about it."""

    verdict: Verdict
    text: str
    mend: str = ""


@dataclass(frozen=True)
class PodCondition:
    """One pod. `asked` is what it may use for sure or at most: processors, and bytes of memory; 0 where nothing is said."""

    name: str
    revision: str
    ready: bool
    leaving: bool
    created: str
    node: str
    digest: str
    restarts: Restarts
    ailment: Ailment | None
    use: Use | None
    cpu_asked: float
    memory_limit: float


@dataclass(frozen=True)
class RevisionCondition:
    """One release's copy of a process: its workload, and whether requests reach it. `release` is empty when nobody knows."""

    workload: str
    kind: str
    revision: str
    release: str
    digest: str
    serves: bool
    wanted: int
    created: str
    pods: tuple[PodCondition, ...]

    @property
    def ready(self) -> int:
        """How many of its pods are ready."""
        return sum(pod.ready for pod in self.pods)


@dataclass(frozen=True)
class Scaling:
    """What the autoscaler does: pods now, wanted, at least and at most."""

    now: int
    desired: int
    least: int
    most: int


@dataclass(frozen=True)
class ProcessCondition:
    """One process of a service, in all its revisions."""

    service: str
    process: str
    remarks: tuple[Remark, ...]
    revisions: tuple[RevisionCondition, ...]
    scaling: Scaling | None
    answers: Answers | None

    @property
    def name(self) -> str:
        """Service and process."""
        return f"{self.service}-{self.process}"

    @property
    def verdict(self) -> Verdict:
        """The worst that was noticed."""
        return worst([Verdict.HEALTHY, *(item.verdict for item in self.remarks)])

    @property
    def serving(self) -> tuple[RevisionCondition, ...]:
        """The revisions that requests or messages reach."""
        return tuple(item for item in self.revisions if item.serves)


@dataclass(frozen=True)
class ServiceCondition:
    """A service: its processes, and remarks on its jobs."""

    name: str
    processes: tuple[ProcessCondition, ...]
    remarks: tuple[Remark, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The worst of its parts."""
        return worst([*(item.verdict for item in self.processes), *(item.verdict for item in self.remarks)])


@dataclass(frozen=True)
class Condition:
    """An environment. `pinned` is what should run, `deployed` what was deployed last; both may be empty."""

    environment: str
    namespace: str
    at: str
    pinned: str
    deployed: str
    services: tuple[ServiceCondition, ...]
    remarks: tuple[Remark, ...]
    leftovers: tuple[str, ...]
    disruptions: tuple[Disruption, ...]
    window: float

    @property
    def verdict(self) -> Verdict:
        """The worst of everything; an environment without services is unknown at best."""
        services = worst(item.verdict for item in self.services)
        return worst([services, *(item.verdict for item in self.remarks)])

    @property
    def processes(self) -> list[ProcessCondition]:
        """All processes of all services."""
        return [process for service in self.services for process in service.processes]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        head = {"apiVersion": "stackway/v1", "kind": "Condition", "environment": self.environment}
        said = {name: getattr(self, name) for name in ("namespace", "at", "pinned", "deployed", "window")}
        return {
            **head,
            **said,
            "verdict": str(self.verdict),
            "remarks": [_remark(item) for item in self.remarks],
            "services": [_service(item) for item in self.services],
            "leftovers": list(self.leftovers),
            "disruptions": [_disruption(item) for item in self.disruptions],
        }


def _remark(item: Remark) -> dict[str, str]:
    return {"verdict": str(item.verdict), "text": item.text, "mend": item.mend}


def _service(item: ServiceCondition) -> dict[str, Any]:
    return {
        "service": item.name,
        "verdict": str(item.verdict),
        "remarks": [_remark(found) for found in item.remarks],
        "processes": [_process(found) for found in item.processes],
    }


def _process(item: ProcessCondition) -> dict[str, Any]:
    answers = item.answers
    return {
        "process": item.process,
        "verdict": str(item.verdict),
        "remarks": [_remark(found) for found in item.remarks],
        "requests": answers.requests if answers else None,
        "failures": answers.failures if answers else None,
        "availability": answers.availability if answers else None,
        "scaling": asdict(item.scaling) if item.scaling else None,
        "revisions": [{**asdict(found), "ready": found.ready} for found in item.revisions],
    }


def _disruption(item: Disruption) -> dict[str, Any]:
    found = {**asdict(item), "begin": item.begin.isoformat(), "end": item.end.isoformat() if item.end else None}
    return {**found, "seconds": item.seconds}
