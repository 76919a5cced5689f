# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The commands `release up` and `release down`: from an empty machine to a cloud that answers, and back."""

import argparse
from typing import TYPE_CHECKING, Any

from stackway.commands import Command, Session, build_parser
from stackway.console import Table
from stackway.errors import ExitCode, FailedError, StackwayError

if TYPE_CHECKING:
    from pipeline.journey import Stage

_ENVIRONMENT = "dev"
_TIMES = "journey.json"


def _configure_up(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "environment", metavar="ENV", nargs="?", default=_ENVIRONMENT, help=f"where to (default: {_ENVIRONMENT})"
    )
    parser.add_argument("--series", metavar="SERIES", help="left out: the newest that there is")


def _up(session: Session) -> ExitCode:
    from buildkit.cli import open_checkout
    from pipeline.journey import span, stages
    from releases.opening import open_environments
    from stackway import clock

    name = session.arguments.environment
    place = open_environments(session).read(name)
    known = open_checkout(session).catalog.series
    series = session.arguments.series or max(known, key=lambda item: known[item].spec.released)
    started = clock.monotonic()
    rows = _travel(session, stages(series, name, is_local=place.spec.cluster.context is None))
    seconds = clock.monotonic() - started
    table = Table(("STAGE", "SECONDS", "RESULT"), [(row[0], f"{row[1]:.1f}", row[2]) for row in rows], ("SECONDS",))
    told = (
        f"{name} answers, {span(seconds)} after the start\n"
        f"  release client {name} -- token issue   runs the openstack client there\n"
        f"  release status {name} --watch          shows how it does\n"
        f"  release down                        ends it, and leaves nothing behind"
    )
    value = [{"stage": stage, "seconds": taken, "result": result} for stage, taken, result in rows]
    session.show({"environment": name, "seconds": round(seconds, 1), "stages": value}, table, told)
    return ExitCode.DONE


def _travel(session: Session, todo: "tuple[Stage, ...]") -> list[tuple[str, float, str]]:
    """Go through the stages; return name, seconds and result of each."""
    from pipeline.journey import left, span
    from releases.opening import state_of
    from stackway import clock
    from stackway.files import read_json, write_json

    path = state_of(session) / _TIMES
    times: dict[str, float] = read_json(path) if path.exists() else {}
    rows: list[tuple[str, float, str]] = []
    version = ""
    for number, stage in enumerate(todo, 1):
        rest = span(left(todo[number - 1 :], times))
        session.reporter.say(f"{number} of {len(todo)}: {stage.name}; about {rest} to go")
        begin = clock.monotonic()
        told, value = _do(session, stage, version)
        version = value["version"] if stage.name == "bundle" else version
        taken = round(clock.monotonic() - begin, 1)
        rows.append((stage.name, taken, told))
        write_json(path, times := {**times, stage.name: taken})
    return rows


def _do(session: Session, stage: "Stage", version: str) -> tuple[str, Any]:
    """Carry out one stage; return what to tell, and its result. Raises what its command raises, unless it may fail."""
    from pipeline.cli import COMMANDS, SUMMARY

    words = [word.replace("{version}", version) for word in stage.words]
    command = f"`release {' '.join(words)}`"
    try:
        code, value = session.part(build_parser("release", SUMMARY, COMMANDS), words)
    except StackwayError as error:
        if not stage.may_fail:
            raise
        session.reporter.warn(f"{stage.name}: {error.brief}; {command} shows it again")
        return f"passed over: {error.brief}", None
    if code is not ExitCode.DONE and not stage.may_fail:
        raise FailedError(
            f"stage {stage.name} ended with exit code {int(code)}",
            details=command,
            resolution=f"Run {command} to see more. `release up` goes on where it stopped.",
        )
    return (stage.told(value) if code is ExitCode.DONE else f"exit code {int(code)}; see {command}"), value


def _down(session: Session) -> ExitCode:
    from pipeline.cluster import down
    from pipeline.cluster.cluster import open_cluster
    from releases.opening import open_environments, state_of

    cluster = open_cluster(state_of(session), session.settings.cache_path, session.reporter)
    steps = down.down(cluster)
    environments = open_environments(session)
    ended = [name for name in environments.on_demand() if environments.read(name).spec.cluster.context is None]
    for name in ended:
        environments.file(name).unlink(missing_ok=True)
    value = {"steps": [str(step.action) for step in steps], "environments": ended}
    session.show(value, "the local cluster is gone, with all that ran in it" if steps else "nothing was there")
    return ExitCode.DONE


UP = Command("up", "go the whole way: build, scan, bundle, sign, verify, promote, cluster, deploy", _up, _configure_up)
DOWN = Command("down", "end the local cluster and everything in it", _down)
