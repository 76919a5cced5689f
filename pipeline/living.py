# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""An environment's condition as it changes: a tree redrawn in place on a terminal, a line for each change in a pipe.

Objects come by watches; only figures (the prober's, the meters') are asked for now and then.
"""

import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from pipeline import telling
from pipeline.condition import Condition, ProcessCondition, Verdict
from pipeline.diagnosis import diagnose
from pipeline.look import View, sight_of
from pipeline.sight import WATCHED
from pipeline.watching import Watching
from stackway import clock
from stackway.commands import Session
from stackway.console import printable

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

_BEAT_SECONDS = 5.0
# Changes come in bursts.
_PAUSE_SECONDS = 0.3
_SILENT_SECONDS = 5.0
STYLES = {Verdict.HEALTHY: "green", Verdict.UNKNOWN: "yellow", Verdict.DEGRADED: "yellow", Verdict.DOWN: "bold red"}
_MARKS = {Verdict.HEALTHY: "\u2713", Verdict.UNKNOWN: "?", Verdict.DEGRADED: "!", Verdict.DOWN: "\u2717"}


class Screen(Protocol):
    """Where a condition is shown each time it may have changed."""

    def draw(self, condition: Condition) -> None:
        """Show it."""

    def close(self) -> None:
        """Leave the place as it was found."""


def watch(session: Session, view: View, seen: Callable[[Condition], None]) -> Condition:
    """Show an environment until the person has seen enough (Ctrl-C); return how it was last. `seen` gets each condition."""
    with Watching(view.api, view.namespace, WATCHED) as watching:
        last = _look(view, watching)
        screen = _screen(session)
        try:
            for condition in _conditions(view, watching, last):
                last = condition
                screen.draw(last)
                seen(last)
        except KeyboardInterrupt:
            return last
        finally:
            screen.close()
    return last


def wait(session: Session, view: View, seconds: float) -> Condition:
    """Return an environment's condition once it is healthy, or as it is after `seconds`; tell meanwhile what is missing."""
    deadline = clock.monotonic() + seconds
    with Watching(view.api, view.namespace, WATCHED) as watching:
        while True:
            changes = watching.changes
            condition = _look(view, watching)
            left = deadline - clock.monotonic()
            if condition.verdict is Verdict.HEALTHY or left <= 0:
                return condition
            session.reporter.task("status", telling.headline(condition))
            watching.wait(changes, min(left, _BEAT_SECONDS))
            clock.sleep(min(left, _PAUSE_SECONDS))


def _conditions(view: View, watching: Watching, first: Condition) -> Iterator[Condition]:
    """Yield the condition now, and then whenever something has changed or a beat has passed."""
    yield first
    while True:
        changes = watching.changes
        yield _look(view, watching)
        watching.wait(changes, _BEAT_SECONDS)
        clock.sleep(_PAUSE_SECONDS)


def _look(view: View, watching: Watching) -> Condition:
    trouble = watching.trouble()
    silent = clock.monotonic() - trouble[0] if trouble else 0.0
    silence = f"for {silent:.0f} s: {trouble[1]}" if trouble and silent > _SILENT_SECONDS else ""
    return diagnose(sight_of(view, {kind: watching.objects(kind) for kind in WATCHED}, silence))


def _screen(session: Session) -> Screen:
    is_terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    return _Terminal() if is_terminal and not session.wants_json else _Lines(session)


class _Lines:
    """A line for each change; with JSON, a document for each."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._before: dict[str, str] = {}

    def draw(self, condition: Condition) -> None:
        """Tell what has changed."""
        after = telling.states(condition)
        lines = telling.changes(self._before, after)
        self._before = after
        if lines:
            self._session.show(condition.to_dict(), "\n".join(f"{condition.at} {line}" for line in lines))

    def close(self) -> None:
        """Do nothing: every line is out."""


class _Terminal:
    """A tree that is redrawn in place."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            console=Console(file=sys.stdout, highlight=False, emoji=False, markup=False),
            auto_refresh=False,
            vertical_overflow="crop",
        )
        self._live.start()

    def draw(self, condition: Condition) -> None:
        """Redraw the tree."""
        self._live.update(tree(condition), refresh=True)

    def close(self) -> None:
        """Leave the last tree where it is."""
        self._live.stop()


def tree(condition: Condition) -> "Tree":
    """Return the condition as a tree; what is well takes one line a service, so that trouble is what one sees."""
    from rich.tree import Tree

    root = Tree(_text(f"{telling.headline(condition)}  ({condition.at})", condition.verdict))
    for remark in condition.remarks:
        root.add(_text("\n".join(telling.remark_lines(remark)), remark.verdict))
    for service in condition.services:
        ready, wanted = telling.pods_of(service.processes)
        shares = {telling.answered(item) for item in service.processes} - {"-"}
        asked = f", {min(shares)} answered" if shares else ""
        verdict = service.verdict
        branch = root.add(_text(f"{_MARKS[verdict]} {service.name}  {ready}/{wanted} pods{asked}", verdict))
        for remark in service.remarks:
            branch.add(_text("\n".join(telling.remark_lines(remark)), remark.verdict))
        for process in service.processes:
            if process.remarks:
                _add(branch, process)
    return root


def _add(branch: "Tree", process: ProcessCondition) -> None:
    """Add a process with what was noticed; what to do is said where something does not work."""
    ready, wanted = telling.pods_of([process])
    head = f"{_MARKS[process.verdict]} {process.process}  {ready}/{wanted} pods"
    first, *more = sorted(process.remarks, key=lambda item: -item.verdict.severity)
    own = branch.add(_text(f"{head}: {first.text}", process.verdict))
    if first.mend and first.verdict.severity > Verdict.UNKNOWN.severity:
        own.add(_text(first.mend, first.verdict))
    for remark in more:
        own.add(_text("\n".join(telling.remark_lines(remark)), remark.verdict))


def _text(text: str, verdict: Verdict) -> "Text":
    from rich.text import Text

    return Text("\n".join(printable(line) for line in text.splitlines()), style=STYLES[verdict])
