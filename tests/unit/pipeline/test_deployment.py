# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What a deployment does to each object: made, changed, left, removed, or made again, and with how many pods."""

from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.deployment import APPLIED, DeploymentPlan, Verb, marked, plan
from pipeline.manifests.objects import Object, config_map, labels, make, secret
from pipeline.manifests.render import Rendered, Stage, render
from tests.fakes.sites import site

OWN = labels("nova", "api")
SEEN: Object = {"observedGeneration": 4, "readyReplicas": 2, "updatedReplicas": 2}
GIVEN_UP: Object = {
    **SEEN,
    "readyReplicas": 0,
    "conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "it does not get on"}],
}
BROKEN: Object = {"conditions": [{"type": "Failed", "status": "True", "message": "BackoffLimitExceeded"}]}


def workload(name: str = "nova-api-new", replicas: int = 2, **own: str) -> Object:
    template = {"metadata": {"labels": OWN, "annotations": {"scrape": "true"}}, "spec": {"containers": []}}
    return make("Deployment", name, own or OWN, "apps/v1", spec={"replicas": replicas, "template": template})


def scaler(name: str = "nova-api-new") -> Object:
    spec = {"scaleTargetRef": {"name": name}, "minReplicas": 2, "maxReplicas": 9}
    return make("HorizontalPodAutoscaler", name, OWN, "autoscaling/v2", spec=spec)


def job() -> Object:
    return make("Job", "nova-database-1", OWN, "batch/v1", spec={"template": {"spec": {}}})


def claim() -> Object:
    return make("PersistentVolumeClaim", "mariadb-data", OWN, spec={"resources": {"requests": {"storage": "1Gi"}}})


def live(item: Object, status: Object | None = None, **spec: Any) -> Object:
    """Return an object as it is in the cluster after it was applied."""
    applied = marked(item)
    metadata = {**applied["metadata"], "generation": 4, "uid": "u", "resourceVersion": "9"}
    return {**applied, "metadata": metadata, "spec": {**item.get("spec", {}), **spec}, "status": status or {}}


def planned(wanted: list[Object], there: list[Object]) -> DeploymentPlan:
    rendered = Rendered((Stage("nova", "of the tests", (), tuple(wanted)),), ())
    return plan("dev", "2026.1.0", rendered, {(item["kind"], item["metadata"]["name"]): item for item in there})


@cache
def everything(**written: Any) -> Rendered:
    return render(site(**written))


SERVICE = make("Service", "nova-api", OWN, spec={"ports": []})


@pytest.mark.parametrize(
    ("wanted", "there", "verb", "reason"),
    [
        (SERVICE, None, Verb.MAKE, "it is not there"),
        (SERVICE, live(SERVICE), Verb.KEEP, "it is as it should be"),
        (SERVICE, live({**SERVICE, "spec": {"ports": [1]}}), Verb.CHANGE, "it was applied with other content"),
        (SERVICE, SERVICE, Verb.CHANGE, "it is not from us"),
        (job(), live(job(), BROKEN), Verb.AGAIN, "it failed"),
        (job(), live(job(), {"failed": 3}), Verb.KEEP, "it is as it should be"),
        (claim(), live({**claim(), "spec": {}}), Verb.KEEP, "it is made once"),
        (claim(), claim(), Verb.KEEP, "it is made once"),
        (claim(), None, Verb.MAKE, "it is not there"),
        (workload(), live(workload(), SEEN), Verb.KEEP, "it is as it should be"),
        (workload(), live(workload(), GIVEN_UP), Verb.AGAIN, "its pods did not get ready"),
        (workload(), live(workload(), {**GIVEN_UP, "observedGeneration": 3}), Verb.KEEP, "it is as it should be"),
        (workload(), live(workload(replicas=1), GIVEN_UP), Verb.CHANGE, "it was applied with other content"),
    ],
)
def test_each_object_gets_the_verb_that_its_state_asks_for(
    wanted: Object, there: Object | None, verb: Verb, reason: str
) -> None:
    (action,) = planned([wanted], [there] if there else []).steps[0].actions
    assert (action.verb, action.reason) == (verb, reason)
    assert action.object["metadata"]["annotations"][APPLIED] == marked(wanted)["metadata"]["annotations"][APPLIED]


def test_workload_that_was_given_up_gets_new_pods_and_nothing_else() -> None:
    (action,) = planned([workload()], [live(workload(), GIVEN_UP)]).steps[0].actions
    template = action.object["spec"]["template"]
    assert template["metadata"]["annotations"] == {"scrape": "true", "stackway.dev/again": "4"}
    plain = {**template, "metadata": {**template["metadata"], "annotations": {"scrape": "true"}}}
    assert {**action.object, "spec": {**action.object["spec"], "template": plain}} == marked(workload())


def test_workload_that_fails_again_and_again_gets_other_pods_each_time() -> None:
    first = live(workload(), GIVEN_UP)
    second = {**first, "metadata": {**first["metadata"], "generation": 5}}
    second["status"] = {**GIVEN_UP, "observedGeneration": 5}
    templates = [
        planned([workload()], [there]).steps[0].actions[0].object["spec"]["template"] for there in (first, second)
    ]
    assert templates[0] != templates[1]


def test_workload_that_recovered_after_new_pods_is_kept() -> None:
    (again,) = planned([workload()], [live(workload(), GIVEN_UP)]).steps[0].actions
    applied = again.object
    there = {**applied, "metadata": {**applied["metadata"], "generation": 5}}
    there["status"] = {**SEEN, "observedGeneration": 5}
    assert planned([workload()], [there]).changes == []


@pytest.mark.parametrize("autoscaled", [True, False])
@pytest.mark.parametrize("status", [SEEN, GIVEN_UP], ids=["well", "given up"])
@pytest.mark.parametrize("replicas", [1, 7])
def test_number_of_pods_is_the_autoscalers_where_there_is_one(autoscaled: bool, status: Object, replicas: int) -> None:  # noqa: FBT001
    before = workload() if status is GIVEN_UP else {**workload(), "more": "else"}
    there = live(before, status, replicas=replicas)
    wanted = [workload(), *([scaler()] if autoscaled else [])]
    action = planned(wanted, [there]).steps[0].actions[0]
    assert action.verb in {Verb.CHANGE, Verb.AGAIN}
    assert action.object["spec"]["replicas"] == (replicas if autoscaled else 2)


def test_workload_that_somebody_stopped_runs_again_once_it_is_changed() -> None:
    there = live({**workload(), "more": "else"}, SEEN, replicas=0)
    action = planned([workload(), scaler()], [there]).steps[0].actions[0]
    assert action.object["spec"]["replicas"] > 0


@pytest.mark.parametrize(
    ("autoscaled", "replicas", "verb"),
    [
        (True, 0, Verb.CHANGE),
        (True, 1, Verb.KEEP),
        (True, 9, Verb.KEEP),
        (False, 0, Verb.CHANGE),
        (False, 1, Verb.CHANGE),
        (False, 2, Verb.KEEP),
        (False, 3, Verb.KEEP),
    ],
)
def test_pods_that_somebody_took_come_back(autoscaled: bool, replicas: int, verb: Verb) -> None:  # noqa: FBT001
    wanted = [workload(), *([scaler()] if autoscaled else [])]
    action = planned(wanted, [live(workload(), SEEN, replicas=replicas)]).steps[0].actions[0]
    assert action.verb is verb
    if verb is Verb.CHANGE:
        assert action.object == marked(workload())


def test_kept_workload_awaits_no_pods_that_its_autoscaler_has_yet_to_ask_for() -> None:
    action = planned([workload(), scaler()], [live(workload(), SEEN, replicas=1)]).steps[0].actions[0]
    assert (action.verb, action.object["spec"]["replicas"]) == (Verb.KEEP, 1)


@pytest.mark.parametrize(
    ("others", "replicas"),
    [
        ([], 1),
        ([live(workload("nova-api-old", 6))], 6),
        ([live(workload("nova-api-old", 1))], 2),
        ([live(workload("nova-api-old", 3)), live(workload("nova-api-older", 5))], 5),
        ([live(workload("keystone-api-old", 6, **labels("keystone", "api")))], 1),
        ([live(workload("nova-conductor-old", 6, **labels("nova", "conductor")))], 1),
    ],
    ids=["nothing serves", "one serves", "one is small", "two serve", "another service", "another process"],
)
def test_new_workload_is_as_large_as_the_one_it_follows(others: list[Object], replicas: int) -> None:
    action = planned([workload(), scaler()], others).steps[0].actions[0]
    assert (action.verb, action.object["spec"]["replicas"]) == (Verb.MAKE, replicas)


def test_new_workload_without_autoscaler_has_all_its_pods_at_once() -> None:
    action = planned([workload(replicas=3)], []).steps[0].actions[0]
    assert action.object == marked(workload(replicas=3))


@pytest.mark.parametrize(
    ("item", "goes"),
    [
        (workload("nova-api-old"), True),
        (scaler("nova-api-old"), True),
        (SERVICE, True),
        (job(), True),
        (make("Role", "prober", OWN), True),
        (config_map("nova", OWN, {"a": "b"}), True),
        (secret("nova", OWN, {"a": "b"}), True),
        (make("Secret", "credentials", OWN, data={}), False),
        (make("ConfigMap", "rollout-dev-1", OWN, data={}), False),
        (claim(), False),
        (make("StatefulSet", "mariadb", OWN, spec={}), False),
        (make("Namespace", "dev", OWN), False),
    ],
    ids=lambda item: item["kind"] if isinstance(item, dict) else str(item),
)
def test_leftovers_go_and_what_holds_data_or_keys_stays(item: Object, goes: bool) -> None:  # noqa: FBT001
    found = planned([], [live(item)]).leftovers
    assert [(action.verb, action.key) for action in found] == (
        [(Verb.REMOVE, (item["kind"], item["metadata"]["name"]))] if goes else []
    )


def test_everything_is_made_in_an_empty_cluster_and_kept_in_a_full_one() -> None:
    rendered = everything()
    first = plan("dev", "1", rendered, {})
    assert {action.verb for action in first.changes} == {Verb.MAKE}
    assert len(first.changes) == len(rendered.objects) == len({action.key for action in first.changes})
    assert plan("dev", "1", rendered, {action.key: action.object for action in first.changes}).changes == []


@given(st.sets(st.integers(0, 400)))
def test_whatever_part_is_there_the_rest_is_made_and_nothing_else(missing: set[int]) -> None:
    made = [action for step in plan("dev", "1", everything(), {}).steps for action in step.actions]
    there = {action.key: action.object for number, action in enumerate(made) if number not in missing}
    found = plan("dev", "1", everything(), there)
    assert {(item.verb, item.key) for item in found.changes} == {
        (Verb.MAKE, item.key) for item in made if item.key not in there
    }


def test_mark_changes_with_what_it_marks_and_with_nothing_else() -> None:
    mark = marked(SERVICE)["metadata"]["annotations"][APPLIED]
    turned = {key: SERVICE[key] for key in reversed(SERVICE)}
    assert marked(turned)["metadata"]["annotations"][APPLIED] == mark
    assert marked({**SERVICE, "spec": {}})["metadata"]["annotations"][APPLIED] != mark
    assert "annotations" not in SERVICE["metadata"]


def test_plan_tells_no_secret_and_counts_what_is_kept() -> None:
    hidden = secret("nova", OWN, {"a": "the password"})
    there = [live(SERVICE), live(job(), BROKEN), live(claim()), live(config_map("old", OWN, {}))]
    found = planned([SERVICE, hidden, job(), claim()], there)
    told = [row["verb"] for row in found.to_dict()["actions"]]
    assert told == ["keep", "make", "again", "keep", "remove"]
    assert [tuple(row)[:3] for row in found.to_table().rows] == [
        ("nova", "make", "Secret"),
        ("nova", "again", "Job"),
        ("nova", "keep", "2 objects"),
        ("leftovers", "remove", "ConfigMap"),
    ]
    assert hidden["data"]["a"] not in str(found.to_dict()) + found.to_table().to_text()
