# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The commands that bring an environment's release into its cluster. Arguments in, results out."""

import argparse
from typing import TYPE_CHECKING

from stackway.commands import Command, Session
from stackway.errors import ExitCode, WrongInputError

if TYPE_CHECKING:
    from releases.environment import Environment
    from releases.verify import Release

_SECONDS = 900


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "environment", metavar="ENV", help="the environment; the release that its pin names is deployed"
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be done: 0 nothing, 3 something")
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=int,
        default=_SECONDS,
        help=f"give up after this time (default: {_SECONDS})",
    )


def _deploy(session: Session) -> ExitCode:
    from pipeline import deploy
    from pipeline.target import give_images, open_target

    environment, release = pinned(session, session.arguments.environment)
    target = open_target(session, environment)
    prepared = deploy.prepare(target.api, release, environment)
    changes = prepared.plan.changes
    if session.arguments.dry_run:
        session.show(prepared.plan.to_dict(), prepared.plan.to_table())
        return ExitCode.CHANGES_PENDING if changes else ExitCode.DONE
    give_images(target, release, session.reporter)
    ready = deploy.apply(target.api, prepared, session.reporter, session.arguments.timeout)
    last = max(ready.values(), default=0.0)
    told = (
        f"{environment.name}: release {release.version}, {len(changes)} objects changed, all ready after {last:.1f} s"
    )
    session.show({**prepared.plan.to_dict(), "ready": ready}, told)
    return ExitCode.DONE


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
