# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The credentials of an environment: which there are, and how they are told to programs. Pure; somebody else draws them.

They are drawn once, and live in one Secret of the environment. Their text form shows none.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from buildkit.models import Service

ADMIN = "admin"
MESSAGING = "messaging_password"
MESSAGING_USER = "messaging_user"
_OUR_USER = "openstack"
_SHARED = ("metadata_proxy", MESSAGING)


@dataclass(frozen=True)
class Credentials:
    """Name → password; for a service `database.NAME` and `user.NAME`."""

    values: Mapping[str, str] = field(repr=False)

    def database(self, service: str) -> str:
        """Return the password of a service's database user."""
        return self.values[f"database.{service}"]

    def user(self, service: str) -> str:
        """Return the password of a service's user in keystone."""
        return self.values[f"user.{service}"]

    @property
    def admin(self) -> str:
        """The password of the cloud's administrator."""
        return self.values[ADMIN]

    @property
    def messaging_user(self) -> str:
        """The broker's user: our own, or the one that a broker from outside has for us."""
        return self.values.get(MESSAGING_USER, _OUR_USER)

    @property
    def messaging(self) -> str:
        """The password of the broker's user."""
        return self.values[MESSAGING]

    @property
    def shared(self) -> dict[str, str]:
        """What templates find as `secrets`."""
        return {name: self.values[name] for name in _SHARED}


def names(services: Iterable[Service]) -> list[str]:
    """Return the names of all credentials that an environment with these services needs."""
    found = {ADMIN, *_SHARED}
    for service in services:
        if service.database.schemas:
            found.add(f"database.{service.name}")
        if service.role == "openstack" and service.provides != "identity":
            found.add(f"user.{service.name}")
    return sorted(found)
