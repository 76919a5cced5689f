# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The objects that a local cluster starts with, and the image of a pod's sandbox."""

import io
import json
import tarfile
from base64 import b64decode
from ipaddress import IPv4Network

import pytest

from pipeline.cluster.identities import identities
from pipeline.cluster.layout import Addresses
from pipeline.cluster.objects import Object, objects, path_of
from pipeline.cluster.pause import pause_archive
from stackway.files import digest_bytes

ADDRESSES = Addresses(IPv4Network("10.214.0.0/16"))
OBJECTS = objects(ADDRESSES, b"authority")


def of_kind(kind: str) -> list[Object]:
    return [item for item in OBJECTS if item["kind"] == kind]


@pytest.mark.parametrize("item", OBJECTS, ids=lambda item: f"{item['kind']} {item['metadata']['name']}")
def test_object_is_ours_and_has_a_place(item: Object) -> None:
    assert item["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "stackway"
    assert path_of(item).startswith(("/api/v1/", "/apis/"))
    assert path_of(item).endswith(f"/{item['metadata']['name']}")
    assert json.loads(json.dumps(item)) == item


def test_no_two_objects_have_one_place() -> None:
    assert len({path_of(item) for item in OBJECTS}) == len(OBJECTS)


def test_rights_go_to_users_that_have_a_certificate() -> None:
    bound = {
        subject["name"]
        for kind in ("ClusterRoleBinding", "RoleBinding")
        for item in of_kind(kind)
        for subject in item["subjects"]
    }
    assert bound <= {identity.user for identity in identities(ADDRESSES)}


def test_roles_of_ours_that_are_bound_are_there() -> None:
    roles = {item["metadata"]["name"] for item in of_kind("ClusterRole")}
    bound = {item["roleRef"]["name"] for item in of_kind("ClusterRoleBinding")}
    assert {name for name in bound if name.startswith("stackway:")} <= roles
    assert not [
        rule for item in of_kind("ClusterRole") for rule in item["rules"] if "*" in (*rule["verbs"], *rule["resources"])
    ]


def test_services_lead_to_the_node() -> None:
    services = {item["metadata"]["name"]: item["spec"] for item in of_kind("Service")}
    slices = {item["metadata"]["labels"]["kubernetes.io/service-name"]: item for item in of_kind("EndpointSlice")}
    assert services["kube-dns"]["clusterIP"] == str(ADDRESSES.dns)
    assert set(slices) == set(services)
    assert {address for item in slices.values() for end in item["endpoints"] for address in end["addresses"]} == {
        "10.214.0.2"
    }


def test_one_class_of_storage_is_the_usual_one() -> None:
    (found,) = of_kind("StorageClass")
    assert found["metadata"]["annotations"] == {"storageclass.kubernetes.io/is-default-class": "true"}
    assert found["volumeBindingMode"] == "WaitForFirstConsumer"


def test_metrics_are_believed_by_our_authority_only() -> None:
    (found,) = of_kind("APIService")
    assert b64decode(found["spec"]["caBundle"]) == b"authority"
    assert "insecureSkipTLSVerify" not in found["spec"]


def test_sandbox_image_is_whole_and_the_same_each_time() -> None:
    archive = pause_archive(b"program", "registry.local/pause:1", "amd64")
    assert archive == pause_archive(b"program", "registry.local/pause:1", "amd64")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = {member.name: tar.extractfile(member).read() for member in tar.getmembers()}  # type: ignore[union-attr]
    blobs = {
        f"sha256:{name.rpartition('/')[2]}": content for name, content in files.items() if name.startswith("blobs/")
    }
    assert all(digest_bytes(content) == digest for digest, content in blobs.items())
    manifest = json.loads(blobs[json.loads(files["index.json"])["manifests"][0]["digest"]])
    config = json.loads(blobs[manifest["config"]["digest"]])
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]
    assert (config["config"]["Entrypoint"], config["config"]["User"]) == (["/pause"], "65534:65534")
