# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The catalogue of faults: whatever is wrong with a new revision, or happens meanwhile, all is new or all is as it was."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.api import Object
from pipeline.rollout.advance import Outcome
from stackway import clock
from tests.e2e.cloud import Cloud, tell
from tests.faults.attempt import Alter, Upgrades, container, misbehave, nothing, pod

_NOWHERE = "stackway.local/placement@sha256:" + "0" * 64
_PYTHON = "/opt/venv/bin/python"


def probe(item: Object) -> None:
    if item["kind"] != "Deployment":
        return
    wrong = {"httpGet": {"path": "/no-such-page", "port": "main"}, "periodSeconds": 2, "failureThreshold": 60}
    for name in ("startupProbe", "readinessProbe"):
        item["spec"]["template"]["spec"]["containers"][0][name] = wrong


def no_secret(item: Object) -> None:
    if item["kind"] != "Deployment":
        return
    missing = {"name": "WRONG", "valueFrom": {"secretKeyRef": {"name": "no-such-secret", "key": "x"}}}
    item["spec"]["template"]["spec"]["containers"][0].setdefault("env", []).append(missing)


FAULTS: dict[str, tuple[Alter, set[str]]] = {
    "image that is nowhere": (container(image=_NOWHERE), {"image"}),
    "crash at the start": (container(command=[_PYTHON, "-c", "raise SystemExit(3)"], args=[]), {"crash"}),
    "program that is not there": (container(command=["/no/such/program"], args=[]), {"start", "configuration"}),
    "Secret that is not there": (no_secret, {"configuration"}),
    "never ready": (probe, {"limit", "crash"}),  # Kubernetes ends what does not start
    "ready, and answers 500": (misbehave("fails"), {"requests"}),
    "one request of twenty fails": (misbehave("fails sometimes"), {"requests"}),
    "twice as slow": (misbehave("is slow"), {"requests"}),
    "hangs, and looks well": (misbehave("hangs"), {"requests"}),
    "ends after 30 s": (misbehave("ends later"), {"crash"}),
    "takes more memory than it may": (misbehave("takes memory"), {"crash"}),
    "no node for it": (pod(nodeSelector={"no": "such-node"}), {"unschedulable"}),
    "refused by the cluster": (container(imagePullPolicy="Sometimes"), {"refused"}),
}
# With these, pods that users reach already go away all at once; the way back takes a moment.
_NOTICED = {"ends after 30 s"}


@pytest.mark.parametrize("name", FAULTS)
def test_faulty_release_goes_back_by_itself(upgrades: Upgrades, name: str) -> None:
    alter, rules = FAULTS[name]
    before = upgrades.state()
    found = upgrades.attempt(alter)
    tell(f"{name}: {found.told()}")
    assert found.outcome is Outcome.ROLLED_BACK
    assert found.rule in rules, found.why
    assert upgrades.state() == before
    if name not in _NOTICED:
        assert found.load.failed == [], found.load.summary()


def pause(service: str) -> Callable[[Cloud], None]:
    """Return what holds the processes of a service for 20 s, once the new pods are there."""

    def act(cloud: Cloud) -> None:
        clock.sleep(15)
        held = cloud.processes(cloud.pods(service, "server")[0])
        cloud.signal(held, signal.SIGSTOP)
        clock.sleep(20)
        cloud.signal(held, signal.SIGCONT)

    return act


def restart_broker(cloud: Cloud) -> None:
    clock.sleep(10)
    cloud.api.delete("Pod", "rabbitmq-0", cloud.name)


def program(name: str) -> list[int]:
    """Return the processes of this checkout's own cluster that run a program: those that came from its keeper."""
    keeper = json.loads(Path(".stackway/cluster/keeper.json").read_text(encoding="utf-8"))["pid"]
    return [pid for pid in _descendants(keeper) if name in _words(pid)[:2]]


def _descendants(pid: int) -> list[int]:
    children = [
        int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()
    ]
    return [*children, *(below for child in children for below in _descendants(child))]


def _words(pid: int) -> list[str]:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return [Path(os.fsdecode(word)).name for word in words]


def kill_api_server(cloud: Cloud) -> None:
    clock.sleep(8)
    cloud.signal(program("kube-apiserver"), signal.SIGKILL)


def hold_kubelet(cloud: Cloud) -> None:
    clock.sleep(3)
    held = program("kubelet")
    cloud.signal(held, signal.SIGSTOP)
    clock.sleep(20)
    cloud.signal(held, signal.SIGCONT)


@pytest.mark.parametrize(
    ("act", "service"),
    [
        (pause("mariadb"), "the database hangs for 20 s"),
        (restart_broker, "the broker restarts"),
        (kill_api_server, "the API server is killed"),
        (hold_kubelet, "the node's agent hangs for 20 s"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_trouble_of_the_cluster_ends_all_new_or_all_old(
    upgrades: Upgrades, act: Callable[[Cloud], None], service: str
) -> None:
    before = upgrades.state()
    found = upgrades.attempt(nothing, during=act)
    tell(f"{service}: {found.told()}")
    if found.outcome is Outcome.UPGRADED:
        upgrades.back(found)
    assert upgrades.state() == before


def failing_job(item: Object) -> None:
    if item["kind"] == "Job" and "-database-" in item["metadata"]["name"]:
        item["metadata"]["name"] += f"-{clock.now():%H%M%S}"
        item["spec"]["backoffLimit"] = 1
        container("Job", command=["/bin/false"])(item)


def test_schema_that_fails_halfway_leaves_all_as_it_was(upgrades: Upgrades) -> None:
    before = upgrades.state()
    found = upgrades.attempt(failing_job, source="2025.1.0")
    tell(f"schema: {found.told()}")
    assert (found.outcome, found.rule) == (Outcome.ROLLED_BACK, "job")
    assert upgrades.state() == before
    assert found.load.failed == []


def failing_check(item: Object) -> None:
    """Have the upgrade check find something: its program and its reading are the real ones."""
    table = "| Check: Incomplete Consumers |\n| Result: Failure |\n| Details: 7 are |"
    if "-check-" not in item["metadata"]["name"]:
        return
    item["metadata"]["name"] += "-failing"
    if item["kind"] == "Job":
        (volume,) = [each for each in item["spec"]["template"]["spec"]["volumes"] if each["name"] == "stackway"]
        volume["configMap"]["name"] += "-failing"
    else:
        item["data"]["plan.json"] = json.dumps({"run": ["printf", f"{table}\n"], "allow": {}})


def test_upgrade_check_that_fails_ends_it_before_anything_is_touched(upgrades: Upgrades) -> None:
    before = upgrades.state()
    found = upgrades.attempt(failing_check, source="2025.1.0")
    tell(f"upgrade check: {found.told()}")
    assert (found.outcome, found.rule) == (Outcome.ROLLED_BACK, "check")
    assert "Failure: Incomplete Consumers: 7 are" in found.why
    assert upgrades.state() == before
    assert found.load.failed == []


def test_worker_that_consumes_nothing_goes_back(upgrades: Upgrades) -> None:
    """It holds a connection to the broker, so the cluster calls it ready."""
    text = "import socket, time\nwhile True: held = socket.create_connection(('rabbitmq', 5672)); time.sleep(5)"
    conductor = ("nova", "conductor")

    def idle(item: Object) -> None:
        if item["metadata"]["name"].startswith("nova-conductor-"):
            container(command=[_PYTHON, "-c", text], args=[])(item)

    before = upgrades.state()
    found = upgrades.attempt(idle, process=conductor)
    tell(f"idle worker: {found.told()}")
    assert (found.outcome, found.rule) == (Outcome.ROLLED_BACK, "silence")
    assert upgrades.state() == before
    assert found.load.failed == []


def test_good_releases_never_go_back(upgrades: Upgrades) -> None:
    """False alarms: so many healthy upgrades in a row, under load, on a machine with its own noise."""
    times = int(os.environ.get("STACKWAY_HEALTHY_UPGRADES", "5"))
    loads = []
    for _ in range(times):
        found = upgrades.attempt(nothing, soak=2.0)
        assert found.outcome is Outcome.UPGRADED, found.why
        upgrades.back(found)
        loads.append(found.load)
    sent, failed = sum(len(load.outcomes) for load in loads), sum(len(load.failed) for load in loads)
    tell(f"{times} healthy upgrades: none went back; {sent} requests, {failed} failed")
    assert failed == 0
