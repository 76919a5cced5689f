# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The commands that make, sign and check releases. Arguments in, results out."""

import argparse
from typing import TYPE_CHECKING

from releases.options import add_key
from stackway.commands import Command, Session
from stackway.console import Table
from stackway.errors import ExitCode, WrongInputError

if TYPE_CHECKING:
    from releases.keyring import Keyring
    from releases.repository import ReleaseStore

POLICY = "prod"
CHECKED_BY = "dev"


def _configure_bundle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "version", nargs="?", metavar="VERSION", help="`2026.1.3`; left out: the next one of the series"
    )
    parser.add_argument("--series", metavar="SERIES", help="left out: the version's, or the newest that there is")
    parser.add_argument("--policy", metavar="NAME", default=POLICY, help=f"whose verdicts go in (default: {POLICY})")
    parser.add_argument("--unscanned", action="store_true", help="make it all the same when images were not scanned")
    parser.add_argument("--dry-run", action="store_true", help="show what it would be made of, and its digest")


def _bundle(session: Session) -> ExitCode:
    from buildkit.cli import open_checkout
    from releases import assemble, bundle
    from releases.layout import LayoutStore
    from releases.version import ReleaseVersion, next_version

    arguments, store = session.arguments, open_store_of(session)
    if not isinstance(store, LayoutStore):
        raise WrongInputError(
            "a release is made in a folder", details=store.address, resolution="Make it there, then `release push` it."
        )
    checkout = open_checkout(session)
    series = arguments.series or (ReleaseVersion.parse(arguments.version).series if arguments.version else "")
    series = series or max(checkout.catalog.series, key=lambda name: checkout.catalog.series[name].spec.released)
    checkout.catalog.members(series)
    version = ReleaseVersion.parse(arguments.version) if arguments.version else None
    if version and version.series != series:
        raise WrongInputError(f"{version} is no version of series {series}", resolution=f"Write {series}.N.")
    choice = assemble.Choice(series, arguments.policy, arguments.unscanned)
    wanted = version or next_version(series, assemble.versions(store))
    made = bundle.bundle(assemble.gather(checkout, choice, wanted))
    same = None if version else assemble.same_as(store, made)
    if not same and not arguments.dry_run:
        assemble.write(checkout, store, made)
    told = f"release {same} is this already" if same else f"release {made.version}: {made.digest}"
    value = {"version": same or str(made.version), "digest": None if same else made.digest, "made": not same}
    rows = [(image.name, image.manifest.digest, f"{image.size / 1e6:.1f} MB") for image in made.images]
    session.show(value, Table(("IMAGE", "DIGEST", "SIZE"), rows, right=("SIZE",)), told)
    return ExitCode.DONE


def open_store_of(session: Session) -> "ReleaseStore":
    """Return the checkout's place for releases."""
    from releases.opening import open_releases

    return open_releases(session)


def newest(session: Session, store: "ReleaseStore", named: str | None) -> str:
    """Return the release that is meant: the one named, else the newest. Raises WrongInputError when there is none."""
    from releases.assemble import versions

    if named:
        return named
    found = versions(store)
    if not found:
        raise WrongInputError(
            "there is no release yet",
            details=store.address,
            resolution="`release bundle` makes one from the images built.",
        )
    session.reporter.say(f"release {found[-1]}, the newest")
    return str(found[-1])


def _configure_keygen(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="writes NAME.key (private, sealed by a password) and NAME.pub")
    parser.add_argument("--password-file", metavar="FILE", help="the password is this file's first line")
    parser.add_argument("--password-fd", metavar="N", type=int, help="the password comes from this descriptor")


def _keygen(session: Session) -> ExitCode:
    from pathlib import Path

    from releases import keys
    from releases.opening import read_password

    path = Path(session.arguments.name).with_suffix(".key")
    password = read_password(session, f"New password of {path.name}: ")
    given = session.arguments.password_file or session.arguments.password_fd is not None
    if not given and read_password(session, "The same again: ") != password:
        raise WrongInputError("the two passwords differ", resolution="Nothing was written. Try again.")
    public = keys.generate(path, password)
    value = {"private": str(path), "public": str(path.with_suffix(".pub")), "id": public.id}
    told = f"{path}: keep it secret\n{path.with_suffix('.pub')}: name it in environments/*.yaml\nkey {public.id}"
    session.show(value, told)
    return ExitCode.DONE


def _configure_sign(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", nargs="?", metavar="VERSION", help="version or digest; left out: the newest")
    parser.add_argument("--dry-run", action="store_true", help="show what would be signed, and stop")
    add_key(parser)


def _sign(session: Session) -> ExitCode:
    from releases import sign
    from releases.opening import open_signer
    from releases.verify import read

    store = open_store_of(session)
    content = read(store, newest(session, store, session.arguments.version))
    signer = open_signer(session, development=True)
    todo = sign.plan(store, content, signer)
    if session.arguments.dry_run:
        session.show(todo.to_dict(), todo.to_table())
        return ExitCode.DONE
    sign.apply(store, todo, signer)
    if signer.is_development:
        session.reporter.warn("signed by this checkout's development key; only development environments accept it")
    told = f"release {content.version}: {len(todo.missing)} statements signed by {signer.public.name}"
    rest = len(todo.steps) - len(todo.missing)
    session.show(todo.to_dict(), f"{told}, {rest} were signed already" if rest else told)
    return ExitCode.DONE


def _configure_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", nargs="?", metavar="VERSION", help="version or digest; left out: the newest")
    parser.add_argument(
        "--for", dest="environment", metavar="ENV", default=CHECKED_BY, help=f"whose keys count (default: {CHECKED_BY})"
    )
    parser.add_argument("--key", metavar="FILE", action="append", help="a public key that counts, instead of --for")
    parser.add_argument("--threshold", metavar="N", type=int, default=1, help="with --key: so many must have signed")
    parser.add_argument("--quick", action="store_true", help="look for the images' layers, but do not hash them")


def _verify(session: Session) -> ExitCode:
    from releases.verify import verify

    store = open_store_of(session)
    name = newest(session, store, session.arguments.version)
    release = verify(store, name, _keyring(session), every_byte=not session.arguments.quick)
    signers = [key.name for key in release.signers]
    for remark in release.remarks:
        session.reporter.say(f"ignored: {remark}")
    value = {
        "version": str(release.version),
        "digest": release.digest,
        "signers": [{"name": key.name, "id": key.id} for key in release.signers],
        "images": len(release.content.images),
        "ignored": list(release.remarks),
    }
    rows = [
        ("release", f"{release.version} {release.digest}"),
        ("signed by", ", ".join(signers)),
        ("images", f"{len(release.content.images)}, each signed, with all of its evidence"),
        ("files", f"{len(release.content.files)}, none missing, none beside"),
        ("bytes", "layers looked for, not hashed" if session.arguments.quick else "every one hashed"),
    ]
    session.show(value, Table(("VERIFIED", ""), rows))
    return ExitCode.DONE


def _keyring(session: Session) -> "Keyring":
    from pathlib import Path

    from releases import keys
    from releases.keyring import Keyring
    from releases.opening import open_environments

    if not session.arguments.key:
        return open_environments(session).read(session.arguments.environment).keyring
    found = {key.id: key for key in (keys.load_public(Path(name)) for name in session.arguments.key)}
    given = tuple(found.values())
    if not 0 < session.arguments.threshold <= len(given):
        raise WrongInputError(f"{session.arguments.threshold} of {len(given)} keys can never have signed")
    return Keyring(given, session.arguments.threshold, given, given, (), (), {})


BUNDLE = Command(
    "bundle", "make a release of the images built, as one object under one digest", _bundle, _configure_bundle
)
KEYGEN = Command("keygen", "make a pair of keys in cosign's format", _keygen, _configure_keygen)
SIGN = Command("sign", "sign a release, its images and all evidence about them", _sign, _configure_sign)
VERIFY = Command("verify", "check a release: signatures, evidence, every byte", _verify, _configure_verify)
