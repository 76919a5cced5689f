# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The way of a live control plane from one release to another: steps in order, each with its reason and its way back. Pure.

A plan names objects and does not hold them: they are rendered from the release, so a plan is small, can be saved, and is the
same on another machine.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from buildkit.models import Probe, Process, Service
from pipeline.manifests.amounts import whole_seconds
from pipeline.manifests.objects import COMPONENT, NAME, REVISION, Object
from pipeline.manifests.render import BACKUP, CHECKS, Rendered
from pipeline.manifests.workloads import Workload, workload_name
from pipeline.rollout.sequential import Rates
from releases.version import ReleaseVersion
from stackway.console import Table

Key = tuple[str, str]
# What an image takes to be unpacked, a process to be scheduled, and a busy machine to do anything.
_GRACE_SECONDS = 30.0
_FACTOR = 1.2
_JOB_SECONDS = 900.0
_BACKUP_SECONDS = 3600.0


class Kind(StrEnum):
    """What a step does."""

    LAY = "lay"  # files, credentials and policies that new pods mount
    CHECK = "check"  # the new release's own upgrade checks
    BACKUP = "backup"
    WATCH = "watch"  # the prober asks what the new release has
    EXPAND = "expand"
    STOP = "stop"  # a process of which there must not be two
    START = "start"
    SHIFT = "shift"  # traffic
    REPLACE = "replace"  # a stateful workload, in its place
    SOAK = "soak"


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
    strategy: Strategy
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
    return RolloutPlan(**own, strategy=Strategy(value["strategy"]), steps=steps, kept=tuple(value["kept"]), rules=rules)


@dataclass(frozen=True)
class Goal:
    """What a live environment should become: the release, its objects and its services."""

    environment: str
    version: str
    digest: str
    rendered: Rendered
    services: Mapping[str, Service]
    rules: Rules = field(default_factory=Rules)


def plan(goal: Goal, source: str, live: Mapping[Key, Object], strategy: Strategy, soak: float = 0.0) -> RolloutPlan:
    """Return the steps from `live` objects (by kind and name) to the goal; what is as it should be gets none."""
    by_service = {name: [item for item in goal.rendered.workloads if item.service == name] for name in goal.services}
    starts: list[Step] = []
    shifts: list[Step] = []
    kept: list[str] = []
    for service in ordered(goal.services):
        changed = [item for item in by_service[service.name] if not _runs(item, live)]
        kept += [workload_name(item.service, item.process) for item in by_service[service.name] if item not in changed]
        if changed and _crosses(source, goal.version) and service.database.expand:
            starts.append(_expand(service))
        for item in _in_order(service, changed):
            start, shift = _steps(service, item, live)
            starts += start
            (starts if strategy is Strategy.ROLLING else shifts).extend(shift)
    steps = [*starts, *shifts]
    if steps:
        proofs = _proofs(goal.rendered) if any(step.kind is Kind.EXPAND for step in steps) else []
        steps = [_lay(), *proofs, _watch(), *steps]
    if steps and soak:
        reason = "users find what requests did not; the old revision stays warm"
        steps.append(Step(Kind.SOAK, "", "", reason, Undo.REVERSIBLE, soak))
    names = (goal.environment, source, goal.version, goal.digest)
    return RolloutPlan(*names, strategy, tuple(steps), tuple(sorted(kept)), goal.rules)


def _lay() -> Step:
    return Step(Kind.LAY, "", "", "what new pods mount must be there before them", Undo.NOTHING, _GRACE_SECONDS)


def _watch() -> Step:
    return Step(Kind.WATCH, "", "", "who judges the new revision must know it", Undo.REVERSIBLE, 2 * _GRACE_SECONDS)


def _proofs(rendered: Rendered) -> list[Step]:
    """Return what comes before the first schema is touched, as far as the environment has it."""
    reasons = {stage.name: stage.reason for stage in rendered.stages}
    limits = {CHECKS: (Kind.CHECK, _JOB_SECONDS), BACKUP: (Kind.BACKUP, _BACKUP_SECONDS)}
    found = [(kind, reasons[name], seconds) for name, (kind, seconds) in limits.items() if name in reasons]
    return [Step(kind, "", "", reason, Undo.NOTHING, seconds) for kind, reason, seconds in found]


def ordered(services: Mapping[str, Service]) -> list[Service]:
    """Return services so that each comes after those it must come after: infrastructure, then by `upgrade.after`."""
    found: list[Service] = []
    todo = sorted(services.values(), key=lambda item: (item.role == "openstack", item.name))
    while todo:
        names = {item.name for item in todo}
        ready = [item for item in todo if not set(item.upgrade.after) & names] or todo[:1]
        found.append(ready[0])
        todo.remove(ready[0])
    return found


def _in_order(service: Service, items: Iterable[Workload]) -> list[Workload]:
    order = list(service.upgrade.order)
    return sorted(
        items, key=lambda item: (order.index(item.process) if item.process in order else len(order), item.process)
    )


def _crosses(source: str, target: str) -> bool:
    """Tell whether schemas may differ: a release of the same series has the same ones."""
    return ReleaseVersion.parse(source).series != ReleaseVersion.parse(target).series


def _runs(item: Workload, live: Mapping[Key, Object]) -> bool:
    """Tell whether a workload of this revision is there, and traffic leads to it where any does."""
    main = live.get((str(item.main["kind"]), str(item.main["metadata"]["name"])))
    if main is None or revision_of(main) != item.revision:
        return False
    return all(
        (live.get(("Service", str(address["metadata"]["name"]))) or {}).get("spec", {}).get("selector")
        == address["spec"]["selector"]
        for address in item.addresses
    )


def revision_of(item: Object) -> str:
    """Return the revision of the pods that a workload makes."""
    template = item.get("spec", {}).get("template", {}).get("metadata", {}).get("labels") or {}
    return str(template.get(REVISION, ""))


def _steps(service: Service, item: Workload, live: Mapping[Key, Object]) -> tuple[list[Step], list[Step]]:
    """Return the steps that start a process, and those that lead traffic to it."""
    process = service.processes[item.process]
    seconds = _limit(process)
    if item.kind == "stateful":
        reason = "it has disks and a name of its own, so it is replaced where it is"
        return [Step(Kind.REPLACE, service.name, item.process, reason, Undo.REVERSIBLE, seconds, item.revision)], []
    old = _old(item, live)
    wanted = max([process.replicas.min, *(count for _, count in old)])
    start = Step(
        Kind.START,
        service.name,
        item.process,
        "beside the old revision, without users",
        Undo.REVERSIBLE,
        seconds,
        item.revision,
        old,
        wanted,
    )
    before: list[Step] = []
    if process.kind in {"singleton", "node"} and old:
        reason = "there must not be two of it"
        grace = whole_seconds(process.grace) + _GRACE_SECONDS
        before = [Step(Kind.STOP, service.name, item.process, reason, Undo.REVERSIBLE, grace, item.revision, old)]
    shift = [
        Step(
            Kind.SHIFT,
            service.name,
            item.process,
            "it has answered; users get it now",
            Undo.REVERSIBLE,
            _GRACE_SECONDS,
            item.revision,
            old,
            wanted,
        )
        for _ in item.addresses
    ]
    return [*before, start], shift


def _old(item: Workload, live: Mapping[Key, Object]) -> tuple[tuple[str, int], ...]:
    """Return the other revisions' workloads of a process that have pods."""
    own = item.main["metadata"]["labels"]
    found = [
        (name, int(other["spec"].get("replicas", 1)))
        for (kind, name), other in sorted(live.items())
        if kind == item.main["kind"]
        and all(other["metadata"]["labels"].get(key) == own[key] for key in (NAME, COMPONENT))
        and revision_of(other) != item.revision
    ]
    return tuple((name, count) for name, count in found if count)


def _expand(service: Service) -> Step:
    reason = "new code needs the new schema, and old code works with it"
    return Step(Kind.EXPAND, service.name, "", reason, Undo.FORWARD, _JOB_SECONDS)


def _limit(process: Process) -> float:
    """Return the seconds after which a process is not going to get ready, by its own probes."""
    probe = process.probes.startup or process.probes.readiness
    return _GRACE_SECONDS + (_budget(probe) if probe else 0.0) * _FACTOR


def _budget(probe: Probe) -> float:
    return whole_seconds(probe.period) * probe.failures + whole_seconds(probe.timeout)


def service_steps(steps: Iterable[Step], kind: Kind) -> Iterator[Step]:
    """Yield the steps of a kind."""
    return (step for step in steps if step.kind is kind)
