# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema says what the models say, in words that every editor understands, and allows the marks of the merge."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from buildkit.schema import schemas
from stackway.documents import load_document
from tests.fakes.checkout import REPOSITORY, SPECS

NAMES = ("base.json", "series.json", "service.json")
FILES = sorted([*SPECS, *(str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob("images/*/*.yaml"))])
SPEC_FILES = [name for name in dict.fromkeys(FILES) if not name.startswith("images/shared/")]


TEXTS = schemas()
SCHEMAS = {name: json.loads(text) for name, text in TEXTS.items()}


@pytest.fixture(scope="module")
def validators() -> dict[str, Draft202012Validator]:
    return {name: Draft202012Validator(schema) for name, schema in SCHEMAS.items()}


def schema_of(path: str) -> str:
    return {"bases": "base.json", "series": "series.json"}.get(Path(path).parent.name, "service.json")


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_itself_valid(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])
    assert SCHEMAS[name]["$schema"].endswith("2020-12/schema")


def test_equal_models_give_equal_schemas() -> None:
    assert schemas() == TEXTS


@pytest.mark.parametrize("name", NAMES)
def test_patterns_are_anchored_as_every_dialect_understands(name: str) -> None:
    found = list(patterns(SCHEMAS[name]))
    assert found
    assert [one for one in found if not re.fullmatch(r"\^.*\$", one) or re.search(r"\\[AZzbB]", one)] == []


def patterns(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value.get("patternProperties", {})
        if isinstance(value.get("pattern"), str):
            yield value["pattern"]
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from patterns(item)


@pytest.mark.parametrize("path", SPEC_FILES)
def test_every_spec_we_have_is_valid(validators: dict[str, Draft202012Validator], path: str) -> None:
    there = REPOSITORY / path
    data = load_document(there, path).data if there.exists() else SPECS[path]
    assert [error.message for error in validators[schema_of(path)].iter_errors(data)] == []


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"summary": None, "processes": {"api": None}, "environment": {"A": None}, "settings": {"a": None}},
        {"packages": {"python+": ["a"], "system-": ["bb"]}, "directories+": ["/a"]},
        {"processes": {"api": {"command+": ["--debug"], "config-": ["conf"], "replicas": {"max": 3}}}},
        {"config": {"conf": {"mode": "0600"}}, "user": {"uid": 2000}, "volumes": {"state": {"size": "1Gi"}}},
        {"checks": {"smoke": {"commands+": [["a"]], "options": {"/etc/a.conf": ["oslo.log"]}}}},
        {"settings": {"debug": True, "workers": 3, "name": "x"}},
    ],
    ids=range(7),
)
def test_a_part_of_a_service_may_be_written_alone(validators: dict[str, Draft202012Validator], data: Any) -> None:
    assert [error.message for error in validators["service.json"].iter_errors(data)] == []


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("service.json", {"proceses": {}}),
        ("service.json", {"processes": {"api": {"comand": ["a"]}}}),
        ("service.json", {"processes": {"API": {"command": ["a"]}}}),
        ("service.json", {"processes": {"api": {"command": "a"}}}),
        ("service.json", {"processes": {"api": {"public": "yes"}}}),
        ("service.json", {"environment": {"lower": "x"}}),
        ("service.json", {"version": 29}),
        ("service.json", {"name": "Keystone"}),
        ("service.json", {"upgrade": {"back": "never"}}),
        ("service.json", {"summary+": ["x"]}),
        ("service.json", {"settings": {"a": []}}),
        ("service.json", []),
        ("series.json", {}),
        ("base.json", {**SPECS["images/bases/trixie.yaml"], "python": "3.13.1"}),
    ],
    ids=range(14),
)
def test_what_the_models_refuse_an_editor_marks(
    validators: dict[str, Draft202012Validator], name: str, data: Any
) -> None:
    assert not validators[name].is_valid(data)


def test_what_a_key_means_is_there_for_the_editor_to_show() -> None:
    process = SCHEMAS["service.json"]["$defs"]["Process"]["properties"]
    assert process["grace"]["description"] == "Time to finish what is in progress after SIGTERM."
    assert process["grace"]["default"] == "60s"


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_in_the_checkout_is_the_one_the_models_give(name: str) -> None:
    path = REPOSITORY / "images/schema" / name
    if not path.exists():
        pytest.skip("images/schema has not been written yet")
    assert path.read_text(encoding="utf-8") == TEXTS[name], "run `release spec schema`"
