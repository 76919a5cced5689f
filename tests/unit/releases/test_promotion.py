# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What a promotion rests on, what an override may do, how long a saved plan holds, and where a rollback may go."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases import promotion
from releases.promotion import GateError, PromotionPlan, check_still, read_plan, refuse
from releases.records import Kind, Observation
from releases.verify import read
from stackway.errors import RefusedError, WrongInputError
from tests.fakes.chains import APPROVER, OBSERVER, OWNER, PINS, RING, SECOND, Book
from tests.fakes.releases import FakeReleases, environment, new_release

MOMENT = timedelta(microseconds=1)
APPROVALS = {"approvals": {"by": ["keys/a.pub"], "atLeast": 1}}


def staging(*, healthy: bool = True, signer: Any = OBSERVER) -> Book:
    """Return a source whose release was promoted and seen."""
    made = Book(environment("staging", RING))
    made.promote(PINS[1])
    made.observe(signer, healthy=healthy)
    return made


def prod(**gates: Any) -> Book:
    made = Book(environment("prod", RING, source="staging", gates=gates))
    made.promote(PINS[0])
    return made


def plan(book: Book, override: str = "") -> PromotionPlan:
    return book.plan(PINS[1], {"source": staging().chain()}, override)


def refusing(todo: PromotionPlan) -> set[str]:
    return {item.gate for item in todo.decision.refusals}


# What is taken from the records.


def test_candidate_is_what_the_release_says_of_itself() -> None:
    store = FakeReleases()
    made = new_release(store)
    found = promotion.candidate_of(read(store, "2026.1.0"))
    assert (found.version, found.digest, found.series) == ("2026.1.0", made.digest, "2026.1")
    assert (found.slurp, found.upgrades_from, sorted(found.back)) == (True, ("2025.1",), ["keystone", "nova"])


def test_nothing_is_taken_from_an_environment_without_a_pin() -> None:
    made = Book()
    made.approve(PINS[0])
    assert promotion.source_of(made.chain()) is None
    assert promotion.present_of(made.chain()) is None


@pytest.mark.parametrize(
    ("ring", "signer", "healthy", "counts"),
    [
        (RING, OBSERVER, True, True),
        (RING, OBSERVER, False, True),
        (RING, OWNER, True, False),
        (RING, APPROVER, True, False),
        # Bad news counts from everybody who ever could bring it.
        (RING, OWNER, False, True),
        (replace(RING, observers=(), former=(OBSERVER.public,)), OBSERVER, True, False),
        (replace(RING, observers=(), former=(OBSERVER.public,)), OBSERVER, False, True),
        (replace(RING, observers=(), revoked={OBSERVER.public: "lost"}), OBSERVER, True, False),
    ],
)
def test_good_news_counts_only_from_observers_of_today(ring: Any, signer: Any, healthy: Any, counts: object) -> None:
    source = promotion.source_of(staging(healthy=healthy, signer=signer).chain(ring))
    assert source is not None
    assert [sight.healthy for sight in source.sights] == ([healthy] if counts else [])


def test_observations_are_of_the_present_pin_alone() -> None:
    made = staging(healthy=False)
    made.promote(PINS[2])
    made.renew()
    made.observe()
    made.roll_back()
    assert promotion.source_of(made.chain()) is not None
    source = promotion.source_of(made.chain().until(5))
    assert source is not None
    assert [sight.healthy for sight in source.sights] == [True]
    after = promotion.source_of(made.chain())
    assert after is not None
    assert after.sights == ()


def test_approvals_are_of_this_release_since_the_last_move_once_for_each_key() -> None:
    made = prod()
    made.approve(PINS[1])
    made.promote(PINS[2])
    first = made.approve(PINS[1])
    made.approve(PINS[1])
    made.approve(PINS[3])
    found = promotion.approvals_of(made.chain(), PINS[1].digest)
    assert [(item.key, item.at) for item in found] == [(APPROVER.public.id, first.at)]


@pytest.mark.parametrize("signer", [OWNER, OBSERVER])
def test_approval_by_a_key_of_another_part_does_not_count(signer: Any) -> None:
    made = prod()
    made.approve(PINS[1], signer)
    assert promotion.approvals_of(made.chain(), PINS[1].digest) == ()


@pytest.mark.parametrize("part", [{"former": (APPROVER.public,)}, {"revoked": {APPROVER.public: "lost"}}])
def test_approval_by_a_key_that_lost_the_right_does_not_count(part: dict[str, Any]) -> None:
    made = prod()
    made.approve(PINS[1])
    assert promotion.approvals_of(made.chain(replace(RING, approvers=(), **part)), PINS[1].digest) == ()


def test_ancestors_name_the_first_time_and_where_it_never_was() -> None:
    made, never = staging(), Book(environment("dev", RING))
    made.promote(PINS[2])
    made.roll_back()
    found = promotion.ancestors_of([made.chain(), never.chain()], PINS[1].digest)
    assert [(item.environment, item.record) for item in found] == [
        ("dev", ""),
        ("staging", made.chain().entries[0].digest),
    ]


# What an override may do.


def test_override_is_refused_without_a_reason_and_told_how() -> None:
    with pytest.raises(GateError, match=r"2026\.1\.1 may not get into prod") as caught:
        refuse(plan(prod(**APPROVALS)))
    assert caught.value.details == "approvals failed: 0 of 1 needed"
    assert "--override" in caught.value.resolution
    refuse(plan(prod(**APPROVALS), "an outage"))


@given(st.sampled_from(PINS), st.sampled_from(PINS), st.text(min_size=1, max_size=9))
def test_override_never_goes_down(present: Any, proposed: Any, reason: str) -> None:
    made = Book()
    made.promote(present)
    todo = made.plan(proposed, override=reason)
    assert todo.allowed is (proposed.version >= present.version)
    if not todo.allowed:
        with pytest.raises(GateError) as caught:
            refuse(todo)
        assert "`upgrade path` cannot be overridden" in caught.value.resolution
        assert "`release rollback` goes back" in caught.value.details


def test_other_release_of_the_same_version_cannot_be_forced() -> None:
    made = prod()
    assert not made.plan(replace(PINS[0], digest=PINS[1].digest), override="it is the same").allowed


def test_nothing_is_to_do_where_it_is_already() -> None:
    assert prod().plan(PINS[0]).nothing == "2026.1.0 is there already"
    assert plan(prod()).nothing == ""


# Saved plans.


@given(st.text(max_size=9), st.sampled_from(PINS), st.booleans())
def test_plan_survives_its_way_through_json(override: str, pin: Any, healthy: bool) -> None:  # noqa: FBT001
    made = prod(**APPROVALS, live={"maxAge": "1h"})
    made.approve(pin)
    todo = made.plan(pin, {"source": staging(healthy=healthy).chain()}, override)
    again = read_plan(json.loads(json.dumps(todo.to_dict())))
    assert again == todo
    check_still(again, todo, made.now)


@pytest.mark.parametrize(
    "content",
    [None, [], "plan", {"kind": "PromotionPlan"}, {"kind": "SignPlan", "apiVersion": "stackway/v1"}],
)
def test_other_file_is_no_plan(content: object) -> None:
    with pytest.raises(WrongInputError, match="this is no saved promotion") as caught:
        read_plan(content)
    assert "--save FILE" in caught.value.resolution


def test_plan_with_a_part_missing_names_it() -> None:
    content = plan(prod()).to_dict()
    del content["decision"]["facts"]["head"]
    with pytest.raises(WrongInputError, match="cannot be read") as caught:
        read_plan(content)
    assert caught.value.details.startswith("decision.facts.head: ")


@pytest.mark.parametrize(
    ("limit", "over"), [(timedelta(hours=2), MOMENT), (-timedelta(minutes=5), -MOMENT)], ids=["old", "future"]
)
def test_plan_holds_for_two_hours(limit: timedelta, over: timedelta) -> None:
    made = prod()
    todo = plan(made)
    check_still(todo, todo, made.now + limit)
    with pytest.raises(RefusedError, match="too old, or from the future") as caught:
        check_still(todo, todo, made.now + limit + over)
    assert "it holds for 2 hours" in caught.value.details


@pytest.mark.parametrize("at", ["", "soon", "2026-13-01T00:00:00+00:00", "2020-01-01T00:00:00"])
def test_plan_of_no_moment_holds_never(at: str) -> None:
    made = prod()
    todo = plan(made)
    odd = replace(todo, decision=replace(todo.decision, facts=replace(todo.decision.facts, at=at)))
    with pytest.raises(RefusedError, match="too old"):
        check_still(odd, todo, made.now)


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"environment": "staging"}, "environment"),
    ({"head": PINS[3].digest}, "records of the target"),
    ({"gates": {"candidates": True}}, "gates"),
    ({"source": None}, "pin of the source"),
]


@pytest.mark.parametrize(("change", "what"), CHANGES)
def test_plan_on_other_grounds_is_refused_and_says_what_changed(change: dict[str, Any], what: str) -> None:
    made = prod()
    todo = plan(made)
    facts = replace(todo.decision.facts, **change)
    with pytest.raises(RefusedError, match="has changed") as caught:
        check_still(todo, replace(todo, decision=replace(todo.decision, facts=facts)), made.now)
    assert caught.value.details == f"changed: {what}"


def test_plan_is_refused_when_anybody_wrote_a_record_meanwhile() -> None:
    made = prod()
    todo = plan(made)
    made.observe()
    with pytest.raises(RefusedError, match="has changed"):
        check_still(todo, plan(made), made.now)


def test_old_override_does_not_reach_gates_that_refuse_only_now() -> None:
    made = prod(**APPROVALS, live={"maxAge": "1h"})
    todo = plan(made, "the approver is ill")
    assert refusing(todo) == {"approvals"}
    check_still(todo, plan(made, "the approver is ill"), made.now)
    worse = made.plan(PINS[1], {"source": staging(healthy=False).chain()}, "the approver is ill")
    assert worse.allowed
    with pytest.raises(RefusedError, match="has changed") as caught:
        check_still(todo, worse, made.now)
    assert "live (it is not healthy in staging" in caught.value.details
    assert "approvals" not in caught.value.details


# Records.


def test_rollback_goes_to_the_one_before_or_the_one_named() -> None:
    made = Book()
    for pin in PINS[:3]:
        made.promote(pin)
        made.observe()
    assert made.roll_back().pin == PINS[1]
    assert made.roll_back().pin == PINS[2]
    assert made.roll_back(PINS[0].version).pin == PINS[0]
    assert [item.record.kind for item in made.chain().entries][-3:] == [Kind.ROLLBACK] * 3


@pytest.mark.parametrize(
    ("version", "brief"),
    [
        ("2026.1.3", r"2026\.1\.3 was never in prod"),
        ("2026.1.1", r"2026\.1\.1 is in prod now"),
        ("2026", "2026 was never in prod"),
    ],
)
def test_rollback_goes_only_to_what_was_there(version: str, brief: str) -> None:
    made = Book()
    made.promote(PINS[0])
    made.promote(PINS[1])
    made.approve(PINS[3])
    with pytest.raises(RefusedError, match=brief) as caught:
        made.roll_back(version)
    assert caught.value.details == "now: 2026.1.1; before: 2026.1.0"
    assert "release promote" in caught.value.resolution


def test_rollback_of_the_first_release_has_nowhere_to_go() -> None:
    with pytest.raises(RefusedError, match=r"an earlier release was never in prod"):
        prod().roll_back()


@pytest.mark.parametrize("write", ["renew", "observe", "roll_back"])
def test_nothing_is_written_about_what_was_never_promoted(write: str) -> None:
    with pytest.raises(WrongInputError, match="nothing was ever promoted to prod"):
        getattr(Book(), write)()


def test_clock_that_went_back_writes_nothing_not_a_second() -> None:
    made = prod()
    made.now -= timedelta(seconds=61)
    with pytest.raises(RefusedError, match="from the future") as caught:
        made.renew()
    assert "the clock says" in caught.value.details
    made.now += timedelta(seconds=1)
    made.now -= timedelta(minutes=1)
    assert made.renew().version == 2


def test_record_lasts_as_long_as_its_environment_says() -> None:
    made = Book(environment("prod", RING, channel={"expires": "3d"}))
    record = made.promote(PINS[0])
    assert record.expires == (made.now + timedelta(days=3)).isoformat()


def test_summary_says_in_the_words_of_others_what_was_decided() -> None:
    made = prod(**APPROVALS)
    made.approve(PINS[1])
    todo = plan(made)
    said = promotion.summary(todo, made.author(0))
    assert said.subject.digest == PINS[1].digest
    assert said.predicate["verificationResult"] == "PASSED"
    assert said.predicate["resourceUri"] == "urn:stackway:environment:prod"
    assert len(said.predicate["inputAttestations"]) == 2
    assert promotion.promotion(made.place, made.chain(), todo, made.author(0)).summary == said.digest


def test_observation_is_about_the_pin_and_follows_the_head() -> None:
    made = prod()
    record = promotion.observation(
        made.place, made.chain(), Observation(healthy=False, requests=3, failures=3), made.author()
    )
    assert (record.kind, record.about, record.pin) == (Kind.OBSERVATION, PINS[0], PINS[0])
    assert record.previous == made.chain().entries[-1].digest
    assert made.add(record, SECOND).observation == record.observation
