# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The nearest word is one of those given, or none when nothing is like it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackway.spelling import nearest

WORDS = ["build", "bundle", "spec", "store", "doctor"]


@pytest.mark.parametrize(
    ("word", "near"),
    [("biuld", "build"), ("bild", "build"), ("specs", "spec"), ("sotre", "store"), ("xyzzy", None), ("", None)],
)
def test_a_slip_of_the_keyboard_finds_its_word(word: str, near: str | None) -> None:
    assert nearest(word, WORDS) == near


@given(st.text(max_size=10), st.lists(st.text(max_size=10), max_size=5))
def test_the_answer_is_a_candidate_and_a_candidate_answers_itself(word: str, candidates: list[str]) -> None:
    assert nearest(word, candidates) in {*candidates, None}
    assert nearest(word, [*candidates, word]) == word


def test_nothing_is_near_when_there_is_nothing() -> None:
    assert nearest("build", []) is None
