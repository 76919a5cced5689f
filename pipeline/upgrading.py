# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Carries an upgrade on: runs the engine, asks whoever interrupts it, and puts on record how it ended."""

from typing import TYPE_CHECKING

from stackway.errors import ExitCode, StackwayError, WrongInputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.api import Api
    from pipeline.deploy import Prepared
    from pipeline.rollout.advance import Outcome
    from pipeline.rollout.journal import Journal
    from pipeline.rollout.plan import RolloutPlan
    from pipeline.rollout.report import RolloutReport
    from pipeline.rollout.target import Target
    from releases.environment import Environment
    from releases.verify import Release
    from stackway.commands import Session

_CLIENT_SECONDS = 60.0
_ANSWERS = {
    "c": "continue here",
    "l": "leave it to go on in the background",
    "p": "pause: everything stays as it is now",
    "b": "take it back",
}


def target_of(api: "Api", environment: "Environment", release: "Release") -> "tuple[Target, Prepared]":
    """Return what an upgrade leads to, its schemas expanded and no more, and the whole deployment for preflight."""
    from pipeline import deploy
    from pipeline.manifests.render import render_upgrade
    from pipeline.rollout.target import Target

    prepared = deploy.prepare(api, release, environment)
    return Target(prepared.site, render_upgrade(prepared.site)), prepared


def carry_on(session: "Session", api: "Api", target: "Target", book: "Journal") -> ExitCode:
    """Carry an upgrade on until it has ended, is held or paused; put on record and show what became of it."""
    from pipeline.rollout.advance import Outcome
    from pipeline.rollout.records import new_workloads
    from pipeline.rollout.report import report
    from pipeline.rollout.standing import waits
    from stackway import clock

    started = clock.monotonic()
    book, outcome = _run(session, api, target, book)
    seconds = round(clock.monotonic() - started, 1)
    plan, so_far = book.plan, book.progress
    found = report(book.number, plan, book.lines)
    if outcome is None:
        session.show(found.to_dict(), _told(plan, waits(plan, so_far)))
        return ExitCode.DONE
    value = found.to_dict()
    observe(session, found, healthy=outcome is Outcome.UPGRADED)
    if outcome is Outcome.UPGRADED:
        told = (
            f"{plan.environment}: {plan.source} to {plan.target} in {seconds} s; the old release stays warm\n"
            f"  release finalize {plan.environment}        makes it final\n"
            f"  release resume {plan.environment} --back   takes it back"
        )
        session.show(value, told)
        return ExitCode.DONE
    mend_records(session, api, target, plan, new_workloads)
    _pin_back(session, plan, so_far.why)
    told = f"{plan.environment} is back on {plan.source} after {seconds} s: {so_far.why}"
    if plan.source == plan.target:
        told += f"\nThe environment's file still asks for what went back; `release upgrade {plan.environment}` tries it again"
    session.show(value, told)
    return ExitCode.ROLLED_BACK


def _told(plan: "RolloutPlan", how: str) -> str:
    """Return what is said of an upgrade that has not ended and is left alone here."""
    way = f"{plan.environment}: {plan.source} to {plan.target}"
    if not how:
        return f"{way} goes on in the background; `release status {plan.environment} --watch` shows it"
    return (
        f"{way} is {how}; nobody watches it now\n"
        f"  release resume {plan.environment}          goes on\n"
        f"  release resume {plan.environment} --back   takes it back"
    )


def _run(session: "Session", api: "Api", target: "Target", book: "Journal") -> "tuple[Journal, Outcome | None]":
    """Run the engine, and again when whoever interrupts it says so. Return the journal, and how it has ended, if it has."""
    from pipeline.rollout import journal
    from pipeline.rollout.engine import Engine

    while True:
        try:
            outcome = Engine(api, book, target, session.reporter).run()
        except KeyboardInterrupt:
            # A line that was being written may be there or not; whoever goes on reads them anew.
            found = journal.latest(api, book.namespace) or book
            if not _goes_on(session, found):
                return found, None
            book = found
        else:
            return (journal.latest(api, book.namespace) or book if outcome is None else book), outcome


def _goes_on(session: "Session", book: "Journal") -> bool:
    """Ask what shall become of an upgrade that somebody interrupts; tell whether it goes on here. Raises KeyboardInterrupt."""
    from pipeline.rollout.advance import Line, Phase
    from stackway import clock
    from stackway.console import choose

    name, now = book.plan.environment, clock.now().timestamp()
    session.reporter.close()
    answer = choose(f"The upgrade of {name} to {book.plan.target} is under way.", _ANSWERS)
    if answer == "l":
        _leave(session, name)
        return False
    if answer == "p":
        book.append(Line(Phase.PAUSED, -1, now, "somebody paused it"))
        return False
    if answer == "b":
        book.append(Line(Phase.TURNED, -1, now, "somebody asked for it", "person"))
    if not answer:
        session.reporter.warn(
            f"the upgrade stands where it is; `release resume {name}` goes on, with --back takes it back"
        )
        raise KeyboardInterrupt
    return True


def _leave(session: "Session", name: str) -> None:
    """Start a program of its own that goes on, and say where it writes."""
    import sys

    from releases.opening import state_of
    from stackway.process import Command, leave

    kept = ("root", "state", "cache", "overlay", "key", "public_key", "password_file")
    given = {key: getattr(session.arguments, key, None) for key in kept}
    options = [f"--{key.replace('_', '-')}={value}" for key, value in given.items() if value]
    log = state_of(session) / "rollouts" / f"{name}.log"
    words = [sys.executable, "-m", "pipeline.cli", "resume", name, *options]
    session.reporter.say(f"process {leave(Command(tuple(words)), log)} goes on; it writes to {log}")


def mend_records(
    session: "Session",
    api: "Api",
    target: "Target",
    plan: "RolloutPlan",
    workloads: "Callable[[RolloutPlan, str], list[str]]",
) -> None:
    """Delete the rows of processes that are gone for good; what cannot be done is told, for users are served already."""
    import json

    from pipeline.client import run_client
    from pipeline.rollout.records import stale

    for service in target.services.values():
        records, names = service.upgrade.records, workloads(plan, service.name)
        if records is None or not names:
            continue
        try:
            rows = json.loads(run_client(api, target.site, records.list[1:], _CLIENT_SECONDS).output)
            if found := stale(rows, names):
                run_client(api, target.site, [*records.delete[1:], *found], _CLIENT_SECONDS)
                session.reporter.say(f"{service.name}: {len(found)} records of processes that are gone deleted")
        except (StackwayError, ValueError) as error:
            session.reporter.warn(f"{service.name}: records of gone processes stay: {error}")


def _pin_back(session: "Session", plan: "RolloutPlan", why: str) -> None:
    """Pin the old release again, on record. The cluster is back already, so what is in the way is only told."""
    from pipeline.cli import COMMANDS, SUMMARY
    from releases.desk import open_desk
    from stackway.commands import build_parser

    pin = open_desk(session, plan.environment).chain.pin
    if pin is None or pin.digest != plan.digest or plan.source == plan.target:
        return
    reason = " ".join(f"upgrade to {plan.target} went back: {why}".split())[:200]
    words = ["rollback", plan.environment, "--to", plan.source, "--reason", reason]
    try:
        session.part(build_parser("release", SUMMARY, COMMANDS), words)
    except StackwayError as error:
        session.reporter.warn(
            f"the pin still names {plan.target}: {error.brief}. `release {' '.join(words[:4])}` moves it"
        )


def observe(session: "Session", found: "RolloutReport", *, healthy: bool) -> None:
    """Keep the report, and put on record by signature what it says; what is in the way is only told."""
    from hashlib import sha256

    from releases import promotion
    from releases.desk import append, author_now, open_desk
    from releases.opening import state_of
    from releases.records import Observation
    from stackway.files import canonical_json, write_atomic

    content = canonical_json(found.to_dict())
    path = state_of(session) / "rollouts" / f"{found.environment}-{found.number}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content)
    desk = open_desk(session, found.environment)
    if desk.chain.pin is None or desk.chain.pin.digest != found.digest:
        return
    requests, failures = found.counted
    note = f"rollout {found.number} from {found.source}: {found.outcome}; report sha256:{sha256(content).hexdigest()}"
    try:
        seen = Observation(healthy, requests, failures, note)
        append(session, desk, promotion.observation(desk.place, desk.chain, seen, author_now(note)))
    except StackwayError as error:
        session.reporter.warn(f"the upgrade is not on record: {error.brief}. The report is {path}")


def book_of(api: "Api", environment: "Environment") -> "Journal":
    from pipeline.rollout import journal

    book = journal.latest(api, environment.cluster.namespace)
    if book is None:
        raise WrongInputError(
            f"{environment.name} was never upgraded",
            resolution=f"`release upgrade {environment.name}` does it, once another release is pinned.",
        )
    return book
