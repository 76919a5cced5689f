# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Promotions that are signed by the right key and lie all the same, each in one fact; and honest ones, which all pass."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases import gates, promotion
from releases.audit import Audit, Finding, audit
from releases.facts import Approval, Candidate, Facts, ImageVerdict, ScanFacts, Sight
from releases.gates import GateResult, Outcome
from releases.keyring import Keyring
from releases.records import Kind, Pin
from stackway.errors import RefusedError, WrongInputError
from tests.fakes.chains import APPROVER, OBSERVER, OWNER, PINS, RING, SECOND, Book, candidate
from tests.fakes.releases import environment

OTHER = "sha256:" + "0" * 64
IMAGES = {"keystone": "sha256:" + "1" * 64, "nova": "sha256:" + "2" * 64}
GATES = {
    "live": {"maxAge": "6h"},
    "soak": "1m",
    "scan": {"policy": "prod"},
    "approvals": {"by": ["keys/approver.pub"]},
    "lineage": ["dev", "staging"],
}
RETIRED = replace(RING, observers=(), approvers=(), former=(OBSERVER.public, APPROVER.public))


@dataclass
class Land:
    """Three environments with their records; prod asks everything."""

    dev: Book = field(default_factory=lambda: Book(environment("dev", RING)))
    staging: Book = field(default_factory=lambda: Book(environment("staging", RING, source="dev")))
    prod: Book = field(default_factory=lambda: Book(environment("prod", RING, source="staging", gates=GATES)))

    @property
    def books(self) -> dict[str, Book]:
        return {"dev": self.dev, "staging": self.staging, "prod": self.prod}

    def pass_time(self) -> None:
        """Let the clocks of all agree."""
        newest = max(book.now for book in self.books.values())
        for book in self.books.values():
            book.now = newest

    def act(self, name: str, step: str, *given: Any) -> None:
        self.pass_time()
        getattr(self.books[name], step)(*given)

    def promote(self, name: str, pin: Pin) -> None:
        self.pass_time()
        self.books[name].promote(pin, **self.grounds(name))

    def grounds(self, name: str) -> dict[str, Any]:
        source = {"staging": self.dev, "prod": self.staging}.get(name)
        if source is None:
            return {}
        ancestors = (self.dev.trusting(), self.staging.trusting()) if name == "prod" else ()
        return {"source": source.trusting(), "ancestors": ancestors, "scan": scan(self.prod.now.isoformat())}

    def audit(self, name: str = "prod", ring: Keyring = RING, **given: Any) -> Audit:
        chains = {key: book.chain(ring) for key, book in self.books.items()}
        return audit(chains[name], chains, lambda _: IMAGES, **given)

    def last(self, **given: Any) -> Finding:
        return self.audit(**given).findings[-1]


def scan(updated: str) -> ScanFacts:
    images = tuple(ImageVerdict(name, digest, OTHER, {"passed": 1}) for name, digest in IMAGES.items())
    return ScanFacts("prod", OTHER, OTHER, updated, images)


def ready() -> Land:
    """Return a land in which the second release is about to get into prod."""
    land = Land()
    for pin in PINS[:2]:
        land.promote("dev", pin)
        land.promote("staging", pin)
        land.act("staging", "observe")
        land.act("staging", "observe")
        land.act("prod", "approve", pin)
        if pin == PINS[0]:
            land.promote("prod", pin)
    land.pass_time()
    return land


def forge(change: Callable[[Facts], Facts], *, override: str = "because", about: Pin = PINS[1]) -> Land:
    """Return a land whose last promotion rests on changed facts, decided and signed as if they were true."""
    land = ready()
    todo = land.prod.plan(about, land.grounds("prod"))
    facts = change(todo.decision.facts)
    assert facts != todo.decision.facts
    try:
        decision = gates.decide(facts)
    except ValueError:
        decision = replace(todo.decision, facts=facts)
    lied = replace(todo, decision=replace(decision, override="" if decision.is_passed else override))
    land.prod.add(promotion.promotion(land.prod.place, land.prod.chain(), lied, land.prod.author(0)))
    return land


def of(part: str, **changes: Any) -> Callable[[Facts], Facts]:
    """Return what changes fields of one part of the facts; of a list's first item."""

    def change(facts: Facts) -> Facts:
        value: Any = getattr(facts, part)
        is_list = isinstance(value, tuple)
        changed: Any = (replace(value[0], **changes), *value[1:]) if is_list else replace(value, **changes)
        return replace(facts, **{part: changed})

    return change


def sights(change: Callable[[tuple[Sight, ...]], tuple[Sight, ...]]) -> Callable[[Facts], Facts]:
    def changed(facts: Facts) -> Facts:
        assert facts.source is not None
        return replace(facts, source=replace(facts.source, sights=change(facts.source.sights)))

    return changed


def judged(change: Callable[[tuple[ImageVerdict, ...]], tuple[ImageVerdict, ...]]) -> Callable[[Facts], Facts]:
    def changed(facts: Facts) -> Facts:
        assert facts.scan is not None
        return replace(facts, scan=replace(facts.scan, images=change(facts.scan.images)))

    return changed


ABOUT, HERE, APPROVED, SAID, SERIES, SEEN, JUDGED = (
    "its facts are about another record",
    "another release was here before",
    "its approvals are not on record",
    "decided again",
    "is of series",
    "what it says of staging is not on record there",
    "other images were judged",
)
LIES: dict[str, tuple[Callable[[Facts], Facts], str]] = {
    "environment": (lambda facts: replace(facts, environment="dev"), ABOUT),
    "at": (lambda facts: replace(facts, at="2026-11-20T00:00:00+00:00"), ABOUT),
    "at that is none": (lambda facts: replace(facts, at="soon"), "cannot be decided"),
    "head": (lambda facts: replace(facts, head=OTHER), ABOUT),
    "candidate.version": (of("candidate", version="2026.1.9"), ABOUT),
    "candidate.digest": (of("candidate", digest=OTHER), ABOUT),
    "candidate.series": (of("candidate", series="2026.2"), SERIES),
    "present": (lambda facts: replace(facts, present=None), HERE),
    "present.version": (of("present", version="2025.1.0"), HERE),
    "present.digest": (of("present", digest=OTHER), HERE),
    "present.series": (of("present", series="2025.1"), HERE),
    "source.name": (of("source", name="dev", version=1), "what it says of dev is not on record there"),
    "source.name that is not there": (of("source", name="test"), "the records of test are not at hand"),
    "source.head": (of("source", head=OTHER), SEEN),
    "source.version": (of("source", version=1), SEEN),
    "source.version zero": (of("source", version=0), "not at hand"),
    "source.version below zero": (of("source", version=-1), "not at hand"),
    "source.version to come": (of("source", version=99), "not at hand"),
    "source.pinned": (of("source", pinned=OTHER), SEEN),
    "sight left out": (sights(lambda seen: seen[1:]), SEEN),
    "sight made up": (sights(lambda seen: (*seen, replace(seen[-1], record=OTHER))), SEEN),
    "sight twice": (sights(lambda seen: (*seen, seen[-1])), SEEN),
    "sights in another order": (sights(lambda seen: seen[::-1]), SEEN),
    "sight.at": (sights(lambda seen: (replace(seen[0], at="2026-11-23T11:00:00+00:00"), *seen[1:])), SEEN),
    "sight.healthy": (sights(lambda seen: (replace(seen[0], healthy=False), *seen[1:])), SEEN),
    "sight.record": (sights(lambda seen: (replace(seen[0], record=OTHER), *seen[1:])), SEEN),
    "approval.key": (of("approvals", key=OTHER), APPROVED),
    "approval.at": (of("approvals", at="2026-11-23T11:00:00+00:00"), APPROVED),
    "approval.record": (of("approvals", record=OTHER), APPROVED),
    "approval made up": (
        lambda facts: replace(facts, approvals=(*facts.approvals, Approval(SECOND.public.id, facts.at, OTHER))),
        APPROVED,
    ),
    "ancestor.record": (of("ancestors", record=OTHER), "that it was in dev is not on record there"),
    "ancestor.environment": (of("ancestors", environment="test"), "that it was in test is not on record there"),
    "image.digest": (judged(lambda rows: (replace(rows[0], digest=OTHER), *rows[1:])), JUDGED),
    "image.image": (judged(lambda rows: (replace(rows[0], image="glance"), *rows[1:])), JUDGED),
    "image left out": (judged(lambda rows: rows[1:]), JUDGED),
    "image twice": (judged(lambda rows: (*rows, rows[0])), JUDGED),
}


@pytest.mark.parametrize("lie", LIES)
def test_lie_in_one_fact_is_named_although_the_right_key_signed_it(lie: str) -> None:
    change, why = LIES[lie]
    found = forge(change).audit()
    assert not found.is_good
    assert any(why in item for item in found.findings[-1].problems), found.findings[-1]


# What only people can know is told beside it, and is no problem by itself.
TOLD: dict[str, tuple[Callable[[Facts], Facts], str]] = {
    "gates": (
        lambda facts: replace(facts, gates={**facts.gates, "approvals": None, "soak": None}),
        "gates changed since the promotion before: approvals, soak",
    ),
    "source": (lambda facts: replace(facts, source=None), "overridden (live, soak)"),
    "approvals left out": (lambda facts: replace(facts, approvals=()), "overridden (approvals)"),
    "ancestors left out": (lambda facts: replace(facts, ancestors=()), "overridden (lineage)"),
    "scan left out": (lambda facts: replace(facts, scan=None), "overridden (scan)"),
    "scan.policy": (of("scan", policy="dev"), "overridden (scan)"),
    "scan.error": (of("scan", error="no database"), "overridden (scan)"),
    "scan.updated": (of("scan", updated="2026-11-01T00:00:00+00:00"), "overridden (scan)"),
}


@pytest.mark.parametrize("lie", TOLD)
def test_weaker_grounds_are_told_beside_the_promotion(lie: str) -> None:
    change, why = TOLD[lie]
    assert any(why in item for item in forge(change).last().remarks)


@pytest.mark.parametrize("lie", [lie for lie in TOLD if lie != "gates"])
def test_weaker_grounds_without_an_override_are_a_problem(lie: str) -> None:
    found = forge(TOLD[lie][0], override="").last()
    assert any("although gates refused" in item for item in found.problems)


@pytest.mark.parametrize(
    "change",
    [
        {"slurp": False},
        {"upgrades_from": ("2025.1", "2024.1")},
        {"back": {}},
        {"back": {"nova": "restore"}},
        {"series": "2026.2"},
    ],
)
def test_release_that_is_described_otherwise_is_named_when_it_is_at_hand(change: dict[str, Any]) -> None:
    def describe(digest: str) -> Candidate | None:
        return next((candidate(pin) for pin in PINS if pin.digest == digest), None)

    land = forge(of("candidate", **change))
    assert "it describes the release otherwise than the release itself" in land.last(candidates=describe).problems
    assert forge(of("approvals", key=OTHER)).last(candidates=describe).problems == (APPROVED,)
    assert "described" not in str(land.last(candidates=lambda _: None).problems)


def test_release_that_is_not_at_hand_is_told() -> None:
    land = ready()
    chains = {name: book.chain() for name, book in land.books.items()}
    finding = audit(chains["prod"], chains, lambda _: None).findings[1]
    assert finding.problems == ()
    assert "the release is not at hand, so its images were not compared" in finding.remarks


def test_downgrade_is_found_even_with_an_override() -> None:
    land = forge(of("candidate", back={}), about=PINS[1])
    todo = land.prod.plan(PINS[0], land.grounds("prod"), "because")
    land.prod.add(promotion.promotion(land.prod.place, land.prod.chain(), todo, land.prod.author(0)))
    assert any("although gates refused" in item and "upgrade path" in item for item in land.last().problems)


def test_results_that_gates_never_gave_are_found() -> None:
    land = ready()
    todo = land.prod.plan(PINS[1], {**land.grounds("prod"), "source": land.dev.chain()})
    assert not todo.allowed
    results = tuple(GateResult(item.gate, Outcome.PASSED, "it is fine") for item in todo.decision.results)
    lied = replace(todo, decision=replace(todo.decision, results=results))
    land.prod.add(promotion.promotion(land.prod.place, land.prod.chain(), lied, land.prod.author(0)))
    assert any(SAID in item and "live failed" in item for item in land.last().problems)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"decision": None}, "its decision cannot be read"),
        ({"decision": {"facts": 1}}, "its decision cannot be read"),
        ({"summary": ""}, "its summary is of another decision"),
        ({"summary": OTHER}, "its summary is of another decision"),
    ],
)
def test_record_whose_decision_or_summary_is_another_is_named(change: dict[str, Any], why: str) -> None:
    land = ready()
    todo = land.prod.plan(PINS[1], land.grounds("prod"))
    record = promotion.promotion(land.prod.place, land.prod.chain(), todo, land.prod.author(0))
    land.prod.add(replace(record, **change))
    assert land.last().problems == (why,)


def test_decision_that_says_more_than_one_does_is_named() -> None:
    land = ready()
    todo = land.prod.plan(PINS[1], land.grounds("prod"))
    record = promotion.promotion(land.prod.place, land.prod.chain(), todo, land.prod.author(0))
    land.prod.add(replace(record, decision={**(record.decision or {}), "blessed": "by all"}))
    assert land.last().problems == ("its decision says more or other things than a decision does",)


def test_rollback_to_what_was_never_there_is_named() -> None:
    land = ready()
    land.prod.add(land.prod.follow(Kind.ROLLBACK, about=PINS[3], pin=PINS[3]))
    assert land.last().problems == ("it goes to a release that was never here",)


def test_source_that_is_not_the_one_before_is_told() -> None:
    land = ready()
    land.dev.observe()
    land.dev.observe()
    land.pass_time()
    land.prod.promote(PINS[1], **{**land.grounds("prod"), "source": land.dev.chain()})
    assert land.last().problems == ()
    assert "it comes from dev, the promotion before came from staging" in land.last().remarks


@pytest.mark.parametrize("healthy", [True, False])
def test_old_news_of_the_source_are_told(healthy: bool) -> None:  # noqa: FBT001
    land = ready()
    old = land.grounds("prod")
    land.staging.observe(healthy=healthy)
    land.prod.now = land.staging.now + gates.CLOCKS_DIFFER
    land.prod.promote(PINS[1], **old)
    newest = land.staging.chain().entries[-1].record
    told = f"it was decided without record {newest.version} of staging, of {newest.at}"
    assert told in land.last().remarks
    assert land.last().problems == ()


def test_keys_that_may_no_more_are_told_and_no_problem() -> None:
    land = ready()
    land.promote("prod", PINS[1])
    remarks = " ".join(land.last(ring=RETIRED).remarks)
    assert land.audit(ring=RETIRED).is_good
    assert "an approval is signed by a key that may not do so today" in remarks
    assert "an observation (record 5 of staging) is signed by a key that may not do so today" in remarks


def test_approval_that_a_promoter_gave_himself_is_told() -> None:
    land = ready()
    land.act("prod", "promote", PINS[2])
    land.prod.approve(PINS[3], OWNER)
    forged = land.prod.plan(PINS[3], land.grounds("prod"))
    assert forged.decision.facts.approvals == ()
    entry = land.prod.chain().entries[-1]
    own = Approval(OWNER.public.id, entry.record.at, entry.digest)
    decision = gates.decide(replace(forged.decision.facts, approvals=(own,)))
    lied = replace(forged, decision=replace(decision, override="" if decision.is_passed else "because"))
    land.prod.add(promotion.promotion(land.prod.place, land.prod.chain(), lied, land.prod.author(0)))
    assert "an approval is signed by a key that may not do so today" in land.last().remarks


def test_audit_is_a_table_and_data_that_name_record_and_signer() -> None:
    land = forge(of("approvals", record=OTHER))
    rows = land.audit().to_table().to_text().splitlines()
    assert rows[0].split() == ["NO", "RECORD", "RELEASE", "AT", "SIGNED", "BY", "RESULT"]
    assert "owner.pub" in rows[-1]
    assert rows[-1].endswith(APPROVED)
    assert land.audit().to_dict()["findings"][-1]["problems"] == (APPROVED,)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["dev", "staging", "prod"]),
        st.sampled_from(["promote", "observe", "ill", "approve", "roll_back", "renew"]),
        st.sampled_from(PINS),
    ),
    max_size=14,
)


def live(land: Land, name: str, step: str, pin: Pin) -> None:
    """Do what honest people do: what the tool refuses they leave."""
    book = land.books[name]
    if step == "promote":
        land.pass_time()
        if book.plan(pin, land.grounds(name), "because").allowed:
            land.promote(name, pin)
    elif step == "ill":
        land.pass_time()
        book.observe(healthy=False)
    else:
        land.act(name, step, *([pin] if step == "approve" else []))


@given(STEPS)
def test_whatever_honest_people_do_is_borne_out_also_when_their_keys_are_old(steps: list[tuple[str, str, Pin]]) -> None:
    land = Land()
    for name, step, pin in steps:
        try:
            live(land, name, step, pin)
        except (RefusedError, WrongInputError):
            continue
    for ring in (RING, RETIRED):
        problems = [item for name in land.books for item in land.audit(name, ring).findings if item.problems]
        assert problems == []
