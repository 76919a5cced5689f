# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""One contract for all places of releases; the integration tests run it on a real registry too."""

from pathlib import Path

import pytest

from releases.layout import LayoutStore
from releases.repository import ReleaseStore
from tests.fakes.repositories import RepositoryContract


class TestLayout(RepositoryContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> ReleaseStore:
        return LayoutStore(tmp_path / "releases")
