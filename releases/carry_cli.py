# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The commands that bring releases elsewhere: `release push`, `release export` and `release import`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from releases.cli import newest, open_store_of
from stackway.commands import Command, Session
from stackway.errors import ExitCode, WrongInputError

if TYPE_CHECKING:
    from releases.layout import LayoutStore


def _configure_push(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help="`oci://host[:port]/prefix`, or a folder")
    parser.add_argument("version", nargs="?", metavar="VERSION", help="version or digest; left out: the newest")
    parser.add_argument(
        "--records", metavar="ENV", action="append", default=[], help="bring this environment's records too"
    )


def _push(session: Session) -> ExitCode:
    from releases import transfer
    from releases.places import open_store
    from releases.verify import read

    store = open_store_of(session)
    content = read(store, newest(session, store, session.arguments.version))
    target = open_store(session.arguments.target)
    parts = [*transfer.parts(store, content), *transfer.records(store, session.arguments.records)]
    sent = transfer.copy(store, target, parts, session.reporter)
    told = f"{sent.bytes / 1e6:.1f} MB in {sent.blobs} blobs sent, {sent.there} were there, {sent.manifests} manifests written"
    value = {"version": str(content.version), "digest": content.digest, "target": target.address, **sent.to_dict()}
    session.show(value, f"release {content.version} is in {target.address}: {told}")
    return ExitCode.DONE


def _configure_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", nargs="?", metavar="VERSION", help="version or digest; left out: the newest")
    parser.add_argument("--to", metavar="FILE", help="left out: release-VERSION.tar")
    parser.add_argument(
        "--base-release", metavar="VERSION", help="leave out what this release, which they have, consists of"
    )
    parser.add_argument(
        "--records", metavar="ENV", action="append", default=[], help="bring this environment's records too"
    )


def _export(session: Session) -> ExitCode:
    from releases import carry
    from releases.verify import read

    arguments, store = session.arguments, open_store_of(session)
    content = read(store, newest(session, store, arguments.version))
    base = read(store, arguments.base_release) if arguments.base_release else None
    target = Path(arguments.to or f"release-{content.version}.tar")
    made = carry.export(store, content, target, base, arguments.records)
    left = f", {made.left_out} blobs left out" if base else ""
    value = {"version": str(content.version), "digest": content.digest, "file": str(target), "bytes": made.bytes}
    session.show(
        value, f"{target}: release {content.version}, {made.bytes / 1e6:.1f} MB in {made.members} members{left}"
    )
    return ExitCode.DONE


def _configure_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="what `release export` wrote")
    parser.add_argument("--for", dest="environment", metavar="ENV", help="verify what came by this environment's keys")


def _import(session: Session) -> ExitCode:
    from releases import carry
    from releases.opening import open_environments
    from releases.verify import verify

    store, path = _layout(session), Path(session.arguments.file)
    environment = session.arguments.environment
    place = open_environments(session).read(environment) if environment else None
    try:
        with path.open("rb") as file:
            found = carry.bring(file, store)
    except OSError as error:
        if error.filename != session.arguments.file:
            raise
        raise WrongInputError(
            "the archive cannot be read", details=str(error), resolution="Name what `release export` wrote."
        ) from error
    told = [f"release {version}: {digest}" for version, digest in sorted(found.releases.items())]
    if place:
        signers = [
            ", ".join(key.name for key in verify(store, version, place.keyring).signers) for version in found.releases
        ]
        told += [f"verified for {environment}: signed by {names}" for names in signers]
    else:
        told.append("no signature was looked at: `release verify VERSION --for ENV` does that")
    told.append(f"{found.manifests} manifests and {found.blobs} blobs ({found.bytes / 1e6:.1f} MB) were new")
    session.show(found.to_dict(), "\n".join(told))
    return ExitCode.DONE


def _layout(session: Session) -> "LayoutStore":
    from releases.layout import LayoutStore

    store = open_store_of(session)
    if isinstance(store, LayoutStore):
        return store
    raise WrongInputError(
        "an archive is taken into a folder",
        details=store.address,
        resolution="Import it there, then `release push` it on.",
    )


PUSH = Command("push", "bring a release with all its signatures to a registry or folder", _push, _configure_push)
EXPORT = Command("export", "write a release to one file, to carry over an air gap", _export, _configure_export)
IMPORT = Command("import", "take a release from a file", _import, _configure_import)
