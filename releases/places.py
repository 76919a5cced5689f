# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""From an address to the place for releases that it names. Asks no place anything."""

from pathlib import Path

from buildkit.registry import open_registry
from releases.entries import check_place
from releases.layout import LayoutStore
from releases.remote import RegistryStore
from releases.repository import ReleaseStore
from stackway.console import printable
from stackway.errors import WrongInputError

_SCHEME = "oci://"


def open_store(address: str, *, plain_http: bool | None = None) -> ReleaseStore:
    """Return the place at `address`: `oci://HOST[:PORT][/PREFIX]`, or a folder.

    `plain_http` is what `open_registry` takes. Raises WrongInputError for what is neither, and for unreadable credentials.
    """
    if address.startswith(_SCHEME) and "@" in address:
        raise WrongInputError(
            "an address takes neither user nor password",
            details=printable(_SCHEME + address.rpartition("@")[2]),
            resolution="Log in with `docker login` or `podman login`, or name a file of credentials with REGISTRY_AUTH_FILE.",
        )
    if address.startswith(_SCHEME):
        host, _, prefix = address.removeprefix(_SCHEME).rstrip("/").partition("/")
        if prefix:
            check_place(prefix)
        return RegistryStore(open_registry(host, plain_http=plain_http), prefix)
    if not address or "://" in address or "\0" in address:
        raise WrongInputError(
            f"{printable(address)!r} is no place for releases",
            resolution="Name a folder, or a registry like oci://registry.example:5000/team.",
        )
    return LayoutStore(Path(address))
