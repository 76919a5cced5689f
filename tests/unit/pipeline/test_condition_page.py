# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The page of a condition: well-formed, complete, alone; whatever a cluster says is text in it and never markup."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ailment import Ailment, Restarts
from pipeline.condition import Condition, PodCondition, Remark, Verdict
from pipeline.condition_page import condition_page, picture, use_row
from pipeline.diagnosis import diagnose
from pipeline.measurements import Disruption, Use
from tests.fakes.sights import NOW, healthy

WELL = diagnose(healthy())
POD = PodCondition("a", "", True, False, "", "", "", Restarts(2), None, Use(0.25, 64 << 20), 0.5, 128 << 20)  # noqa: FBT003
EVIL = "<script>alert('x')</script>\"'><img src=x onerror=y>&amp;{{ 7 * 7 }}"
HOUR = 3600.0


class Reader(HTMLParser):
    """Reads a page as a browser does, and notes what is not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: set[tuple[str, str]] = set()
        self.words = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes |= {(tag, name) for name, _ in attrs}
        self.open += [] if tag == "meta" else [tag]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def full(text: str) -> Condition:
    """Return a condition that says this text wherever others than we decide on what is said."""
    ill = Ailment(text, text)
    service = WELL.services[0]
    process = service.processes[0]
    pod = replace(POD, name=text, node=text, ready=False, ailment=ill, restarts=Restarts(1, text, text))
    revision = replace(process.revisions[0], workload=text, revision=text, release=text, pods=(pod,))
    remark = Remark(Verdict.DOWN, text, text)
    changed = replace(process, service=text, process=text, remarks=(remark,), revisions=(revision,))
    return replace(
        WELL,
        environment=text,
        namespace=text,
        pinned=text,
        deployed=text,
        services=(replace(service, name=text, processes=(changed,)),),
        remarks=(remark,),
        leftovers=(text,),
        disruptions=(Disruption(text, text, NOW - timedelta(60), None, text, text),),
    )


def test_page_has_all_and_needs_nothing_else() -> None:
    page = condition_page(WELL)
    read = Reader(page)
    assert read.open == []
    for process in WELL.processes:
        assert process.revisions[0].pods[0].name in read.words
    assert not re.search(r"(?:\ssrc=|href=|url\(|@import)", page)
    assert "default-src 'none'" in page


def test_nothing_that_is_said_becomes_markup() -> None:
    plain, evil = Reader(condition_page(full("x"))), Reader(condition_page(full(EVIL)))
    assert evil.open == []
    assert (evil.tags, evil.attributes) == (plain.tags, plain.attributes)
    assert evil.words.count(EVIL) >= 15


@given(text=st.text(max_size=40))
def test_no_text_changes_the_form_of_the_page(text: str) -> None:
    plain, other = Reader(condition_page(full("x"))), Reader(condition_page(full(f"x{text}")))
    assert (other.tags, other.open) == (plain.tags, [])


def test_terminal_and_direction_codes_are_taken_out() -> None:
    page = condition_page(full("a\x1b[31mb\u202ec\x00d"))
    assert "abcd" in page
    assert not re.search("[\x00\x1b\u202e]", page)


@pytest.mark.parametrize("at", ["", "soon"])
def test_page_of_an_unknown_time_has_no_picture(at: str) -> None:
    assert "<svg" in condition_page(full("x"))
    assert "<svg" not in condition_page(replace(full("x"), at=at))


def test_nothing_disrupted_is_no_picture() -> None:
    assert picture((), NOW) is None


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 5 * HOUR), st.none() | st.floats(0, 5 * HOUR)), min_size=1)
)
def test_all_bars_lie_within_the_picture_and_in_the_row_of_their_process(
    given_: list[tuple[str, float, float | None]],
) -> None:
    drawn = picture([disruption(*item) for item in given_], NOW)
    assert drawn is not None
    rows = {name: y for y, name in drawn.rows}
    assert len(rows) == len({name for name, _, _ in given_})
    for bar, (name, _, length) in zip(drawn.bars, given_, strict=True):
        assert 110 <= bar.x < bar.x + bar.width <= 900.001
        assert bar.y == rows[f"nova-{name}"] < drawn.height
        assert bar.open == (length is None)


def disruption(process: str, ago: float, length: float | None) -> Disruption:
    begin = NOW - timedelta(seconds=ago)
    end = None if length is None else min(NOW, begin + timedelta(seconds=length))
    return Disruption("nova", process, begin, end, "no answer", "")


@pytest.mark.parametrize(("ago", "begin"), [(60.0, "11:00:00"), (2 * HOUR, "10:00:00")])
def test_picture_shows_an_hour_or_more_when_more_is_told(ago: float, begin: str) -> None:
    drawn = picture([disruption("api", ago, 1.0)], NOW)
    assert drawn is not None
    assert [text for _, text in drawn.marks] == [begin, "12:00:00"]


def test_bar_of_a_clock_that_is_ahead_stays_in_the_picture() -> None:
    begin = NOW + timedelta(seconds=30)
    drawn = picture([Disruption("nova", "api", begin, begin + timedelta(seconds=9), "x", "")], NOW)
    assert drawn is not None
    assert drawn.bars[0].x + drawn.bars[0].width <= 900


@pytest.mark.parametrize("at", [NOW, datetime.fromisoformat("2026-05-01T14:00:00+02:00")])
def test_times_in_the_picture_are_utc(at: datetime) -> None:
    drawn = picture([disruption("api", 5.0, 1.0)], at)
    assert drawn is not None
    assert drawn.marks[1][1] == "12:00:00"


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({}, ("250m", "500m", "50%", "64 MiB", "128 MiB", "50%")),
        ({"use": None}, ("-", "500m", "-", "-", "128 MiB", "-")),
        ({"cpu_asked": 0.0, "memory_limit": 0.0}, ("250m", "-", "-", "64 MiB", "-", "-")),
    ],
)
def test_use_is_told_as_a_share_of_what_is_known(other: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert use_row(replace(POD, **other)) == ("a", *expected, "2")
