# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Judges the facts about a machine: what stands in the way of which purpose, and what to do about it. Pure."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from stackway.tools.choice import Status, ToolPlan
from stackway.tools.pins import Catalogue, GoWay, Purpose

GIGABYTE = 10**9
# Go's modules and its build cache take 3 GB, the builder's state for one series about as much.
_LEAST_FREE = 6 * GIGABYTE
_GOOD_FREE = 20 * GIGABYTE
# The linker of the largest tool was seen at 1.5 GB.
_LEAST_MEMORY = 2 * GIGABYTE
_OWN_BUILDER = "buildkitd"
# What needs the containers of this very machine.
_HERE = frozenset({Purpose.RUN, Purpose.CLUSTER})


class Severity(StrEnum):
    """How much a finding matters; a blocker stops at least one purpose."""

    BLOCKER = "blocker"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Machine:
    """Facts, sizes in bytes. `cgroup` is `1`, `2`, `hybrid` or `none`; `overlay` is None where only root could tell."""

    platform: str
    kernel: str
    is_root: bool
    processors: int
    memory: int
    cgroup: str
    overlay: bool | None
    cache: str
    free: int

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as JSON-ready data."""
        return asdict(self)


@dataclass(frozen=True)
class Finding:
    """One thing worth knowing: what it is about, what it is, what to do, and which purposes it stops."""

    severity: Severity
    subject: str
    message: str
    resolution: str
    blocks: frozenset[Purpose] = frozenset()


@dataclass(frozen=True)
class Facts:
    """All that is judged: the machine, the plan for every tool, the setting `builder`, and rights a cluster would lack."""

    machine: Machine
    plans: tuple[ToolPlan, ...]
    builder: str
    lacks: tuple[str, ...] = ()

    @property
    def may_use_own_builder(self) -> bool:
        """Whether a build may need the BuildKit that Stackway brings itself."""
        return self.builder in {"auto", "own"}

    def purposes(self, name: str) -> frozenset[Purpose]:
        """Return what cannot be done without the tool `name`, given the builder that is set."""
        catalogue = Catalogue({plan.tool.name: plan.tool for plan in self.plans}, {})
        found = {purpose for purpose in Purpose if name in {tool.name for tool in catalogue.needed_for(purpose)}}
        if not self.may_use_own_builder and name in {tool.name for tool in catalogue.with_needs((_OWN_BUILDER,))}:
            found -= {Purpose.BUILD}
        return frozenset(found)


def diagnose(facts: Facts) -> tuple[Finding, ...]:
    """Return every finding, the gravest first."""
    found = [*_system(facts), *_room(facts), *_tools(facts)]
    order = list(Severity)
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))


def _system(facts: Facts) -> Iterator[Finding]:
    machine = facts.machine
    own = frozenset({Purpose.BUILD} if facts.may_use_own_builder else set())
    if not machine.platform.startswith("linux/"):
        message = f"images are built and run by Linux, and this machine is {machine.platform}"
        yield _stop("system", message, "Set `builder` to a remote or Kubernetes builder.", own | _HERE)
        return
    if not machine.is_root:
        yield _unprivileged(facts.builder)
    elif facts.lacks:
        message = f"this root lacks {', '.join(facts.lacks)}, which a local cluster needs"
        resolution = "Run where root has all rights, or use a cluster elsewhere by its kubeconfig."
        yield _stop("rights", message, resolution, frozenset({Purpose.CLUSTER}))
    if machine.cgroup == "none":
        message = "no control groups are mounted, so no container can start"
        yield _stop("cgroup", message, "Mount them at /sys/fs/cgroup.", own | _HERE)
    if machine.cgroup in {"1", "hybrid"}:
        message = "control groups of version 1 are in use, which newer runc, containerd and Kubernetes drop"
        yield Finding(Severity.NOTE, "cgroup", message, "Nothing now; boot with version 2 when you can.")
    if machine.overlay is False and facts.may_use_own_builder:
        message = "overlay mounts are refused here, so the builder copies every layer"
        yield Finding(Severity.WARNING, "overlay", message, "Put the cache on another file system than overlay.")


def _unprivileged(builder: str) -> Finding:
    message = "containers are started by root, and this user is not root"
    resolution = "Run as root, or set `builder` to a Docker, remote or Kubernetes builder."
    if builder == "own":
        return _stop("user", message, resolution, _HERE | {Purpose.BUILD})
    return _stop("user", message, resolution, _HERE)


def _room(facts: Facts) -> Iterator[Finding]:
    machine = facts.machine
    free = f"{machine.free / GIGABYTE:.0f} GB are free in {machine.cache}"
    resolution = "Free some space, or name another folder by `cache` in stackway.toml or STACKWAY_CACHE."
    if machine.free < _LEAST_FREE:
        message = f"{free}, {_LEAST_FREE // GIGABYTE} GB are needed"
        yield _stop("disk", message, resolution, frozenset({Purpose.BUILD}))
    elif machine.free < _GOOD_FREE:
        message = f"{free}; two series and their history want {_GOOD_FREE // GIGABYTE} GB"
        yield Finding(Severity.WARNING, "disk", message, resolution)
    compiles = [plan.tool.name for plan in facts.plans if _is_compiled(plan)]
    if compiles and machine.memory < _LEAST_MEMORY:
        message = f"compiling {', '.join(compiles)} takes 2 GB of memory; there are {machine.memory / GIGABYTE:.1f} GB"
        yield Finding(Severity.WARNING, "memory", message, "Put the programs on PATH, or add memory for once.")


def _is_compiled(plan: ToolPlan) -> bool:
    return plan.status is Status.INSTALL and plan.chosen is not None and isinstance(plan.chosen.way, GoWay)


def _tools(facts: Facts) -> Iterator[Finding]:
    for plan in facts.plans:
        name, purposes = plan.tool.name, facts.purposes(plan.tool.name)
        for offer in plan.offers:
            if offer.suspect:
                yield Finding(Severity.WARNING, name, offer.reason, "It is not used; find out how it came there.")
        if plan.status is Status.INSTALL and purposes:
            yield Finding(
                Severity.NOTE, name, f"will be installed {plan.reason}", "Nothing; it comes when it is needed."
            )
        if plan.status in {Status.BY_HAND, Status.IMPOSSIBLE}:
            yield from _missing(plan, purposes)


def _missing(plan: ToolPlan, purposes: frozenset[Purpose]) -> Iterator[Finding]:
    tool = plan.tool
    resolution = f"Run `{plan.command}`." if plan.command else f"Put {tool.name} {tool.accept} on PATH."
    message = f"{tool.name}, which {tool.purpose}, is missing; {plan.reason}"
    if purposes:
        yield _stop(tool.name, message, resolution, purposes)
    elif tool.optional:
        yield Finding(Severity.WARNING, tool.name, message, resolution)


def _stop(subject: str, message: str, resolution: str, blocks: frozenset[Purpose]) -> Finding:
    return Finding(Severity.BLOCKER, subject, message, resolution, blocks)
