# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The prober: real requests to every process and every pod of an environment, for as long as it lives, with what came of them.

Argument: a JSON file with the plan. Standard library only. It survives the API server, DNS, keystone and all that it asks:
what it cannot ask counts as failed, what it cannot see as not seen.
"""

import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .asking import Answer, Tokens, ask
from .cluster import GONE, USES, Cluster, Object, end_of, is_ready, is_running
from .counts import GOOD, Counts, Target
from .pages import metrics, status

_WORKERS = 24
_TICK = 0.1
_TOKEN_EVERY = 60.0
_USE_EVERY = 15.0
_FORGET = 900.0
# The loop is well when it went round within this time.
_ALIVE = 10.0
# What is ready for so long must answer, though it never did before.
_COMES = 30.0
_TRIAL = "stackway.dev/trial"
_FACTORS = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "k": 1e3, "M": 1e6, "G": 1e9}


class Prober:
    """Asks what the plan says, at its pace."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.counts = Counts(time.time(), plan["window"])
        self.lock = threading.Lock()
        self.cluster = Cluster(plan["namespace"], self.changed)
        self.tokens = Tokens(plan["identity"], plan["timeout"])
        self.pool = ThreadPoolExecutor(_WORKERS)
        self.next: dict[Any, float] = {}
        self.turn: dict[Target, int] = {}
        self.busy: dict[Any, int] = {}
        self.most: dict[str, int] = {}
        self.uses: dict[str, dict[str, float]] = {}
        self.ready: dict[tuple[str, str], float] = {}
        self.went = time.monotonic()

    # What is asked

    def go(self) -> None:
        """Ask for ever."""
        self.cluster.start()
        while True:
            now = time.monotonic()
            if self.tokens.is_old() or self.due("token", _TOKEN_EVERY):
                self.submit("token", 1, self.renew)
            if self.due("use", _USE_EVERY):
                self.submit("use", 1, self.measure)
            for entry in self.plan["targets"]:
                self.round(entry)
            self.went = now
            time.sleep(_TICK)

    def round(self, entry: dict[str, Any]) -> None:
        """Send what is due of one process."""
        pace, service, process = self.plan["pace"], entry["service"], entry["process"]
        if entry["requests"]:
            target = Target(service, process)
            if self.due(target, pace["service"]):
                self.submit(target, 2, self.request, target, (entry["host"], entry["port"]), entry)
            for pod, seconds in self.pods_of(entry):
                target = Target(service, process, pod["metadata"]["name"], label(pod, self.plan["labels"]["revision"]))
                if self.due(target, seconds):
                    self.submit(target, 4, self.request, target, (pod["status"]["podIP"], entry["port"]), entry)
        for number, trip in enumerate(entry["roundTrips"]):
            key = (service, process, number)
            if self.due(key, pace["roundTrip"]):
                self.submit(key, 1, self.round_trip, entry, trip)

    def pods_of(self, entry: dict[str, Any]) -> Iterator[tuple[Object, float]]:
        """Yield the pods to ask, and how often; those on trial, and those they are compared with, more often."""
        pace = self.plan["pace"]
        service = self.cluster.objects["Service"].get(entry["name"]) or {"metadata": {}}
        trial = set(filter(None, (service["metadata"].get("annotations") or {}).get(_TRIAL, "").split(",")))
        for pod in self.own(entry["service"], entry["process"]):
            on_trial = label(pod, self.plan["labels"]["revision"]) in trial
            if is_running(pod) and (on_trial or is_ready(pod)):
                yield pod, pace["trial"] if on_trial else pace["pod"]

    def own(self, service: str, process: str) -> list[Object]:
        labels = self.plan["labels"]
        return [
            pod
            for pod in self.cluster.all("Pod")
            if label(pod, labels["service"]) == service and label(pod, labels["process"]) == process
        ]

    def request(self, target: Target, place: tuple[str, int], entry: dict[str, Any]) -> None:
        """Send the next request of a process to one place; they take turns."""
        turn = self.turn[target] = self.turn.get(target, -1) + 1
        requests = entry["requests"]
        chosen = requests[turn % len(requests)]
        answer = self.send(place, chosen)
        if answer and (answer.kind == GOOD or self.is_expected(target)):
            with self.lock:
                self.counts.answer(target, time.time(), answer.kind, answer.seconds)

    def is_expected(self, target: Target) -> bool:
        """Tell whether a target must answer: it has done so before, or its process has been ready for a while.

        What comes into being has no users yet.
        """
        key = (target.service, target.process)
        if any(is_ready(pod) for pod in self.own(*key)):
            self.ready.setdefault(key, time.monotonic())
        since = self.ready.get(key)
        return target in self.counts.tallies or (since is not None and time.monotonic() - since > _COMES)

    def send(self, place: tuple[str, int], request: dict[str, Any]) -> Answer | None:
        """Send a request; None when it needs a token and there is none: that is no fault of whom it was for."""
        token = self.tokens.get() if request["authenticated"] else ""
        if request["authenticated"] and not token:
            return None
        filled = {**request, "path": request["path"].replace("{project_id}", self.tokens.project)}
        answer = ask(place, filled, token, self.plan["timeout"])
        if answer.code == 401 and token:
            self.tokens.refuse(token)
            if self.renew().kind == "ok":
                answer = ask(place, filled, self.tokens.get(), self.plan["timeout"])
        return answer

    def round_trip(self, entry: dict[str, Any], trip: dict[str, Any]) -> None:
        """Read what the workers of a process have said of themselves, and count it for each that runs."""
        answer = self.send(
            (trip["host"], trip["port"]), {**trip, "method": "GET", "expect": [200], "authenticated": True}
        )
        if answer is None or answer.kind != "ok":
            return  # that the API does not answer is counted where it belongs
        try:
            rows = {str(row[trip["name"]]): row for row in json.loads(answer.body)[trip["rows"]]}
        except (ValueError, KeyError, TypeError):
            return
        service, process = entry["service"], entry["process"]
        good = {name for name, row in rows.items() if row.get(trip["field"]) == trip["good"]}
        named = [pod for pod in self.own(service, process) if pod["metadata"]["name"] in rows and is_running(pod)]
        with self.lock:
            now = time.time()
            for pod in named:
                name = pod["metadata"]["name"]
                target = Target(service, process, name, label(pod, self.plan["labels"]["revision"]))
                self.counts.answer(target, now, "ok" if name in good else "silent", answer.seconds)
            # Where workers go by other names than their pods', any of them is proof.
            well = bool(good) if not named else any(pod["metadata"]["name"] in good for pod in named)
            self.counts.answer(Target(service, process), now, "ok" if well else "silent", answer.seconds)

    def renew(self) -> Answer:
        answer = self.tokens.renew()
        with self.lock:
            self.counts.token(answer.seconds, failed=answer.kind != "ok")
        return answer

    # When

    def due(self, key: Any, every: float) -> bool:
        now = time.monotonic()
        if now < self.next.get(key, 0.0):
            return False
        # At a steady pace, whatever a round takes; after a pause not all that was missed.
        self.next[key] = max(now, self.next.get(key, now) + every) if key in self.next else now + every
        return True

    def submit(self, key: Any, most: int, work: Any, *given: Any) -> None:
        """Do something in a thread of the pool, unless it is being done so often already."""
        with self.lock:
            if self.busy.get(key, 0) >= most:
                return
            self.busy[key] = self.busy.get(key, 0) + 1

        def done() -> None:
            try:
                work(*given)
            except Exception as error:  # noqa: BLE001 - it must go on, and says what was wrong
                print(f"{key}: {type(error).__name__}: {error}"[:300], flush=True)
            finally:
                with self.lock:
                    self.busy[key] -= 1
                    if not self.busy[key]:
                        del self.busy[key]

        self.pool.submit(done)

    # What is seen

    def changed(self, kind: str, item: Object, state: str) -> None:
        """Take note of workloads that lose pods and get them back."""
        if kind not in {"Deployment", "StatefulSet"}:
            return
        labels, name = self.plan["labels"], item["metadata"]["name"]
        key = (label(item, labels["service"]), label(item, labels["process"]))
        if not all(key):
            return
        ready, wanted = (item.get("status") or {}).get("readyReplicas", 0), item["spec"].get("replicas", 1)
        with self.lock:
            most = min(self.most.get(name, 0), wanted)
            if state == GONE or wanted == 0 or ready >= most:
                self.counts.whole(key, time.time(), name)
                self.most[name] = 0 if state == GONE else min(max(ready, most), wanted)
            else:
                self.most[name] = most
                self.counts.lost(key, time.time(), name, f"{ready} of {wanted} pods ready", self.cause(key))

    def cause(self, key: tuple[str, str]) -> str:
        """Return what pods of a process say of why one is missing."""
        for pod in self.own(*key):
            if not is_ready(pod):
                name = pod["metadata"]["name"]
                if "deletionTimestamp" in pod["metadata"]:
                    return f"{name} was deleted"
                if end := end_of(pod):
                    return f"{name}: {end}"
                if (pod.get("status") or {}).get("phase") == "Running":
                    return f"{name} is not ready"
        return ""

    def measure(self) -> None:
        """Read what pods use."""
        rows = self.cluster.read(USES)["items"]
        self.uses = {row["metadata"]["name"]: _use(row) for row in rows}
        with self.lock:
            self.counts.forget(time.time(), _FORGET)

    # What is told

    def status(self) -> dict[str, Any]:
        now = time.time()
        ages = {kind: round(now - seen, 1) if seen else None for kind, seen in self.cluster.seen.items()}
        with self.lock:
            return status(self.counts, now, {"environment": self.plan["environment"], "watches": ages})

    def metrics(self) -> str:
        with self.lock:
            return metrics(self.counts, self._pods(), self._workloads())

    def _pods(self) -> Iterator[dict[str, Any]]:
        labels = self.plan["labels"]
        for pod in self.cluster.all("Pod"):
            service, process = label(pod, labels["service"]), label(pod, labels["process"])
            if not (service and process) or (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}:
                continue
            limits = [(item.get("resources") or {}).get("limits") or {} for item in pod["spec"]["containers"]]
            restarts = [
                item.get("restartCount", 0) for item in (pod.get("status") or {}).get("containerStatuses") or []
            ]
            named = {"service": service, "process": process, "pod": pod["metadata"]["name"]}
            memory = [number(limit["memory"]) for limit in limits if "memory" in limit]
            limit = sum(memory) if memory else None
            yield {"labels": named, "limit": limit, "restarts": sum(restarts), **self.uses.get(named["pod"], {})}

    def _workloads(self) -> Iterator[dict[str, Any]]:
        labels = self.plan["labels"]
        for item in (*self.cluster.all("Deployment"), *self.cluster.all("StatefulSet")):
            named = {key: label(item, labels[key]) for key in ("service", "process")}
            named["workload"] = item["metadata"]["name"]
            ready = (item.get("status") or {}).get("readyReplicas", 0)
            yield {"labels": named, "wanted": item["spec"].get("replicas", 1), "ready": ready}

    def is_well(self) -> bool:
        return time.monotonic() - self.went < _ALIVE


def label(item: Object, name: str) -> str:
    return str((item["metadata"].get("labels") or {}).get(name, ""))


def number(text: str) -> float:
    """Return a quantity of Kubernetes as a number."""
    unit = text.lstrip("0123456789.")
    return float(text[: len(text) - len(unit)] or 0) * _FACTORS.get(unit, 1.0)


def _use(row: Object) -> dict[str, float]:
    found = [item.get("usage") or {} for item in row.get("containers") or []]
    return {key: sum(number(item.get(key, "0")) for item in found) for key in ("cpu", "memory")}


def serve(prober: Prober, port: int) -> None:
    """Answer at /status, /metrics and /healthz, in threads of their own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/status":
                self.answer(200, json.dumps(prober.status()), "application/json")
            elif self.path == "/metrics":
                self.answer(200, prober.metrics(), "text/plain; version=0.0.4; charset=utf-8")
            elif self.path == "/healthz":
                self.answer(200 if prober.is_well() else 503, "ok\n" if prober.is_well() else "the loop stands still\n")
            else:
                self.answer(404, "there are /status, /metrics and /healthz\n")

        def answer(self, code: int, text: str, kind: str = "text/plain") -> None:
            body = text.encode()
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    threading.Thread(target=ThreadingHTTPServer(("", port), Handler).serve_forever, daemon=True).start()


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = json.load(file)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    prober = Prober(plan)
    threading.Thread(target=prober.go, daemon=True).start()
    serve(prober, plan["listen"])
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
