# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""An environment's condition in words and tables for people. Pure; colours and pages are made elsewhere."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from pipeline.condition import Condition, PodCondition, ProcessCondition, Remark, RevisionCondition, Verdict
from pipeline.measurements import Disruption, read_time
from stackway.console import Table

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_COLUMNS = ("SERVICE", "PROCESS", "VERDICT", "RELEASE", "REVISION", "PODS", "RESTARTS", "SCALE", "ANSWERED", "AGE")
_RIGHT = ("PODS", "RESTARTS", "SCALE", "ANSWERED", "AGE")


def headline(condition: Condition) -> str:
    """Return the condition in one line."""
    processes = condition.processes
    good = sum(service.verdict is Verdict.HEALTHY for service in condition.services)
    ready, wanted = pods_of(processes)
    runs = f"release {condition.deployed}" if condition.deployed else "no release"
    counts = f"{good} of {len(condition.services)} services healthy, {ready} of {wanted} pods ready"
    return f"{condition.environment} is {condition.verdict}: {runs}, {counts}"


def pods_of(processes: Iterable[ProcessCondition]) -> tuple[int, int]:
    """Return how many pods are ready and wanted of what serves."""
    serving = [revision for process in processes for revision in process.serving]
    return sum(item.ready for item in serving), sum(item.wanted for item in serving)


def process_table(condition: Condition) -> Table:
    """Return a row for each process in each revision; those that do not serve are marked so."""
    at = read_time(condition.at)
    rows = [row for process in condition.processes for row in _rows(process, at)]
    return Table(_COLUMNS, rows, right=_RIGHT)


def _rows(process: ProcessCondition, at: datetime | None) -> Iterator[Sequence[str]]:
    head = (process.service, process.process)
    if not process.revisions:
        yield (*head, str(process.verdict), *["-"] * 7)
    for item in process.revisions:
        scale = process.scaling if item.serves else None
        yield (
            *head,
            str(process.verdict) if item.serves else _aside(item),
            item.release or "-",
            item.revision or "-",
            f"{item.ready}/{item.wanted}",
            str(sum(pod.restarts.count for pod in item.pods)),
            f"{scale.least}-{scale.most}" if scale else "-",
            answered(process) if item.serves else "-",
            age(item.created, at),
        )


def _aside(item: RevisionCondition) -> str:
    return "(warm)" if item.wanted else "(off)"


def answered(process: ProcessCondition) -> str:
    """Return the share of requests that a process has answered."""
    share = process.answers.availability if process.answers else None
    return "-" if share is None else f"{share:.2%}"


def age(created: str, at: datetime | None) -> str:
    """Return how old something is, in its two largest units at most."""
    begin = read_time(created)
    if begin is None or at is None:
        return "-"
    return duration((at - begin).total_seconds())


def duration(seconds: float) -> str:
    """Return a time span for people."""
    whole = max(0, round(seconds))
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02d}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02d}m"
    return f"{whole // _DAY}d{whole % _DAY // _HOUR:02d}h"


def trouble_lines(condition: Condition) -> list[str]:
    """Return what was noticed, the worst first, each with what to do."""
    found = [(item, "") for item in condition.remarks]
    found += [(item, service.name) for service in condition.services for item in service.remarks]
    found += [(item, process.name) for process in condition.processes for item in process.remarks]
    found.sort(key=lambda pair: (-pair[0].verdict.severity, pair[1]))
    return [line for item, name in _together(found) for line in remark_lines(item, name)]


def _together(found: Iterable[tuple[Remark, str]]) -> Iterator[tuple[Remark, str]]:
    """Yield remarks, those that say the same of several processes as one."""
    names: dict[Remark, list[str]] = {}
    for item, name in found:
        names.setdefault(item, []).append(name)
    yield from ((item, ", ".join(name for name in about if name)) for item, about in names.items())


def remark_lines(item: Remark, name: str = "") -> list[str]:
    """Return a remark as a line, and what to do in another."""
    mark = "note" if item.verdict is Verdict.HEALTHY else str(item.verdict)
    first = f"{mark}: {name + ': ' if name else ''}{item.text}"
    return [first, *([f"    {item.mend}"] if item.mend else [])]


def pod_table(condition: Condition) -> Table | None:
    """Return the pods that are not ready or have restarted, None without any."""
    at = read_time(condition.at)
    pods = [pod for process in condition.processes for revision in process.revisions for pod in revision.pods]
    rows = [pod_row(pod, at) for pod in pods if not pod.ready or pod.restarts.count]
    return (
        Table(("POD", "STATE", "RESTARTS", "LAST RESTART", "NODE", "AGE"), rows, right=("RESTARTS",)) if rows else None
    )


def pod_row(pod: PodCondition, at: datetime | None) -> tuple[str, ...]:
    """Return a pod's row."""
    why = f"{pod.restarts.why}, {age(pod.restarts.at, at)} ago" if pod.restarts.why else "-"
    return pod.name, pod_state(pod), str(pod.restarts.count), why, pod.node or "-", age(pod.created, at)


def pod_state(pod: PodCondition) -> str:
    """Return how a pod does, in words."""
    if pod.leaving:
        return "leaves"
    return pod.ailment.what if pod.ailment else "ready"


def disruption_table(disruptions: Iterable[Disruption]) -> Table | None:
    """Return what was disrupted and how fast it healed, the newest first, None for nothing."""
    rows = [
        (
            item.begin.isoformat(timespec="seconds"),
            f"{item.service}-{item.process}",
            "-" if item.seconds is None else f"{item.seconds:.1f} s",
            item.what,
            item.cause or "-",
        )
        for item in reversed(list(disruptions))
    ]
    return Table(("SINCE", "WHAT", "HEALED AFTER", "HOW", "CAUSE"), rows) if rows else None


def report(condition: Condition) -> list[Table | str]:
    """Return all that a person should see, in order."""
    parts: list[Table | str | None] = [headline(condition), process_table(condition) if condition.services else None]
    parts.append("\n".join(trouble_lines(condition)) or None)
    parts.append(pod_table(condition))
    parts.append(disruption_table(condition.disruptions[-10:]))
    left = [f"  {item}" for item in condition.leftovers]
    parts.append("\n".join(["left over; the next `release deploy` removes it:", *left]) if left else None)
    return [part for part in parts if part is not None]


def overview(conditions: Iterable[Condition]) -> Table:
    """Return a row for each environment."""
    rows = []
    for item in conditions:
        ready, wanted = pods_of(item.processes)
        good = sum(service.verdict is Verdict.HEALTHY for service in item.services)
        why = next(iter(trouble_lines(item)), "-") if item.verdict is not Verdict.HEALTHY else "-"
        services = f"{good}/{len(item.services)}"
        release = (item.pinned or "-", item.deployed or "-")
        rows.append((item.environment, str(item.verdict), *release, services, f"{ready}/{wanted}", why))
    columns = ("ENVIRONMENT", "VERDICT", "PINNED", "DEPLOYED", "SERVICES", "PODS", "WHY")
    return Table(columns, rows, right=("SERVICES", "PODS"))


def states(condition: Condition) -> dict[str, str]:
    """Return the environment and each process in a line that changes when it does: what a log wants."""
    found = {condition.environment: f"{condition.verdict}{_because(condition.remarks)}"}
    for process in condition.processes:
        ready, wanted = pods_of([process])
        found[process.name] = f"{process.verdict}, {ready} of {wanted} pods ready{_because(process.remarks)}"
    return found


def _because(remarks: Iterable[Remark]) -> str:
    told = "; ".join(item.text for item in remarks)
    return f": {told}" if told else ""


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return a line for each state that is new, other, or gone."""
    found = [f"{name}: {state}" for name, state in after.items() if before.get(name) != state]
    return [*found, *(f"{name}: gone" for name in before if name not in after)]
