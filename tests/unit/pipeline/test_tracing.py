# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What a word means in a cluster: a pod, a workload or an image, and nothing by half."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from pipeline.lineage import Subject
from pipeline.manifests.objects import COMPONENT, MANAGED_BY, MANAGER, NAME, REVISION
from pipeline.sight import digest_of
from pipeline.tracing import Objects, objects_of, refuse, subject_of
from stackway.errors import UnavailableError
from tests.fakes.sights import healthy
from tests.fakes.sites import site

IMAGE = digest_of(site().image("glance"))


class Api:
    """The objects of one namespace, and the names of those that nobody may read."""

    def __init__(self, *, may_list: bool = True) -> None:
        self.seen, self.may_list = healthy(), may_list

    def list(self, kind: str, namespace: str) -> tuple[list[dict[str, Any]], str]:
        assert namespace == "dev"
        return self.seen.all(kind), "1"

    def names(self, kind: str, namespace: str, selector: str) -> frozenset[str]:
        assert (namespace, selector) == ("dev", f"{MANAGED_BY}={MANAGER}")
        if kind == "Secret" and not self.may_list:
            raise UnavailableError("nobody may list Secrets")
        return self.seen.names[kind]


def find(word: str, api: Api | None = None) -> Subject | None:
    given = cast("Any", api or Api())
    return subject_of(given, "dev", objects_of(given, "dev"), word)


def meant(word: str, objects: Objects) -> Subject | None:
    return subject_of(cast("Any", Api()), "dev", {"Service": [], "Job": [], "StatefulSet": [], **objects}, word)


def named(kind: str, prefix: str) -> str:
    return next(name for name in sorted(healthy().objects[kind]) if name.startswith(prefix))


def item(name: str, revision: str = "", **metadata: Any) -> dict[str, Any]:
    labels = {NAME: "glance", COMPONENT: "api", **({REVISION: revision} if revision else {})}
    spec = {"containers": [{"image": f"x/glance@{IMAGE}"}]}
    return {"metadata": {"name": name, "labels": labels, **metadata}, "spec": {**spec, "template": {"spec": spec}}}


@pytest.mark.parametrize(
    ("prefix", "kind"), [("glance-api", "Deployment"), ("mariadb", "StatefulSet"), ("neutron-periodic", "Deployment")]
)
def test_pod_leads_to_its_workload_and_what_is_around_it(prefix: str, kind: str) -> None:
    found = find(named("Pod", prefix))
    assert found is not None
    assert found.workload is not None
    assert found.workload["kind"] == kind
    assert found.pod is not None
    assert found.pod["metadata"]["name"].startswith(found.workload["metadata"]["name"])


def test_workload_is_found_by_its_own_name() -> None:
    found = find(named("Deployment", "glance-api"))
    assert found is not None
    assert (found.pod, found.service, found.process) == (None, "glance", "api")
    assert [one["metadata"]["name"] for one in found.addresses] == ["glance-api"]


def test_job_is_found_by_its_own_name() -> None:
    found = find(named("Job", "glance"))
    assert found is not None
    assert found.workload is not None
    assert found.digest == IMAGE


def test_pod_of_one_revision_is_not_traced_to_another() -> None:
    objects = {"Pod": [item("pod", "old")], "Deployment": [item("new", "new"), item("old", "old")]}
    found = meant("pod", objects)
    assert found is not None
    assert found.workload is objects["Deployment"][1]


def test_pod_of_a_job_is_traced_to_the_job_though_it_has_the_labels_of_a_process() -> None:
    pod = item("pod", "a", ownerReferences=[{"kind": "Job", "name": "sync"}])
    found = meant("pod", {"Pod": [pod], "Deployment": [item("d", "a")], "Job": [item("sync")]})
    assert found is not None
    assert found.workload is not None
    assert found.workload["metadata"]["name"] == "sync"


def test_pod_of_nobody_has_no_workload() -> None:
    stranger = {**item("pod"), "metadata": {"name": "pod"}}
    other = {**item("d"), "metadata": {"name": "d"}}
    found = meant("pod", {"Pod": [stranger], "Deployment": [other], "StatefulSet": [other]})
    assert found is not None
    assert (found.workload, found.service) == (None, "")


@pytest.mark.parametrize(
    "word", [IMAGE, IMAGE.removeprefix("sha256:"), IMAGE[7:19], f"registry.example.org:5000/glance:1@{IMAGE}"]
)
def test_image_is_found_by_its_digest_or_the_beginning_of_it(word: str) -> None:
    found = find(word)
    assert found is not None
    assert found.digest == IMAGE
    assert named("Deployment", "glance-api") in " ".join(found.users)


@pytest.mark.parametrize("word", [IMAGE[7:18], f"{IMAGE}0", "sha256:", "glance", "", "f" * 64, IMAGE.upper()])
def test_word_that_means_nothing_is_nothing(word: str) -> None:
    assert find(word) is None


def test_beginning_that_several_images_share_means_none_of_them() -> None:
    one, other = item("a"), item("b")
    other["spec"]["template"]["spec"] = {"containers": [{"image": f"x/nova@{IMAGE[:30]}{'0' * 41}"}]}
    assert meant(IMAGE[7:30], {"Pod": [], "Deployment": [one, other]}) is None
    assert meant(IMAGE, {"Pod": [], "Deployment": [one, other]}) is not None


def test_same_image_by_two_names_is_one_image() -> None:
    one, other = item("a"), item("b")
    other["spec"]["template"]["spec"] = {"containers": [{"image": f"mirror/glance@{IMAGE}"}]}
    found = meant(IMAGE, {"Pod": [], "Deployment": [one, other]})
    assert found is not None
    assert found.users == ("Deployment a", "Deployment b")


def test_names_that_nobody_may_list_are_unknown_and_others_are_not() -> None:
    found = find(named("Pod", "glance-api"), Api(may_list=False))
    assert found is not None
    assert list(found.names) == ["ConfigMap"]


def test_wrong_word_is_answered_with_the_nearest_name_and_where_was_looked() -> None:
    api = cast("Any", Api())
    view = SimpleNamespace(place=SimpleNamespace(spec=SimpleNamespace(name="lab")), namespace="dev")
    right = named("Deployment", "glance-api")
    error = refuse(f"{right}x", [cast("Any", view)], [objects_of(api, "dev")])
    assert right in error.resolution
    assert "lab (namespace dev)" in error.details
    assert "Name a pod" in refuse("x" * 30, [], []).resolution
