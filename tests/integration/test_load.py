# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Engines really have the images afterwards: the same digests, the same files, and nothing when a blob is damaged."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from buildkit.archives import digest_name, full_name
from buildkit.bodies import DamagedBlobError
from buildkit.engine import docker_is_there
from buildkit.load import Containerd, DockerClient, checked_chunks, load_containerd, load_docker
from buildkit.store import Store, StoredImage
from stackway.errors import UnavailableError
from stackway.files import digest_file
from tests.fakes.docker import FakeDocker
from tests.fakes.images import damage, fill_store
from tests.integration.runtime import SILENT, Engine, mounts_below, running_containerd

BASE = {"etc/base": b"b" * 300_000}
IMAGES = {"stackway-test-a:1": [BASE, {"a": b"only a"}], "stackway-test-b:1": [BASE, {"b": b"only b"}]}

Filled = tuple[Store, list[StoredImage]]


def load_into(target: Containerd, store: Store, images: list[StoredImage]) -> list[str]:
    return load_containerd(images, partial(checked_chunks, store), SILENT, target)


@pytest.fixture
def filled(tmp_path: Path) -> Filled:
    return fill_store(tmp_path, IMAGES)


@pytest.fixture
def containerd() -> Iterator[Engine]:
    with running_containerd() as engine:
        yield engine


@pytest.mark.engine
def test_containerd_has_each_image_by_tag_and_digest(containerd: Engine, filled: Filled) -> None:
    store, images = filled
    assert load_into(containerd.target, store, images) == [full_name(image.name) for image in images]
    rows = [line.split() for line in containerd.ctr("images", "ls").stdout.splitlines()[1:]]
    assert {row[0]: row[2] for row in rows} == {
        name: image.manifest.digest for image in images for name in (full_name(image.name), digest_name(image))
    }


@pytest.mark.engine
def test_what_containerd_has_is_not_loaded_again(containerd: Engine, filled: Filled) -> None:
    store, images = filled
    load_into(containerd.target, store, images[:1])
    assert load_into(containerd.target, store, images) == [full_name(images[1].name)]
    assert load_into(containerd.target, store, images) == []


@pytest.mark.engine
def test_an_image_in_containerd_holds_the_files_of_its_layers(containerd: Engine, filled: Filled) -> None:
    store, images = filled
    load_into(containerd.target, store, images)
    place = containerd.folder / "mounted"
    place.mkdir()
    containerd.ctr("images", "mount", full_name(images[1].name), str(place))
    assert mounts_below(containerd.folder) == [place]
    assert {path.name: path.read_bytes() for path in place.rglob("*") if path.is_file()} == {
        "base": BASE["etc/base"],
        "b": b"only b",
    }
    containerd.ctr("images", "unmount", str(place))


@pytest.mark.engine
def test_a_damaged_blob_reaches_no_containerd(containerd: Engine, filled: Filled) -> None:
    store, images = filled
    layer = images[0].layers[-1].digest
    damage(store, layer)
    with pytest.raises(DamagedBlobError, match=layer):
        load_into(containerd.target, store, images)
    assert containerd.ctr("images", "ls", "-q").stdout.split() == []


@pytest.mark.engine
def test_a_containerd_that_is_not_there_is_told(filled: Filled, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="containerd does not answer"):
        load_into(Containerd(str(tmp_path / "none.sock")), *filled)


# One contract for Docker: the fake, and an engine where one answers.


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.engine)])
def docker(request: pytest.FixtureRequest) -> Iterator[DockerClient]:
    if request.param == "fake":
        yield FakeDocker()
        return
    # The SDK leaves a socket open when it finds none to talk to, so it is only asked where there may be one.
    if not (os.environ.get("DOCKER_HOST") or Path("/var/run/docker.sock").exists()) or not docker_is_there():
        pytest.skip("no Docker engine answers here")
    import docker as sdk

    client = sdk.from_env(timeout=600)
    yield cast("DockerClient", client)
    for name in IMAGES:
        client.images.remove(full_name(name), force=True)
    client.close()


def test_docker_has_the_same_layers_and_configuration(docker: DockerClient, filled: Filled) -> None:
    store, images = filled
    assert load_docker(store, images, SILENT, docker) == [full_name(image.name) for image in images]
    for image in images:
        found = docker.images.get(full_name(image.name))
        assert len(found.attrs["RootFS"]["Layers"]) == len(image.layers)
        assert found.id == digest_file(store.path(image.config.digest))
    assert load_docker(store, images, SILENT, docker) == []
