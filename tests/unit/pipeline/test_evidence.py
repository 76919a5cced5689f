# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""How raw counts become outcomes: what counts against a new revision, and what does not."""

import random

from pipeline.rollout.evidence import Count, Trial, observe, read_counts
from pipeline.rollout.sequential import Outlook, Rates

RATES = Rates()


def went_on(looks: int, new: tuple[int, float], old: tuple[int, float], trial: Trial | None = None) -> Trial:
    """Return a trial after so many looks; (failures, seconds of a request) of five requests at each."""
    found = trial or Trial()
    for look in range(1, looks + 1):
        new_counts, old_counts = (
            {name: Count(5 * look, failures * look, 5 * look * seconds)}
            for name, (failures, seconds) in (("new", new), ("old", old))
        )
        found = observe(found, new_counts, old_counts, 100.0 + look)
    return found


def test_good_answers_pass() -> None:
    assert went_on(14, (0, 0.1), (0, 0.1)).outlook(RATES) is Outlook.PASSED


def test_failures_of_the_new_one_alone_fail_it_at_the_first_look() -> None:
    assert went_on(1, (5, 0.1), (0, 0.1)).outlook(RATES) is Outlook.FAILED


def test_failures_of_both_are_nobodys_and_are_counted_apart() -> None:
    found = went_on(10, (5, 0.1), (5, 0.1))
    assert found.evidence.outcomes == 0
    assert found.disturbed == 9.0
    assert found.outlook(RATES) is Outlook.UNDECIDED


def test_twice_as_slow_fails_though_every_answer_is_good() -> None:
    found = went_on(12, (0, 0.2), (0, 0.1))
    assert found.outlook(RATES) is Outlook.FAILED
    assert went_on(11, (0, 0.2), (0, 0.1)).slowness < found.slowness


def test_slow_by_chance_is_not_slow() -> None:
    chance = random.Random(7)
    trial, new, old = Trial(), Count(), Count()
    for _ in range(60):
        new = new.and_(Count(1, 0, chance.lognormvariate(-2, 0.35)))
        old = old.and_(Count(1, 0, chance.lognormvariate(-2, 0.35)))
        trial = observe(trial, {"new": new}, {"old": old}, 1.0)
    assert trial.outlook(RATES) is Outlook.PASSED


def test_first_revision_is_judged_alone() -> None:
    assert observe(Trial(), {"a": Count(60, 0, 6.0)}, {}, 1.0).outlook(RATES) is Outlook.PASSED
    assert observe(Trial(), {"a": Count(2, 2, 0.1)}, {}, 1.0).outlook(RATES) is Outlook.FAILED


def test_counter_that_began_anew_counts_from_nothing() -> None:
    trial = observe(Trial(), {"a": Count(40, 0, 4.0)}, {}, 1.0)
    assert observe(trial, {"a": Count(3, 0, 0.3)}, {}, 2.0).evidence.outcomes == 43


def test_no_data_is_no_evidence() -> None:
    trial = observe(Trial(), {}, {"old": Count(50, 0, 5.0)}, 1.0)
    assert trial.evidence.outcomes == 0
    assert trial.outlook(RATES) is Outlook.UNDECIDED


def test_counts_are_of_the_process_and_the_revisions_asked_for() -> None:
    row = {"service": "nova", "process": "api", "pod": "p", "revision": "r1", "totalRequests": 7, "totalFailures": 1}
    rows = [{**row, "totalSeconds": 0.7}, {**row, "pod": "q", "revision": "r2", "totalSeconds": 1.0}]
    assert read_counts({"pods": rows}, ("nova", "api"), ["r1"]) == {"p": Count(7, 1, 0.7)}
    assert read_counts({}, ("nova", "api"), ["r1"]) == {}
