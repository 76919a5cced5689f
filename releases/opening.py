# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""From a command line to what commands on releases work with: the place of releases, environments, and the key that signs."""

import getpass
import os
import sys
from pathlib import Path

from releases import keys
from releases.environments import Environments
from releases.keyring import Place
from releases.keys import KMS_SCHEMES, Signer
from releases.places import open_store
from releases.repository import ReleaseStore
from stackway.commands import Session
from stackway.errors import WrongInputError

_PASSWORD_MAX = 1 << 12


def state_of(session: Session) -> Path:
    """Return the folder that belongs to this checkout alone."""
    return (session.root / session.settings.state.value).absolute()


def open_environments(session: Session) -> Environments:
    """Return the checkout's environments."""
    return Environments(session.root, state_of(session))


def open_releases(session: Session, place: Place | None = None) -> ReleaseStore:
    """Return where releases are: an environment's own place, else the checkout's."""
    own = place.spec.store if place else None
    address = own or session.settings.releases.value or str(state_of(session) / "releases")
    if not address.startswith("oci://"):
        address = str((session.root / address).absolute())
    return open_store(address)


def open_signer(session: Session, *, development: bool) -> Signer:
    """Return the key that the command line or the settings name, else the development key where that is enough.

    Raises WrongInputError when neither is.
    """
    name = session.arguments.key or session.settings.key.value
    if not name:
        if development:
            return open_environments(session).development_signer()
        raise WrongInputError(
            "nobody says which key signs",
            details="neither --key nor the setting `key` is given, and the development key is not enough here",
            resolution="`release keygen NAME` makes a pair; then give --key NAME.key.",
        )
    if name.startswith(KMS_SCHEMES):
        if not session.arguments.public_key:
            raise WrongInputError(
                "a key service's key needs its public key", details=name, resolution="Give it with --public-key FILE."
            )
        return keys.load_kms(name, keys.load_public(Path(session.arguments.public_key)))
    path = Path(name)
    password = (
        b"" if path.exists() and keys.is_development(path) else read_password(session, f"Password of {path.name}: ")
    )
    return keys.load_signer(path, password)


def read_password(session: Session, prompt: str) -> bytes:
    """Return a password: from the file or descriptor that was named, else from the person at the terminal."""
    arguments = session.arguments
    if arguments.password_file and arguments.password_fd is not None:
        raise WrongInputError(
            "two passwords are given", details="--password-file and --password-fd", resolution="Give one."
        )
    try:
        if arguments.password_file:
            return Path(arguments.password_file).read_bytes()[:_PASSWORD_MAX].split(b"\n")[0]
        if arguments.password_fd is not None:
            with os.fdopen(arguments.password_fd, "rb", closefd=False) as file:
                return file.read(_PASSWORD_MAX).split(b"\n")[0]
    except OSError as error:
        raise WrongInputError(
            "the password cannot be read", details=str(error), resolution="Check the file or descriptor that you named."
        ) from error
    if sys.stdin.isatty():
        return getpass.getpass(prompt, sys.stderr).encode()
    raise WrongInputError(
        "nobody is here to type the key's password",
        details=prompt.removesuffix(": "),
        resolution="Give it with --password-file FILE or --password-fd N.",
    )


def actor() -> str:
    """Return who runs this, for records: what is signed proves the key, this only helps people to remember."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
