# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A release deployed into a cluster in memory: in order, once, to its end after any deaths, with words for what fails."""

import base64
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from pipeline import deploy
from pipeline.deploy import Prepared
from pipeline.deployment import Verb
from pipeline.manifests.objects import COMPONENT, NAME, REVISION, config_map, labels
from stackway.console import SilentReporter
from stackway.errors import FailedError, WrongInputError
from tests.fakes.cluster import FakeCluster, Key, KilledError
from tests.fakes.sites import site

if TYPE_CHECKING:
    from pipeline.api import Api
    from releases.verify import Release

SILENT = SilentReporter()


def prepared(cluster: FakeCluster, version: str = "2026.1.0", **written: Any) -> Prepared:
    wanted = site(version, **written)
    release = cast("Release", SimpleNamespace(content=wanted.content, version=wanted.content.version))
    return deploy.prepare(cast("Api", cluster), release, wanted.environment)


def run(cluster: FakeCluster, *, seconds: float = 30.0, **written: Any) -> dict[str, float]:
    """Deploy as the command does: look, plan, apply."""
    return deploy.apply(cast("Api", cluster), prepared(cluster, **written), SILENT, seconds)


def deployed(**given: Any) -> FakeCluster:
    """Return a cluster in which the environment runs."""
    first = FakeCluster()
    run(first)
    return FakeCluster(dict(first.objects), **given)


def job_of(cluster: FakeCluster, prefix: str) -> str:
    """Return the name of the Job that a deployment would make."""
    names = [item.name for step in prepared(cluster).plan.steps for item in step.actions if item.kind == "Job"]
    return next(name for name in names if name.startswith(prefix))


def keys(cluster: FakeCluster) -> set[Key]:
    return {key for key in cluster.objects if key[0] != "Pod"}


def revision(cluster: FakeCluster, process: str) -> tuple[str, str]:
    """Return name and revision of the workload of a process."""
    (found,) = [
        item["metadata"]
        for (kind, _), item in cluster.objects.items()
        if kind == "Deployment" and "-".join(item["metadata"]["labels"][key] for key in (NAME, COMPONENT)) == process
    ]
    return found["name"], found["labels"][REVISION]


def spec(cluster: FakeCluster, name: str) -> dict[str, Any]:
    return cast("dict[str, Any]", cluster.objects["Deployment", name]["spec"])


def test_all_is_applied_once_and_each_stage_after_those_it_waits_for() -> None:
    cluster = FakeCluster()
    todo = prepared(cluster)
    ready = deploy.apply(cast("Api", cluster), todo, SILENT, 30.0)
    assert ready.keys() == {step.stage for step in todo.plan.steps}
    order = {key: number for number, (_, key) in enumerate(cluster.written)}
    assert len(order) == len(cluster.written)
    spans = {step.stage: [order[item.key] for item in step.actions] for step in todo.plan.steps}
    for step in todo.plan.steps:
        assert all(max(spans[name]) < min(spans[step.stage]) for name in step.after), step.stage


def test_second_run_changes_nothing_and_draws_nothing() -> None:
    cluster = deployed()
    again = prepared(cluster)
    assert (again.plan.changes, again.keys) == ([], ())
    deploy.apply(cast("Api", cluster), again, SILENT, 30.0)
    assert cluster.written == []


@pytest.mark.parametrize("is_made", [True, False], ids=["after the write", "before the write"])
def test_killed_at_any_write_the_next_run_finishes(is_made: bool) -> None:  # noqa: FBT001
    whole = FakeCluster()
    run(whole)
    for deadly in range(1, whole.writes + 1, 9):
        cluster = FakeCluster(deadly=deadly, is_made=is_made, stays_dead=True)
        with pytest.raises(KilledError):
            run(cluster)
        heir = FakeCluster(dict(cluster.objects))
        run(heir)
        assert {key[0] for key in keys(heir)} == {key[0] for key in keys(whole)}, deadly
        assert len(keys(heir)) == len(keys(whole)), deadly
        assert prepared(heir).plan.changes == [], deadly


def test_killed_at_each_third_write_again_and_again_it_comes_to_an_end() -> None:
    objects: dict[Key, Any] = {}
    for _ in range(60):
        cluster = FakeCluster(objects, deadly=3, stays_dead=True)
        try:
            run(cluster)
        except KilledError:
            objects = dict(cluster.objects)
            continue
        assert prepared(cluster).plan.changes == []
        return
    pytest.fail(f"no end after 60 deaths; {len(objects)} objects are there")


def test_credentials_and_keys_outlive_every_later_run() -> None:
    cluster = deployed()
    drawn = [("Secret", "credentials"), ("Secret", "keystone-fernet-keys")]
    before = [cluster.objects[key]["data"] for key in drawn]
    run(cluster, version="2026.1.1", services={"glance": {"settings": {"debug": True}}})
    assert [cluster.objects[key]["data"] for key in drawn] == before
    assert len({base64.b64decode(value) for value in before[0].values()}) == len(before[0])


def test_failed_job_stops_what_waits_for_it_and_tells_its_log() -> None:
    probe = deployed()
    name = job_of(probe, "keystone-database")
    fixed = {key: probe.objects[key] for key in [("Secret", "credentials"), ("Secret", "keystone-fernet-keys")]}
    cluster = FakeCluster(fixed, jobs={name: "failed"})
    with pytest.raises(FailedError, match=f"Job {name} failed") as caught:
        run(cluster)
    assert "BackoffLimitExceeded" in caught.value.details
    assert f"last words of {name}-0" in caught.value.details
    services = {item["metadata"]["labels"][NAME] for key, item in cluster.objects.items() if key[0] == "Deployment"}
    assert not services & {"keystone", "glance", "nova"}
    assert ("Job", name) in cluster.objects


def test_job_that_failed_is_made_anew_by_the_next_run() -> None:
    cluster = deployed()
    name = job_of(cluster, "keystone-database")
    first = cluster.objects["Job", name]["metadata"]["uid"]
    cluster.objects["Job", name]["status"] = {"conditions": [{"type": "Failed", "status": "True", "message": "no"}]}
    cluster.lag = 0.1
    run(cluster)
    assert cluster.written == [("delete", ("Job", name)), ("apply", ("Job", name))]
    assert cluster.objects["Job", name]["metadata"]["uid"] != first


def test_workload_that_was_given_up_gets_new_pods_though_its_failure_is_still_told() -> None:
    cluster = deployed()
    name, found = revision(cluster, "glance-api")
    cluster = FakeCluster(dict(cluster.objects), failing={found: "given up"})
    with pytest.raises(FailedError, match=f"Deployment {name} failed"):
        run(cluster)
    cluster.failing, cluster.lag = {}, 0.1
    assert [(item.verb, item.name) for item in prepared(cluster).plan.changes] == [(Verb.AGAIN, name)]
    run(cluster)
    assert prepared(cluster).plan.changes == []


@pytest.mark.parametrize("process", ["glance-api", "nova-compute", "cinder-scheduler"])
def test_what_somebody_stopped_runs_again(process: str) -> None:
    cluster = deployed()
    name = revision(cluster, process)[0]
    cluster.apply({**cluster.objects["Deployment", name], "spec": {**spec(cluster, name), "replicas": 0}})
    run(cluster)
    assert spec(cluster, name)["replicas"] > 0
    assert prepared(cluster).plan.changes == []


def test_stage_is_not_ready_by_what_was_seen_before_it_was_applied() -> None:
    cluster = deployed(lag=0.2)
    cluster.failing = {revision(cluster, "glance-api")[1]: "never"}
    key = "Deployment", revision(cluster, "glance-api")[0]
    cluster.objects[key]["metadata"]["annotations"] = {}
    with pytest.raises(FailedError, match="did not get ready in time"):
        run(cluster, seconds=1.0)


def test_what_does_not_get_ready_in_time_is_named_with_its_log() -> None:
    probe = deployed()
    name = job_of(probe, "nova-database")
    del probe.objects["Job", name]
    cluster = FakeCluster(dict(probe.objects), jobs={name: "running"})
    with pytest.raises(FailedError, match="1 objects did not get ready in time") as caught:
        run(cluster, seconds=0.3)
    assert caught.value.details.splitlines() == [f"Job {name}: running", f"last words of {name}-0"]


def test_run_that_is_ready_at_once_is_never_late() -> None:
    cluster = deployed()
    assert run(cluster, seconds=0.0)


def test_leftovers_go_last_and_not_before_the_new_serves() -> None:
    cluster = deployed()
    old = revision(cluster, "glance-api")[0]
    run(cluster, services={"glance": {"settings": {"debug": True}}})
    verbs = [verb for verb, _ in cluster.written]
    assert "delete" in verbs
    assert verbs == sorted(verbs)
    assert ("delete", ("Deployment", old)) in cluster.written
    assert ("Service", "glance-api") in cluster.objects


def test_leftovers_stay_when_the_new_does_not_get_ready() -> None:
    cluster = deployed()
    old = revision(cluster, "glance-api")[0]
    changed = {"glance": {"settings": {"debug": True}}}
    todo = prepared(cluster, services=changed)
    made = [item.object for item in todo.plan.changes if item.kind == "Deployment" and item.verb is Verb.MAKE]
    cluster.failing = {item["metadata"]["labels"][REVISION]: "never" for item in made}
    with pytest.raises(FailedError, match="did not get ready"):
        deploy.apply(cast("Api", cluster), todo, SILENT, 0.5)
    assert not [key for verb, key in cluster.written if verb == "delete"]
    assert ("Deployment", old) in cluster.objects


def test_what_is_not_ours_is_not_read_and_not_removed() -> None:
    foreign = config_map("theirs", {"app": "theirs"}, {"a": "b"})
    ours = config_map("old", labels("old"), {"a": "b"})
    cluster = deployed()
    cluster.objects |= {("ConfigMap", item["metadata"]["name"]): item for item in (foreign, ours)}
    assert [item.object for item in prepared(cluster).plan.leftovers] == [ours]


OUTSIDE = {"messaging": {"hosts": ["broker.example"], "secret": "broker"}}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, "there is no Secret broker"),
        ({}, "there is no Secret broker"),
        ({"user": "u"}, "has no password"),
        ({"user": "u", "password": ""}, "has no password"),
        ({"other": "u"}, "has no user and no password"),
    ],
    ids=str,
)
def test_login_from_outside_that_is_missing_is_asked_for_before_anything(
    data: dict[str, str] | None, told: str
) -> None:
    cluster = FakeCluster()
    if data is not None:
        cluster.objects["Secret", "broker"] = login(data)
    with pytest.raises(WrongInputError, match=told):
        prepared(cluster, external=OUTSIDE)
    assert cluster.writes == 0


def login(data: dict[str, str]) -> dict[str, Any]:
    coded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"kind": "Secret", "metadata": {"name": "broker"}, "data": coded}


def test_login_from_outside_replaces_our_own() -> None:
    cluster = FakeCluster({("Secret", "broker"): login({"user": "me", "password": "theirs"})})
    found = prepared(cluster, external=OUTSIDE).site.credentials
    assert (found.messaging_user, found.messaging) == ("me", "theirs")
