# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Which pod the stock client runs in, what it is told, and how its end is read."""

import json
from typing import Any

import pytest

from pipeline.client import client_environment, client_pod, exit_code
from stackway.errors import FailedError, UnavailableError
from tests.fakes.sites import site

OWN = site().image("toolbox")
OTHER = f"registry.example.org:5000/team/toolbox@sha256:{'1' * 64}"


def pod(name: str, image: str, *, phase: str = "Running", **metadata: Any) -> dict[str, Any]:
    state = {"running": {}} if phase == "Running" else {"waiting": {}}
    return {
        "metadata": {"name": name, **metadata},
        "spec": {"containers": [{"name": "main", "image": image}]},
        "status": {"phase": phase, "containerStatuses": [{"state": state}]},
    }


def chosen(*pods: dict[str, Any]) -> str:
    return str(client_pod(pods, site())["metadata"]["name"])


def test_pod_of_the_release_is_chosen_before_one_of_another_release() -> None:
    assert chosen(pod("a", OTHER), pod("c", OWN), pod("b", OWN)) == "b"


def test_pod_of_another_release_does_while_the_own_one_is_not_there() -> None:
    leaving = pod("b", OWN, deletionTimestamp="2026-01-01T00:00:00Z")
    assert chosen(pod("a", OWN, phase="Pending"), leaving, pod("c", OTHER)) == "c"


@pytest.mark.parametrize("image", [site().image("keystone"), OWN.replace("toolbox", "toolbox-2"), "toolbox/other:1"])
def test_pod_without_the_client_is_never_chosen(image: str) -> None:
    with pytest.raises(UnavailableError) as caught:
        chosen(pod("a", image))
    assert "0 pods have it" in (caught.value.details or "")


def test_client_asks_inside_the_cluster_as_the_administrator() -> None:
    found = client_environment(site(), "secret")
    assert (found["OS_PASSWORD"], found["OS_USERNAME"]) == ("secret", "admin")
    assert found["OS_AUTH_URL"].startswith("http://keystone-api")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"status": "Success"}, 0),
        ({"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "2"}]}}, 2),
        ({"status": "Failure", "message": "container is gone"}, None),
        ({}, None),
    ],
)
def test_end_of_the_client_is_its_exit_code_or_an_error(status: dict[str, Any], expected: int | None) -> None:
    if expected is not None:
        assert exit_code(json.dumps(status).encode()) == expected
        return
    with pytest.raises(FailedError) as caught:
        exit_code(json.dumps(status).encode())
    assert (caught.value.details or "") == status.get("message", "the stream ended without a status")


@pytest.mark.parametrize("status", [b"", b"{", b"not json"])
def test_status_that_says_nothing_is_an_error(status: bytes) -> None:
    with pytest.raises(FailedError):
        exit_code(status)
