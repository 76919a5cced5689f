# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Layers put each image's environment together exactly, and a change of one image reaches no other."""

from collections.abc import Mapping
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit.layering import (
    Arrangement,
    Layer,
    arrange,
    keep,
    layer_name,
    layers_text,
    parse_layers,
    partition,
)
from buildkit.locks import Pin, PythonLock
from stackway.errors import Position, WrongInputError
from stackway.files import digest_bytes

Locks = Mapping[str, PythonLock]
Value = TypeVar("Value")
IMAGES = ("cinder", "glance", "keystone", "neutron", "nova")
NAMES = ("a", "b", "c", "d", "e", "f")
VERSIONS = st.sampled_from(["1", "2"])
SIZES = {"a": 1, "b": 100_000, "c": 299_999, "d": 300_000, "e": 2_000_000, "f": 7}


def pin(name: str, version: str = "1") -> Pin:
    file = f"{name}-{version}.whl"
    return Pin(name, version, digest_bytes(file.encode()), file, SIZES[name])


def lock(**versions: str) -> PythonLock:
    return PythonLock(tuple(pin(name, version) for name, version in sorted(versions.items())))


ENVIRONMENTS = st.dictionaries(st.sampled_from(NAMES), VERSIONS).map(lambda versions: lock(**versions))
SERIES = st.dictionaries(st.sampled_from(IMAGES), ENVIRONMENTS, min_size=1)


def installed(arrangement: Arrangement) -> list[Pin]:
    """Return what lies in the image at the end, each distribution as often as it lies there."""
    shared = [item for layer in arrangement.shared for item in layer.pins if item.name not in arrangement.amended]
    return sorted([*shared, *arrangement.own, *arrangement.replaced], key=lambda item: (item.name, item.version))


def content(layers: tuple[Layer, ...]) -> dict[str, tuple[Pin, ...]]:
    return {layer.name: layer.pins for layer in layers}


@given(SERIES)
def test_each_image_gets_exactly_the_environment_of_its_lock(locks: Locks) -> None:
    layers = partition(locks)
    for image, wanted in locks.items():
        arrangement = arrange(image, wanted, layers)
        assert tuple(installed(arrangement)) == wanted.pins
        assert arrangement.amended == ()


@given(SERIES)
def test_every_image_on_a_layer_wants_all_of_it(locks: Locks) -> None:
    for layer in partition(locks):
        assert len(layer.images) > 1
        assert all(set(layer.pins) <= set(locks[image].pins) for image in layer.images)
        assert layer.images == tuple(image for image in sorted(locks) if image in layer.images)


@given(SERIES)
def test_layers_of_unchanged_locks_are_kept_as_they_are(locks: Locks) -> None:
    assert keep(partition(locks), locks) == partition(locks)


@given(SERIES, st.data())
def test_a_changed_lock_leaves_all_other_images_as_they_were(locks: Locks, data: st.DataObject) -> None:
    changed = data.draw(st.sampled_from(sorted(locks)))
    later = {**locks, changed: data.draw(ENVIRONMENTS)}
    recorded = partition(locks)
    kept = keep(recorded, later)
    assert tuple(installed(arrange(changed, later[changed], kept))) == later[changed].pins
    for image in locks.keys() - {changed}:
        before, after = (arrange(image, locks[image], layers) for layers in (recorded, kept))
        assert content(before.shared) == content(after.shared)
        assert (before.own, before.replaced, before.removed) == (after.own, after.replaced, after.removed)


@given(SERIES)
def test_layers_are_read_as_they_were_written(locks: Locks) -> None:
    layers = partition(locks)
    assert parse_layers(layers_text("2026.1", layers), "x.lock") == layers


RECORDED = (Layer("common", ("glance", "keystone"), (pin("d"), pin("e"))),)


@pytest.mark.parametrize(
    ("wanted", "own", "replaced", "removed"),
    [
        (lock(d="1", e="1"), (), (), ()),
        (lock(d="1", e="1", a="1"), (pin("a"),), (), ()),
        (lock(d="2", e="1"), (), (pin("d", "2"),), ()),
        (lock(e="1"), (), (), ("d",)),
        (lock(a="1", d="2"), (pin("a"),), (pin("d", "2"),), ("e",)),
    ],
)
def test_what_differs_from_the_recorded_layers_comes_on_top(
    wanted: PythonLock, own: tuple[Pin, ...], replaced: tuple[Pin, ...], removed: tuple[str, ...]
) -> None:
    assert arrange("glance", wanted, RECORDED) == Arrangement(RECORDED, own, replaced, removed)


def test_an_image_on_no_layer_has_everything_of_its_own() -> None:
    assert arrange("nova", lock(d="1"), RECORDED) == Arrangement((), (pin("d"),), (), ())


def test_amended_names_are_those_replaced_and_those_removed() -> None:
    assert arrange("glance", lock(e="2"), RECORDED).amended == ("d", "e")


@pytest.mark.parametrize(
    ("locks", "layers"),
    [
        ({"glance": lock(a="1"), "nova": lock(a="1")}, {"common": ("a",)}),
        ({"glance": lock(a="1"), "nova": lock(a="2")}, {}),
        ({"glance": lock(e="1")}, {}),
        ({"glance": lock(d="1"), "nova": lock(d="1"), "cinder": lock()}, {"without-cinder": ("d",)}),
        ({"glance": lock(c="1"), "nova": lock(c="1"), "cinder": lock()}, {}),
        ({"glance": lock(b="1", c="1"), "nova": lock(b="1", c="1"), "cinder": lock()}, {"without-cinder": ("b", "c")}),
        ({"glance": lock(e="1"), "nova": lock(e="1"), "cinder": lock(e="2")}, {}),
    ],
)
def test_what_all_share_or_is_worth_it_gets_a_layer(locks: Locks, layers: dict[str, tuple[str, ...]]) -> None:
    assert {layer.name: tuple(item.name for item in layer.pins) for layer in partition(locks)} == layers


@pytest.mark.parametrize(
    ("images", "name"),
    [
        (IMAGES, "common"),
        (IMAGES[1:], "without-cinder"),
        (IMAGES[2:], "without-cinder-glance"),
        (IMAGES[3:], "neutron-nova"),
    ],
)
def test_a_layer_is_named_by_the_shorter_list(images: tuple[str, ...], name: str) -> None:
    assert layer_name(frozenset(images), frozenset(IMAGES)) == name


@pytest.mark.parametrize(
    ("wanted", "stands"),
    [
        (lock(d="1", e="1"), True),
        (lock(d="2", e="1"), False),  # 2.0 of 2.3 MB: less than nine tenths
        (lock(), False),
    ],
)
def test_an_image_stands_on_a_layer_while_it_wants_nearly_all_of_it(wanted: PythonLock, *, stands: bool) -> None:
    (kept,) = keep(RECORDED, {"glance": lock(d="1", e="1"), "nova": wanted})
    assert kept.images == (("glance", "nova") if stands else ("glance",))


def test_a_layer_that_nobody_wants_is_gone() -> None:
    assert keep(RECORDED, {"glance": lock(), "keystone": lock(a="1")}) == ()


ROW = f"a==1 --hash={pin('a').digest}  # a-1.whl 1"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"# note\n[common] glance nova\n{ROW}\nrequests\n", 4),
        (f"[common] glance nova\n{ROW}\n[glance nova\n{ROW}\n", 3),
        (f"[common] glance\n{ROW}\n\n[x] nova\n{ROW}\n<<<<<<< HEAD\n", 6),
        (f"# note\n[Common] glance nova\n{ROW}\n", 2),
        (f"# note\n{ROW}\n[common] glance nova\n{ROW}\n", 2),
    ],
)
def test_an_unreadable_line_is_named(text: str, line: int) -> None:
    with pytest.raises(WrongInputError, match=r"layers\.lock cannot be used") as caught:
        parse_layers(text, "layers.lock")
    assert [problem.position for problem in caught.value.problems] == [Position("layers.lock", line)]
