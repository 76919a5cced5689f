# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The commands `release cluster …`: a Kubernetes of this checkout's own, for those who have none. Arguments in, results out."""

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from stackway.commands import Command, Group, Session
from stackway.console import Table
from stackway.errors import ExitCode, StackwayError

if TYPE_CHECKING:
    from pipeline.cluster.cluster import Cluster
    from pipeline.cluster.plan import Step


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
    took = sum(done.seconds.values())
    told = f"the cluster takes pods after {took:.1f} s" if done.steps else "the cluster runs, and all is well"
    session.show(value, f"{told}\nexport KUBECONFIG={cluster.kubeconfig}")
    return ExitCode.DONE


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
    from pipeline.cluster.cluster import node_trouble, programs_now

    cluster = _open(session)
    programs = programs_now(cluster)
    if not programs:
        session.show({"running": False}, "the cluster does not run; `release cluster up` starts it")
        return ExitCode.FAILED
    try:
        trouble = node_trouble(cluster.api())
    except StackwayError as error:
        trouble = error.brief
    rows = [
        (
            name,
            str(entry["pid"] or "down"),
            datetime.fromtimestamp(entry["since"], UTC).strftime("%H:%M:%S") if entry["since"] else entry["ended"],
            str(entry["starts"]),
            f"{entry['memory'] / 1e6:.0f} MB",
        )
        for name, entry in programs.items()
    ]
    down = [name for name, entry in programs.items() if not entry["pid"]]
    total = sum(entry["memory"] for entry in programs.values())
    is_well = not trouble and not down
    value = {
        "running": True,
        "healthy": is_well,
        "trouble": trouble,
        "programs": programs,
        "memory": total,
        "kubeconfig": str(cluster.kubeconfig),
    }
    told = "the node takes pods" if is_well else trouble or f"{', '.join(down)} down; `release cluster up` mends it"
    session.show(
        value,
        Table(("PROGRAM", "PID", "SINCE (UTC)", "STARTS", "MEMORY"), rows, ("PID", "STARTS", "MEMORY")),
        f"{told}; {total / 1e6:.0f} MB in all\nexport KUBECONFIG={cluster.kubeconfig}",
    )
    return ExitCode.DONE if is_well else ExitCode.FAILED


CLUSTER = Group(
    "cluster",
    "a Kubernetes of this checkout's own, for those who have none",
    (
        Command("up", "start it, or mend it; nothing when all is well", _up, _configure_dry),
        Command("status", "show what of it runs", _status),
        Command("down", "end it and remove all of it", _down, _configure_dry),
    ),
    standard="status",
)
