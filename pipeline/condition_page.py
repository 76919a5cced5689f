# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""An environment's condition as one HTML page that needs nothing else. What comes from outside is text in it, never markup.

Pure: the picture's numbers are made here, its look is in condition.html.j2.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from jinja2 import Environment, StrictUndefined

from pipeline import telling
from pipeline.condition import Condition, PodCondition, ServiceCondition
from pipeline.measurements import Disruption, read_time
from stackway.console import Table, printable

_TEMPLATE = Path(__file__).with_name("condition.html.j2")
_WIDTH, _ROW, _MARGIN, _LABEL = 900, 22, 26, 110
_LEAST = 3.0
_SHOWN = timedelta(hours=1)
_MEMORY = 1 << 20


@dataclass(frozen=True)
class Bar:
    """A disruption in the picture: where it begins and how long it is, in units of the picture, and what it says."""

    x: float
    y: float
    width: float
    open: bool
    label: str


@dataclass(frozen=True)
class Picture:
    """The time line: its size, the names of its rows with their heights, its bars, and the marks of time below."""

    height: float
    rows: tuple[tuple[float, str], ...]
    bars: tuple[Bar, ...]
    marks: tuple[tuple[float, str], ...]


def condition_page(condition: Condition) -> str:
    """Return the page."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["printable"] = printable
    at = read_time(condition.at)
    values = {
        "condition": condition,
        "told": telling.headline(condition),
        "troubles": telling.trouble_lines(condition),
        "picture": picture(condition.disruptions, at) if at else None,
        "tables": list(_tables(condition, at)),
        "width": _WIDTH,
        "label": _LABEL,
        "row": _ROW,
    }
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(values)


def picture(disruptions: Sequence[Disruption], at: datetime) -> Picture | None:
    """Return the time line of what was disrupted in the last hour, or since the earliest that is told; None for nothing."""
    if not disruptions:
        return None
    begin = min([at - _SHOWN, *(item.begin for item in disruptions)])
    scale = (_WIDTH - _LABEL) / max(1.0, (at - begin).total_seconds())
    names = sorted({f"{item.service}-{item.process}" for item in disruptions})
    bars = []
    for item in disruptions:
        x = _LABEL + (item.begin - begin).total_seconds() * scale
        width = max(_LEAST, ((item.end or at) - item.begin).total_seconds() * scale)
        name = f"{item.service}-{item.process}"
        healed = "not healed" if item.seconds is None else f"healed after {item.seconds:.1f} s"
        label = f"{item.begin.isoformat(timespec='seconds')} {name}: {item.what}, {healed} {item.cause}".strip()
        bars.append(Bar(min(x, _WIDTH - _LEAST), _ROW * names.index(name), width, item.end is None, label))
    rows = tuple((_ROW * number, name) for number, name in enumerate(names))
    first, last = (time.astimezone(UTC).strftime("%H:%M:%S") for time in (begin, at))
    marks = ((_LABEL, first), (_WIDTH, last))
    return Picture(_ROW * len(names) + _MARGIN, rows, tuple(bars), marks)


def _tables(condition: Condition, at: datetime | None) -> Iterator[tuple[str, Table]]:
    yield "Services", Table(_SERVICE, [_service(item, condition) for item in condition.services], right=_SERVICE[2:])
    yield "Processes", telling.process_table(condition)
    pods = [pod for process in condition.processes for revision in process.revisions for pod in revision.pods]
    yield "Pods", Table(_POD, [telling.pod_row(pod, at) for pod in pods])
    yield "Utilisation, saturation, errors", Table(_USE, [use_row(pod) for pod in pods], right=_USE[1:])
    if found := telling.disruption_table(condition.disruptions):
        yield "Disruptions", found
    if condition.leftovers:
        yield "Left over", Table(("WHAT",), [(item,) for item in condition.leftovers])


_SERVICE = ("SERVICE", "VERDICT", "PODS", "REQUESTS", "ANSWERED", "DISRUPTIONS", "HEALED IN (MEDIAN)", "AT MOST")
_POD = ("POD", "STATE", "RESTARTS", "LAST RESTART", "NODE", "AGE")
_USE = ("POD", "CPU", "CPU ASKED", "OF IT", "MEMORY", "MEMORY LIMIT", "OF IT", "RESTARTS")


def _service(item: ServiceCondition, condition: Condition) -> tuple[str, ...]:
    ready, wanted = telling.pods_of(item.processes)
    answers = [process.answers for process in item.processes if process.answers]
    requests, failures = sum(one.requests for one in answers), sum(one.failures for one in answers)
    own = [found for found in condition.disruptions if found.service == item.name]
    healed = [found.seconds for found in own if found.seconds is not None]
    return (
        item.name,
        str(item.verdict),
        f"{ready}/{wanted}",
        str(requests) if answers else "-",
        f"{1 - failures / requests:.2%}" if requests else "-",
        str(len(own)),
        f"{median(healed):.1f} s" if healed else "-",
        f"{max(healed):.1f} s" if healed else "-",
    )


def use_row(pod: PodCondition) -> tuple[str, ...]:
    """Return what a pod uses of what it asked for and may use, and how often it broke."""
    cpu, memory = (pod.use.cpu, pod.use.memory) if pod.use else (None, None)
    return (
        pod.name,
        "-" if cpu is None else f"{cpu * 1000:.0f}m",
        f"{pod.cpu_asked * 1000:.0f}m" if pod.cpu_asked else "-",
        _share(cpu, pod.cpu_asked),
        "-" if memory is None else f"{memory / _MEMORY:.0f} MiB",
        f"{pod.memory_limit / _MEMORY:.0f} MiB" if pod.memory_limit else "-",
        _share(memory, pod.memory_limit),
        str(pod.restarts.count),
    )


def _share(used: float | None, of: float) -> str:
    return "-" if used is None or not of else f"{used / of:.0%}"
