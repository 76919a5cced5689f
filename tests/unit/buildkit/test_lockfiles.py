# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Every lock that is missing or answers another spec is named at once; an overlay's lock wins."""

from pathlib import Path
from typing import Any

import pytest

from buildkit.lockfiles import find, load_locks
from stackway.errors import WrongInputError
from tests.fakes.checkout import EPOCH, FakeCheckout

PYTHON = "images/keystone/2026.1.python.lock"


@pytest.fixture
def checkout(tmp_path: Path) -> FakeCheckout:
    checkout = FakeCheckout(tmp_path)
    checkout.lock()
    return checkout


def wrong_locks(checkout: FakeCheckout) -> dict[str, str]:
    """Return file → message for all images of the checkout."""
    catalog = checkout.catalog()
    with pytest.raises(WrongInputError, match="the locks do not match the specs") as caught:
        load_locks(catalog, catalog.select([]))
    assert "release spec lock" in caught.value.resolution
    return {str(problem.position): problem.message for problem in caught.value.problems}


def test_fresh_locks_are_read_for_each_image(checkout: FakeCheckout) -> None:
    catalog = checkout.catalog()
    locks = load_locks(catalog, catalog.select([]))
    assert locks["keystone:2026.1"].python.by_name["keystone"].version == "29.0.2"
    assert [layer.name for layer in locks["keystone:2026.1"].layers] == ["common"]
    assert (locks["memcached:1.6"].python.pins, locks["memcached:1.6"].layers) == ((), ())
    assert "memcached" in locks["memcached:1.6"].system.names
    assert {item.base.epoch for item in locks.values()} == {int(EPOCH)}


@pytest.mark.parametrize(
    "path",
    [
        PYTHON,
        "images/bases/trixie.os.lock",
        "images/bases/trixie.interpreter.lock",
        "images/bases/trixie.backends.lock",
        "images/memcached/1.6.system.lock",
    ],
)
def test_a_missing_lock_is_one_problem(checkout: FakeCheckout, path: str) -> None:
    (checkout.root / path).unlink()
    assert wrong_locks(checkout) == {path: "there is no such lock"}


@pytest.mark.parametrize(
    ("spec", "change", "outdated"),
    [
        ("images/keystone/2026.1.yaml", {"version": "29.0.3"}, [PYTHON]),
        (
            "images/memcached/service.yaml",
            {"packages": {"system": ["memcached", "tini"]}},
            ["images/memcached/1.6.system.lock"],
        ),
        ("images/bases/bookworm.yaml", {"backends": {"setuptools": "81.0.0"}}, ["images/bases/bookworm.backends.lock"]),
        (
            "images/series/2026.1.yaml",
            {"packages": []},
            ["images/glance/2026.1.python.lock", PYTHON],
        ),
    ],
)
def test_every_lock_that_answers_another_spec_is_named(
    checkout: FakeCheckout, spec: str, change: dict[str, Any], outdated: list[str]
) -> None:
    checkout.change(spec, **change)
    found = wrong_locks(checkout)
    assert list(found) == outdated
    assert all("does not match its spec" in message for message in found.values())


def test_a_lock_without_its_question_is_out_of_date(checkout: FakeCheckout) -> None:
    path = checkout.root / PYTHON
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if "input" not in line))
    assert list(wrong_locks(checkout)) == [PYTHON]


def test_an_unreadable_lock_is_named_with_its_line(checkout: FakeCheckout) -> None:
    checkout.write(PYTHON, "# input: x\n<<<<<<< HEAD\n")
    catalog = checkout.catalog()
    with pytest.raises(WrongInputError) as caught:
        load_locks(catalog, catalog.select(["keystone:2026.1"]))
    assert caught.value.details.startswith(f"{PYTHON}:2: ")


def test_locks_of_images_that_are_not_asked_for_are_not_read(checkout: FakeCheckout) -> None:
    checkout.write(PYTHON, "damaged")
    catalog = checkout.catalog()
    assert list(load_locks(catalog, catalog.select(["glance"]))) == ["glance:2026.1"]


def test_a_series_without_recorded_layers_has_none(checkout: FakeCheckout) -> None:
    (checkout.root / "images/series/2026.1.layers.lock").unlink()
    catalog = checkout.catalog()
    assert load_locks(catalog, catalog.select(["glance"]))["glance:2026.1"].layers == ()


def test_the_overlay_s_lock_is_read_in_place_of_the_plain_one(checkout: FakeCheckout) -> None:
    checkout.write("overlays/site/keystone/2026.1.yaml", {"version": "29.0.3"})
    path = "overlays/site/keystone/2026.1.python.lock"
    assert find(checkout.catalog("site"), "keystone/2026.1.python.lock") == checkout.root / PYTHON
    checkout.write(path, (checkout.root / PYTHON).read_text())
    catalog = checkout.catalog("site")
    assert find(catalog, "keystone/2026.1.python.lock") == checkout.root / path
    with pytest.raises(WrongInputError, match="do not match") as caught:
        load_locks(catalog, catalog.select(["keystone:2026.1"]))
    assert str(caught.value.problems[0].position) == path


def test_an_epoch_that_is_no_number_is_named(checkout: FakeCheckout) -> None:
    path = checkout.root / "images/bases/trixie.os.lock"
    path.write_text(path.read_text().replace(f"# epoch: {EPOCH}", "# epoch: yesterday"))
    assert "'yesterday'" in wrong_locks(checkout)["images/bases/trixie.os.lock"]
