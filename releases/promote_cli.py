# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The commands that move an environment's pin: `release promote` and `release rollback`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from releases.options import add_key
from stackway.commands import Command, Session
from stackway.errors import ExitCode, StackwayError, WrongInputError

if TYPE_CHECKING:
    from releases.desk import Desk
    from releases.environments import Environments
    from releases.facts import ScanFacts
    from releases.promotion import Author, PromotionPlan
    from releases.records import Entry
    from releases.verify import Release


def _configure_promote(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="FROM", help="the environment whose release goes on, or a version")
    parser.add_argument("target", metavar="TO", help="the environment that gets it")
    parser.add_argument("--reason", metavar="TEXT", default="", help="why; it is part of the record")
    parser.add_argument("--override", metavar="REASON", default="", help="go on although gates refuse; it is recorded")
    parser.add_argument("--offline", action="store_true", help="take the database of holes as it is; fetch nothing")
    parser.add_argument(
        "--dry-run", action="store_true", help="show what the gates say: 0 nothing to do, 3 it may go, 4 not"
    )
    parser.add_argument("--save", metavar="FILE", help="with --dry-run: keep the plan, for --plan")
    parser.add_argument("--plan", metavar="FILE", help="apply a saved plan, if nothing it rests on has changed")
    add_key(parser)


def _promote(session: Session) -> ExitCode:
    from releases import promotion
    from releases.desk import author_now, open_desk, told_of
    from releases.promotion import Author
    from stackway import clock
    from stackway.files import write_json

    arguments = session.arguments
    author = author_now(arguments.reason)
    saved = _saved(Path(arguments.plan)) if arguments.plan else None
    override = saved.decision.override if saved else arguments.override.strip()
    if saved:
        author = Author(author.name, author.at, saved.reason)
    desk = open_desk(session, arguments.target)
    release, todo = _plan(session, desk, author, override)
    if saved:
        promotion.check_still(saved, todo, clock.now())
    if arguments.save:
        write_json(Path(arguments.save), todo.to_dict())
    if todo.nothing:
        session.show(todo.to_dict(), f"nothing to do: {todo.nothing}")
        return ExitCode.DONE
    if arguments.dry_run:
        session.show(todo.to_dict(), todo.decision.to_table(), _would(todo))
        return ExitCode.CHANGES_PENDING if todo.allowed else ExitCode.REFUSED
    if not todo.allowed:
        session.show(todo.to_dict(), todo.decision.to_table())
        promotion.refuse(todo)
    entry = apply(session, desk, release, todo, author)
    session.show(
        {**todo.to_dict(), "record": entry.digest}, todo.decision.to_table(), told_of(desk.place.spec.name, entry)
    )
    return ExitCode.DONE


def _saved(path: Path) -> "PromotionPlan":
    from releases import promotion
    from stackway.files import read_json

    if not path.is_file():
        raise WrongInputError(
            "there is no such saved plan",
            details=str(path),
            resolution="`release promote … --dry-run --save FILE` writes one.",
        )
    return promotion.read_plan(read_json(path))


def _would(todo: "PromotionPlan") -> str:
    if todo.allowed and todo.decision.is_passed:
        return f"{todo.pin.version} may get into {todo.environment}"
    verb = "would get in by an override" if todo.allowed else "may not get in"
    return f"{todo.pin.version} {verb}: {', '.join(item.gate for item in todo.decision.refusals)}"


def _plan(session: Session, desk: "Desk", author: "Author", override: str) -> "tuple[Release, PromotionPlan]":
    """Return the release that is meant, verified by the target's keys, and what its gates say."""
    from releases import promotion
    from releases.desk import open_desk
    from releases.opening import open_environments, open_releases
    from releases.verify import verify

    environments, target = open_environments(session), desk.place.spec
    source, reference = _source(session, desk, environments)
    store = open_releases(session, source.place if source else desk.place)
    release = verify(store, reference, desk.place.keyring)
    scan = _scan(session, desk, release)
    ancestors = tuple(open_desk(session, name, fresh=False).chain for name in target.gates.lineage)
    grounds = promotion.Grounds(desk.chain, source.chain if source else None, ancestors, scan)
    candidate = promotion.candidate_of(release.content)
    return release, promotion.plan(desk.place, candidate, grounds, author, override)


def _source(session: Session, desk: "Desk", environments: "Environments") -> "tuple[Desk | None, str]":
    """Return the environment that the release comes from, and what names the release there."""
    from releases.desk import open_desk

    given, target = session.arguments.source, desk.place.spec
    if given in environments.names():
        if target.source != given:
            raise WrongInputError(
                f"{target.name} takes no releases from {given}",
                details=f"environments/{target.name}.yaml: source is {target.source or 'not given'}",
                resolution=f"`release promote {target.source or 'VERSION'} {target.name}`",
            )
        source = open_desk(session, given)
        if source.chain.pin is None:
            raise WrongInputError(
                f"nothing was ever promoted to {given}", resolution=f"`release promote VERSION {given}`"
            )
        return source, source.chain.pin.digest
    if target.source:
        raise WrongInputError(
            f"{target.name} takes its releases from {target.source}, not by version",
            details=f"given: {given}",
            resolution=f"`release promote {target.source} {target.name}`; an earlier release: `release rollback`.",
        )
    return None, given


def _scan(session: Session, desk: "Desk", release: "Release") -> "ScanFacts | None":
    """Return today's verdicts, where the environment asks for them; that they cannot be had is a fact too."""
    from buildkit import scan_cli
    from buildkit.scan.rules import load_rules
    from releases.facts import ScanFacts
    from releases.rescan import Scanner, rescan
    from stackway import clock

    gate = desk.place.spec.gates.scan
    if gate is None:
        return None
    rules = load_rules(session.root, gate.policy, clock.now())
    try:
        trivy = scan_cli.open_trivy(session)
        database = scan_cli.open_database(session, trivy)
        session.reporter.task("scan", f"{len(release.content.images)} images by {gate.policy}")
        facts = rescan(release.content, Scanner(trivy, database.facts, rules, clock.now()))
        session.reporter.finish("scan", f"{len(facts.images)} images judged by the database of {facts.updated}")
    except StackwayError as error:
        return ScanFacts(gate.policy, rules.digest, "", "", error=f"{error.brief}: {error.details}"[:300])
    return facts


def apply(session: Session, desk: "Desk", release: "Release", todo: "PromotionPlan", author: "Author") -> "Entry":
    """Bring the release to the target's place, sign the decision, and move the pin by the record that says so."""
    from releases import promotion, sign, transfer
    from releases.desk import refuse_unable
    from releases.opening import open_signer
    from releases.release import REPOSITORY

    store = desk.channels.store
    record = promotion.promotion(desk.place, desk.chain, todo, author)
    signer = open_signer(session, development=desk.place.spec.development)
    refuse_unable(desk, record, signer.public.id)
    if release.store.address != store.address:
        transfer.copy(release.store, store, list(transfer.parts(release.store, release.content)), session.reporter)
    with store.writing():
        sign.write(store.repository(REPOSITORY), promotion.summary(todo, author), signer)
        return desk.channels.append(desk.place, record, signer)


def _configure_rollback(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", help="the environment that goes back")
    parser.add_argument("--to", metavar="VERSION", help="left out: the release that was there before the present one")
    parser.add_argument("--reason", metavar="TEXT", required=True, help="why; it is part of the record")
    parser.add_argument("--dry-run", action="store_true", help="show where it would go, and stop")
    add_key(parser)


def _rollback(session: Session) -> ExitCode:
    from releases import promotion
    from releases.desk import append, author_now, open_desk, row_of, told_of
    from releases.verify import verify

    desk = open_desk(session, session.arguments.environment)
    record = promotion.rollback(desk.place, desk.chain, session.arguments.to, author_now(session.arguments.reason))
    # What was trusted once may be revoked by now.
    verify(desk.channels.store, record.about.digest, desk.place.keyring)
    now = desk.chain.pin.version if desk.chain.pin else "nothing"
    if session.arguments.dry_run:
        session.show(row_of(record), f"{record.environment}: {now} would go back to {record.about.version}")
        return ExitCode.CHANGES_PENDING
    entry = append(session, desk, record)
    session.show(row_of(entry.record), told_of(record.environment, entry))
    return ExitCode.DONE


PROMOTE = Command("promote", "let a release get into an environment, if its gates agree", _promote, _configure_promote)
ROLLBACK = Command("rollback", "pin an earlier release again, on record", _rollback, _configure_rollback)
