# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A real local cluster: pods run in it, it mends itself, it comes up from every half-done state, and it leaves nothing."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipeline.cluster import machine, up
from pipeline.cluster.cluster import programs_now
from pipeline.cluster.record import read_record
from stackway import clock, process
from stackway.errors import StackwayError
from stackway.files import read_json, write_json
from stackway.process import Command
from tests.integration.clusters import (
    LocalCluster,
    Traces,
    left_of,
    local_cluster,
    own_cluster,
    traces,
    until,
    world_of,
)

pytestmark = pytest.mark.cluster
__all__ = ["local_cluster"]
USER = 12345
# The order of a start; a kill comes when one of them is said to begin.
MOMENTS = ("addresses", "keys", "configuration", "groups", "world", "link", "api", "objects", "node")


def workloads(image: str) -> list[dict[str, Any]]:
    """Return two replicas behind a service, and one pod that keeps a file in a volume."""
    labels = {"app": "cache"}
    server = {
        "name": "server",
        "image": image,
        "command": ["memcached", "--port=11211"],
        "readinessProbe": {"tcpSocket": {"port": 11211}, "periodSeconds": 1},
    }
    writer = {
        "name": "writer",
        "image": image,
        "command": ["sh", "-c", "date +%N >>/data/starts; exec sleep infinity"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "cache"},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {**pod(server), "securityContext": user()}},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "cache"},
            "spec": {"selector": labels, "ports": [{"port": 11211}]},
        },
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": claim},
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "writer"},
            "spec": {
                **pod(writer),
                "securityContext": {**user(), "fsGroup": USER},
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            },
        },
    ]


def pod(container: dict[str, Any]) -> dict[str, Any]:
    return {"containers": [{**container, "imagePullPolicy": "Never"}], "terminationGracePeriodSeconds": 0}


def user() -> dict[str, Any]:
    return {"runAsUser": USER, "runAsGroup": USER, "runAsNonRoot": True}


def containers(found: LocalCluster) -> dict[str, str]:
    """Return the id of every container that is ready, by pod."""
    items = found.get("pods")["items"]
    states = {item["metadata"]["name"]: item["status"].get("containerStatuses", [{}])[0] for item in items}
    return {name: str(state["containerID"]) for name, state in states.items() if state.get("ready")}


def are_others(now: dict[str, str], before: dict[str, str]) -> bool:
    return now.keys() >= before.keys() and not {*now.values()} & {*before.values()}


def all_ready(found: LocalCluster) -> bool:
    return found.get("deployment", "cache")["status"].get("readyReplicas") == 2 and "writer" in containers(found)


@pytest.fixture(scope="module")
def busy(local_cluster: LocalCluster) -> LocalCluster:
    """The shared cluster with pods that are ready."""
    local_cluster.apply(*workloads(local_cluster.load()))
    until("pods are ready", lambda: all_ready(local_cluster))
    return local_cluster


@pytest.fixture
def alone() -> Iterator[LocalCluster]:
    """A cluster that does not run, and a machine that must be as it was afterwards."""
    before = traces()
    with own_cluster() as found:
        yield found
    assert changes(before) == []


def changes(before: Traces) -> list[str]:
    """Return what is there and was not, and the other way round."""
    after = vars(traces())
    return [f"{kind}: {row}" for kind, rows in vars(before).items() for row in sorted({*rows} ^ {*after[kind]})]


def ask(address: str, port: int) -> bytes:
    with socket.create_connection((address, port), timeout=5) as connection:
        connection.sendall(b"version\r\n")
        return connection.recv(100)


def kill_at(found: LocalCluster, moment: str, folder: Path) -> None:
    """Begin `up` and kill it, with kill -9, when it says that it begins a step; it must not have ended before."""
    running = process.start(found.command("up"), folder / "up.log")
    while f" cluster: {moment}: " not in running.log.read_text():
        assert running.is_running(), running.tail()
        clock.sleep(0.005)
    running.process.kill()
    running.process.wait()


def test_node_is_ready_and_every_program_runs(local_cluster: LocalCluster) -> None:
    done = local_cluster.release("status", "--output", "json")
    told = json.loads(done.stdout)
    assert (done.code, told["healthy"], told["trouble"]) == (0, True, "")
    assert len(told["programs"]) == 10
    assert all(entry["pid"] and entry["starts"] == 1 for entry in told["programs"].values())
    (node,) = local_cluster.get("nodes")["items"]
    assert {entry["type"]: entry["status"] for entry in node["status"]["conditions"]}["Ready"] == "True"


def test_up_again_does_nothing_and_says_so(local_cluster: LocalCluster) -> None:
    before = programs_now(local_cluster.cluster)
    assert local_cluster.release("up", "--dry-run").stdout.strip() == "nothing to do"
    done = local_cluster.release("up")
    assert "nothing was done" in done.stdout
    assert {name: entry["pid"] for name, entry in programs_now(local_cluster.cluster).items()} == {
        name: entry["pid"] for name, entry in before.items()
    }


def test_kubectl_is_there_for_people(local_cluster: LocalCluster) -> None:
    done = local_cluster.release("kubectl", "--", "get", "nodes", "--output=name")
    assert (done.code, done.stdout.strip()) == (0, "node/stackway")
    assert local_cluster.release("kubectl", "--", "get", "nonsense").code == 1


def test_pods_are_reached_by_their_service(busy: LocalCluster) -> None:
    address = busy.get("service", "cache")["spec"]["clusterIP"]
    assert ask(address, 11211).startswith(b"VERSION 1.6")
    assert len(containers(busy)) == 3


def test_names_are_answered_in_pods_and_nothing_leads_out(busy: LocalCluster) -> None:
    address = busy.get("service", "cache")["spec"]["clusterIP"]
    assert busy.kubectl("exec", "writer", "--", "getent", "hosts", "cache").split()[0] == address
    reach = "exec 3<>/dev/tcp/192.0.2.77/80"
    assert busy.kubectl("exec", "writer", "--", "timeout", "5", "bash", "-c", reach, check=False) == ""
    routes = Path(f"/proc/{machine.keeper_pid(busy.cluster.home)}/net/route").read_text().splitlines()[1:]
    assert [row for row in routes if row.split()[1] == "00000000"] == []


def test_volume_is_written_by_its_user(busy: LocalCluster) -> None:
    assert busy.get("pvc", "data")["status"]["phase"] == "Bound"
    assert busy.kubectl("exec", "writer", "--", "stat", "-c", "%u", "/data/starts").strip() == str(USER)


@pytest.mark.parametrize("name", ["kube-apiserver", "etcd", "kubelet", "containerd"])
def test_killed_program_comes_back_and_pods_do_not_notice(busy: LocalCluster, name: str) -> None:
    before, ids = programs_now(busy.cluster)[name], containers(busy)
    os.kill(before["pid"], signal.SIGKILL)
    busy.up()
    after = programs_now(busy.cluster)[name]
    until("it runs", lambda: programs_now(busy.cluster)[name]["pid"] not in {0, before["pid"]})
    assert after["starts"] <= before["starts"] + 1
    until("the same pods are ready", lambda: containers(busy) == ids)


@pytest.mark.parametrize("is_restart", [False, True], ids=["its first process killed", "the machine restarted"])
def test_after_the_end_of_everything_pods_come_again(busy: LocalCluster, *, is_restart: bool) -> None:
    # A container runtime that was killed just before lets a probe fail now and then.
    until("every pod is ready", lambda: len(containers(busy)) == len(busy.get("pods")["items"]))
    home, ids, record = busy.cluster.home, containers(busy), busy.cluster.running()
    os.kill(machine.keeper_pid(home), signal.SIGKILL)
    until("it has ended", lambda: not machine.keeper_pid(home))
    if is_restart:
        write_json(home.keeper, {**read_json(home.keeper), "boot": "another"})
        process.run(Command((str(record.programs["ip"]), "route", "delete", "blackhole", record.network)))
    assert busy.release("status").code == 1
    assert "its processes are gone" in busy.up().steps[1].reason
    assert busy.cluster.running().addresses == record.addresses
    until("other containers are ready", lambda: are_others(containers(busy), ids))
    assert len(busy.kubectl("exec", "writer", "--", "cat", "/data/starts").split()) >= 2


def test_what_pods_use_is_measured(busy: LocalCluster) -> None:
    until("metrics", lambda: "writer" in busy.kubectl("top", "pods", check=False), seconds=120)


def test_killed_at_any_moment_it_comes_up_beside_another_and_leaves_nothing(
    busy: LocalCluster, alone: LocalCluster, tmp_path: Path
) -> None:
    for moment in MOMENTS:
        kill_at(alone, moment, tmp_path)
    alone.up()
    assert not alone.up().steps
    first, second = busy.cluster.running(), alone.cluster.running()
    assert not first.addresses.network.overlaps(second.addresses.network)
    assert first.link != second.link
    assert [len(found.get("nodes")["items"]) for found in (busy, alone)] == [1, 1]
    world = world_of(machine.keeper_pid(alone.cluster.home))
    assert len(world) >= 5
    alone.down()
    assert left_of(alone, world) == []
    assert all_ready(busy)


def test_two_that_start_at_the_same_moment_take_other_networks(alone: LocalCluster, tmp_path: Path) -> None:
    with own_cluster() as other, ThreadPoolExecutor(2) as both:
        folders = [tmp_path / name for name in ("a", "b")]
        list(both.map(kill_at, (alone, other), ("api", "api"), folders))
        networks = {found.cluster.running().addresses.network for found in (alone, other)}
        assert len(networks) == 2


# What a killed start had begun may still be on its way: that is a matter of luck, so it is tried more often.
@pytest.mark.parametrize("moment", ["configuration", *["world"] * 4, "link", "api", "objects"])
def test_down_cleans_after_a_killed_start(alone: LocalCluster, tmp_path: Path, moment: str) -> None:
    kill_at(alone, moment, tmp_path)
    alone.down()
    assert left_of(alone, frozenset()) == []


def test_down_of_a_copy_removes_the_copy_only(busy: LocalCluster, alone: LocalCluster) -> None:
    copy = alone.cluster.home
    copy.path.mkdir(parents=True)
    for name in ("record", "keeper", "programs"):
        getattr(copy, name).write_bytes(getattr(busy.cluster.home, name).read_bytes())
    with pytest.raises(StackwayError, match="a copy of the local cluster of another folder"):
        alone.up()
    alone.down()
    assert not copy.path.exists()
    assert not busy.up().steps


def test_a_network_that_somebody_took_meanwhile_stays_his(alone: LocalCluster, tmp_path: Path) -> None:
    kill_at(alone, "keys", tmp_path)
    record = read_record(alone.cluster.home)
    assert record is not None
    ip, other = str(record.programs["ip"]), str(record.addresses.pods)
    process.run(Command((ip, "route", "add", other, "dev", "lo")))
    try:
        with pytest.raises(StackwayError, match="is in use"):
            alone.up()
        alone.down()
        assert f"{other} dev lo scope link" in [row.strip() for row in traces().routes]
    finally:
        process.run(Command((ip, "route", "delete", other, "dev", "lo")))
        process.run(Command((ip, "route", "delete", "blackhole", record.network)), check=False)


def test_without_a_right_it_says_which(alone: LocalCluster) -> None:
    command = alone.command("up")
    less = ("setpriv", "--bounding-set", "-net_admin", "--", *command.arguments)
    done = process.run(Command(less, directory=command.directory), check=False)
    assert done.code == 1
    assert "missing: CAP_NET_ADMIN" in done.stderr
    assert not alone.state.exists() or not list(alone.state.iterdir())


def test_too_small_a_disk_is_said_before_anything_is_made(alone: LocalCluster) -> None:
    alone.state.mkdir()
    process.run(Command(("mount", "-t", "tmpfs", "-o", "size=8M", "tmpfs", str(alone.state))))
    with pytest.raises(StackwayError, match="too little room"):
        up.up(alone.cluster)
    assert list(alone.state.iterdir()) == []
