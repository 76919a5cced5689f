# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What integration tests stand on: a machine that can build, or a loud word about why this one cannot."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildkit.store import Store
from pipeline.cluster.machine import lacking_rights
from stackway import process
from stackway.process import Command
from tests.integration.builder import REPOSITORY, TinyCheckout, private_cache, tiny_checkout
from tests.integration.runtime import mounts_below, unmount_below

_SYS_ADMIN = 1 << 21  # capabilities(7): CAP_SYS_ADMIN


def lack_of_engine() -> str:
    """Return why no image builder can run here, nothing when one can."""
    if sys.platform != "linux":
        return f"needs Linux, this is {sys.platform}"
    if os.geteuid() != 0:
        return "needs root: BuildKit mounts file systems and starts containers"
    lines = Path("/proc/self/status").read_text().splitlines()
    capabilities = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    return "" if capabilities & _SYS_ADMIN else "needs the right to mount: this root is one without CAP_SYS_ADMIN"


def lack_of_cluster() -> str:
    """Return why no local cluster can run here, nothing when one can."""
    lacks = ", ".join(lacking_rights())
    return f"needs a machine that can run a cluster; missing: {lacks}" if lacks else ""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs an engine where none can run; in CI that is a failure, for nobody reads what was skipped there."""
    lacks = {"engine": lack_of_engine, "cluster": lack_of_cluster}
    for lack in (lacks[name]() for name in lacks if item.get_closest_marker(name)):
        if lack and os.environ.get("CI") == "true":
            pytest.fail(lack, pytrace=False)
        if lack:
            pytest.skip(lack)


@pytest.fixture(scope="session")
def builder_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache whose builder no other test or person uses."""
    folder = private_cache(tmp_path_factory.mktemp("builder") / "cache")
    yield folder
    unmount_below(folder)


@pytest.fixture(scope="session")
def real_store() -> Store:
    """The store of this checkout with all of its images, built if they were not."""
    arguments = (sys.executable, "-m", "pipeline.cli", "build", "--output", "json")
    process.run(Command(arguments, directory=REPOSITORY), on_stderr=tell)
    return Store(REPOSITORY / ".stackway/store")


def tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


@pytest.fixture
def tiny(tmp_path: Path, builder_cache: Path) -> Iterator[TinyCheckout]:
    """A checkout with two small images, `alpha:1.0` and `beta:1.0`; ended processes must leave it without mounts."""
    # A shell that starts pytest in the background makes it, and all it starts, deaf to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    checkout = tiny_checkout(tmp_path / "checkout", builder_cache)
    checkout.add("alpha")
    checkout.add("beta")
    yield checkout
    assert mounts_below(tmp_path) == []
