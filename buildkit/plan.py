# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Decides which images are built, and says why. Pure: compares what images are made of with what was recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from stackway.console import Table
from stackway.files import digest_json

_READABLE = 40  # characters of a value that a reason repeats


class ActionKind(StrEnum):
    """What happens to an image."""

    BUILD = "build"
    KEEP = "keep"


@dataclass(frozen=True)
class BuildRecord:
    """What was recorded of an image's last good build: its inputs, and the digest of its manifest."""

    image: str
    inputs: Mapping[str, str]
    digest: str


@dataclass(frozen=True)
class BuildAction:
    """One image's part of a plan; `digest` is that of the image which is kept."""

    image: str
    kind: ActionKind
    reasons: tuple[str, ...]
    digest: str = ""

    @property
    def reason(self) -> str:
        """The reasons in one line, the first three of them in full."""
        shown = "; ".join(self.reasons[:3])
        return f"{shown}; and {len(self.reasons) - 3} more" if len(self.reasons) > 3 else shown  # noqa: PLR2004


@dataclass(frozen=True)
class BuildPlan:
    """What a build will do, image by image, in the order of their names."""

    actions: tuple[BuildAction, ...]

    @property
    def builds(self) -> list[BuildAction]:
        """The images that will be built."""
        return [action for action in self.actions if action.kind is ActionKind.BUILD]

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON-ready data."""
        return {
            "apiVersion": "stackway/v1",
            "kind": "BuildPlan",
            "actions": [
                {
                    "image": item.image,
                    "action": str(item.kind),
                    "reasons": list(item.reasons),
                    "digest": item.digest or None,
                }
                for item in self.actions
            ],
        }

    def to_table(self) -> Table:
        """Return the plan for people."""
        return Table(("IMAGE", "ACTION", "WHY"), [(item.image, str(item.kind), item.reason) for item in self.actions])


@dataclass(frozen=True)
class Known:
    """What is known of earlier builds: records, and image → what is wrong with it in the store."""

    records: Mapping[str, BuildRecord]
    damaged: Mapping[str, str]


def plan_build(wanted: Mapping[str, Mapping[str, str]], known: Known, *, force: str = "") -> BuildPlan:
    """Return the plan for the `wanted` images (image → inputs). `force` is the reason to build all of them all the same."""
    return BuildPlan(tuple(_plan_image(image, wanted[image], known, force) for image in sorted(wanted)))


def _plan_image(image: str, inputs: Mapping[str, str], known: Known, force: str) -> BuildAction:
    record = known.records.get(image)
    if force:
        return BuildAction(image, ActionKind.BUILD, (force,))
    if record is None:
        return BuildAction(image, ActionKind.BUILD, ("it was never built here",))
    if image in known.damaged:
        return BuildAction(image, ActionKind.BUILD, (known.damaged[image],))
    if digest_json(dict(record.inputs)) == digest_json(dict(inputs)):
        return BuildAction(image, ActionKind.KEEP, ("nothing it is made of has changed",), record.digest)
    return BuildAction(image, ActionKind.BUILD, tuple(explain(record.inputs, inputs)))


def explain(before: Mapping[str, str], after: Mapping[str, str]) -> Sequence[str]:
    """Return what differs between two sets of inputs, in words; the Dockerfile as a whole only when nothing finer does."""
    names = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    finer = [name for name in names if name != "Dockerfile"]
    return [_difference(name, before.get(name), after.get(name)) for name in finer or names]


def _difference(name: str, before: str | None, after: str | None) -> str:
    if before is None:
        return f"{name} is new"
    if after is None:
        return f"{name} is gone"
    old, new = _short(before), _short(after)
    return f"{name} changed" if old == new or not old or not new else f"{name} {old} \N{RIGHTWARDS ARROW} {new}"


def _short(value: str) -> str:
    """Return the part of a value that a person reads: a version or a few words, no digest and no long text."""
    text = value.split(" sha256:", 1)[0]
    return "" if text.startswith("sha256:") or len(text) > _READABLE else text
