# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The stage of all rehearsals, and what they found: a table at the end, and JSON in the file that STACKWAY_SCHEMAS names."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildkit.catalog import load_catalog
from buildkit.store import Store
from tests.integration.conftest import pytest_runtest_setup  # noqa: F401 - the hook
from tests.integration.runtime import Network, running_containerd
from tests.schemas import report
from tests.schemas.rehearsal import Row
from tests.schemas.stage import Stage

ROOT = Path(__file__).parents[2]
_ROWS: list[Row] = []


@pytest.fixture(scope="session")
def rows() -> list[Row]:
    """What is shown at the end."""
    return _ROWS


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """An engine and a network of the tests' own; nothing of them is left afterwards."""
    store = Store(Path(os.environ.get("STACKWAY_TEST_STORE", ROOT / ".stackway/store")))
    with running_containerd() as engine:
        network = Network(engine.folder)
        try:
            yield Stage(engine, network, load_catalog(ROOT), store)
        finally:
            network.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _ROWS:
        return
    terminalreporter.section("what code makes of schemas")
    for line in report.as_text(_ROWS):
        terminalreporter.write_line(line)
    if path := os.environ.get("STACKWAY_SCHEMAS"):
        Path(path).write_text(report.as_json(_ROWS), encoding="utf-8")
