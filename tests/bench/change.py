# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""One distribution of one service changes: the seconds until the new image is in the store, and what else changed."""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from buildkit.build import apply, raise_failures
from buildkit.catalog import load_catalog
from buildkit.checkout import Checkout
from buildkit.locks import Pin, PythonLock, parse_python_lock
from buildkit.prepare import prepare
from tests.bench.measure import Result, take
from tests.bench.together import chosen, open_apart
from tests.integration.builder import REPOSITORY

NAME = "change"
SUMMARY = "one service's lock has changed, of six"
HEAVY = True
_LOCKS = ("images/placement/2026.1.python.lock", "images/placement/2025.1.python.lock")


def run(folder: Path) -> Result:
    """Measure. Needs root on Linux, and minutes."""
    shutil.copytree(REPOSITORY / "images", folder / "checkout/images")
    checkout = replace(open_apart(folder), catalog=load_catalog(folder / "checkout"))
    build(checkout)
    before = digests(checkout)
    changed = change(folder / "checkout")
    built: list[str] = []
    taken = take(lambda: built.extend(build(checkout)))
    after = digests(checkout)
    other = [name for name in after if after[name] != before[name]]
    facts = {"changed package": changed, "built images": built, "changed images": other}
    return Result(NAME, "one changed service", [taken], "", [], facts)


def build(checkout: Checkout) -> list[str]:
    """Build what is not there; return the images that were built."""
    report = apply(checkout, prepare(checkout, chosen(checkout)))
    raise_failures(report)
    return [result.image for result in report.results if result.status == "built"]


def digests(checkout: Checkout) -> dict[str, str]:
    """Return image → digest of the store."""
    return {name: image.manifest.digest for name, image in checkout.store.images().items()}


def change(root: Path) -> str:
    """Give the service one pure distribution in the version that the earlier series has; return its name."""
    path, earlier = (root / name for name in _LOCKS)
    lock = parse_python_lock(path.read_text(), path.name)
    there = {pin.name: pin for pin in parse_python_lock(earlier.read_text(), earlier.name).pins}
    chosen_pin = smallest(lock.pins, there)
    pins = tuple(there[pin.name] if pin is chosen_pin else pin for pin in lock.pins)
    path.write_text(PythonLock(pins, lock.header).to_text())
    return f"{chosen_pin.name} {chosen_pin.version} to {there[chosen_pin.name].version}"


def smallest(pins: Iterable[Pin], there: Mapping[str, Pin]) -> Pin:
    """Return the smallest library of OpenStack that differs: such wheels are pure, and their neighbours tell compatible."""
    found = [
        pin
        for pin in pins
        if pin.name.startswith("oslo-")
        and there.get(pin.name, pin) != pin
        and pin.filename.endswith("py3-none-any.whl")
    ]
    return min(found, key=lambda pin: (pin.size, pin.name))
