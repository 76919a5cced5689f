# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What lies around: only what is ours, of the release's services, and used by nothing is left over."""

import copy
from dataclasses import replace
from typing import Any, cast

import pytest

from pipeline.belongings import claims, leftovers
from pipeline.condition import Verdict
from pipeline.manifests.objects import COMPONENT, MANAGED_BY, NAME
from pipeline.sight import Sight
from tests.fakes.sights import healthy

HASHED = "nova-config-0123456789"


def with_object(kind: str, labels: dict[str, str]) -> Sight:
    """Return a sight with a copy of an object of glance that says it belongs elsewhere."""
    seen = healthy()
    items = cast("dict[str, dict[str, Any]]", seen.objects[kind])
    item = copy.deepcopy(next(one for name, one in items.items() if name.startswith("glance-api")))
    item["metadata"] |= {"name": "extra", "labels": {**item["metadata"]["labels"], **labels}}
    items["extra"] = item
    return seen


def with_name(kind: str, name: str) -> Sight:
    seen = healthy()
    return replace(seen, names={**seen.names, kind: seen.names[kind] | {name}})


@pytest.mark.parametrize("kind", ["Deployment", "Service", "HorizontalPodAutoscaler"])
def test_object_of_a_process_that_the_release_has_no_more_is_left_over(kind: str) -> None:
    assert list(leftovers(with_object(kind, {COMPONENT: "registry"}))) == [f"{kind} extra"]


@pytest.mark.parametrize("labels", [{MANAGED_BY: "helm", COMPONENT: "registry"}, {NAME: "shop"}, {}])
def test_object_of_others_or_of_a_process_that_runs_is_not(labels: dict[str, str]) -> None:
    assert list(leftovers(with_object("Deployment", labels))) == []


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret"])
def test_configuration_that_nothing_uses_is_left_over_and_what_was_drawn_once_never(kind: str) -> None:
    assert list(leftovers(with_name(kind, HASHED))) == [f"{kind} {HASHED}"]
    for name in ("credentials", "keystone-fernet", "nova-config-0123", "x-0123456789\n", "x-012345678A"):
        assert list(leftovers(with_name(kind, name))) == []


def test_nothing_is_left_over_where_nobody_knows_what_should_run_or_may_list() -> None:
    assert list(leftovers(replace(with_name("Secret", HASHED), expected=None))) == []
    assert list(leftovers(replace(healthy(), names={}))) == []


@pytest.mark.parametrize(("phase", "count"), [("Lost", 1), ("Pending", 0), ("Bound", 0), (None, 0)])
def test_lost_volume_is_told_and_one_that_waits_is_not(phase: str | None, count: int) -> None:
    claim = {"metadata": {"name": "data"}, "status": {"phase": phase} if phase else None}
    found = list(claims(replace(healthy(), objects={"PersistentVolumeClaim": {"data": claim}})))
    assert [item.verdict for item in found] == [Verdict.DEGRADED] * count
