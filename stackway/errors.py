# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What every error of the project says and which exit code it ends with. Raises nothing itself and prints nothing."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """The exit codes of `release`, one meaning each."""

    DONE = 0
    FAILED = 1
    WRONG_INPUT = 2
    CHANGES_PENDING = 3
    REFUSED = 4
    ROLLED_BACK = 5
    INTERRUPTED = 130


@dataclass(frozen=True, order=True)
class Position:
    """A place in a file; `line` counts from 1, 0 means the file as a whole."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Problem:
    """One thing wrong with what was given: where, what, and what to write instead."""

    message: str
    position: Position | None = None
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.position}: " if self.position else ""
        return f"{place}{self.message}" + (f"\n    {self.hint}" if self.hint else "")


class StackwayError(Exception):
    """An error in three parts: what happened (`brief`), where exactly (`details`), what to do next (`resolution`)."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(self, brief: str, *, details: str = "", resolution: str = "") -> None:
        super().__init__(brief)
        self.brief = brief
        self.details = details
        self.resolution = resolution

    def to_dict(self) -> dict[str, str | int]:
        """Return the error as JSON-ready data, for `--output json`."""
        return {
            "error": type(self).__name__,
            "brief": self.brief,
            "details": self.details,
            "resolution": self.resolution,
            "exitCode": int(self.exit_code),
        }


class WrongInputError(StackwayError):
    """What was given cannot be used: a file, an option, an environment variable."""

    exit_code = ExitCode.WRONG_INPUT
    problems: tuple[Problem, ...] = ()

    @classmethod
    def from_problems(cls, brief: str, problems: Iterable[Problem], resolution: str = "") -> "WrongInputError":
        """Return one error that lists every problem, in the order of their places."""
        ordered = sorted(set(problems), key=lambda problem: (problem.position or Position(""), problem.message))
        error = cls(brief, details="\n".join(str(problem) for problem in ordered), resolution=resolution)
        error.problems = tuple(ordered)
        return error


class FailedError(StackwayError):
    """The work was done right and a result says no: a build step, a check, a program."""


class RefusedError(StackwayError):
    """A policy says no; nothing was changed."""

    exit_code = ExitCode.REFUSED


class ChangesPendingError(StackwayError):
    """Asked to report changes by exit code, and there are some."""

    exit_code = ExitCode.CHANGES_PENDING


class UnavailableError(StackwayError):
    """Something outside is needed and is not there: a program, a network, a builder."""


class InterruptedRunError(StackwayError):
    """The person at the keyboard (or the system) asked to stop; what was half done has been removed."""

    exit_code = ExitCode.INTERRUPTED
