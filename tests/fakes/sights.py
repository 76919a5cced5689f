# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What is seen of an environment in which all runs as it should; tests break what they are about."""

import copy
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

from pipeline.manifests.render import render
from pipeline.measurements import Answers, Measurements, Use
from pipeline.sight import Expected, Sight, expected_of
from tests.fakes.sites import content, site

Object = dict[str, Any]
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
MADE = "2026-05-01T11:00:00Z"


@cache
def expected() -> Expected:
    """Return what should run."""
    return expected_of(content(), site().environment, site().services, {})


@cache
def _objects() -> dict[str, dict[str, Object]]:
    found: dict[str, dict[str, Object]] = defaultdict(dict)
    for item in copy.deepcopy(render(site()).objects):
        for one in (item, *_controlled(item)):
            one["metadata"].setdefault("creationTimestamp", MADE)
            found[one["kind"]][one["metadata"]["name"]] = one
    return dict(found)


def _controlled(item: Object) -> Iterator[Object]:
    """Give an object the status of one that is well, and yield its pods."""
    kind, spec = item["kind"], item.get("spec", {})
    if kind == "Job":
        item["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    if kind == "PersistentVolumeClaim":
        item["status"] = {"phase": "Bound"}
    if kind == "HorizontalPodAutoscaler":
        item["status"] = {"currentReplicas": spec["minReplicas"], "desiredReplicas": spec["minReplicas"]}
    if kind in {"Deployment", "StatefulSet"}:
        yield from (_pod(item, number) for number in range(spec.get("replicas", 1)))


def _pod(item: Object, number: int) -> Object:
    template = copy.deepcopy(item["spec"]["template"])
    metadata = {**template["metadata"], "name": f"{item['metadata']['name']}-{number}"}
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    return {"kind": "Pod", "metadata": metadata, "spec": {**template["spec"], "nodeName": "node-1"}, "status": status}


def healthy() -> Sight:
    """Return the sight; its objects are the test's own, to be changed."""
    objects = copy.deepcopy(_objects())
    answers = {key: Answers(100, 0) for key, wanted in expected().processes.items() if wanted.asked}
    uses = {name: Use(0.05, 64 << 20) for name in objects["Pod"]}
    names = {kind: frozenset(objects[kind]) for kind in ("ConfigMap", "Secret")}
    return Sight("dev", "dev", NOW, objects, expected(), measured=Measurements(answers), uses=uses, names=names)
