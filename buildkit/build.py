# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Plans and applies builds: read specs and locks, plan, fetch, lay out, bake, check, store, record.

One failing image does not stop those that do not depend on it; nothing half-built reaches the store.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from buildkit.bake import Progress, Step, bake_file, owners, target_of
from buildkit.catalog import Catalog
from buildkit.context import BuildContext, ImageSources, Toolset, make_context
from buildkit.dockerfile import slug
from buildkit.engine import Builder, BuilderError, builder_version, open_builder
from buildkit.fetch import ArtifactCache, fetch_python, fetch_system
from buildkit.lockfiles import load_locks
from buildkit.models import Service
from buildkit.plan import ActionKind, BuildPlan, BuildRecord, Known, plan_build
from buildkit.questions import expired, overrides
from buildkit.sources import load_example, load_recipes, load_templates
from buildkit.store import Store, StoredImage
from buildkit.workspace import Workspace
from stackway import clock
from stackway.console import Reporter, Table
from stackway.errors import FailedError, WrongInputError
from stackway.files import read_json, write_atomic, write_json
from stackway.settings import Settings

_TAIL = 25


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
    def store(self) -> Store:
        """The store of images."""
        return Store(self.state / "store")

    @property
    def workspace(self) -> Workspace:
        """The folder that builders are given."""
        return Workspace(self.state / "build", self.settings.cache_path)

    @property
    def records(self) -> Path:
        """The folder of build records."""
        return self.state / "records"


@dataclass(frozen=True)
class PreparedBuild:
    """A plan, and the contexts it was made from (image → context)."""

    plan: BuildPlan
    contexts: Mapping[str, BuildContext]
    tools: Toolset


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


def prepare(checkout: Checkout, services: Sequence[Service], *, force: str = "") -> PreparedBuild:
    """Return the plan for `services`. Touches nothing and calls no engine.

    Raises WrongInputError for specs, locks or templates that cannot be used, and for expired overrides.
    """
    _refuse_expired(checkout.catalog, services)
    tools = Toolset(load_recipes(), _uv_version(), builder_version())
    contexts = make_contexts(checkout.catalog, services, tools)
    known = Known(load_records(checkout.records), find_damage(checkout.store, checkout.records))
    plan = plan_build({image: context.inputs for image, context in contexts.items()}, known, force=force)
    return PreparedBuild(plan, contexts, tools)


def make_contexts(catalog: Catalog, services: Sequence[Service], tools: Toolset) -> dict[str, BuildContext]:
    """Return image → context. Raises WrongInputError for locks that do not match or templates that cannot be rendered."""
    locks = load_locks(catalog, services)
    example = load_example(catalog)
    contexts = {}
    for service in services:
        templates = load_templates(catalog, service)
        sources = ImageSources(service, catalog.base_of(service), locks[service.image], templates, example)
        contexts[service.image] = make_context(sources, tools)
    return contexts


def _uv_version() -> str:
    from importlib.metadata import version

    return version("uv")


def _refuse_expired(catalog: Catalog, services: Sequence[Service]) -> None:
    today = clock.now().date()
    problems = set()
    for service in services:
        document = catalog.services[service.name, service.series].document
        problems.update(expired(service.overrides, document, today))
        if service.layout == "python":
            series = catalog.series[service.series]
            inherited = {
                name: item for name, item in overrides(service, series.spec).items() if name not in service.overrides
            }
            problems.update(expired(inherited, series.document, today))
    if problems:
        raise WrongInputError.from_problems("overrides have expired", problems)


def load_records(folder: Path) -> dict[str, BuildRecord]:
    """Return image → record of its last good build; a record that cannot be read counts as none."""
    found = {}
    for path in folder.glob("*.json"):
        try:
            content = read_json(path)
            found[content["image"]] = BuildRecord(content["image"], content["inputs"], content["digest"])
        except (WrongInputError, KeyError, TypeError):
            continue
    return found


def find_damage(store: Store, records: Path) -> dict[str, str]:
    """Return image → what is wrong with it in the store, for recorded images."""
    images, found = store.images(), {}
    for name, record in load_records(records).items():
        image = images.get(name)
        if image is None or image.manifest.digest != record.digest:
            found[name] = "it is not in the store"
        elif wrong := store.check(image):
            found[name] = "; ".join(wrong)
    return found


def apply(checkout: Checkout, prepared: PreparedBuild, *, cached: bool = True) -> BuildReport:
    """Carry out a plan and return what came of it; failed images are in the report, not raised.

    Raises BuilderError when the builder cannot be used at all, and what fetching raises.
    """
    started = clock.monotonic()
    wanted = [prepared.contexts[action.image] for action in prepared.plan.builds]
    outcome = _Outcome()
    if wanted:
        with checkout.store.exclusive():
            _fetch(checkout, wanted)
            _forget_damage(checkout)
            _lay_out(checkout, wanted, prepared.tools)
            with open_builder(checkout.settings, checkout.reporter) as builder:
                _Bakery(checkout, builder, outcome, cached=cached).bake(wanted)
            _store(checkout, wanted, outcome)
    return _report(checkout, prepared, outcome, clock.monotonic() - started)


@dataclass
class _Outcome:
    """What has happened so far: failures (image → why), seconds and logs (image → value), stored images."""

    failures: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    stored: dict[str, StoredImage] = field(default_factory=dict)


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
    plan = bake_file(contexts, workspace.context, workspace.folder / "output")
    write_json(workspace.folder / "bake.json", plan)


def _forget_damage(checkout: Checkout) -> None:
    """Remove corrupt blobs everywhere: a builder that finds one in its output folder would believe it."""
    store = checkout.store
    for image in store.images().values():
        wrong = {blob.digest for blob in image.blobs for message in store.check(image) if blob.digest in message}
        store.drop(wrong, checkout.workspace.outputs())


class _Bakery:
    """Bakes until every image is done or has failed: bake stops at the first failure, so it is run again without that."""

    def __init__(self, checkout: Checkout, builder: Builder, outcome: _Outcome, *, cached: bool) -> None:
        self._checkout = checkout
        self._builder = builder
        self._outcome = outcome
        self._cached = cached
        self._logs = checkout.state / "logs"

    def bake(self, contexts: Sequence[BuildContext]) -> None:
        remaining = list(contexts)
        self._checkout.reporter.say(f"building {len(remaining)} images with {self._builder.description}")
        cached = self._cached
        while remaining:
            progress = self._run(remaining, cached=cached)
            if progress is None:
                return
            # What the first run has built is in the builder's cache; it must not be thrown away by running again.
            cached = True
            failed = self._failures(progress, remaining)
            remaining = [context for context in remaining if context.service.image not in failed]

    def _run(self, contexts: Sequence[BuildContext], *, cached: bool) -> Progress | None:
        """Return None when all went well, else what the builder told."""
        progress, watch = Progress(), _Watch(self._checkout.reporter, contexts, self._outcome)
        targets = [name for context in contexts for name in (target_of(context), f"{target_of(context)}-smoke")]
        file = self._checkout.workspace.folder / "bake.json"
        completed = self._builder.bake(file, targets, lambda line: watch.tell(progress.feed(line)), cached=cached)
        self._write_logs(progress, contexts)
        watch.end(good=completed.code == 0)
        if completed.code == 0:
            return None
        if not progress.failures():
            raise BuilderError(
                "the builder failed without naming a step",
                details="\n".join(progress.other[-_TAIL:]),
                resolution="The details are the builder's own words; `release doctor` shows what this machine lacks.",
            )
        return progress

    def _failures(self, progress: Progress, contexts: Sequence[BuildContext]) -> set[str]:
        failed: set[str] = set()
        for step in progress.failures():
            for context in owners(step, contexts):
                failed.add(context.service.image)
                self._outcome.failures[context.service.image] = _explain(step)
        if not failed:
            raise BuilderError("a step failed that belongs to no image", details=_explain(progress.failures()[0]))
        for image in sorted(failed):
            self._checkout.reporter.finish(image, self._outcome.failures[image].splitlines()[0], good=False)
        return failed

    def _write_logs(self, progress: Progress, contexts: Sequence[BuildContext]) -> None:
        texts: dict[str, list[str]] = {context.slug: [] for context in contexts}
        for step in progress.steps.values():
            state = (
                "cached"
                if step.cached
                else "done"
                if step.completed and not step.error
                else step.error or "not finished"
            )
            for context in owners(step, contexts):
                texts[context.slug] += [f"{step}", *(f"    {line}" for line in step.log), f"  {state}"]
        for context in contexts:
            path = self._logs / f"{context.slug}.log"
            write_atomic(path, ("\n".join(texts[context.slug]) + "\n").encode())
            self._outcome.logs[context.service.image] = str(path)


class _Watch:
    """Turns progress into the reporter's lines, and measures how long each image's own steps took."""

    def __init__(self, reporter: Reporter, contexts: Sequence[BuildContext], outcome: _Outcome) -> None:
        self._reporter = reporter
        self._contexts = {target_of(context): context for context in contexts}
        self._outcome = outcome
        self._started = clock.monotonic()
        self._open: dict[str, set[int]] = {}

    def tell(self, steps: Iterable[Step]) -> None:
        for step in steps:
            context = self._contexts.get(step.target)
            if context is None:
                continue
            image = context.service.image
            if step.completed:
                self._outcome.seconds[image] = clock.monotonic() - self._started
            elif step.started:
                self._reporter.task(image, step.stage)

    def end(self, *, good: bool) -> None:
        for context in self._contexts.values():
            if good:
                self._reporter.finish(context.service.image, "built and checked")


def _explain(step: Step) -> str:
    log = "\n".join(step.log[-_TAIL:])
    return f"step {step.stage}: {step.error.splitlines()[0] if step.error else 'failed'}\n{step.text.splitlines()[0]}\n{log}".rstrip()


def _store(checkout: Checkout, contexts: Sequence[BuildContext], outcome: _Outcome) -> None:
    good = [context for context in contexts if context.service.image not in outcome.failures]
    layouts = {context.service.image: checkout.workspace.output(context.slug) for context in good}
    outcome.stored = checkout.store.add(layouts)
    for context in good:
        digest = outcome.stored[context.service.image].manifest.digest
        record = {"image": context.service.image, "inputs": dict(context.inputs), "digest": digest}
        write_json(checkout.records / f"{context.slug}.json", record)


def _report(checkout: Checkout, prepared: PreparedBuild, outcome: _Outcome, seconds: float) -> BuildReport:
    from buildkit.store import unique_size

    images = checkout.store.images()
    results = []
    for action in prepared.plan.actions:
        name = action.image
        image = images.get(name)
        seconds_of, log = outcome.seconds.get(name, 0.0), outcome.logs.get(name, "")
        if name in outcome.failures:
            results.append(
                ImageResult(name, "failed", outcome.failures[name].splitlines()[0], seconds=seconds_of, log=log)
            )
        elif image:
            status = "kept" if action.kind is ActionKind.KEEP else "built"
            results.append(ImageResult(name, status, action.reason, image.manifest.digest, image.size, seconds_of, log))
    here = [images[result.image] for result in results if result.image in images]
    return BuildReport(tuple(results), unique_size(here), seconds)


def raise_failures(report: BuildReport, details: Mapping[str, str]) -> None:
    """Raise one FailedError for all failed images of a report, with each one's step and log tail."""
    if not report.failed:
        return
    parts = [
        f"{result.image}: {details.get(result.image, result.reason)}\nlog: {result.log}" for result in report.failed
    ]
    raise FailedError(
        f"{len(report.failed)} of {len(report.results)} images could not be built",
        details="\n\n".join(parts),
        resolution="Mend the step named above and run the same command again; finished images are kept.",
    )


def image_slug(service: Service) -> str:
    """Return the image's name in file names."""
    return slug(service)
