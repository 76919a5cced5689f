# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Decides what a deployment does to a cluster: which objects are made, changed or left, and why. Pure.

Each object carries the hash of what was applied, so an object that is as we want it is not touched.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pipeline.manifests.objects import COMPONENT, NAME, Object, short_hash
from pipeline.manifests.render import Rendered, Stage
from pipeline.readiness import State, readiness
from stackway.console import Table

APPLIED = "stackway.dev/applied"
_AGAIN = "stackway.dev/again"
# Drawn once: what is in the cluster is what holds.
_MADE_ONCE = frozenset({"PersistentVolumeClaim"})
_REMOVED = frozenset(
    {
        "Deployment",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
        "Service",
        "NetworkPolicy",
        "Job",
        "RoleBinding",
        "Role",
        "ServiceAccount",
    }
)
# Their names change with their content, unless they hold what is drawn once.
_CONTENT = frozenset({"ConfigMap", "Secret"})
# Their workload has the number of pods from the autoscaler.
SCALER = "HorizontalPodAutoscaler"

Key = tuple[str, str]


class Verb(StrEnum):
    """What happens to an object."""

    MAKE = "make"
    CHANGE = "change"
    KEEP = "keep"
    REMOVE = "remove"
    AGAIN = "again"


@dataclass(frozen=True)
class Action:
    """What happens to one object, and why."""

    verb: Verb
    kind: str
    name: str
    reason: str
    object: Object

    @property
    def key(self) -> Key:
        """Kind and name."""
        return self.kind, self.name


@dataclass(frozen=True)
class Step:
    """The actions of one stage, done once the stages in `after` are ready."""

    stage: str
    reason: str
    after: tuple[str, ...]
    actions: tuple[Action, ...]


@dataclass(frozen=True)
class DeploymentPlan:
    """What a deployment does, stage by stage."""

    environment: str
    release: str
    steps: tuple[Step, ...]
    leftovers: tuple[Action, ...] = ()

    @property
    def changes(self) -> list[Action]:
        """What is not left as it is."""
        return [item for step in self.steps for item in step.actions if item.verb is not Verb.KEEP] + list(
            self.leftovers
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data, without what objects hold: some of it is secret."""
        rows = [
            {"stage": step.stage, "verb": str(item.verb), "kind": item.kind, "name": item.name, "reason": item.reason}
            for step in self.steps
            for item in step.actions
        ]
        rows += [
            {"stage": "leftovers", "verb": str(item.verb), "kind": item.kind, "name": item.name, "reason": item.reason}
            for item in self.leftovers
        ]
        head = {"environment": self.environment, "release": self.release}
        return {"apiVersion": "stackway/v1", "kind": "DeploymentPlan", **head, "actions": rows}

    def to_table(self) -> Table:
        """Return the plan for people; what is kept is only counted."""
        rows = []
        for step in self.steps:
            kept = sum(item.verb is Verb.KEEP for item in step.actions)
            rows += [
                (step.stage, str(item.verb), item.kind, item.name, item.reason)
                for item in step.actions
                if item.verb is not Verb.KEEP
            ]
            rows += [(step.stage, "keep", f"{kept} objects", "-", "they are as they should be")] if kept else []
        rows += [("leftovers", str(item.verb), item.kind, item.name, item.reason) for item in self.leftovers]
        return Table(("STAGE", "ACTION", "KIND", "NAME", "WHY"), rows)


def plan(environment: str, release: str, rendered: Rendered, live: Mapping[Key, Object]) -> DeploymentPlan:
    """Return the plan that makes a cluster with these `live` objects (by kind and name) what is rendered."""
    scaled = {item["spec"]["scaleTargetRef"]["name"] for item in rendered.objects if item["kind"] == SCALER}
    steps = tuple(_step(stage, live, scaled) for stage in rendered.stages)
    wanted = {item.key for step in steps for item in step.actions}
    return DeploymentPlan(environment, release, steps, tuple(_leftovers(wanted, live)))


def _leftovers(wanted: set[Key], live: Mapping[Key, Object]) -> Iterator[Action]:
    """Yield what an earlier deployment has left and nothing of this one uses. What holds data or keys is never among it."""
    for (kind, name), item in sorted(live.items()):
        if (kind, name) in wanted or not _goes(kind, item):
            continue
        yield Action(Verb.REMOVE, kind, name, "no part of this release in this environment", item)


def _goes(kind: str, item: Object) -> bool:
    return kind in _REMOVED or (kind in _CONTENT and bool(item.get("immutable")))


def _step(stage: Stage, live: Mapping[Key, Object], scaled: Iterable[str]) -> Step:
    names = set(scaled)
    return Step(stage.name, stage.reason, stage.after, tuple(_action(item, live, names) for item in stage.objects))


def _action(item: Object, live: Mapping[Key, Object], scaled: set[str]) -> Action:
    kind, name = item["kind"], item["metadata"]["name"]
    wanted = marked(item)
    there = live.get((kind, name))
    if there is None:
        made = _first(wanted, live) if kind == "Deployment" and name in scaled else wanted
        return Action(Verb.MAKE, kind, name, "it is not there", made)
    if kind == "Job" and readiness(there).state is State.FAILED:
        return Action(Verb.AGAIN, kind, name, "it failed", wanted)
    if kind in _MADE_ONCE:
        return Action(Verb.KEEP, kind, name, "it is made once", wanted)
    applied = there["metadata"].get("annotations", {}).get(APPLIED)
    if applied == wanted["metadata"]["annotations"][APPLIED]:
        if kind == "Deployment" and readiness(there).state is State.FAILED:
            return Action(Verb.AGAIN, kind, name, "its pods did not get ready", _anew(wanted, there, scaled))
        if _lacks_pods(wanted, there, scaled):
            return Action(Verb.CHANGE, kind, name, "somebody has taken pods from it", wanted)
        return Action(Verb.KEEP, kind, name, "it is as it should be", _as_small(wanted, there, scaled))
    reason = "it was applied with other content" if applied else "it is not from us"
    return Action(Verb.CHANGE, kind, name, reason, _as_large(wanted, there, scaled))


def _lacks_pods(item: Object, live: Object, scaled: set[str]) -> bool:
    """Tell whether nothing in the cluster brings a workload to its pods: an autoscaler does, unless there are none."""
    if item["kind"] not in {"Deployment", "StatefulSet"}:
        return False
    there = live["spec"].get("replicas", 1)
    return bool(there == 0 if item["metadata"]["name"] in scaled else there < item["spec"]["replicas"])


def _as_large(item: Object, live: Object, scaled: set[str]) -> Object:
    """Return an object that leaves the number of pods as it is when an autoscaler decides it.

    To say nothing would not do: what we have said before and do not say any more falls back to one pod. One that somebody
    has stopped gets its pods again: an autoscaler never does that.
    """
    if item["kind"] != "Deployment" or item["metadata"]["name"] not in scaled:
        return item
    replicas = int(live["spec"].get("replicas", 1)) or item["spec"]["replicas"]
    return {**item, "spec": {**item["spec"], "replicas": replicas}}


def _as_small(item: Object, live: Object, scaled: set[str]) -> Object:
    """Return an object of which no more pods are awaited than it has: its autoscaler may only come later, as at first."""
    if item["kind"] != "Deployment" or item["metadata"]["name"] not in scaled:
        return item
    replicas = min(item["spec"]["replicas"], int(live["spec"].get("replicas", 1)))
    return {**item, "spec": {**item["spec"], "replicas": replicas}}


def _anew(item: Object, live: Object, scaled: set[str]) -> Object:
    """Return a workload whose pods are replaced, though nothing else of them changes: the cluster gave up on them."""
    template = item["spec"]["template"]
    marks = {**template["metadata"].get("annotations", {}), _AGAIN: str(live["metadata"]["generation"])}
    fresh = {**template, "metadata": {**template["metadata"], "annotations": marks}}
    return _as_large({**item, "spec": {**item["spec"], "template": fresh}}, live, scaled)


def _first(item: Object, live: Mapping[Key, Object]) -> Object:
    """Return a new workload of the autoscaler's with one pod, where nothing serves yet: answers come first, spares later.

    Where another revision serves, the new one takes over with as many pods.
    """
    own = item["metadata"]["labels"]
    others = [
        other["spec"].get("replicas", 1)
        for (kind, _), other in live.items()
        if kind == item["kind"] and all(other["metadata"]["labels"].get(key) == own[key] for key in (NAME, COMPONENT))
    ]
    replicas = max([item["spec"]["replicas"], *others]) if others else 1
    return {**item, "spec": {**item["spec"], "replicas": replicas}}


def marked(item: Object) -> Object:
    """Return an object with the hash of its content in an annotation."""
    annotations = {**item["metadata"].get("annotations", {}), APPLIED: short_hash(item)}
    return {**item, "metadata": {**item["metadata"], "annotations": annotations}}
