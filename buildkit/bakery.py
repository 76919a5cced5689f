# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Runs the one bake plan on a builder until each image is done or has failed, telling how far it is. Stores nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from buildkit.bake import CONTEXT, SMOKE, Progress, Step, owners, target_of
from buildkit.checkout import Checkout
from buildkit.context import BuildContext
from buildkit.engine import Builder, BuilderError
from buildkit.workspace import passed
from stackway import clock
from stackway.console import Reporter
from stackway.files import write_atomic

_TAIL = 25


@dataclass
class Outcome:
    """What has happened so far: failures (image → why), seconds and logs (image → value)."""

    failures: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)


class Bakery:
    """Bakes until every image is done or has failed: bake stops at the first failure, so it is run again without that."""

    def __init__(self, checkout: Checkout, builder: Builder, outcome: Outcome, *, cached: bool) -> None:
        self._checkout = checkout
        self._builder = builder
        self._outcome = outcome
        self._cached = cached
        self._logs = checkout.state / "logs"

    def bake(self, contexts: Sequence[BuildContext]) -> None:
        remaining = list(contexts)
        self._checkout.reporter.say(f"images to build: {len(remaining)}, with {self._builder.description}")
        cached = self._cached
        while remaining:
            progress = self._run(remaining, cached=cached)
            if progress is None:
                self._judge(remaining)
                return
            # What the first run has built is in the builder's cache; it must not be thrown away by running again.
            cached = True
            failed = self._failures(progress, remaining)
            remaining = [context for context in remaining if context.service.image not in failed]

    def _judge(self, contexts: Sequence[BuildContext]) -> None:
        """Fail the images whose checks did not pass."""
        for context in contexts:
            report, image = self._checkout.workspace.report(context.slug), context.service.image
            if passed(report):
                self._checkout.reporter.finish(image, "built and checked")
            else:
                lines = [line for line in report.splitlines() if not line.startswith("INFO:")]
                tail = "\n".join(lines[-_TAIL:])
                self._outcome.failures[image] = f"a check failed\n{tail}"
                self._checkout.reporter.finish(image, "a check failed", good=False)

    def _run(self, contexts: Sequence[BuildContext], *, cached: bool) -> Progress | None:
        """Return None when all went well, else what the builder told."""
        progress, watch = Progress(), _Watch(self._checkout.reporter, contexts, self._outcome)
        targets = [name for context in contexts for name in (target_of(context), f"{target_of(context)}{SMOKE}")]
        file = self._checkout.workspace.folder / "bake.json"
        completed = self._builder.bake(file, targets, lambda line: watch.tell(progress.feed(line)), cached=cached)
        self._write_logs(progress, contexts)
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
        for context in contexts:
            steps = [step for step in progress.steps.values() if context in owners(step, contexts)]
            # The builder tells of a shared step once for each image; the time is with the one that ran it.
            longest = {(step.stage, step.text): step for step in sorted(steps, key=_certainty)}
            lines = [line for step in longest.values() for line in _describe(step)]
            text = "\n".join([*lines, "", "checks:", self._checkout.workspace.report(context.slug)])
            path = self._logs / f"{context.slug}.log"
            write_atomic(path, text.encode())
            self._outcome.logs[context.service.image] = str(path)


class _Watch:
    """Turns progress into the reporter's lines, and measures how long each image's own steps took."""

    def __init__(self, reporter: Reporter, contexts: Sequence[BuildContext], outcome: Outcome) -> None:
        self._reporter = reporter
        self._contexts = {target_of(context): context for context in contexts}
        self._outcome = outcome
        self._started = clock.monotonic()
        self._owners: dict[tuple[str, str], list[str]] = {}
        self._is_taking = False

    def tell(self, steps: Iterable[Step]) -> None:
        for step in steps:
            if step.stage == CONTEXT and step.started and not self._is_taking:
                self._is_taking = True
                self._reporter.say("the builder takes in packages and files")
            for image in self._images(step):
                if step.completed:
                    self._outcome.seconds[image] = clock.monotonic() - self._started
                elif step.started:
                    self._reporter.task(image, step.stage)

    def _images(self, step: Step) -> list[str]:
        key = (step.target, step.stage)
        if key not in self._owners:
            self._owners[key] = [context.service.image for context in owners(step, self._contexts.values())]
        return self._owners[key]


def _certainty(step: Step) -> tuple[float, bool, bool]:
    return (step.seconds, step.completed is not None, step.cached)


def _describe(step: Step) -> list[str]:
    state = step.error or ("cached" if step.cached else "done" if step.completed else "not finished")
    return [str(step), *(f"    {line}" for line in step.log), f"  {state}, {step.seconds:.1f} s"]


def _explain(step: Step) -> str:
    log = "\n".join(step.log[-_TAIL:])
    error = step.error.splitlines()[0] if step.error else "failed"
    return f"step {step.stage}: {error}\n{step.text.splitlines()[0]}\n{log}".rstrip()
