# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Shows resolved specs: each value with the file and line it came from, and the values in which two specs differ. Pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stackway.documents import Document, KeyPath

_INDENT = "  "
_COLUMN = 72


@dataclass(frozen=True)
class Difference:
    """A value that differs: its key, and what it is on both sides ("-" where it is not there)."""

    path: str
    before: str
    after: str


def annotate(document: Document) -> str:
    """Return the document as YAML in which each value's line ends with the place it was written at."""
    lines = []
    for text, path in _lines(document.data, (), 0):
        lines.append(f"{text.ljust(_COLUMN)}  # {document.place(path)}" if path else text)
    return "\n".join(lines) + "\n"


def _lines(value: Any, path: KeyPath, depth: int) -> Iterator[tuple[str, KeyPath]]:
    """Yield a line and the path of the value on it; a line that only opens a mapping or a list has an empty path."""
    pad = _INDENT * depth
    if isinstance(value, Mapping):
        for key, child in value.items():
            here = (*path, key)
            if isinstance(child, Mapping | list) and child:
                yield f"{pad}{scalar(key)}:", ()
                yield from _lines(child, here, depth + 1)
            else:
                yield f"{pad}{scalar(key)}: {scalar(child)}", here
    else:
        for index, child in enumerate(value):
            here = (*path, index)
            if isinstance(child, Mapping | list) and child:
                inner = list(_lines(child, here, depth + 1))
                first, first_path = inner[0]
                yield f"{pad}- {first.lstrip()}", first_path
                yield from inner[1:]
            else:
                yield f"{pad}- {scalar(child)}", here


def scalar(value: Any) -> str:
    """Return a value as YAML on one line; text is quoted wherever plain would be read as something else."""
    if isinstance(value, str):
        plain = value and value == value.strip() and all(char.isalnum() or char in "_./-" for char in value)
        is_text = (
            plain and not value[0].isdigit() and value[0] not in "-." and value.lower() not in {"true", "false", "null"}
        )
        return value if is_text else json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False)


def differences(before: Document, after: Document) -> list[Difference]:
    """Return the values in which two documents differ, by key."""
    old, new = dict(_leaves(before.data, "")), dict(_leaves(after.data, ""))
    keys = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    return [Difference(key, old.get(key, "-"), new.get(key, "-")) for key in keys]


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, child in value.items():
            yield from _leaves(child, f"{path}.{key}" if path else str(key))
    else:
        yield path, scalar(value)
