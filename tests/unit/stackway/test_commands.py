# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""One place turns errors into messages and exit codes: results on standard output, everything else on standard error."""

import argparse
import io
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from stackway.commands import Command, Group, Session, build_parser, complete, main
from stackway.console import Table
from stackway.errors import (
    ChangesPendingError,
    ExitCode,
    FailedError,
    InterruptedRunError,
    RefusedError,
    StackwayError,
    UnavailableError,
    WrongInputError,
)

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def restore_signals() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("images", nargs="*")


def done(session: Session) -> ExitCode:  # noqa: ARG001 - the signature of a command
    return ExitCode.DONE


DATABASE = Group("db", "the database", (Command("status", "how old it is", done),))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("scan", "scan images"),
        ("scan nova --dry-run", "scan images nova --dry-run"),
        ("--quiet scan --dry-run nova", "--quiet scan images --dry-run nova"),
        ("scan images nova", "scan images nova"),
        ("scan db status", "scan db status"),
        ("scan --output json db status", "scan --output json db status"),
        ("scan db", "scan db"),
        ("scan --help", "scan --help"),
        ("spec", "spec"),
        ("spec check", "spec check"),
        ("build scan", "build scan"),
    ],
)
def test_a_group_without_a_command_means_its_standard_one(given: str, meant: str) -> None:
    assert complete(program(fail(AssertionError())), given.split()) == meant.split()


def test_the_standard_command_gets_its_words() -> None:
    assert spy("scan", "nova", "--dry-run").arguments.images == ["nova"]


def program(run: Callable[[Session], ExitCode]) -> argparse.ArgumentParser:
    commands: list[Command | Group] = [
        Command("build", "build images", run, configure),
        Group("spec", "look at specs", (Command("check", "check them", run),)),
        Group("scan", "scan images", (Command("images", "scan", run, configure), DATABASE), standard="images"),
    ]
    return build_parser("release", "A program.", commands)


def run(action: Callable[[Session], ExitCode], *words: str) -> int:
    return main(program(action), words)


@dataclass
class Spy:
    """A command that remembers how it was called."""

    session: Session | None = None

    def __call__(self, session: Session) -> ExitCode:
        self.session = session
        return ExitCode.DONE


def spy(*words: str) -> Session:
    seen = Spy()
    assert main(program(seen), words) == 0
    assert seen.session
    return seen.session


def fail(error: BaseException) -> Callable[[Session], ExitCode]:
    def action(session: Session) -> ExitCode:  # noqa: ARG001 - the signature of a command
        raise error

    return action


def done(session: Session) -> ExitCode:
    session.show({"n": "ü"}, Table(("A",), [("x",)]), "2 images\n")
    return ExitCode.DONE


FAMILIES: Sequence[tuple[type[StackwayError], int]] = [
    (FailedError, 1),
    (UnavailableError, 1),
    (WrongInputError, 2),
    (ChangesPendingError, 3),
    (RefusedError, 4),
    (InterruptedRunError, 130),
]


@pytest.mark.parametrize(("family", "code"), FAMILIES)
def test_an_error_ends_with_its_familys_code_and_tells_three_parts(
    family: type[StackwayError], code: int, capsys: Capture
) -> None:
    error = family("it broke", details="a.yaml:3\n\x1b[31mred", resolution="Mend it.")
    assert run(fail(error), "build") == code
    assert capsys.readouterr() == ("", "error: it broke\n  a.yaml:3\n  red\nhint: Mend it.\n")


@pytest.mark.parametrize(("family", "code"), FAMILIES)
def test_with_json_asked_for_the_error_is_json_on_standard_output(
    family: type[StackwayError], code: int, capsys: Capture
) -> None:
    run(fail(family("it broke")), "build", "--output", "json")
    told = json.loads(capsys.readouterr().out)
    assert (told["error"], told["brief"], told["exitCode"]) == (family.__name__, "it broke", code)


def test_standard_output_holds_one_json_document_even_when_the_result_is_a_failure(capsys: Capture) -> None:
    def show_then_fail(session: Session) -> ExitCode:
        session.show({"damaged": ["a"]}, "a is damaged")
        raise FailedError("the store is damaged")

    assert run(show_then_fail, "--output=json", "build") == 1
    out, err = capsys.readouterr()
    assert json.loads(out) == {"damaged": ["a"]}
    assert err == "error: the store is damaged\n"


@pytest.mark.parametrize(
    ("words", "shown"),
    [(("build",), "A\nx\n\n2 images\n"), (("build", "--output", "json"), '{\n "n": "ü"\n}\n')],
)
def test_results_are_text_or_json(words: Sequence[str], shown: str, capsys: Capture) -> None:
    assert run(done, *words) == 0
    assert capsys.readouterr() == (shown, "")


@pytest.mark.parametrize("code", list(ExitCode))
def test_a_command_chooses_its_own_exit_code(code: ExitCode) -> None:
    assert run(lambda session: code, "build") == code  # noqa: ARG005 - the signature of a command


@pytest.mark.parametrize(
    ("words", "brief", "resolution"),
    [
        (["biuld"], "there is no 'biuld' here", "Did you mean 'build'? `release --help`"),
        (["spec", "chekc"], "there is no 'chekc' here", "Did you mean 'check'? `release spec --help`"),
        (["xyzzy"], "there is no 'xyzzy' here", "`release --help`"),
        (["build", "--dry-rn"], "unrecognized arguments: --dry-rn", "Did you mean '--dry-run'?"),
        (["build", "--otput=json"], "unrecognized arguments: --otput=json", "Did you mean '--output'?"),
        (["build", "--verb"], "unrecognized arguments: --verb", "Did you mean '--verbose'?"),
        (["build", "--output", "jsno"], "argument --output: invalid choice: 'jsno'", "`release build --help`"),
        (["build", "--root"], "argument --root: expected one argument", "`release build --help`"),
        ([], "the following arguments are required: COMMAND", "`release --help`"),
        (["spec"], "the following arguments are required: COMMAND", "`release spec --help`"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_word_is_told_with_the_nearest_right_one(
    words: list[str], brief: str, resolution: str, capsys: Capture
) -> None:
    assert run(done, *words) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {brief}")
    assert f"hint: {resolution}" in err
    assert "\n  usage: release" in err


@pytest.mark.parametrize("command", [["build"], ["spec", "check"]])
@pytest.mark.parametrize(
    "options", [["--output", "json", "--quiet", "--root", "elsewhere"], ["--overlay=a", "--state=s"]]
)
def test_common_options_may_stand_anywhere(command: list[str], options: list[str]) -> None:
    for place in range(len(command) + 1):
        session = spy(*command[:place], *options, *command[place:])
        if "json" in options:
            assert (session.wants_json, session.root, session.arguments.quiet) == (True, Path("elsewhere"), True)
        else:
            assert (session.settings.overlay.value, session.settings.state.value) == ("a", "s")
            assert (session.wants_json, session.root, session.arguments.quiet) == (False, Path(), None)


def test_what_stands_after_the_command_wins() -> None:
    assert spy("--root", "a", "build", "--root", "b").root == Path("b")


def test_help_is_printed_and_is_no_error(capsys: Capture) -> None:
    assert run(done, "build", "--help") == 0
    assert "--dry-run" in capsys.readouterr().out


def test_an_interruption_is_told_in_one_line(capsys: Capture) -> None:
    assert run(fail(KeyboardInterrupt()), "build") == 130
    assert capsys.readouterr() == ("", "interrupted; nothing half-done was kept\n")


def test_the_system_asking_to_end_is_an_interruption(capsys: Capture) -> None:
    def ask_to_end(session: Session) -> ExitCode:  # noqa: ARG001 - the signature of a command
        signal.raise_signal(signal.SIGTERM)
        return ExitCode.DONE

    assert run(ask_to_end, "build") == 130
    assert capsys.readouterr().err.startswith("interrupted")


def test_a_fault_of_ours_is_told_without_a_trace(capsys: Capture) -> None:
    assert run(fail(ZeroDivisionError("division by zero")), "build") == 1
    err = capsys.readouterr().err
    assert err.startswith("error: unexpected: ZeroDivisionError: division by zero\nhint: This is a fault in Stackway.")
    assert "Traceback" not in err


def test_a_fault_of_ours_is_raised_when_the_trace_is_asked_for() -> None:
    with pytest.raises(ZeroDivisionError):
        run(fail(ZeroDivisionError()), "build", "--verbose")


def test_a_file_of_somebody_else_is_no_fault_of_ours(capsys: Capture) -> None:
    assert run(fail(PermissionError(13, "Permission denied", "/x/y")), "build") == 1
    assert capsys.readouterr().err.startswith("error: permission denied\n  /x/y\nhint: ")


def test_settings_that_cannot_be_used_are_wrong_input(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "stackway.toml").write_text("cahce = 'x'")
    assert run(done, "--root", str(tmp_path), "build") == 2
    assert "stackway.toml:1: unknown setting 'cahce'\n      Did you mean 'cache'?" in capsys.readouterr().err


def test_text_that_is_no_unicode_is_told_all_the_same(capsys: Capture) -> None:
    run(fail(FailedError("broken", details="/x/\udcff")), "build", "--output", "json")
    assert json.loads(capsys.readouterr().out)["details"] == "/x/\udcff"


@pytest.mark.parametrize(
    ("words", "error", "code"),
    [
        (["build"], None, 0),
        (["build", "--help"], None, 0),
        (["build", "--output", "json"], None, 0),
        (["build", "--output", "json"], FailedError("broken"), 1),
        (["build"], BrokenPipeError(), 1),
    ],
)
def test_when_the_reader_has_gone_the_exit_code_still_tells_how_the_work_went(
    monkeypatch: pytest.MonkeyPatch, words: list[str], error: Exception | None, code: int
) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        stream.write("earlier")
        assert run(fail(error) if error else done, *words) == code
        stream.flush()  # nothing is left that could fail at the end of the program


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bars_are_taken_away_before_the_error_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_in_the_middle(session: Session) -> ExitCode:
        session.reporter.task("keystone", "building")
        raise FailedError("broken")

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    assert run(break_in_the_middle, "build") == 1
    bar, _, rest = terminal.getvalue().partition("\x1b[?25h")  # the cursor is shown again
    assert "keystone" in bar
    assert rest.endswith("error: broken\n")
