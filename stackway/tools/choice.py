# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Chooses the way to get a tool from what was found on the machine, with a reason for each way. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from packaging.version import Version

from stackway.tools.pins import DebianWay, DownloadWay, GoWay, PathWay, PythonWay, Tool, Way, WheelWay

_UPSTREAM = re.compile(r"(?:\d+:)?(\d+(?:\.\d+)*)")


class Status(StrEnum):
    """What there is to do before the tool can be used."""

    PRESENT = "present"
    INSTALL = "install"
    BY_HAND = "by hand"
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True)
class Sighting:
    """A program that is there: the version it tells (None when it tells none) and all that it printed."""

    path: Path
    version: str | None
    output: str = ""


@dataclass(frozen=True)
class Findings:
    """What decides about one tool. `clients` are the tools that can be used to bring it, `candidates` what apt offers."""

    platform: str
    is_root: bool
    clients: frozenset[str]
    on_path: Sighting | None = None
    in_python: Sighting | None = None
    in_cache: Mapping[Way, Path] = field(default_factory=dict)
    damaged: frozenset[Way] = frozenset()
    candidates: Mapping[str, str] = field(default_factory=dict)
    forced: str = ""


@dataclass(frozen=True)
class Offer:
    """What one way offers: its status, why, and where the program is, or what a person would have to type.

    `suspect` says that what is there is damaged, or of a version that is never used.
    """

    way: Way
    status: Status
    reason: str
    path: Path | None = None
    command: str = ""
    suspect: bool = False


@dataclass(frozen=True)
class ToolPlan:
    """The way chosen for a tool, None when there is none, and the other ways with the reason why not."""

    tool: Tool
    status: Status
    chosen: Offer | None
    others: tuple[Offer, ...]

    @property
    def path(self) -> Path | None:
        """Where the program is, when it is there."""
        return self.chosen.path if self.chosen else None

    @property
    def offers(self) -> tuple[Offer, ...]:
        """What every way offers, the chosen one first."""
        return (self.chosen, *self.others) if self.chosen else self.others

    @property
    def reason(self) -> str:
        """Why this way, or why none, in one line."""
        if self.chosen:
            return self.chosen.reason
        return "; ".join(f"{offer.way.kind}: {offer.reason}" for offer in self.others)

    @property
    def command(self) -> str:
        """What a person has to type where Stackway may not do it."""
        return self.chosen.command if self.chosen else ""


def plan_tool(tool: Tool, findings: Findings) -> ToolPlan:
    """Return what to do about `tool`: what is there beats what must be brought, then the order in `tools.toml` decides."""
    offers = [_offer(tool, way, findings) for way in tool.ways]
    for status in (Status.PRESENT, Status.INSTALL, Status.BY_HAND):
        for offer in offers:
            if offer.status is status:
                others = [_passed_over(other, offer) for other in offers if other is not offer]
                return ToolPlan(tool, status, offer, tuple(others))
    return ToolPlan(tool, Status.IMPOSSIBLE, None, tuple(offers))


def _passed_over(offer: Offer, chosen: Offer) -> Offer:
    if offer.status is Status.IMPOSSIBLE:
        return offer
    return replace(offer, reason=f"not needed, {chosen.way.kind} serves")


def _offer(tool: Tool, way: Way, findings: Findings) -> Offer:
    if findings.forced and way.kind != findings.forced:
        return Offer(way, Status.IMPOSSIBLE, f"the way {findings.forced!r} is asked for")
    if way in findings.in_cache:
        return Offer(way, Status.PRESENT, "is in the cache and unchanged", findings.in_cache[way])
    offer = _fresh_offer(tool, way, findings)
    if way in findings.damaged and offer.status is Status.INSTALL:
        return replace(offer, reason=f"the one in the cache was changed by somebody; {offer.reason}", suspect=True)
    return offer


def _fresh_offer(tool: Tool, way: Way, findings: Findings) -> Offer:
    match way:
        case PathWay():
            return _seen(tool, way, findings.on_path, "is on PATH")
        case PythonWay():
            return _seen(tool, way, findings.in_python, f"comes with the Python package {way.module}")
        case WheelWay():
            what = f"from the wheel {way.distribution} {way.version} ({way.takes})"
            return _pinned(way, "uv", what, findings)
        case DownloadWay():
            return _pinned(way, "", f"from {way.url} ({way.takes})", findings)
        case GoWay():
            return _compiled(way, findings)
        case DebianWay():
            return _packaged(way, findings)


def _seen(tool: Tool, way: Way, sighting: Sighting | None, where: str) -> Offer:
    if sighting is None:
        return Offer(way, Status.IMPOSSIBLE, "is not there")
    if objection := tool.objection(sighting.version, sighting.output):
        refused = sighting.version is not None and tool.refuses(sighting.version)
        return Offer(way, Status.IMPOSSIBLE, f"{sighting.path}: {objection}", suspect=refused)
    return Offer(way, Status.PRESENT, f"{sighting.version} {where}", sighting.path)


def _pinned(way: WheelWay | DownloadWay, client: str, what: str, findings: Findings) -> Offer:
    if way.platform != findings.platform:
        reason = f"is pinned for {way.platform} only, and this machine is {findings.platform}"
        return Offer(way, Status.IMPOSSIBLE, reason)
    if client and client not in findings.clients:
        return Offer(way, Status.IMPOSSIBLE, f"needs {client}, which cannot be had")
    return Offer(way, Status.INSTALL, what)


def _compiled(way: GoWay, findings: Findings) -> Offer:
    if not findings.platform.startswith("linux/"):
        return Offer(way, Status.IMPOSSIBLE, f"runs on Linux only, and this machine is {findings.platform}")
    if "go" not in findings.clients:
        return Offer(way, Status.IMPOSSIBLE, "needs go, which cannot be had")
    return Offer(way, Status.INSTALL, f"compiled from the pinned Go module {way.module} ({way.takes})")


def _packaged(way: DebianWay, findings: Findings) -> Offer:
    command = f"apt-get install --no-install-recommends {way.package}"
    if "apt-get" not in findings.clients:
        return Offer(way, Status.IMPOSSIBLE, "there is no apt-get on this machine")
    candidate = findings.candidates.get(way.package, "")
    if candidate and not is_at_least(candidate, way.minimum):
        return Offer(way, Status.IMPOSSIBLE, f"apt offers {candidate}, {way.minimum} is needed")
    if not findings.is_root:
        return Offer(way, Status.BY_HAND, f"needs root: `sudo {command}`", command=f"sudo {command}")
    return Offer(way, Status.INSTALL, f"from the Debian package {way.package} {candidate}".rstrip() + f" ({way.takes})")


def is_at_least(debian_version: str, minimum: str) -> bool:
    """Return whether a Debian version's upstream numbers reach `minimum` (epoch, suffixes and revision do not count)."""
    upstream = _UPSTREAM.match(debian_version)
    return upstream is not None and Version(upstream.group(1)) >= Version(minimum)
