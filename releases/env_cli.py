# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The commands `release env …`: show and check the environments of a checkout."""

import argparse
from typing import Any

from stackway.commands import Command, Group, Session
from stackway.console import Table
from stackway.errors import ExitCode, Problem, StackwayError, WrongInputError

SCHEMA = "environments/schema/environment.json"


def _list(session: Session) -> ExitCode:
    from releases.desk import open_desk
    from releases.opening import open_environments

    rows: list[tuple[str, ...]] = []
    values: list[dict[str, Any]] = []
    for name in open_environments(session).names():
        try:
            desk = open_desk(session, name, any_head=True, fresh=False)
        except StackwayError as error:
            rows.append(
                (name, "-", "-", "-", f"{error.brief}: {error.details.splitlines()[0] if error.details else ''}")
            )
            values.append({"name": name, "error": error.to_dict()})
            continue
        spec, pin = desk.place.spec, desk.chain.pin
        values.append(
            {"name": name, "source": spec.source, "pin": vars(pin) if pin else None, "records": desk.chain.version}
        )
        shown = (name, spec.source or "-", pin.version if pin else "-", str(desk.chain.version), spec.summary)
        rows.append(shown)
    session.show(values, Table(("ENVIRONMENT", "SOURCE", "RELEASE", "RECORDS", "SUMMARY"), rows, right=("RECORDS",)))
    return ExitCode.DONE


def _check(session: Session) -> ExitCode:
    from buildkit.scan.rules import load_rules
    from releases.opening import open_environments
    from stackway import clock

    environments, problems, good = open_environments(session), list[Problem](), []
    for name in environments.names():
        try:
            place = environments.read(name)
            if place.spec.gates.scan:
                load_rules(session.root, place.spec.gates.scan.policy, clock.now())
            good.append(name)
        except WrongInputError as error:
            problems += error.problems or [Problem(f"{error.brief}: {error.details}")]
    if problems:
        raise WrongInputError.from_problems("there are environments that cannot be used", problems)
    session.show(good, f"{len(good)} environments can be used: {', '.join(good)}")
    return ExitCode.DONE


def _configure_schema(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help=f"only say whether {SCHEMA} is right")


def _schema(session: Session) -> ExitCode:
    from buildkit.schema import schema_text
    from releases.environment import Environment
    from stackway.files import write_atomic

    path, text = session.root / SCHEMA, schema_text(Environment, complete=True)
    is_right = path.exists() and path.read_text(encoding="utf-8") == text
    if not is_right and session.arguments.check:
        raise WrongInputError(f"{SCHEMA} is out of date", resolution="Run `release env schema` and commit the result.")
    if not is_right:
        write_atomic(path, text.encode())
    session.show({"file": SCHEMA}, f"{SCHEMA} is right")
    return ExitCode.DONE


ENV = Group(
    "env",
    "show and check the environments that releases go to",
    (
        Command("list", "list the environments, and the release that each has", _list),
        Command("check", "check every environment's file, keys and policies", _check),
        Command("schema", "write the JSON Schema of environment files, for editors", _schema, _configure_schema),
    ),
    standard="list",
)
