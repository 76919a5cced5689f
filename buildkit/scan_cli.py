# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The commands `release scan …`: scan and judge images, explain a finding, and keep the database of holes."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildkit.cli import add_selection, open_checkout, select
from stackway.commands import Command, Group, Session
from stackway.console import Table
from stackway.errors import ExitCode, FailedError, RefusedError, StackwayError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from buildkit.checkout import Checkout
    from buildkit.scan.database import Database, DatabaseState
    from buildkit.scan.gate import Verdict
    from buildkit.scan.policy import Rules
    from buildkit.scan.scanning import PreparedScan, ScanResult
    from buildkit.scan.summary import Scanned
    from buildkit.scan.trivy import Trivy

POLICY = "prod"
_SHOWN = 10


def _add_policy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--policy", metavar="NAME", default=POLICY, help=f"the rules of policies/NAME.yaml (default: {POLICY})"
    )


def _configure_images(parser: argparse.ArgumentParser) -> None:
    add_selection(parser)
    _add_policy(parser)
    parser.add_argument("--dry-run", action="store_true", help="show what would be scanned and why, and stop")
    parser.add_argument("--force", action="store_true", help="scan every image anew")
    parser.add_argument("--offline", action="store_true", help="take the database as it is; fetch nothing")
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=float, default=600.0, help="time for each image (default: 600)"
    )
    parser.add_argument(
        "--to", metavar="DIR", help="where page, SARIF, JSON and Markdown go (default: .stackway/scans)"
    )
    parser.add_argument(
        "--diff", metavar=("A", "B"), nargs=2, help="only show what differs between two scanned images or report files"
    )


def _images(session: Session) -> ExitCode:
    from buildkit.scan import scanning
    from buildkit.scan.rules import load_rules
    from stackway import clock

    if session.arguments.diff:
        return _diff(session)
    checkout = open_checkout(session)
    services = select(session, checkout)
    known = [service.image for service in checkout.catalog.select([], None)]
    rules = load_rules(session.root, session.arguments.policy, clock.now(), known)
    trivy = open_trivy(session)
    database = open_database(session, trivy)
    prepared = scanning.prepare(checkout, services, trivy, database.facts, force=session.arguments.force)
    for warning in prepared.outdated:
        session.reporter.warn(warning)
    if session.arguments.dry_run:
        session.show(prepared.plan.to_dict(), prepared.plan.to_table())
        return ExitCode.DONE
    results = scanning.apply(checkout, prepared, trivy)
    return _judge(session, checkout, (prepared, results, rules), database)


def _judge(
    session: Session,
    checkout: "Checkout",
    work: "tuple[PreparedScan, Sequence[ScanResult], Rules]",
    database: "DatabaseState",
) -> ExitCode:
    """Judge what was found, write and show it, and say by the exit code whether it may go on."""
    from buildkit.scan import gate, policy, scanning, summary
    from stackway import clock

    prepared, results, rules = work
    now = clock.now()
    verdicts = scanning.judge_all(checkout, prepared.contexts, results, rules, now)
    reports = [result.report for result in results if result.report]
    # Of images that were not looked at nobody knows what they need.
    is_whole = len(reports) == len(checkout.catalog.select([], None))
    for warning in (*policy.ending_soon(rules, now), *(gate.unused(rules, reports) if is_whole else ())):
        session.reporter.warn(warning)
    scanned = [
        summary.Scanned(
            result.image,
            verdicts.get(result.image),
            result.report,
            result.before,
            result.error.brief if result.error else "",
        )
        for result in results
    ]
    name, facts = rules.policy.name, _facts(database, results, now)
    written = write_outputs(session, checkout, scanned, (name, facts))
    tables: list[Table | str] = [summary.image_table(scanned)]
    if (findings := summary.finding_table(scanned)).rows:
        tables += [findings, summary.layer_table(scanned)]
    session.show(summary.to_dict(scanned, facts), *tables, f"{summary.closing(scanned, name)}\n{written}")
    raise_verdicts(verdicts, results, name)
    return ExitCode.DONE


def _facts(database: "DatabaseState", results: "Sequence[ScanResult]", now: Any) -> dict[str, Any]:
    report = next((result.report for result in results if result.report), None)
    return {
        "at": now.isoformat(timespec="seconds"),
        "scanner": f"Trivy {report.key.scanner}" if report else "",
        "database": f"{database.facts.updated} ({database.age(now)} old)",
        "database source": database.facts.source,
    }


def write_outputs(
    session: Session, checkout: "Checkout", scanned: "Sequence[Scanned]", about: "tuple[str, dict[str, Any]]"
) -> str:
    """Write page, SARIF, JSON and Markdown; return a line that says where."""
    from buildkit.scan import page, sarif, summary
    from stackway.files import write_atomic, write_json

    name, facts = about
    folder = Path(session.arguments.to) if session.arguments.to else checkout.state / "scans"
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "index.html", page.to_html(scanned, name, facts).encode())
    write_atomic(folder / "summary.md", summary.to_markdown(scanned, name).encode())
    write_json(folder / "results.sarif", sarif.to_sarif(scanned, _version()))
    write_json(folder / "scan.json", summary.to_dict(scanned, facts))
    return f"written to {folder}: index.html, results.sarif, scan.json, summary.md"


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("stackway")
    except PackageNotFoundError:
        return "0"


def raise_verdicts(verdicts: "dict[str, Verdict]", results: "Sequence[ScanResult]", policy: str) -> None:
    """Raise FailedError when an image could not be judged, else RefusedError when one may not go on."""
    from buildkit.scan.gate import Outcome

    errors = [f"{item.image}: {item.error.brief}: {item.error.details}" for item in results if item.error]
    hints = [item.error.resolution for item in results if item.error]
    errored = [item for item in verdicts.values() if item.outcome is Outcome.ERRORED]
    errors += [f"{item.image}: {item.reasons[0]}" for item in errored]
    hints += ["`release scan db update` or `release scan db import FILE` brings a newer database."] if errored else []
    if errors:
        raise FailedError(
            f"{len(errors)} of {len(results)} images could not be judged",
            details="\n".join(shorten(errors)),
            resolution="\n".join(dict.fromkeys(hint for hint in hints if hint)),
        )
    failed = [item for item in verdicts.values() if item.outcome is Outcome.FAILED]
    if failed:
        reasons = [f"{item.image}: {reason}" for item in failed for reason in item.reasons]
        raise RefusedError(
            f"{len(failed)} of {len(verdicts)} images may not pass under {policy}",
            details="\n".join(shorten(reasons)),
            resolution="`release scan explain FINDING` says where one comes from and what mends it.",
        )


def shorten(rows: "list[str]") -> "list[str]":
    """Return the first few lines, and how many more there are."""
    return rows if len(rows) <= _SHOWN else [*rows[:_SHOWN], f"and {len(rows) - _SHOWN} more"]


def _diff(session: Session) -> ExitCode:
    from buildkit.scan.difference import compare
    from buildkit.scan.scanning import stored_report

    checkout = open_checkout(session)
    before, after = (stored_report(checkout, name) for name in session.arguments.diff)
    difference = compare(before, after)
    session.show(difference.to_dict(), *difference.tables())
    return ExitCode.DONE


def open_trivy(session: Session) -> "Trivy":
    """Return the scanner, installed first where needed."""
    from buildkit.scan.trivy import Trivy
    from stackway.tools.provision import provide
    from stackway.tools.survey import ask, open_bench

    cache = session.settings.cache_path
    program = provide("trivy", cache, session.reporter)
    seen = ask(open_bench(cache).catalogue.tool("trivy"), program)
    return Trivy(program, seen.version or "", cache / "trivy", getattr(session.arguments, "timeout", 600.0))


def open_database(session: Session, trivy: "Trivy") -> "DatabaseState":
    """Return the database, fetched anew first when its makers have a newer one and one may be fetched."""
    from buildkit.scan.database import Database
    from stackway import clock

    database = Database(trivy.cache)
    try:
        state = database.state()
    except UnavailableError:
        if session.arguments.offline:
            raise
        session.reporter.say("there is no vulnerability database yet; fetching one")
        return database.update(trivy, session.settings.scan_database.value, UPDATE_SECONDS)
    if session.arguments.offline or not state.is_due(clock.now()):
        return state
    return _renew(session, database, trivy, state)


UPDATE_SECONDS = 300.0


def _renew(session: Session, database: "Database", trivy: "Trivy", state: "DatabaseState") -> "DatabaseState":
    """Fetch a newer database; when that is not possible the one that is there is used, and its age is part of the verdict."""
    from stackway import clock

    try:
        return database.update(trivy, session.settings.scan_database.value, UPDATE_SECONDS)
    except StackwayError as error:
        last = error.details.strip().splitlines()[-1:]
        why = f": {last[0]}" if last else ""
        session.reporter.warn(f"the database is {state.age(clock.now())} old; {error.brief}{why}")
        return state


def _configure_explain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("finding", metavar="FINDING", help="a hole, rule or licence: `CVE-2026-12345`, `DS-0002`")
    _add_policy(parser)


def _explain(session: Session) -> ExitCode:
    from buildkit.scan import explain
    from buildkit.scan.rules import load_rules
    from stackway import clock

    checkout = open_checkout(session)
    rules = load_rules(session.root, session.arguments.policy, clock.now())
    found = explain.explain(checkout, rules, session.arguments.finding, clock.now())
    session.show(found.to_dict(), *found.texts())
    return ExitCode.DONE


def _status(session: Session) -> ExitCode:
    from buildkit.scan.database import Database
    from stackway import clock

    return _show_state(session, Database(session.settings.cache_path / "trivy").state(), clock.now())


def _show_state(session: Session, state: "DatabaseState", now: Any) -> ExitCode:
    value = state.to_dict(now)
    rows = [(name, str(given)) for name, given in value.items()]
    session.show(value, Table(("DATABASE", ""), [*rows, ("folder", str(state.folder))]))
    return ExitCode.DONE


def _configure_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", metavar="SOURCE", help="folder with trivy.db, archive (tar, tar.gz), or OCI layout of trivy-db"
    )


def _import(session: Session) -> ExitCode:
    from buildkit.scan.database import Database
    from stackway import clock

    state = Database(session.settings.cache_path / "trivy").bring(Path(session.arguments.source))
    return _show_state(session, state, clock.now())


def _update(session: Session) -> ExitCode:
    from buildkit.scan.database import Database
    from stackway import clock

    trivy = open_trivy(session)
    state = Database(trivy.cache).update(trivy, session.settings.scan_database.value, UPDATE_SECONDS)
    return _show_state(session, state, clock.now())


DATABASE = Group(
    "db",
    "keep the database of known holes",
    (
        Command("status", "say which database is here, how old it is and whence it came", _status),
        Command("import", "take a database from a file or folder", _import, _configure_import),
        Command("update", "fetch the newest database", _update),
    ),
)
SCAN = Group(
    "scan",
    "find known holes, secrets and licences in images, and judge them by rule",
    (
        Command("images", "scan images and judge them; meant when nothing else is named", _images, _configure_images),
        Command(
            "explain",
            "say where a finding comes from, why it passes, and what mends it",
            _explain,
            _configure_explain,
        ),
        DATABASE,
    ),
    standard="images",
)
