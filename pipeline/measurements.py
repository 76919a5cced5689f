# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What the prober and the cluster's meters have measured, as values. Pure: asks nobody, judges nothing.

What cannot be read is left out: from then on it counts as not measured, which is never taken for good.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

FRESH_SECONDS = 60.0
_WINDOW_SECONDS = 300.0
_FACTORS = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_FACTORS |= {f"{unit}i": 2.0 ** (10 * power) for power, unit in enumerate("KMGTPE", 1)}
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([a-zA-Z]*)", re.ASCII)
Key = tuple[str, str]


@dataclass(frozen=True)
class Answers:
    """How a process has answered over the last minutes: requests, and how many of them failed."""

    requests: int
    failures: int

    @property
    def availability(self) -> float | None:
        """The share of requests that were answered, None without any."""
        return 1 - self.failures / self.requests if self.requests else None


@dataclass(frozen=True)
class Disruption:
    """A time in which a process did not answer, or had too few pods; `end` is None while it lasts."""

    service: str
    process: str
    begin: datetime
    end: datetime | None
    what: str
    cause: str

    @property
    def seconds(self) -> float | None:
        """How long it took to heal."""
        return (self.end - self.begin).total_seconds() if self.end else None


@dataclass(frozen=True)
class Measurements:
    """What is known from requests. `trouble` says why nothing is; `seconds` is the time that answers are counted over."""

    answers: Mapping[Key, Answers]
    disruptions: tuple[Disruption, ...] = ()
    seconds: float = _WINDOW_SECONDS
    trouble: str = ""

    def open(self, key: Key) -> list[Disruption]:
        """Return what of a process has not healed yet."""
        return [item for item in self.disruptions if (item.service, item.process) == key and item.end is None]

    def healed(self, service: str) -> list[float]:
        """Return the seconds that the healed disruptions of a service took."""
        return [item.seconds for item in self.disruptions if item.service == service and item.seconds is not None]


@dataclass(frozen=True)
class Use:
    """What a pod uses: processors, and memory in bytes."""

    cpu: float
    memory: float


def nothing(why: str) -> Measurements:
    """Return that nothing is known, and why."""
    return Measurements({}, trouble=why)


def read_measurements(value: Any, now: datetime) -> Measurements:
    """Return what the prober's status says; one that does not say when it was written, or long ago, says nothing."""
    if not isinstance(value, dict):
        return nothing("what the prober answers is no status")
    at = read_time(value.get("at"))
    if at is None or abs((now - at).total_seconds()) > FRESH_SECONDS:
        return nothing(f"the prober's figures are not of now: {value.get('at')!r}")
    answers: dict[Key, Answers] = {}
    for key, found in _answers(value.get("targets")):
        before = answers.get(key, Answers(0, 0))
        answers[key] = Answers(before.requests + found.requests, before.failures + found.failures)
    disruptions = tuple(sorted(_disruptions(value.get("disruptions")), key=lambda item: item.begin))
    return Measurements(answers, disruptions, float(_count(value.get("window")) or _WINDOW_SECONDS))


def _answers(rows: Any) -> Iterator[tuple[Key, Answers]]:
    for row in _rows(rows):
        key, requests, failures = _key(row), _count(row.get("requests")), _count(row.get("failures"))
        if key and requests is not None and failures is not None and failures <= requests:
            yield key, Answers(requests, failures)


def _disruptions(rows: Any) -> Iterator[Disruption]:
    for row in _rows(rows):
        key, begin = _key(row), read_time(row.get("begin"))
        if key and begin:
            end = read_time(row.get("end"))
            yield Disruption(*key, begin, end, str(row.get("what") or ""), str(row.get("cause") or ""))


def _rows(rows: Any) -> list[dict[str, Any]]:
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _key(row: Mapping[str, Any]) -> Key | None:
    service, process = row.get("service"), row.get("process")
    return (service, process) if isinstance(service, str) and isinstance(process, str) else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def read_time(value: Any) -> datetime | None:
    """Return a moment, from ISO 8601 or seconds since 1970, None for what is neither."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        found = datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def read_uses(items: Iterable[Mapping[str, Any]]) -> dict[str, Use]:
    """Return what pods use, by name, from the objects of metrics.k8s.io."""
    found = {}
    for item in items:
        used = [container.get("usage", {}) for container in item.get("containers", [])]
        cpu, memory = (sum(quantity(one.get(key, "0")) for one in used) for key in ("cpu", "memory"))
        found[str(item["metadata"]["name"])] = Use(cpu, memory)
    return found


def quantity(text: str) -> float:
    """Return a quantity of Kubernetes as a number: `714709n`, `100m`, `224Mi`, `1e3`; 0 for what is none."""
    found = _QUANTITY.fullmatch(text)
    return float(found[1]) * _FACTORS.get(found[2], 0.0) if found else 0.0
