# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The places a run works with: specs, settings, store, records, and the folder that builders are given."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from buildkit.catalog import Catalog
from stackway.console import Reporter
from stackway.settings import Settings

if TYPE_CHECKING:
    from buildkit.store import Store
    from buildkit.workspace import Workspace


@dataclass(frozen=True)
class Checkout:
    """The places that a build works with."""

    catalog: Catalog
    settings: Settings
    reporter: Reporter

    @property
    def state(self) -> Path:
        """The folder that belongs to this checkout alone."""
        return (self.catalog.root / self.settings.state.value).absolute()

    @property
    def store(self) -> "Store":
        """The store of images."""
        from buildkit.store import Store

        return Store(self.state / "store")

    @property
    def workspace(self) -> "Workspace":
        """The folder that builders are given."""
        from buildkit.workspace import Workspace

        return Workspace(self.state / "build", self.settings.cache_path)

    @property
    def records(self) -> Path:
        """The folder of build records."""
        return self.state / "records"
