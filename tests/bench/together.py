# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Six services in one bake, against one bake call for each of them; both begin with all packages and an empty builder."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from buildkit.bake import target_of
from buildkit.build import apply, raise_failures
from buildkit.catalog import load_catalog
from buildkit.checkout import Checkout
from buildkit.engine import Builder, open_builder
from buildkit.models import Service
from buildkit.prepare import prepare
from stackway.console import SilentReporter
from stackway.settings import load_settings
from tests.bench.measure import Result, Taken, take
from tests.integration.builder import REPOSITORY, private_cache

NAME = "together"
SUMMARY = "six services of 2026.1 in one bake, against one after another"
HEAVY = True
_SERIES = "2026.1"
_SERVICES = ("keystone", "glance", "placement", "nova", "neutron", "cinder")
_TIMES = 3


def run(folder: Path) -> Result:
    """Measure. Needs root on Linux, and minutes."""
    checkout = open_apart(folder)
    services = checkout.catalog.select(_SERVICES, _SERIES)
    raise_failures(apply(checkout, prepare(checkout, services)))
    contexts = prepare(checkout, services).contexts.values()
    targets = [target_of(context) for context in contexts]
    size = checkout.store.images()
    pairs = [
        (bake_from_nothing(checkout, [targets]), bake_from_nothing(checkout, [[target] for target in targets]))
        for _ in range(_TIMES)
    ]
    ours, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    facts = {"bytes of each": {name: image.size for name, image in size.items()}}
    return Result(NAME, f"{len(targets)} services of {_SERIES} from nothing", ours, "one by one", theirs, facts)


def open_apart(folder: Path) -> Checkout:
    """Return the repository's specs with a state and a builder of their own, and the user's packages."""
    places = {"cache": str(private_cache(folder / "cache")), "state": str(folder / "state"), "builder": "own"}
    return Checkout(load_catalog(REPOSITORY), load_settings(REPOSITORY, places), SilentReporter())


def bake_from_nothing(checkout: Checkout, groups: Sequence[Sequence[str]]) -> Taken:
    """Bake groups of targets, one call each, with a builder that has never built; its start is not measured."""
    shutil.rmtree(checkout.settings.cache_path / "buildkit", ignore_errors=True)
    with open_builder(checkout.settings, SilentReporter()) as builder:
        return take(lambda: [bake(checkout, builder, group) for group in groups])


def bake(checkout: Checkout, builder: Builder, group: Sequence[str]) -> None:
    """Bake targets in one call."""
    lines: list[str] = []
    completed = builder.bake(checkout.workspace.folder / "bake.json", group, lines.append)
    assert completed.code == 0, "\n".join(lines[-5:])


def chosen(checkout: Checkout) -> list[Service]:
    """Return the services that are measured."""
    return checkout.catalog.select(_SERVICES, _SERIES)
