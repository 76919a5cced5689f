# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Applies a build plan: fetch, lay out, bake, check, store, record.

One failing image does not stop those that do not depend on it; nothing half-built reaches the store.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buildkit.bake import BakeFolders, bake_file
from buildkit.bakery import Bakery, Outcome
from buildkit.checkout import Checkout
from buildkit.context import BuildContext, Toolset
from buildkit.engine import open_builder
from buildkit.fetch import ArtifactCache, fetch_python, fetch_system
from buildkit.plan import ActionKind
from buildkit.prepare import PreparedBuild
from buildkit.store import unique_size
from stackway import clock
from stackway.console import Table
from stackway.errors import FailedError
from stackway.files import write_json


@dataclass(frozen=True)
class ImageResult:
    """How one image ended: `status` is built, kept, failed or skipped."""

    image: str
    status: str
    reason: str
    digest: str = ""
    size: int = 0
    seconds: float = 0.0
    log: str = ""
    details: str = ""


@dataclass(frozen=True)
class BuildReport:
    """All results of a build, in the order of the images' names."""

    results: tuple[ImageResult, ...]
    unique_size: int
    seconds: float

    @property
    def failed(self) -> list[ImageResult]:
        """The images that are not there now though they should be."""
        return [result for result in self.results if result.status == "failed"]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready data."""
        return {
            "apiVersion": "stackway/v1",
            "kind": "BuildReport",
            "images": [vars(result) for result in self.results],
            "uniqueSize": self.unique_size,
            "seconds": round(self.seconds, 3),
        }

    def to_table(self) -> Table:
        """Return the report for people."""
        rows = [
            (
                result.image,
                result.digest[:19] or "-",
                f"{result.size / 1e6:.1f} MB" if result.size else "-",
                f"{result.seconds:.1f}" if result.seconds else "-",
                result.status,
                result.reason,
            )
            for result in self.results
        ]
        return Table(("IMAGE", "DIGEST", "SIZE", "SECONDS", "STATUS", "WHY"), rows, right=("SIZE", "SECONDS"))


def apply(checkout: Checkout, prepared: PreparedBuild, *, cached: bool = True, wait: float = 0.0) -> BuildReport:
    """Carry out a plan and return what came of it; failed images are in the report, not raised.

    Raises BuilderError when the builder cannot be used at all, and what fetching raises.
    """
    started = clock.monotonic()
    wanted = [prepared.contexts[action.image] for action in prepared.plan.builds]
    outcome = Outcome()
    if wanted:
        with checkout.store.exclusive(wait):
            _fetch(checkout, wanted)
            _forget_damage(checkout)
            _lay_out(checkout, wanted, prepared.tools)
            with open_builder(checkout.settings, checkout.reporter) as builder:
                Bakery(checkout, builder, outcome, cached=cached).bake(wanted)
            _store(checkout, wanted, outcome)
    return _report(checkout, prepared, outcome, clock.monotonic() - started)


def _fetch(checkout: Checkout, contexts: Iterable[BuildContext]) -> None:
    """Bring all packages of a build into the cache: the only step that uses the network."""
    cache = ArtifactCache(checkout.settings.cache_path / "artifacts")
    found = list(contexts)
    locks = [lock for item in found for lock in (item.locks.base.os, item.locks.base.interpreter, item.locks.system)]
    fetch_system([package for lock in locks for package in lock.packages], cache, checkout.settings, checkout.reporter)
    for python in sorted({item.base.python for item in found if item.stages}):
        mine = [item for item in found if item.base.python == python]
        pins = [pin for item in mine for stage in item.stages for pin in stage.pins]
        pins += [pin for item in mine for pin in item.locks.base.backends.pins]
        fetch_python(pins, cache, python, checkout.reporter)


def _lay_out(checkout: Checkout, contexts: Sequence[BuildContext], tools: Toolset) -> None:
    import uv

    workspace = checkout.workspace
    workspace.lay_out(contexts, tools, Path(uv.find_uv_bin()))
    folders = BakeFolders(workspace.context, workspace.folder / "output", workspace.failed_checks())
    plan = bake_file(contexts, folders)
    write_json(workspace.folder / "bake.json", plan)


def _forget_damage(checkout: Checkout) -> None:
    """Remove corrupt blobs everywhere: a builder that finds one in its output folder would believe it."""
    store = checkout.store
    for image in store.images().values():
        wrong = {blob.digest for blob in image.blobs for message in store.check(image) if blob.digest in message}
        store.drop(wrong, checkout.workspace.outputs())


def _store(checkout: Checkout, contexts: Sequence[BuildContext], outcome: Outcome) -> None:
    good = [context for context in contexts if context.service.image not in outcome.failures]
    layouts = {context.service.image: checkout.workspace.output(context.slug) for context in good}
    stored = checkout.store.add(layouts)
    for context in good:
        digest = stored[context.service.image].manifest.digest
        record = {"image": context.service.image, "inputs": dict(context.inputs), "digest": digest}
        write_json(checkout.records / f"{context.slug}.json", record)


def _report(checkout: Checkout, prepared: PreparedBuild, outcome: Outcome, seconds: float) -> BuildReport:
    images = checkout.store.images()
    results = []
    for action in prepared.plan.actions:
        name = action.image
        image = images.get(name)
        seconds_of, log = outcome.seconds.get(name, 0.0), outcome.logs.get(name, "")
        if name in outcome.failures:
            details = outcome.failures[name]
            failure = ImageResult(name, "failed", details.splitlines()[0], seconds=seconds_of, log=log, details=details)
            results.append(failure)
        elif image:
            status = "kept" if action.kind is ActionKind.KEEP else "built"
            results.append(ImageResult(name, status, action.reason, image.manifest.digest, image.size, seconds_of, log))
    here = [images[result.image] for result in results if result.image in images]
    return BuildReport(tuple(results), unique_size(here), seconds)


def raise_failures(report: BuildReport) -> None:
    """Raise one FailedError for all failed images of a report, with each one's step and log tail."""
    if not report.failed:
        return
    parts: dict[str, list[ImageResult]] = {}
    for result in report.failed:
        parts.setdefault(result.details, []).append(result)
    texts = [f"{', '.join(item.image for item in items)}: {text}\nlog: {items[0].log}" for text, items in parts.items()]
    raise FailedError(
        f"{len(report.failed)} of {len(report.results)} images could not be built",
        details="\n\n".join(texts),
        resolution="Mend the step named above and run the same command again; finished images are kept.",
    )
