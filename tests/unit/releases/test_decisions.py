# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What gates say to facts: each passed, failed and errored once, at the very moments where that changes."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases import promotion
from releases.facts import Ancestor, Approval, Candidate, Facts, ImageVerdict, Present, ScanFacts, Sight, Source
from releases.gates import Outcome, decide, read_decision
from releases.promotion import GateError, PromotionPlan, check_still, read_plan, refuse
from releases.records import Pin
from stackway.errors import RefusedError, WrongInputError
from tests.fakes.releases import NOW

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
CANDIDATE = Candidate(
    "2026.1.1", DIGEST, "2026.1", slurp=True, upgrades_from=("2025.1", "2025.2"), back={"nova": "pods-and-records"}
)
HEALTHY = ImageVerdict("nova", DIGEST, DIGEST, {"passed": 3})


def at(minutes: float = 0.0) -> str:
    return (NOW + timedelta(minutes=minutes)).isoformat()


def facts(gates: dict[str, Any] | None = None, **changes: Any) -> Facts:
    given = Facts("prod", at(), gates or {}, CANDIDATE, Present("2026.1.0", OTHER, "2026.1"), OTHER)
    return replace(given, **changes)


def outcome(gate: str, found: Facts) -> tuple[str, str]:
    result = next(item for item in decide(found).results if item.gate == gate)
    return str(result.outcome), result.reason


def source(*sights: tuple[float, bool], pinned: str = DIGEST) -> Source:
    return Source("staging", OTHER, 9, pinned, tuple(Sight(at(minutes), good, OTHER) for minutes, good in sights))


@pytest.mark.parametrize(
    ("present", "candidate", "passes"),
    [
        (None, CANDIDATE, True),
        (Present("2026.1.0", OTHER, "2026.1"), CANDIDATE, True),
        (Present("2026.1.1", DIGEST, "2026.1"), CANDIDATE, True),
        (Present("2026.1.1", OTHER, "2026.1"), CANDIDATE, False),
        (Present("2026.1.2", OTHER, "2026.1"), CANDIDATE, False),
        (Present("2025.1.7", OTHER, "2025.1"), CANDIDATE, True),
        (Present("2025.2.0", OTHER, "2025.2"), CANDIDATE, True),
        (Present("2024.2.0", OTHER, "2024.2"), CANDIDATE, False),
        (Present("2026.2.0", OTHER, "2026.2"), CANDIDATE, False),
        # A series that claims to be reached from a newer one goes down all the same.
        (Present("2026.2.0", OTHER, "2026.2"), replace(CANDIDATE, upgrades_from=("2026.2",)), False),
        (Present("2026.1.1-rc.1", OTHER, "2026.1"), CANDIDATE, True),
    ],
)
def test_upgrade_path_is_adjacent_or_slurp_and_never_down(
    present: Present | None, candidate: Candidate, passes: object
) -> None:
    said = outcome("upgrade path", facts(present=present, candidate=candidate))
    assert (said[0] == "passed") is passes, said


def test_way_back_is_asked_only_between_series() -> None:
    card = replace(CANDIDATE, back={"nova": "restore"})
    older = Present("2025.1.0", OTHER, "2025.1")
    assert outcome("way back", facts(candidate=card))[0] == "passed"
    assert outcome("way back", facts(candidate=card, present=older)) == (
        "failed",
        "nova takes restore; acceptable here: pods, pods-and-records",
    )
    assert outcome("way back", facts({"back": ["restore"]}, candidate=card, present=older))[0] == "passed"


@pytest.mark.parametrize(("moment", "passes"), [(-1, True), (0, False), (24 * 60 - 1, False), (24 * 60, True)])
def test_freeze_holds_from_midnight_to_midnight(moment: int, passes: bool) -> None:  # noqa: FBT001
    begin = NOW.replace(hour=0, minute=0)
    gates = {"freeze": [{"from": str(begin.date()), "to": str(begin.date()), "reason": "year end"}]}
    said = outcome("freeze", facts(gates, at=(begin + timedelta(minutes=moment)).isoformat()))
    assert (said[0] == "passed") is passes, said


def test_freeze_ends_with_the_last_microsecond() -> None:
    day = NOW.replace(hour=0, minute=0)
    gates = {"freeze": [{"from": str(day.date()), "to": str(day.date()), "reason": "year end"}]}
    last = day + timedelta(days=1) - timedelta(microseconds=1)
    assert outcome("freeze", facts(gates, at=last.isoformat())) == ("failed", f"year end: {day.date()} to {day.date()}")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (source(), "failed"),
        (source((-59, True)), "passed"),
        (source((-60, True)), "passed"),
        (source((-61, True)), "failed"),
        (source((-9, True), (-5, False)), "failed"),
        (source((-9, False), (-5, True)), "passed"),
        (source((4, True)), "passed"),
        (source((6, True)), "errored"),
        (source((-5, True), pinned=OTHER), "failed"),
    ],
)
def test_live_asks_for_a_fresh_good_observation_of_this_release(found: Source, said: str) -> None:
    assert outcome("live", facts({"live": {"maxAge": "1h"}}, source=found))[0] == said


@pytest.mark.parametrize(
    ("found", "passes"),
    [
        (source((-120, True), (-60, True), (0, True)), True),
        (source((-119, True), (-60, True), (0, True)), False),
        # What nobody saw does not count: neither a gap, nor the time since the last look.
        (source((-121, True), (0, True)), False),
        (source((-180, True), (-120, True), (-61, True)), False),
        (source((-180, True), (-90, False), (-60, True), (0, True)), False),
        (source((-180, True), (-120, True), (-60, True), (0, False)), False),
        (source(), False),
    ],
)
def test_soak_is_unbroken_time_that_was_seen(found: Source, passes: bool) -> None:  # noqa: FBT001
    said = outcome("soak", facts({"live": {"maxAge": "1h"}, "soak": "2h"}, source=found))
    assert (said[0] == "passed") is passes, said


@pytest.mark.parametrize(
    ("scan", "said"),
    [
        (None, "errored"),
        (ScanFacts("prod", DIGEST, DIGEST, at(-60), (HEALTHY,)), "passed"),
        (ScanFacts("prod", DIGEST, DIGEST, at(-24 * 60), (HEALTHY,)), "passed"),
        (ScanFacts("prod", DIGEST, DIGEST, at(-24 * 60 - 0.1), (HEALTHY,)), "errored"),
        (ScanFacts("dev", DIGEST, DIGEST, at(), (HEALTHY,)), "errored"),
        (ScanFacts("prod", DIGEST, DIGEST, at(), ()), "errored"),
        (ScanFacts("prod", DIGEST, "", "", error="there is no database"), "errored"),
        (ScanFacts("prod", DIGEST, DIGEST, at(), (HEALTHY, replace(HEALTHY, error="no list"))), "errored"),
        (
            ScanFacts("prod", DIGEST, DIGEST, at(), (replace(HEALTHY, counts={"failed": 1}, failed=("CVE-1",)),)),
            "failed",
        ),
    ],
)
def test_scan_fails_by_rule_and_errs_when_it_cannot_be_told(scan: ScanFacts | None, said: str) -> None:
    assert outcome("scan", facts({"scan": {"policy": "prod"}}, scan=scan))[0] == said


def test_approvals_count_keys_and_not_records() -> None:
    gates = {"approvals": {"by": ["keys/*.pub"], "atLeast": 2}}
    one, again, two = Approval(DIGEST, at(), "1"), Approval(DIGEST, at(), "2"), Approval(OTHER, at(), "3")
    assert outcome("approvals", facts(gates, approvals=(one, again))) == ("failed", "1 of 2 needed")
    assert outcome("approvals", facts(gates, approvals=(one, two)))[0] == "passed"


def test_lineage_names_where_it_never_was() -> None:
    gates = {"lineage": ["dev", "staging"]}
    been = (Ancestor("dev", DIGEST), Ancestor("staging", ""))
    assert outcome("lineage", facts(gates, ancestors=been)) == ("failed", "it was never in staging")


def test_candidates_come_only_where_they_may() -> None:
    early = replace(CANDIDATE, version="2026.1.1-rc.1")
    assert outcome("candidate", facts(candidate=early))[0] == "failed"
    assert outcome("candidate", facts({"candidates": True}, candidate=early))[0] == "passed"


GATES = {
    "live": {"maxAge": "1h"},
    "soak": "1h",
    "scan": {"policy": "prod"},
    "lineage": ["dev"],
    "approvals": {"by": ["a.pub"]},
}
WHOLE = facts(
    GATES,
    source=source((-60, True), (0, True)),
    approvals=(Approval(DIGEST, at(), OTHER),),
    ancestors=(Ancestor("dev", OTHER),),
    scan=ScanFacts("prod", DIGEST, DIGEST, at(), (HEALTHY,)),
)


@given(st.permutations(range(4)), st.randoms())
def test_order_of_facts_makes_no_difference(order: list[int], chance: Any) -> None:
    verdicts = [replace(HEALTHY, image=f"i{number}", counts={"failed": number % 2}) for number in order]
    approvals = [Approval(f"sha256:{number}", at(), OTHER) for number in order]
    chance.shuffle(approvals)
    scan = ScanFacts("prod", DIGEST, DIGEST, at(), tuple(verdicts))
    found = decide(replace(WHOLE, scan=scan, approvals=tuple(approvals)))
    assert [str(item.outcome) for item in found.results] == [
        "passed", "passed", "passed", "passed", "passed", "failed", "passed",
    ]  # fmt: skip


def plan_of(found: Facts, override: str = "") -> PromotionPlan:
    decision = replace(decide(found), override=override)
    return PromotionPlan("prod", Pin(found.candidate.version, found.candidate.digest), decision, "change 1")


def test_plans_and_decisions_survive_json() -> None:
    import json

    plan = plan_of(WHOLE)
    assert plan.allowed
    assert read_plan(json.loads(json.dumps(plan.to_dict()))) == plan
    assert read_decision(json.loads(json.dumps(plan.decision.to_dict()))) == plan.decision


@pytest.mark.parametrize(
    "content", [None, [], {}, {"kind": "PromotionPlan", "apiVersion": "stackway/v1"}, {"kind": "Plan"}]
)
def test_saved_plan_that_is_none_is_told(content: Any) -> None:
    with pytest.raises(WrongInputError):
        read_plan(content)


def test_override_goes_past_gates_but_never_down() -> None:
    failing = replace(WHOLE, approvals=())
    assert not plan_of(failing).allowed
    assert plan_of(failing, "an outage").allowed
    down = replace(WHOLE, present=Present("2026.1.9", OTHER, "2026.1"))
    assert not plan_of(down, "an outage").allowed
    with pytest.raises(GateError, match=r"2026\.1\.1 may not get into prod") as caught:
        refuse(plan_of(down, "an outage"))
    assert "cannot be overridden" in caught.value.resolution
    assert "older than 2026.1.9" in caught.value.details


@pytest.mark.parametrize(
    ("later", "today", "why"),
    [
        (timedelta(hours=2, seconds=1), WHOLE, "too old"),
        (timedelta(hours=-1), WHOLE, "too old"),
        (timedelta(hours=1), replace(WHOLE, head=DIGEST), "has changed"),
        (timedelta(hours=1), replace(WHOLE, gates={}), "has changed"),
        (timedelta(hours=1), replace(WHOLE, source=source((0, True), pinned=OTHER)), "has changed"),
        (timedelta(hours=1), replace(WHOLE, candidate=replace(CANDIDATE, digest=OTHER)), "has changed"),
    ],
)
def test_saved_plan_holds_for_a_while_and_for_the_same_facts(later: timedelta, today: Facts, why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        check_still(plan_of(WHOLE), plan_of(today), NOW + later)


def test_saved_plan_of_the_same_facts_goes_on() -> None:
    newer = replace(WHOLE, at=at(60), approvals=(*WHOLE.approvals, Approval(OTHER, at(30), "1")))
    assert check_still(plan_of(WHOLE), plan_of(newer), NOW + timedelta(hours=1)) is None


def test_summary_says_passed_only_when_all_gates_did() -> None:
    author = promotion.Author("anna", NOW, "change 1")
    assert promotion.summary(plan_of(WHOLE), author).predicate["verificationResult"] == "PASSED"
    overridden = plan_of(replace(WHOLE, approvals=()), "an outage")
    assert promotion.summary(overridden, author).predicate["verificationResult"] == "FAILED"


def test_failed_and_errored_are_two_things() -> None:
    assert {str(item) for item in Outcome} == {"passed", "failed", "errored"}
