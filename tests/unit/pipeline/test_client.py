# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Which pod the stock client runs in, what it is told, and how its end is read."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from pipeline.client import Ended, client_environment, client_pod, exit_code, run_client
from pipeline.client_cli import read_input
from stackway.errors import FailedError, UnavailableError, WrongInputError
from tests.fakes.sites import site

OWN = site().image("toolbox")
OTHER = f"registry.example.org:5000/team/toolbox@sha256:{'1' * 64}"


def pod(name: str, image: str, *, phase: str = "Running", **metadata: Any) -> dict[str, Any]:
    state: dict[str, Any] = {"running": {}} if phase == "Running" else {"waiting": {}}
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


class Stream:
    """A program in a pod that writes what it gets, as bytes."""

    def __init__(self) -> None:
        self.given = b""
        self.is_read = False

    def write_channel(self, channel: int, data: bytes) -> None:
        assert channel == 0
        assert len(data) <= 1 << 16
        self.given += data

    def is_open(self) -> bool:
        return not self.is_read

    def update(self, timeout: float) -> None:
        assert timeout > 0

    def read_channel(self, channel: int) -> bytes:
        if self.is_read:
            return b""
        self.is_read = channel == 3
        return {1: self.given.partition(b"\n")[2], 3: b'{"status": "Success"}'}.get(channel, b"")

    def close(self) -> None:
        self.is_read = True


class Api:
    """As much of a cluster as the client asks."""

    def __init__(self) -> None:
        self.stream = Stream()

    def list(self, kind: str, namespace: str) -> tuple[list[dict[str, Any]], str]:
        return [pod(f"{kind}-{namespace}", OWN)], "1"

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any]:
        assert (kind, name, namespace) == ("Secret", "credentials", "dev")
        return {"data": {"admin": base64.b64encode(b"xyzzy").decode()}}

    def open_stream(self, path: str, query: Sequence[tuple[str, str]]) -> Stream:
        assert "xyzzy" not in path + str(query)
        return self.stream


def test_bytes_go_in_and_come_out_as_they_are() -> None:
    content, api = bytes(range(256)) * 1000, Api()
    ended = run_client(cast("Any", api), site(), ["image", "save"], 5.0, content)
    assert (ended.code, ended.content) == (0, content)
    head = json.loads(api.stream.given.partition(b"\n")[0])
    assert head["input"] == len(content)
    assert head["environment"]["OS_PASSWORD"] == "xyzzy"


class Endless(Stream):
    """A program that writes an error and does not end."""

    def read_channel(self, channel: int) -> bytes:
        return b"it asks for a password" if channel == 2 else b""


def test_client_that_does_not_end_is_left_and_its_last_words_are_told() -> None:
    api = Api()
    api.stream = Endless()
    with pytest.raises(FailedError, match="does not come to an end") as caught:
        run_client(cast("Any", api), site(), ["token", "issue"], 0.0)
    assert "it asks for a password" in caught.value.details
    assert not api.stream.is_open()


@pytest.mark.parametrize("secret", [None, {}, {"data": None}, {"data": {"admin": ""}}])
def test_client_is_not_begun_without_a_password(secret: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api()
    monkeypatch.setattr(api, "get", lambda *_: secret)
    with pytest.raises(UnavailableError, match="no administrator's password"):
        run_client(cast("Any", api), site(), ["token", "issue"], 1.0)
    assert api.stream.given == b""


def test_what_is_no_text_is_seen() -> None:
    assert Ended(0, "größer".encode(), "").output.encode() == "größer".encode()
    assert Ended(0, b"\xff\x00", "").output.encode() != b"\xff\x00"


def test_input_is_a_file_or_nothing(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"\x00\xff")
    assert read_input(str(tmp_path / "image")) == b"\x00\xff"
    assert read_input(None) == b""
    with pytest.raises(WrongInputError, match="cannot be read"):
        read_input(str(tmp_path / "none"))
