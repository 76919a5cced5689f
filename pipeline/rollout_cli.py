# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The commands that take a live environment to another release, and back. Arguments in, results out."""

import argparse
from typing import TYPE_CHECKING

from releases.options import add_key
from stackway.commands import Command, Session
from stackway.errors import ExitCode, StackwayError, WrongInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.api import Api, Object
    from pipeline.deploy import Prepared
    from pipeline.rollout.journal import Journal
    from pipeline.rollout.plan import RolloutPlan
    from pipeline.rollout.report import RolloutReport
    from pipeline.rollout.saved import SavedPlan
    from pipeline.rollout.target import Target
    from releases.environment import Environment
    from releases.verify import Release

_CLIENT_SECONDS = 60.0


def _configure_upgrade(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", help="the environment; it gets the release that its pin names")
    parser.add_argument(
        "--strategy",
        choices=("rolling", "blue-green"),
        help="service by service, or everything beside the old release and then users (default: the environment's)",
    )
    parser.add_argument(
        "--soak", metavar="SECONDS", type=float, help="watch so long at the end (default: the environment's)"
    )
    parser.add_argument("--dry-run", action="store_true", help="show the steps: 0 nothing, 3 something")
    parser.add_argument("--save", metavar="FILE", help="as --dry-run, and write the plan")
    parser.add_argument(
        "--plan", metavar="FILE", help="carry out what was saved, or nothing when it would be planned otherwise now"
    )
    add_key(parser)


def _upgrade(session: Session) -> ExitCode:
    from pathlib import Path

    from pipeline.deploy_cli import check, pinned
    from pipeline.rollout import journal
    from pipeline.rollout.saved import SavedPlan, refuse_outdated
    from pipeline.target import give_images, open_target
    from stackway import clock
    from stackway.files import write_json

    environment, release = pinned(session, session.arguments.environment)
    place = open_target(session, environment)
    namespace = environment.cluster.namespace
    journal.refuse_unfinished(place.api, namespace, environment.name)
    target, prepared = _target(place.api, environment, release)
    saved = _saved(session)
    plan = _plan(session, place.api, (target, release, environment), saved)
    if saved:
        refuse_outdated(saved, plan, clock.now())
    if session.arguments.save:
        write_json(Path(session.arguments.save), SavedPlan(plan, clock.now()).to_dict())
    if session.arguments.dry_run or session.arguments.save or not plan.steps:
        told = f"{environment.name} runs release {plan.target} already"
        session.show(plan.to_dict(), plan.to_table() if plan.steps else told)
        return ExitCode.CHANGES_PENDING if plan.steps else ExitCode.DONE
    check(session, place.api, prepared, upgrade=True)
    give_images(place, release, session.reporter)
    return _run(session, place.api, target, journal.begin(place.api, namespace, plan))


def _target(api: "Api", environment: "Environment", release: "Release") -> "tuple[Target, Prepared]":
    """Return what an upgrade leads to, its schemas expanded and no more, and the whole deployment for preflight."""
    from pipeline import deploy
    from pipeline.manifests.render import render_upgrade
    from pipeline.rollout.target import Target

    prepared = deploy.prepare(api, release, environment)
    return Target(prepared.site, render_upgrade(prepared.site)), prepared


def _saved(session: Session) -> "SavedPlan | None":
    """Return the plan that was given. Raises WrongInputError when there is none in the file, or more was said than it."""
    from pathlib import Path

    from pipeline.rollout.saved import read_saved
    from stackway.files import read_json

    name, said = session.arguments.plan, session.arguments
    if name is None:
        return None
    if said.strategy or said.soak is not None or said.save:
        raise WrongInputError(
            "--plan says it all", resolution="Leave out --strategy, --soak and --save: the plan has them."
        )
    if not Path(name).is_file():
        raise WrongInputError(f"there is no file {name}", resolution="`release upgrade ENV --save FILE` writes one.")
    return read_saved(read_json(Path(name)), name)


def _plan(
    session: Session, api: "Api", to: "tuple[Target, Release, Environment]", saved: "SavedPlan | None"
) -> "RolloutPlan":
    from pipeline import deploy
    from pipeline.manifests.amounts import seconds
    from pipeline.rollout import plan as plans
    from pipeline.rollout.sequential import Rates

    target, release, environment = to
    live = deploy.live_objects(api, environment.cluster.namespace)
    source = _source(live, environment)
    said = environment.rollout
    rates = Rates(said.good, said.bad, said.alpha, said.beta)
    rules = plans.Rules(rates, said.slower, seconds(said.warmup), seconds(said.disturbance), seconds(said.silence))
    goal = plans.Goal(environment.name, str(release.version), release.digest, target.rendered, target.services, rules)
    if saved:
        return plans.plan(goal, source, live, saved.plan.strategy, saved.soak)
    strategy = plans.Strategy(session.arguments.strategy or said.strategy)
    soak = seconds(said.soak) if session.arguments.soak is None else session.arguments.soak
    return plans.plan(goal, source, live, strategy, soak)


def _source(live: "Mapping[tuple[str, str], Object]", environment: "Environment") -> str:
    """Return the version that runs. Raises WrongInputError when nothing of ours does."""
    from pipeline.manifests.objects import RELEASE

    namespace = live.get(("Namespace", environment.cluster.namespace), {})
    source = (namespace.get("metadata", {}).get("labels") or {}).get(RELEASE)
    if not source:
        raise WrongInputError(
            f"nothing runs in {environment.name} that could be upgraded",
            details=f"namespace {environment.cluster.namespace}",
            resolution=f"`release deploy {environment.name}` brings the pinned release there.",
        )
    return str(source)


def _run(session: Session, api: "Api", target: "Target", book: "Journal") -> ExitCode:
    from pipeline.rollout.advance import Outcome
    from pipeline.rollout.engine import Engine
    from pipeline.rollout.records import new_workloads
    from pipeline.rollout.report import report
    from stackway import clock

    started = clock.monotonic()
    outcome = Engine(api, book, target, session.reporter).run()
    seconds = round(clock.monotonic() - started, 1)
    plan, so_far = book.plan, book.progress
    found = report(book.number, plan, book.lines)
    value = found.to_dict()
    _observe(session, found, healthy=outcome is Outcome.UPGRADED)
    if outcome is Outcome.UPGRADED:
        told = (
            f"{plan.environment}: {plan.source} to {plan.target} in {seconds} s; the old release stays warm\n"
            f"  release finalize {plan.environment}        makes it final\n"
            f"  release resume {plan.environment} --back   takes it back"
        )
        session.show(value, told)
        return ExitCode.DONE
    _mend_records(session, api, target, plan, new_workloads)
    _pin_back(session, plan, so_far.why)
    told = f"{plan.environment} is back on {plan.source} after {seconds} s: {so_far.why}"
    session.show(value, told)
    return ExitCode.ROLLED_BACK


def _mend_records(
    session: Session,
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


def _pin_back(session: Session, plan: "RolloutPlan", why: str) -> None:
    """Pin the old release again, on record. The cluster is back already, so what is in the way is only told."""
    from pipeline.cli import COMMANDS, SUMMARY
    from releases.desk import open_desk
    from stackway.commands import build_parser

    pin = open_desk(session, plan.environment).chain.pin
    if pin is None or pin.digest != plan.digest:
        return
    reason = " ".join(f"upgrade to {plan.target} went back: {why}".split())[:200]
    words = ["rollback", plan.environment, "--to", plan.source, "--reason", reason]
    try:
        session.part(build_parser("release", SUMMARY, COMMANDS), words)
    except StackwayError as error:
        session.reporter.warn(
            f"the pin still names {plan.target}: {error.brief}. `release {' '.join(words[:4])}` moves it"
        )


def _observe(session: Session, found: "RolloutReport", *, healthy: bool) -> None:
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


def _configure_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", help="whose last upgrade it is about")
    parser.add_argument("--page", metavar="FILE", help="write it as one HTML page")


def _report(session: Session) -> ExitCode:
    from pathlib import Path

    from pipeline.rollout.report import report
    from pipeline.rollout_page import rollout_page
    from pipeline.target import open_target
    from releases.opening import open_environments
    from stackway.files import write_atomic

    environment = open_environments(session).read(session.arguments.environment).spec
    book = _book(open_target(session, environment).api, environment)
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
    from pipeline.rollout.advance import Line, Outcome, Phase
    from pipeline.target import open_target
    from releases.desk import open_desk
    from releases.verify import verify
    from stackway import clock

    name = session.arguments.environment
    desk = open_desk(session, name)
    environment = desk.place.spec
    api = open_target(session, environment).api
    book = _book(api, environment)
    outcome = book.progress.outcome
    may_turn = session.arguments.back and outcome is Outcome.UPGRADED
    if outcome is not None and not may_turn:
        raise WrongInputError(
            f"the last upgrade of {name} has ended: {outcome}",
            details=f"rollout {book.number}: {book.plan.source} to {book.plan.target}",
            resolution="There is nothing to go on with.",
        )
    release = verify(desk.channels.store, book.plan.digest, desk.place.keyring, every_byte=False)
    target, _ = _target(api, environment, release)
    if session.arguments.back:
        book.append(Line(Phase.TURNED, -1, clock.now().timestamp(), "somebody asked for it", "person"))
    return _run(session, api, target, book)


def _book(api: "Api", environment: "Environment") -> "Journal":
    from pipeline.rollout import journal

    book = journal.latest(api, environment.cluster.namespace)
    if book is None:
        raise WrongInputError(
            f"{environment.name} was never upgraded",
            resolution=f"`release upgrade {environment.name}` does it, once another release is pinned.",
        )
    return book


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
    from stackway import clock

    environment, release = pinned(session, session.arguments.environment)
    api = open_target(session, environment).api
    book = _book(api, environment)
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
    target, prepared = _target(api, environment, release)
    final.remove_old(api, environment.cluster.namespace, book.plan, session.reporter)
    final.migrate_online(api, target.site, session.reporter)
    ready = deploy.apply(api, prepared, session.reporter, session.arguments.timeout)
    _mend_records(session, api, target, book.plan, old_workloads)
    book.append(Line(Phase.FINALIZED, -1, clock.now().timestamp(), "somebody asked for it", "person"))
    value = {"environment": environment.name, "release": str(release.version), "ready": ready}
    session.show(value, f"{environment.name}: release {release.version} is final; the old one is gone")
    return ExitCode.DONE


UPGRADE = Command(
    "upgrade",
    "take a live environment to its pinned release, and back by itself when checks say no",
    _upgrade,
    _configure_upgrade,
)
RESUME = Command("resume", "go on with an upgrade that was interrupted, or take it back", _resume, _configure_resume)
REPORT = Command(
    "report", "say what the last upgrade of an environment did, and by what evidence", _report, _configure_report
)
FINALIZE = Command(
    "finalize", "make an upgrade final: contract schemas, remove the old release", _finalize, _configure_finalize
)
