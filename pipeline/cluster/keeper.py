# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Starts and ends the cluster's world: its first process, its link to this machine, its control groups. Decides nothing."""

import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

from pipeline.cluster.layout import INNER_LINK, Addresses, Home, other_holders
from pipeline.cluster.machine import keeper_pid, routes, unrecorded
from pipeline.cluster.record import Record
from stackway import clock, process
from stackway.errors import FailedError, UnavailableError
from stackway.process import Command

_END_SECONDS = 20.0
_STEP_SECONDS = 60.0


class KeeperEndedError(FailedError):
    """The first process was there, and is not any more."""


def start_keeper(home: Home, program: Path) -> int:
    """Start the first process and return its pid. It is recorded before it does anything."""
    for folder in (home.path / "run", home.data / "tmp", home.logs, home.gates):
        folder.mkdir(parents=True, exist_ok=True)
    for leftover in (home.programs, *home.gates.iterdir()):
        leftover.unlink(missing_ok=True)
    arguments = (str(program), "start", str(home.plan), str(home.keeper), str(home.log("keeper")))
    process.run(Command(arguments, timeout=_STEP_SECONDS))
    if pid := keeper_pid(home):
        return pid
    raise keeper_ended(home)


def keeper_ended(home: Home) -> KeeperEndedError:
    """Return the error that says why the keeper is not there."""
    return KeeperEndedError(
        "the local cluster ended while it started",
        details=log_tail(home.log("keeper")),
        resolution="The last line says which step this machine refused.",
    )


def end_keeper(home: Home) -> None:
    """End the first process; the kernel ends and removes all that is in its namespaces. Nothing when it does not run."""
    end_unrecorded(home)
    wait_until(lambda: not _killed([keeper_pid(home)]), _END_SECONDS, "the local cluster did not end")


def end_unrecorded(home: Home) -> None:
    """End what began, or begins, a world for this folder after whoever wanted it was killed."""
    wait_until(lambda: not _killed(unrecorded(home)), _END_SECONDS, "a start of the local cluster did not end")


def _killed(pids: Iterable[int]) -> bool:
    """Kill processes; return whether there were any."""
    there = [pid for pid in pids if pid]
    for pid in there:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return bool(there)


def take_network(record: Record) -> None:
    """Make it so that nothing with an address of the cluster leaves this machine, whether the cluster runs or not.

    Raises UnavailableError when another has the network by now: nobody may take two networks, or two the same.
    """
    ip = record.programs["ip"]
    if others := other_holders(record.addresses.network, routes(ip)):
        raise UnavailableError(
            f"the network {record.network} of the local cluster is in use",
            details="\n".join(others),
            resolution="End what uses it, or begin anew with other addresses: `release cluster down`, then `up`.",
        )
    process.run(Command((str(ip), "route", "replace", "blackhole", record.network), timeout=_STEP_SECONDS))


def make_link(record: Record, pid: int) -> None:
    """Join this machine and the world of `pid`. All that has the cluster's addresses goes there or nowhere."""
    lines = "\n".join(_link(record.link, record.addresses, pid, record.home))
    process.run(Command((str(record.programs["ip"]), "-batch", "-"), stdin=lines, timeout=_STEP_SECONDS))


def _link(name: str, addresses: Addresses, pid: int, owner: str) -> list[str]:
    return [
        f"link add {name} type veth peer name {INNER_LINK} netns {pid}",
        f"link set {name} alias {owner[:255]}",
        f"address add {addresses.host}/30 dev {name}",
        f"link set {name} up",
        f"route replace {addresses.pods} via {addresses.node}",
        f"route replace {addresses.services} via {addresses.node}",
    ]


def remove_link(record: Record) -> None:
    """Remove link and routes; what is not there any more is no error, and a network that another has by now stays his."""
    ip = record.programs["ip"]
    process.run(Command((str(ip), "link", "delete", record.link), timeout=_STEP_SECONDS), check=False)
    if not other_holders(record.addresses.network, routes(ip)):
        delete = (str(ip), "route", "delete", "blackhole", record.network)
        process.run(Command(delete, timeout=_STEP_SECONDS), check=False)


def make_groups(groups: Iterable[str]) -> None:
    """Make the control groups."""
    for group in groups:
        Path(group).mkdir(exist_ok=True)


def remove_groups(groups: Iterable[str]) -> None:
    """Remove control groups with all below; raises FailedError when something is still in one."""
    for group in groups:
        folder = Path(group)
        wait_until(partial(_removed, folder), _END_SECONDS, f"{group} is still in use")


def _removed(folder: Path) -> bool:
    if not folder.exists():
        return True
    below = sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True)
    with suppress(OSError):
        for path in (*below, folder):
            path.rmdir()
    return not folder.exists()


def wait_until(done: Callable[[], bool], seconds: float, brief: str) -> None:
    """Wait until `done`. Raises FailedError after `seconds`."""
    deadline = clock.monotonic() + seconds
    while not done():
        if clock.monotonic() > deadline:
            raise FailedError(brief, details=f"waited {seconds:g} s", resolution="Run the same command again.")
        clock.sleep(0.02)


def log_tail(path: Path, lines: int = 15) -> str:
    """Return the last lines of a log."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return f"{path}: nothing"
