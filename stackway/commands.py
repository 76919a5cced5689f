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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

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

    def show(self, value: Any, *tables: Table | str) -> None:
        """Print a result: `value` as JSON when that was asked for, else the tables."""
        if self.wants_json:
            sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
            return
        texts = [table if isinstance(table, str) else table.to_text() for table in tables]
        sys.stdout.write("\n\n".join(text.rstrip("\n") for text in texts) + "\n")


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
    """Commands under one word, such as `release spec …`."""

    name: str
    summary: str
    commands: tuple[Command, ...]


class _Parser(argparse.ArgumentParser):
    """An argument parser that raises our error, with the nearest right word, instead of ending the program."""

    def error(self, message: str) -> NoReturn:
        resolution = f"`{self.prog} --help` shows what can be given."
        if "invalid choice" in message:
            word = message.split("'")[1]
            near = nearest(word, sorted(_choices(self)))
            message = f"there is no {word!r} here"
            resolution = f"Did you mean {near!r}? {resolution}" if near else resolution
        raise WrongInputError(message, details=self.format_usage().strip(), resolution=resolution)


def _choices(parser: argparse.ArgumentParser) -> list[str]:
    actions = parser._actions  # noqa: SLF001 - argparse has no public way to ask
    return [choice for action in actions if action.choices and action.dest == "command" for choice in action.choices]


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
        if isinstance(entry, Group):
            _add(child, entry.commands)
        else:
            entry.configure(child)
            _common(child, top=False)
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
    as_json = _asks_json(words)
    try:
        signal.signal(signal.SIGTERM, _interrupt)
        arguments = parser.parse_args(words)
        return int(arguments.run(_session(arguments)))
    except StackwayError as error:
        _tell(error, as_json=as_json)
        return int(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; nothing half-done was kept\n")
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has gone, as `release … | head` does; there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.DONE)
    except Exception as error:
        if "--verbose" in words:
            raise
        fault = StackwayError(
            f"unexpected: {type(error).__name__}: {error}",
            resolution="This is a fault in Stackway. Run again with --verbose and report what it prints.",
        )
        _tell(fault, as_json=as_json)
        return int(ExitCode.FAILED)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _asks_json(words: Sequence[str]) -> bool:
    pairs = zip(words, [*words[1:], ""], strict=True)
    return "--output=json" in words or any(pair == ("--output", "json") for pair in pairs)


def _session(arguments: argparse.Namespace) -> Session:
    root = Path(arguments.root or ".")
    given = {name: getattr(arguments, name, None) for name in ("cache", "state", "builder", "overlay")}
    wants_json = arguments.output == "json"
    return Session(arguments, root, load_settings(root, given), make_reporter(quiet=bool(arguments.quiet)), wants_json)


def _tell(error: StackwayError, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(error.to_dict(), indent=1, ensure_ascii=False) + "\n")
    lines = [f"error: {printable(error.brief)}"]
    lines += [f"  {line}" for line in printable_lines(error.details)]
    lines += [f"hint: {line}" for line in printable_lines(error.resolution)]
    sys.stderr.write("\n".join(lines) + "\n")


def printable_lines(text: str) -> list[str]:
    """Return the lines of `text` without terminal escapes."""
    return [printable(line) for line in text.splitlines()]
