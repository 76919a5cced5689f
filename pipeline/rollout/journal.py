# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The journal of an upgrade, in the cluster: what will be done is written before it is done, with all that was there before.

A line is an immutable ConfigMap whose name is its number, and only one runner can make it: whoever comes second learns that
somebody else has gone on, before anything is changed. So a tool may die at any moment, and another machine goes on.
"""

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.api import Api, Object
from pipeline.manifests.objects import make
from pipeline.rollout.advance import Line, Progress, progress, read_line, to_data
from pipeline.rollout.plan import RolloutPlan, read_plan
from stackway.errors import FailedError, UnavailableError, WrongInputError
from stackway.files import canonical_json

ROLLOUT = "stackway.dev/rollout"
_OWNER = {"app.kubernetes.io/managed-by": "stackway-rollout"}
_PASSING = ("managedFields", "uid", "resourceVersion", "creationTimestamp", "generation", "selfLink", "ownerReferences")
Key = tuple[str, str]
Before = Mapping[Key, Object | None]


class FencedError(FailedError):
    """Somebody else goes on with this upgrade."""


class DamagedError(UnavailableError):
    """The journal of an upgrade cannot be read."""


@dataclass
class Journal:
    """One upgrade's plan and lines."""

    api: Api = field(repr=False)
    namespace: str
    number: int
    plan: RolloutPlan
    lines: list[Line] = field(default_factory=list)
    befores: dict[int, Before] = field(default_factory=dict)
    runner: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def progress(self) -> Progress:
        """How far it has come."""
        return progress(self.lines)

    def append(self, line: Line, before: Before | None = None) -> None:
        """Write a line. Raises FencedError when somebody else has written one meanwhile."""
        rows = [{"kind": kind, "name": name, "object": item} for (kind, name), item in (before or {}).items()]
        texts = {"line.json": canonical_json(to_data(line)).decode(), "before.json": canonical_json(rows).decode()}
        item = _map(self.namespace, self.number, self._name(len(self.lines)), {**texts, "runner": self.runner})
        _take(self, texts if self.api.create(item) else self._own(item["metadata"]["name"]))

    def refuse_overtaken(self) -> None:
        """Raise FencedError when somebody else has written the next line already."""
        name = self._name(len(self.lines))
        if self.api.get("ConfigMap", name, self.namespace):
            self._own(name)

    def _name(self, line: int) -> str:
        return f"rollout-{self.number}-{line:05}"

    def _own(self, name: str) -> Mapping[str, str]:
        """Return a line that was made though its answer got lost. Raises FencedError when it is somebody else's."""
        texts: Mapping[str, str] = (self.api.get("ConfigMap", name, self.namespace) or {}).get("data") or {}
        if texts.get("runner") == self.runner:
            return texts
        raise FencedError(
            "somebody else goes on with this upgrade",
            details=f"line {len(self.lines)} of rollout {self.number} in {self.namespace} is written already",
            resolution="Nothing was changed by this one. `release status` shows how it goes on.",
        )


def begin(api: Api, namespace: str, plan: RolloutPlan) -> Journal:
    """Return a new journal. Raises FencedError when somebody else has begun one at the same moment."""
    number = max(_numbers(api, namespace), default=0) + 1
    texts = {"plan.json": canonical_json(plan.to_dict()).decode()}
    if not api.create(_map(namespace, number, f"rollout-{number}", texts)):
        raise FencedError(
            "somebody else has begun an upgrade",
            details=f"rollout {number} in {namespace}",
            resolution="Let it end first.",
        )
    return Journal(api, namespace, number, plan)


def latest(api: Api, namespace: str) -> Journal | None:
    """Return the journal of the newest upgrade, None when there was never one. Raises UnavailableError when it is damaged."""
    number = max(_numbers(api, namespace), default=0)
    if not number:
        return None
    items = {
        str(item["metadata"]["name"]): item["data"]
        for item in api.list("ConfigMap", namespace, f"{ROLLOUT}={number}")[0]
    }
    try:
        journal = Journal(api, namespace, number, read_plan(json.loads(items[f"rollout-{number}"]["plan.json"])))
        for texts in _in_order(items, number):
            _take(journal, texts)
    except (KeyError, ValueError, TypeError) as error:
        raise DamagedError(
            f"the journal of rollout {number} cannot be read",
            details=f"ConfigMaps rollout-{number}… in {namespace}: {error!r}",
            resolution="Somebody has changed it. `release deploy` removes it and makes the pinned release whole without it.",
        ) from error
    return journal


@dataclass
class Follower:
    """Reads the newest journal again and again, and what it holds only when there is more of it."""

    api: Api = field(repr=False)
    namespace: str
    _known: frozenset[str] = frozenset()
    _journal: Journal | None = None

    def latest(self) -> Journal | None:
        """Return the newest journal, None when there was never one. Raises UnavailableError when it is damaged."""
        names = self.api.names("ConfigMap", self.namespace, ROLLOUT)
        if names != self._known:
            self._journal, self._known = latest(self.api, self.namespace), names
        return self._journal


def _take(journal: Journal, texts: Mapping[str, str]) -> None:
    line = read_line(json.loads(texts["line.json"]))
    journal.lines.append(line)
    if rows := json.loads(texts["before.json"]):
        journal.befores[line.step] = {(row["kind"], row["name"]): row["object"] for row in rows}


def unfinished(api: Api, namespace: str) -> Journal | None:
    """Return the journal of an upgrade that has not ended."""
    found = latest(api, namespace)
    return found if found and found.progress.outcome is None else None


def refuse_unfinished(api: Api, namespace: str, environment: str) -> None:
    """Raise WrongInputError when an upgrade has not ended: two at a time would undo each other."""
    if found := unfinished(api, namespace):
        raise WrongInputError(
            f"an upgrade of {environment} to {found.plan.target} has not ended",
            details=f"rollout {found.number}, {len(found.lines)} lines",
            resolution=f"`release resume {environment}` goes on with it; `release resume {environment} --back` takes it back.",
        )


def remove_damaged(api: Api, namespace: str) -> str:
    """Remove the journal of the newest upgrade when it cannot be read; return what was wrong with it, else nothing."""
    try:
        latest(api, namespace)
    except DamagedError as error:
        number = max(_numbers(api, namespace))
        # Its beginning goes last: killed meanwhile, it is still found.
        for name in sorted(api.names("ConfigMap", namespace, f"{ROLLOUT}={number}"), reverse=True):
            api.delete("ConfigMap", name, namespace)
        return f"{error.brief}: {error.details}"
    return ""


def kept(item: Object) -> Object:
    """Return an object as it is to be made again: without what only the cluster writes."""
    metadata = {key: value for key, value in item["metadata"].items() if key not in _PASSING}
    return {**{key: value for key, value in item.items() if key != "status"}, "metadata": metadata}


def _numbers(api: Api, namespace: str) -> Iterator[int]:
    for name in api.names("ConfigMap", namespace, ROLLOUT):
        head, _, number = name.rpartition("-")
        if head == "rollout" and number.isdigit():
            yield int(number)


def _in_order(items: Mapping[str, Any], number: int) -> Iterator[Mapping[str, str]]:
    """Yield the lines; the first that is missing is the end, so a line that was removed cannot be passed over."""
    for count in range(len(items)):
        found = items.get(f"rollout-{number}-{count:05}")
        if found is None:
            break
        yield found


def _map(namespace: str, number: int, name: str, texts: Mapping[str, str]) -> Object:
    item = make("ConfigMap", name, {**_OWNER, ROLLOUT: str(number)}, data=dict(texts), immutable=True)
    item["metadata"]["namespace"] = namespace
    return item


def befores(keys: Sequence[Key], api: Api, namespace: str) -> Before:
    """Return the objects of these names as they are now, None for those that are not there."""
    found = {(kind, name): api.get(kind, name, namespace) for kind, name in keys}
    return {key: kept({"kind": key[0], **item}) if item else None for key, item in found.items()}
