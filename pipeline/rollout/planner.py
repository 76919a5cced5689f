# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Finds the steps from what is live to what a release wants. Pure: objects in, a plan out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from buildkit.models import Probe, Process, Service
from pipeline.manifests.amounts import whole_seconds
from pipeline.manifests.objects import COMPONENT, NAME, REVISION, Object
from pipeline.manifests.render import BACKUP, CHECKS, Rendered
from pipeline.manifests.workloads import Workload, workload_name
from pipeline.rollout.plan import Kind, RolloutPlan, Rules, Step, Strategy, Undo, Way
from releases.version import ReleaseVersion

Key = tuple[str, str]
# What an image takes to be unpacked, a process to be scheduled, and a busy machine to do anything.
_GRACE_SECONDS = 30.0
_FACTOR = 1.2
_JOB_SECONDS = 900.0
_BACKUP_SECONDS = 3600.0


@dataclass(frozen=True)
class Goal:
    """What a live environment should become: the release, its objects and its services."""

    environment: str
    version: str
    digest: str
    rendered: Rendered
    services: Mapping[str, Service]
    rules: Rules = field(default_factory=Rules)


@dataclass(frozen=True)
class _Part:
    """The steps of one process: what starts it, what leads a share of its users to it, and what leads all of them."""

    starts: tuple[Step, ...] = ()
    shares: tuple[Step, ...] = ()
    shifts: tuple[Step, ...] = ()


def plan(goal: Goal, source: str, live: Mapping[Key, Object], way: Way) -> RolloutPlan:
    """Return the steps from `live` objects (by kind and name) to the goal; what is as it should be gets none."""
    by_service = {name: [item for item in goal.rendered.workloads if item.service == name] for name in goal.services}
    begin: list[Step] = []
    middle: list[Step] = []
    end: list[Step] = []
    kept: list[str] = []
    for service in ordered(goal.services):
        changed = [item for item in by_service[service.name] if not _runs(item, live)]
        kept += [workload_name(item.service, item.process) for item in by_service[service.name] if item not in changed]
        if changed and _crosses(source, goal.version) and service.database.expand:
            begin.append(_expand(service))
        for item in _in_order(service, changed):
            part = _part(service, item, live, way.share)
            begin += part.starts
            (begin if way.strategy is Strategy.ROLLING else middle).extend(part.shares)
            (begin if way.strategy is Strategy.ROLLING and not _holds(way) else end).extend(part.shifts)
    steps = [
        *begin,
        *middle,
        *(_pause(way) if any(step.kind is Kind.SHARE for step in [*begin, *middle]) else []),
        *end,
    ]
    if steps:
        proofs = _proofs(goal.rendered) if any(step.kind is Kind.EXPAND for step in steps) else []
        steps = [_lay(), *proofs, _watch(), *steps, *_soak(way)]
    names = (goal.environment, source, goal.version, goal.digest)
    return RolloutPlan(*names, way, tuple(steps), tuple(sorted(kept)), goal.rules)


def _holds(way: Way) -> bool:
    return way.share < 1.0


def _pause(way: Way) -> list[Step]:
    """Return what comes between a share of the users and all of them."""
    reason = f"about {way.share:.0%} of the users are there; somebody says how it goes on"
    return [*_soak(way), Step(Kind.HOLD, "", "", reason, Undo.NOTHING, _GRACE_SECONDS)]


def _soak(way: Way) -> list[Step]:
    reason = "users find what requests did not; the old revision stays warm"
    return [Step(Kind.SOAK, "", "", reason, Undo.REVERSIBLE, way.soak)] if way.soak else []


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


def _part(service: Service, item: Workload, live: Mapping[Key, Object], share: float) -> _Part:
    """Return the steps of a process; with a share below one, of its users at first so many as pods can be had for."""
    process = service.processes[item.process]
    base = Step(Kind.START, service.name, item.process, "", Undo.REVERSIBLE, _limit(process), item.revision)
    if item.kind == "stateful":
        reason = "it has disks and a name of its own, so it is replaced where it is"
        return _Part((replace(base, kind=Kind.REPLACE, reason=reason),))
    old = _old(item, live)
    wanted = max([process.replicas.min, *(count for _, count in old)])
    start = replace(base, reason="beside the old revision, without users", old=old, replicas=wanted)
    shifts = tuple(
        replace(start, kind=Kind.SHIFT, reason="it has answered; users get it now", seconds=_GRACE_SECONDS)
        for _ in item.addresses
    )
    if process.kind in {"singleton", "node"} and old:
        # Its users have nobody until they are led to the new one, so that waits for nothing.
        return _Part((_stop(start, process), start, *shifts))
    if share == 1.0:
        return _Part((start,), (), shifts)
    is_new = any(("Service", str(address["metadata"]["name"])) not in live for address in item.addresses)
    return _Part((start, *shifts)) if is_new else _shared(start, shifts, share)


def _stop(start: Step, process: Process) -> Step:
    seconds = whole_seconds(process.grace) + _GRACE_SECONDS
    return replace(start, kind=Kind.STOP, reason="there must not be two of it", seconds=seconds, replicas=0)


def _shared(start: Step, shifts: tuple[Step, ...], share: float) -> _Part:
    """Return the steps of a process that gets a share of its users first: pods get equal shares, so it is one of pods."""
    there = sum(count for _, count in start.old)
    if not shifts or not there:
        return _Part((start,), (), shifts)
    few = min(start.replicas, max(1, round(there * share / (1.0 - share))))
    reason = f"{few} of {few + there} pods, so {few / (few + there):.0%} of the users get it"
    shares = tuple(replace(item, kind=Kind.SHARE, reason=reason, replicas=few) for item in shifts)
    grow = replace(start, kind=Kind.GROW, reason="all users want more of it", undo=Undo.NOTHING)
    return _Part((replace(start, replicas=few),), shares, (*((grow,) if few < start.replicas else ()), *shifts))


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
