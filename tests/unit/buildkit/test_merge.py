# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Later documents win, key by key, and every value that survives still knows the file and line it was written on."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit.merge import merge
from stackway.documents import Document, KeyPath, parse_document
from stackway.errors import Position, WrongInputError

KEYS = st.sampled_from("abc")
LEAVES = st.integers(0, 3) | st.sampled_from(["x", "y"])
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
LAYERS = st.lists(st.dictionaries(KEYS, VALUES | st.none(), max_size=3), min_size=1, max_size=4)
AMENDMENTS = st.dictionaries(st.sampled_from(["a+", "b+", "c+"]), st.lists(VALUES, max_size=3), max_size=3)


def layers(*texts: str) -> list[Document]:
    """Return documents named 1.yaml, 2.yaml, …"""
    return [parse_document(text.encode(), f"{number}.yaml") for number, text in enumerate(texts, 1)]


def paths(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield from paths(child, (*path, key))


def placed(data: dict[str, Any], name: str) -> Document:
    """Return a document in which each value stands at a place of its own."""
    found = {path: Position(name, line) for line, path in enumerate(paths(data), 1)}
    return Document(data, found)


@pytest.mark.parametrize(
    ("texts", "data"),
    [
        (["a: 1", "a: 2", "b: 3"], {"a": 2, "b": 3}),
        (["a: {x: 1, y: 1}", "a: {y: 2, z: 2}"], {"a": {"x": 1, "y": 2, "z": 2}}),
        (["a: [1, 2]", "a: [3]"], {"a": [3]}),
        (["a: {x: 1}", "a: 1"], {"a": 1}),
        (["a: 1", "a: {x: 1}"], {"a": {"x": 1}}),
        (["a: {x: 1}", "a: {}"], {"a": {"x": 1}}),
        (["a: 1\nb: 2", "a: null"], {"b": 2}),
        (["a: {x: 1, y: 2}", "a: {x: ~}"], {"a": {"y": 2}}),
        (["a: 1", "a: null", "a: 3"], {"a": 3}),
        (["b: 1", "a: null"], {"b": 1}),
        (["a: {x: null, y: 1}"], {"a": {"y": 1}}),
        (["a: [1]", "a+: [2, 3]", "a+: [4]"], {"a": [1, 2, 3, 4]}),
        (["a+: [1]"], {"a": [1]}),
        (["b: {x: {a: [1]}}", "b: {x: {a+: [2]}}"], {"b": {"x": {"a": [1, 2]}}}),
        (["a: [1, 2, 3, 2]", "a-: [2]"], {"a": [1, 3]}),
        (["a: [{x: 1}, {x: 2}]", "a-: [{x: 1}]"], {"a": [{"x": 2}]}),
        (["a: [1, 2]", "a-: [1]\na+: [3]"], {"a": [2, 3]}),
        (["a: [1]", "a: null\na+: [2]"], {"a": [2]}),
        (["a: [1]", "a+: []"], {"a": [1]}),
    ],
    ids=range(19),
)
def test_documents_are_merged_key_by_key(texts: Sequence[str], data: dict[str, Any]) -> None:
    assert merge(layers(*texts)).data == data


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["a: text", "b: 1\na+: [1]"], "2.yaml:2: 'a+' amends 'a', which is no list\n    Only a list can be amended"),
        (["a: {x: 1}", "a-: [1]"], "2.yaml:1: 'a-' amends 'a', which is no list"),
        (["a: [1]", "a-:\n  - 1\n  - 7"], "2.yaml:3: 7 is not in 'a', so it cannot be taken away"),
        (["a-: [x]"], "1.yaml:1: 'x' is not in 'a', so it cannot be taken away"),
        (["a: {b: 1}", "a:\n  b+: [1]\n  c-: [1]"], "2.yaml:3: 1 is not in 'c'"),
    ],
)
def test_an_amendment_that_fits_nothing_is_refused_with_its_line(texts: Sequence[str], told: str) -> None:
    with pytest.raises(WrongInputError, match=r"^the files cannot be merged$") as caught:
        merge(layers(*texts))
    assert told in caught.value.details


@pytest.mark.parametrize("value", ["x", "{x: 1}", "true"])
def test_a_marked_key_without_a_list_stays_a_key_and_is_refused_later(value: str) -> None:
    assert "a+" in merge(layers("a: [1]", f"a+: {value}")).data


def test_each_value_keeps_the_place_of_the_layer_that_wrote_it() -> None:
    document = merge(layers("a: [1, 2]\nb:\n  x: 1\n  y: 1", "a+:\n  - 3\nb:\n  y: 2", "a-: [1]"))
    assert document.data == {"a": [2, 3], "b": {"x": 1, "y": 2}}
    found = {path: str(place) for path, place in document.places.items()}
    assert found == {
        (): "1.yaml:1",
        ("a",): "1.yaml:1",
        ("a", 0): "1.yaml:1",
        ("a", 1): "2.yaml:2",
        ("b",): "1.yaml:2",
        ("b", "x"): "1.yaml:3",
        ("b", "y"): "2.yaml:4",
    }


def test_an_amendment_deep_inside_has_its_place_too() -> None:
    document = merge(layers("x: {y: {long: [1, 2]}}", "x:\n  y:\n    long+: [{z: 3}]", "x: {y: {long-: [1]}}"))
    assert document.data == {"x": {"y": {"long": [2, {"z": 3}]}}}
    assert set(document.places) == set(paths(document.data))
    assert str(document.place(("x", "y", "long", 1, "z"))) == "2.yaml:3"


def test_what_was_replaced_leaves_no_place_behind() -> None:
    document = merge(layers("a: {x: [1, 2]}\nb: [{c: 1}]", "a: 1", "b: null"))
    assert set(document.places) == {(), ("a",)}


@given(LAYERS)
def test_places_are_those_of_the_merged_values_and_no_others(data: list[dict[str, Any]]) -> None:
    merged = merge([placed(item, f"{number}.yaml") for number, item in enumerate(data)])
    assert set(merged.places) == set(paths(merged.data))


@given(LAYERS, AMENDMENTS)
def test_appended_values_have_their_places_too(data: list[dict[str, Any]], amendment: dict[str, Any]) -> None:
    documents = [placed(item, f"{number}.yaml") for number, item in enumerate([*data, amendment])]
    try:
        merged = merge(documents)
    except WrongInputError:
        assert any(not isinstance(merge(documents[:-1]).data.get(key[:-1], []), list) for key in amendment)
        return
    assert set(merged.places) == set(paths(merged.data))
    for key, items in amendment.items():
        assert merged.data[key[:-1]][-len(items) :] == items or not items


@given(LAYERS)
def test_a_value_is_at_the_place_that_says_it(data: list[dict[str, Any]]) -> None:
    documents = [placed(item, f"{number}.yaml") for number, item in enumerate(data)]
    merged = merge(documents)
    written = {place: value_at(document, path) for document in documents for path, place in document.places.items()}
    for path in paths(merged.data):
        value = value_at(merged, path)
        assert isinstance(value, dict) or written[merged.places[path]] == value


def value_at(document: Document, path: KeyPath) -> Any:
    value: Any = document.data
    for part in path:
        value = value[part]
    return value


@given(LAYERS)
def test_merging_what_is_merged_changes_nothing(data: list[dict[str, Any]]) -> None:
    documents = [placed(item, f"{number}.yaml") for number, item in enumerate(data)]
    merged = merge(documents)
    assert merge([merged]).data == merge([merged, merged]).data == merged.data
    assert merge([merge(documents[:-1] or documents), documents[-1]]).data == merged.data


@given(LAYERS)
def test_the_inputs_stay_as_they_were(data: list[dict[str, Any]]) -> None:
    documents = [placed(item, f"{number}.yaml") for number, item in enumerate(data)]
    before = repr(documents)
    merge(documents)
    assert repr(documents) == before
