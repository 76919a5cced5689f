# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A cluster in memory, with as much of Kubernetes as an upgrade meets: objects, quick controllers, watches, a prober.

It takes `Api`'s place. `deadly` ends whoever makes that write, counted from one, as kill -9 would: before or after it was made.
"""

import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeline.manifests.objects import COMPONENT, NAME, REVISION
from stackway.errors import UnavailableError

Object = dict[str, Any]
Key = tuple[str, str]


class KilledError(BaseException):
    """The runner was killed."""


@dataclass
class FakeCluster:
    """The objects of one namespace by kind and name."""

    objects: dict[Key, Object] = field(default_factory=dict)
    failing: dict[str, str] = field(default_factory=dict)  # revision → what is wrong with its pods
    deadly: int = 0
    is_made: bool = True  # whether the deadly write happened before the runner died
    away_at: int = 0  # at this write the API is away, and nobody learns whether the write happened
    writes: int = 0
    asked: int = 0
    context: str = "fake"

    def __post_init__(self) -> None:
        self._version = 0
        self._lock = threading.RLock()
        for item in list(self.objects.values()):
            self._control(item)

    # Writes

    def apply(self, item: Object, *, dry_run: bool = False) -> Object:
        if not dry_run:
            self._write(lambda: self._put(item))
        return item

    def create(self, item: Object) -> bool:
        if (item["kind"], item["metadata"]["name"]) in self.objects:
            return False
        self._write(lambda: self._put(item))
        return True

    def delete(self, kind: str, name: str, namespace: str = "") -> None:
        del namespace
        if (kind, name) in self.objects:
            self._write(lambda: self._drop(kind, name))

    def _write(self, change: Any) -> None:
        self.writes += 1
        is_last = self.writes == self.deadly
        is_away = self.writes == self.away_at
        if not (is_last or is_away) or self.is_made:
            with self._lock:
                change()
        if is_last:
            raise KilledError
        if is_away:
            raise UnavailableError("the cluster does not answer")

    def _put(self, item: Object) -> None:
        key = (item["kind"], item["metadata"]["name"])
        before = self.objects.get(key, {})
        self._version += 1
        metadata = {
            **item["metadata"],
            "resourceVersion": str(self._version),
            "generation": self._version,
            "uid": str(key),
        }
        kept = {"status": before["status"]} if "status" in before else {}
        self.objects[key] = {**item, **kept, "metadata": metadata}
        self._control(self.objects[key])

    def _drop(self, kind: str, name: str) -> None:
        self._version += 1
        del self.objects[kind, name]
        if kind == "Deployment":
            for key in [key for key in self.objects if key[0] == "Pod" and key[1].startswith(f"{name}-")]:
                del self.objects[key]

    # Controllers

    def _control(self, item: Object) -> None:
        if item["kind"] in {"Deployment", "StatefulSet"}:
            self._make_pods(item)
        if item["kind"] == "Job":
            item["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}

    def _make_pods(self, item: Object) -> None:
        name, wanted = item["metadata"]["name"], item["spec"].get("replicas", 1)
        labels = item["spec"]["template"]["metadata"]["labels"]
        for key in [key for key in self.objects if key[0] == "Pod" and key[1].startswith(f"{name}-")]:
            del self.objects[key]
        ready = 0
        for number in range(wanted):
            fault = self.failing.get(labels.get(REVISION, ""), "")
            status = _pod_status(fault)
            ready += status["conditions"][0]["status"] == "True"
            metadata = {"name": f"{name}-{number}", "labels": labels, "creationTimestamp": "2026-01-01T00:00:00Z"}
            self.objects["Pod", f"{name}-{number}"] = {
                "kind": "Pod",
                "metadata": metadata,
                "spec": {},
                "status": status,
            }
        generation = item["metadata"].get("generation", 0)
        item["status"] = {"observedGeneration": generation, "readyReplicas": ready, "updatedReplicas": wanted}

    # Reads

    def get(self, kind: str, name: str, namespace: str = "") -> Object | None:
        del namespace
        return self.objects.get((kind, name))

    def list(self, kind: str, namespace: str = "", selector: str = "") -> tuple[list[Object], str]:
        del namespace
        with self._lock:
            found = [item for key, item in sorted(self.objects.items()) if key[0] == kind and _chosen(item, selector)]
            return found, str(self._version)

    def names(self, kind: str, namespace: str, selector: str) -> frozenset[str]:
        return frozenset(item["metadata"]["name"] for item in self.list(kind, namespace, selector)[0])

    def watch(self, kind: str, namespace: str, version: str, seconds: int) -> Iterator[tuple[str, Object]]:
        """Yield that all must be read again, once anything has changed."""
        del kind, namespace
        deadline = time.monotonic() + min(seconds, 0.5)
        while str(self._version) == version and time.monotonic() < deadline:
            time.sleep(0.002)
        if str(self._version) != version:
            yield "ERROR", {}

    def logs(self, namespace: str, pod: str, lines: int = 20) -> str:
        del namespace, lines
        return f"last words of {pod}"

    def read(self, path: str) -> Object:
        """Return the prober's status: with each look every pod has answered a hundred requests more."""
        assert path.endswith("/status")
        self.asked += 1
        with self._lock:
            rows = [self._row(item) for key, item in sorted(self.objects.items()) if key[0] == "Pod"]
        return {"pods": rows, "targets": []}

    def _row(self, pod: Object) -> Object:
        labels = pod["metadata"]["labels"]
        requests = 100 * self.asked
        fault = self.failing.get(labels.get(REVISION, ""), "")
        failures = {"down": requests, "flaky": requests // 5}.get(fault, 0)
        logs = requests * math.log(0.2 if fault == "slow" else 0.1)
        about = {"service": labels[NAME], "process": labels[COMPONENT], "revision": labels.get(REVISION, "")}
        counts = {
            "totalRequests": requests,
            "totalFailures": failures,
            "totalLogs": logs,
        }
        return {**about, "pod": pod["metadata"]["name"], **counts}


def _chosen(item: Object, selector: str) -> bool:
    labels = item["metadata"].get("labels") or {}
    return all(
        labels.get(name) == value if is_equal else name in labels
        for name, is_equal, value in (part.partition("=") for part in selector.split(",") if part)
    )


def _pod_status(fault: str) -> Object:
    waiting = {
        "image": {"reason": "ErrImagePull", "message": "manifest unknown"},
        "configuration": {"reason": "CreateContainerConfigError", "message": "secret not found"},
    }.get(fault)
    is_ready = waiting is None and fault not in {"crash", "never"}
    status: Object = {"phase": "Running", "conditions": [{"type": "Ready", "status": str(is_ready)}]}
    state: Object = {"waiting": waiting} if waiting else {"running": {}}
    last = {"lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}} if fault == "crash" else {}
    return {**status, "containerStatuses": [{"state": state, "restartCount": 2 if last else 0, **last}]}
