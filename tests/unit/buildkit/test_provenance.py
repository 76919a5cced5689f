# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A resolved spec is shown as YAML that reads back as itself, each value with the place it was written at."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit.merge import merge
from buildkit.provenance import Difference, annotate, differences, scalar
from stackway.documents import Document, KeyPath, parse_document
from stackway.errors import Position
from tests.fakes.checkout import FakeCheckout

TEXTS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn", "Cf", "Zl", "Zp")), max_size=12)
WORDS = st.sampled_from(
    ["true", "No", "null", "~", "1", "1.0", "-", "- a", "a: b", "#", "a #b", "'", '"', "*a", "&a", ""]
)
SCALARS = st.none() | st.booleans() | st.integers(-(10**15), 10**15) | TEXTS | WORDS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | WORDS, inner, max_size=3), max_leaves=8
)
DATA = st.dictionaries(TEXTS | WORDS, VALUES, max_size=4)
NOWHERE: dict[KeyPath, Position] = {(): Position("x.yaml", 1)}


def document(text: str, name: str = "f.yaml") -> Document:
    return parse_document(text.encode(), name)


@given(DATA)
def test_what_is_shown_reads_back_as_it_is(data: dict[str, Any]) -> None:
    shown = annotate(Document(data, NOWHERE))
    assert parse_document(shown.encode(), "shown").data == data if data else shown == "\n"


@given(DATA)
def test_every_value_has_its_place_on_its_line(data: dict[str, Any]) -> None:
    lines = annotate(Document(data, NOWHERE)).splitlines()
    places = sum(line.endswith("  # x.yaml:1") for line in lines)
    assert places == leaves(data)


def leaves(value: Any) -> int:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return sum(leaves(item) if isinstance(item, dict | list) and item else 1 for item in items)


def test_places_are_aligned_and_those_of_the_files() -> None:
    merged = merge([document("a: {b: 1, c: [x, y]}", "1.yaml"), document("a:\n  b: 2\n  c+: [{d: z}]", "2.yaml")])
    lines = annotate(merged).splitlines()
    assert [re.split(r" +# ", line) for line in lines] == [
        ["a:"],
        ["  b: 2", "2.yaml:2"],
        ["  c:"],
        ["    - x", "1.yaml:1"],
        ["    - y", "1.yaml:1"],
        ["    - d: z", "2.yaml:3"],
    ]
    assert {line.index("#") for line in lines if "#" in line} == {74}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((word, word) for word in ("keystone", "images/keystone", "a.b-c_d")),
        *(
            (word, json.dumps(word))
            for word in ("", "true", "No!", "2026.1", "-a", " a", "a b", "a:b", "{a}", "Null", "~")
        ),
        *((True, "true"), (None, "null"), (3, "3"), ([], "[]"), ({}, "{}"), ("ü x", '"ü x"')),
    ],
)
def test_a_value_is_quoted_where_it_would_be_read_as_something_else(value: object, text: str) -> None:
    assert scalar(value) == text


def test_specs_differ_in_what_was_changed_added_and_taken_away() -> None:
    before = document("a: 1\nb: {c: x, d: [1, 2]}\ne: {}")
    after = document("a: '1'\nb: {c: x, d: [1, 3], f: y}\ne: {g: 1}")
    assert differences(before, after) == [
        Difference("a", "1", '"1"'),
        Difference("b.d", "[1, 2]", "[1, 3]"),
        Difference("b.f", "-", "y"),
        Difference("e", "{}", "-"),
        Difference("e.g", "-", "1"),
    ]


@given(DATA, DATA)
def test_differences_are_none_for_equals_and_mirror_each_other(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = Document(one, NOWHERE), Document(other, NOWHERE)
    assert differences(first, first) == []
    there = [(item.path, item.before, item.after) for item in differences(first, second)]
    assert there == [(item.path, item.after, item.before) for item in differences(second, first)]


def test_a_real_spec_is_shown_with_the_files_it_comes_from(tmp_path: Path) -> None:
    resolved = FakeCheckout(tmp_path).catalog().resolved("keystone", "2026.1")
    shown = annotate(resolved.document)
    assert parse_document(shown.encode(), "shown").data == resolved.document.data
    assert re.search(r"^version: \"29\.0\.2\" +# images/keystone/2026\.1\.yaml:3$", shown, re.MULTILINE)
    assert re.search(r"^summary: .* +# images/keystone/service\.yaml:5$", shown, re.MULTILINE)
