# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""An environment with its records, as commands find it; opens it, and adds signed records. Decides nothing."""

from dataclasses import asdict, dataclass
from typing import Any

from releases import records
from releases.channel import Channels
from releases.keyring import Place
from releases.opening import actor, open_environments, open_releases, open_signer, state_of
from releases.promotion import Author
from releases.records import Chain, Entry, Kind, Record
from stackway import clock
from stackway.commands import Session
from stackway.errors import WrongInputError


@dataclass(frozen=True)
class Desk:
    """An environment with its records, as a command finds it."""

    place: Place
    channels: Channels
    chain: Chain


def open_desk(session: Session, name: str, *, any_head: bool = False, fresh: bool = True) -> Desk:
    """Return an environment and its records. Raises a ChannelError for any that cannot be believed."""
    place = open_environments(session).read(name)
    channels = Channels(open_releases(session, place), state_of(session))
    chain = channels.read(place, any_head=any_head)
    if fresh:
        records.check_fresh(chain, clock.now())
    return Desk(place, channels, chain)


def author_now(reason: str) -> Author:
    """Return who writes a record now, and why."""
    return Author(actor(), clock.now(), reason)


def append(session: Session, desk: Desk, record: Record) -> Entry:
    """Sign a record and add it, and tell."""
    signer = open_signer(session, development=desk.place.spec.development)
    refuse_unable(desk, record, signer.public.id)
    return desk.channels.append(desk.place, record, signer)


def refuse_unable(desk: Desk, record: Record, key: str) -> None:
    """Refuse a key before it signs what nobody would believe."""
    keyring = desk.place.keyring
    part, keys = {
        Kind.APPROVAL: ("gates.approvals.by", keyring.approvers),
        Kind.OBSERVATION: ("trust.observers", keyring.observers),
    }.get(record.kind, ("trust.promoters", keyring.promoters))
    if key not in {item.id for item in keys}:
        raise WrongInputError(
            f"this key may not sign a record of kind {record.kind} in {record.environment}",
            details=f"key {key}\n{part} of environments/{record.environment}.yaml: "
            + (", ".join(item.name for item in keys) or "none"),
            resolution="Use one of those keys, or add this one there, and let others see that change.",
        )


def told_of(name: str, entry: Entry) -> str:
    """Return where an environment stands after a record."""
    record = entry.record
    pin = record.pin.version if record.pin else "nothing"
    return f"{name}: {pin} (record {record.version}, {entry.digest[:19]}, signed by {', '.join(k.name for k in entry.signers)})"


def row_of(record: Record) -> dict[str, Any]:
    """Return a record as JSON-ready data."""
    return {**asdict(record), "kind": str(record.kind)}
