# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What holds for all tests: how examples are drawn, and which tests this machine cannot run."""

import os
import sys

import pytest
from hypothesis import settings

# No deadline: a busy machine is no defect. In CI the same examples each time, elsewhere new ones.
# `pytest --hypothesis-profile=thorough` looks further.
settings.register_profile("quick", deadline=None, derandomize="CI" in os.environ, max_examples=30, print_blob=True)
settings.register_profile("thorough", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile("quick")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs root Linux elsewhere."""
    marked = {mark.name for mark in item.iter_markers()} & {"engine", "cluster"}
    if marked and (sys.platform != "linux" or os.geteuid() != 0):
        pytest.skip("needs root on Linux")
