# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What is written for each image of the repository, compared with tests/data/golden: a change shows in the review.

STACKWAY_GOLDEN=write writes the files anew.
"""

import json
import os
from pathlib import Path, PurePosixPath

import pytest

from buildkit.bake import BakeFolders, bake_file
from buildkit.catalog import RESERVED, load_catalog
from buildkit.prepare import make_contexts, toolset

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/data/golden"
SPECS = [path for path in (ROOT / "images").glob("*/[0-9]*.yaml") if path.parent.name not in RESERVED]
DOCKERFILES = sorted(f"{path.parent.name}-{path.stem}.Dockerfile" for path in SPECS)
NAMES = [*DOCKERFILES, "bake.json"]


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """Return name → text as it is written today; writes all of them first when asked to."""
    catalog = load_catalog(ROOT)
    contexts = list(make_contexts(catalog, catalog.select([]), toolset()).values())
    found = {f"{context.slug}.Dockerfile": context.dockerfile for context in contexts}
    plan = bake_file(contexts, BakeFolders(PurePosixPath("context"), PurePosixPath("output")))
    found["bake.json"] = json.dumps(plan, indent=1, sort_keys=True) + "\n"
    if os.environ.get("STACKWAY_GOLDEN") == "write":
        write(found)
    return found


def write(texts: dict[str, str]) -> None:
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for path in GOLDEN.iterdir():
        path.unlink()
    for name, text in texts.items():
        (GOLDEN / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_as_it_was_reviewed(texts: dict[str, str], name: str) -> None:
    assert texts[name] == (GOLDEN / name).read_text(encoding="utf-8")


def test_every_image_and_nothing_else_has_a_golden_file(texts: dict[str, str]) -> None:
    assert sorted(texts) == sorted(path.name for path in GOLDEN.iterdir()) == sorted(NAMES)
