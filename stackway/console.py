# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What people see: live progress on a terminal, plain lines in a pipe, folded groups in CI, nothing when asked for JSON.

Progress and messages go to standard error, results to standard output. Nothing here decides anything.
"""

import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TextIO

from stackway import clock

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(\x07|\x1b\\)|\x1b.")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Return `text` without terminal escapes and control characters: it may come from a package or a registry."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text))


@dataclass(frozen=True)
class Table:
    """Rows for people to compare; `right` names the columns that hold numbers."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[str] = ()

    def to_text(self) -> str:
        """Return the table as aligned plain text without colour."""
        cells = [list(self.columns), *[[printable(cell) for cell in row] for row in self.rows]]
        widths = [max(len(row[index]) for row in cells) for index in range(len(self.columns))]
        lines = []
        for row in cells:
            padded = [
                cell.rjust(width) if name in self.right else cell.ljust(width)
                for cell, width, name in zip(row, widths, self.columns, strict=True)
            ]
            lines.append("  ".join(padded).rstrip())
        return "\n".join(lines)


class Reporter(Protocol):
    """Where a run tells what it does. `task` lines are keyed by name and replace each other on a terminal."""

    def say(self, text: str) -> None:
        """Tell one fact."""

    def warn(self, text: str) -> None:
        """Tell something that wants attention but stops nothing."""

    def task(self, name: str, status: str, done: float | None = None) -> None:
        """Tell how far `name` is; `done` is a share from 0 to 1, None where nobody knows."""

    def finish(self, name: str, status: str, *, good: bool = True) -> None:
        """Tell that `name` has ended."""

    def group(self, title: str) -> AbstractContextManager[None]:
        """Hold together what is told inside."""

    def close(self) -> None:
        """Leave the terminal as it was found; whatever is told afterwards is a new start."""


class SilentReporter:
    """Tells nothing; for JSON output and for callers that only want the result."""

    def say(self, text: str) -> None:
        """Drop it."""

    def warn(self, text: str) -> None:
        """Drop it."""

    def task(self, name: str, status: str, done: float | None = None) -> None:
        """Drop it."""

    def finish(self, name: str, status: str, *, good: bool = True) -> None:
        """Drop it."""

    def group(self, title: str) -> AbstractContextManager[None]:  # noqa: ARG002 - the protocol's signature
        """Hold nothing together."""
        return nullcontext()

    def close(self) -> None:
        """Do nothing."""


class PlainReporter:
    """One line an event, with seconds since the start; a task says something only when its status changes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._started = clock.monotonic()
        self._last: dict[str, str] = {}

    def say(self, text: str) -> None:
        """Print the line."""
        self._write(text)

    def warn(self, text: str) -> None:
        """Print the line, marked."""
        self._write(f"warning: {text}")

    def task(self, name: str, status: str, done: float | None = None) -> None:  # noqa: ARG002 - no bar in a pipe
        """Print the status if it is new."""
        if self._last.get(name) != status:
            self._last[name] = status
            self._write(f"{name}: {status}")

    def finish(self, name: str, status: str, *, good: bool = True) -> None:
        """Print how it ended."""
        self._last.pop(name, None)
        self._write(f"{name}: {status}" if good else f"{name}: FAILED: {status}")

    def group(self, title: str) -> AbstractContextManager[None]:
        """Print the title; lines that follow belong to it."""
        self._write(title)
        return nullcontext()

    def close(self) -> None:
        """Do nothing: every line is out."""

    def _write(self, text: str) -> None:
        seconds = clock.monotonic() - self._started
        self._put("".join(f"[{seconds:7.1f}s] {line}\n" for line in printable(text).splitlines() or [""]))

    def _put(self, text: str) -> None:
        """Write; when the reader has gone, work goes on all the same: nobody who looks away may stop an upgrade."""
        with suppress(BrokenPipeError):
            self._stream.write(text)
            self._stream.flush()


class FoldingReporter(PlainReporter):
    """Plain lines, with groups that the CI system folds (GitHub's and GitLab's marks)."""

    def __init__(self, stream: TextIO, *, gitlab: bool) -> None:
        super().__init__(stream)
        self._gitlab = gitlab
        self._groups = 0

    def group(self, title: str) -> AbstractContextManager[None]:
        """Fold what is told inside."""
        return self._fold(" ".join(printable(title).split()))

    @contextmanager
    def _fold(self, title: str) -> Iterator[None]:
        self._groups += 1
        name, moment = f"stackway_{self._groups}", int(clock.now().timestamp())
        opening = f"\x1b[0Ksection_start:{moment}:{name}\r\x1b[0K{title}" if self._gitlab else f"::group::{title}"
        self._put(f"{opening}\n")
        try:
            yield
        finally:
            moment = int(clock.now().timestamp())
            self._put(f"\x1b[0Ksection_end:{moment}:{name}\r\x1b[0K\n" if self._gitlab else "::endgroup::\n")


class LiveReporter:
    """A line with a bar for each running task, redrawn in place; messages scroll above it. Threads may share it."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        # No emoji: `keystone.yaml:100:` is a place in a file.
        self._console = Console(file=stream, highlight=False, emoji=False, markup=False)
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.RLock()

    def say(self, text: str) -> None:
        """Print above the bars."""
        self._print(text)

    def warn(self, text: str) -> None:
        """Print above the bars, marked."""
        self._print(f"warning: {text}", "yellow")

    def task(self, name: str, status: str, done: float | None = None) -> None:
        """Draw or redraw the task's line."""
        total, shown = None if done is None else 1.0, printable(status)[:60]
        with self._lock:
            progress = self._live()
            if name not in self._tasks:
                self._tasks[name] = progress.add_task(printable(name), total=total, status=shown)
            progress.update(self._tasks[name], total=total, completed=done or 0.0, status=shown)

    def finish(self, name: str, status: str, *, good: bool = True) -> None:
        """Take the task's line away and print how it ended."""
        with self._lock:
            if name in self._tasks and self._progress:
                self._progress.remove_task(self._tasks.pop(name))
            if not self._tasks:
                self.close()
        mark, style = ("\u2713", "green") if good else ("\u2717", "red")
        self._print(f"{mark} {name}: {status}", style)

    def group(self, title: str) -> AbstractContextManager[None]:
        """Print the title."""
        self._print(title, "bold")
        return nullcontext()

    def close(self) -> None:
        """Take all bars away and show the cursor again."""
        with self._lock:
            self._tasks.clear()
            if self._progress:
                self._progress.stop()
                self._progress = None

    def _print(self, text: str, style: str = "") -> None:
        self._console.print(printable(text), style=style, soft_wrap=True)

    def _live(self) -> "Progress":
        if self._progress is None:
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            name, status = (
                TextColumn("{task.description}", markup=False),
                TextColumn("{task.fields[status]}", markup=False),
            )
            columns = (SpinnerColumn(), name, BarColumn(bar_width=20), TimeElapsedColumn(), status)
            # Results go to standard output, wherever that leads, also while bars are drawn.
            self._progress = Progress(*columns, console=self._console, transient=True, redirect_stdout=False)
            self._progress.start()
        return self._progress


def choose(question: str, answers: Mapping[str, str]) -> str:
    """Ask on the terminal until one of the answers is given, and return its key; nothing when there is nobody to ask."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return ""
    lines = [question, *(f"  {key}  {text}" for key, text in answers.items()), f"{'/'.join(answers)}? "]
    try:
        while True:
            sys.stderr.write("\n".join(lines))
            sys.stderr.flush()
            line = sys.stdin.readline()
            if not line or line.strip().lower() in answers:
                return line.strip().lower()
    except KeyboardInterrupt:
        return ""


def make_reporter(
    stream: TextIO | None = None, environment: Mapping[str, str] | None = None, *, quiet: bool = False
) -> Reporter:
    """Return the reporter that fits where standard error goes."""
    stream = stream or sys.stderr
    environment = os.environ if environment is None else environment
    if quiet:
        return SilentReporter()
    if environment.get("GITHUB_ACTIONS") == "true" or environment.get("GITLAB_CI") == "true":
        return FoldingReporter(stream, gitlab=environment.get("GITLAB_CI") == "true")
    if stream.isatty() and environment.get("TERM") != "dumb" and "CI" not in environment:
        return LiveReporter(stream)
    return PlainReporter(stream)
