# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The records of an environment: each a signed statement that names the one before it. Pure: shapes, and what makes a chain.

A record's version is one more than that of the record before. Its digest is that of its signed bytes, so nothing in it,
nor in any earlier one, can be changed, left out or put in another order without every later signature failing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from releases.keyring import Keyring
from releases.keys import PublicKey
from releases.release import REPOSITORY, VerificationError, identity, told
from releases.statements import CHANNEL, Envelope, Statement, Subject, make_statement
from releases.version import is_version

if TYPE_CHECKING:
    from pydantic import TypeAdapter


class Kind(StrEnum):
    """What a record says."""

    PROMOTION = "promotion"
    ROLLBACK = "rollback"
    RENEWAL = "renewal"
    OBSERVATION = "observation"
    APPROVAL = "approval"


MOVES = frozenset({Kind.PROMOTION, Kind.ROLLBACK})
# By these a promoter says what holds; only they keep the records fresh.
GOVERNING = MOVES | {Kind.RENEWAL}


class ChannelError(VerificationError):
    """The records of an environment cannot be believed; the class says why."""


class BrokenChainError(ChannelError):
    """A record does not follow the one it says it follows."""


class ForeignRecordError(ChannelError):
    """A record is of another environment, of no known shape, or signed by none of the keys that may."""


class ExpiredChannelError(ChannelError):
    """The newest record is older than records are believed: there may be newer ones that somebody keeps from us."""


class ReplayedChannelError(ChannelError):
    """The place gives an older state of the records than was seen before."""


class ForkedChannelError(ChannelError):
    """The place gives records that contradict those that were seen before."""


@dataclass(frozen=True)
class Pin:
    """The release that is meant to run in an environment."""

    version: str
    digest: str


@dataclass(frozen=True)
class Observation:
    """What was seen of a release that runs: whether it was healthy, and the counts behind that (probe → number)."""

    healthy: bool
    requests: int = 0
    failures: int = 0
    note: str = ""


@dataclass(frozen=True)
class Record:
    """One entry. `pin` is the environment's after it, None while there is none; `about` is the release it is about.

    `at` and `expires` are UTC in ISO 8601. `decision` is that of a promotion: what was looked at and what came of it;
    `summary` is the digest of the statement that says so in SLSA's words.
    """

    environment: str
    version: int
    previous: str
    kind: Kind
    at: str
    expires: str
    actor: str
    reason: str
    about: Pin
    pin: Pin | None
    observation: Observation | None = None
    decision: Mapping[str, Any] | None = None
    summary: str = ""

    def statement(self) -> Statement:
        """Return the record as a statement about its release."""
        subject = Subject(identity(REPOSITORY), self.about.digest, {"dev.stackway.release": self.about.version})
        return make_statement(subject, CHANNEL, {**asdict(self), "kind": str(self.kind)})


@dataclass(frozen=True)
class Entry:
    """A record as it was read: the digest of its signed bytes, and the keys of the environment that signed it."""

    record: Record
    digest: str
    signers: tuple[PublicKey, ...]
    note: str = ""


@dataclass(frozen=True)
class Chain:
    """All records of an environment, oldest first, each following the one before it. Empty: nothing was ever promoted."""

    environment: str
    entries: tuple[Entry, ...] = ()

    @property
    def head(self) -> Entry | None:
        """The newest record."""
        return self.entries[-1] if self.entries else None

    @property
    def pin(self) -> Pin | None:
        """The release that is meant to run."""
        return self.head.record.pin if self.head else None

    @property
    def version(self) -> int:
        """The number of the newest record, 0 for none."""
        return self.head.record.version if self.head else 0

    def until(self, version: int) -> "Chain":
        """Return the chain as it was when the record with that number was the newest."""
        return Chain(self.environment, self.entries[:version])

    def moved(self) -> Entry | None:
        """Return the record by which the present pin came."""
        return next((item for item in reversed(self.entries) if item.record.kind in MOVES), None)

    def governing(self) -> Entry | None:
        """Return the newest record by which a promoter said what holds."""
        return next((item for item in reversed(self.entries) if item.record.kind in GOVERNING), None)

    def since_move(self, kind: Kind) -> list[Entry]:
        """Return the records of a kind since the present pin came, oldest first."""
        moved = self.moved()
        start = moved.record.version if moved else 0
        return [item for item in self.entries[start:] if item.record.kind is kind]

    def has_pinned(self, digest: str) -> Entry | None:
        """Return the first record that pinned a release, None when none did."""
        moves = (item for item in self.entries if item.record.kind in MOVES)
        return next((item for item in moves if item.record.pin and item.record.pin.digest == digest), None)


@dataclass(frozen=True)
class Seen:
    """The newest record that this checkout has seen of an environment, and who had signed it (identifiers).

    `earlier` are the newest records that others had signed: they still bind when the newest one's key is revoked.
    """

    version: int
    digest: str
    signers: tuple[str, ...] = field(default=())
    earlier: tuple["Seen", ...] = ()


def follow(chain: Chain, kind: Kind, *, at: datetime, expires: datetime, **given: Any) -> Record:
    """Return the record that follows a chain; `given` are its other fields."""
    head = chain.head
    return Record(
        chain.environment,
        chain.version + 1,
        head.digest if head else "",
        kind,
        at.isoformat(timespec="seconds"),
        expires.isoformat(timespec="seconds"),
        **given,
    )


def read_record(environment: str, statement: Statement) -> Record:
    """Return the record in a signed statement. Raises ForeignRecordError for any that is not of this environment."""
    from pydantic import ValidationError

    if statement.predicate_type != CHANNEL:
        raise _foreign(environment, statement.digest, f"it is a statement of type {statement.predicate_type}")
    try:
        record = _adapter().validate_python(dict(statement.predicate))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _foreign(environment, statement.digest, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    if record.environment != environment:
        raise _foreign(environment, statement.digest, f"it is of environment {record.environment!r}")
    if why := next(_odd(record), ""):
        raise _foreign(environment, statement.digest, why)
    # What is read must be all that was signed: no other subject, no key that the record does not have.
    if not _says_all(record, statement):
        raise _foreign(environment, statement.digest, "it says more or other things than a record does")
    return record


def _odd(record: Record) -> Iterator[str]:
    """Yield what no record of ours says; nobody has checked a signature yet."""
    from buildkit.references import is_digest

    for name, text in (("at", record.at), ("expires", record.expires)):
        if not _is_moment(text):
            yield f"{name} is {text!r}, which is no moment in UTC"
    for name, pin in (("about", record.about), ("pin", record.pin)):
        if pin and not (is_version(pin.version) and is_digest(pin.digest)):
            yield f"{name} is no release: {pin}"
    if record.kind in MOVES and record.pin != record.about:
        yield f"a record of kind {record.kind} pins another release than it is about"
    if (record.observation is not None) != (record.kind is Kind.OBSERVATION):
        yield f"a record of kind {record.kind} {'with an' if record.observation else 'without'} observation"


def _says_all(record: Record, statement: Statement) -> bool:
    try:
        return record.statement().payload == statement.payload
    except (ValueError, RecursionError):  # half a character, or a decision nested beyond all measure
        return False


def link(
    environment: str,
    signed: Sequence[tuple[Sequence[Envelope], Statement]],
    keyring: Keyring,
    *,
    any_head: bool = False,
) -> Chain:
    """Return the chain that signed records make, given oldest first.

    The newest must be signed by a key that counts today, unless `any_head` is allowed (for the record that takes it over).
    Those before it are held by its hash, so an old record may be signed by a former or revoked key; that is noted.
    Raises a ChannelError.
    """
    entries: list[Entry] = []
    for envelopes, statement in signed:
        record = read_record(environment, statement)
        _check_link(entries[-1] if entries else None, record, statement.digest)
        entries.append(_entry(record, statement, envelopes, keyring))
    if entries and not any_head:
        _check_head(entries, keyring)
    return Chain(environment, tuple(entries))


def _entry(record: Record, statement: Statement, envelopes: Sequence[Envelope], keyring: Keyring) -> Entry:
    by_kind = {Kind.APPROVAL: keyring.approvers, Kind.OBSERVATION: keyring.observers}
    if signers := _signers(envelopes, by_kind.get(record.kind, keyring.promoters)):
        return Entry(record, statement.digest, signers)
    old = (*keyring.former, *keyring.release, *keyring.approvers, *keyring.promoters, *keyring.observers)
    if signers := _signers(envelopes, old):
        return Entry(record, statement.digest, signers, "signed by a key that may not do so today")
    if signers := _signers(envelopes, tuple(keyring.revoked)):
        return Entry(record, statement.digest, signers, f"signed by a revoked key: {keyring.revoked[signers[0]]}")
    raise _foreign(record.environment, statement.digest, f"record {record.version} is signed by none of the known keys")


def _signers(envelopes: Iterable[Envelope], keys: tuple[PublicKey, ...]) -> tuple[PublicKey, ...]:
    return tuple(sorted({key for envelope in envelopes for key in envelope.signers(keys)}))


def _check_link(before: Entry | None, record: Record, digest: str) -> None:
    expected = (before.record.version + 1, before.digest) if before else (1, "")
    if (record.version, record.previous) != expected:
        raise BrokenChainError(
            f"the records of {record.environment} do not follow one another",
            details=f"{digest}: record {record.version} follows {record.previous or 'nothing'}, "
            f"expected was record {expected[0]} after {expected[1] or 'nothing'}",
            resolution="Somebody removed, added or changed a record. Bring the store back from a copy that is whole.",
        )
    if before and _moment(record.at) < _moment(before.record.at):
        raise BrokenChainError(
            f"the records of {record.environment} go back in time",
            details=f"record {record.version} is of {record.at}, the one before it of {before.record.at}",
            resolution="Check the clock of the machine that wrote it.",
        )
    pin = before.record.pin if before else None
    if record.kind not in MOVES and record.pin != pin:
        raise _foreign(record.environment, digest, f"record {record.version}, of kind {record.kind}, moves the pin")
    if record.kind in {Kind.RENEWAL, Kind.OBSERVATION} and record.about != pin:
        raise _foreign(record.environment, digest, f"record {record.version} is about another release than the pin")


def _check_head(entries: list[Entry], keyring: Keyring) -> None:
    """Refuse a chain whose newest governing record no promoter of today has signed.

    That somebody observed or approved after it does not help: by that nobody says that the pin is right.
    """
    governing = [item for item in entries if item.record.kind in GOVERNING]
    if governing and not set(keyring.promoters) & set(governing[-1].signers):
        loose = governing[-1]
        name = loose.record.environment
        raise ForeignRecordError(
            f"the newest pin of {name} is not signed by a key that may",
            details=f"record {loose.record.version} ({loose.digest}): {loose.note}",
            resolution=f"Look at `release history {name}`; if it is right, `release renew {name}` takes it over.",
        )


def check_fresh(chain: Chain, now: datetime) -> None:
    """Raise ExpiredChannelError when no promoter has signed a record for too long."""
    newest = chain.governing()
    if newest and _moment(newest.record.expires) <= now:
        raise ExpiredChannelError(
            f"the records of {chain.environment} have expired",
            details=f"the newest of a promoter, number {newest.record.version}, was good until {newest.record.expires}",
            resolution=f"If there is no newer one, `release renew {chain.environment}` says so with a signature.",
        )


def check_seen(chain: Chain, seen: Seen | None, revoked: Iterable[PublicKey]) -> None:
    """Raise ReplayedChannelError or ForkedChannelError when a chain is not a continuation of what was seen.

    What only revoked keys had signed counts as not seen: that is how one recovers after such a key was misused. What
    others had signed before it still counts, and so does all that theirs follows.
    """
    bad = {key.id for key in revoked}
    marks = (seen, *seen.earlier) if seen else ()
    good = [item for item in marks if not item.signers or set(item.signers) - bad]
    seen = max(good, key=lambda item: item.version, default=None)
    if seen is None:
        return
    if chain.version < seen.version:
        raise ReplayedChannelError(
            f"the records of {chain.environment} are older than those seen before",
            details=f"now the newest is number {chain.version}, before it was {seen.version} ({seen.digest})",
            resolution="Somebody, or a stale mirror, gives out an old state. Use the right store; do not deploy from this one.",
        )
    if chain.entries[seen.version - 1].digest != seen.digest:
        raise ForkedChannelError(
            f"the records of {chain.environment} contradict those seen before",
            details=f"record {seen.version} was {seen.digest}, now it is {chain.entries[seen.version - 1].digest}",
            resolution="Two histories exist. Find out which is right; when a key was misused, revoke it in the environment.",
        )


def seen_of(chain: Chain) -> Seen | None:
    """Return what is to be remembered of a chain, None for an empty one."""
    marks: dict[tuple[str, ...], Seen] = {}
    for item in chain.entries:
        signers = tuple(sorted(key.id for key in item.signers))
        marks[signers] = Seen(item.record.version, item.digest, signers)
    ordered = sorted(marks.values(), key=lambda item: -item.version)
    return replace(ordered[0], earlier=tuple(ordered[1:])) if ordered else None


def observations(chain: Chain) -> Iterator[tuple[datetime, Entry]]:
    """Yield the observations of the present pin, oldest first, each with its time."""
    for item in chain.since_move(Kind.OBSERVATION):
        if item.record.pin and item.record.about == item.record.pin:
            yield _moment(item.record.at), item


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _is_moment(text: str) -> bool:
    try:
        return _moment(text).utcoffset() == timedelta()
    except ValueError:
        return False


def _foreign(environment: str, digest: str, why: str) -> ForeignRecordError:
    return ForeignRecordError(
        f"a record of {environment} is none",
        details=told(f"{digest}: {why}"),
        resolution="Somebody put it there. Bring the store back from a copy that is whole, or use another.",
    )


@lru_cache(maxsize=1)
def _adapter() -> "TypeAdapter[Record]":
    from pydantic import TypeAdapter

    return TypeAdapter(Record)
