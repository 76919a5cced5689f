# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What gates say at the very moment, and to facts that are missing, odd, in another order, or from a wrong clock."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases.facts import Ancestor, Approval, Candidate, Facts, ImageVerdict, Present, ScanFacts, Sight, Source
from releases.gates import Decision, decide, read_decision
from stackway.errors import WrongInputError
from stackway.files import digest_bytes
from tests.fakes.releases import NOW

MOMENT = timedelta(microseconds=1)
NEW, OLD = digest_bytes(b"new"), digest_bytes(b"old")
NOVA = ImageVerdict("nova", NEW, NEW, {"passed": 3})
ALL = {
    "live": {"maxAge": "6h"},
    "soak": "12h",
    "scan": {"policy": "prod"},
    "approvals": {"by": ["keys/*.pub"], "atLeast": 2},
    "lineage": ["dev", "staging"],
    "freeze": [{"from": "2026-12-20", "to": "2027-01-06", "reason": "year end"}],
}


def facts(gates: dict[str, Any] | None = None, **changes: Any) -> Facts:
    candidate = Candidate("2026.1.1", NEW, "2026.1", slurp=True, upgrades_from=("2025.1",), back={"nova": "pods"})
    found = Facts("prod", NOW.isoformat(), gates or {}, candidate, Present("2026.1.0", OLD, "2026.1"), OLD)
    return replace(found, **changes)


def said(gate: str, found: Facts) -> tuple[str, str]:
    (result,) = (item for item in decide(found).results if item.gate == gate)
    return str(result.outcome), result.reason


def seen(*ages: tuple[timedelta, bool]) -> Source:
    """Return a source whose release was seen so long before now."""
    return Source("staging", OLD, 9, NEW, tuple(Sight((NOW - age).isoformat(), good, OLD) for age, good in ages))


def hours(number: float) -> timedelta:
    return timedelta(hours=number)


def judged(updated: datetime | str, *images: ImageVerdict) -> Facts:
    text = updated if isinstance(updated, str) else updated.isoformat()
    return facts({"scan": {"policy": "prod"}}, scan=ScanFacts("prod", OLD, OLD, text, images or (NOVA,)))


@pytest.mark.parametrize(
    ("age", "outcome"),
    [
        (hours(6), "passed"),
        (hours(6) + MOMENT, "failed"),
        (timedelta(), "passed"),
        (-timedelta(minutes=5), "passed"),
        (-timedelta(minutes=5) - MOMENT, "errored"),
    ],
)
def test_live_ends_to_the_microsecond(age: timedelta, outcome: str) -> None:
    assert said("live", facts({"live": {"maxAge": "6h"}}, source=seen((age, True))))[0] == outcome


@pytest.mark.parametrize(
    ("sights", "outcome"),
    [
        ([(hours(12), True), (hours(6), True), (hours(0), True)], "passed"),
        ([(hours(12) - MOMENT, True), (hours(6), True), (hours(0), True)], "failed"),
        # A gap: the time before it does not count.
        ([(hours(18), True), (hours(12) + MOMENT, True), (hours(6), True), (hours(0), True)], "failed"),
        ([(hours(18), True), (hours(12), True), (hours(6), True), (hours(0), True)], "passed"),
        # Not healthy in between, be it for a moment, and at the very moment of a good one.
        ([(hours(18), True), (hours(12), False), (hours(6), True), (hours(0), True)], "failed"),
        ([(hours(12), True), (hours(6), True), (hours(6), False), (hours(0), True)], "failed"),
        ([(hours(12), True), (hours(6), False), (hours(6), True), (hours(0), True)], "failed"),
        ([(hours(12), True), (hours(6), True), (hours(0), False)], "failed"),
    ],
)
def test_soak_counts_unbroken_health_to_the_microsecond(sights: list[tuple[timedelta, bool]], outcome: str) -> None:
    gates = {"live": {"maxAge": "6h"}, "soak": "12h"}
    assert said("soak", facts(gates, source=seen(*sights)))[0] == outcome


def test_soak_of_nothing_is_passed_by_one_look() -> None:
    gates = {"live": {"maxAge": "6h"}, "soak": "0m"}
    assert said("soak", facts(gates, source=seen((hours(1), True))))[0] == "passed"


@pytest.mark.parametrize("gate", ["live", "soak"])
def test_gate_on_a_source_errs_when_there_is_none(gate: str) -> None:
    decision = decide(facts({"live": {"maxAge": "6h"}, "soak": "12h"}, source=None))
    assert not decision.is_passed
    assert said(gate, decision.facts)[0] == "errored"


@pytest.mark.parametrize(
    ("made", "outcome", "why"),
    [
        (NOW - hours(24), "passed", "1 images pass prod"),
        (NOW - hours(24) - MOMENT, "errored", "24 hours old, 24h at most"),
        (NOW + timedelta(minutes=5), "passed", ""),
        (NOW + timedelta(minutes=5) + MOMENT, "errored", "from the future"),
        (NOW + timedelta(days=400), "errored", "a clock is wrong"),
        ("", "errored", "does not say how old"),
        ("0001-01-01T00:00:00Z", "errored", "does not say how old"),
        ("soon", "errored", "does not say how old"),
        ("2026-11-23T06:26:14.123456789Z", "passed", ""),
        ("2026-11-23T06:26:14", "passed", ""),
    ],
)
def test_database_is_neither_stale_nor_from_tomorrow(made: datetime | str, outcome: str, why: str) -> None:
    found = said("scan", judged(made))
    assert (found[0], why in found[1]) == (outcome, True), found


@pytest.mark.parametrize(
    ("image", "outcome", "why"),
    [
        (replace(NOVA, counts={}), "passed", ""),
        (replace(NOVA, counts={"failed": 0}), "passed", ""),
        (replace(NOVA, counts={"failed": 1}), "failed", "nova: 1 finding"),
        (replace(NOVA, failed=("CVE-1 in x",)), "failed", "nova: CVE-1 in x"),
        (replace(NOVA, counts={"failed": 40}, failed=tuple("abcdefgh")), "failed", "nova: a, b, c and 37 more"),
        (replace(NOVA, counts={"failed": 1}, error="no list"), "errored", "nova: no list"),
    ],
)
def test_image_that_fails_or_cannot_be_judged_stops(image: ImageVerdict, outcome: str, why: str) -> None:
    good = replace(NOVA, image="keystone")
    found = said("scan", judged(NOW, good, image))
    assert (found[0], why in found[1]) == (outcome, True), found


def test_many_bad_images_are_told_in_order_and_not_all() -> None:
    bad = [replace(NOVA, image=f"i{number}", counts={"failed": 1}) for number in range(9, 0, -1)]
    assert said("scan", judged(NOW, *bad))[1].endswith("i1: 1 finding; i2: 1 finding; i3: 1 finding; and 6 more")


@pytest.mark.parametrize(
    ("now", "outcome"),
    [
        (datetime(2026, 12, 19, 23, 59, 59, 999999, UTC), "passed"),
        (datetime(2026, 12, 20, tzinfo=UTC), "failed"),
        (datetime(2027, 1, 6, 23, 59, 59, 999999, UTC), "failed"),
        (datetime(2027, 1, 7, tzinfo=UTC), "passed"),
    ],
)
def test_freeze_ends_at_midnight_utc(now: datetime, outcome: str) -> None:
    gates = {"freeze": ALL["freeze"]}
    assert said("freeze", facts(gates, at=now.isoformat()))[0] == outcome
    elsewhere = now.astimezone(datetime.strptime("+0900", "%z").tzinfo)
    assert said("freeze", facts(gates, at=elsewhere.isoformat()))[0] == outcome


def test_freeze_may_last_until_the_end_of_time() -> None:
    gates = {"freeze": [{"from": "2026-01-01", "to": "9999-12-31", "reason": "closed"}]}
    assert said("freeze", facts(gates)) == ("failed", "closed: 2026-01-01 to 9999-12-31")


def test_approvals_below_the_threshold_say_how_many_are_missing() -> None:
    gates = {"approvals": {"by": ["keys/*.pub"], "atLeast": 2}}
    same = tuple(Approval(OLD, NOW.isoformat(), digest) for digest in (OLD, NEW))
    assert said("approvals", facts(gates, approvals=same)) == ("failed", "1 of 2 needed")
    assert said("approvals", facts(gates)) == ("failed", "0 of 2 needed")


def test_first_promotion_needs_nothing_before_it() -> None:
    decision = decide(facts(present=None, candidate=replace(facts().candidate, upgrades_from=())))
    assert decision.is_passed
    assert [item.reason for item in decision.results] == ["nothing was there before", "nothing to go back to"]


@pytest.mark.parametrize(
    ("old", "new", "earlier", "outcome"),
    [
        ("2026.1.0", "2026.1.0", (), "failed"),
        ("2026.1.0", "2026.1.1-rc.1", (), "passed"),
        ("2026.1.0-rc.2", "2026.1.0", (), "passed"),
        ("2026.1.0", "2026.1.0-rc.2", (), "failed"),
        ("2026.1.10", "2026.1.9", (), "failed"),
        ("2025.2.9", "2026.1.0", ("2025.2", "2025.1"), "passed"),
        ("2025.1.9", "2026.1.0", ("2025.2", "2025.1"), "passed"),
        ("2024.2.9", "2026.1.0", ("2025.2", "2025.1"), "failed"),
        ("2025.2.9", "2026.1.0", (), "failed"),
        ("2026.2.0", "2026.1.9", ("2026.2",), "failed"),
    ],
)
def test_upgrade_path_goes_up_by_known_steps(old: str, new: str, earlier: tuple[str, ...], outcome: str) -> None:
    series = new.rpartition("-")[0] or new
    candidate = replace(facts().candidate, version=new, series=series.rpartition(".")[0], upgrades_from=earlier)
    present = Present(old, OLD, old.partition("-")[0].rpartition(".")[0])
    assert said("upgrade path", facts(candidate=candidate, present=present))[0] == outcome


def test_gate_that_is_not_written_is_not_asked() -> None:
    asked = {item.gate for item in decide(facts(ALL)).results}
    assert asked == {"upgrade path", "way back", "freeze", "lineage", "live", "soak", "scan", "approvals"}
    assert {item.gate for item in decide(facts()).results} == {"upgrade path", "way back"}


AGES = st.integers(-10, 2000).map(lambda minutes: (timedelta(minutes=minutes), minutes % 7 != 0))
IMAGES = st.builds(
    ImageVerdict,
    st.sampled_from(["nova", "keystone", "glance"]),
    st.just(NEW),
    st.just(OLD),
    st.dictionaries(st.sampled_from(["passed", "failed"]), st.integers(0, 3)),
    st.lists(st.sampled_from(["CVE-1", "CVE-2"])).map(tuple),
    st.sampled_from(["", "", "", "no list"]),
)
FACTS = st.builds(
    lambda sights, keys, been, images, gates: facts(
        {name: ALL[name] for name in gates} | ({"live": ALL["live"]} if "soak" in gates else {}),
        source=seen(*sights),
        approvals=tuple(Approval(digest_bytes(bytes([key])), NOW.isoformat(), OLD) for key in keys),
        ancestors=tuple(Ancestor(name, OLD) for name in been),
        scan=ScanFacts("prod", OLD, OLD, NOW.isoformat(), tuple(images)),
    ),
    st.lists(AGES, max_size=6),
    st.lists(st.integers(0, 3), max_size=4),
    st.lists(st.sampled_from(["dev", "staging"]), max_size=3),
    st.lists(IMAGES, max_size=4),
    st.sets(st.sampled_from(sorted(ALL))),
)


@given(FACTS, st.randoms(use_true_random=False))
def test_facts_in_any_order_give_the_same_results(found: Facts, chance: Any) -> None:
    def mixed(items: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(chance.sample(items, len(items)))

    assert found.source is not None
    assert found.scan is not None
    other = replace(
        found,
        source=replace(found.source, sights=mixed(found.source.sights)),
        approvals=mixed(found.approvals),
        ancestors=mixed(found.ancestors),
        scan=replace(found.scan, images=mixed(found.scan.images)),
    )
    assert decide(other).results == decide(found).results


@given(FACTS, st.text(max_size=20))
def test_decision_survives_its_way_through_json(found: Facts, override: str) -> None:
    decision = replace(decide(found), override=override)
    read = read_decision(json.loads(json.dumps(decision.to_dict())))
    assert read == decision
    assert decide(read.facts).results == decision.results


@given(FACTS)
def test_more_trouble_never_lets_more_through(found: Facts) -> None:
    assert found.source is not None
    worse = replace(
        found,
        source=replace(found.source, sights=(*found.source.sights, Sight(NOW.isoformat(), healthy=False, record=OLD))),
        approvals=found.approvals[1:],
        ancestors=found.ancestors[1:],
    )
    before, after = ({item.gate for item in decide(item_).refusals} for item_ in (found, worse))
    assert before <= after


@pytest.mark.parametrize("content", [{}, {"facts": {}}, {"facts": None, "results": []}, {"results": [{"gate": 1}]}])
def test_decision_that_is_none_is_told_by_its_field(content: dict[str, Any]) -> None:
    with pytest.raises(WrongInputError, match="cannot be read") as caught:
        read_decision(content)
    assert "facts" in caught.value.details
    assert caught.value.resolution


def test_table_has_a_row_for_each_gate() -> None:
    decision: Decision = decide(facts(ALL))
    text = decision.to_table().to_text()
    assert len(text.splitlines()) == 1 + len(decision.results)
    assert "it was never in dev, staging" in text
