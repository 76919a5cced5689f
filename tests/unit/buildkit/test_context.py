# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What an image is made of: a change shows in the inputs it bears on, and in no other image's."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from buildkit.context import BuildContext, Toolset, needs_backends
from buildkit.lockfiles import base_path
from buildkit.locks import PythonLock, parse_python_lock
from buildkit.prepare import make_contexts
from stackway.files import digest_bytes
from tests.fakes.checkout import FakeCheckout, pin

TOOLS = Toolset({"system.sh": "1", "environment.py": "1", "amend.py": "1"}, "0.9", "BuildKit 1")
KEYSTONE = "keystone:2026.1"
IMAGES = frozenset({KEYSTONE, "keystone:2025.1", "glance:2026.1", "memcached:1.6"})
ON_TRIXIE = frozenset({KEYSTONE, "glance:2026.1", "memcached:1.6"})
IN_2026 = frozenset({KEYSTONE, "glance:2026.1"})
PYTHON = IN_2026 | {"keystone:2025.1"}
SPEC = "images/keystone/2026.1.yaml"
PYTHON_LOCK = "images/keystone/2026.1.python.lock"
Inputs = Mapping[str, Mapping[str, str]]


@pytest.fixture
def checkout(tmp_path: Path) -> FakeCheckout:
    checkout = FakeCheckout(tmp_path)
    checkout.lock()
    return checkout


def contexts(checkout: FakeCheckout, tools: Toolset = TOOLS) -> dict[str, BuildContext]:
    catalog = checkout.catalog()
    return make_contexts(catalog, catalog.select([]), tools)


def inputs(checkout: FakeCheckout, tools: Toolset = TOOLS) -> Inputs:
    return {image: context.inputs for image, context in contexts(checkout, tools).items()}


def changes(before: Inputs, after: Inputs) -> dict[str, set[str]]:
    """Return image → names of the inputs that differ, for the images of which any does."""
    found = {
        image: {name for name in {*before[image], *after[image]} if before[image].get(name) != after[image].get(name)}
        for image in before
    }
    return {image: names for image, names in found.items() if names}


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"version": "29.0.3"}, {"label org.opencontainers.image.version", "Python package keystone", "Dockerfile"}),
        ({"labels": {"org.example.team": "core"}}, {"label org.example.team", "Dockerfile"}),
        ({"environment": {"OTHER": "x"}}, {"variable OTHER", "Dockerfile"}),
        ({"directories": ["/srv/x"]}, {"directories"}),
        ({"settings": {"api_threads": 8}}, {"file /etc/stackway/uwsgi/api.ini"}),
        ({"settings": {"debug": True}}, {"configuration /etc/keystone/keystone.conf"}),
        ({"checks": {"smoke": {"imports": ["keystone"]}}}, {"smoke checks"}),
        ({"packages": {"system": ["libldap2"]}}, {f"system package {name}" for name in ("libldap2",)} | {"Dockerfile"}),
        ({"processes": {"api": {"port": 5001}}}, {"file /etc/stackway/uwsgi/api.ini", "Dockerfile"}),
        ({"volumes": {"cache": {"path": "/var/cache", "from": "empty"}}}, set()),
    ],
)
def test_a_changed_spec_changes_its_own_inputs(checkout: FakeCheckout, change: dict[str, Any], names: set[str]) -> None:
    before = inputs(checkout)
    checkout.change(SPEC, **change)
    checkout.lock()
    assert changes(before, inputs(checkout)) == ({KEYSTONE: names} if names else {})


@pytest.mark.parametrize(
    ("path", "names", "images"),
    [
        (
            "images/keystone/templates/keystone.conf.j2",
            {"configuration /etc/keystone/keystone.conf"},
            {KEYSTONE, "keystone:2025.1"},
        ),
        ("images/shared/templates/uwsgi.ini.j2", {"file /etc/stackway/uwsgi/api.ini"}, PYTHON),
        ("images/shared/dockerfiles/python.Dockerfile.j2", {"Dockerfile"}, PYTHON),
        ("images/shared/dockerfiles/end.j2", {"Dockerfile"}, IMAGES),
        ("images/shared/new/configuration.j2", set(), set()),
    ],
)
def test_a_changed_template_changes_the_images_that_use_it(
    checkout: FakeCheckout, path: str, names: set[str], images: set[str]
) -> None:
    before = inputs(checkout)
    checkout.write(path, (checkout.root / path).read_text() + "# more\n")
    assert changes(before, inputs(checkout)) == dict.fromkeys(images, names)


@pytest.mark.parametrize(
    ("stage", "old", "new", "names", "images"),
    [
        ("os", "\nusr-is-merged 1.0-1", "\nbase-files 13", {"system package base-files"}, ON_TRIXIE),
        ("os", "epoch: 1700000000", "epoch: 1700000001", {"epoch"}, ON_TRIXIE),
        ("interpreter", "python3 1.0-1", "python3 1.0-2", {"system package python3"}, IN_2026),
        ("interpreter", "epoch: 1700000000", "epoch: 1700000001", set(), set()),
        ("backends", "80.9.0", "80.9.1", set(), set()),
    ],
)
def test_a_changed_lock_of_a_base_changes_the_images_on_it(
    checkout: FakeCheckout, stage: str, old: str, new: str, names: set[str], images: set[str]
) -> None:
    before, path = inputs(checkout), checkout.root / f"images/bases/trixie.{stage}.lock"
    path.write_text(path.read_text().replace(old, new))
    assert changes(before, inputs(checkout)) == dict.fromkeys(images, names)


def test_whether_a_base_is_merged_changes_the_images_on_it(checkout: FakeCheckout) -> None:
    before = inputs(checkout)
    checkout.change("images/bases/trixie.yaml", usrMerge=True)
    assert changes(before, inputs(checkout)) == {image: {"merged /usr"} for image in ON_TRIXIE}


def change_lock(checkout: FakeCheckout, **versions: str) -> None:
    """Give keystone:2026.1 other versions of some distributions; an empty version takes one away."""
    lock = parse_python_lock((checkout.root / PYTHON_LOCK).read_text(), PYTHON_LOCK)
    pins = {**lock.by_name, **{name: pin(name, version) for name, version in versions.items()}}
    kept = tuple(item for item in pins.values() if item.version)
    checkout.write(PYTHON_LOCK, PythonLock(kept, lock.header).to_text())


@pytest.mark.parametrize(
    ("versions", "recipes"),
    [
        ({"keystone": "29.0.3"}, set()),
        ({"ldappool": "3.0"}, set()),
        ({"certifi": "2.0"}, {"recipe amend.py"}),
        ({"certifi": ""}, {"recipe amend.py"}),
    ],
)
def test_a_changed_package_changes_no_other_image(
    checkout: FakeCheckout, versions: dict[str, str], recipes: set[str]
) -> None:
    before = inputs(checkout)
    change_lock(checkout, **versions)
    found = changes(before, inputs(checkout))
    assert found.keys() == {KEYSTONE}
    assert found[KEYSTONE] - {"Dockerfile"} == {f"Python package {name}" for name in versions} | recipes


@pytest.mark.parametrize(
    ("tools", "names", "images"),
    [
        (replace(TOOLS, uv="1.0"), {"uv"}, PYTHON),
        (replace(TOOLS, builder="BuildKit 2"), {"builder"}, IMAGES),
        (replace(TOOLS, recipes={**TOOLS.recipes, "system.sh": "2"}), {"recipe system.sh"}, IMAGES),
        (replace(TOOLS, recipes={**TOOLS.recipes, "environment.py": "2"}), {"recipe environment.py"}, PYTHON),
        (replace(TOOLS, recipes={**TOOLS.recipes, "amend.py": "2"}), set(), set()),
        (replace(TOOLS, recipes={**TOOLS.recipes, "other.sh": "2"}), set(), set()),
    ],
)
def test_a_changed_tool_changes_the_images_that_use_it(
    checkout: FakeCheckout, tools: Toolset, names: set[str], images: set[str]
) -> None:
    assert changes(inputs(checkout), inputs(checkout, tools)) == dict.fromkeys(images, names)


def test_a_source_archive_brings_the_backends_in(checkout: FakeCheckout) -> None:
    path = checkout.root / PYTHON_LOCK
    path.write_text(path.read_text().replace("keystone-29.0.2-py3-none-any.whl", "keystone-29.0.2.tar.gz"))
    found = contexts(checkout)
    assert [image for image, context in found.items() if needs_backends(context)] == [KEYSTONE]
    digest = digest_bytes(b"setuptools-80.9.0-py3-none-any.whl")
    assert found[KEYSTONE].inputs["Python package setuptools"] == f"80.9.0 {digest}"
    assert "Python package setuptools" not in found["glance:2026.1"].inputs


def test_equal_specs_give_equal_contexts_wherever_they_lie(checkout: FakeCheckout, tmp_path: Path) -> None:
    other = FakeCheckout(tmp_path / "elsewhere")
    other.lock()
    mine, theirs = contexts(checkout), contexts(other)
    assert {image: item.digest for image, item in mine.items()} == {
        image: item.digest for image, item in theirs.items()
    }
    assert mine[KEYSTONE].dockerfile == theirs[KEYSTONE].dockerfile
    assert len({item.digest for item in mine.values()}) == len(IMAGES)


def test_a_new_sibling_changes_no_image_that_is_there(checkout: FakeCheckout) -> None:
    before = inputs(checkout)
    checkout.write("images/glance/2025.1.yaml", {"series": "2025.1", "version": "30.0.0"})
    layers = (checkout.root / "images/series/2025.1.layers.lock").read_text()
    checkout.lock()
    checkout.write("images/series/2025.1.layers.lock", layers)
    after = inputs(checkout)
    assert after.keys() - before.keys() == {"glance:2025.1"}
    assert changes(before, after) == {}


def test_the_lock_of_the_backends_lies_beside_its_base(checkout: FakeCheckout) -> None:
    base = checkout.catalog().bases["trixie"].spec
    assert (checkout.root / "images" / base_path(base, "backends")).exists()
