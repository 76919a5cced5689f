# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The local cluster of one state folder: what is known of it, the lock on it, and how its parts are reached."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from buildkit.load import Containerd
from pipeline.cluster import machine
from pipeline.cluster.api import Api
from pipeline.cluster.layout import API_PORT, NODE, Home
from pipeline.cluster.plan import Facts
from pipeline.cluster.programs import containerd_outside
from pipeline.cluster.record import Record, read_record
from stackway.console import Reporter
from stackway.errors import StackwayError, UnavailableError


@dataclass(frozen=True)
class Cluster:
    """The local cluster of a state folder, whether it is there or not."""

    home: Home
    cache: Path
    reporter: Reporter

    @property
    def record(self) -> Record | None:
        """What is recorded of it."""
        return read_record(self.home)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.home.kubeconfig

    def running(self) -> Record:
        """Return its record. Raises UnavailableError when it does not run."""
        record = self.record
        if record is None or not machine.keeper_pid(self.home):
            raise UnavailableError(
                "the local cluster does not run",
                details=str(self.home.path),
                resolution="`release cluster up` starts it.",
            )
        return record

    def api(self) -> Api:
        """Return a connection to its API. Raises UnavailableError when it does not run."""
        return Api(str(self.running().addresses.node), API_PORT, self.home.keys)

    def containerd(self) -> Containerd:
        """Return its containerd. Raises UnavailableError when it does not run."""
        record = self.running()
        address = containerd_outside(machine.keeper_pid(self.home))
        return Containerd(address, "k8s.io", str(record.programs["ctr"]))


def open_cluster(state: Path, cache: Path, reporter: Reporter) -> Cluster:
    """Return the cluster whose files are below `state`."""
    return Cluster(Home(state.absolute() / "cluster"), cache, reporter)


@contextmanager
def only_one(cluster: Cluster) -> Iterator[None]:
    """Hold the cluster for one run. The lock is one on the state folder itself: no file of it stays."""
    folder = cluster.home.path.parent
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            cluster.reporter.say("another run is at work on the local cluster; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def look(cluster: Cluster) -> Facts:
    """Return what is there. Changes nothing."""
    home, record, keeper = cluster.home, cluster.record, machine.keeper_pid(cluster.home)
    down = tuple(name for name, entry in programs_now(cluster).items() if not entry["pid"]) if keeper else ()
    return Facts(
        home=str(home.path),
        exists=home.path.is_dir(),
        record=record,
        keeper=keeper,
        has_link=record is not None and machine.has_link(record.link),
        original=_original(cluster, record) if record else "",
        down=down,
        trouble=trouble(cluster) if keeper and record and record.complete and not down else "",
        lacks=machine.lacking_rights(),
        free=machine.free_bytes(home.path),
    )


def programs_now(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """Return each program with its pid on this machine (0: it does not run), memory in bytes, and its starts."""
    keeper = machine.keeper_pid(cluster.home)
    if not keeper:
        return {}
    there = {process.inner: process for process in machine.children(keeper)}
    found: dict[str, dict[str, Any]] = {}
    for name, said in machine.kept_programs(cluster.home).items():
        process = there.get(int(said["pid"]))
        found[name] = {
            "pid": process.pid if process else 0,
            "memory": process.memory if process else 0,
            "since": process.started if process else None,
            "starts": int(said["starts"]),
            "ended": str(said["ended"]),
        }
    return found


def node_trouble(api: Api, begun: int) -> str:
    """Return why the node cannot take pods, nothing when it can. Raises UnavailableError without an API.

    What was reported before the kubelet was last started (`begun`) is no news.
    """
    node = api.get(f"/api/v1/nodes/{NODE}")
    if not isinstance(node.content, dict) or node.content.get("kind") != "Node":
        return "the node is not registered"
    conditions = {entry["type"]: entry for entry in node.content.get("status", {}).get("conditions", [])}
    ready = conditions.get("Ready", {})
    if ready and datetime.fromisoformat(ready["lastHeartbeatTime"]).timestamp() < begun:
        return "the node is not ready: no report since its last start"
    return "" if ready.get("status") == "True" else f"the node is not ready: {ready.get('message', 'no report yet')}"


def _original(cluster: Cluster, record: Record) -> str:
    """Return the folder that the cluster's files were copied from: a moved one has nothing at its former place."""
    if record.home == str(cluster.home.path):
        return ""
    there = read_record(Home(Path(record.home)))
    return record.home if there and there.link == record.link else ""


def trouble(cluster: Cluster) -> str:
    """Return why a cluster that runs takes no pods, nothing when it does."""
    try:
        api = cluster.api()
        return node_trouble(api, machine.begun(cluster.home, "kubelet")) if api.is_ready() else "the API is not ready"
    except (StackwayError, OSError) as error:
        return error.brief if isinstance(error, StackwayError) else str(error)
