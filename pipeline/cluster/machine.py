# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Looks at this machine: routes, links, rights, room, and whether a recorded process is still that one. Changes nothing."""

import fcntl
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.cluster.layout import Home
from stackway import process
from stackway.process import Command

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
# Fields of /proc/PID/stat after the name: proc(5) counts from 3.
_STATE, _PARENT, _STARTED, _PAGES = 0, 1, 19, 21
# capabilities(7); the names of those that the cluster cannot do without.
_NEEDED = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_FOWNER": 3,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
    "CAP_SYS_CHROOT": 18,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21,
    "CAP_MKNOD": 27,
}


@dataclass(frozen=True)
class Process:
    """A process that runs: its pid here and in its own world, memory in bytes, and its start (seconds since the epoch).

    Memory that several use counts for each as its share: most programs of the cluster are one and the same file.
    """

    pid: int
    memory: int
    started: float
    inner: int


def keeper_pid(home: Home) -> int:
    """Return the pid of the keeper if it runs: the very process that is recorded, never another of the same pid."""
    try:
        recorded = json.loads(home.keeper.read_bytes())
        pid, started, boot = int(recorded["pid"]), str(recorded["started"]), str(recorded["boot"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    if boot != (_PROC / "sys/kernel/random/boot_id").read_text().strip():
        return 0
    fields = _stat(pid)
    return pid if fields and fields[_STARTED] == started and fields[_STATE] not in "ZX" else 0


def unrecorded(home: Home) -> tuple[int, ...]:
    """Return processes that begin or keep a world for this very folder and are not recorded, or not yet.

    Whoever began them was killed in between. Their arguments name the folder's plan.
    """
    kept, ours = keeper_pid(home), (["start", str(home.plan)], ["keep", str(home.plan)])
    found = (int(folder.name) for folder in _PROC.iterdir() if folder.name.isdigit())
    return tuple(pid for pid in found if pid != kept and _arguments(pid)[1:3] in ours)


def children(pid: int) -> tuple[Process, ...]:
    """Return the processes that `pid` has started or inherited."""
    found = ((int(folder.name), _stat(int(folder.name))) for folder in _PROC.iterdir() if folder.name.isdigit())
    return tuple(
        _process(number, fields)
        for number, fields in found
        if fields and fields[_STATE] not in "ZX" and fields[_PARENT] == str(pid)
    )


def kept_programs(home: Home) -> dict[str, Any]:
    """Return what the keeper says of its programs, by name; nothing when it has said nothing yet."""
    try:
        content = json.loads(home.programs.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def begun(home: Home, name: str) -> int:
    """Return when a program was last started (seconds since the epoch), 0 when it was not."""
    return int(kept_programs(home).get(name, {}).get("begun", 0))


def routes(ip: Path | str) -> dict[str, str]:
    """Return network → link (or kind) of every route of this machine."""
    listing = process.run(Command((str(ip), "-json", "-4", "route", "show", "table", "all"))).stdout
    found: dict[str, str] = {}
    for route in json.loads(listing or "[]"):
        if route.get("type") not in {"broadcast", "multicast"}:
            found[str(route["dst"])] = str(route.get("dev") or route.get("type") or "a route")
    return found


def has_link(name: str) -> bool:
    """Return whether this machine has a link of that name."""
    return any(name == other for _, other in socket.if_nameindex())


@contextmanager
def alone() -> Iterator[None]:
    """Hold this machine's network while a cluster takes its addresses: no two take the same.

    The lock is one on the network itself, so it is the same for everybody who sees its routes, and no file of it stays.
    """
    with Path("/proc/self/ns/net").open("rb") as network:
        fcntl.flock(network, fcntl.LOCK_EX)
        yield


def lacking_rights() -> tuple[str, ...]:
    """Return the rights that the cluster needs and this process has not."""
    if not sys.platform.startswith("linux"):
        return ("Linux",)
    if os.geteuid() != 0:
        return ("root",)
    lines = (_PROC / "self/status").read_text().splitlines()
    have = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    return tuple(name for name, bit in _NEEDED.items() if not have >> bit & 1)


def free_bytes(path: Path) -> int:
    """Return the room on the disk that holds `path`, or will."""
    return shutil.disk_usage(next(folder for folder in (path, *path.parents) if folder.is_dir())).free


def _process(pid: int, fields: list[str]) -> Process:
    return Process(
        pid=pid,
        memory=_share(pid) or int(fields[_PAGES]) * _PAGE,
        started=_boot_time() + int(fields[_STARTED]) / _TICKS,
        inner=_inner_pid(pid),
    )


def _arguments(pid: int) -> list[str]:
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _stat(pid: int) -> list[str]:
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _share(pid: int) -> int:
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def _boot_time() -> float:
    lines = (_PROC / "stat").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("btime "))


def _inner_pid(pid: int) -> int:
    try:
        lines = (_PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[-1]) for line in lines if line.startswith("NSpid:")), 0)
