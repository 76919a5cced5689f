# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Proves that images are reproducible: builds them twice from nothing, in circumstances that differ, and compares.

The two builds have separate builder caches, contexts and stores; paths (one with a space), umask and time zone differ.
What is shared is what is locked: tools and packages, both known by their checksums.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from buildkit.build import apply, raise_failures
from buildkit.checkout import Checkout
from buildkit.compare import first_difference
from buildkit.models import Service
from buildkit.prepare import prepare
from stackway.files import scratch_directory
from stackway.settings import Setting

_SHARED = ("tools", "artifacts", "apt")


@dataclass(frozen=True)
class Reproduction:
    """One image built twice: both digests, and where they differ (empty when they are equal)."""

    image: str
    first: str
    second: str
    difference: str


@dataclass(frozen=True)
class Circumstances:
    """What differs between two builds."""

    folder: str
    umask: int
    timezone: str


ONE = Circumstances("one", 0o022, "UTC")
OTHER = Circumstances("the other one", 0o077, "Pacific/Chatham")


def reproduce(checkout: Checkout, services: Sequence[Service]) -> list[Reproduction]:
    """Build `services` twice and return what came of it. Raises FailedError when one of the builds fails."""
    with scratch_directory(checkout.state, "reproduce-") as scratch:
        first = _build(checkout, services, scratch, ONE)
        second = _build(checkout, list(reversed(services)), scratch, OTHER)
        mine, theirs = first.store.images(), second.store.images()
        return [
            Reproduction(
                service.image,
                mine[service.image].manifest.digest,
                theirs[service.image].manifest.digest,
                first_difference(service.image, first.store, second.store),
            )
            for service in services
        ]


def _build(checkout: Checkout, services: Sequence[Service], scratch: Path, how: Circumstances) -> Checkout:
    folder = scratch / how.folder
    cache = folder / "cache"
    cache.mkdir(parents=True)
    for name in _SHARED:
        shared = checkout.settings.cache_path / name
        shared.mkdir(parents=True, exist_ok=True)
        (cache / name).symlink_to(shared)
    places = {"cache": Setting(str(cache), "reproduce"), "state": Setting(str(folder / "state"), "reproduce")}
    apart = replace(checkout, settings=replace(checkout.settings, **places))
    with (
        checkout.reporter.group(f"build in {how.folder!r}, umask {how.umask:03o}, time zone {how.timezone}"),
        _under(how),
    ):
        raise_failures(apply(apart, prepare(apart, services)))
    return apart


@contextmanager
def _under(how: Circumstances) -> Iterator[None]:
    before, zone = os.umask(how.umask), os.environ.get("TZ")
    os.environ["TZ"] = how.timezone
    try:
        yield
    finally:
        os.umask(before)
        os.environ.pop("TZ")
        if zone is not None:
            os.environ["TZ"] = zone
