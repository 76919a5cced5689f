# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Records of environments that are in no store: written by whoever has a key, whether they may or not."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from releases import promotion, records
from releases.facts import Candidate
from releases.keyring import Keyring, Place
from releases.keys import FileSigner
from releases.promotion import Author, Grounds, PromotionPlan
from releases.records import Chain, Kind, Observation, Pin, Record
from releases.statements import Envelope, Statement, read_envelope, sign_envelope
from stackway.files import digest_bytes
from tests.fakes.releases import NOW, environment, keyring, new_signer

OWNER, SECOND, OBSERVER, APPROVER, STRANGER = (
    new_signer(name) for name in ("owner", "second", "observer", "approver", "stranger")
)
PINS = tuple(Pin(f"2026.1.{number}", digest_bytes(f"release {number}".encode())) for number in range(4))
# Promoters, observers and approvers are three people; a second promoter stands by.
RING = replace(
    keyring(OWNER, SECOND),
    release=(),
    observers=(OBSERVER.public,),
    approvers=(APPROVER.public,),
)


def candidate(pin: Pin) -> Candidate:
    """Return what gates ask about a release of 2026.1."""
    return Candidate(pin.version, pin.digest, "2026.1", slurp=True, upgrades_from=("2025.1",), back={"nova": "pods"})


def sign(record: Record, *signers: FileSigner) -> tuple[list[Envelope], Statement]:
    """Return a record as signed by some."""
    statement = record.statement()
    return [read_envelope(sign_envelope(statement, signer)) for signer in signers], statement


@dataclass
class Book:
    """The records of one environment, and the clock on its writers' wall; each record comes a minute after the last."""

    place: Place = field(default_factory=lambda: environment("prod", RING))
    signed: list[tuple[list[Envelope], Statement]] = field(default_factory=list)
    now: datetime = NOW

    def chain(self, ring: Keyring | None = None, *, any_head: bool = False) -> Chain:
        """Return the records as somebody with these keys believes them."""
        return records.link(self.place.spec.name, self.signed, ring or self.place.keyring, any_head=any_head)

    def trusting(self) -> Chain:
        """Return the records as the writers see them, whoever may sign by now."""
        return self.chain(any_head=True)

    def author(self, minutes: float = 1.0) -> Author:
        """Return who writes, some minutes later."""
        self.now += timedelta(minutes=minutes)
        return Author("anna", self.now, "change 1")

    def add(self, record: Record, signer: FileSigner = OWNER) -> Record:
        """Sign a record and add it, without asking whether it may be."""
        self.signed.append(sign(record, signer))
        return record

    def follow(self, kind: Kind, **given: Any) -> Record:
        """Return a record of a kind with whatever is given, as somebody writes it who does not use our tool."""
        chain, author = self.trusting(), self.author()
        known = {"actor": author.name, "reason": author.reason, "about": chain.pin or PINS[0], "pin": chain.pin}
        expires = author.at + timedelta(days=90)
        return records.follow(chain, kind, at=author.at, expires=expires, **{**known, **given})

    def plan(self, pin: Pin, grounds: Mapping[str, Any] | None = None, override: str = "") -> PromotionPlan:
        """Return the plan to promote a release now."""
        author = self.author()
        return promotion.plan(self.place, candidate(pin), Grounds(self.trusting(), **(grounds or {})), author, override)

    def promote(self, pin: Pin, signer: FileSigner = OWNER, **grounds: Any) -> Record:
        """Promote a release; what gates refuse is overridden."""
        todo = self.plan(pin, grounds, "of the tests")
        author = Author("anna", self.now, "change 1")
        return self.add(promotion.promotion(self.place, self.trusting(), todo, author), signer)

    def observe(self, signer: FileSigner = OBSERVER, *, healthy: bool = True, minutes: float = 1.0) -> Record:
        """Tell how the release does."""
        seen = Observation(healthy, 9, 0 if healthy else 9)
        return self.add(promotion.observation(self.place, self.trusting(), seen, self.author(minutes)), signer)

    def approve(self, pin: Pin, signer: FileSigner = APPROVER) -> Record:
        """Agree to a release."""
        return self.add(promotion.approval(self.place, self.trusting(), pin, self.author()), signer)

    def renew(self, signer: FileSigner = OWNER) -> Record:
        """Say that the newest is still the newest."""
        return self.add(promotion.renewal(self.place, self.trusting(), self.author()), signer)

    def roll_back(self, version: str | None = None, signer: FileSigner = OWNER) -> Record:
        """Go back."""
        return self.add(promotion.rollback(self.place, self.trusting(), version, self.author()), signer)
