# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A plan that was saved is carried out as it is, or not at all."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest

from pipeline.manifests.render import render, render_upgrade
from pipeline.rollout.plan import RolloutPlan, Strategy, Way
from pipeline.rollout.planner import Goal, plan
from pipeline.rollout.saved import OLDEST, SavedPlan, read_saved, refuse_changed, refuse_outdated
from pipeline.rollout.target import Target
from stackway.errors import RefusedError, WrongInputError
from tests.fakes.sites import site

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@cache
def planned(**written: Any) -> RolloutPlan:
    wanted = site("2026.1.0", **written)
    goal = Goal("dev", "2026.1.0", "sha256:1", render_upgrade(wanted), wanted.services)
    live = {(item["kind"], item["metadata"]["name"]): item for item in render(site("2025.1.0")).objects}
    return plan(goal, "2025.1.0", live, Way(Strategy.BLUE_GREEN, 12.0))


def test_saved_plan_is_read_as_it_was() -> None:
    saved = SavedPlan(planned(), NOW)
    read = read_saved(json.loads(json.dumps(saved.to_dict())), "plan.json")
    assert read == saved
    assert read.plan.way.soak == 12.0
    refuse_outdated(read, planned(), NOW + OLDEST)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: value.pop("at"),
        lambda value: value.update(at="2026-05-01T12:00:00"),
        lambda value: value.update(at=7),
        lambda value: value.update(kind="DeploymentPlan"),
        lambda value: value["steps"].append({"kind": "dance"}),
        lambda value: value.pop("rules"),
    ],
)
def test_what_is_no_saved_plan_is_refused_with_the_way_to_one(spoil: Any) -> None:
    value = json.loads(json.dumps(SavedPlan(planned(), NOW).to_dict()))
    spoil(value)
    with pytest.raises(WrongInputError) as caught:
        read_saved(value, "plan.json")
    assert "plan.json" in caught.value.brief
    with pytest.raises(WrongInputError):
        read_saved([value], "plan.json")


@pytest.mark.parametrize(
    ("other", "at", "reason"),
    [
        (planned(), NOW - OLDEST - timedelta(seconds=1), "more than 24 hours ago"),
        (planned(), NOW + timedelta(minutes=1), "a clock is wrong"),
        (replace(planned(), digest="sha256:2"), NOW, "digest: sha256:1 was saved, now it is sha256:2"),
        (replace(planned(), way=Way(soak=12.0)), NOW, "way: "),
        (replace(planned(), steps=planned().steps[:-1]), NOW, "step soak: it was saved"),
        (replace(planned(), steps=planned().steps[::-1]), NOW, "another order"),
    ],
)
def test_plan_that_would_be_another_one_now_is_refused(other: RolloutPlan, at: datetime, reason: str) -> None:
    with pytest.raises(RefusedError) as caught:
        refuse_outdated(SavedPlan(planned(), at), other, NOW)
    assert reason in (caught.value.details or "")


def test_upgrade_goes_on_only_to_the_pods_that_it_was_begun_for() -> None:
    wanted = site("2026.1.0")
    refuse_changed(planned(), Target(wanted, render_upgrade(wanted)))
    other = site("2026.1.0", services={"glance": {"settings": {"debug": True}}})
    with pytest.raises(RefusedError, match="the file of dev has changed") as caught:
        refuse_changed(planned(), Target(other, render_upgrade(other)))
    assert caught.value.details.startswith("glance api: revision ")
    assert "--back" in caught.value.resolution
