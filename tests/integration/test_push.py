# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""One contract for registries: the fake of the unit tests, served on loopback, and a real one keep it alike."""

import base64
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from buildkit.bodies import DamagedBlobError
from buildkit.complaints import AccessDeniedError, UnreachableRegistryError
from buildkit.credentials import Credentials, find_credentials
from buildkit.push import open_target, push
from buildkit.registry import Manifest, open_registry
from buildkit.store import Store, StoredImage
from stackway.errors import StackwayError
from tests.fakes.images import damage, fill_store
from tests.fakes.registry import PASSWORD, USER, FakeRegistry, Reply, served
from tests.integration.runtime import SILENT, free_port, running_registry

BASE = {"base": b"b" * 300_000}
IMAGES = {"keystone:2026.1": [BASE, {"keystone": b"k"}], "glance:2026.1": [BASE, {"glance": b"g"}]}
# bcrypt of the fake's password, for the registry's own file of users.
HASH = "$2b$04$BTibAhGdCuv77EDnz.2/0eeyfAG75l.snOEo4a0e0p1O2QtktgAP6"

Filled = tuple[Store, list[StoredImage]]


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Not REGISTRY_AUTH_FILE: the registry itself takes variables with such names as its configuration.
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


@pytest.fixture
def filled(tmp_path: Path) -> Filled:
    return fill_store(tmp_path, IMAGES)


@pytest.fixture(scope="module", params=["fake", pytest.param("real", marks=pytest.mark.engine)])
def shared(request: pytest.FixtureRequest) -> Iterator[str]:
    with served(FakeRegistry()) if request.param == "fake" else running_registry() as host:
        yield host


@pytest.fixture
def prefix(shared: str, request: pytest.FixtureRequest) -> str:
    """A part of the registry that no other test uses."""
    return f"{shared}/t{abs(hash(request.node.name))}"


def test_what_is_not_there_is_told_as_such(prefix: str, filled: Filled) -> None:
    repository, _ = open_target(prefix).place(filled[1][0])
    repository.registry.check()
    assert not repository.has(filled[1][0].config)
    assert repository.manifest_digest("1") is None
    assert repository.tags() == []


def test_a_push_sends_shared_layers_once_and_a_second_one_nothing(prefix: str, filled: Filled) -> None:
    store, images = filled
    once = {blob.digest: blob.size for image in images for blob in (image.config, *image.layers)}
    first, second = push(store, images, prefix, SILENT), push(store, images, prefix, SILENT)
    assert first.sent == sum(once.values())
    assert [result.mounted for result in first.results] == [0, 1]
    assert second.sent == 0
    assert [result.there for result in second.results] == [3, 3]


def test_what_was_pushed_comes_back_byte_for_byte(prefix: str, filled: Filled, tmp_path: Path) -> None:
    store, images = filled
    push(store, images, prefix, SILENT)
    for image in images:
        repository, tag = open_target(prefix).place(image)
        assert repository.manifest(tag).content == store.path(image.manifest.digest).read_bytes()
        assert repository.manifest(image.manifest.digest) == repository.manifest(tag)
        assert repository.tags() == ["2026.1"]
        for blob in (image.config, *image.layers):
            repository.download(blob, tmp_path / "blob")
            assert (tmp_path / "blob").read_bytes() == store.path(blob.digest).read_bytes()


def test_a_damaged_blob_arrives_nowhere(prefix: str, filled: Filled) -> None:
    store, images = filled
    layer = images[0].layers[0]
    damage(store, layer.digest)
    with pytest.raises(DamagedBlobError, match=layer.digest):
        push(store, images, prefix, SILENT)
    for image in images:
        repository, tag = open_target(prefix).place(image)
        assert repository.manifest_digest(tag) is None
        assert not repository.has(layer)


def test_a_manifest_can_go_by_its_digest_alone_and_a_tag_can_move(prefix: str, filled: Filled) -> None:
    store, images = filled
    push(store, images[:1], prefix, SILENT)
    repository, tag = open_target(prefix).place(images[0])
    old = repository.manifest(tag)
    new = Manifest(json.dumps(old.data() | {"annotations": {"a": "b"}}).encode(), old.media_type)
    assert repository.put_manifest(new) == new.digest
    assert repository.manifest(tag) == old
    repository.put_manifest(new, tag)
    assert repository.manifest_digest(tag) == new.digest
    assert push(store, images[:1], prefix, SILENT).results[0].replaced == new.digest


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.engine)])
def closed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A registry that wants a user and a password."""
    (tmp_path / "htpasswd").write_text(f"{USER}:{HASH}\n")
    users = f"auth:\n  htpasswd:\n    realm: tests\n    path: {tmp_path}/htpasswd\n"
    with served(FakeRegistry(auth="basic")) if request.param == "fake" else running_registry(users) as host:
        yield host


def log_in(tmp_path: Path, host: str, password: str) -> None:
    auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))


def test_a_closed_registry_opens_for_the_right_password_only(closed: str, filled: Filled, tmp_path: Path) -> None:
    store, images = filled
    with pytest.raises(AccessDeniedError):
        push(store, images, closed, SILENT)
    log_in(tmp_path, closed, "wrong")
    with pytest.raises(AccessDeniedError):
        push(store, images, closed, SILENT)
    log_in(tmp_path, closed, PASSWORD)
    assert push(store, images, closed, SILENT).sent


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a credential helper of a shell script and says in config.json that it is to be asked."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "config.json").write_text('{"credHelpers": {"r.test": "demo"}}')

    def write(script: str) -> None:
        program = tmp_path / "docker-credential-demo"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    return write


@pytest.mark.parametrize(
    ("user", "found"), [("robot", Credentials("robot", "canary")), ("<token>", Credentials("", "canary"))]
)
def test_a_credential_helper_is_asked_for_the_host(
    helper: Callable[[str], None], user: str, found: Credentials
) -> None:
    helper(f"""[ "$1" = get ] && [ "$(cat)" = r.test ] && echo '{{"Username": "{user}", "Secret": "canary"}}'""")
    assert find_credentials("r.test") == found


def test_a_helper_that_knows_nothing_means_nobody(helper: Callable[[str], None]) -> None:
    helper("echo 'credentials not found in native keychain'; exit 1")
    assert find_credentials("r.test") is None


@pytest.mark.parametrize("script", ["echo canary", 'echo \'{"Secret": "canary"}\'', "echo canary; exit 2"])
def test_a_helper_that_fails_is_named_and_its_answer_not_shown(helper: Callable[[str], None], script: str) -> None:
    helper(script)
    with pytest.raises(StackwayError, match="docker-credential-demo") as caught:
        find_credentials("r.test")
    assert "canary" not in f"{caught.value.to_dict()}"


@pytest.mark.parametrize("name", ["none", "../demo", "a b"])
def test_a_helper_that_is_not_there_or_no_name_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"credsStore": name}))
    with pytest.raises(StackwayError, match=r"docker-credential-none|not the name"):
        find_credentials("r.test")


# What only the fake can do to us, over a real connection.


def test_broken_connections_are_made_again(filled: Filled, tmp_path: Path) -> None:
    store, images = filled
    fake = FakeRegistry()
    reset = Reply(0, reset=True)
    for method, path in (("HEAD", "/blobs/"), ("PUT", "/blobs/"), ("PUT", "/manifests/"), ("GET", "/manifests/")):
        fake.trap(method, path, lambda *_: reset)
    with served(fake) as host:
        target = open_target(host)
        target.registry.transport.pause = lambda _: None
        assert push(store, images, target, SILENT).sent
        repository, _ = target.place(images[0])
        fake.trap("GET", "/blobs/", lambda _, reply: Reply(200, reply.body, cut=1000))
        repository.download(images[0].layers[0], tmp_path / "blob")
    assert (tmp_path / "blob").stat().st_size == images[0].layers[0].size


def test_a_registry_that_is_not_there_is_told_at_once() -> None:
    with pytest.raises(UnreachableRegistryError, match="does not answer"):
        open_registry(f"127.0.0.1:{free_port()}").check()
