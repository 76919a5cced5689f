# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Asks the user's Python package index, through uv, which files a set of requirements comes to. Downloads nothing."""

import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stackway.errors import FailedError, UnavailableError
from stackway.process import Command, Completed, run


class NoNetworkError(UnavailableError):
    """Nothing answers, and what is needed is not in the cache."""


# The interpreter that runs is enough to read metadata; uv must not go and look for the images' own.
_ENVIRONMENT = {"UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never", "UV_PYTHON": sys.executable}


@dataclass(frozen=True)
class IndexFile:
    """One file of a distribution, as the index describes it."""

    filename: str
    url: str
    digest: str
    size: int


@dataclass(frozen=True)
class IndexRelease:
    """A distribution in the version that was resolved."""

    name: str
    version: str
    files: tuple[IndexFile, ...]


def index_files(requirements: str, python: str, options: Sequence[str] = ()) -> dict[str, IndexRelease]:
    """Resolve requirements with uv against the user's index; return name → release.

    Raises NoNetworkError when the index does not answer, FailedError when there is no solution.
    """
    import uv

    arguments = (uv.find_uv_bin(), "pip", "compile", "-q", "--no-header", "--no-annotate", "--no-config", *options)
    target = ("--format", "pylock.toml", "--python-version", python, "--python-platform", "x86_64-manylinux_2_28", "-")
    completed = run(Command((*arguments, *target), _ENVIRONMENT, stdin=requirements, timeout=600), check=False)
    if completed.code != 0:
        raise _resolution_error(completed)
    content = tomllib.loads(completed.stdout)
    return {package["name"]: _release(package) for package in content.get("packages", [])}


def _release(package: Mapping[str, object]) -> IndexRelease:
    found = []
    wheels, sdist = package.get("wheels", []), package.get("sdist")
    for item in [*(wheels if isinstance(wheels, list) else []), *([sdist] if isinstance(sdist, dict) else [])]:
        name = item.get("name") or item["url"].split("?")[0].rsplit("/", 1)[-1]
        found.append(IndexFile(name, item["url"], f"sha256:{item['hashes']['sha256']}", item.get("size", 0)))
    return IndexRelease(str(package["name"]), str(package["version"]), tuple(found))


def _resolution_error(completed: Completed) -> FailedError | UnavailableError:
    text = completed.tail()
    if re.search(r"error sending request|Could not connect|dns error|Network connectivity|Connection refused", text):
        return NoNetworkError(
            "the Python package index does not answer, and some packages are not in the cache",
            details=text,
            resolution="Connect the machine, set UV_DEFAULT_INDEX to an index it reaches, or bring a filled artifact cache.",
        )
    return FailedError(
        "the Python packages do not go together", details=text, resolution="Change the spec's packages or overrides."
    )
