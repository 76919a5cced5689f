# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A real cloud for the tests: the images of this checkout in an environment on demand, on a real Kubernetes."""

import os
from collections.abc import Iterator

import pytest

from pipeline.cluster.machine import lacking_rights
from tests.e2e.cloud import Cloud, cluster_runs, kill_release, release, tell

SERIES = "2026.1"
NAME = f"e2e-{os.getpid()}"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Skip where no cluster can run; in CI that is a failure, for nobody reads what was skipped there."""
    if lacks := lacking_rights():
        reason = f"needs a machine that can run a cluster; missing: {', '.join(lacks)}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """The local cluster of this checkout; one that ran before goes on running."""
    ran = cluster_runs()
    release("cluster", "up")
    yield
    if not ran:
        release("cluster", "down")


@pytest.fixture(scope="session")
def version() -> str:
    """A signed release of the images of this checkout."""
    release("build", "--series", SERIES)
    made = str(release("bundle", "--series", SERIES, "--unscanned")["version"])
    release("sign", made)
    return made


@pytest.fixture(scope="session")
def cloud(cluster: None, version: str) -> Iterator[Cloud]:  # noqa: ARG001 - it must be there first
    """An environment with everything in it, though whoever made it was killed on the way, again and again."""
    words = ("env", "up", NAME, "--from", version)
    killed = [kill_release(seconds, *words) for seconds in (3.0, 9.0, 20.0)]
    release(*words)
    yield Cloud(NAME, tuple(killed))
    tell(f"the environment was gone after {release('env', 'down', NAME)['seconds']} s")
