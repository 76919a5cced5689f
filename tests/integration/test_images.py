# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The images of this checkout: all of both series are built for real, share their layers, and are what their labels say."""

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from buildkit.catalog import load_catalog
from buildkit.compare import entries
from buildkit.store import Store, StoredImage, unique_size
from stackway.files import read_json
from stackway.settings import default_settings
from tests.integration.builder import REPOSITORY, TinyCheckout

pytestmark = pytest.mark.engine

CATALOG = load_catalog(REPOSITORY)
SIX = ("cinder", "glance", "keystone", "neutron", "nova", "placement")
PYTHON = [image.spec.image for image in CATALOG.services.values() if image.spec.layout == "python"]
FORBIDDEN = {
    "usr/bin/gcc",
    "usr/bin/cc",
    "usr/bin/apt",
    "usr/bin/apt-get",
    "usr/bin/pip",
    "opt/venv/bin/pip",
    "usr/bin/uv",
}


def config(store: Store, image: StoredImage) -> dict[str, Any]:
    found: dict[str, Any] = read_json(store.path(image.config.digest))
    return found


@cache
def files_of_layer(path: Path) -> list[str]:
    with entries(path) as members:
        return [member.path for member in members if member.kind == "0"]


def files(store: Store, image: StoredImage) -> list[str]:
    return [path for layer in image.layers for path in files_of_layer(store.path(layer.digest))]


def test_every_image_of_every_series_is_built(real_store: Store) -> None:
    wanted = {image.spec.image for image in CATALOG.services.values()}
    assert wanted <= real_store.images().keys()


@pytest.mark.usefixtures("real_store")
def test_a_second_build_starts_no_program() -> None:
    checkout = TinyCheckout(REPOSITORY, default_settings(os.environ).cache_path)
    completed = checkout.sealed("build")
    assert completed.code == 0, completed.stderr
    assert f"{len(CATALOG.services)} kept" in completed.stdout


def test_six_services_take_at_most_200_megabytes(real_store: Store) -> None:
    images = real_store.images()
    assert unique_size(images[f"{name}:2026.1"] for name in SIX) <= 200e6


@pytest.mark.parametrize("name", PYTHON)
def test_an_image_has_no_compiler_and_no_package_manager(real_store: Store, name: str) -> None:
    assert not FORBIDDEN & set(files(real_store, real_store.images()[name]))


@pytest.mark.parametrize("name", PYTHON)
def test_no_python_file_lies_in_two_layers(real_store: Store, name: str) -> None:
    image = real_store.images()[name]
    inside = [path for path in files(real_store, image) if Path(path).suffix in {".py", ".pyc", ".so"}]
    assert len(inside) == len(set(inside)) > 0


@pytest.mark.parametrize("name", sorted(f"{name}:{series}" for name, series in CATALOG.services))
def test_an_image_runs_as_its_user_and_says_what_it_is(real_store: Store, name: str) -> None:
    service = CATALOG.service(*name.split(":"))
    settings = config(real_store, real_store.images()[name])["config"]
    assert settings["User"] == f"{service.user.uid}:{service.user.uid}"
    assert settings["Labels"]["org.opencontainers.image.version"] == service.version
