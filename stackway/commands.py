# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What a command of `release` is, and the one place where errors become messages and exit codes. Knows no command itself.

Results go to standard output (text or JSON), everything else to standard error.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn, TextIO

from stackway.console import Reporter, Table, make_reporter, printable
from stackway.errors import ExitCode, StackwayError, WrongInputError
from stackway.settings import Settings, load_settings
from stackway.spelling import nearest


@dataclass(frozen=True)
class Session:
    """What a command gets: its arguments, the checkout, settings, where to talk, and how results are wanted."""

    arguments: argparse.Namespace
    root: Path
    settings: Settings
    reporter: Reporter
    wants_json: bool
    shown: list[Any] = field(default_factory=list)
    # A command that is part of another keeps its result for that one.
    is_part: bool = False

    def show(self, value: Any, *tables: Table | str) -> None:
        """Print a result: `value` as JSON when that was asked for, else the tables."""
        self.shown.append(value)
        if self.is_part:
            return
        if self.wants_json:
            _write(sys.stdout, json.dumps(value, indent=1, ensure_ascii=False) + "\n")
            return
        texts = [table if isinstance(table, str) else table.to_text() for table in tables]
        _write(sys.stdout, "\n\n".join(text.rstrip("\n") for text in texts) + "\n")

    def part(self, parser: argparse.ArgumentParser, words: Sequence[str]) -> tuple["ExitCode", Any]:
        """Run another command as a part of this one; return its exit code and result. Raises what it raises."""
        inner = replace(self, arguments=parser.parse_args(complete(parser, words)), shown=[], is_part=True)
        code: ExitCode = inner.arguments.run(inner)
        return code, inner.shown[-1] if inner.shown else None


Run = Callable[[Session], ExitCode]
Configure = Callable[[argparse.ArgumentParser], None]


@dataclass(frozen=True)
class Command:
    """One command: its name, its help, how its options are declared, and what it does. `run` imports what it needs."""

    name: str
    summary: str
    run: Run
    configure: Configure = lambda parser: None  # noqa: ARG005 - a command without options of its own


@dataclass(frozen=True)
class Group:
    """Commands under one word, such as `release spec …`; `standard` is the one that is meant when none is named."""

    name: str
    summary: str
    commands: "tuple[Command | Group, ...]"
    standard: str = ""


class _Parser(argparse.ArgumentParser):
    """An argument parser that raises our error, with the nearest right word, instead of ending the program."""

    standard = ""

    def error(self, message: str) -> NoReturn:
        near, resolution = None, f"`{self.prog} --help` shows what can be given."
        if message.startswith("argument COMMAND: invalid choice"):
            word = message.split("'")[1]
            near, message = nearest(word, sorted(_children(self))), f"there is no {word!r} here"
        elif message.startswith("unrecognized arguments: "):
            near = nearest(message.split()[2].partition("=")[0], _options(self))
        resolution = f"Did you mean {near!r}? {resolution}" if near else resolution
        raise WrongInputError(message, details=self.format_usage().strip(), resolution=resolution)


def _children(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    actions = parser._actions  # noqa: SLF001 - argparse has no public way to ask
    return {
        name: child for action in actions if isinstance(action.choices, dict) for name, child in action.choices.items()
    }


def _options(parser: argparse.ArgumentParser) -> list[str]:
    """Return the options of a program and of all its commands: argparse tells of a wrong one at the top."""
    own = [name for action in parser._actions for name in action.option_strings]  # noqa: SLF001 - as above
    return sorted({*own, *(name for child in _children(parser).values() for name in _options(child))})


def build_parser(program: str, summary: str, entries: Sequence[Command | Group]) -> argparse.ArgumentParser:
    """Return the parser of a program with these commands."""
    parser = _Parser(prog=program, description=summary, allow_abbrev=False)
    _common(parser, top=True)
    _add(parser, entries)
    return parser


def _add(parser: argparse.ArgumentParser, entries: Sequence[Command | Group]) -> None:
    children = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="command", required=True, parser_class=_Parser
    )
    for entry in entries:
        child = children.add_parser(entry.name, help=entry.summary, description=entry.summary, allow_abbrev=False)
        _common(child, top=False)
        if isinstance(entry, Group):
            child.standard = entry.standard
            _add(child, entry.commands)
        else:
            entry.configure(child)
            child.set_defaults(run=entry.run)


def _common(parser: argparse.ArgumentParser, *, top: bool) -> None:
    """Declare the options that every command has, before or after the command's name."""
    group = parser.add_argument_group("options of every command")
    absent = None if top else argparse.SUPPRESS

    def add(*names: str, **how: Any) -> None:
        group.add_argument(*names, default=absent, **how)

    add("--root", metavar="DIR", help="the checkout (default: here)")
    add("--output", choices=("text", "json"), help="how results are written to standard output (default: text)")
    add("--quiet", action="store_true", help="no progress on standard error")
    add("--verbose", action="store_true", help="with an unexpected error, the whole trace")
    add("--overlay", metavar="SITE", help="the site overlay below overlays/")
    add("--state", metavar="DIR", help="store, records and logs of this checkout (default: .stackway)")
    add("--cache", metavar="DIR", help="tools, packages and the builder's cache of this user")


def main(parser: argparse.ArgumentParser, words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Nothing below ends the program or prints an error."""
    words = sys.argv[1:] if words is None else list(words)
    shown: list[Any] = []
    try:
        signal.signal(signal.SIGTERM, _interrupt)
        code = _run(parser, words, shown)
    except StackwayError as error:
        # Standard output holds one JSON document: the result, or else the error.
        code = _tell(error, as_json=_asks_json(words) and not shown)
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
        _write(sys.stderr, "interrupted; nothing half-done was kept\n")
    except SystemExit as ended:  # argparse, after --help
        code = ExitCode(int(ended.code or 0))
    except Exception as error:
        if "--verbose" in words:
            raise
        code = _tell(_explain(error), as_json=_asks_json(words) and not shown)
    _write(sys.stdout, "")
    return int(code)


def _run(parser: argparse.ArgumentParser, words: Sequence[str], shown: list[Any]) -> ExitCode:
    arguments = parser.parse_args(complete(parser, words))
    session = _session(arguments, shown)
    try:
        code: ExitCode = arguments.run(session)
        return code
    finally:
        session.reporter.close()


def complete(parser: argparse.ArgumentParser, words: Sequence[str]) -> list[str]:
    """Return the words with the standard command of a group where none of its commands is named."""
    done: list[str] = []
    rest = list(words)
    while children := _children(parser):
        index = next((index for index, word in enumerate(rest) if word in children), -1)
        if index < 0:
            standard = getattr(parser, "standard", "")
            return done + ([standard, *rest] if standard and not {"-h", "--help"} & set(rest) else rest)
        parser = children[rest[index]]
        done, rest = done + rest[: index + 1], rest[index + 1 :]
    return done + rest


def _explain(error: Exception) -> StackwayError:
    if isinstance(error, PermissionError):
        return StackwayError(
            "permission denied",
            details=str(error.filename or error),
            resolution="Run as the user to whom this belongs, or name another place with --state or --cache.",
        )
    return StackwayError(
        f"unexpected: {type(error).__name__}: {error}",
        resolution="This is a fault in Stackway. Run again with --verbose and report what it prints.",
    )


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _asks_json(words: Sequence[str]) -> bool:
    return "--output=json" in words or ("--output", "json") in pairwise(words)


def open_session(parser: argparse.ArgumentParser, words: Sequence[str]) -> Session:
    """Return what a command gets that is called with these words."""
    return _session(parser.parse_args(complete(parser, words)), [])


def _session(arguments: argparse.Namespace, shown: list[Any]) -> Session:
    root = Path(arguments.root or ".")
    given = {name: getattr(arguments, name, None) for name in ("cache", "state", "builder", "overlay")}
    settings, reporter = load_settings(root, given), make_reporter(quiet=bool(arguments.quiet))
    return Session(arguments, root, settings, reporter, arguments.output == "json", shown)


def _tell(error: StackwayError, *, as_json: bool) -> ExitCode:
    if as_json:
        _write(sys.stdout, json.dumps(error.to_dict(), indent=1, ensure_ascii=False) + "\n")
    lines = [f"error: {printable(error.brief)}"]
    lines += [f"  {line}" for line in printable_lines(error.details)]
    lines += [f"hint: {line}" for line in printable_lines(error.resolution)]
    _write(sys.stderr, "\n".join(lines) + "\n")
    return error.exit_code


def _write(stream: TextIO, text: str) -> None:
    """Write and flush; when whoever read it has gone, as with `release … | head`, there is nobody to tell."""
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except BrokenPipeError:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())


def printable_lines(text: str) -> list[str]:
    """Return the lines of `text` without terminal escapes."""
    return [printable(line) for line in text.splitlines()]
