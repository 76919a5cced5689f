# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A build with nothing to do, against a plain `buildx bake` of the same plan on the same BuildKit, all of it cached.

The peer's builder is started before and stays: only its work is measured, not its start.
"""

from pathlib import Path

from buildkit.engine import Builder, open_builder
from stackway.console import SilentReporter
from stackway.files import read_json
from stackway.settings import load_settings
from tests.bench.measure import Result, in_turn
from tests.integration.builder import TinyCheckout, private_cache, tiny_checkout

NAME = "nothing"
SUMMARY = "40 images of which none has changed"
HEAVY = False
_COUNT = 40
_TIMES = 5


def run(folder: Path) -> Result:
    """Measure. Needs root on Linux."""
    checkout = tiny_checkout(folder / "checkout", private_cache(folder / "cache"))
    for number in range(_COUNT):
        checkout.add(f"image-{number}")
    checkout.build()
    before = checkout.digests()
    settings = load_settings(checkout.root, {"cache": str(checkout.cache), "builder": "own"})
    with open_builder(settings, SilentReporter()) as builder:
        bake(checkout, builder)
        ours, theirs = in_turn(checkout.build, lambda: bake(checkout, builder), _TIMES)
    facts = {"images": len(before), "same digests": checkout.digests() == before}
    return Result(NAME, f"{_COUNT} unchanged images", ours, "buildx bake", theirs, facts)


def bake(checkout: TinyCheckout, builder: Builder) -> None:
    """Bake the images of the last plan, without their checks, into the OCI layouts where they are already."""
    file = checkout.state / "build/bake.json"
    targets = [name for name, target in read_json(file)["target"].items() if target["target"] == "image"]
    lines: list[str] = []
    completed = builder.bake(file, targets, lines.append)
    assert completed.code == 0, "\n".join(lines[-5:])
