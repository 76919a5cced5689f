# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A real cloud to break upgrades in: an environment on demand, or the one that STACKWAY_FAULTS_IN names."""

import os
from collections.abc import Iterator

import pytest

from tests.e2e.cloud import Cloud, release
from tests.e2e.conftest import cluster, pytest_runtest_setup, version  # noqa: F401 - fixtures and the hook
from tests.faults.attempt import Upgrades

NAME = f"faults-{os.getpid()}"


@pytest.fixture(scope="session")
def upgrades(request: pytest.FixtureRequest) -> Iterator[Upgrades]:
    if given := os.environ.get("STACKWAY_FAULTS_IN"):
        yield Upgrades(Cloud(given))
        return
    request.getfixturevalue("cluster")
    release("env", "up", NAME, "--from", request.getfixturevalue("version"))
    yield Upgrades(Cloud(NAME))
    release("env", "down", NAME)
