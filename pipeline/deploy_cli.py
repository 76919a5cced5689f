# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The commands that bring an environment's release into its cluster. Arguments in, results out."""

import argparse
from typing import TYPE_CHECKING

from stackway.commands import Command, Session
from stackway.errors import ExitCode, WrongInputError

if TYPE_CHECKING:
    from pipeline.api import Api
    from pipeline.deploy import Prepared
    from releases.environment import Environment
    from releases.verify import Release

_SECONDS = 900


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "environment", metavar="ENV", help="the environment; the release that its pin names is deployed"
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be done: 0 nothing, 3 something")
    parser.add_argument("--adopt", action="store_true", help="take over a namespace that is there and not ours")
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=int,
        default=_SECONDS,
        help=f"give up after this time (default: {_SECONDS})",
    )


def _deploy(session: Session) -> ExitCode:
    from pipeline import deploy
    from pipeline.target import open_target

    environment, release = pinned(session, session.arguments.environment)
    if session.arguments.dry_run:
        plan = deploy.prepare(open_target(session, environment).api, release, environment).plan
        session.show(plan.to_dict(), plan.to_table())
        return ExitCode.CHANGES_PENDING if plan.changes else ExitCode.DONE
    ready = bring(session, environment, release)
    value = {"environment": environment.name, "release": str(release.version), "ready": ready}
    session.show(value, f"{environment.name}: release {release.version} is there{_after(ready)}")
    return ExitCode.DONE


def _after(ready: dict[str, float]) -> str:
    return f", all ready after {max(ready.values()):.1f} s" if ready else "; nothing was to do"


def bring(session: Session, environment: "Environment", release: "Release") -> dict[str, float]:
    """Bring a release into an environment's cluster; return the second at which each stage was ready."""
    from pipeline import deploy
    from pipeline.rollout import journal
    from pipeline.target import give_images, open_target

    target = open_target(session, environment)
    if trouble := journal.remove_damaged(target.api, environment.cluster.namespace):
        session.reporter.warn(f"{trouble}. It was removed")
    journal.refuse_unfinished(target.api, environment.cluster.namespace, environment.name)
    prepared = deploy.prepare(target.api, release, environment)
    if prepared.plan.changes:
        check(session, target.api, prepared)
    give_images(target, release, session.reporter)
    return deploy.apply(target.api, prepared, session.reporter, session.arguments.timeout)


def check(session: Session, api: "Api", prepared: "Prepared", *, upgrade: bool = False) -> None:
    """Refuse what cannot go well, before anything is changed; what is only good to know is told."""
    from pipeline import preflight
    from pipeline.survey import survey

    facts = survey(api, prepared)
    findings = preflight.judge(facts, adopt=getattr(session.arguments, "adopt", False), upgrade=upgrade)
    preflight.refuse(facts, findings)
    for finding in findings:
        session.reporter.warn(f"{finding.what}. {finding.mend}")


def pinned(session: Session, name: str) -> "tuple[Environment, Release]":
    """Return an environment and the release that its pin names, verified by its keys.

    Raises WrongInputError when nothing is pinned yet, and what verifying raises.
    """
    from releases.desk import open_desk
    from releases.verify import verify

    desk = open_desk(session, name)
    pin = desk.chain.pin
    if pin is None:
        raise WrongInputError(
            f"no release is pinned in {name}",
            resolution=f"`release promote VERSION {name}` pins one, if the gates of {name} agree.",
        )
    return desk.place.spec, verify(desk.channels.store, pin.digest, desk.place.keyring, every_byte=False)


DEPLOY = Command("deploy", "bring the release that an environment's pin names into its cluster", _deploy, _configure)
