# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A cluster in memory, with as much of Kubernetes as an upgrade meets: objects, quick controllers, watches, a prober.

It takes `Api`'s place. `deadly` ends whoever makes that write, counted from one, as kill -9 would: before or after it was made.
With `stays_dead` nothing is written from then on, by no thread; a new cluster of the same objects is for whoever comes next.
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
    counted: list[Object] = field(default_factory=list)  # what the prober counted of pods that are gone
    jobs: dict[str, str] = field(default_factory=dict)  # name of a Job → `failed` or `running`
    lag: float = 0.0  # seconds until a watch tells of a change
    deadly: int = 0
    stays_dead: bool = False
    is_made: bool = True  # whether the deadly write happened before the runner died
    away_at: int = 0  # at this write the API is away, and nobody learns whether the write happened
    writes: int = 0
    asked: int = 0
    context: str = "fake"
    written: list[tuple[str, Key]] = field(default_factory=list)  # what was done, in order

    def __post_init__(self) -> None:
        self._version = max((int(item["metadata"].get("generation", 0)) for item in self.objects.values()), default=0)
        self._lock = threading.RLock()
        for item in list(self.objects.values()):
            self._control(item)

    # Writes

    def apply(self, item: Object, *, dry_run: bool = False) -> Object:
        if not dry_run:
            self._write(lambda: self._put(item))
            return self.objects[item["kind"], item["metadata"]["name"]]
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

    def delete_all(self, kind: str, namespace: str, *, grace: int | None = None) -> None:
        """Remove all objects of a kind; pods go at once or not at all."""
        del namespace
        assert kind != "Pod" or grace == 0
        self._write(lambda: self._drop_all(kind))

    def _drop_all(self, kind: str) -> None:
        for key in [key for key in self.objects if key[0] == kind]:
            del self.objects[key]
        self._version += 1
        self.written.append(("delete", (kind, "*")))

    def _write(self, change: Any) -> None:
        with self._lock:
            if self.stays_dead and self.deadly and self.writes >= self.deadly:
                raise KilledError
            self.writes += 1
            is_last, is_away = self.writes == self.deadly, self.writes == self.away_at
            if not (is_last or is_away) or self.is_made:
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
            "uid": before.get("metadata", {}).get("uid") or f"{key} {self._version}",
        }
        kept = {"status": before["status"]} if "status" in before else {}
        self.objects[key] = {**item, **kept, "metadata": metadata}
        self.written.append(("apply", key))
        self._control(self.objects[key])

    def _drop(self, kind: str, name: str) -> None:
        self._version += 1
        del self.objects[kind, name]
        self.written.append(("delete", (kind, name)))
        if kind in {"Deployment", "Job"}:
            for key in [key for key in self.objects if key[0] == "Pod" and key[1].startswith(f"{name}-")]:
                del self.objects[key]

    # Controllers

    def heal(self) -> None:
        """Have controllers look at all workloads again."""
        with self._lock:
            self._version += 1
            for item in [item for key, item in self.objects.items() if key[0] in {"Deployment", "StatefulSet"}]:
                self._control(item)

    def _control(self, item: Object) -> None:
        if item["kind"] in {"Deployment", "StatefulSet"}:
            self._make_pods(item)
        if item["kind"] == "Job":
            self._make_job(item)
        if item["kind"] == "HorizontalPodAutoscaler":
            self._scale(item["spec"])

    def _scale(self, scaling: Object) -> None:
        """Give a workload the pods that its autoscaler wants at least; one that was stopped stays so."""
        there = self.objects.get(("Deployment", scaling["scaleTargetRef"]["name"]))
        if there and 0 < there["spec"].get("replicas", 1) < scaling["minReplicas"]:
            self._version += 1
            there["spec"] = {**there["spec"], "replicas": scaling["minReplicas"]}
            there["metadata"] = {**there["metadata"], "generation": self._version}
            self._make_pods(there)

    def _make_job(self, item: Object) -> None:
        name = item["metadata"]["name"]
        fault = self.jobs.get(name, "")
        item["status"] = _job_status(fault)
        if fault:
            metadata = {"name": f"{name}-0", "labels": {}, "creationTimestamp": "2026-01-01T00:00:00Z"}
            self.objects["Pod", f"{name}-0"] = {"kind": "Pod", "metadata": metadata, "spec": {}, "status": {}}

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
        if self.failing.get(labels.get(REVISION, "")) == "given up":
            condition = {"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "it does not get on"}
            item["status"]["conditions"] = [condition]

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
            time.sleep(self.lag)
            yield "ERROR", {}

    def logs(self, namespace: str, pod: str, lines: int = 20) -> str:
        del namespace, lines
        return f"last words of {pod}"

    def read(self, path: str) -> Object:
        """Return the prober's status: with each look every pod has answered a hundred requests more."""
        assert path.endswith("/status")
        self.asked += 1
        with self._lock:
            pods = [item for key, item in sorted(self.objects.items()) if key[0] == "Pod"]
            rows = [self._row(item) for item in pods if self._fault(item) != "idle"]
        return {"pods": [*rows, *self.counted], "targets": []}

    def _fault(self, pod: Object) -> str:
        return self.failing.get(pod["metadata"]["labels"].get(REVISION, ""), "")

    def _row(self, pod: Object) -> Object:
        labels, fault = pod["metadata"]["labels"], self._fault(pod)
        requests = 100 * self.asked
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


def _job_status(fault: str) -> Object:
    if fault == "running":
        return {"active": 1}
    kind, message = ("Failed", "BackoffLimitExceeded") if fault == "failed" else ("Complete", "")
    return {"conditions": [{"type": kind, "status": "True", "message": message}]}


def _pod_status(fault: str) -> Object:
    waiting = {
        "image": {"reason": "ErrImagePull", "message": "manifest unknown"},
        "configuration": {"reason": "CreateContainerConfigError", "message": "secret not found"},
    }.get(fault)
    is_ready = waiting is None and fault not in {"crash", "never", "given up"}
    status: Object = {"phase": "Running", "conditions": [{"type": "Ready", "status": str(is_ready)}]}
    state: Object = {"waiting": waiting} if waiting else {"running": {}}
    last = {"lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}} if fault == "crash" else {}
    return {**status, "containerStatuses": [{"state": state, "restartCount": 2 if last else 0, **last}]}
