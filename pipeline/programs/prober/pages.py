# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What the prober tells: its status as JSON, and its metrics in Prometheus' text format (version 0.0.4). Pure."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from .counts import GOOD, Counts, Disruption, Histogram, Target

Labels = Mapping[str, str]
Sample = tuple[Labels, float]
_KNOWN = (
    ("wanted", "pods_wanted", "gauge", "Pods that a workload should have."),
    ("ready", "pods_ready", "gauge", "Pods of a workload that take requests."),
    ("most", "pods_most", "gauge", "Pods that a workload may be scaled to."),
    ("cpu", "pod_cpu_cores", "gauge", "Processors that a pod uses."),
    ("asked", "pod_cpu_request_cores", "gauge", "Processors that a pod asks for."),
    ("memory", "pod_memory_bytes", "gauge", "Memory that a pod uses."),
    ("limit", "pod_memory_limit_bytes", "gauge", "Memory that a pod may use."),
    ("restarts", "pod_restarts_total", "counter", "How often containers of a pod began again."),
    ("age", "watch_age_seconds", "gauge", "Time since the cluster's API was last heard of objects of a kind."),
)


def status(counts: Counts, now: float, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything that was counted. `targets` and `pods` tell of the last seconds and (`total…`) of all time."""
    rows = [_row(target, counts, now) for target in sorted(counts.tallies)]
    return {
        "at": _time(now),
        "since": _time(counts.begin),
        "window": counts.window,
        "targets": [row for row in rows if not row["pod"]],
        "pods": [row for row in rows if row["pod"]],
        "disruptions": [_disruption(item) for item in (*counts.past, *counts.open.values())],
        "tokens": {"asked": counts.tokens.count, "failures": counts.token_failures, "seconds": counts.tokens.total},
        **extra,
    }


def _row(target: Target, counts: Counts, now: float) -> dict[str, Any]:
    tally = counts.tallies[target]
    requests, failures = tally.recent(now)
    return {
        "service": target.service,
        "process": target.process,
        "via": "pod" if target.pod else "service",
        "pod": target.pod,
        "revision": target.revision,
        "requests": requests,
        "failures": failures,
        "totalRequests": tally.requests,
        "totalFailures": tally.failures,
        "kinds": {kind: number for kind, number in sorted(tally.kinds.items()) if kind != GOOD},
        "totalSeconds": round(tally.seconds.total, 4),
        "totalLogs": round(tally.logs, 4),
    }


def _disruption(item: Disruption) -> dict[str, Any]:
    end = _time(item.end) if item.end is not None else None
    head = {"service": item.service, "process": item.process, "begin": _time(item.begin), "end": end}
    return {**head, "what": item.what, "cause": item.cause}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def metrics(counts: Counts, rows: Iterable[Mapping[str, Any]]) -> str:
    """Return all metrics. `rows` are of pods, workloads, scalers and watches: their labels, and what is known of each."""
    blocks = (*_counted(counts), *_known(list(rows)))
    return "".join(line for block in blocks for line in block)


def _counted(counts: Counts) -> Iterator[Iterator[str]]:
    tallies = sorted(counts.tallies.items())
    outcomes = [
        ({**_labels(target), "outcome": kind}, float(number))
        for target, tally in tallies
        for kind, number in sorted(tally.kinds.items())
    ]
    yield _block("stackway_requests_total", "counter", "Requests of the prober by outcome.", outcomes)
    times = [(_labels(target), tally.seconds) for target, tally in tallies if not target.pod]
    yield _histograms("stackway_request_seconds", "Time of the prober's requests by Service.", times)
    heals = [({"service": key[0], "process": key[1]}, item) for key, item in sorted(counts.heals.items())]
    yield _histograms("stackway_heal_seconds", "Time from a disruption to its repair.", heals)
    yield _block("stackway_disrupted", "gauge", "1 while a process is disrupted.", _disrupted(counts))
    yield _histograms("stackway_token_seconds", "Time to issue a token.", [({}, counts.tokens)])
    failures: list[Sample] = [({}, float(counts.token_failures))]
    yield _block("stackway_token_failures_total", "counter", "Tokens that were not issued.", failures)


def _known(rows: list[Mapping[str, Any]]) -> Iterator[Iterator[str]]:
    for key, name, kind, told in _KNOWN:
        samples = [(row["labels"], float(row[key])) for row in rows if row.get(key) is not None]
        yield _block(f"stackway_{name}", kind, told, samples)


def _disrupted(counts: Counts) -> list[Sample]:
    keys = {(target.service, target.process) for target in counts.tallies} | set(counts.open) | set(counts.heals)
    return [({"service": key[0], "process": key[1]}, float(key in counts.open)) for key in sorted(keys)]


def _labels(target: Target) -> Labels:
    found = {"service": target.service, "process": target.process}
    if target.pod:
        return {**found, "via": "pod", "pod": target.pod, "revision": target.revision}
    return {**found, "via": "service"}


def _block(name: str, kind: str, told: str, samples: Iterable[Sample]) -> Iterator[str]:
    yield f"# HELP {name} {told}\n# TYPE {name} {kind}\n"
    for labels, value in samples:
        yield f"{name}{_braces(labels)} {int(value) if value == int(value) else value}\n"


def _histograms(name: str, told: str, items: Iterable[tuple[Labels, Histogram]]) -> Iterator[str]:
    yield f"# HELP {name} {told}\n# TYPE {name} histogram\n"
    for labels, item in items:
        for bound, number in zip(item.bounds, item.buckets or [0] * len(item.bounds), strict=True):
            yield f"{name}_bucket{_braces({**labels, 'le': f'{bound:g}'})} {number}\n"
        yield f"{name}_bucket{_braces({**labels, 'le': '+Inf'})} {item.count}\n"
        yield f"{name}_sum{_braces(labels)} {item.total}\n{name}_count{_braces(labels)} {item.count}\n"


def _braces(labels: Labels) -> str:
    quoted = (f'{key}="{_escaped(value)}"' for key, value in labels.items())
    return f"{{{','.join(quoted)}}}" if labels else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
