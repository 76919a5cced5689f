# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of what people write in `images/`, generated from the models, for editors and other tools."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from buildkit.models import Base, Series, Service
from buildkit.scan.policy import Exemptions, Policy

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NOTES = ("title", "description", "default")
_NULL = {"type": "null"}


def schemas() -> dict[str, str]:
    """Return file name → text of each schema.

    Of a service nothing is required: it is written in several files, which together must be complete.
    """
    return {
        "base.json": schema_text(Base, complete=True),
        "series.json": schema_text(Series, complete=True),
        "service.json": schema_text(Service, complete=False),
        "scanpolicy.json": schema_text(Policy, complete=True),
        "scanexceptions.json": schema_text(Exemptions, complete=True),
    }


def schema_text(model: type[BaseModel], *, complete: bool) -> str:
    """Return the schema of one model; when it is not `complete`, nothing is required."""
    schema = _adapt(model.model_json_schema(by_alias=True), complete=complete)
    return json.dumps({"$schema": _DIALECT, **schema}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _adapt(value: Any, *, complete: bool) -> Any:
    """Return a schema with the marks of the merge allowed, and with patterns as editors read them."""
    if isinstance(value, list):
        return [_adapt(item, complete=complete) for item in value]
    if not isinstance(value, dict):
        return value
    schema = {key: _adapt(item, complete=complete) for key, item in value.items()}
    if not complete and isinstance(schema.get("required"), list):
        del schema["required"]
    if isinstance(schema.get("pattern"), str):
        schema["pattern"] = _portable(schema["pattern"])
    if isinstance(schema.get("patternProperties"), dict):
        named = schema["patternProperties"].items()
        schema["patternProperties"] = {_portable(pattern): _or_null(item) for pattern, item in named}
        schema["additionalProperties"] = False
    if isinstance(schema.get("properties"), dict):
        schema["properties"] = _amendable(schema["properties"])
    return schema


def _portable(pattern: str) -> str:
    """Return a pattern in the dialect of JSON Schema, whose only anchors are ^ and $."""
    return pattern.replace(r"\A", "^").replace(r"\Z", "$")


def _amendable(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Let `key+` and `key-` stand beside each list, and null in place of each value."""
    found: dict[str, Any] = {}
    for key, schema in properties.items():
        found[key] = _or_null(schema)
        for choice in schema.get("anyOf", [schema]):
            if choice.get("type") == "array":
                found |= {f"{key}+": choice, f"{key}-": choice}
    return found


def _or_null(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = schema.get("anyOf", [{key: value for key, value in schema.items() if key not in _NOTES}])
    notes = {key: value for key, value in schema.items() if key in _NOTES}
    return {**notes, "anyOf": choices if _NULL in choices else [*choices, _NULL]}
