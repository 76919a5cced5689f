# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What should run of a release in an environment, whose each object is, and which configuration a pod needs."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest

from pipeline.manifests.objects import MANAGED_BY, MANAGER
from pipeline.manifests.render import render, render_upgrade
from pipeline.sight import Expected, Sight, configuration_of, digest_of, expected_of, is_ours, job_of, key_of
from tests.fakes.sites import content, site

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
Object = dict[str, Any]
TEMPLATED = ("Deployment", "StatefulSet", "Job")


@cache
def rendered() -> list[Object]:
    return [*render(site()).objects, *render_upgrade(site("2026.1.1")).objects]


def expected(**written: Any) -> Expected:
    wanted = site(**written)
    return expected_of(content(), wanted.environment, wanted.services, {})


def names_within(value: Any) -> Iterator[str]:
    """Yield all names of ConfigMaps and Secrets in a pod, wherever Kubernetes lets them stand."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in {"configMap", "configMapRef", "configMapKeyRef", "secretRef", "secretKeyRef", "secret"}:
                yield from (str(inner[name]) for name in ("name", "secretName") if name in inner)
            yield from names_within(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from names_within(inner)


def test_all_that_our_pods_need_is_found() -> None:
    pods = [item["spec"]["template"]["spec"] for item in rendered() if item["kind"] in TEMPLATED]
    assert len(pods) > 20
    for pod in pods:
        found = configuration_of(pod)
        assert found["ConfigMap"] | found["Secret"] == set(names_within(pod))


def test_what_should_run_is_what_is_rendered() -> None:
    workloads = [item for item in render(site()).objects if item["kind"] in {"Deployment", "StatefulSet"}]
    made = {key_of(item): item for item in workloads}
    processes = expected().processes
    assert {key for key in processes if key not in made} == set()
    assert {key for key in made if key not in processes and key[0] in expected().images} == set()


def test_processes_of_development_alone_are_not_expected_elsewhere() -> None:
    here, there = expected().processes, expected(development=False).processes
    assert there.keys() < here.keys()
    assert ("keystone", "api") in there


def test_autoscaled_are_those_that_have_an_autoscaler() -> None:
    scalers = {key_of(item) for item in render(site()).objects if item["kind"] == "HorizontalPodAutoscaler"}
    assert {key for key, wanted in expected().processes.items() if wanted.scaled} == scalers


def test_digest_of_each_image_is_known_by_its_service() -> None:
    found = expected()
    assert found.version == "2026.1.0"
    assert found.images["keystone"] == digest_of(site().image("keystone"))


@pytest.mark.parametrize(
    ("image", "digest"),
    [("registry:5000/a/b:1@sha256:12", "sha256:12"), ("registry:5000/a/b:1", ""), ("", "")],
)
def test_digest_is_read_from_a_name_that_has_one(image: str, digest: str) -> None:
    assert digest_of(image) == digest


@pytest.mark.parametrize("labels", [None, {}, {MANAGED_BY: "helm"}])
def test_object_that_does_not_say_so_is_not_ours(labels: dict[str, str] | None) -> None:
    item = {"metadata": {"name": "a", "labels": labels}}
    assert not is_ours(item)
    assert key_of(item) == ("", "")
    assert all(is_ours(item) for item in rendered())
    assert is_ours({"metadata": {"labels": {MANAGED_BY: MANAGER}}})


def test_pods_of_jobs_are_not_pods_of_a_process() -> None:
    labels = {"app.kubernetes.io/name": "nova", "app.kubernetes.io/component": "api"}
    plain = {"metadata": {"name": "b", "labels": labels, "ownerReferences": [{"kind": "ReplicaSet", "name": "r"}]}}
    worker = {"metadata": {"name": "a", "labels": labels, "ownerReferences": [{"kind": "Job", "name": "j"}]}}
    sight = Sight("dev", "dev", NOW, {"Pod": {"b": plain, "a": worker}}, None)
    assert sight.of("Pod", ("nova", "api")) == [plain]
    assert sight.all("Pod") == [worker, plain]
    assert (job_of(worker), job_of(plain)) == ("j", "")


def test_missing_is_only_what_was_looked_for() -> None:
    sight = Sight("dev", "dev", NOW, {}, None, names={"Secret": frozenset({"a"})})
    assert sight.missing("Secret", ["b", "a", "c"]) == ["b", "c"]
    assert sight.missing("ConfigMap", ["b"]) == []


def test_events_are_those_about_the_names_that_are_asked_for() -> None:
    events = {name: {"metadata": {"name": name}, "involvedObject": {"name": name[0]}} for name in ("a.1", "b.1", "a.2")}
    events["c"] = {"metadata": {"name": "c"}}
    sight = Sight("dev", "dev", NOW, {"Event": events}, None)
    assert [item["metadata"]["name"] for item in sight.events("a", "x")] == ["a.1", "a.2"]
