# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A containerd and a registry of the tests' own: everything below one short folder, on loopback, and gone afterwards."""

import ctypes
import fcntl
import os
import shutil
import socket
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from buildkit.load import Containerd
from stackway import clock, process
from stackway.console import SilentReporter
from stackway.process import Command, Completed, Daemon, ProcessTimeoutError
from stackway.settings import default_settings
from stackway.tools.provision import provide_all

SILENT = SilentReporter()
NAMESPACE = f"stackway-tests-{os.getpid()}"
Result = TypeVar("Result")
_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS, _IFF_UP, _IFF_RUNNING = 0x8914, 0x1, 0x40
_CONTAINERD = """\
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs"]
[grpc]
address = "{folder}/c.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "{folder}/opt"
"""
_REGISTRY = """\
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {folder}/root}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}", secret: tests}}
"""


def programs(*names: str) -> dict[str, Path]:
    """Return the pinned programs, brought first where they are not there."""
    return provide_all(names, default_settings(os.environ).cache_path, SILENT)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_for(what: str, done: Callable[[], bool], seconds: float = 30.0, daemon: Daemon | None = None) -> None:
    """Wait until `done`; fails with the daemon's last lines when it takes longer or the daemon has ended."""
    deadline = clock.monotonic() + seconds
    while not done():
        running = daemon is None or daemon.is_running()
        assert running, f"{what}: the daemon has ended:\n{daemon.tail() if daemon else ''}"
        assert clock.monotonic() < deadline, f"{what}: not within {seconds} s\n{daemon.tail() if daemon else ''}"
        clock.sleep(0.05)


def answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextmanager
def short_folder() -> Iterator[Path]:
    """Yield a folder whose path is short enough for sockets in it."""
    folder = Path(tempfile.mkdtemp(prefix="sw-"))
    try:
        yield folder
    finally:
        unmount_below(folder)
        shutil.rmtree(folder)


def mounts_below(folder: Path) -> list[Path]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    found = [Path(line.split(" ")[1]) for line in lines]
    return [path for path in found if path.is_relative_to(folder)]


def unmount_below(folder: Path) -> None:
    for path in sorted(mounts_below(folder), reverse=True):
        process.run(Command(("umount", str(path))))


@contextmanager
def running_registry(settings: str = "") -> Iterator[str]:
    """Run a real registry; yields its host and port. `settings` are more lines of its configuration."""
    program = programs("docker-registry")["docker-registry"]
    with short_folder() as folder:
        port = free_port()
        (folder / "config.yml").write_text(_REGISTRY.format(folder=folder, port=port) + settings)
        daemon = process.start(Command((str(program), "serve", str(folder / "config.yml"))), folder / "log")
        try:
            wait_for("registry", lambda: answers(port), daemon=daemon)
            yield f"127.0.0.1:{port}"
        finally:
            daemon.stop()


@contextmanager
def running_referrers_registry() -> Iterator[str]:
    """Run a registry that has the referrers API and keeps all in memory; yields its host and port."""
    program = programs("referrers-registry")["referrers-registry"]
    with short_folder() as folder:
        address = f"127.0.0.1:{free_port()}"
        daemon = process.start(Command((str(program), address)), folder / "log")
        try:
            wait_for("registry", lambda: answers(int(address.rpartition(":")[2])), daemon=daemon)
            yield address
        finally:
            daemon.stop()


@dataclass(frozen=True)
class Mount:
    """A folder of this machine in a container, or memory of `owner` when `source` is None."""

    target: str
    source: Path | None = None
    writable: bool = False
    owner: int = 0

    def option(self) -> str:
        if self.source is None:
            return f"type=tmpfs,dst={self.target},options=rw:nosuid:nodev:mode=1777:uid={self.owner}:gid={self.owner}"
        return f"type=bind,src={self.source},dst={self.target},options=rbind:{'rw' if self.writable else 'ro'}"


class Network:
    """A network of the tests' own that has nothing but a loopback: no port is taken or seen outside."""

    def __init__(self, folder: Path) -> None:
        self._keeper = process.start(Command(("unshare", "--net", "sleep", "infinity")), folder / "network.log")
        self._own = Path("/proc/self/ns/net").readlink()
        self.path = Path(f"/proc/{self._keeper.process.pid}/ns/net")
        wait_for("network", lambda: self.path.readlink() != self._own, daemon=self._keeper)
        self._inside = ThreadPoolExecutor(4, initializer=self._enter)
        self._inside.submit(_raise_loopback).result()

    def submit(self, function: Callable[[], Result]) -> "Future[Result]":
        """Begin a function that sees this network."""
        return self._inside.submit(function)

    def call(self, function: Callable[[], Result]) -> Result:
        """Run a function that sees this network."""
        return self._inside.submit(function).result()

    def close(self) -> None:
        """End it; containers in it must have ended."""
        self._inside.shutdown()
        self._keeper.stop()

    def _enter(self) -> None:
        # Python 3.11 has no os.setns; it moves the calling thread only.
        libc = ctypes.CDLL(None, use_errno=True)
        with self.path.open("rb") as file:
            failed = libc.setns(file.fileno(), _CLONE_NEWNET)
        assert not failed, os.strerror(ctypes.get_errno())


def _raise_loopback() -> None:
    with socket.socket() as sock:
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP | _IFF_RUNNING))


@dataclass(frozen=True)
class Pod:
    """A container to run: read-only but for its mounts."""

    name: str
    image: str
    command: Sequence[str]
    mounts: Sequence[Mount] = ()
    environment: dict[str, str] = field(default_factory=dict)
    network: Network | None = None

    def arguments(self) -> tuple[str, ...]:
        mounts = [part for mount in self.mounts for part in ("--mount", mount.option())]
        values = [part for name, value in self.environment.items() for part in ("--env", f"{name}={value}")]
        network = ("--with-ns", f"network:{self.network.path}") if self.network else ()
        return ("--read-only", *network, *mounts, *values, self.image, self.name, *self.command)


@dataclass(frozen=True)
class Engine:
    """A containerd that runs, with its folder."""

    folder: Path
    target: Containerd

    def ctr(self, *arguments: str, check: bool = True, timeout: float | None = 120.0) -> Completed:
        return process.run(replace_timeout(self.target.command(*arguments), timeout), check=check)

    def run(self, pod: Pod, *, check: bool = True, timeout: float = 120.0) -> Completed:
        """Run to its end."""
        try:
            return self.ctr("run", "--rm", *pod.arguments(), check=check, timeout=timeout)
        except ProcessTimeoutError:
            self.remove(pod.name)
            raise

    @contextmanager
    def running(self, pod: Pod) -> Iterator[Daemon]:
        """Run beside the test, ended by SIGTERM afterwards; the daemon is `ctr`, which passes signals and output on."""
        command = self.target.command("run", "--rm", *pod.arguments())
        daemon = process.start(command, self.folder / f"{pod.name}.log")
        try:
            yield daemon
        finally:
            self.kill(pod.name)
            with suppress(AssertionError):
                wait_for(pod.name, lambda: not daemon.is_running(), seconds=20)
            daemon.stop()
            self.remove(pod.name)

    def kill(self, name: str, signal: str = "SIGTERM") -> None:
        self.ctr("tasks", "kill", "--signal", signal, name, check=False)

    def pid(self, name: str) -> int:
        """Return the pid of a container's first process, 0 when it does not run."""
        rows = [line.split() for line in self.ctr("tasks", "ls").stdout.splitlines()[1:]]
        return next((int(row[1]) for row in rows if row[0] == name and row[2] == "RUNNING"), 0)

    def execute(self, name: str, *command: str, check: bool = True) -> Completed:
        """Run a command in a running container."""
        return self.ctr("tasks", "exec", "--exec-id", f"e{clock.monotonic()}", name, *command, check=check)

    def remove(self, name: str) -> None:
        self.ctr("tasks", "rm", "--force", name, check=False)
        self.ctr("containers", "rm", name, check=False)


def replace_timeout(command: Command, timeout: float | None) -> Command:
    return Command(command.arguments, command.environment, command.directory, command.stdin, timeout)


def remove_groups() -> None:
    """Remove the control groups that the containers' runtime leaves behind, empty."""
    root = Path("/sys/fs/cgroup")
    for folder in (*root.glob(f"*/{NAMESPACE}"), root / NAMESPACE):
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def running_containerd() -> Iterator[Engine]:
    """Run a containerd with its own root, state and socket; nothing of it is left afterwards."""
    found = programs("containerd", "ctr")
    with short_folder() as folder:
        (folder / "config.toml").write_text(_CONTAINERD.format(folder=folder))
        command = Command((str(found["containerd"]), "--config", str(folder / "config.toml")))
        daemon = process.start(command, folder / "containerd.log")
        engine = Engine(folder, Containerd(f"{folder}/c.sock", NAMESPACE, str(found["ctr"])))
        try:
            wait_for("containerd", lambda: engine.ctr("version", check=False).code == 0, daemon=daemon)
            yield engine
        finally:
            for line in engine.ctr("tasks", "ls", "-q", check=False).stdout.split():
                engine.remove(line)
            daemon.stop()
            remove_groups()
