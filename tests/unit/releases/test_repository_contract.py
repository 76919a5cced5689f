# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""One contract for all places of releases; the integration tests run it on a real registry too."""

from pathlib import Path

import pytest

from releases.layout import LayoutStore
from releases.remote import RegistryStore
from releases.repository import ReleaseStore
from tests.fakes.registry import FakeRegistry, bench
from tests.fakes.repositories import RepositoryContract


class TestLayout(RepositoryContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> ReleaseStore:
        return LayoutStore(tmp_path / "releases")


@pytest.mark.parametrize("lists", [True, False], ids=["referrers", "no referrers"])
@pytest.mark.parametrize("prefix", ["", "team/releases"])
class TestRegistry(RepositoryContract):
    @pytest.fixture
    def place(self, prefix: str, *, lists: bool) -> ReleaseStore:
        return RegistryStore(bench(FakeRegistry(referrers=lists, page=2)).registry, prefix)
