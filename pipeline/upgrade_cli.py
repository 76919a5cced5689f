# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The command that takes a live environment to another release. Arguments in, results out."""

import argparse
from typing import TYPE_CHECKING

from releases.options import add_key
from stackway.commands import Command, Session
from stackway.errors import ExitCode, WrongInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.api import Api, Object
    from pipeline.rollout.plan import RolloutPlan, Way
    from pipeline.rollout.saved import SavedPlan
    from pipeline.rollout.target import Target
    from releases.environment import Environment, Rollout
    from releases.verify import Release


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
    parser.add_argument(
        "--to",
        metavar="SHARE",
        type=share_of,
        help="hold when about this share of the users, such as 25%%, has the new release; `release resume` goes on",
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
    from pipeline.upgrading import carry_on, target_of
    from stackway import clock
    from stackway.files import write_json

    environment, release = pinned(session, session.arguments.environment)
    place = open_target(session, environment)
    namespace = environment.cluster.namespace
    journal.refuse_unfinished(place.api, namespace, environment.name)
    target, prepared = target_of(place.api, environment, release)
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
    return carry_on(session, place.api, target, journal.begin(place.api, namespace, plan))


def _saved(session: Session) -> "SavedPlan | None":
    """Return the plan that was given. Raises WrongInputError when there is none in the file, or more was said than it."""
    from pathlib import Path

    from pipeline.rollout.saved import read_saved
    from stackway.files import read_json

    name, said = session.arguments.plan, session.arguments
    if name is None:
        return None
    if said.strategy or said.soak is not None or said.to or said.save:
        raise WrongInputError(
            "--plan says it all", resolution="Leave out --strategy, --soak, --to and --save: the plan has them."
        )
    if not Path(name).is_file():
        raise WrongInputError(f"there is no file {name}", resolution="`release upgrade ENV --save FILE` writes one.")
    return read_saved(read_json(Path(name)), name)


def _plan(
    session: Session, api: "Api", to: "tuple[Target, Release, Environment]", saved: "SavedPlan | None"
) -> "RolloutPlan":
    from pipeline import deploy
    from pipeline.manifests.amounts import seconds
    from pipeline.rollout.plan import Kind, Rules
    from pipeline.rollout.planner import Goal, plan
    from pipeline.rollout.sequential import Rates

    target, release, environment = to
    live = deploy.live_objects(api, environment.cluster.namespace)
    source = _source(live, environment)
    said = environment.rollout
    rates = Rates(said.good, said.bad, said.alpha, said.beta)
    rules = Rules(rates, said.slower, seconds(said.warmup), seconds(said.disturbance), seconds(said.silence))
    goal = Goal(environment.name, str(release.version), release.digest, target.rendered, target.services, rules)
    way = saved.plan.way if saved else _way(session, said)
    found = plan(goal, source, live, way)
    if way.share < 1.0 and found.steps and not any(step.kind is Kind.SHARE for step in found.steps):
        raise WrongInputError(
            f"no share of the users of {environment.name} can be led to {release.version}",
            details="nothing that changes answers requests beside an old revision that does",
            resolution="Leave out --to.",
        )
    return found


def _way(session: Session, said: "Rollout") -> "Way":
    from pipeline.manifests.amounts import seconds
    from pipeline.rollout.plan import Strategy, Way

    given = session.arguments
    soak = seconds(said.soak) if given.soak is None else given.soak
    return Way(Strategy(given.strategy or said.strategy), soak, given.to or 1.0)


def share_of(text: str) -> float:
    """Return a share of users, such as 25%, as a number. Raises ArgumentTypeError."""
    number = text.removesuffix("%")
    share = int(number) / 100 if number.isdecimal() else 0.0
    if not 0.0 < share < 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is no share of users: 1% to 99%")
    return share


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


UPGRADE = Command(
    "upgrade",
    "take a live environment to its pinned release, and back by itself when checks say no",
    _upgrade,
    _configure_upgrade,
)
