# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Chains of records against writers of every sort: with no key, with a key of another kind, with one that counts no more."""

import json
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases import records
from releases.keyring import Keyring
from releases.keys import FileSigner
from releases.records import (
    BrokenChainError,
    ChannelError,
    ExpiredChannelError,
    ForeignRecordError,
    ForkedChannelError,
    Kind,
    Observation,
    Pin,
    Record,
    ReplayedChannelError,
    Seen,
)
from releases.release import REPOSITORY, identity
from releases.statements import CHANNEL, PROVENANCE, Statement, Subject, make_statement, read_envelope, sign_envelope
from stackway.files import digest_bytes
from tests.fakes.chains import APPROVER, OBSERVER, OWNER, PINS, RING, SECOND, STRANGER, Book, sign

SEEN_WELL = Observation(healthy=True, requests=9)
HUGE = 2**63


def book(*pins: Pin) -> Book:
    """Return records that promote these releases, or the first."""
    made = Book()
    for pin in pins or PINS[:1]:
        made.promote(pin)
    return made


def without(signer: FileSigner, **given: Any) -> Keyring:
    """Return the keys without one that was a promoter's, which is now something else."""
    return replace(RING, promoters=tuple(key for key in RING.promoters if key != signer.public), **given)


# What follows what.


def test_chain_is_read_back_as_it_was_written() -> None:
    made = book(*PINS[:2])
    made.observe()
    made.approve(PINS[2])
    chain = made.chain()
    assert [item.record.kind for item in chain.entries] == ["promotion", "promotion", "observation", "approval"]
    assert (chain.pin, chain.version) == (PINS[1], 4)
    assert [item.note for item in chain.entries] == [""] * 4


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_record_that_was_taken_out_breaks_the_chain(gone: int) -> None:
    made = book(*PINS)
    del made.signed[gone]
    with pytest.raises(BrokenChainError, match="do not follow one another") as caught:
        made.chain()
    assert f"record {gone + 2} follows" in caught.value.details
    assert "whole" in caught.value.resolution


def test_records_in_another_order_break_the_chain() -> None:
    made = book(*PINS)
    made.signed[1:3] = reversed(made.signed[1:3])
    with pytest.raises(BrokenChainError):
        made.chain()


@pytest.mark.parametrize(
    "change",
    [
        *({"version": number} for number in (1, 3, 0, -2, HUGE)),
        *({"previous": digest} for digest in ("", digest_bytes(b"another"))),
    ],
)
def test_record_with_another_number_or_before_breaks_the_chain(change: dict[str, Any]) -> None:
    made = book()
    made.add(replace(made.follow(Kind.RENEWAL), **change))
    with pytest.raises(BrokenChainError):
        made.chain()


def test_time_may_stand_still_and_not_go_back() -> None:
    made = book()
    same = made.chain().entries[0].record.at
    made.add(replace(made.follow(Kind.RENEWAL), at=same))
    assert made.chain().version == 2
    before = datetime.fromisoformat(same) - timedelta(microseconds=1)
    made.add(replace(made.follow(Kind.RENEWAL), at=before.isoformat()))
    with pytest.raises(BrokenChainError, match="go back in time"):
        made.chain()


def test_records_of_two_environments_cannot_be_mixed() -> None:
    made = book()
    made.add(replace(made.follow(Kind.RENEWAL), environment="staging"))
    with pytest.raises(ForeignRecordError) as caught:
        made.chain()
    assert "of environment 'staging'" in caught.value.details


# What a record may say.


def odd(record: Record) -> Statement:
    """Return a record as a statement: as ours is, or where that cannot be written, as JSON can spell it."""
    try:
        return record.statement()
    except UnicodeEncodeError:
        subject = Subject(identity(REPOSITORY), record.about.digest, {"dev.stackway.release": record.about.version})
        return make_statement(subject, CHANNEL, json.dumps({**asdict(record), "kind": str(record.kind)}).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"at": "yesterday"},
        {"at": "2026-11-24T00:00:00"},
        {"at": "2026-11-24T00:00:00+01:00"},
        {"at": ""},
        {"expires": "never"},
        {"expires": "2027-01-01"},
        {"about": Pin("2026", PINS[0].digest)},
        {"about": Pin("../../x", PINS[0].digest)},
        {"about": Pin(PINS[0].version, "sha256:1")},
        {"pin": Pin("\ud800", PINS[0].digest)},
        {"observation": SEEN_WELL},
        {"reason": "half a character: \udcff"},
    ],
)
@pytest.mark.parametrize("signer", [OWNER, STRANGER])
def test_odd_record_is_refused_and_crashes_nobody(change: dict[str, Any], signer: FileSigner) -> None:
    made = book()
    statement = odd(replace(made.follow(Kind.RENEWAL), **change))
    made.signed.append(([read_envelope(sign_envelope(statement, signer))], statement))
    with pytest.raises(ForeignRecordError) as caught:
        made.chain()
    caught.value.details.encode()


def test_observation_says_what_was_seen() -> None:
    made = book()
    made.add(made.follow(Kind.OBSERVATION), OBSERVER)
    with pytest.raises(ForeignRecordError) as caught:
        made.chain()
    assert "without observation" in caught.value.details


@pytest.mark.parametrize(("field", "value"), [("extra", 1), ("version", "2"), ("kind", "coronation"), ("about", None)])
def test_record_with_more_or_other_fields_is_refused(field: str, value: object) -> None:
    made = book()
    _, statement = sign(made.follow(Kind.RENEWAL))
    lied = make_statement(statement.subject, CHANNEL, {**statement.predicate, field: value})
    made.signed.append(([read_envelope(sign_envelope(lied, OWNER))], lied))
    with pytest.raises(ForeignRecordError, match="a record of prod is none"):
        made.chain()


@pytest.mark.parametrize(
    "subject",
    [
        Subject(identity(REPOSITORY), PINS[3].digest, {"dev.stackway.release": PINS[0].version}),
        Subject(identity("nova"), PINS[0].digest, {"dev.stackway.release": PINS[0].version}),
        Subject(identity(REPOSITORY), PINS[0].digest, {}),
    ],
)
def test_statement_about_something_else_than_its_record_is_refused(subject: Subject) -> None:
    made = book()
    _, statement = sign(made.follow(Kind.RENEWAL))
    lied = make_statement(subject, CHANNEL, statement.predicate)
    made.signed.append(([read_envelope(sign_envelope(lied, OWNER))], lied))
    with pytest.raises(ForeignRecordError):
        made.chain()


def test_statement_of_another_type_is_no_record() -> None:
    made = book()
    _, statement = sign(made.follow(Kind.RENEWAL))
    lied = make_statement(statement.subject, PROVENANCE, statement.predicate)
    made.signed.append(([read_envelope(sign_envelope(lied, OWNER))], lied))
    with pytest.raises(ForeignRecordError) as caught:
        made.chain()
    assert PROVENANCE in caught.value.details


def test_decision_nested_beyond_measure_is_refused() -> None:
    made = book()
    nested: dict[str, Any] = {}
    for _ in range(300):
        nested = {"a": nested}
    record = made.follow(Kind.PROMOTION, about=PINS[1], pin=PINS[1])
    _, statement = sign(record)
    lied = make_statement(statement.subject, CHANNEL, {**statement.predicate, "decision": nested})
    made.signed.append(([read_envelope(sign_envelope(lied, STRANGER))], lied))
    with pytest.raises(ForeignRecordError):
        made.chain()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = tuple(asdict(book().chain().entries[0].record))


@given(st.dictionaries(st.sampled_from(FIELDS), JSON, min_size=1))
def test_whatever_is_in_the_fields_ends_in_a_record_or_our_error(fields: dict[str, Any]) -> None:
    _, statement = sign(book().follow(Kind.RENEWAL))
    lied = make_statement(statement.subject, CHANNEL, json.dumps({**statement.predicate, **fields}).encode())
    try:
        found = records.read_record("prod", lied)
    except ForeignRecordError:
        return
    assert found.statement().payload == lied.payload


# Who may say what.


@pytest.mark.parametrize("signer", [OBSERVER, APPROVER, STRANGER])
@pytest.mark.parametrize("kind", [Kind.PROMOTION, Kind.ROLLBACK, Kind.RENEWAL])
def test_only_promoters_govern(kind: Kind, signer: FileSigner) -> None:
    made = book()
    about = PINS[0] if kind is Kind.RENEWAL else PINS[1]
    made.add(made.follow(kind, about=about, pin=about), signer)
    with pytest.raises(ForeignRecordError):
        made.chain()


@pytest.mark.parametrize("signer", [OBSERVER, APPROVER, OWNER, STRANGER])
@pytest.mark.parametrize(("kind", "seen"), [(Kind.OBSERVATION, SEEN_WELL), (Kind.APPROVAL, None), (Kind.RENEWAL, None)])
@pytest.mark.parametrize("pin", [None, PINS[1], replace(PINS[0], version="2026.1.9")])
def test_record_that_is_no_move_moves_nothing(
    kind: Kind, seen: Observation | None, signer: FileSigner, pin: Pin | None
) -> None:
    made = book()
    made.add(made.follow(kind, about=pin or PINS[1], pin=pin, observation=seen), signer)
    with pytest.raises(ForeignRecordError) as caught:
        made.chain()
    assert "moves the pin" in caught.value.details


def test_observer_pins_nothing_where_nothing_was_promoted() -> None:
    made = Book()
    made.add(made.follow(Kind.OBSERVATION, about=PINS[0], pin=PINS[0], observation=SEEN_WELL), OBSERVER)
    with pytest.raises(ForeignRecordError):
        made.chain()


def test_observation_is_of_what_is_pinned() -> None:
    made = book()
    made.add(made.follow(Kind.OBSERVATION, about=PINS[1], observation=SEEN_WELL), OBSERVER)
    with pytest.raises(ForeignRecordError) as caught:
        made.chain()
    assert "about another release than the pin" in caught.value.details


@pytest.mark.parametrize("pin", [None, PINS[2]])
def test_promotion_pins_what_it_is_about(pin: Pin | None) -> None:
    made = book()
    made.add(made.follow(Kind.PROMOTION, about=PINS[1], pin=pin))
    with pytest.raises(ForeignRecordError) as caught:
        made.chain()
    assert "pins another release than it is about" in caught.value.details


@pytest.mark.parametrize(
    ("kind", "signer"),
    [(Kind.OBSERVATION, OWNER), (Kind.OBSERVATION, APPROVER), (Kind.APPROVAL, OWNER), (Kind.APPROVAL, OBSERVER)],
)
def test_key_of_another_part_is_noted(kind: Kind, signer: FileSigner) -> None:
    made = book()
    made.add(made.follow(kind, observation=SEEN_WELL if kind is Kind.OBSERVATION else None), signer)
    assert made.chain().entries[-1].note == "signed by a key that may not do so today"


def test_record_that_nobody_known_signed_is_refused() -> None:
    made = book()
    made.observe(STRANGER)
    with pytest.raises(ForeignRecordError) as caught:
        made.chain()
    assert "record 2 is signed by none of the known keys" in caught.value.details


def test_record_without_any_signature_is_refused() -> None:
    made = book()
    made.signed.append(([], made.follow(Kind.RENEWAL).statement()))
    with pytest.raises(ForeignRecordError):
        made.chain()


# Keys that count no more.


@pytest.mark.parametrize(
    ("ring", "note"),
    [
        (without(OWNER, former=(OWNER.public,)), "may not do so today"),
        (without(OWNER, revoked={OWNER.public: "stolen"}), "signed by a revoked key: stolen"),
    ],
)
def test_old_key_in_the_middle_is_noted_and_at_the_head_refused(ring: Keyring, note: str) -> None:
    made = book()
    with pytest.raises(ForeignRecordError, match="not signed by a key that may") as caught:
        made.chain(ring)
    assert note in caught.value.details
    assert "`release renew prod` takes it over" in caught.value.resolution
    made.renew(SECOND)
    assert [note in item.note for item in made.chain(ring).entries] == [True, False]


@pytest.mark.parametrize("healthy", [True, False])
def test_observing_what_a_revoked_key_pinned_does_not_make_it_right(healthy: bool) -> None:  # noqa: FBT001
    made = book()
    made.observe(SECOND, healthy=healthy)
    ring = without(OWNER, revoked={OWNER.public: "stolen"}, observers=(SECOND.public,), approvers=(SECOND.public,))
    with pytest.raises(ForeignRecordError, match="not signed by a key that may"):
        made.chain(ring)
    made.approve(PINS[1], SECOND)
    with pytest.raises(ForeignRecordError, match="not signed by a key that may"):
        made.chain(ring)


def test_key_that_was_taken_out_and_is_in_no_part_is_unknown() -> None:
    made = book()
    made.renew(SECOND)
    with pytest.raises(ForeignRecordError) as caught:
        made.chain(without(OWNER))
    assert "record 1" in caught.value.details


# How long, and what was seen.


def test_records_expire_at_a_moment_whoever_writes_meanwhile() -> None:
    made = book()
    moment = datetime.fromisoformat(made.chain().entries[0].record.expires)
    made.observe(minutes=60)
    made.approve(PINS[1])
    records.check_fresh(made.chain(), moment - timedelta(microseconds=1))
    with pytest.raises(ExpiredChannelError, match="have expired") as caught:
        records.check_fresh(made.chain(), moment)
    assert "`release renew prod`" in caught.value.resolution


def test_renewal_makes_records_fresh_and_nothing_else_does() -> None:
    made = book()
    late = datetime.fromisoformat(made.chain().entries[0].record.expires)
    made.renew()
    records.check_fresh(made.chain(), late)
    assert made.chain().pin == PINS[0]


def test_older_state_than_seen_is_a_replay() -> None:
    made = book(*PINS[:3])
    seen = records.seen_of(made.chain())
    for length in (2, 1, 0):
        del made.signed[length:]
        with pytest.raises(ReplayedChannelError) as caught:
            records.check_seen(made.chain(), seen, ())
        assert f"the newest is number {length}, before it was 3" in caught.value.details


def test_other_state_of_the_same_length_is_a_fork_and_a_longer_one_too() -> None:
    made, other = book(*PINS[:2]), book(PINS[0], PINS[2])
    seen = records.seen_of(made.chain())
    for _ in range(2):
        with pytest.raises(ForkedChannelError, match="contradict"):
            records.check_seen(other.chain(), seen, ())
        other.renew()


def test_what_goes_on_from_what_was_seen_is_good() -> None:
    made = book()
    seen = records.seen_of(made.chain())
    made.observe()
    records.check_seen(made.chain(), seen, ())
    records.check_seen(made.chain(), None, ())
    assert records.seen_of(Book().chain()) is None


def test_what_only_a_revoked_key_signed_can_be_undone_and_no_more() -> None:
    made = book(*PINS[:2])
    good = list(made.signed)
    made.promote(PINS[2], SECOND)
    made.observe()
    made.promote(PINS[3], SECOND)
    seen, bad = records.seen_of(made.chain()), (SECOND.public,)
    made.signed[:] = made.signed[:4]
    records.check_seen(made.trusting(), seen, bad)
    made.signed[:] = good
    with pytest.raises(ReplayedChannelError) as caught:
        records.check_seen(made.chain(), seen, bad)
    assert "before it was 4" in caught.value.details


def test_revoked_observer_at_the_head_opens_no_way_back() -> None:
    made = book(*PINS[:3])
    made.observe()
    seen = records.seen_of(made.chain())
    del made.signed[1:]
    with pytest.raises(ReplayedChannelError):
        records.check_seen(made.chain(), seen, (OBSERVER.public,))


def test_seen_of_older_checkouts_binds_as_it_did() -> None:
    made = book(*PINS[:2])
    digest = made.chain().entries[1].digest
    del made.signed[1:]
    with pytest.raises(ReplayedChannelError):
        records.check_seen(made.chain(), Seen(2, digest), (OWNER.public,))
    records.check_seen(made.chain(), Seen(2, digest, (OWNER.public.id,)), (OWNER.public,))


STEPS = st.lists(st.sampled_from(["promote", "observe", "approve", "renew"]), min_size=1, max_size=6)


@given(STEPS, st.data())
def test_no_change_of_stored_records_goes_unseen(steps: list[str], data: st.DataObject) -> None:
    made = book()
    for number, step in enumerate(steps):
        words = (PINS[number % 4],) if step in {"promote", "approve"} else ()
        getattr(made, step)(*words)
    seen, whole = records.seen_of(made.chain()), list(made.signed)
    order = data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=len(whole) + 1))
    made.signed[:] = [whole[number] for number in order]
    if made.signed == whole:
        return
    with pytest.raises(ChannelError):
        records.check_seen(made.chain(), seen, ())
