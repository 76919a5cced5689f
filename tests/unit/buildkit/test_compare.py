# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Where two builds of one image differ is told by layer, file and property."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from buildkit.compare import entries, first_difference
from buildkit.store import Store
from tests.fakes.images import write_layout

NAME = "keystone:2026.1"
Layers = Sequence[Mapping[str, bytes]]
SAME: Layers = [{"base": b"b"}, {"etc/a": b"a", "etc/b": b"b"}]


def store(folder: Path, layers: Layers, config: Mapping[str, Any] | None = None) -> Store:
    write_layout(folder / "layout", layers, config)
    result = Store(folder / "store")
    result.add({NAME: folder / "layout"})
    return result


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (SAME, ""),
        ([SAME[0], {"etc/a": b"a", "etc/b": b"c"}], "layer 2: etc/b: digest "),
        ([SAME[0], {"etc/a": b"a"}], "layer 2: etc/b is in one of them only"),
        ([SAME[0], {**SAME[1], "etc/c": b""}], "layer 2: etc/c is in one of them only"),
        ([SAME[0], {"etc/a": b"a", "etc/c": b"b"}], "layer 2: etc/b is where the other has etc/c"),
        ([{"base": b"c"}, {}], "layer 1: base: digest "),
        ([SAME[0]], "one has 2 layers, the other 1"),
    ],
)
def test_the_first_difference_is_told(tmp_path: Path, layers: Layers, words: str) -> None:
    found = first_difference(NAME, store(tmp_path / "1", SAME), store(tmp_path / "2", layers))
    assert found.startswith(words)
    assert bool(found) == bool(words)


def test_a_difference_of_the_configuration_is_told_by_its_key(tmp_path: Path) -> None:
    stores = (store(tmp_path / user, SAME, {"User": user}) for user in ("1", "2"))
    assert first_difference(NAME, *stores) == "the image's configuration: config"


def test_an_image_that_is_in_one_store_only_is_told(tmp_path: Path) -> None:
    full, empty = store(tmp_path / "1", SAME), Store(tmp_path / "2")
    assert first_difference(NAME, full, empty) == "it is in one of the stores only"
    assert first_difference(NAME, empty, full) == "it is in one of the stores only"


def test_the_files_of_a_layer_come_in_its_order(tmp_path: Path) -> None:
    images = store(tmp_path, SAME)
    layer = images.images()[NAME].layers[1]
    with entries(images.path(layer.digest)) as found:
        assert [(item.path, item.mode, item.kind) for item in found] == [("etc/a", 0o755, "0"), ("etc/b", 0o755, "0")]
