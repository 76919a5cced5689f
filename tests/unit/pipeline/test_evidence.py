# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""How raw counts become outcomes: what counts against a new revision, and what does not."""

import math
import random

import pytest

from pipeline.rollout.evidence import Count, Trial, observe, read_counts
from pipeline.rollout.sequential import Outlook, Rates

RATES = Rates(bad=0.10)


def went_on(looks: int, new: tuple[int, float], old: tuple[int, float], trial: Trial | None = None) -> Trial:
    """Return a trial after so many looks; (failures, seconds of a request) of five requests at each."""
    found = trial or Trial()
    for look in range(1, looks + 1):
        new_counts, old_counts = (
            {name: Count(5 * look, failures * look, 5 * look * math.log(seconds))}
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


def test_time_in_which_nobody_looked_is_not_disturbed() -> None:
    before = went_on(3, (0, 0.1), (0, 0.1))
    new, old = Count(20, 1, -40.0, (("timeout", 1),)), Count(20, 1, -40.0, (("timeout", 1),))
    assert observe(before, {"new": new}, {"old": old}, 700.0).disturbed <= 2.0


def test_good_answers_pass_though_the_old_revision_fails() -> None:
    found = went_on(14, (0, 0.5), (5, 0.1))
    assert (found.disturbed, found.slower) == (0.0, 0)
    assert found.outlook(RATES) is Outlook.PASSED


def test_twice_as_slow_fails_though_every_answer_is_good() -> None:
    found = went_on(13, (0, 0.2), (0, 0.1))
    assert found.outlook(RATES) is Outlook.FAILED
    assert went_on(12, (0, 0.2), (0, 0.1)).slowness < found.slowness


def test_slow_by_chance_is_not_slow() -> None:
    chance = random.Random(7)
    trial, new, old = Trial(), Count(), Count()
    for _ in range(60):
        new = new.and_(Count(1, 0, chance.gauss(-2, 0.35)))
        old = old.and_(Count(1, 0, chance.gauss(-2, 0.35)))
        trial = observe(trial, {"new": new}, {"old": old}, 1.0)
    assert trial.outlook(RATES) is Outlook.PASSED


def warming(kind: str, seconds: float) -> Trial:
    """Return a trial in which a new pod only fails, so many seconds after it was first asked."""
    trial = observe(Trial(), {"new": Count()}, {"old": Count()}, 1.0)
    new, old = Count(5, 5, 8.0, ((kind, 5),)), Count(5, 0, -10.0)
    return observe(trial, {"new": new}, {"old": old}, 1.0 + seconds)


@pytest.mark.parametrize(
    ("kind", "seconds", "outlook"),
    [
        ("timeout", 9.0, Outlook.UNDECIDED),
        ("timeout", 11.0, Outlook.FAILED),
        ("http_500", 1.0, Outlook.FAILED),
    ],
    ids=["it warms up", "it has had its time", "it answers, badly"],
)
def test_late_answers_of_a_process_that_warms_up_are_no_failures(kind: str, seconds: float, outlook: Outlook) -> None:
    assert warming(kind, seconds).outlook(RATES) is outlook


def test_slow_answers_of_a_cold_process_are_not_compared() -> None:
    cold = observe(Trial(), {"new": Count(4, 0, 4.0)}, {"old": Count(4, 0, -12.0)}, 1.0)
    warm = observe(cold, {"new": Count(8, 0, -8.0)}, {"old": Count(8, 0, -24.0)}, 2.0)
    later = observe(warm, {"new": Count(12, 0, -20.0)}, {"old": Count(12, 0, -36.0)}, 3.0)
    assert [item.pairs for item in (cold, warm, later)] == [0, 0, 1]
    assert later.slower == 0


def test_one_slow_answer_among_many_weighs_little() -> None:
    trial = observe(Trial(), {"new": Count(20, 0, -40.0)}, {"old": Count(20, 0, -40.0)}, 1.0)
    slow = observe(trial, {"new": Count(30, 0, -60.0 + 3.0)}, {"old": Count(30, 0, -60.0)}, 2.0)
    assert (slow.pairs, slow.slower) == (1, 0)


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
    row["kinds"] = {"timeout": 1}
    rows = [{**row, "totalLogs": -7.0}, {**row, "pod": "q", "revision": "r2", "totalLogs": -1.0}]
    assert read_counts({"pods": rows}, ("nova", "api"), ["r1"]) == {"p": Count(7, 1, -7.0, (("timeout", 1),))}
    assert read_counts({}, ("nova", "api"), ["r1"]) == {}
