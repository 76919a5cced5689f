# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The records of environments against people who can write anything into the store, and keys that got into wrong hands."""

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from releases import gates, promotion, sign
from releases.audit import audit
from releases.channel import Channels, OvertakenError
from releases.difference import compare
from releases.history import history_table
from releases.keyring import Keyring, Place
from releases.keys import FileSigner
from releases.page import difference_page, history_page
from releases.promotion import Author, Grounds
from releases.records import (
    BrokenChainError,
    Chain,
    ChannelError,
    ExpiredChannelError,
    ForeignRecordError,
    ForkedChannelError,
    Kind,
    Observation,
    Pin,
    Record,
    ReplayedChannelError,
    check_fresh,
)
from releases.release import REPOSITORY
from releases.statements import make_bundle, sign_envelope
from releases.verify import read
from stackway.errors import RefusedError, WrongInputError
from tests.fakes.releases import NOW, FakeReleases, environment, keyring, new_release, new_signer

VERSIONS = ("2026.1.0", "2026.1.1", "2026.1.2")


class World:
    """Three environments in one store, with a key for each part."""

    def __init__(self, state: Path) -> None:
        self.owner, self.approver, self.observer, self.stranger = (
            new_signer(name) for name in ("owner", "approver", "observer", "stranger")
        )
        self.store = FakeReleases()
        self.pins = {}
        for version in VERSIONS:
            made = new_release(self.store, version, self.owner)
            self.pins[version] = Pin(version, made.digest)
        self.state, self.now = state, NOW
        self.places = {
            "dev": self.place("dev"),
            "staging": self.place("staging", source="dev", gates={"live": {"maxAge": "1h"}}),
            "prod": self.place(
                "prod", source="staging", gates={"approvals": {"by": ["a.pub"]}, "lineage": ["dev", "staging"]}
            ),
        }

    def ring(self, **changes: Any) -> Keyring:
        given = {"approvers": (self.approver.public,), "observers": (self.observer.public,), **changes}
        return replace(keyring(self.owner), **given)

    def place(self, name: str, ring: Keyring | None = None, **given: Any) -> Place:
        return environment(name, ring or self.ring(), **given)

    @property
    def channels(self) -> Channels:
        return Channels(self.store, self.state)

    def chain(self, name: str = "dev") -> Chain:
        return self.channels.read(self.places[name])

    def author(self, minutes: float = 1.0) -> Author:
        self.now += timedelta(minutes=minutes)
        return Author("anna", self.now, "change 1")

    def promote(self, version: str, name: str = "dev", *, override: str = "") -> Record:
        place = self.places[name]
        source = self.chain(place.spec.source) if place.spec.source else None
        ancestors = tuple(self.chain(item) for item in place.spec.gates.lineage)
        author = self.author()
        content = read(self.store, version)
        todo = promotion.plan(
            place, promotion.candidate_of(content), Grounds(self.chain(name), source, ancestors), author, override
        )
        promotion.refuse(todo)
        record = promotion.promotion(place, self.chain(name), todo, author)
        self.channels.append(place, record, self.owner)
        return record

    def observe(self, name: str, *, healthy: bool = True) -> None:
        record = promotion.observation(self.places[name], self.chain(name), Observation(healthy, 9, 0), self.author())
        self.channels.append(self.places[name], record, self.observer)

    def approve(self, version: str) -> None:
        record = promotion.approval(self.places["prod"], self.chain("prod"), self.pins[version], self.author())
        self.channels.append(self.places["prod"], record, self.approver)

    def roll_back(self, name: str) -> None:
        record = promotion.rollback(self.places[name], self.chain(name), None, self.author())
        self.channels.append(self.places[name], record, self.owner)

    def renew(self, name: str) -> None:
        record = promotion.renewal(self.places[name], self.chain(name), self.author())
        self.channels.append(self.places[name], record, self.owner)

    def write(self, record: Record, signer: FileSigner, tag: str = "") -> None:
        """Put a record there as somebody does who obeys no rule."""
        statement = record.statement()
        bundle = make_bundle(sign_envelope(statement, signer), signer.public)
        name = tag or f"channel-{record.environment}-{record.version}"
        sign.write_bundle(self.store.repository(REPOSITORY), statement, bundle, name)

    def forge(self, **changes: Any) -> Record:
        """Return the record that would follow in dev, with something else in it."""
        chain = self.chain()
        record = promotion.renewal(self.places["dev"], chain, self.author())
        return replace(record, **changes)

    def whole_way(self) -> None:
        """Bring the first release from dev to prod."""
        self.promote("2026.1.0", "dev")
        self.observe("dev")
        self.promote("2026.1.0", "staging")
        self.approve("2026.1.0")
        self.promote("2026.1.0", "prod")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_release_goes_from_dev_to_prod_and_every_decision_can_be_repeated(world: World) -> None:
    world.whole_way()
    chains = {name: world.chain(name) for name in world.places}
    for name, chain in chains.items():
        found = audit(chain, chains, images(world))
        assert found.is_good, found
        assert chain.pin == world.pins["2026.1.0"]
        assert name in history_table(chain.entries).to_text() or chain.entries


def images(world: World) -> Callable[[str], dict[str, str] | None]:
    def describe(digest: str) -> dict[str, str] | None:
        if digest not in world.store.repository(REPOSITORY).manifests:
            return None
        return {image.name: image.manifest.digest for image in read(world.store, digest).images}

    return describe


def test_gates_refuse_on_the_way(world: World) -> None:
    world.promote("2026.1.0", "dev")
    with pytest.raises(RefusedError, match="may not get into staging"):
        world.promote("2026.1.0", "staging")
    world.observe("dev", healthy=False)
    with pytest.raises(RefusedError) as caught:
        world.promote("2026.1.0", "staging")
    assert "not healthy" in caught.value.details
    world.observe("dev")
    world.promote("2026.1.0", "staging")
    with pytest.raises(RefusedError) as caught:
        world.promote("2026.1.0", "prod")
    assert "approvals failed: 0 of 1 needed" in caught.value.details


def test_approval_is_for_one_release_and_ends_with_the_next_move(world: World) -> None:
    world.whole_way()
    world.promote("2026.1.1", "dev")
    world.observe("dev")
    world.promote("2026.1.1", "staging")
    with pytest.raises(RefusedError):
        world.promote("2026.1.1", "prod")
    world.approve("2026.1.0")
    with pytest.raises(RefusedError):
        world.promote("2026.1.1", "prod")
    world.approve("2026.1.1")
    world.promote("2026.1.1", "prod")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"version": 2**63 - 1}, BrokenChainError),
        ({"version": 4}, BrokenChainError),
        ({"version": 2}, None),
        ({"previous": ""}, BrokenChainError),
        ({"previous": "sha256:" + "0" * 64}, BrokenChainError),
        ({"at": "2026-11-22T00:00:00+00:00"}, BrokenChainError),
        ({"environment": "prod"}, None),
    ],
)
def test_record_that_does_not_follow_is_refused(
    world: World, changes: dict[str, Any], error: type[ChannelError] | None
) -> None:
    world.promote("2026.1.0")
    record = world.forge(**changes)
    world.write(record, world.owner, f"channel-dev-{min(record.version, 2)}")
    if error is None and "environment" not in changes:
        assert world.chain().version == 2
        return
    with pytest.raises(error or ForeignRecordError):
        world.chain()


def test_gap_in_the_numbers_is_a_broken_chain(world: World) -> None:
    for version in VERSIONS:
        world.promote(version)
    names = world.store.repository(REPOSITORY).names
    del names["channel-dev-2"]
    with pytest.raises(BrokenChainError, match="missing"):
        world.chain()


def test_fast_forward_to_a_huge_number_does_not_lock_others_out(world: World) -> None:
    world.promote("2026.1.0")
    world.write(world.forge(version=2**31), world.owner, "channel-dev-999999999")
    with pytest.raises(BrokenChainError):
        world.chain()


@pytest.mark.parametrize("who", ["approver", "observer", "stranger"])
@pytest.mark.parametrize("kind", [Kind.RENEWAL, Kind.ROLLBACK])
def test_only_promoters_govern(world: World, who: str, kind: Kind) -> None:
    world.promote("2026.1.0")
    world.promote("2026.1.1")
    other = world.pins["2026.1.0"]
    world.write(world.forge(kind=kind, pin=other, about=other), getattr(world, who))
    with pytest.raises(ForeignRecordError):
        world.chain()


def test_owner_cannot_approve_and_observer_cannot_either(world: World) -> None:
    world.whole_way()
    before = promotion.approvals_of(world.chain("prod"), world.pins["2026.1.1"].digest)
    for signer in (world.owner, world.observer):
        record = promotion.approval(world.places["prod"], world.chain("prod"), world.pins["2026.1.1"], world.author())
        world.write(record, signer)
    assert promotion.approvals_of(world.chain("prod"), world.pins["2026.1.1"].digest) == before == ()


def test_more_in_a_record_than_a_record_has_is_refused(world: World) -> None:
    from releases.statements import CHANNEL, Subject, make_statement

    world.promote("2026.1.0")
    record = world.forge()
    subject = Subject("stackway.local/release", record.about.digest, {"dev.stackway.release": record.about.version})
    statement = make_statement(subject, CHANNEL, {**asdict(record), "kind": str(record.kind), "also": "this"})
    bundle = make_bundle(sign_envelope(statement, world.owner), world.owner.public)
    sign.write_bundle(world.store.repository(REPOSITORY), statement, bundle, "channel-dev-2")
    with pytest.raises(ForeignRecordError, match="is none"):
        world.chain()


def test_old_state_of_the_store_is_a_replay(world: World) -> None:
    world.promote("2026.1.0")
    world.promote("2026.1.1")
    assert world.chain().version == 2
    del world.store.repository(REPOSITORY).names["channel-dev-2"]
    with pytest.raises(ReplayedChannelError, match="older"):
        world.chain()


def test_other_history_is_a_fork(world: World) -> None:
    world.promote("2026.1.0")
    world.promote("2026.1.1")
    world.chain()
    first = world.chain().until(1)
    record = replace(promotion.renewal(world.places["dev"], first, world.author()), reason="another history")
    world.write(record, world.owner)
    with pytest.raises(ForkedChannelError, match="contradict"):
        world.chain()


def test_what_only_a_revoked_key_signed_counts_as_not_seen(world: World) -> None:
    thief = new_signer("thief")
    ring = world.ring(promoters=(world.owner.public, thief.public))
    world.places["dev"] = world.place("dev", ring)
    world.promote("2026.1.0")
    world.write(world.forge(), thief)
    assert world.chain().version == 2
    del world.store.repository(REPOSITORY).names["channel-dev-2"]
    with pytest.raises(ReplayedChannelError):
        world.chain()
    world.places["dev"] = world.place("dev", world.ring(revoked={thief.public: "stolen"}))
    assert world.chain().version == 1


def test_head_by_a_revoked_key_is_refused_until_somebody_takes_it_over(world: World) -> None:
    old = new_signer("old")
    world.places["dev"] = world.place("dev", world.ring(promoters=(old.public,)))
    world.owner, owner = old, world.owner
    world.promote("2026.1.0")
    world.owner = owner
    world.places["dev"] = world.place("dev", world.ring(revoked={old.public: "lost"}))
    with pytest.raises(ForeignRecordError, match="not signed by a key that may") as caught:
        world.chain()
    assert "release renew dev" in caught.value.resolution
    chain = world.channels.read(world.places["dev"], any_head=True)
    assert "revoked key: lost" in chain.entries[0].note
    world.channels.append(
        world.places["dev"], promotion.renewal(world.places["dev"], chain, world.author()), world.owner
    )
    assert world.chain().pin == world.pins["2026.1.0"]


def test_former_key_keeps_its_old_records_and_makes_no_new_ones(world: World) -> None:
    old = new_signer("old")
    world.places["dev"] = world.place("dev", world.ring(promoters=(old.public, world.owner.public)))
    world.owner, owner = old, world.owner
    world.promote("2026.1.0")
    world.owner = owner
    world.renew("dev")
    world.places["dev"] = world.place("dev", world.ring(former=(old.public,)))
    assert world.chain().version == 2
    world.write(world.forge(), old)
    with pytest.raises(ForeignRecordError):
        world.chain()


@pytest.mark.parametrize(("late", "is_good"), [(timedelta(microseconds=-1), True), (timedelta(), False)])
def test_channel_expires_at_the_moment_it_says(world: World, late: timedelta, is_good: bool) -> None:  # noqa: FBT001
    record = world.promote("2026.1.0")
    world.observe("dev")
    moment = datetime.fromisoformat(record.expires) + late
    if is_good:
        check_fresh(world.chain(), moment)
        assert world.chain().version == 2
        return
    with pytest.raises(ExpiredChannelError, match="have expired"):
        check_fresh(world.chain(), moment)


def test_clock_that_went_back_writes_nothing(world: World) -> None:
    world.promote("2026.1.0")
    world.now -= timedelta(days=1)
    with pytest.raises(RefusedError, match="from the future"):
        world.renew("dev")


def test_second_of_two_writers_is_told(world: World) -> None:
    world.promote("2026.1.0")
    mine = promotion.renewal(world.places["dev"], world.chain(), world.author())
    world.promote("2026.1.1")
    with pytest.raises(OvertakenError, match="somebody else wrote record 2"):
        world.channels.append(world.places["dev"], mine, world.owner)
    assert world.chain().pin == world.pins["2026.1.1"]


def test_rollback_goes_only_to_what_was_there(world: World) -> None:
    with pytest.raises(WrongInputError, match="nothing was ever promoted"):
        world.roll_back("dev")
    world.promote("2026.1.0")
    with pytest.raises(RefusedError, match="was never in dev"):
        world.roll_back("dev")
    world.promote("2026.1.1")
    world.roll_back("dev")
    assert world.chain().pin == world.pins["2026.1.0"]
    with pytest.raises(RefusedError, match=r"2026\.1\.2 was never in dev"):
        promotion.rollback(world.places["dev"], world.chain(), "2026.1.2", world.author())


def forged(world: World, change: Callable[[Any], Any]) -> list[str]:
    """Return what the audit says of a promotion whose facts were changed, although it is signed by a good key."""
    world.whole_way()
    world.promote("2026.1.1", "dev")
    world.observe("dev")
    world.promote("2026.1.1", "staging")
    world.approve("2026.1.1")
    place, author = world.places["prod"], world.author()
    grounds = Grounds(world.chain("prod"), world.chain("staging"), (world.chain("dev"), world.chain("staging")))
    candidate = promotion.candidate_of(read(world.store, "2026.1.1"))
    todo = promotion.plan(place, candidate, grounds, author)
    lied = change(todo.decision.facts)
    decision = lied if isinstance(lied, gates.Decision) else replace(todo.decision, facts=lied)
    world.write(promotion.promotion(place, world.chain("prod"), replace(todo, decision=decision), author), world.owner)
    chains = {name: world.chain(name) for name in world.places}
    return list(audit(chains["prod"], chains, images(world)).findings[-1].problems)


def test_honest_promotion_has_no_problems(world: World) -> None:
    assert forged(world, lambda facts: facts) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: replace(facts, approvals=()),
        lambda facts: replace(facts, approvals=(replace(facts.approvals[0], key="sha256:" + "0" * 64),)),
        lambda facts: replace(facts, approvals=(replace(facts.approvals[0], record="sha256:" + "0" * 64),)),
        lambda facts: replace(facts, present=None),
        lambda facts: replace(facts, head="sha256:" + "0" * 64),
        lambda facts: replace(facts, environment="dev"),
        lambda facts: replace(facts, at="2026-11-25T00:00:00+00:00"),
        lambda facts: replace(facts, source=replace(facts.source, version=1)),
        lambda facts: replace(facts, source=replace(facts.source, pinned="sha256:" + "0" * 64)),
        lambda facts: replace(facts, source=replace(facts.source, name="dev")),
        lambda facts: replace(
            facts, ancestors=(replace(facts.ancestors[0], record="sha256:" + "0" * 64), facts.ancestors[1])
        ),
        lambda facts: replace(facts, candidate=replace(facts.candidate, version="2026.1.2")),
        lambda facts: replace(facts, candidate=replace(facts.candidate, digest="sha256:" + "0" * 64)),
    ],
)
def test_forged_fact_is_found_although_it_is_signed(world: World, change: Callable[[Any], Any]) -> None:
    assert forged(world, change) != []


def test_results_that_the_gates_did_not_give_are_found(world: World) -> None:
    def lie(facts: Any) -> gates.Decision:
        honest = gates.decide(replace(facts, approvals=()))
        return replace(honest, results=tuple(replace(item, outcome=gates.Outcome.PASSED) for item in honest.results))

    problems = forged(world, lie)
    assert any("decided again" in item for item in problems)
    assert any("although gates refused: approvals" in item for item in problems)


STEPS = ("promote", "observe", "bad", "approve", "rollback", "renew", "stage", "prod")


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.sampled_from(VERSIONS)), max_size=12))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_honest_people_do_the_audit_is_quiet(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str]]
) -> None:
    world = World(tmp_path_factory.mktemp("world"))
    todo: dict[str, Callable[[str], object]] = {
        "promote": lambda version: world.promote(version, override="because"),
        "observe": lambda _: world.observe("dev"),
        "bad": lambda _: world.observe("dev", healthy=False),
        "approve": world.approve,
        "rollback": lambda _: world.roll_back("dev"),
        "renew": lambda _: world.renew("dev"),
        "stage": lambda _: world.promote(pinned(world, "dev"), "staging"),
        "prod": lambda _: world.promote(pinned(world, "staging"), "prod", override="because"),
    }
    for step, version in steps:
        try:
            todo[step](version)
        except (RefusedError, WrongInputError):
            continue
    chains = {name: world.chain(name) for name in world.places}
    assert [
        item for name in chains for item in audit(chains[name], chains, images(world)).findings if item.problems
    ] == []


def pinned(world: World, name: str) -> str:
    pin = world.chain(name).pin
    if pin is None:
        raise WrongInputError("nothing is pinned")
    return pin.version


def test_history_page_is_text_and_pictures_without_markup_from_outside(world: World) -> None:
    record = world.promote("2026.1.0")
    world.write(replace(world.forge(), actor="<script>alert(1)</script>", reason="<b>why</b>"), world.owner)
    world.observe("dev", healthy=False)
    page = history_page(world.chain())
    assert "<script" not in page
    assert "&lt;b&gt;why" in page
    assert page.count("<circle") == 3
    assert 'class="unhealthy"' in page
    assert record.pin is not None


def test_difference_of_two_releases_names_what_differs(world: World) -> None:
    before = read(world.store, "2026.1.0")
    older = FakeReleases()
    new_release(older, "2025.1.3", world.owner)
    found = compare(read(older, "2025.1.3"), before)
    assert {(item.where, item.what) for item in found.images} >= {("nova", "digest"), ("keystone", "digest")}
    assert compare(before, read(world.store, "2026.1.1")).is_empty
    page = difference_page(found)
    assert "Release 2025.1.3 to 2026.1.0" in page
    assert "<h2>images</h2>" in page
