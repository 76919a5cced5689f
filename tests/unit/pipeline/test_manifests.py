# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What is rendered of the real specs: safe, complete, the same again, and other only where something is other."""

import base64
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.deployment import APPLIED, Verb, marked, plan
from pipeline.manifests.amounts import seconds, whole_seconds
from pipeline.manifests.objects import Object, fit
from pipeline.manifests.render import Rendered, render
from stackway.errors import WrongInputError
from tests.fakes.sites import content, site

VERSIONS = ("2025.1.0", "2026.1.0")


@pytest.fixture(params=VERSIONS)
def rendered(request: pytest.FixtureRequest) -> Rendered:
    return render(site(request.param))


def pods(found: Rendered) -> Iterator[tuple[str, Object]]:
    for item in found.objects:
        if item["kind"] in {"Deployment", "StatefulSet", "Job"}:
            yield item["metadata"]["name"], item["spec"]["template"]["spec"]


def keys(found: Rendered) -> list[tuple[str, str]]:
    return [(item["kind"], item["metadata"]["name"]) for item in found.objects]


def test_every_pod_is_restricted_and_pinned_by_digest(rendered: Rendered) -> None:
    for name, pod in pods(rendered):
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["runAsUser"] >= 1000
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        # Only the prober asks the API of the cluster.
        assert pod["automountServiceAccountToken"] == (name == "prober")
        for container in pod["containers"]:
            given = container["securityContext"]
            assert given["readOnlyRootFilesystem"]
            assert not given["allowPrivilegeEscalation"]
            assert given["capabilities"] == {"drop": ["ALL"]}
            assert re.fullmatch(r"stackway\.local/[a-z]+@sha256:[0-9a-f]{64}", container["image"])
            assert container["resources"]["requests"], name


def test_every_name_is_one_and_there_once(rendered: Rendered) -> None:
    assert [key for key, count in Counter(keys(rendered)).items() if count > 1] == []
    assert [name for _, name in keys(rendered) if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name)] == []


def test_everything_that_is_mounted_is_rendered_or_drawn(rendered: Rendered) -> None:
    there = set(keys(rendered))
    drawn = {("Secret", "keystone-fernet-keys"), ("Secret", "keystone-credential-keys")}
    wanted = set()
    for _, pod in pods(rendered):
        for volume in pod["volumes"]:
            wanted |= {("Secret", volume["secret"]["secretName"])} if "secret" in volume else set()
            wanted |= {("ConfigMap", volume["configMap"]["name"])} if "configMap" in volume else set()
            claim = volume.get("persistentVolumeClaim")
            wanted |= {("PersistentVolumeClaim", claim["claimName"])} if claim else set()
    assert wanted - there - drawn == set()


def test_selectors_of_services_meet_pods(rendered: Rendered) -> None:
    labelled = [
        item["spec"]["template"]["metadata"]["labels"]
        for item in rendered.objects
        if item["kind"] in {"Deployment", "StatefulSet"}
    ]
    for item in rendered.objects:
        if item["kind"] == "Service":
            chosen = item["spec"]["selector"].items()
            assert sum(chosen <= labels.items() for labels in labelled) == 1, item["metadata"]["name"]


def test_secrets_are_in_secrets_alone(rendered: Rendered) -> None:
    for item in rendered.objects:
        text = json.dumps(item)
        assert item["kind"] == "Secret" or "secret of " not in text, item["metadata"]["name"]
    held = [item for item in rendered.objects if item["kind"] == "Secret"]
    assert any("secret of database.nova" in decoded(item) for item in held)


def decoded(secret: Object) -> str:
    return "".join(base64.b64decode(value).decode() for value in secret["data"].values())


def test_the_same_again_is_the_same(rendered: Rendered) -> None:
    again = render(site(rendered.workloads[0].service and version_of(rendered)))
    assert again == rendered


def version_of(found: Rendered) -> str:
    namespace = next(item for item in found.objects if item["kind"] == "Namespace")
    return str(namespace["metadata"]["labels"]["stackway.dev/release"])


def test_change_of_one_service_touches_its_processes_alone() -> None:
    before = render(site())
    after = render(site(services={"nova": {"settings": {"debug": True}}}))
    changed = {name for _, name in set(keys(after)) - set(keys(before))}
    assert changed
    assert {name.partition("-")[0] for name in changed} == {"nova"}
    revisions = {(item.service, item.process): item.revision for item in before.workloads}
    other = {
        (item.service, item.process)
        for item in after.workloads
        if revisions[item.service, item.process] != item.revision
    }
    assert {service for service, _ in other} == {"nova"}


def test_new_bounds_keep_the_revision() -> None:
    before = render(site())
    after = render(site(services={"nova": {"processes": {"api": {"replicas": {"min": 3, "max": 9}}}}}))
    assert [item.revision for item in before.workloads] == [item.revision for item in after.workloads]
    scaler = next(
        item
        for item in after.objects
        if item["kind"] == "HorizontalPodAutoscaler" and "nova-api" in item["metadata"]["name"]
    )
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (3, 9)


def test_what_is_for_development_stays_there() -> None:
    assert any(item.process == "compute" for item in render(site()).workloads)
    serious = render(site(development=False, trust={"keys": ["a.pub"]}))
    assert not any(item.process == "compute" for item in serious.workloads)


@pytest.mark.parametrize(
    ("services", "message"),
    [
        ({"novva": {}}, "there is no service 'novva'\n    Did you mean 'nova'?"),
        ({"nova": {"settings": {"debugg": True}}}, "there is no setting of nova 'debugg'\n    Did you mean 'debug'?"),
        ({"nova": {"processes": {"apis": {}}}}, "there is no process of nova 'apis'\n    Did you mean 'api'?"),
    ],
)
def test_what_an_environment_names_must_be_there(services: dict[str, Any], message: str) -> None:
    with pytest.raises(WrongInputError) as caught:
        site(services=services)
    assert message in caught.value.details


def earlier(found: Rendered, stage: str) -> set[str]:
    """Return all stages that are ready before one begins."""
    after = {item.name: item.after for item in found.stages}
    names = set(after[stage])
    while more := {name for item in names for name in after[item]} - names:
        names |= more
    return names


def test_what_is_needed_is_there_before_what_needs_it(rendered: Rendered) -> None:
    assert {"namespace", "foundation", "mariadb"} <= earlier(rendered, "keystone database")
    assert {"keystone database", "rabbitmq", "memcached"} <= earlier(rendered, "keystone")
    assert {"keystone address", "nova database"} <= earlier(rendered, "nova")
    assert {"nova address", "catalog", "placement address"} <= earlier(rendered, "nova workers")
    assert earlier(rendered, "scaling") >= {"nova address", "cinder workers", "neutron address"}
    assert "glance" not in earlier(rendered, "neutron")


def test_no_stage_waits_for_itself_or_for_what_is_not_there(rendered: Rendered) -> None:
    names = {stage.name for stage in rendered.stages}
    for stage in rendered.stages:
        assert set(stage.after) <= names
        assert stage.name not in earlier(rendered, stage.name)


def test_grace_covers_drain_and_finish(rendered: Rendered) -> None:
    for found in rendered.workloads:
        spec = found.main["spec"]["template"]["spec"]
        sleep = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert spec["terminationGracePeriodSeconds"] > sleep


def test_first_deployment_makes_everything_and_the_second_nothing(rendered: Rendered) -> None:
    first = plan("dev", "2026.1.0", rendered, {})
    assert {item.verb for step in first.steps for item in step.actions} == {Verb.MAKE}
    live = {item.key: item.object for step in first.steps for item in step.actions}
    second = plan("dev", "2026.1.0", rendered, live)
    assert second.changes == []
    assert "they are as they should be" in second.to_table().to_text()


def test_object_that_somebody_else_made_is_told_as_such(rendered: Rendered) -> None:
    item = marked(rendered.stages[2].objects[0])
    foreign = {**item, "metadata": {**item["metadata"], "annotations": {}}}
    found = plan("dev", "2026.1.0", rendered, {(item["kind"], item["metadata"]["name"]): foreign})
    change = next(action for action in found.changes if action.verb is Verb.CHANGE)
    assert change.reason == "it is not from us"


def test_plan_as_data_shows_no_content(rendered: Rendered) -> None:
    found = plan("dev", "2026.1.0", rendered, {})
    assert "secret of" not in json.dumps(found.to_dict())
    assert APPLIED not in json.dumps(found.to_dict())


def test_autoscaled_number_of_pods_is_left_alone() -> None:
    before, after = (
        render(site()),
        render(site(services={"nova": {"processes": {"api": {"replicas": {"min": 3, "max": 9}}}}})),
    )
    live = {(item["kind"], item["metadata"]["name"]): marked(item) for item in before.objects}
    for (kind, _), item in live.items():
        if kind == "Deployment":
            item["spec"]["replicas"] = 5
    deployments = [item for item in plan("dev", "x", after, live).changes if item.kind == "Deployment"]
    assert [item.object["spec"]["replicas"] for item in deployments] == [5]


@pytest.mark.parametrize(("text", "value"), [("500ms", 0.5), ("75s", 75.0), ("2m", 120.0), ("1h", 3600.0)])
def test_durations_are_seconds(text: str, value: float) -> None:
    assert seconds(text) == value


def test_parts_of_seconds_are_rounded_up() -> None:
    assert (whole_seconds("500ms"), whole_seconds("1500ms")) == (1, 2)


def test_long_names_are_cut_and_stay_apart() -> None:
    one, two = fit("a" * 80 + "1"), fit("a" * 80 + "2")
    assert len(one) == len(two) == 63
    assert one != two


def test_release_of_the_tests_is_whole() -> None:
    assert {image.name for image in content().images} >= {"keystone", "nova", "mariadb", "toolbox"}
