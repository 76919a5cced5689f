# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The command `release status`: how environments do. Arguments in, results out."""

import argparse
from typing import TYPE_CHECKING

from stackway.commands import Command, Session
from stackway.errors import ExitCode, StackwayError, UnavailableError, WrongInputError

if TYPE_CHECKING:
    from pipeline.condition import Condition


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "environment", nargs="?", metavar="ENV", help="the environment; left out: all whose cluster can be reached"
    )
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--watch", action="store_true", help="go on and show each change, until Ctrl-C")
    choice.add_argument(
        "--wait", metavar="SECONDS", type=float, help="return as soon as it is healthy; fail when it is not by then"
    )
    parser.add_argument("--page", metavar="FILE", help="write it as an HTML page too")


def _status(session: Session) -> ExitCode:
    from pipeline.look import objects_now, open_view, sight_of

    arguments = session.arguments
    if not arguments.environment:
        return _all(session)
    view = open_view(session, arguments.environment)
    if arguments.watch:
        from pipeline.living import watch

        return _code([watch(session, view, lambda condition: _write_page(session, condition))])
    from pipeline.diagnosis import diagnose
    from pipeline.telling import report

    if arguments.wait is not None:
        from pipeline.living import wait

        condition = wait(session, view, arguments.wait)
    else:
        condition = diagnose(sight_of(view, objects_now(view)))
    _write_page(session, condition)
    session.show(condition.to_dict(), *report(condition))
    return _code([condition])


def _write_page(session: Session, condition: "Condition") -> None:
    from pathlib import Path

    from stackway.files import write_atomic

    if session.arguments.page:
        from pipeline.condition_page import condition_page

        write_atomic(Path(session.arguments.page), condition_page(condition).encode())


def _all(session: Session) -> ExitCode:
    """Show all environments; of those that cannot be looked at it is said why."""
    from pipeline.diagnosis import diagnose
    from pipeline.look import objects_now, open_view, sight_of
    from pipeline.telling import overview
    from releases.opening import open_environments

    if session.arguments.watch or session.arguments.page or session.arguments.wait is not None:
        raise WrongInputError(
            "--watch, --wait and --page are about one environment", resolution="Name it: `release status ENV --watch`."
        )
    found = []
    for name in open_environments(session).names():
        try:
            view = open_view(session, name)
            found.append(diagnose(sight_of(view, objects_now(view))))
        except StackwayError as error:
            session.reporter.warn(f"{name}: {error.brief}")
    if not found:
        raise UnavailableError(
            "no environment can be looked at",
            resolution="`release cluster up` starts a cluster; `release env check` more.",
        )
    session.show([item.to_dict() for item in found], overview(found))
    return _code(found)


def _code(conditions: "list[Condition]") -> ExitCode:
    from pipeline.condition import Verdict

    return ExitCode.DONE if all(item.verdict is Verdict.HEALTHY for item in conditions) else ExitCode.FAILED


STATUS = Command(
    "status", "show how an environment does, and what to do where it does not do well", _status, _configure
)
