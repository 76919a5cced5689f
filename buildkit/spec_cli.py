# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The commands `release spec …`: check, list, show, diff, lock, render, schema and new."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildkit.cli import add_selection, open_checkout, select
from stackway.commands import Command, Group, Session
from stackway.console import Table
from stackway.errors import ExitCode, WrongInputError

if TYPE_CHECKING:
    from buildkit.locking import LockChange


def _check(session: Session) -> ExitCode:
    from buildkit.prepare import check_specs

    checkout = open_checkout(session)
    services = select(session, checkout)
    warnings = check_specs(checkout, services)
    for warning in warnings:
        session.reporter.warn(warning)
    value = {"images": [service.image for service in services], "warnings": warnings}
    session.show(
        value, f"{len(services)} images in {len(checkout.catalog.series)} series: specs, templates and locks are right"
    )
    return ExitCode.DONE


def _list(session: Session) -> ExitCode:
    checkout = open_checkout(session)
    rows, value = [], []
    for service in select(session, checkout):
        base = checkout.catalog.base_of(service).name
        rows.append((service.image, service.version, base, service.role, ", ".join(service.processes) or "-"))
        value.append({"image": service.image, "version": service.version, "base": base, "role": service.role})
    session.show(value, Table(("IMAGE", "VERSION", "BASE", "ROLE", "PROCESSES"), rows))
    return ExitCode.DONE


def _configure_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE", help="`keystone:2026.1`")
    parser.add_argument("series", nargs="?", metavar="SERIES", help="or as a word of its own: `keystone 2026.1`")


def _show(session: Session) -> ExitCode:
    from buildkit.provenance import annotate

    checkout = open_checkout(session)
    name, series = split_image(session.arguments.image, session.arguments.series)
    resolved = checkout.catalog.resolved(name, series)
    session.show(
        resolved.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True), annotate(resolved.document)
    )
    return ExitCode.DONE


def split_image(word: str, series: str | None = None) -> tuple[str, str]:
    """Return name and series of `keystone:2026.1` or `keystone` `2026.1`. Raises WrongInputError without a series."""
    name, _, own = word.partition(":")
    if not (series or own):
        raise WrongInputError(
            f"{word!r} names no series", resolution=f"Write `{word}:2026.1`; `release spec list` shows them."
        )
    return name, series or own


def _configure_diff(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("before", metavar="IMAGE", help="`keystone:2025.1`")
    parser.add_argument("after", metavar="IMAGE", help="`keystone:2026.1`")


def _diff(session: Session) -> ExitCode:
    from buildkit.provenance import differences

    checkout = open_checkout(session)
    words = (session.arguments.before, session.arguments.after)
    before, after = (checkout.catalog.resolved(*split_image(word)) for word in words)
    found = differences(before.document, after.document)
    rows = [(item.path, item.before, item.after) for item in found]
    session.show([vars(item) for item in found], Table(("KEY", *words), rows))
    return ExitCode.DONE


def _configure_lock(parser: argparse.ArgumentParser) -> None:
    add_selection(parser)
    parser.add_argument(
        "--upgrade", action="store_true", help="ask the archives again, even where a lock answers its spec"
    )
    parser.add_argument("--relayer", action="store_true", help="cut the shared layers anew")
    parser.add_argument("--dry-run", action="store_true", help="show what would change, and stop")
    parser.add_argument(
        "--exit-code", action="store_true", help="with --dry-run: end with 3 when something would change"
    )


def _lock(session: Session) -> ExitCode:
    from buildkit.locking import LockRun, plan_locks, write_locks

    checkout = open_checkout(session)
    arguments = session.arguments
    run = LockRun(
        checkout.catalog, session.settings, session.reporter, upgrade=arguments.upgrade, relayer=arguments.relayer
    )
    changes = plan_locks(run, select(session, checkout))
    if not arguments.dry_run:
        write_locks(changes)
    session.show([_change(session.root, change) for change in changes], lock_table(session.root, changes))
    return ExitCode.CHANGES_PENDING if arguments.dry_run and arguments.exit_code and changes else ExitCode.DONE


def _change(root: Path, change: "LockChange") -> dict[str, Any]:
    return {
        "path": str(change.path.relative_to(root)),
        "new": change.is_new,
        "changes": [str(item) for item in change.changes],
    }


def lock_table(root: Path, changes: "list[LockChange]") -> Table | str:
    """Return what changes in the locks, for people; a new lock in one line."""
    rows = []
    for change in changes:
        name = str(change.path.relative_to(root))
        if change.is_new:
            rows.append((name, f"new, with {len(change.changes)} entries"))
        else:
            rows += [(name, str(item)) for item in change.changes] or [(name, "same versions, other notes")]
    return Table(("LOCK", "CHANGE"), rows) if rows else "all locks answer their specs; nothing to do"


def _configure_render(parser: argparse.ArgumentParser) -> None:
    add_selection(parser)
    parser.add_argument("--to", metavar="DIR", help="write the files there instead of to standard output")
    parser.add_argument("--dockerfiles", action="store_true", help="the Dockerfiles alone, without files and checks")


def _render(session: Session) -> ExitCode:
    from buildkit.prepare import render_all, render_dockerfiles
    from buildkit.sources import write_texts

    checkout = open_checkout(session)
    render = render_dockerfiles if session.arguments.dockerfiles else render_all
    texts = render(checkout.catalog, select(session, checkout), checkout.state / "templates")
    if session.arguments.to:
        write_texts(Path(session.arguments.to), texts)
        session.show(sorted(texts), f"{len(texts)} files written to {session.arguments.to}")
    else:
        session.show(texts, *(f"# --- {name}\n{text}" for name, text in sorted(texts.items())))
    return ExitCode.DONE


def _configure_schema(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="only say whether the files in images/schema are right")


def _schema(session: Session) -> ExitCode:
    import difflib

    from buildkit.schema import schemas
    from stackway.files import write_atomic

    folder = session.root / "images/schema"
    different = []
    for name, text in schemas().items():
        path = folder / name
        current = path.read_text(encoding="utf-8") if path.exists() else ""
        if current != text:
            different += list(
                difflib.unified_diff(current.splitlines(), text.splitlines(), name, name, lineterm="", n=0)
            )[:20]
            if not session.arguments.check:
                write_atomic(path, text.encode())
    if different and session.arguments.check:
        raise WrongInputError(
            "images/schema is out of date",
            details="\n".join(different),
            resolution="Run `release spec schema` and commit the result.",
        )
    session.show({"files": sorted(schemas())}, f"{len(schemas())} schema files in {folder} are right")
    return ExitCode.DONE


def _configure_new(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the service, as OpenStack calls it: `heat`")
    parser.add_argument("--series", metavar="SERIES", required=True, help="the series to begin with: `2026.1`")
    parser.add_argument("--distribution", metavar="NAME", help="its Python distribution (default: the service's name)")
    parser.add_argument("--version", metavar="VERSION", required=True, help="the distribution's version in that series")


def _new(session: Session) -> ExitCode:
    from buildkit.scaffold import NewService, scaffold

    arguments = session.arguments
    checkout = open_checkout(session)
    wanted = NewService(arguments.name, arguments.series, arguments.distribution or arguments.name, arguments.version)
    written = scaffold(checkout.catalog, wanted)
    names = [str(path.relative_to(session.root)) for path in written]
    image = f"{wanted.name}:{wanted.series}"
    steps = (
        "Fill in what they leave open, and in images/shared/example.yaml what its templates need of an environment; "
        f"then `release spec lock {image}` and `release build {image}`."
    )
    session.show(names, "\n".join(["written:", *(f"  {name}" for name in names), steps]))
    return ExitCode.DONE


SPEC = Group(
    "spec",
    "look at, check and lock the specs below images/",
    (
        Command("check", "check every spec, template and lock; errors name file and line", _check, add_selection),
        Command("list", "name the images", _list, add_selection),
        Command("show", "print a resolved spec with the origin of each value", _show, _configure_show),
        Command("diff", "show in which values two specs differ", _diff, _configure_diff),
        Command("lock", "resolve packages to exact files and show what changes", _lock, _configure_lock),
        Command("render", "print Dockerfiles and the files they add", _render, _configure_render),
        Command("schema", "write the JSON Schema of the specs", _schema, _configure_schema),
        Command("new", "write the first files of a new service", _new, _configure_new),
    ),
)
