# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Cheap rules that hold for every file of the repository, and for what else is installed beside us."""

import re
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from buildkit.catalog import RESERVED

ROOT = Path(__file__).parents[2]
PACKAGES = ("stackway", "buildkit", "releases", "pipeline")
SUFFIXES = {".py", ".sh", ".yaml", ".yml", ".toml", ".md", ".j2", ".in", ".txt", ".json", ".lock", ".Dockerfile"}
SKIPPED = re.compile(r"(^|/)(\.(?!ci/)[^/]+|__pycache__|build|dist|[^/]+\.egg-info)/")


def names() -> list[str]:
    # What is skipped is not even looked into: in the state folder files come and go.
    folders = [item for item in sorted(ROOT.iterdir()) if not SKIPPED.search(f"{item.name}/")]
    paths = (path for folder in folders for path in (folder.rglob("*") if folder.is_dir() else [folder]))
    found = sorted(path.relative_to(ROOT).as_posix() for path in paths if path.suffix in SUFFIXES and path.is_file())
    return [name for name in found if not SKIPPED.search(name)]


FILES = names()
OURS = [name for name in FILES if not name.startswith("images/constraints/")]


def offenders(pattern: str, among: list[str] = OURS) -> list[str]:
    """Return file:line of every line in which the pattern is found."""
    wrong = re.compile(pattern)
    lines = ((name, number, line) for name in among for number, line in enumerate(text(name).splitlines(), 1))
    return [f"{name}:{number}" for name, number, line in lines if wrong.search(line)]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_rules_see_the_whole_repository() -> None:
    assert {name.split("/")[0] for name in FILES} >= {*PACKAGES, "images", "tests", "requirements", "pyproject.toml"}
    assert "tests/unit/test_hygiene.py" in OURS


def test_every_source_says_whose_it_is_and_how_it_may_be_used() -> None:
    sources = [name for name in FILES if Path(name).suffix in {".py", ".sh", ".yaml", ".yml", ".toml"}]
    heads = {name: "\n".join(text(name).splitlines()[:4]) for name in sources}
    tags = ("SPDX-FileCopyrightText: Stackway contributors", "SPDX-License-Identifier: Apache-2.0")
    assert [name for name, head in heads.items() if not all(tag in head for tag in tags)] == []


@pytest.mark.parametrize(
    "pattern",
    [
        r"\b([T]ODO|[F]IXME|[X]XX|[H]ACK)\b",
        r"^(<<<<<<<|>>>>>>>) ",
        r"(?<![\w.:/-])/(work|root|home/\w+|Users/\w+)/",
        r"(deb|security)[.]debian[.]org|pypi[.]org|pythonhosted[.]org|proxy[.]golang[.]org",
        r"-----BEGIN ([A-Z]+ )?PRIVATE KEY",
    ],
    ids=["open ends", "merge conflicts", "paths of a machine", "registries", "keys"],
)
def test_no_line_holds_what_does_not_belong_here(pattern: str) -> None:
    assert offenders(pattern) == []


def test_texts_end_with_a_line_end_and_have_no_carriage_returns() -> None:
    wrong = [
        name
        for name in FILES
        if (ROOT / name).read_bytes()[-1:] not in {b"", b"\n"} or b"\r" in (ROOT / name).read_bytes()
    ]
    assert wrong == []


def test_nobody_else_installs_files_under_our_names() -> None:
    installed = packages_distributions()
    assert {name: owner for name in PACKAGES for owner in installed.get(name, []) if owner != "stackway"} == {}


def test_decisions_are_numbered_without_gaps_and_listed() -> None:
    pages = sorted(path for path in (ROOT / "docs/adr").glob("*.md") if path.name != "README.md")
    assert [path.name.split("-")[0] for path in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    index = text("docs/adr/README.md") if pages else ""
    assert [path.name for path in pages if f"[{path.name[:4]}]({path.name})" not in index] == []


def test_no_service_is_named_in_the_code() -> None:
    """Services are data: a name of one in the code would make it special."""
    services = {path.parent.name for path in (ROOT / "images").glob("*/service.yaml")} - RESERVED
    code = [name for name in FILES if name.split("/")[0] in PACKAGES and name.endswith(".py")]
    found = {name: re.findall(r"[\"']([a-z-]+)[\"']", text(name)) for name in code}
    assert {(name, word) for name, words in found.items() for word in words if word in services} == set()
