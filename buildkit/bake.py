# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Writes the one bake plan of a build, and reads the builder's progress back into images and steps. Pure.

Formats: bake's JSON file; BuildKit's `rawjson` progress, one object a line with vertexes, statuses and logs.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePath
from typing import Any

from buildkit.context import BuildContext

SMOKE = "-smoke"
CONTEXT = "context"
BOOTSTRAP_TAG = "bootstrap"
_TRANSFER = re.compile(
    r"\[(?:[a-z0-9_-]+ )?(?:internal\] load build context|context [^]]+\] (?:OCI )?load from client)"
)
_NAME = re.compile(
    r"\[(?:(?P<target>[a-z0-9_-]+) )?(?P<stage>[a-z0-9._-]+) +(?P<step>\d+)/(?P<steps>\d+)\] (?P<text>.*)", re.DOTALL
)


def target_of(context: BuildContext) -> str:
    """Return the bake target of an image; bake allows no dots."""
    return context.slug.replace(".", "_")


@dataclass(frozen=True)
class BakeFolders:
    """Where a build's context is, where its results go, and whose checks failed last time and are run anew."""

    context: PurePath
    output: PurePath
    again: frozenset[str] = frozenset()


def bake_file(contexts: Iterable[BuildContext], folders: BakeFolders) -> dict[str, Any]:
    """Return bake's plan: for each image one target that writes an OCI layout, and one that runs its checks."""
    targets: dict[str, Any] = {}
    for context in contexts:
        name = target_of(context)
        common = {
            "context": str(folders.context),
            "contexts": _named_contexts(context, folders.context),
            "dockerfile": f"dockerfiles/{context.slug}.Dockerfile",
            "args": {"SOURCE_DATE_EPOCH": str(context.locks.base.epoch)},
            "platforms": ["linux/amd64"],
        }
        layout = f"type=oci,tar=false,dest={folders.output / context.slug},compression=zstd,force-compression=true"
        targets[name] = {**common, "target": "image", "output": [layout]}
        report = f"type=local,dest={folders.output / context.slug}{SMOKE}"
        targets[name + SMOKE] = {**common, "target": "report", "output": [report]}
        if context.slug in folders.again:
            targets[name + SMOKE]["no-cache-filter"] = ["smoke"]
    return {"group": {"default": {"targets": sorted(targets)}}, "target": targets}


def _named_contexts(context: BuildContext, folder: PurePath) -> dict[str, str]:
    """Return name → place of what many images are built from: whole folders, so that all targets ask for the same."""
    base = context.base.name
    found = {f"bootstrap:{base}": f"oci-layout://{folder / 'bootstrap' / base}:{BOOTSTRAP_TAG}"}
    return found | {name: str(folder / place) for name, place in context.folders.items()}


@dataclass
class Step:
    """One step of a stage, as far as the builder has told."""

    target: str
    stage: str
    text: str
    started: datetime | None = None
    completed: datetime | None = None
    cached: bool = False
    error: str = ""
    log: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"[{self.stage}] {self.text}"

    @property
    def seconds(self) -> float:
        """How long it took, 0 while nobody knows."""
        return (self.completed - self.started).total_seconds() if self.started and self.completed else 0.0


@dataclass
class Progress:
    """What the builder has told so far. Fed line by line; asked for steps, failures and the share that is done."""

    steps: dict[str, Step] = field(default_factory=dict)
    other: list[str] = field(default_factory=list)

    def feed(self, line: str) -> list[Step]:
        """Take one line of progress; return the steps it tells something new of."""
        try:
            content = json.loads(line)
        except ValueError:
            self.other.append(line)
            return []
        if not isinstance(content, dict):
            self.other.append(line)
            return []
        changed = [step for vertex in content.get("vertexes") or [] if (step := self._vertex(vertex))]
        for entry in content.get("logs") or []:
            step = self.steps.get(str(entry.get("vertex")))
            if step:
                step.log += _text(entry.get("data", "")).splitlines()
        return changed

    def _vertex(self, vertex: Mapping[str, Any]) -> Step | None:
        digest, name = str(vertex.get("digest")), str(vertex.get("name", ""))
        found = _NAME.match(name)
        if _TRANSFER.match(name):
            return Step(
                "", CONTEXT, "packages and files", _moment(vertex.get("started")), _moment(vertex.get("completed"))
            )
        if not found:
            if vertex.get("error"):
                self.other.append(f"{vertex.get('name')}: {vertex['error']}")
            return None
        target = (found["target"] or "").removesuffix(SMOKE)
        step = self.steps.setdefault(digest, Step(target, found["stage"], found["text"]))
        step.started = _moment(vertex.get("started")) or step.started
        step.completed = _moment(vertex.get("completed")) or step.completed
        step.cached = step.cached or bool(vertex.get("cached"))
        step.error = str(vertex.get("error") or step.error)
        return step

    def failures(self) -> list[Step]:
        """Return the steps that failed by themselves, not because others did."""
        return [step for step in self.steps.values() if step.error and not re.search(r"cancel+ed", step.error)]

    def done(self) -> float:
        """Return the share of the known steps that are done, from 0 to 1."""
        return sum(step.completed is not None for step in self.steps.values()) / max(len(self.steps), 1)


def _moment(text: Any) -> datetime | None:
    """Return a time stamp of the builder's, RFC 3339."""
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def _text(data: Any) -> str:
    """Return a log entry's text: base64 in the builder's JSON."""
    try:
        return base64.b64decode(str(data), validate=True).decode(errors="replace")
    except (ValueError, binascii.Error):
        return str(data)


def owners(step: Step, contexts: Iterable[BuildContext]) -> list[BuildContext]:
    """Return the images whose build contains the step: one builder's step may serve many images, told of under one name."""
    found = list(contexts)
    first = next((context for context in found if target_of(context) == step.target), None)
    if first is None:
        return []
    key = stage_key(first, step.stage)
    return [context for context in found if stage_key(context, step.stage) == key]


def stage_key(context: BuildContext, stage: str) -> tuple[str, ...]:
    """Return what a stage depends on: images with equal keys share it, if they have it at all."""
    if stage in {"bootstrap", "os"}:
        return (context.base.name, stage)
    if stage == "interpreter" and context.service.layout == "python":
        return (context.base.name, stage, str(context.service.user))
    names = {item.stage for item in context.stages}
    if stage in names and stage not in {"python-own", "python-replaced"}:
        return (context.service.series, stage)
    return (context.slug, stage)
