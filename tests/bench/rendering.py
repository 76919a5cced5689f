# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Reading all specs and rendering all Dockerfiles, against Kolla's `kolla-build --template-only`: as many as Kolla makes.

Both are whole processes that write Dockerfiles; ours also reads and checks every spec and every lock.
"""

import re
import shutil
import sys
from collections.abc import Sequence
from itertools import count as count_from
from pathlib import Path

from buildkit.catalog import load_catalog
from stackway import process
from stackway.errors import UnavailableError
from stackway.process import Command
from tests.bench.measure import Result, in_turn
from tests.integration.builder import REPOSITORY

NAME = "rendering"
SUMMARY = "as many Dockerfiles as Kolla has, from specs to files"
HEAVY = False
_SERIES = "2026.1"
_TIMES = 5
# Both find their compiled modules, as they do on the machine of a user.
_AS_INSTALLED = {"PYTHONDONTWRITEBYTECODE": ""}


def run(folder: Path) -> Result:
    """Measure. Raises UnavailableError when Kolla is not in this environment."""
    kolla = Path(sys.executable).with_name("kolla-build")
    if not kolla.exists():
        raise UnavailableError("kolla-build is not there", details=str(kolla), resolution="Run `nox -s bench`.")
    count = len(render_kolla(kolla, folder / "first"))
    images = grow(folder / "checkout", count)
    render(folder / "checkout", folder / "first-ours", images)
    # Every run has a folder of its own, and none is removed between runs: ext4 makes files slowly where many have just gone.
    numbers = count_from(1)
    ours, theirs = in_turn(
        lambda: render(folder / "checkout", folder / f"ours-{next(numbers)}", images),
        lambda: render_kolla(kolla, folder / f"theirs-{next(numbers)}"),
        _TIMES,
    )
    made = len(list((folder / "ours-1").glob("*/Dockerfile")))
    return Result(NAME, f"{made} Dockerfiles", ours, "kolla", theirs, {"dockerfiles": [made, count]})


def render_kolla(program: Path, target: Path) -> list[Path]:
    """Return the Dockerfiles that Kolla renders for Debian."""
    target.mkdir()
    words = ("--template-only", "--base", "debian", "--work-dir", str(target))
    process.run(Command((str(program), *words), _AS_INSTALLED, timeout=600))
    return list(target.rglob("Dockerfile"))


def render(root: Path, target: Path, images: Sequence[str]) -> None:
    """Render images of a checkout as its user would."""
    words = ("--root", str(root), "--quiet", "spec", "render", "--dockerfiles", "--to", str(target), *images)
    process.run(Command((sys.executable, "-m", "pipeline.cli", *words), _AS_INSTALLED, REPOSITORY, timeout=600))


def grow(root: Path, count: int) -> list[str]:
    """Make a checkout of at least `count` images, ours and copies of a series under other names; return so many."""
    shutil.copytree(REPOSITORY / "images", root / "images")
    copies = 0
    while len(found := load_catalog(root).select([])) < count:
        copies += 1
        copy_series(root / "images", f"{3000 + copies}.1")
    return [service.image for service in found[:count]]


def copy_series(images: Path, name: str) -> None:
    """Copy the files of a series, each with its name inside."""
    for path in images.glob(f"*/{_SERIES}.*"):
        if path.parent.name != "constraints":
            text = re.sub(rf'(name|series): "{re.escape(_SERIES)}"', rf'\1: "{name}"', path.read_text())
            path.with_name(path.name.replace(_SERIES, name, 1)).write_text(text)
