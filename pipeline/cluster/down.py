# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Carries out the plan of `down`: ends and removes what the record names, and nothing else."""

import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from pipeline.cluster import keeper, machine
from pipeline.cluster.cluster import Cluster, look, only_one
from pipeline.cluster.layout import Home
from pipeline.cluster.plan import Action, Step, plan_down
from pipeline.cluster.record import Record
from stackway.errors import FailedError

if TYPE_CHECKING:
    from collections.abc import Callable


def plan(cluster: Cluster) -> tuple[Step, ...]:
    """Return what `down` would do."""
    return plan_down(look(cluster))


def down(cluster: Cluster) -> tuple[Step, ...]:
    """End the cluster and remove all of it; return the steps, none when nothing was there.

    Raises FailedError when something cannot be removed; what was removed stays so, and `down` again goes on.
    """
    with only_one(cluster):
        steps = plan(cluster)
        for step in steps:
            cluster.reporter.task("cluster", f"{step.action}: {step.reason}")
            _carry_out(cluster, step.action)
    with suppress(OSError):
        # The state folder itself, when it was made for the cluster only.
        cluster.home.path.parent.rmdir()
    return steps


def _carry_out(cluster: Cluster, action: Action) -> None:
    home, record = cluster.home, cluster.record
    actions: dict[Action, Callable[[], None]] = {
        Action.END: lambda: keeper.end_keeper(home),
        Action.FILES: lambda: _remove_files(home),
    }
    if record:
        actions[Action.UNLINK] = lambda: _unlink(record)
        actions[Action.UNGROUP] = lambda: keeper.remove_groups(record.groups)
    actions[action]()


def _unlink(record: Record) -> None:
    with machine.alone():
        keeper.remove_link(record)


def _remove_files(home: Home) -> None:
    """Remove the folder, the record last: while anything is left, the record is, too."""
    keeper.end_unrecorded(home)
    try:
        for path in sorted(home.path.iterdir(), key=lambda path: path.name == "record.json"):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        home.path.rmdir()
    except OSError as error:
        raise FailedError(
            "the files of the local cluster cannot be removed",
            details=str(error),
            resolution="End what uses them, and run `release cluster down` again.",
        ) from error
    # What begins from here on finds no files, and ends by itself.
    keeper.end_unrecorded(home)
