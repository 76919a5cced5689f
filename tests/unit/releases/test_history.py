# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Records as people read them, one line each."""

from dataclasses import replace

from releases.history import describe, history_table
from releases.records import Entry
from tests.fakes.chains import OBSERVER, OWNER, PINS, RING, SECOND, Book


def last(book: Book) -> Entry:
    return book.trusting().entries[-1]


def test_table_has_a_line_for_each_record_with_number_release_pin_and_signer() -> None:
    book = Book()
    book.approve(PINS[1])
    book.promote(PINS[1])
    book.promote(PINS[2])
    book.roll_back()
    lines = history_table(book.chain().entries).to_text().splitlines()
    assert lines[0].split()[:5] == ["NO", "AT", "RECORD", "RELEASE", "PIN"]
    assert [line.split()[2:6] for line in lines[1:]] == [
        ["approval", "2026.1.1", "-", "approver.pub"],
        ["promotion", "2026.1.1", "2026.1.1", "owner.pub"],
        ["promotion", "2026.1.2", "2026.1.2", "owner.pub"],
        ["rollback", "2026.1.1", "2026.1.1", "owner.pub"],
    ]


def test_table_of_nothing_has_a_head() -> None:
    assert history_table(()).to_text().startswith("NO")


def test_observation_says_how_many_failed_before_its_note() -> None:
    book = Book()
    book.promote(PINS[0])
    book.observe()
    assert describe(last(book)) == "healthy, 0 of 9 failed; change 1"
    book.observe(healthy=False)
    assert describe(last(book)) == "NOT healthy, 9 of 9 failed; change 1"


def test_override_and_lost_rights_stand_out() -> None:
    book = Book()
    book.promote(PINS[0])
    assert describe(last(book)) == "change 1; OVERRIDE: of the tests"
    book.observe(OWNER)
    assert describe(last(book)).endswith("; signed by a key that may not do so today")
    ring = replace(RING, observers=(), revoked={OBSERVER.public: "laptop stolen"})
    book.observe(OBSERVER)
    assert describe(book.chain(ring).entries[-1]).endswith("; signed by a revoked key: laptop stolen")


def test_record_without_a_word_has_a_dash() -> None:
    book = Book()
    book.promote(PINS[0])
    book.add(replace(book.follow(last(book).record.kind.RENEWAL), reason=""), SECOND)
    assert describe(last(book)) == "-"


def test_what_writers_put_into_a_reason_does_not_reach_the_terminal() -> None:
    book = Book()
    book.promote(PINS[0])
    book.add(replace(book.follow(last(book).record.kind.RENEWAL), reason="fine\x1b[2J\u202egnp\x07\r"))
    text = history_table(book.chain().entries).to_text()
    assert text.endswith("finegnp")
    assert text.isprintable() or set(text) - {"\n"} <= {char for char in text if char.isprintable()} | {"\n"}
