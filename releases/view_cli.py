# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The commands that show releases: `release list`, `release show` and `release diff`."""

import argparse
from typing import TYPE_CHECKING

from releases.cli import newest, open_store_of
from stackway.commands import Command, Session
from stackway.console import Table
from stackway.errors import ExitCode, WrongInputError

if TYPE_CHECKING:
    from releases.release import ReleaseContent


def _list(session: Session) -> ExitCode:
    from releases.assemble import versions
    from releases.verify import read

    store, rows, values = open_store_of(session), [], []
    pins = _pins(session)
    for version in versions(store):
        content = read(store, str(version))
        size = sum(image.size for image in content.images)
        where = ", ".join(name for name, digest in pins.items() if digest == content.digest)
        rows.append((str(version), content.digest[:19], str(len(content.images)), f"{size / 1e6:.1f} MB", where or "-"))
        values.append(
            {"version": str(version), "digest": content.digest, "images": len(content.images), "pinned": where}
        )
    table = Table(("RELEASE", "DIGEST", "IMAGES", "SIZE", "PINNED IN"), rows, right=("IMAGES", "SIZE"))
    session.show(values, table, f"{len(rows)} releases in {store.address}; `release verify` says whom to trust")
    return ExitCode.DONE


def _pins(session: Session) -> dict[str, str]:
    """Return environment → digest of its pin; one whose records cannot be believed is told and left out."""
    from releases.channel import Channels
    from releases.opening import open_environments, open_releases, state_of
    from stackway.errors import StackwayError

    environments, found = open_environments(session), {}
    for name in environments.names():
        try:
            place = environments.read(name)
            pin = Channels(open_releases(session, place), state_of(session)).read(place).pin
        except StackwayError as error:
            session.reporter.warn(f"{name}: {error.brief}")
            continue
        if pin:
            found[name] = pin.digest
    return found


def _configure_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", nargs="?", metavar="VERSION", help="version or digest; left out: the newest")
    parser.add_argument("--file", metavar="TITLE", help="print one of its files, such as `cards.json`")


def _show(session: Session) -> ExitCode:
    from releases.verify import read

    store = open_store_of(session)
    content = read(store, newest(session, store, session.arguments.version))
    if session.arguments.file:
        return _show_file(session, content)
    rows = [
        (
            image.name,
            image.version,
            image.manifest.digest[:19],
            f"{image.size / 1e6:.1f} MB",
            f"{image.verdict['outcome']} ({image.verdict['policy']})" if image.verdict else "not scanned",
        )
        for image in content.images
    ]
    facts = [
        ("digest", content.digest),
        ("series", f"{content.series} ({content.config['codename']})"),
        ("reached from", ", ".join(content.config["upgradesFrom"]) or "nothing"),
        ("end of life", str(content.config["endOfLife"])),
        ("files", ", ".join(title for title in content.files if "/" not in title) + ", images/*"),
    ]
    table = Table(("IMAGE", "VERSION", "DIGEST", "SIZE", "SCAN"), rows, right=("SIZE",))
    cards = [(row["service"], row["back"], ", ".join(row["phases"])) for row in content.data("cards.json")]
    value = {"digest": content.digest, **content.config, "files": sorted(content.files)}
    headed = Table((f"RELEASE {content.version}", ""), facts)
    session.show(value, headed, table, Table(("CARD", "WAY BACK TAKES", "DATABASE PHASES"), cards))
    return ExitCode.DONE


def _show_file(session: Session, content: "ReleaseContent") -> ExitCode:
    from stackway.spelling import nearest

    title = session.arguments.file
    if title not in content.files:
        near = nearest(title, sorted(content.files))
        raise WrongInputError(
            f"release {content.version} has no file {title!r}",
            details="\n".join(sorted(content.files)),
            resolution=f"Did you mean {near!r}?" if near else "It has those named above.",
        )
    import json

    session.show(content.data(title), json.dumps(content.data(title), indent=1, ensure_ascii=False))
    return ExitCode.DONE


def _configure_diff(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("before", metavar="A", help="version or digest, or an environment: what is pinned there")
    parser.add_argument("after", metavar="B", help="version or digest, or an environment")
    parser.add_argument("--page", metavar="FILE", help="write it as an HTML page too")
    parser.add_argument("--exit-code", action="store_true", help="end with 3 when something differs")


def _diff(session: Session) -> ExitCode:
    from releases.difference import compare
    from releases.page import difference_page
    from stackway.files import write_atomic

    before, after = (_named(session, name) for name in (session.arguments.before, session.arguments.after))
    found = compare(before, after)
    if session.arguments.page:
        from pathlib import Path

        write_atomic(Path(session.arguments.page), difference_page(found).encode())
    told = [f"{name}\n{table.to_text()}" for name, table in found.tables()]
    told += [text for _, text in sorted(found.templates.items())]
    session.show(
        found.to_dict(), *(told or [f"{before.version} and {after.version} are the same in all but their name"])
    )
    return ExitCode.CHANGES_PENDING if session.arguments.exit_code and not found.is_empty else ExitCode.DONE


def _named(session: Session, name: str) -> "ReleaseContent":
    """Return the release that a word means: a version, a digest, or an environment's pin."""
    from releases.channel import Channels
    from releases.opening import open_environments, open_releases, state_of
    from releases.verify import read

    environments = open_environments(session)
    if name not in environments.names():
        return read(open_store_of(session), name)
    place = environments.read(name)
    store = open_releases(session, place)
    pin = Channels(store, state_of(session)).read(place).pin
    if pin is None:
        raise WrongInputError(f"nothing was ever promoted to {name}", resolution="Name a version: `release list`.")
    return read(store, pin.digest)


LIST = Command("list", "list the releases that there are, and where each is pinned", _list)
SHOW = Command("show", "show what a release holds", _show, _configure_show)
DIFF = Command("diff", "show what differs between two releases", _diff, _configure_diff)
