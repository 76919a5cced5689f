# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What holds for all tests: how examples are drawn, and which tests this machine cannot run."""

import os
import sys

import pytest
from hypothesis import settings

# No deadline: a busy machine is no defect. In CI the same examples each time, elsewhere new ones.
settings.register_profile("stackway", deadline=None, derandomize="CI" in os.environ, max_examples=60, print_blob=True)
settings.load_profile("stackway")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs root Linux elsewhere."""
    marked = {mark.name for mark in item.iter_markers()} & {"engine", "cluster"}
    if marked and (sys.platform != "linux" or os.geteuid() != 0):
        pytest.skip("needs root on Linux")
