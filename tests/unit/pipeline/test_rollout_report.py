# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What an upgrade's report says, in data, in words, and as a page."""

import json
from html.parser import HTMLParser

import pytest

from pipeline.rollout.advance import Line, Phase
from pipeline.rollout.plan import Kind, RolloutPlan, Step, Undo, Way
from pipeline.rollout.report import RolloutReport, report
from pipeline.rollout_page import bars, rollout_page

START = 1_800_000_000.0


def step(kind: Kind, undo: Undo = Undo.REVERSIBLE, service: str = "glance") -> Step:
    return Step(kind, service, "api" if kind is not Kind.EXPAND else "", "why", undo, 60.0)


PLAN = RolloutPlan(
    "dev",
    "2025.1.0",
    "2026.1.0",
    "sha256:1",
    Way(),
    (step(Kind.EXPAND, Undo.FORWARD), step(Kind.START), step(Kind.SHIFT)),
    (),
)
COUNTS = {"requests": 30, "failures": 6, "compared": 4, "slower": 1, "failed: http_500": 6}
BACK = [
    Line(Phase.BEGUN, 0, START),
    Line(Phase.DONE, 0, START + 5, "it is ready"),
    Line(Phase.BEGUN, 1, START + 5),
    Line(Phase.TURNED, 1, START + 15, "glance api start: <b>6 of 30</b> failed", "requests", COUNTS),
    Line(Phase.UNDOING, 1, START + 15),
    Line(Phase.UNDONE, 1, START + 16),
    Line(Phase.ENDED, -1, START + 16),
]


@pytest.fixture
def went_back() -> RolloutReport:
    return report(3, PLAN, BACK)


def test_report_says_why_it_went_back_and_what_did_not(went_back: RolloutReport) -> None:
    assert (went_back.outcome, went_back.rule, went_back.seconds) == ("rolled back", "requests", 16.0)
    assert went_back.kept == ("glance expand",)
    assert "does not go back: glance expand" in went_back.headline()
    assert [(item.name, item.done, item.undone) for item in went_back.steps] == [
        ("glance expand", 5.0, None),
        ("glance api start", None, 16.0),
    ]


def test_verdict_can_be_computed_again_from_the_counts(went_back: RolloutReport) -> None:
    judged = went_back.steps[1]
    assert judged.counts == COUNTS
    assert judged.evidence["isNotGood"] > 100 > judged.evidence["isNotBad"]
    assert judged.failing is not None
    assert judged.failing[0] < 0.2 < judged.failing[1]
    assert went_back.counted == (30, 6)


def test_counts_of_a_process_are_told_once_though_two_steps_have_them() -> None:
    later = {"requests": 50, "failures": 0, "compared": 9, "slower": 0}
    lines = [
        Line(Phase.BEGUN, 1, START),
        Line(Phase.DONE, 1, START + 1, "", "", {**later, "requests": 40}),
        Line(Phase.BEGUN, 2, START + 1),
        Line(Phase.DONE, 2, START + 2, "", "", later),
    ]
    assert report(1, PLAN, lines).counted == (50, 0)


def test_report_is_data(went_back: RolloutReport) -> None:
    found = json.loads(json.dumps(went_back.to_dict()))
    assert (found["kind"], found["rules"]["rates"]["bad"]) == ("RolloutReport", 0.05)


def test_upgrade_without_a_line_has_a_report() -> None:
    assert report(1, PLAN, []).steps == ()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self.tags.append(tag)


def test_page_has_a_bar_for_each_step_and_no_markup_from_outside(went_back: RolloutReport) -> None:
    page = rollout_page(went_back)
    reader = _Reader()
    reader.feed(page)
    assert reader.tags.count("rect") == len(went_back.steps)
    assert "<b>" not in page
    assert "b" not in reader.tags
    assert reader.tags.count("path") == 1


def test_step_that_was_given_up_ends_where_the_way_back_began(went_back: RolloutReport) -> None:
    first, second = bars(went_back)
    assert (first.look, second.look) == ("done", "failed")
    assert first.x + first.width <= second.x + 0.01
    assert second.back is not None
