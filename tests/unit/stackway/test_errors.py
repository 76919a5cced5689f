# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Errors have three parts, a place where there is one, and the exit code of their family."""

import json

import pytest

from stackway.errors import (
    ChangesPendingError,
    FailedError,
    InterruptedRunError,
    Position,
    Problem,
    RefusedError,
    StackwayError,
    UnavailableError,
    WrongInputError,
)


@pytest.mark.parametrize(
    ("family", "code"),
    [
        (StackwayError, 1),
        (FailedError, 1),
        (UnavailableError, 1),
        (WrongInputError, 2),
        (ChangesPendingError, 3),
        (RefusedError, 4),
        (InterruptedRunError, 130),
    ],
)
def test_each_family_has_its_exit_code_and_three_parts_in_json(family: type[StackwayError], code: int) -> None:
    told = json.loads(json.dumps(family("it broke", details="a.yaml:3", resolution="mend it").to_dict()))
    assert told == {
        "error": family.__name__,
        "brief": "it broke",
        "details": "a.yaml:3",
        "resolution": "mend it",
        "exitCode": code,
    }


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("bad"), "bad"),
        (Problem("bad", Position("a.yaml")), "a.yaml: bad"),
        (Problem("bad", Position("a.yaml", 7)), "a.yaml:7: bad"),
        (Problem("bad", Position("a.yaml", 7), "Do good."), "a.yaml:7: bad\n    Do good."),
    ],
)
def test_a_problem_reads_as_place_message_and_hint(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_problems_are_listed_in_the_order_of_their_places() -> None:
    places = [Position("b", 1), Position("a", 10), None, Position("a", 9), Position("a")]
    error = WrongInputError.from_problems("several", [Problem("p", place) for place in places], "Mend them.")
    assert error.details.splitlines() == ["p", "a: p", "a:9: p", "a:10: p", "b:1: p"]
    assert [problem.position for problem in error.problems] == [None, *sorted(filter(None, places))]
    assert (error.brief, error.resolution, str(error)) == ("several", "Mend them.", "several")
