# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The pinned version of a tool, read without the whole pin file's rules: builds ask for it each time they plan."""

import tomllib
from functools import lru_cache
from importlib.resources import files


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    content = tomllib.loads((files("stackway.tools") / "tools.toml").read_text(encoding="utf-8"))
    return {name: str(tool["version"]) for name, tool in content["tools"].items()}


def pinned_version(name: str) -> str:
    """Return the version of the tool `name` that Stackway brings; KeyError for a name that is not in the pin file."""
    return _versions()[name]
