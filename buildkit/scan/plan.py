# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Decides what has to be scanned, and says why: nothing whose image, scanner, Dockerfile and database are the same. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from buildkit.scan.report import Key, ScanReport
from stackway.console import Table


class ScanKind(StrEnum):
    """What happens to an image."""

    SCAN = "scan"
    REJUDGE = "rejudge"
    KEEP = "keep"


@dataclass(frozen=True)
class ScanAction:
    """One image's part of a plan: its key, what is done, and why."""

    image: str
    key: Key
    kind: ScanKind
    reason: str


@dataclass(frozen=True)
class ScanPlan:
    """What a scan will do, in the order of the images' names."""

    actions: tuple[ScanAction, ...]

    @property
    def pending(self) -> list[ScanAction]:
        """What is not kept."""
        return [action for action in self.actions if action.kind is not ScanKind.KEEP]

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON-ready data."""
        return {
            "apiVersion": "stackway/v1",
            "kind": "ScanPlan",
            "actions": [
                {"image": item.image, "digest": item.key.digest, "action": str(item.kind), "reason": item.reason}
                for item in self.actions
            ],
        }

    def to_table(self) -> Table:
        """Return the plan for people."""
        return Table(("IMAGE", "ACTION", "WHY"), [(item.image, str(item.kind), item.reason) for item in self.actions])


def plan_scans(wanted: Mapping[str, Key], known: Mapping[str, ScanReport], *, force: bool = False) -> ScanPlan:
    """Return the plan for images (image → key), given the last report of each."""
    return ScanPlan(tuple(_plan(image, wanted[image], known.get(image), force=force) for image in sorted(wanted)))


def _plan(image: str, key: Key, last: ScanReport | None, *, force: bool) -> ScanAction:
    if force:
        return ScanAction(image, key, ScanKind.SCAN, "asked to scan it anew (--force)")
    if last is None:
        return ScanAction(image, key, ScanKind.SCAN, "it was never scanned here")
    for name, before, after in (
        ("the image is another", last.key.digest, key.digest),
        ("the scanner is another", last.key.scanner, key.scanner),
        ("the scanner is asked otherwise", last.key.questions, key.questions),
    ):
        if before != after:
            return ScanAction(image, key, ScanKind.SCAN, name)
    if last.key.database != key.database:
        when = f"{last.key.database.updated} \N{RIGHTWARDS ARROW} {key.database.updated}"
        return ScanAction(image, key, ScanKind.REJUDGE, f"the database is another ({when})")
    if last.key.dockerfile != key.dockerfile:
        return ScanAction(image, key, ScanKind.REJUDGE, "its Dockerfile is another")
    return ScanAction(image, key, ScanKind.KEEP, "image, scanner and database are the same")
