# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The control plane answers end to end, by the stock openstack client, and deploying it again changes nothing."""

import hashlib
import json
from pathlib import Path

import pytest
import requests

from tests.e2e.cloud import Cloud, release, run_release, wait_until

pytestmark = pytest.mark.cluster


def test_killed_deployments_leave_one_that_is_whole(cloud: Cloud) -> None:
    assert len(cloud.killed) == 3
    assert all(code in {-9, 137} for code in cloud.killed)
    seen = release("status", cloud.name, "--wait", "180")
    assert seen["verdict"] == "healthy"
    assert {item["service"] for item in seen["services"]} >= {"keystone", "nova", "mariadb", "prometheus"}


def test_pod_leads_to_the_lines_of_its_spec(cloud: Cloud) -> None:
    pod = cloud.pods("keystone", "api")[0]["metadata"]["name"]
    told = run_release("trace", pod, "--env", cloud.name).stdout
    assert "images/keystone/service.yaml:" in told
    assert "BROKEN" not in told


def test_token_is_issued(cloud: Cloud) -> None:
    assert cloud.openstack("token", "issue")["project_id"] == cloud.login[1]


def test_catalogue_has_every_service_of_the_release(cloud: Cloud) -> None:
    found = {row["Name"] for row in cloud.openstack("service", "list")}
    assert found == {"keystone", "glance", "placement", "nova", "neutron", "cinder"}


def test_image_comes_back_as_it_was(cloud: Cloud, tmp_path: Path) -> None:
    content = hashlib.sha256(b"image").digest() * 40_000
    (given := tmp_path / "given").write_bytes(content)
    form = ("--disk-format", "raw", "--container-format", "bare")
    words = ("image", "create", *form, "e2e-image", "-f", "json")
    image = json.loads(run_release("client", cloud.name, "--input", str(given), "--", *words).stdout)
    assert image["status"] == "active"
    found = tmp_path / "found"
    run_release("client", cloud.name, "--out", str(found), "--", "image", "save", "e2e-image")
    assert found.read_bytes() == content
    assert image["checksum"] == hashlib.md5(content, usedforsecurity=False).hexdigest()


def test_large_image_comes_back_by_the_api_alone(cloud: Cloud) -> None:
    content = hashlib.sha256(b"stackway").digest() * 100_000
    headers = {"X-Auth-Token": cloud.login[0]}
    about = {"name": "e2e-large", "disk_format": "raw", "container_format": "bare"}
    made = requests.post(cloud.address("glance-api", "/v2/images"), json=about, headers=headers, timeout=30).json()
    address = cloud.address("glance-api", f"/v2/images/{made['id']}/file")
    upload = {**headers, "Content-Type": "application/octet-stream"}
    requests.put(address, content, headers=upload, timeout=60).raise_for_status()
    assert requests.get(address, headers=headers, timeout=60).content == content


def test_server_becomes_active_with_a_port(cloud: Cloud) -> None:
    cloud.openstack("flavor", "create", "--ram", "64", "--disk", "1", "--vcpus", "1", "e2e-tiny")
    cloud.openstack("network", "create", "e2e-net")
    cloud.openstack("subnet", "create", "--network", "e2e-net", "--subnet-range", "10.9.0.0/24", "e2e-subnet")
    port = cloud.openstack("port", "create", "--network", "e2e-net", "e2e-port")
    image, flavor, nic = ("--image", "e2e-image"), ("--flavor", "e2e-tiny"), ("--nic", f"port-id={port['id']}")
    cloud.openstack("server", "create", *image, *flavor, *nic, "e2e-server")
    wait_until("server", lambda: cloud.openstack("server", "show", "e2e-server")["status"] == "ACTIVE", 60)
    addresses = cloud.openstack("server", "show", "e2e-server")["addresses"]
    assert addresses == {"e2e-net": [port["fixed_ips"][0]["ip_address"]]}


def test_volume_becomes_available(cloud: Cloud) -> None:
    cloud.openstack("volume", "create", "--size", "1", "e2e-volume")
    wait_until("volume", lambda: cloud.openstack("volume", "show", "e2e-volume")["status"] == "available", 60)


def test_workers_are_up(cloud: Cloud) -> None:
    rows = [*cloud.openstack("compute", "service", "list"), *cloud.openstack("volume", "service", "list")]
    up = {row["Binary"] for row in rows if row["State"] == "up"}
    assert up >= {"nova-conductor", "nova-scheduler", "nova-compute", "cinder-scheduler", "cinder-volume"}


def test_second_deployment_changes_nothing(cloud: Cloud) -> None:
    before = versions(cloud)
    assert not any(release("deploy", cloud.name)["ready"][stage] > 5 for stage in ("foundation", "mariadb"))
    assert release("deploy", cloud.name, "--dry-run")["actions"]
    assert {row["verb"] for row in release("deploy", cloud.name, "--dry-run")["actions"]} == {"keep"}
    assert versions(cloud) == before


def versions(cloud: Cloud) -> dict[str, str]:
    """Return what the cluster counts up with each write of somebody, by object."""
    kinds = ("ConfigMap", "Secret", "Service", "NetworkPolicy", "PodDisruptionBudget")
    items = [item for kind in kinds for item in cloud.api.list(kind, cloud.name)[0]]
    return {f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["resourceVersion"] for item in items}


def test_no_credential_is_in_any_object_but_secrets(cloud: Cloud) -> None:
    for kind in ("ConfigMap", "Deployment", "StatefulSet", "Job", "Pod", "Event"):
        text = json.dumps(cloud.api.list(kind, cloud.name)[0])
        assert cloud.password not in text, kind
