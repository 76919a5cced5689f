# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of what people write in `images/`, generated from the models, for editors and other tools."""

import json

from pydantic import BaseModel

from buildkit.models import Base, Series, Service

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, str]:
    """Return file name → text of each schema.

    Of a service nothing is required: it is written in several files, which together must be complete.
    """
    return {
        "base.json": _text(Base, complete=True),
        "series.json": _text(Series, complete=True),
        "service.json": _text(Service, complete=False),
    }


def _text(model: type[BaseModel], *, complete: bool) -> str:
    schema = model.model_json_schema(by_alias=True)
    if not complete:
        schema.pop("required", None)
    _allow_amendments(schema)
    return json.dumps({"$schema": _DIALECT, **schema}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _allow_amendments(schema: object) -> None:
    """Let `key+` and `key-` stand beside each list, and null beside each value: the marks of the merge."""
    if isinstance(schema, dict):
        properties = schema.get("properties")
        if isinstance(properties, dict):
            lists = {
                key: value
                for key, value in properties.items()
                if isinstance(value, dict) and value.get("type") == "array"
            }
            for key, value in lists.items():
                properties |= {f"{key}+": value, f"{key}-": value}
        for value in list(schema.values()):
            _allow_amendments(value)
    elif isinstance(schema, list):
        for value in schema:
            _allow_amendments(value)
