# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The prober as a program, in an environment that fails, hangs, resets and goes away."""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from stackway import clock, process
from stackway.process import Command, Daemon
from tests.fakes.environments import LABELS, PODS, SERVICE, FakeEnvironment, account, cluster, deployment, pod, served
from tests.integration.builder import REPOSITORY
from tests.integration.runtime import free_port, wait_for

ENVIRONMENT = {"OS_USERNAME": "admin", "OS_PASSWORD": "canary", "OS_PROJECT_NAME": "admin"}
ENVIRONMENT |= {"OS_USER_DOMAIN_ID": "default", "OS_PROJECT_DOMAIN_ID": "default", "KUBERNETES_SERVICE_HOST": SERVICE}


@dataclass
class World:
    """An environment, the prober in it, and what keeps them up."""

    folder: Path
    fake: FakeEnvironment = field(default_factory=FakeEnvironment)
    services: ExitStack = field(default_factory=ExitStack)
    api: ExitStack = field(default_factory=ExitStack)
    port: int = 0
    api_port: int = 0
    daemon: Daemon | None = None

    def begin(self) -> None:
        """Start everything: two pods that are ready, and who asks them."""
        for name in PODS:
            self.fake.put("pods", pod(name))
        self.fake.put("deployments", deployment(2))
        place = self.services.enter_context(served(self.fake))
        self.api_port = self.api.enter_context(cluster(self.fake, account(self.folder / "account")))
        self.port = free_port()
        (self.folder / "plan.json").write_text(json.dumps(self.plan(place)))
        command = (sys.executable, "-m", "prober", str(self.folder / "plan.json"))
        given = {**ENVIRONMENT, "KUBERNETES_SERVICE_PORT": str(self.api_port)}
        where = REPOSITORY / "pipeline/programs"
        self.daemon = process.start(Command(command, given, directory=where), self.folder / "log")

    def plan(self, place: int) -> dict[str, Any]:
        request = {"method": "GET", "path": "/things", "expect": [200], "authenticated": True}
        trip = {"path": "/{project_id}/workers", "rows": "services", "name": "host", "field": "state", "good": "up"}
        target = {
            "service": "store",
            "process": "api",
            "name": "store-api",
            "host": SERVICE,
            "port": place,
            "requests": [request],
            "roundTrips": [],
        }
        worker = {
            **target,
            "process": "worker",
            "requests": [],
            "roundTrips": [{**trip, "host": SERVICE, "port": place}],
        }
        return {
            "environment": "dev",
            "namespace": "dev",
            "account": str(self.folder / "account"),
            "identity": f"http://{SERVICE}:{place}/v3",
            "listen": self.port,
            "timeout": 0.4,
            "window": 300,
            "pace": dict.fromkeys(("service", "pod", "trial", "roundTrip"), 0.1),
            "labels": LABELS,
            "targets": [target, worker],
        }

    def wait(self, what: str, done: Any) -> None:
        wait_for(what, done, 20.0, self.daemon)

    def page(self, path: str) -> requests.Response | None:
        try:
            return requests.get(f"http://{SERVICE}:{self.port}{path}", timeout=5)
        except requests.ConnectionError:
            return None

    def status(self) -> dict[str, Any]:
        found = self.page("/status")
        return found.json() if found else {"targets": [], "pods": [], "disruptions": []}

    def row(self, process_name: str = "api") -> dict[str, Any]:
        empty = {"totalRequests": 0, "totalFailures": 0, "kinds": {}}
        return next((row for row in self.status()["targets"] if row["process"] == process_name), empty)

    def good(self) -> int:
        row = self.row()
        return int(row["totalRequests"] - row["totalFailures"])

    def goes_on(self) -> None:
        """Wait until more requests have been answered well."""
        before = self.good()
        self.wait("requests are answered", lambda: self.good() > before + 4)

    def disruptions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.status()["disruptions"]
        return found


@pytest.fixture
def blank(tmp_path: Path) -> Iterator[World]:
    """A world that has not begun."""
    world = World(tmp_path)
    with world.services, world.api:
        yield world
        if world.daemon:
            world.daemon.stop()


@pytest.fixture
def world(blank: World) -> World:
    """A world in which all is well."""
    blank.begin()
    blank.wait("requests are answered", lambda: blank.good() > 4 and len(blank.status()["pods"]) == len(PODS))
    return blank


def test_one_login_serves_many_requests_and_each_pod_is_counted(world: World) -> None:
    world.goes_on()
    assert (world.fake.logins, world.row()["totalFailures"], world.disruptions()) == (1, 0, [])
    rows = {row["pod"]: row["revision"] for row in world.status()["pods"] if row["totalRequests"]}
    assert rows == {"api-1": "rev-1", "api-2": "rev-2"}
    world.wait("workers are known", lambda: world.row("worker")["totalRequests"] > 0)


@pytest.mark.parametrize(("mood", "kind"), [("500", "http_500"), ("hang", "timeout"), ("reset", "reset")])
def test_service_that_fails_is_disrupted_until_it_answers_again(world: World, mood: str, kind: str) -> None:
    world.fake.moods[SERVICE] = mood
    world.wait("a disruption", world.disruptions)
    world.fake.moods.clear()
    world.wait("the repair", lambda: all(item["end"] for item in world.disruptions()))
    assert world.disruptions()[0]["what"] == f"requests fail: {kind}"
    assert set(world.row()["kinds"]) == {kind}


def test_service_that_is_gone_is_refused(world: World) -> None:
    world.services.close()
    world.wait("a refusal", lambda: "refused" in world.row()["kinds"])


def test_pod_that_fails_is_no_disruption_while_the_service_answers(world: World) -> None:
    world.fake.moods[PODS["api-2"]] = "503"
    world.wait("failures", lambda: any(row["totalFailures"] > 3 for row in world.status()["pods"]))
    assert {row["pod"] for row in world.status()["pods"] if row["totalFailures"]} == {"api-2"}
    assert world.disruptions() == []


def test_lost_pod_is_a_disruption_that_says_why(world: World) -> None:
    world.fake.put("deployments", deployment(1))
    world.fake.put("pods", pod("api-2", ready=False, deletionTimestamp="now"))
    world.fake.put("pods", pod("api-2"), "DELETED")
    world.wait("a cause", lambda: any(item["cause"] for item in world.disruptions()))
    world.fake.put("deployments", deployment(2))
    world.wait("the repair", lambda: world.disruptions()[0]["end"])
    (found,) = world.disruptions()
    assert (found["what"], found["cause"]) == ("1 of 2 pods ready", "api-2 was deleted")


def test_silent_worker_is_seen_by_its_pod(world: World) -> None:
    world.fake.put(
        "pods", {**pod("w-1"), "metadata": {"name": "w-1", "labels": {"s": "store", "p": "worker", "r": "x"}}}
    )
    world.fake.states = {"w-1": "up"}
    world.wait("the worker", lambda: any(row["pod"] == "w-1" for row in world.status()["pods"]))
    world.fake.states = {"w-1": "down"}
    world.wait("its silence", lambda: world.row("worker")["kinds"].get("silent"))
    assert {row["pod"] for row in world.status()["pods"] if "silent" in row["kinds"]} == {"w-1"}


def test_refused_token_costs_one_login_and_no_request(world: World) -> None:
    world.fake.token = "another"
    world.wait("a login", lambda: world.fake.logins > 1)
    world.goes_on()
    assert (world.fake.logins, world.row()["kinds"]) == (2, {})


def test_identity_that_hangs_is_its_own_fault_only(world: World) -> None:
    world.fake.moods["identity"], world.fake.token = "hang", "another"
    world.wait("failed logins", lambda: world.status()["tokens"]["failures"] > 1)
    assert world.row()["kinds"] == {}
    world.fake.moods.clear()
    world.goes_on()


def test_nothing_is_said_of_what_could_not_be_asked(blank: World) -> None:
    blank.fake.moods["identity"] = "503"
    blank.begin()
    blank.wait("it answers", lambda: blank.page("/healthz"))
    clock.sleep(1)
    found = blank.status()
    assert (found["targets"], found["pods"], found["disruptions"], found["tokens"]["failures"]) == ([], [], [], 0)


def test_cluster_that_is_gone_stops_no_request_and_is_seen_again(world: World) -> None:
    world.api.close()
    world.goes_on()
    world.fake.put("pods", pod("api-3"))
    world.api.enter_context(cluster(world.fake, world.folder / "account", world.api_port))
    world.wait("the new pod", lambda: any(row["pod"] == "api-3" for row in world.status()["pods"]))


def test_metrics_tell_of_pods_and_workloads(world: World) -> None:
    world.wait("what pods use", lambda: (found := world.page("/metrics")) and "cpu_cores{" in found.text)
    found = world.page("/metrics")
    assert found
    labels = 'service="store",process="api",pod="api-1"'
    lines = found.text.splitlines()
    assert f"stackway_pod_cpu_cores{{{labels}}} 0.0025" in lines
    assert f"stackway_pod_memory_limit_bytes{{{labels}}} {64 * 2**20}" in lines
    assert 'stackway_pods_wanted{service="store",process="api",workload="store-api"} 2' in lines
    assert 'stackway_disrupted{service="store",process="api"} 0' in lines


def test_other_paths_are_not_there(world: World) -> None:
    found = world.page("/")
    assert found is not None
    assert (found.status_code, found.text) == (404, "there are /status, /metrics and /healthz\n")


def test_it_ends_within_a_second_though_requests_hang(world: World) -> None:
    world.fake.moods |= dict.fromkeys((SERVICE, *PODS.values()), "hang")
    clock.sleep(0.3)
    assert world.daemon
    begin = clock.monotonic()
    world.daemon.stop(grace=5)
    assert clock.monotonic() - begin < 1
    assert world.daemon.process.returncode == 0
