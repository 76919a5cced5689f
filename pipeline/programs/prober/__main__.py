# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The prober: real requests to every process and every pod of an environment, for as long as it lives, with what came of them.

Argument: a JSON file with the plan. Standard library only. It survives the API server, DNS, keystone and all that it asks:
what it cannot ask counts as failed, what it cannot see as not seen.
"""

import json
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .asking import Answer, Tokens, ask
from .cluster import GONE, USES, Cluster
from .counts import GOOD, Counts, Target
from .facts import (
    Object,
    annotation,
    is_ready,
    is_running,
    label,
    name_of,
    pod_rows,
    scaler_rows,
    use,
    workload_rows,
)
from .losses import Key, Losses
from .pages import metrics, status
from .serving import serve

_WORKERS = 24
_TICK = 0.1
# Logins are measured at this pace; without a token they are tried more often.
_LOGIN_EVERY, _LOGIN_AGAIN = 60.0, 2.0
_USE_EVERY = 15.0
_SWEEP_EVERY, _FORGET = 60.0, 900.0
# The loop is well when it went round within this time.
_ALIVE = 10.0
# What is ready for so long must answer, though it never did before; so must the first login, from the beginning on.
_COMES, _FIRST_LOGIN = 30.0, 300.0
_TRIAL = "stackway.dev/trial"


class Prober:
    """Asks what the plan says, at its pace."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.counts = Counts(time.time(), plan["window"])
        self.lock = threading.Lock()
        self.cluster = Cluster(plan["namespace"], plan["account"], self.changed)
        self.losses = Losses(self.counts, self.own)
        self.tokens = Tokens(plan["identity"], plan["timeout"])
        self.pool = ThreadPoolExecutor(_WORKERS)
        self.next: dict[Any, float] = {}
        self.turn: dict[Target, int] = {}
        self.busy: dict[Any, int] = {}
        self.uses: dict[str, dict[str, float]] = {}
        self.ready: dict[Key, float] = {}
        self.grouped: tuple[int, dict[Key, list[Object]]] = (-1, {})
        self.went = time.monotonic()

    # What is asked

    def go(self) -> None:
        """Ask for ever."""
        self.cluster.start()
        while True:
            now = time.monotonic()
            if self.due("login", _LOGIN_EVERY) or (not self.tokens.get() and self.due("again", _LOGIN_AGAIN)):
                self.submit("login", 1, self.renew)
            if self.due("use", _USE_EVERY):
                self.submit("use", 1, self.measure)
            if self.due("sweep", _SWEEP_EVERY):
                self.sweep()
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
                target = self.target(pod, service, process)
                if self.due(target, seconds):
                    self.submit(target, 4, self.request, target, (pod["status"]["podIP"], entry["port"]), entry)
        for number, trip in enumerate(entry["roundTrips"]):
            key = (service, process, number)
            if self.due(key, pace["roundTrip"]):
                self.submit(key, 1, self.round_trip, entry, trip)

    def pods_of(self, entry: dict[str, Any]) -> Iterator[tuple[Object, float]]:
        """Yield the pods to ask, and how often; those on trial, and those they are compared with, more often."""
        pace = self.plan["pace"]
        service = self.cluster.objects["Service"].get(entry["name"])
        trial = set(filter(None, annotation(service, _TRIAL).split(","))) if service else set()
        for pod in self.own(entry["service"], entry["process"]):
            on_trial = label(pod, self.plan["labels"]["revision"]) in trial
            # What still comes up is nobody's to ask; what was up is, whatever it says of itself.
            was_ready = on_trial and self.target(pod, entry["service"], entry["process"]) in self.counts.tallies
            if is_running(pod) and (was_ready or is_ready(pod)):
                yield pod, pace["trial"] if on_trial else pace["pod"]

    def own(self, service: str, process: str) -> list[Object]:
        """Return the pods of a process; they are sorted again only when something has changed."""
        version, labels = self.cluster.version, self.plan["labels"]
        if self.grouped[0] != version:
            found: dict[Key, list[Object]] = defaultdict(list)
            for pod in self.cluster.all("Pod"):
                found[label(pod, labels["service"]), label(pod, labels["process"])].append(pod)
            self.grouped = (version, dict(found))
        return self.grouped[1].get((service, process), [])

    def target(self, pod: Object, service: str, process: str) -> Target:
        return Target(service, process, name_of(pod), label(pod, self.plan["labels"]["revision"]))

    def request(self, target: Target, place: tuple[str, int], entry: dict[str, Any]) -> None:
        """Send the next request of a process to one place; they take turns."""
        turn = self.turn[target] = self.turn.get(target, -1) + 1
        requests = entry["requests"]
        if target.pod:
            # A pod is judged by what users want of it; that it names its versions says little and would dilute that.
            requests = [item for item in requests if item["authenticated"]] or requests
        chosen = requests[turn % len(requests)]
        answer = self.send(place, chosen)
        if answer:
            self.count(target, answer.kind, answer.seconds)

    def count(self, target: Target, kind: str, seconds: float) -> None:
        """Count an outcome, unless it is one that nobody expected to be good."""
        if kind != GOOD and not self.is_expected(target):
            return
        with self.lock:
            self.counts.answer(target, time.time(), kind, seconds)
            if kind != GOOD and not target.pod:
                self.losses.explain((target.service, target.process))

    def is_expected(self, target: Target) -> bool:
        """Tell whether a target must answer: it has done so before, or it has had an address and ready pods for a while.

        What comes into being has no users yet.
        """
        key = (target.service, target.process)
        name = next(item["name"] for item in self.plan["targets"] if (item["service"], item["process"]) == key)
        if name in self.cluster.objects["Service"] and any(is_ready(pod) for pod in self.own(*key)):
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
            if not self.tokens.refuse(token) or self.renew().kind != GOOD:
                return None
            answer = ask(place, filled, self.tokens.get(), self.plan["timeout"])
        return answer

    def round_trip(self, entry: dict[str, Any], trip: dict[str, Any]) -> None:
        """Read what the workers of a process have said of themselves, and count it for each that runs."""
        request = {**trip, "method": "GET", "expect": [200], "authenticated": True}
        answer = self.send((trip["host"], trip["port"]), request)
        if answer is None or answer.kind != GOOD:
            return  # that the API does not answer is counted where it belongs
        try:
            rows = {str(row[trip["name"]]): row for row in json.loads(answer.body)[trip["rows"]]}
        except (ValueError, KeyError, TypeError):
            return
        service, process = entry["service"], entry["process"]
        good = {name for name, row in rows.items() if row.get(trip["field"]) == trip["good"]}
        named = [pod for pod in self.own(service, process) if name_of(pod) in rows and is_running(pod)]
        for pod in named:
            kind = GOOD if name_of(pod) in good else "silent"
            self.count(self.target(pod, service, process), kind, answer.seconds)
        # Where workers go by other names than their pods', any of them is proof.
        well = any(name_of(pod) in good for pod in named) if named else bool(good)
        self.count(Target(service, process), GOOD if well else "silent", answer.seconds)

    def renew(self) -> Answer:
        had = self.tokens.was()
        answer = self.tokens.renew()
        failed = answer.kind != GOOD
        with self.lock:
            if not failed or had or time.time() > self.counts.begin + _FIRST_LOGIN:
                self.counts.token(answer.seconds, failed=failed)
        return answer

    # When

    def due(self, key: Any, every: float) -> bool:
        now = time.monotonic()
        if now < self.next.get(key, 0.0):
            return False
        # At a steady pace, whatever a round takes; after a pause not all that was missed.
        self.next[key] = max(now, self.next.get(key, now) + every) if key in self.next else now + every
        return True

    def submit(self, key: Any, most: int, work: Callable[..., Any], *given: Any) -> None:
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
        """Take note of workloads that lose pods and get them back, and of what pods say then."""
        labels = self.plan["labels"]
        key = (label(item, labels["service"]), label(item, labels["process"]))
        with self.lock:
            if kind == "Pod":
                if state == GONE:
                    self.losses.left(key, item)
                self.losses.explain(key, item)
            elif kind in {"Deployment", "StatefulSet"} and all(key):
                self.losses.compare(key, item, gone=state == GONE)

    def measure(self) -> None:
        """Read what pods use; what cannot be read is not known any more."""
        found: dict[str, dict[str, float]] = {}
        try:
            found = {name_of(row): use(row) for row in self.cluster.read(USES)["items"]}
        finally:
            self.uses = found

    def sweep(self) -> None:
        """Forget pods that are gone, so that memory has a bound."""
        pods = self.cluster.objects["Pod"]
        for target in [key for key in self.next if isinstance(key, Target) and key.pod and key.pod not in pods]:
            del self.next[target]
            self.turn.pop(target, None)
        with self.lock:
            self.counts.forget(time.time(), _FORGET)

    # What is told

    def status(self) -> dict[str, Any]:
        now = time.time()
        ages = {kind: round(now - seen, 1) if seen else None for kind, seen in self.cluster.seen.items()}
        with self.lock:
            return status(self.counts, now, {"environment": self.plan["environment"], "watches": ages})

    def metrics(self) -> str:
        rows = list(self.rows())
        with self.lock:
            return metrics(self.counts, rows)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield what is known of the objects of the cluster."""
        labels, every = self.plan["labels"], self.cluster.all
        yield from pod_rows(every("Pod"), labels, self.uses)
        yield from workload_rows([*every("Deployment"), *every("StatefulSet")], labels)
        yield from scaler_rows(every("HorizontalPodAutoscaler"))
        for kind, seen in self.cluster.seen.items():
            yield {"labels": {"kind": kind}, "age": round(time.time() - (seen or self.counts.begin), 1)}

    def is_well(self) -> bool:
        return time.monotonic() - self.went < _ALIVE


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = json.load(file)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # requests under way are nobody's loss
    prober = Prober(plan)
    threading.Thread(target=prober.go, daemon=True).start()
    serve(prober, plan["listen"])
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
