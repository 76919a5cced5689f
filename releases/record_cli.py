# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The commands that put on record what people and programs see: approve, observe, renew."""

import argparse
from typing import TYPE_CHECKING

from releases.options import add_key
from stackway.commands import Command, Session
from stackway.errors import ExitCode, WrongInputError

if TYPE_CHECKING:
    from releases.desk import Desk
    from releases.verify import Release


def _configure_approve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", help="the environment that it may get into")
    parser.add_argument("version", nargs="?", metavar="VERSION", help="left out: what is pinned in the source")
    parser.add_argument("--reason", metavar="TEXT", default="", help="what was looked at; it is part of the record")
    add_key(parser)


def _approve(session: Session) -> ExitCode:
    from releases import promotion
    from releases.desk import append, author_now, open_desk, row_of
    from releases.opening import open_releases
    from releases.records import Pin
    from releases.verify import verify

    desk = open_desk(session, session.arguments.environment)
    name, source = session.arguments.version, desk.place.spec.source
    store = desk.channels.store
    if source:
        origin = open_desk(session, source)
        store = open_releases(session, origin.place)
        name = name or (origin.chain.pin.digest if origin.chain.pin else None)
    if not name:
        raise WrongInputError(
            "nobody says which release", resolution=f"`release approve {desk.place.spec.name} VERSION`"
        )
    release = verify(store, name, desk.place.keyring)
    _bring(session, desk, release)
    proposed = Pin(str(release.version), release.digest)
    record = promotion.approval(desk.place, desk.chain, proposed, author_now(session.arguments.reason))
    entry = append(session, desk, record)
    signers = ", ".join(key.name for key in entry.signers)
    session.show(
        row_of(record), f"{desk.place.spec.name}: {proposed.version} approved by {signers} (record {record.version})"
    )
    return ExitCode.DONE


def _bring(session: Session, desk: "Desk", release: "Release") -> None:
    """Copy a release to the environment's own place: a record can only refer to what is there."""
    from releases import transfer

    if release.store.address != desk.channels.store.address:
        parts = list(transfer.parts(release.store, release.content))
        transfer.copy(release.store, desk.channels.store, parts, session.reporter)


def _configure_observe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", help="where the release runs")
    state = parser.add_mutually_exclusive_group(required=True)
    state.add_argument("--healthy", action="store_true", help="it runs and answers")
    state.add_argument("--unhealthy", action="store_true", help="it does not")
    parser.add_argument("--requests", metavar="N", type=int, default=0, help="how many requests were made to see that")
    parser.add_argument("--failures", metavar="N", type=int, default=0, help="how many of them failed")
    parser.add_argument("--note", metavar="TEXT", default="", help="what was looked at")
    add_key(parser)


def _observe(session: Session) -> ExitCode:
    from releases import promotion
    from releases.desk import append, author_now, open_desk, row_of
    from releases.records import Observation

    arguments = session.arguments
    if not 0 <= arguments.failures <= arguments.requests:
        raise WrongInputError(f"{arguments.failures} of {arguments.requests} requests cannot have failed")
    desk = open_desk(session, arguments.environment)
    seen = Observation(arguments.healthy, arguments.requests, arguments.failures, arguments.note)
    record = promotion.observation(desk.place, desk.chain, seen, author_now(arguments.note))
    entry = append(session, desk, record)
    told = "healthy" if seen.healthy else "not healthy"
    session.show(
        row_of(record), f"{desk.place.spec.name}: {record.about.version} {told} (record {entry.record.version})"
    )
    return ExitCode.DONE


def _configure_renew(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", help="whose newest record is still the newest")
    parser.add_argument("--reason", metavar="TEXT", required=True, help="how you know; it is part of the record")
    add_key(parser)


def _renew(session: Session) -> ExitCode:
    from releases import promotion
    from releases.desk import append, author_now, open_desk, row_of, told_of

    desk = open_desk(session, session.arguments.environment, any_head=True, fresh=False)
    record = promotion.renewal(desk.place, desk.chain, author_now(session.arguments.reason))
    entry = append(session, desk, record)
    session.show(row_of(record), told_of(record.environment, entry) + f", good until {record.expires}")
    return ExitCode.DONE


APPROVE = Command(
    "approve", "agree, by signature, to a release getting into an environment", _approve, _configure_approve
)
OBSERVE = Command("observe", "put on record how a release does in an environment", _observe, _configure_observe)
RENEW = Command("renew", "say by signature that the newest record is still the newest", _renew, _configure_renew)
