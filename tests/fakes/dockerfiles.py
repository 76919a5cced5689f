# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Reads a Dockerfile as builders do: comments dropped, continued lines joined, quoted words decoded."""

import re
from dataclasses import dataclass

_QUOTED = re.compile(r'"((?:[^"$\\]|\\["$\\])*)"', re.DOTALL)


@dataclass(frozen=True)
class Instruction:
    """One instruction: its keyword and the rest of its line."""

    keyword: str
    rest: str


def instructions(text: str) -> list[Instruction]:
    found, continued = [], ""
    for line in text.split("\n"):
        if line.lstrip().startswith("#") or not line.strip():
            continue
        if line.rstrip().endswith("\\"):
            continued += line.rstrip()[:-1]
            continue
        keyword, _, rest = (continued + line).strip().partition(" ")
        found.append(Instruction(keyword.upper(), rest.strip()))
        continued = ""
    assert not continued, "the last line is continued by nothing"
    return found


def keywords(text: str) -> list[str]:
    return [instruction.keyword for instruction in instructions(text)]


def unquote(word: str) -> str:
    """Return what a double-quoted word means to a builder; fails where a variable would be substituted."""
    found = _QUOTED.fullmatch(word)
    assert found, f"not one quoted word: {word}"
    return re.sub(r"\\(.)", r"\1", found.group(1))


def assignments(text: str, keyword: str) -> dict[str, str]:
    """Return what ENV or LABEL instructions with one assignment each set."""
    pairs = [item.rest.partition("=") for item in instructions(text) if item.keyword == keyword]
    return {key: unquote(value) for key, _, value in pairs if _QUOTED.fullmatch(value)}
