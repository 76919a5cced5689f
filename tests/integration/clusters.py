# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Local clusters of the tests' own, beside whatever else runs on the machine, and what of one could be left on it."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from buildkit.archives import full_name
from buildkit.load import checked_chunks, load_containerd
from buildkit.store import Store
from pipeline.cluster import down, up
from pipeline.cluster.cluster import Cluster, open_cluster
from stackway import clock, process
from stackway.process import Command, Completed
from stackway.settings import default_settings
from tests.integration.builder import REPOSITORY
from tests.integration.runtime import SILENT, mounts_below, unmount_below

IMAGE = "memcached:1.6"
_GROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class LocalCluster:
    """A cluster whose state folder is the tests' own."""

    cluster: Cluster

    @property
    def state(self) -> Path:
        """What `--state` names."""
        return self.cluster.home.path.parent

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.cluster.kubeconfig

    def up(self) -> up.Outcome:
        return up.up(self.cluster)

    def down(self) -> None:
        down.down(self.cluster)

    def command(self, *words: str) -> Command:
        """Return the program `release cluster` on this cluster, as a person would run it."""
        given = ("cluster", words[0], "--root", str(REPOSITORY), "--state", str(self.state), *words[1:])
        return Command((sys.executable, "-m", "pipeline.cli", *given), directory=REPOSITORY)

    def release(self, *words: str) -> Completed:
        return process.run(self.command(*words), check=False)

    def kubectl(self, *words: str, stdin: str | None = None, check: bool = True) -> str:
        """Run a kubectl that fits and return what it prints."""
        arguments = (str(self.cluster.home.kubectl), "--kubeconfig", str(self.kubeconfig), *words)
        return process.run(Command(arguments, stdin=stdin, timeout=120.0), check=check).stdout

    def get(self, *words: str) -> Any:
        return json.loads(self.kubectl("get", *words, "--output", "json"))

    def apply(self, *objects: Any) -> None:
        self.kubectl(
            "apply", "--filename", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        )

    def load(self, name: str = IMAGE) -> str:
        """Give the node an image of this checkout's store, built if it was not; return its name there."""
        store = Store(REPOSITORY / ".stackway/store")
        if name not in store.images():
            arguments = (sys.executable, "-m", "pipeline.cli", "build", name, "--output", "json")
            process.run(Command(arguments, directory=REPOSITORY))
        images = [store.images()[name]]
        load_containerd(images, partial(checked_chunks, store), SILENT, self.cluster.containerd())
        return full_name(name)


def until(what: str, done: Callable[[], bool], seconds: float = 90.0) -> None:
    """Wait until something holds; what cannot be asked at the moment does not hold."""
    deadline = clock.monotonic() + seconds
    while not _asked(done):
        assert clock.monotonic() < deadline, f"{what}: not within {seconds} s"
        clock.sleep(0.2)


def _asked(done: Callable[[], bool]) -> bool:
    try:
        return done()
    except (process.ProcessFailedError, KeyError, OSError):
        return False


@contextmanager
def own_cluster() -> Iterator[LocalCluster]:
    """Yield a cluster that does not run yet, in a folder of its own; afterwards nothing of it is left."""
    folder = Path(tempfile.mkdtemp(prefix="sw-"))
    found = LocalCluster(open_cluster(folder / "state", default_settings(os.environ).cache_path, SILENT))
    try:
        yield found
    finally:
        found.down()
        unmount_below(folder)
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def local_cluster() -> Iterator[LocalCluster]:
    """A local cluster that takes pods, one for all tests of a run."""
    with own_cluster() as found:
        found.up()
        yield found


@dataclass(frozen=True)
class Traces:
    """What a cluster could leave on the machine."""

    links: tuple[str, ...]
    routes: tuple[str, ...]
    rules: tuple[str, ...]
    filters: tuple[str, ...]
    networks: tuple[str, ...]


def traces() -> Traces:
    """Return what of that is there, whoever made it."""
    ip, tables = (str(process.find(name) or f"/usr/sbin/{name}") for name in ("ip", "iptables-save"))
    names = Path("/run/netns")
    return Traces(
        links=_rows(ip, "-brief", "link", word=0),
        routes=_rows(ip, "-4", "route", "show", "table", "all"),
        rules=_rows(ip, "rule"),
        filters=tuple(row for row in _rows(tables) if not row.startswith(("#", ":"))),
        networks=tuple(sorted(path.name for path in names.iterdir())) if names.is_dir() else (),
    )


def _rows(*arguments: str, word: int | None = None) -> tuple[str, ...]:
    lines = process.run(Command(arguments)).stdout.splitlines()
    return tuple(sorted(line if word is None else line.split()[word] for line in lines))


def world_of(pid: int) -> frozenset[str]:
    """Return the namespaces of a process that are not this one's."""
    links = {str(path.readlink()) for path in Path(f"/proc/{pid}/ns").iterdir()}
    return frozenset(links - {str(path.readlink()) for path in Path("/proc/self/ns").iterdir()})


def left_of(found: LocalCluster, world: frozenset[str]) -> list[str]:
    """Return what is left of a cluster: processes of its or in its namespaces, control groups, mounts, files."""
    named = [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(found.state).encode() in _bytes(path)]
    spaces = [path for path in Path("/proc").glob("[0-9]*/ns/*") if _leads_to(path, world)]
    groups = list(_GROUPS.rglob(found.cluster.home.group))
    there = [*named, *spaces, *groups, *mounts_below(found.state), *([found.state] if found.state.exists() else [])]
    return [str(path) for path in there]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _leads_to(path: Path, world: frozenset[str]) -> bool:
    """Return whether a process is there in one of these namespaces; one that has ended may wait for its parent."""
    try:
        is_over = (path.parents[1] / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
        return not is_over and str(path.readlink()) in world
    except OSError:
        return False
