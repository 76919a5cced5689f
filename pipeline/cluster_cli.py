# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The commands `release cluster …`: a Kubernetes of this checkout's own, for those who have none. Arguments in, results out."""

import argparse
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from stackway.commands import Command, Group, Session
from stackway.console import Table
from stackway.errors import ExitCode

if TYPE_CHECKING:
    from pipeline.cluster.cluster import Cluster
    from pipeline.cluster.plan import Step
    from pipeline.cluster.up import Outcome


def _configure_dry(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would be done and why: 0 nothing, 3 something"
    )


def _open(session: Session) -> "Cluster":
    from pipeline.cluster.cluster import open_cluster
    from releases.opening import state_of

    return open_cluster(state_of(session), session.settings.cache_path, session.reporter)


def _steps(steps: "tuple[Step, ...]") -> Table:
    return Table(("STEP", "WHY"), [(str(step.action), step.reason) for step in steps])


def _up(session: Session) -> ExitCode:
    from pipeline.cluster import up

    cluster = _open(session)
    if session.arguments.dry_run:
        return _planned(session, up.plan(cluster))
    done = up.up(cluster)
    value = {
        "steps": [str(step.action) for step in done.steps],
        "seconds": done.seconds,
        "kubeconfig": str(cluster.kubeconfig),
    }
    session.show(value, *_told(done), _use(cluster))
    return ExitCode.DONE


def _told(done: "Outcome") -> "tuple[Table | str, ...]":
    if not done.steps:
        return ("the cluster runs, and all is well; nothing was done",)
    rows = [(str(step.action), f"{done.seconds[step.action]:.2f}", step.reason) for step in done.steps]
    took = sum(done.seconds.values())
    return Table(("STEP", "SECONDS", "WHY"), rows, ("SECONDS",)), f"the cluster takes pods after {took:.1f} s"


def _use(cluster: "Cluster") -> str:
    return f"export KUBECONFIG={cluster.kubeconfig}\n{cluster.home.kubectl} get pods --all-namespaces"


def _planned(session: Session, steps: "tuple[Step, ...]") -> ExitCode:
    value = [{"step": str(step.action), "reason": step.reason} for step in steps]
    session.show(value, *((_steps(steps),) if steps else ("nothing to do",)))
    return ExitCode.CHANGES_PENDING if steps else ExitCode.DONE


def _down(session: Session) -> ExitCode:
    from pipeline.cluster import down

    cluster = _open(session)
    if session.arguments.dry_run:
        return _planned(session, down.plan(cluster))
    steps = down.down(cluster)
    session.show(
        {"steps": [str(step.action) for step in steps]}, "the cluster is gone" if steps else "nothing was there"
    )
    return ExitCode.DONE


def _status(session: Session) -> ExitCode:
    from pipeline.cluster.cluster import programs_now, trouble

    cluster = _open(session)
    programs = programs_now(cluster)
    if not programs:
        session.show({"running": False}, "the cluster does not run; `release cluster up` starts it")
        return ExitCode.FAILED
    problem, addresses = trouble(cluster), cluster.running().addresses
    down = [name for name, entry in programs.items() if not entry["pid"]]
    total = sum(entry["memory"] for entry in programs.values())
    is_well = not problem and not down
    value = {
        "running": True,
        "healthy": is_well,
        "trouble": problem,
        "programs": programs,
        "memory": total,
        "kubeconfig": str(cluster.kubeconfig),
        "api": addresses.api,
        "pods": str(addresses.pods),
        "services": str(addresses.services),
    }
    told = "the node takes pods" if is_well else problem or f"{', '.join(down)} down; `release cluster up` mends it"
    where = f"API {addresses.api}, pods {addresses.pods}, services {addresses.services}"
    session.show(value, _programs(programs), f"{told}; {total / 1e6:.0f} MB in all\n{where}\n{_use(cluster)}")
    return ExitCode.DONE if is_well else ExitCode.FAILED


def _programs(programs: dict[str, dict[str, Any]]) -> Table:
    rows = [
        (
            name,
            str(entry["pid"] or "down"),
            datetime.fromtimestamp(entry["since"], UTC).strftime("%d %b %H:%M:%S") if entry["pid"] else entry["ended"],
            str(entry["starts"]),
            f"{entry['memory'] / 1e6:.0f} MB",
        )
        for name, entry in programs.items()
    ]
    return Table(("PROGRAM", "PID", "SINCE (UTC)", "STARTS", "MEMORY"), rows, ("PID", "STARTS", "MEMORY"))


def _configure_kubectl(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="+", metavar="WORD", help="what kubectl is told; write `--` before it")


def _kubectl(session: Session) -> NoReturn:
    cluster = _open(session)
    cluster.running()
    session.reporter.close()
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    # This program becomes kubectl: it has the terminal, the input and the signals for itself.
    os.execve(cluster.home.kubectl, ("kubectl", *session.arguments.words), environment)  # noqa: S606 - an argument list


CLUSTER = Group(
    "cluster",
    "a Kubernetes of this checkout's own, for those who have none",
    (
        Command("up", "start it, or mend it; nothing when all is well", _up, _configure_dry),
        Command("status", "show what of it runs", _status),
        Command("kubectl", "ask or change it by a kubectl that fits", _kubectl, _configure_kubectl),
        Command("down", "end it and remove all of it", _down, _configure_dry),
    ),
    standard="status",
)
