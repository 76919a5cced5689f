# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The test by betting: its rates of error by simulation, and what it says of clear cases."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.rollout.sequential import (
    Evidence,
    Outlook,
    Rates,
    band,
    outages_to_fail,
    successes_to_pass,
)

RATES = Rates()


def judged(share: float, seed: int, most: int = 3000) -> tuple[Outlook, int]:
    """Return what the test says first of outcomes with this share of failures, and after how many."""
    chance = random.Random(seed)
    evidence = Evidence()
    for count in range(1, most + 1):
        failed = chance.random() < share
        evidence = evidence.and_(int(failed), int(not failed))
        outlook = evidence.outlook(RATES)
        if outlook is not Outlook.UNDECIDED:
            return outlook, count
    return Outlook.UNDECIDED, most


@pytest.mark.parametrize(("share", "wrong"), [(RATES.good, Outlook.FAILED), (RATES.bad, Outlook.PASSED)])
def test_wrong_answers_are_as_rare_as_stated(share: float, wrong: Outlook) -> None:
    runs = 600
    errors = sum(judged(share, seed)[0] is wrong for seed in range(runs))
    # Of 600 at most 1 % are expected; 16 or more would be chance once in a thousand.
    assert errors < 16


def test_outage_fails_after_two_requests() -> None:
    assert outages_to_fail(RATES) == 2


def test_clean_release_passes_soon() -> None:
    assert 40 <= successes_to_pass(RATES) <= 120


@given(st.integers(0, 200), st.integers(0, 2000))
def test_a_failure_never_speaks_for_a_release(failures: int, successes: int) -> None:
    before, after = Evidence(failures, successes), Evidence(failures + 1, successes)
    assert after.against_good(RATES) > before.against_good(RATES)
    assert after.against_bad(RATES) < before.against_bad(RATES)


def test_nothing_is_said_of_nothing() -> None:
    assert Evidence().outlook(RATES) is Outlook.UNDECIDED
    assert band(Evidence(), 0.01) == (0.0, 1.0)


@given(st.integers(0, 50), st.integers(1, 5000))
def test_band_holds_the_share_that_was_seen(failures: int, successes: int) -> None:
    low, high = band(Evidence(failures, successes), 0.01)
    assert 0.0 <= low <= failures / (failures + successes) <= high <= 1.0


def test_band_gets_narrower_with_more_outcomes() -> None:
    widths = [high - low for low, high in (band(Evidence(0, count), 0.01) for count in (50, 200, 1000, 5000))]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.03


@pytest.mark.parametrize("given", [{"good": 0.2}, {"bad": 1.0}, {"alpha": 0.0}, {"beta": 1.0}])
def test_rates_that_mean_nothing_are_refused(given: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Rates(**given)


def test_wealth_of_a_fair_game_does_not_grow() -> None:
    # The mean of the wealth over all outcomes of one request is 1 when exactly `good` of them fail: a martingale.
    mean = RATES.good * math.exp(Evidence(1, 0).against_good(RATES)) + (1 - RATES.good) * math.exp(
        Evidence(0, 1).against_good(RATES)
    )
    assert mean == pytest.approx(1.0)
