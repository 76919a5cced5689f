# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The steps of an upgrade between releases of the real specs: their order, and that nothing is touched without need."""

import pytest

from pipeline.manifests.objects import Object
from pipeline.manifests.render import render, render_upgrade
from pipeline.rollout.plan import Kind, RolloutPlan, Step, Strategy, Undo, Way, read_plan
from pipeline.rollout.planner import Goal, ordered, plan
from tests.fakes.sites import site

Key = tuple[str, str]
WATCHED = Way(soak=30.0)


def live_of(version: str, **written: object) -> dict[Key, Object]:
    found = render(site(version, **written))
    return {(str(item["kind"]), str(item["metadata"]["name"])): item for item in found.objects}


def planned(source: str, target: str, way: Way = WATCHED, **written: object) -> RolloutPlan:
    wanted = site(target, **written)
    goal = Goal("dev", target, "sha256:0", render_upgrade(wanted), wanted.services)
    return plan(goal, source, live_of(source), way)


def place(found: RolloutPlan, kind: Kind, service: str, process: str = "") -> int:
    (number,) = [
        number
        for number, step in enumerate(found.steps)
        if (step.kind, step.service, step.process) == (kind, service, process)
    ]
    return number


def test_same_release_needs_nothing() -> None:
    found = planned("2026.1.0", "2026.1.0")
    assert found.steps == ()
    assert "nova-api" in found.kept


def test_schema_comes_before_code_and_users_come_last() -> None:
    found = planned("2025.1.0", "2026.1.0")
    for service, process in (("keystone", "api"), ("nova", "api"), ("neutron", "api"), ("cinder", "api")):
        expand, start = place(found, Kind.EXPAND, service), place(found, Kind.START, service, process)
        assert 0 < expand < start < place(found, Kind.SHIFT, service, process)
    assert found.steps[0].kind is Kind.LAY
    assert found.steps[-1].kind is Kind.SOAK


@pytest.mark.parametrize(
    ("written", "proofs"),
    [
        ({}, [Kind.CHECK, Kind.BACKUP]),
        ({"rollout": {"backup": "none"}}, [Kind.CHECK]),
        ({"external": {"database": {"host": "db.example.org", "secret": "database"}}}, [Kind.CHECK]),
    ],
)
def test_before_schemas_change_checks_are_asked_and_our_own_database_is_backed_up(
    written: dict[str, object], proofs: list[Kind]
) -> None:
    kinds = [step.kind for step in planned("2025.1.0", "2026.1.0", **written).steps]
    assert kinds[: len(proofs) + 2] == [Kind.LAY, *proofs, Kind.WATCH]
    same = [
        step.kind for step in planned("2026.1.0", "2026.1.1", services={"glance": {"settings": {"debug": True}}}).steps
    ]
    assert not {Kind.CHECK, Kind.BACKUP} & set(same)


def test_services_and_processes_follow_the_order_of_their_specs() -> None:
    found = planned("2025.1.0", "2026.1.0")
    shifts = [step.service for step in found.steps if step.kind is Kind.SHIFT and step.process == "api"]
    assert shifts.index("keystone") == 0
    assert shifts.index("placement") < shifts.index("nova")
    assert shifts.index("glance") < shifts.index("cinder")
    starts = [step.process for step in found.steps if step.kind is Kind.START and step.service == "nova"]
    assert starts == ["conductor", "scheduler", "api", "metadata", "compute"]


def test_one_server_becomes_three_processes() -> None:
    found = planned("2025.1.0", "2026.1.0")
    starts = {step.process: step for step in found.steps if step.kind is Kind.START and step.service == "neutron"}
    assert starts.keys() == {"rpc", "periodic", "api", "agent"}
    assert starts["rpc"].old == ()
    assert [count for _, count in starts["api"].old] == [2]


def test_what_must_be_alone_is_stopped_before_it_starts() -> None:
    found = planned("2025.1.0", "2026.1.0")
    assert place(found, Kind.STOP, "nova", "compute") == place(found, Kind.START, "nova", "compute") - 1
    assert not [step for step in found.steps if step.kind is Kind.STOP and step.process in {"api", "conductor"}]


def test_blue_green_starts_everything_before_users_move() -> None:
    kinds = [step.kind for step in planned("2025.1.0", "2026.1.0", Way(Strategy.BLUE_GREEN, 30.0)).steps]
    first = kinds.index(Kind.SHIFT)
    assert set(kinds[first:]) == {Kind.SHIFT, Kind.SOAK}
    assert Kind.START not in kinds[first:]


def test_changed_setting_touches_only_its_service_and_no_schema() -> None:
    found = planned("2026.1.0", "2026.1.1", services={"glance": {"settings": {"debug": True}}})
    assert {step.service for step in found.steps} == {"", "glance"}
    assert Kind.EXPAND not in {step.kind for step in found.steps}


def test_only_schemas_cannot_go_back() -> None:
    found = planned("2025.1.0", "2026.1.0")
    assert {step.kind for step in found.steps if step.undo is Undo.FORWARD} == {Kind.EXPAND}


@pytest.mark.parametrize("way", [WATCHED, Way(Strategy.BLUE_GREEN), Way(share=0.25)])
def test_plan_can_be_written_and_read(way: Way) -> None:
    found = planned("2025.1.0", "2026.1.0", way)
    assert read_plan(found.to_dict()) == found


def test_new_revision_gets_as_many_pods_as_the_old_one_has() -> None:
    live = live_of("2025.1.0")
    (name,) = [name for kind, name in live if kind == "Deployment" and name.startswith("keystone-api-")]
    live["Deployment", name]["spec"]["replicas"] = 5
    wanted = site("2026.1.0")
    found = plan(Goal("dev", "2026.1.0", "", render(wanted), wanted.services), "2025.1.0", live, Way())
    step: Step = found.steps[place(found, Kind.START, "keystone", "api")]
    assert (step.replicas, step.old) == (5, ((name, 5),))


def test_order_of_services_survives_a_circle() -> None:
    services = dict(site("2026.1.0").services)
    circle = services["keystone"].upgrade.model_copy(update={"after": ("nova",)})
    services["keystone"] = services["keystone"].model_copy(update={"upgrade": circle})
    assert sorted(item.name for item in ordered(services)) == sorted(services)


def test_share_holds_before_all_users_move_and_no_pod_is_there_without_need() -> None:
    found = planned("2025.1.0", "2026.1.0", Way(share=0.25, soak=10.0))
    kinds = [step.kind for step in found.steps]
    hold = kinds.index(Kind.HOLD)
    assert kinds.count(Kind.HOLD) == 1
    assert kinds[hold - 1] is kinds[-1] is Kind.SOAK
    assert Kind.SHARE not in kinds[hold:]
    shares = {(step.service, step.process): step for step in found.steps if step.kind is Kind.SHARE}
    assert ("keystone", "api") in shares
    for key, step in shares.items():
        own = {item.kind: item for item in found.steps if (item.service, item.process) == key}
        assert own[Kind.START].replicas == step.replicas == 1
        assert own[Kind.GROW].replicas == own[Kind.SHIFT].replicas == 2
        assert place(found, Kind.START, *key) < place(found, Kind.SHARE, *key) < hold
        assert hold < place(found, Kind.GROW, *key) < place(found, Kind.SHIFT, *key)
    assert "33%" in shares["keystone", "api"].reason


@pytest.mark.parametrize("way", [Way(), Way(Strategy.BLUE_GREEN), Way(share=0.25), Way(Strategy.BLUE_GREEN, share=0.5)])
def test_users_of_what_was_stopped_wait_for_nothing_else(way: Way) -> None:
    settings = {"prometheus": {"settings": {"scrape_seconds": 20}}, "glance": {"settings": {"debug": True}}}
    found = planned("2026.1.0", "2026.1.1", way, services=settings)
    stopped = [number for number, step in enumerate(found.steps) if step.kind is Kind.STOP]
    assert stopped
    for number in stopped:
        assert [step.kind for step in found.steps[number : number + 3]] == [Kind.STOP, Kind.START, Kind.SHIFT]


@pytest.mark.parametrize(("share", "pods"), [(0.01, 1), (0.25, 1), (0.5, 3), (0.75, 3)])
def test_share_is_one_of_pods(share: float, pods: int) -> None:
    live = live_of("2026.1.0")
    for (kind, name), item in live.items():
        if kind == "Deployment" and name.startswith("glance-api-"):
            item["spec"]["replicas"] = 3
    wanted = site("2026.1.1", services={"glance": {"settings": {"debug": True}}})
    goal = Goal("dev", "2026.1.1", "sha256:0", render_upgrade(wanted), wanted.services)
    found = plan(goal, "2026.1.0", live, Way(share=share))
    (start,) = [step for step in found.steps if step.kind is Kind.START]
    assert start.replicas == pods
    assert any(step.kind is Kind.GROW for step in found.steps) is (pods < 3)


def test_share_of_what_takes_no_requests_is_none() -> None:
    found = planned(
        "2026.1.0", "2026.1.1", Way(share=0.25), services={"prometheus": {"settings": {"scrape_seconds": 20}}}
    )
    assert found.steps
    assert Kind.HOLD not in {step.kind for step in found.steps}
