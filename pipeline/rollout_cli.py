# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The commands about an upgrade that was begun: go on, pause, report, make it final. Arguments in, results out."""

import argparse

from releases.options import add_key
from stackway.commands import Command, Session
from stackway.errors import ExitCode, WrongInputError


def _configure_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", help="whose last upgrade it is about")
    parser.add_argument("--page", metavar="FILE", help="write it as one HTML page")


def _report(session: Session) -> ExitCode:
    from pathlib import Path

    from pipeline.rollout.report import report
    from pipeline.rollout_page import rollout_page
    from pipeline.target import open_target
    from pipeline.upgrading import book_of
    from releases.opening import open_environments
    from stackway.files import write_atomic

    environment = open_environments(session).read(session.arguments.environment).spec
    book = book_of(open_target(session, environment).api, environment)
    found = report(book.number, book.plan, book.lines)
    if session.arguments.page:
        write_atomic(Path(session.arguments.page), rollout_page(found).encode())
    session.show(found.to_dict(), found.headline(), found.to_table())
    return ExitCode.DONE


def _configure_resume(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", help="the environment whose upgrade goes on")
    parser.add_argument("--back", action="store_true", help="take it back, also when it has ended and is not final")
    add_key(parser)


def _resume(session: Session) -> ExitCode:
    from pipeline.rollout.advance import Direction, Line, Outcome, Phase
    from pipeline.rollout.saved import refuse_changed
    from pipeline.target import open_target
    from pipeline.upgrading import book_of, carry_on, target_of
    from releases.desk import open_desk
    from releases.verify import verify
    from stackway import clock

    name = session.arguments.environment
    desk = open_desk(session, name)
    environment = desk.place.spec
    api = open_target(session, environment).api
    book = book_of(api, environment)
    outcome = book.progress.outcome
    may_turn = session.arguments.back and outcome is Outcome.UPGRADED
    if outcome is not None and not may_turn:
        raise WrongInputError(
            f"the last upgrade of {name} has ended: {outcome}",
            details=f"rollout {book.number}: {book.plan.source} to {book.plan.target}",
            resolution="There is nothing to go on with.",
        )
    release = verify(desk.channels.store, book.plan.digest, desk.place.keyring, every_byte=False)
    target, _ = target_of(api, environment, release)
    if not session.arguments.back and book.progress.direction is Direction.FORWARD:
        refuse_changed(book.plan, target)
    if session.arguments.back:
        book.append(Line(Phase.TURNED, -1, clock.now().timestamp(), "somebody asked for it", "person"))
    return carry_on(session, api, target, book)


def _configure_pause(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", help="the environment whose upgrade stops where it is")


def _pause(session: Session) -> ExitCode:
    from pipeline.rollout.advance import Line, Phase
    from pipeline.rollout.report import report
    from pipeline.target import open_target
    from pipeline.upgrading import book_of
    from releases.opening import open_environments
    from stackway import clock

    environment = open_environments(session).read(session.arguments.environment).spec
    book = book_of(open_target(session, environment).api, environment)
    if outcome := book.progress.outcome:
        raise WrongInputError(
            f"the last upgrade of {environment.name} has ended: {outcome}",
            details=f"rollout {book.number}: {book.plan.source} to {book.plan.target}",
            resolution="There is nothing to pause.",
        )
    if not book.progress.is_paused:
        book.append(Line(Phase.PAUSED, -1, clock.now().timestamp(), "somebody paused it"))
    found = report(book.number, book.plan, book.lines)
    told = (
        f"{environment.name}: the upgrade to {book.plan.target} is paused; whoever runs it stops within seconds\n"
        f"  release resume {environment.name}          goes on\n"
        f"  release resume {environment.name} --back   takes it back"
    )
    session.show(found.to_dict(), told)
    return ExitCode.DONE


def _configure_finalize(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", help="the environment whose upgrade is made final")
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=int, default=900, help="give up after this time (default: 900)"
    )


def _finalize(session: Session) -> ExitCode:
    from pipeline import deploy
    from pipeline.deploy_cli import pinned
    from pipeline.rollout import final
    from pipeline.rollout.advance import Line, Outcome, Phase
    from pipeline.rollout.records import old_workloads
    from pipeline.target import open_target
    from pipeline.upgrading import book_of, mend_records, target_of
    from stackway import clock

    environment, release = pinned(session, session.arguments.environment)
    api = open_target(session, environment).api
    book = book_of(api, environment)
    if book.progress.outcome is not Outcome.UPGRADED:
        raise WrongInputError(
            f"there is no upgrade of {environment.name} to make final",
            details=f"rollout {book.number}: {book.progress.outcome or 'it has not ended'}",
            resolution=f"`release upgrade {environment.name}` comes first.",
        )
    if book.plan.digest != release.digest:
        raise WrongInputError(
            f"{environment.name} runs {book.plan.target}, and {release.version} is pinned",
            resolution=f"`release upgrade {environment.name}` brings what is pinned; or pin {book.plan.target} again.",
        )
    target, prepared = target_of(api, environment, release)
    final.remove_old(api, environment.cluster.namespace, book.plan, session.reporter)
    final.migrate_online(api, target.site, session.reporter)
    ready = deploy.apply(api, prepared, session.reporter, session.arguments.timeout)
    mend_records(session, api, target, book.plan, old_workloads)
    book.append(Line(Phase.FINALIZED, -1, clock.now().timestamp(), "somebody asked for it", "person"))
    value = {"environment": environment.name, "release": str(release.version), "ready": ready}
    session.show(value, f"{environment.name}: release {release.version} is final; the old one is gone")
    return ExitCode.DONE


RESUME = Command("resume", "go on with an upgrade that was interrupted, or take it back", _resume, _configure_resume)
REPORT = Command(
    "report", "say what the last upgrade of an environment did, and by what evidence", _report, _configure_report
)
FINALIZE = Command(
    "finalize", "make an upgrade final: contract schemas, remove the old release", _finalize, _configure_finalize
)
PAUSE = Command("pause", "stop an upgrade where it is, until it is resumed", _pause, _configure_pause)
