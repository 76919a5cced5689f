# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Environments on demand: `release env up` and `down`. Arguments in, results out."""

import argparse
from typing import TYPE_CHECKING

from releases.options import add_key
from stackway.commands import Command, Session
from stackway.errors import ExitCode, WrongInputError

if TYPE_CHECKING:
    from releases.environments import Environments
    from releases.keyring import Place
    from releases.verify import Release

_SECONDS = 900
_LIKE = "dev"
_REASON = "environment on demand"


def _configure_up(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the new environment; its namespace is called so too")
    parser.add_argument(
        "--from",
        dest="source",
        metavar="REF",
        default=_LIKE,
        help=f"an environment whose release and settings it gets, or a version (default: {_LIKE})",
    )
    parser.add_argument("--like", metavar="ENV", help=f"whose settings it gets; left out: REF, else {_LIKE}")
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=int,
        default=_SECONDS,
        help=f"give up after this time (default: {_SECONDS})",
    )
    add_key(parser)


def _up(session: Session) -> ExitCode:
    from pipeline.deploy_cli import bring
    from releases.opening import open_environments

    arguments = session.arguments
    environments = open_environments(session)
    if arguments.name in environments.kept():
        raise WrongInputError(
            f"{arguments.name} is an environment of the checkout, none on demand",
            details=str(environments.file(arguments.name)),
            resolution=f"`release deploy {arguments.name}` brings its release into its cluster; or choose another name.",
        )
    if arguments.name not in environments.on_demand():
        _write(session, environments)
    release = _pin(session, environments.read(arguments.name))
    ready = bring(session, environments.read(arguments.name).spec, release)
    value = {"environment": arguments.name, "release": str(release.version), "ready": ready}
    session.show(
        value, f"{arguments.name}: release {release.version} answers; `release env down {arguments.name}` ends it"
    )
    return ExitCode.DONE


def _write(session: Session, environments: "Environments") -> None:
    """Write the file of a new environment, made after another. Raises WrongInputError when that one is not for trying."""
    from pipeline.demand import environment_text
    from stackway.files import write_atomic

    arguments = session.arguments
    like = arguments.like or (arguments.source if arguments.source in environments.names() else _LIKE)
    text = environment_text(environments.read(like), arguments.name)
    path = environments.file(arguments.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text.encode())


def _pin(session: Session, place: "Place") -> "Release":
    """Pin the release that is meant, if it is not pinned already, and return it."""
    from releases import promote_cli, promotion
    from releases.desk import author_now, open_desk
    from releases.opening import open_environments, open_releases
    from releases.verify import verify

    source, reference = session.arguments.source, session.arguments.source
    store = open_releases(session)
    if source in open_environments(session).names():
        other = open_desk(session, source)
        if other.chain.pin is None:
            raise WrongInputError(
                f"no release is pinned in {source}", resolution=f"`release promote VERSION {source}` pins one."
            )
        store, reference = other.channels.store, other.chain.pin.digest
    desk = open_desk(session, place.spec.name)
    release = verify(store, reference, place.keyring, every_byte=False)
    author = author_now(_REASON)
    grounds = promotion.Grounds(desk.chain, None, (), None)
    todo = promotion.plan(place, promotion.candidate_of(release.content), grounds, author, "")
    if not todo.nothing:
        if not todo.allowed:
            promotion.refuse(todo)
        promote_cli.apply(session, desk, release, todo, author)
    return release


def _configure_down(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the environment to end, with all that it holds")
    parser.add_argument("--dry-run", action="store_true", help="show what would be removed")


def _down(session: Session) -> ExitCode:
    from pipeline import demand
    from pipeline.target import open_target
    from releases.opening import open_environments
    from stackway import clock

    name, environments = session.arguments.name, open_environments(session)
    place = environments.read(name)
    if name in environments.kept() and not place.spec.development:
        raise WrongInputError(
            f"{name} is not for trying: it is not removed by one command",
            details=f"environments/{name}.yaml: development is not true",
            resolution="Delete its namespace yourself if that is what you want.",
        )
    target = open_target(session, place.spec)
    found = demand.inventory(target.api, place.spec)
    if session.arguments.dry_run:
        session.show(
            found, f"{name}: namespace {place.spec.cluster.namespace} with {found['pods']} pods would be removed"
        )
        return ExitCode.CHANGES_PENDING if found["exists"] else ExitCode.DONE
    started = clock.monotonic()
    demand.remove(target.api, place.spec, session.reporter)
    if name in environments.on_demand():
        environments.file(name).unlink(missing_ok=True)
    seconds = round(clock.monotonic() - started, 1)
    session.show({**found, "seconds": seconds}, f"{name}: gone after {seconds} s")
    return ExitCode.DONE


UP = Command("up", "make an environment on demand, like another, and bring a release into it", _up, _configure_up)
DOWN = Command("down", "end an environment for trying, with all that it holds", _down, _configure_down)
