# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A release of the real images of 2026.1: what each step takes, and `release verify` against stock cosign over the same images.

cosign looks at the signature of each image and of the release; ours at every statement and every byte as well. The images must
have been built (`nox -s build`).
"""

import json
import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from stackway import process
from stackway.errors import UnavailableError
from stackway.process import Command
from tests.bench.measure import Result, in_turn, take
from tests.integration import cosign
from tests.integration.builder import REPOSITORY
from tests.integration.runtime import running_registry

NAME = "carrying"
SUMMARY = "a release of ten images: bundle, sign, verify, promote, push, export, import"
HEAVY = False
_SERIES, _VERSION = "2026.1", "2026.1.0"
_TIMES = 5


def run(folder: Path) -> Result:
    """Measure. Needs root on Linux, and the images built."""
    release = _open(folder)
    facts: dict[str, Any] = {}

    def timed(name: str, *words: str) -> dict[str, Any]:
        said: list[dict[str, Any]] = []
        facts[f"{name} seconds"] = round(take(lambda: said.append(release(*words))).wall, 2)
        return said[0]

    timed("bundle", "bundle", _VERSION, "--unscanned")
    timed("sign", "sign", _VERSION)
    timed("promote", "promote", _VERSION, "dev")
    timed("export", "export", _VERSION, "--to", f"{folder}/r.tar")
    release("keygen", f"{folder}/other", "--password-file", "/dev/null")
    with ExitStack() as stack:
        host = stack.enter_context(running_registry())
        facts["push bytes"] = timed("push", "push", f"oci://{host}/cloud", _VERSION)["bytes"]
        facts["push again bytes"] = timed("push again", "push", f"oci://{host}/cloud", _VERSION)["bytes"]
        images = [image["name"] for image in release("show", _VERSION)["images"]]
        public = folder / "state/keys/development.pub"

        def stock() -> None:
            for name in (*images, "release"):
                completed = cosign.verify(3, public, f"{host}/cloud/{name}:{_VERSION}")
                assert completed.code == 0, completed.tail()

        ours, theirs = in_turn(lambda: release("verify", _VERSION), stock, _TIMES)
    timed("import", "--state", f"{folder}/elsewhere", "import", f"{folder}/r.tar")
    facts["images"] = len(images)
    facts["archive bytes"] = (folder / "r.tar").stat().st_size
    return Result(NAME, f"verify {len(images)} images, every byte", ours, "cosign verify, one by one", theirs, facts)


def _open(folder: Path) -> Callable[..., dict[str, Any]]:
    """Return `release` on a state of its own that shares the built images by hard links."""
    state = REPOSITORY / ".stackway"
    if not (state / "store/index.json").exists():
        raise UnavailableError("the images are not built", details=str(state), resolution="`nox -s build` builds them.")
    for name in ("store", "records"):
        shutil.copytree(state / name, folder / "state" / name, copy_function=_link)

    def release(*words: str) -> dict[str, Any]:
        given = () if "--state" in words else ("--state", f"{folder}/state")
        command = (sys.executable, "-m", "pipeline.cli", *given, "--output", "json", *words)
        found: dict[str, Any] = json.loads(process.run(Command(command, directory=REPOSITORY)).stdout)
        return found

    return release


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)
