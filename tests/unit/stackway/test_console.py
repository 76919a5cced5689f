# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What people see fits where it goes, and nothing that comes from outside can steer their terminal."""

import io
import os
import re
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackway.console import (
    FoldingReporter,
    LiveReporter,
    PlainReporter,
    Reporter,
    SilentReporter,
    Table,
    choose,
    make_reporter,
    printable,
)

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
HOSTILE = st.text(st.characters() | st.sampled_from("\x1b[]\x07\x9b\\0;mJ\r\n"))


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True

    @property
    def seen(self) -> str:
        """All that was written, without colours and movements."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue())


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    return Terminal()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain \t text\n", "plain \t text\n"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b[2J\x1b[1;1Hgone", "gone"),
        ("\x9b31mred", "31mred"),
        ("\x1b\x1b[31m", "[31m"),
        ("over\rwritten", "overwritten"),
        ("a\x00b\x08c\x7fd", "abcd"),
        ("\u202egnp.exe", "gnp.exe"),
        ("ünï ✓ 漢", "ünï ✓ 漢"),
    ],
)
def test_escapes_and_controls_are_taken_out(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(HOSTILE)
def test_no_control_character_survives_and_nothing_is_left_for_a_second_pass(text: str) -> None:
    shown = printable(text)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", shown)
    assert printable(shown) == shown


def test_a_table_is_aligned_numbers_to_the_right() -> None:
    table = Table(
        ("IMAGE", "SIZE", "WHY"), [("keystone:2026.1", "1.0 MB", "new"), ("a", "200.0 MB", "")], right=("SIZE",)
    )
    assert table.to_text().splitlines() == [
        "IMAGE                SIZE  WHY",
        "keystone:2026.1    1.0 MB  new",
        "a                200.0 MB",
    ]


CELLS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=9).map(str.strip).filter(bool)


@given(st.lists(st.tuples(CELLS, CELLS), max_size=5))
def test_every_row_of_a_table_has_its_second_column_at_the_same_place(rows: list[tuple[str, str]]) -> None:
    width = max([len(first) for first, _ in rows] + [len("FIRST")])
    lines = Table(("FIRST", "SECOND"), rows).to_text().splitlines()
    assert [(line[:width].strip(), line[width + 2 :]) for line in lines] == [("FIRST", "SECOND"), *rows]


def test_a_cell_cannot_steer_the_terminal() -> None:
    assert Table(("A",), [("\x1b[31mred\x1b[0m",)]).to_text() == "A\nred"


def tell_everything(reporter: Reporter) -> None:
    with reporter.group("a group"):
        reporter.say("one\ntwo \x1b[31mred")
        reporter.warn("careful")
        reporter.task("t", "half", 0.5)
        reporter.task("t", "half", 0.6)
        reporter.finish("t", "well")
        reporter.finish("u", "badly", good=False)
    reporter.close()


TOLD = ["one", "two red", "warning: careful", "t: half", "t: well", "u: FAILED: badly"]


def without_clock(text: str) -> list[str]:
    return [re.sub(r"^\[ *[0-9]+\.[0-9]s\] ", "", line) for line in text.splitlines()]


def test_plain_lines_come_once_each_with_the_time() -> None:
    stream = io.StringIO()
    tell_everything(PlainReporter(stream))
    assert without_clock(stream.getvalue()) == ["a group", *TOLD]
    assert re.match(r"\[ *[0-9]+\.[0-9]s\] a group\n", stream.getvalue())


def test_github_folds_groups_even_when_something_fails_inside() -> None:
    stream = io.StringIO()
    reporter = FoldingReporter(stream, gitlab=False)
    tell_everything(reporter)
    assert without_clock(stream.getvalue()) == ["::group::a group", *TOLD, "::endgroup::"]
    with pytest.raises(KeyError), reporter.group("b\n::error::c"):
        raise KeyError
    assert stream.getvalue().endswith("::group::b ::error::c\n::endgroup::\n")


def test_gitlab_folds_by_sections_of_different_names() -> None:
    stream = io.StringIO()
    reporter = FoldingReporter(stream, gitlab=True)
    for _ in range(2):
        tell_everything(reporter)
    marks = re.findall(r"section_(start|end):[0-9]+:(\w+)\r\x1b\[0K", stream.getvalue())
    assert marks == [("start", "stackway_1"), ("end", "stackway_1"), ("start", "stackway_2"), ("end", "stackway_2")]


def test_silence_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    tell_everything(SilentReporter())
    assert capfd.readouterr() == ("", "")


def test_a_terminal_shows_bars_and_then_how_each_task_ended(terminal: Terminal) -> None:
    tell_everything(LiveReporter(terminal))
    for line in ("a group", "one", "two red", "warning: careful", "✓ t: well", "✗ u: badly"):
        assert f"{line}\n" in terminal.seen
    assert re.search("t ━+ [0-9:]+ half", terminal.seen)
    assert terminal.getvalue().count(HIDE) == terminal.getvalue().count(SHOW) == 1


@pytest.mark.parametrize(
    "text", ["images/keystone.yaml:100: unknown key", "a:lock:b", "[2/7] RUN [red]sh", "[/x]", "x" * 500, ":smile:"]
)
@pytest.mark.parametrize("way", [LiveReporter.say, LiveReporter.warn, LiveReporter.group])
def test_a_terminal_shows_text_as_it_is(
    terminal: Terminal, way: Callable[[LiveReporter, str], object], text: str
) -> None:
    way(LiveReporter(terminal), text)
    assert terminal.seen.removeprefix("warning: ") == f"{text}\n"


@pytest.mark.parametrize("text", ["[2/7] RUN", "[/x]", "[red]", "a:lock:b"])
def test_the_line_of_a_task_shows_its_words_as_they_are(terminal: Terminal, text: str) -> None:
    reporter = LiveReporter(terminal)
    reporter.task(text, text)
    reporter.close()
    assert terminal.seen.count(text) >= 2


def test_the_line_of_a_task_is_redrawn_with_what_is_done(terminal: Terminal) -> None:
    reporter = LiveReporter(terminal)
    reporter.task("t", "nobody knows how much")
    reporter.task("t", "all of it", 1.0)
    reporter.close()
    last = terminal.getvalue().split("nobody knows")[-1]
    assert "all of it" in last
    assert re.search("\x1b\\[[0-9;]*m━{20}\x1b", last)  # one colour from end to end: the bar is full


def test_closing_in_the_middle_gives_the_terminal_back(terminal: Terminal) -> None:
    reporter = LiveReporter(terminal)
    output = sys.stdout
    reporter.task("t", "working")
    assert sys.stdout is output
    reporter.close()
    reporter.close()
    assert terminal.getvalue().count(HIDE) == terminal.getvalue().count(SHOW) == 1


def test_threads_may_tell_at_once(terminal: Terminal) -> None:
    reporter = LiveReporter(terminal)

    def work(number: int) -> None:
        for step in range(5):
            reporter.task(f"t{number}", f"step {step}", step / 5)
        reporter.finish(f"t{number}", "done")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(24)))
    assert len(re.findall(r"✓ t[0-9]+: done\n", terminal.seen)) == 24
    assert terminal.getvalue().count(HIDE) == terminal.getvalue().count(SHOW)


@pytest.mark.parametrize("make", [PlainReporter, lambda stream: FoldingReporter(stream, gitlab=False)])
def test_work_goes_on_when_nobody_reads_any_more(make: Callable[[io.TextIOWrapper], Reporter]) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    stream = os.fdopen(write_end, "w", encoding="utf-8", buffering=1)
    tell_everything(make(stream))
    with pytest.raises(BrokenPipeError):
        stream.close()


@pytest.mark.parametrize(
    ("is_terminal", "environment", "kind"),
    [
        (True, {}, LiveReporter),
        (True, {"TERM": "dumb"}, PlainReporter),
        (True, {"CI": "true"}, PlainReporter),
        (True, {"CI": "true", "GITHUB_ACTIONS": "true"}, FoldingReporter),
        (False, {"GITLAB_CI": "true"}, FoldingReporter),
        (False, {}, PlainReporter),
    ],
)
def test_the_reporter_fits_where_it_goes(*, is_terminal: bool, environment: Mapping[str, str], kind: type) -> None:
    stream = Terminal() if is_terminal else io.StringIO()
    assert type(make_reporter(stream, environment)) is kind
    assert type(make_reporter(stream, environment, quiet=True)) is SilentReporter


@pytest.mark.parametrize(
    ("typed", "answer"),
    [("p\n", "p"), ("what?\n B \n", "b"), ("", ""), ("x\n", "")],
    ids=["at once", "later", "end", "never"],
)
def test_question_is_asked_until_it_is_answered(monkeypatch: pytest.MonkeyPatch, typed: str, answer: str) -> None:
    terminal, keys = Terminal(), Terminal(typed)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdin", keys)
    assert choose("Go on?", {"p": "pause", "b": "back"}) == answer
    assert "  b  back" in terminal.seen


def test_nobody_is_asked_where_nobody_is(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdin", io.StringIO("p\n"))
    assert (choose("Go on?", {"p": "pause"}), terminal.seen) == ("", "")
