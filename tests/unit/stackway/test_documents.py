# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""YAML is read strictly: what is ambiguous, clever or hostile is refused with file and line, and nothing else escapes."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from stackway.documents import MAX_BYTES, MAX_DEPTH, Document, load_document, parse_document, parse_model
from stackway.errors import Position, WrongInputError

HARMLESS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn", "Cf", "Zl", "Zp")), max_size=20)
VALUES = st.none() | st.booleans() | st.integers(-(10**17), 10**17) | HARMLESS
NESTED = st.recursive(VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HARMLESS, inner, max_size=3))


def parse(text: str) -> Document:
    return parse_document(text.encode(), "f.yaml")


def refusal(text: str | bytes) -> str:
    with pytest.raises(WrongInputError, match=r"^f\.yaml cannot be used$") as caught:
        parse_document(text if isinstance(text, bytes) else text.encode(), "f.yaml")
    return caught.value.details


@pytest.mark.parametrize(
    "word", ["no", "off", "yes", "on", "y", "N", "1:30", "0o17", "0x1f", "1_000", ".inf", "=", "<<"]
)
def test_what_yaml_1_1_made_of_words_stays_text(word: str) -> None:
    assert parse(f"a: {word}").data == {"a": word}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        *((word, None) for word in ("", "~", "null", "NULL")),
        *((word, True) for word in ("true", "True", "TRUE")),
        *((word, False) for word in ("false", "False")),
        *(("0", 0), ("-12", -12), ("+3", 3), ("1.5", 1.5), (".5", 0.5), ("2e3", 2000.0), ("1.10", 1.1)),
        *((f"{quote}true{quote}", "true") for quote in "'\""),
        *(("29.0.2", "29.0.2"), ("2026-04-01", "2026-04-01"), ("1e999", "1e999"), ("9" * 5000, "9" * 5000)),
    ],
)
def test_plain_words_have_the_value_of_yaml_1_2(word: str, value: object) -> None:
    found = parse(f"a: {word}").data["a"]
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb: &x 2", "f.yaml:2: anchors and aliases are not allowed"),
        ("a: 1\nb: *x", "f.yaml:2: anchors and aliases are not allowed"),
        ("a: &a [x]\nb: [*a, *a]", "f.yaml:1: anchors and aliases are not allowed"),
        ("<<: *base", "f.yaml:1: anchors and aliases are not allowed"),
        ("a:\n  b: !!python/object:os.system x", "f.yaml:2: the tag 'tag:yaml.org,2002:python/object:os.system'"),
        ("a: !!str 1", "f.yaml:1: the tag 'tag:yaml.org,2002:str' is not allowed"),
        ("a: ! x", "f.yaml:1: the tag '!' is not allowed"),
        ("a: 1\nb: 2\na: 3", "f.yaml:3: the key 'a' is given twice\n    The first is on line 1; keep one."),
        ('a: 1\n"a": 3', "f.yaml:2: the key 'a' is given twice"),
        ("? [a]\n: 1", "f.yaml:1: a key must be a plain word"),
        ("- a", "f.yaml:1: the document is not a mapping"),
        ("", "f.yaml:1: the document is not a mapping"),
        ("a: 1\n---\nb: 1", "f.yaml:2: not YAML: but found another document"),
        ("a: 1\nb: }", "f.yaml:2: not YAML"),
        ("a: b: c", "f.yaml:1: not YAML: mapping values are not allowed"),
        ("\ta: 1", "f.yaml:1: not YAML"),
        ("a: " + "[" * MAX_DEPTH + "]" * MAX_DEPTH, f"f.yaml:1: nested deeper than {MAX_DEPTH} levels"),
        ("a: " + "[" * 100_000, f"f.yaml:1: nested deeper than {MAX_DEPTH} levels"),
        ("#" * (MAX_BYTES + 1), f"the file is {MAX_BYTES + 1} bytes long"),
        (b"a: \xff", "f.yaml: not UTF-8 at byte 3"),
    ],
    ids=range(20),
)
def test_what_is_clever_or_broken_is_refused_with_its_line(text: str | bytes, told: str) -> None:
    assert told in refusal(text)


@pytest.mark.parametrize("code", [0, 7, 0x0B, 0x0D, 0x1B, 0x7F, 0x85, 0x9B, 0x2028, 0x202E, 0x2066, 0xFEFF, 0xFFFE])
def test_a_control_character_is_refused_raw_and_as_an_escape(code: int) -> None:
    assert f"f.yaml:2: control character U+{code:04X}" in refusal(f"a: 1\nb: 'x{chr(code)}'")
    assert f"f.yaml:2: control character U+{code:04X}, written as an escape" in refusal(f'a: 1\nb: ["\\u{code:04x}"]')
    assert f"f.yaml:2: control character U+{code:04X}, written as an escape" in refusal(f'a: 1\n"\\u{code:04x}": 1')


def test_every_problem_is_told_at_once() -> None:
    told = refusal("a: 1\na: 2\n? [x]\n: 3\nb: 4\nb: 5").splitlines()
    assert [line.split(":")[1] for line in told if line.startswith("f.yaml")] == ["2", "3", "6"]


@given(st.dictionaries(HARMLESS, NESTED, max_size=4))
def test_json_is_read_as_it_is(data: dict[str, Any]) -> None:
    assert parse(json.dumps(data, ensure_ascii=False)).data == data


@given(st.binary(max_size=60) | st.text("a1:-[]{}&*!?|>'\"#%@`\n\t \\,~.<\x00\xe9", max_size=60).map(str.encode))
def test_no_content_does_anything_but_parse_or_be_refused(content: bytes) -> None:
    try:
        found = str(parse_document(content, "f.yaml").place(()))
    except WrongInputError as error:
        found = error.details
    assert found.startswith("f.yaml")


def test_each_value_knows_its_line() -> None:
    document = parse("a:\n  b:\n    - x\n    - c: 1\n")
    assert document.place(("a", "b", 1, "c")) == Position("f.yaml", 4)
    assert document.place(("a", "b", "nothing", "there")) == Position("f.yaml", 2)
    assert document.place(("nothing",)) == Position("f.yaml", 1)


def test_the_largest_file_that_is_allowed_is_read() -> None:
    assert parse("a: 1\n" + "#" * (MAX_BYTES - 5)).data == {"a": 1}


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(WrongInputError, match=r"^cannot read images/x\.yaml$") as caught:
        load_document(tmp_path / "x.yaml", "images/x.yaml")
    assert "No such file" in caught.value.details


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    replicas: int = Field(1, strict=True)
    path: str = "/"


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    public: bool = Field(default=False, strict=True)
    inner: Inner = Inner()
    maybe: Inner | None = None
    named: dict[str, Inner] = {}
    listed: tuple[Inner, ...] = ()
    settings: dict[str, bool | int | str] = {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nmae: x", ["f.yaml:1: 'name' is missing", "f.yaml:1: unknown key 'nmae'\n    Did you mean 'name'?"]),
        ("name: x\nzzz: 1", ["f.yaml:2: unknown key 'zzz'"]),
        ("name: x\ninner: {replica: 1}", ["f.yaml:2: unknown key 'inner.replica'\n    Did you mean 'replicas'?"]),
        (
            "name: x\nnamed:\n  a:\n    pth: 1",
            ["f.yaml:4: unknown key 'named.a.pth'\n    Did you mean 'path'?"],
        ),
        ("name: x\nmaybe: {pth: x}", ["f.yaml:2: unknown key 'maybe.pth'\n    Did you mean 'path'?"]),
        ("name: x\nlisted: [{pth: x}]", ["f.yaml:2: unknown key 'listed.0.pth'\n    Did you mean 'path'?"]),
        ("name: 1.10", ["f.yaml:1: 'name' must be text, not a number\n    Write it in quotes."]),
        ("name: true", ["f.yaml:1: 'name' must be text, not true or false\n    Write it in quotes."]),
        ("name: [x]", ["f.yaml:1: 'name' must be text, not a list"]),
        ("name:", ["f.yaml:1: 'name' must be text, not nothing"]),
        ("name: x\npublic: yes", ["f.yaml:2: 'public' must be true or false, not text"]),
        ("name: x\ninner: {replicas: '2'}", ["f.yaml:2: 'inner.replicas' must be a whole number, not text"]),
        ("name: x\ninner: text", ["f.yaml:2: 'inner' must be a mapping, not text"]),
        ("name: x\nlisted: text", ["f.yaml:2: 'listed' must be a list, not text"]),
        (
            "name: x\nsettings: {a: []}",
            ["f.yaml:2: 'settings.a' must be true or false or a whole number or text, not a list"],
        ),
    ],
    ids=range(15),
)
def test_what_does_not_fit_the_model_is_told_with_place_and_remedy(text: str, told: list[str]) -> None:
    with pytest.raises(WrongInputError, match=r"^the model$") as caught:
        parse_model(Model, parse(text), "the model")
    assert [str(problem) for problem in caught.value.problems] == told
