# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Decides what `up` and `down` do from what is there, with a reason for each step. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from pipeline.cluster.record import Record
from stackway.errors import FailedError, StackwayError, UnavailableError

# Images of ten services unpacked, objects, and logs.
LEAST_FREE = 4 * 10**9


class Action(StrEnum):
    """One thing that `up` or `down` can do."""

    PROGRAMS = "programs"
    END = "end"
    ADDRESSES = "addresses"
    KEYS = "keys"
    CONFIGURATION = "configuration"
    GROUPS = "groups"
    WORLD = "world"
    LINK = "link"
    API = "api"
    OBJECTS = "objects"
    NODE = "node"
    UNLINK = "unlink"
    UNGROUP = "ungroup"
    FILES = "files"


@dataclass(frozen=True)
class Step:
    """An action and why."""

    action: Action
    reason: str


@dataclass(frozen=True)
class Facts:
    """What decides: what is recorded, whether its link is there, which processes run, what this process may do.

    `original` is the folder that this one was copied from while that one's cluster was there; empty when it was not.
    """

    home: str
    exists: bool
    record: Record | None
    keeper: int
    has_link: bool
    original: str = ""
    down: tuple[str, ...] = ()
    trouble: str = ""
    lacks: tuple[str, ...] = ()
    free: int = LEAST_FREE


def plan_up(facts: Facts) -> tuple[Step, ...]:
    """Return the steps, none when all is well. Raises UnavailableError or FailedError when this machine cannot."""
    if problem := _obstacle(facts):
        raise problem
    if facts.record and facts.keeper and facts.has_link:
        return tuple(_repair(facts, facts.record))
    return tuple(_start(facts))


def plan_down(facts: Facts) -> tuple[Step, ...]:
    """Return the steps that leave nothing, none when there is nothing."""
    return tuple(_remove(facts))


def _obstacle(facts: Facts) -> StackwayError | None:
    if facts.lacks:
        return UnavailableError(
            "a local cluster cannot run with the rights of this process",
            details=f"missing: {', '.join(facts.lacks)}",
            resolution="Run as root of the machine itself, or use a cluster elsewhere by its kubeconfig.",
        )
    if facts.original:
        return UnavailableError(
            "this is a copy of the local cluster of another folder",
            details=f"{facts.home} is a copy of {facts.original}",
            resolution="`release cluster down` here removes the copy only; then `up` makes a cluster of this folder's own.",
        )
    if facts.free < LEAST_FREE and not facts.keeper:
        return FailedError(
            "there is too little room for a local cluster",
            details=f"{facts.home}: {facts.free / 1e9:.1f} GB are free, {LEAST_FREE / 1e9:.0f} GB are needed",
            resolution="Free some space there, or name another folder with --state.",
        )
    return None


def _repair(facts: Facts, record: Record) -> Iterator[Step]:
    reason = ""
    if facts.down:
        reason = f"{', '.join(facts.down)} {'has' if len(facts.down) == 1 else 'have'} ended"
    reason = reason or facts.trouble or ("" if record.complete else "the last start was not finished")
    if reason:
        yield Step(Action.API, reason)
        yield Step(Action.OBJECTS, "they must be there, and equal ones are not changed")
        yield Step(Action.NODE, "it must be ready, and names must be answered")


def _start(facts: Facts) -> Iterator[Step]:
    why = "nothing runs"
    if facts.keeper:
        why = "it was started without its link: the last start was not finished"
    elif facts.record:
        why = "its processes are gone: the machine was restarted, or somebody ended them"
    yield Step(Action.PROGRAMS, "what this machine has not is brought")
    if facts.keeper or facts.record:
        yield Step(Action.END, why)
    yield Step(
        Action.ADDRESSES, "kept from the last start" if facts.record else "the first network that nobody here uses"
    )
    yield Step(Action.KEYS, "kept while they are good for the addresses and for two months more")
    yield Step(Action.CONFIGURATION, "follows the addresses and programs")
    yield Step(Action.GROUPS, "the kubelet puts the pods below one control group of ours")
    yield Step(Action.WORLD, why)
    yield Step(Action.LINK, "it is the only way between this machine and the cluster")
    yield Step(Action.API, "everything else asks it")
    yield Step(Action.OBJECTS, "rights, names, metrics and storage")
    yield Step(Action.NODE, "it must be ready, and names must be answered")


def _remove(facts: Facts) -> Iterator[Step]:
    if facts.original:
        yield Step(Action.FILES, f"everything in {facts.home} is a copy; the cluster of {facts.original} stays")
        return
    if facts.keeper:
        yield Step(Action.END, f"process {facts.keeper} keeps the cluster; all in its namespaces ends with it")
    if facts.record:
        link, network = facts.record.link, facts.record.network
        yield Step(Action.UNLINK, f"the link {link} and the routes of {network} are recorded as made")
        yield Step(Action.UNGROUP, f"{len(facts.record.groups)} control groups are recorded as made")
    if facts.exists:
        yield Step(Action.FILES, f"everything in {facts.home} is the cluster's")
