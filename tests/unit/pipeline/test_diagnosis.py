# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""From what is seen to a verdict: each thing that breaks is told, and nothing that is not seen counts as well."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.condition import Condition, ProcessCondition, Verdict, worst
from pipeline.diagnosis import GOOD, diagnose, processes
from pipeline.manifests.objects import ENVIRONMENT, RELEASE, REVISION
from pipeline.measurements import Answers, Disruption, Measurements, nothing
from pipeline.sight import Sight, key_of
from tests.fakes.sights import MADE, NOW, expected, healthy

Object = dict[str, Any]
KEY = ("glance", "api")
OTHER = f"sha256:{'1' * 64}"
NOT_READY = {"conditions": [{"type": "Ready", "status": "False"}]}


def own(sight: Sight, kind: str, key: tuple[str, str] = KEY) -> list[Object]:
    return [item for item in sight.all(kind) if key_of(item) == key]


def all_of(sight: Sight, kind: str) -> dict[str, Object]:
    """Return the objects of a kind, to be changed: they are the test's own."""
    return cast("dict[str, dict[str, Object]]", sight.objects).setdefault(kind, {})


def drop(sight: Sight, kind: str) -> None:
    for item in own(sight, kind):
        del all_of(sight, kind)[item["metadata"]["name"]]


def glance(condition: Condition) -> ProcessCondition:
    return next(item for item in condition.processes if (item.service, item.process) == KEY)


def told(condition: Condition) -> list[tuple[str, Verdict]]:
    found = [*condition.remarks, *(item for one in condition.services for item in one.remarks)]
    found += [item for process in condition.processes for item in process.remarks]
    return [(item.text, item.verdict) for item in found]


def answered(sight: Sight, *counts: int) -> Sight:
    answers = {**sight.measured.answers, KEY: Answers(*counts)}
    return replace(sight, measured=replace(sight.measured, answers=answers))


def unready(sight: Sight, count: int) -> None:
    for item in own(sight, "Pod")[:count]:
        item["status"] = NOT_READY


def test_environment_in_which_all_runs_is_healthy_and_nothing_is_told() -> None:
    found = diagnose(healthy())
    assert (found.verdict, told(found), found.leftovers) == (Verdict.HEALTHY, [], ())
    assert (found.pinned, found.deployed) == ("2026.1.0", "2026.1.0")
    assert {(item.service, item.process) for item in found.processes} == expected().processes.keys()


def test_condition_is_data_that_json_takes() -> None:
    open_ = Disruption(*KEY, NOW - timedelta(seconds=9), None, "no answer", "")
    seen = healthy()
    unready(seen, 1)
    found = diagnose(replace(seen, measured=replace(seen.measured, disruptions=(open_,)))).to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == json.loads(json.dumps(found))
    assert found["verdict"] == "degraded"
    assert found["disruptions"][0]["end"] is None


@pytest.mark.parametrize(
    ("kind", "verdict", "text"),
    [
        ("Service", Verdict.DOWN, "its Service is missing"),
        ("Deployment", Verdict.DOWN, "it has no workload"),
        ("Pod", Verdict.DOWN, "0 of 2 pods are ready"),
        ("HorizontalPodAutoscaler", Verdict.DEGRADED, "its autoscaler is missing"),
    ],
)
def test_missing_object_of_a_process_is_told(kind: str, verdict: Verdict, text: str) -> None:
    seen = healthy()
    drop(seen, kind)
    found = diagnose(seen)
    assert any(text in item.text for item in glance(found).remarks)
    assert (glance(found).verdict, found.verdict) == (verdict, verdict)


@pytest.mark.parametrize(("count", "verdict"), [(1, Verdict.DEGRADED), (2, Verdict.DOWN)])
def test_fewer_ready_pods_than_wanted_is_worse_the_fewer_there_are(count: int, verdict: Verdict) -> None:
    seen = healthy()
    unready(seen, count)
    assert glance(diagnose(seen)).verdict is verdict
    assert (f"{2 - count} of 2 pods are ready", verdict) in told(diagnose(seen))


def test_pod_that_leaves_is_neither_ready_nor_ill() -> None:
    seen = healthy()
    for item in own(seen, "Pod")[:1]:
        item["metadata"]["deletionTimestamp"] = MADE
    found = glance(diagnose(seen))
    assert [item.text for item in found.remarks] == ["1 of 2 pods are ready"]


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ((1000, 1000 - int(1000 * GOOD)), Verdict.HEALTHY),
        ((1000, 1001 - int(1000 * GOOD)), Verdict.DEGRADED),
        ((1000, 1000), Verdict.DOWN),
        ((0, 0), Verdict.UNKNOWN),
    ],
)
def test_answers_decide_however_well_the_pods_look(counts: tuple[int, int], verdict: Verdict) -> None:
    assert glance(diagnose(answered(healthy(), *counts))).verdict is verdict


def test_environment_that_nobody_measures_is_unknown() -> None:
    found = diagnose(replace(healthy(), measured=nothing("the prober is gone")))
    assert found.verdict is Verdict.UNKNOWN
    assert ("no requests are measured: the prober is gone", Verdict.UNKNOWN) in told(found)


def test_open_disruption_is_told_with_its_cause_and_a_healed_one_is_not() -> None:
    begin = NOW - timedelta(seconds=30)
    rows = (Disruption(*KEY, begin, None, "no answer", "x"), Disruption(*KEY, begin, NOW, "too few pods", ""))
    seen = healthy()
    found = diagnose(replace(seen, measured=replace(seen.measured, disruptions=rows)))
    assert told(found) == [("disrupted for 30 s: no answer (x)", Verdict.DEGRADED)]
    assert found.disruptions == rows


def no_namespace(seen: Sight) -> Sight:
    return replace(seen, objects={**seen.objects, "Namespace": {}})


def named(**labels: str) -> Callable[[Sight], Sight]:
    def change(seen: Sight) -> Sight:
        seen.objects["Namespace"]["dev"]["metadata"]["labels"] |= {
            {"owner": ENVIRONMENT, "release": RELEASE}[key]: value for key, value in labels.items()
        }
        return seen

    return change


def ending(seen: Sight) -> Sight:
    seen.objects["Namespace"]["dev"]["metadata"]["deletionTimestamp"] = MADE
    return seen


def lost(seen: Sight) -> Sight:
    seen.objects["PersistentVolumeClaim"]["mariadb-data"]["status"] = {"phase": "Lost"}
    return seen


@pytest.mark.parametrize(
    ("change", "verdict", "text"),
    [
        (no_namespace, Verdict.DOWN, "there is no namespace dev"),
        (ending, Verdict.DOWN, "is being removed"),
        (named(owner="prod"), Verdict.DEGRADED, "belongs to prod, not to dev"),
        (named(owner=""), Verdict.DEGRADED, "belongs to nobody"),
        (named(release="2026.1.7"), Verdict.DEGRADED, "release 2026.1.7 was deployed, and 2026.1.0 is pinned"),
        (lost, Verdict.DEGRADED, "volume mariadb-data is lost"),
        (lambda seen: replace(seen, silence="for 60 s"), Verdict.UNKNOWN, "the cluster tells nothing new: for 60 s"),
        (
            lambda seen: replace(seen, expected=None, trouble="no pin"),
            Verdict.UNKNOWN,
            "what should run is not known: no pin",
        ),
    ],
)
def test_trouble_of_the_whole_environment_is_told(
    change: Callable[[Sight], Sight], verdict: Verdict, text: str
) -> None:
    found = diagnose(change(healthy()))
    assert any(text in one for one, _ in told(found))
    assert found.verdict is verdict


def test_namespace_that_cannot_be_read_is_unknown_and_what_runs_in_it_is_told() -> None:
    seen = healthy()
    del cast("dict[str, Any]", seen.objects)["Namespace"]
    found = diagnose(seen)
    assert (found.verdict, found.deployed) == (Verdict.UNKNOWN, "")
    assert glance(found).verdict is Verdict.HEALTHY


def revise(seen: Sight, name: str, revision: str, image: str = "", replicas: int = 2) -> Object:
    """Add another revision of the process, without pods."""
    (item,) = copy.deepcopy(own(seen, "Deployment"))
    item["metadata"] = {**item["metadata"], "name": name, "creationTimestamp": NOW.isoformat()}
    item["metadata"]["labels"] = {**item["metadata"]["labels"], REVISION: revision}
    item["spec"]["replicas"] = replicas
    container = item["spec"]["template"]["spec"]["containers"][0]
    container["image"] = image or container["image"]
    all_of(seen, "Deployment")[name] = item
    return item


def test_revision_beside_the_one_that_serves_changes_no_verdict() -> None:
    seen = healthy()
    revise(seen, "glance-api-old", "old", f"x/glance@{OTHER}")
    found = glance(diagnose(seen))
    assert found.verdict is Verdict.HEALTHY
    assert [(item.revision == "old", item.serves) for item in found.revisions] == [(False, True), (True, False)]


def test_service_that_leads_to_no_revision_is_down() -> None:
    seen = healthy()
    own(seen, "Service")[0]["spec"]["selector"][REVISION] = "gone"
    assert ("its Service leads to no revision that is there", Verdict.DOWN) in told(diagnose(seen))


@pytest.mark.parametrize(
    ("others", "text"),
    [({OTHER: "2025.1.3"}, "an image of release 2025.1.3"), ({}, "an image of no release that was ever pinned here")],
)
def test_serving_image_that_is_not_the_pinned_one_is_named(others: dict[str, str], text: str) -> None:
    seen = replace(healthy(), expected=replace(expected(), others=others))
    for item in [own(seen, "Deployment")[0]["spec"]["template"], *own(seen, "Pod")]:
        item["spec"]["containers"][0]["image"] = f"x/glance@{OTHER}"
    found = diagnose(seen)
    assert found.verdict is Verdict.DEGRADED
    assert [text in one for one, _ in told(found)] == [True]
    assert glance(found).serving[0].release == others.get(OTHER, "")


def test_pods_of_one_ailment_are_told_together_with_their_events() -> None:
    seen = healthy()
    unready(seen, 2)
    names = [item["metadata"]["name"] for item in own(seen, "Pod")]
    for name in names:
        about = {"involvedObject": {"name": name}, "reason": "FailedMount", "message": "no secret"}
        all_of(seen, "Event")[f"{name}.1"] = {"metadata": {"name": f"{name}.1"}, **about}
    assert f"{', '.join(names)}: a volume or a file cannot be mounted: no secret" in dict(told(diagnose(seen)))


def test_pods_that_are_refused_are_told_by_their_workload() -> None:
    seen = healthy()
    drop(seen, "Pod")
    refused = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}
    own(seen, "Deployment")[0]["status"] = {"conditions": [refused]}
    assert any("its pods are refused: exceeded quota" in text for text, _ in told(diagnose(seen)))


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ({"currentReplicas": 2, "desiredReplicas": 4}, "it grows: 2 of 4 pods are ready"),
        ({"currentReplicas": 6, "desiredReplicas": 6}, "the autoscaler is at its most, 6 pods"),
    ],
)
def test_autoscaler_at_work_is_a_note_and_no_fault(status: Object, text: str) -> None:
    seen = healthy()
    own(seen, "HorizontalPodAutoscaler")[0]["status"] = status
    assert told(diagnose(seen)) == [(text, Verdict.HEALTHY)]


def test_newest_job_of_a_purpose_counts() -> None:
    seen = healthy()
    job = next(item for item in seen.all("Job") if key_of(item)[0] == "glance")
    failed = copy.deepcopy(job)
    failed["metadata"] |= {"name": "older", "creationTimestamp": "2026-01-01T00:00:00Z"}
    failed["status"] = {"conditions": [{"type": "Failed", "status": "True", "message": "x"}]}
    all_of(seen, "Job")["older"] = failed
    assert diagnose(seen).verdict is Verdict.HEALTHY
    failed["metadata"]["creationTimestamp"] = NOW.isoformat()
    assert diagnose(seen).verdict is Verdict.DEGRADED


def test_without_a_pin_what_runs_is_looked_at() -> None:
    seen = replace(healthy(), expected=None, trouble="no pin")
    assert processes(seen).keys() >= expected().processes.keys()
    unready(seen, 2)
    assert glance(diagnose(seen)).verdict is Verdict.DOWN


@given(count=st.integers(0, 2), failures=st.integers(0, 100), measured=st.booleans())
def test_nothing_that_gets_worse_makes_the_verdict_better(count: int, failures: int, measured: bool) -> None:  # noqa: FBT001
    seen = answered(healthy(), 100, failures)
    better = glance(diagnose(seen)).verdict
    unready(seen, count)
    seen = seen if measured else replace(seen, measured=Measurements({}))
    assert glance(diagnose(seen)).verdict.severity >= (better.severity if measured else Verdict.UNKNOWN.severity)


def test_not_knowing_is_worse_than_well_and_better_than_bad() -> None:
    assert worst([]) is Verdict.UNKNOWN
    assert worst([Verdict.HEALTHY, Verdict.UNKNOWN]) is Verdict.UNKNOWN
    assert worst(list(Verdict)) is Verdict.DOWN
    assert worst([Verdict.UNKNOWN, Verdict.DEGRADED]) is Verdict.DEGRADED
