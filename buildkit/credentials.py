# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Finds the credentials for a registry where `docker login` and `podman login` leave them. Sends and prints none.

Order: the file that REGISTRY_AUTH_FILE names (and no other), podman's, docker's. Format: docker's config.json with `auths`,
`credHelpers` and `credsStore`; a helper is a program `docker-credential-NAME` with the verb `get`.
"""

import base64
import binascii
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stackway.console import printable
from stackway.errors import UnavailableError, WrongInputError
from stackway.process import Command, run

_HELPER = re.compile(r"[a-zA-Z0-9_.-]+")
_HELPER_SECONDS = 30.0
_TOKEN_USER = "<token>"  # noqa: S105 - the user name by which a helper says that its secret is an identity token
_HUB_KEY = "https://index.docker.io/v1/"
_HUB = "docker.io"


@dataclass(frozen=True)
class Credentials:
    """A user and password, or an identity token (then `user` is empty). Its text form shows no secret."""

    user: str
    secret: str = field(repr=False)

    def basic(self) -> str:
        """Return the value of a Basic `Authorization` header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.secret}".encode()).decode()


AskHelper = Callable[[str, str], Credentials | None]


def find_credentials(host: str, environment: Mapping[str, str] | None = None) -> Credentials | None:
    """Return what the user's files hold for `host`, None for none.

    Raises WrongInputError for a file or an entry that cannot be read, UnavailableError when its helper is not there.
    """
    environment = os.environ if environment is None else environment
    for path in _files(environment):
        if content := _read(path):
            found = choose(content, host, ask_helper, origin=str(path))
            if found:
                return found
    return None


def choose(content: Mapping[str, Any], host: str, ask: AskHelper, *, origin: str) -> Credentials | None:
    """Return what one parsed file says about `host`: its own helper first, then the common one, then the entry."""
    helper = _table(content, "credHelpers").get(host) or content.get("credsStore")
    if isinstance(helper, str) and (found := ask(helper, _HUB_KEY if host == _HUB else host)):
        return found
    for key, entry in _table(content, "auths").items():
        if _host_of(key) == host and isinstance(entry, dict):
            return _from_entry(entry, key, origin)
    return None


def ask_helper(name: str, host: str) -> Credentials | None:
    """Ask the credential helper `name`; None when it knows none. Raises WrongInputError, UnavailableError."""
    if not _HELPER.fullmatch(name):
        raise WrongInputError(
            f"{printable(name)!r} is not the name of a credential helper",
            details="credHelpers or credsStore",
            resolution="Mend config.json.",
        )
    program = f"docker-credential-{name}"
    done = run(Command((program, "get"), stdin=host, timeout=_HELPER_SECONDS), check=False)
    if done.code != 0:
        if "not found" in done.stdout + done.stderr:
            return None
        raise UnavailableError(
            f"{program} gave no credentials for {host}",
            details=printable(done.stderr.strip())[-500:],
            resolution="Log in again, or take the helper out of config.json.",
        )
    return _from_helper(done.stdout, program)


def _from_helper(text: str, program: str) -> Credentials:
    try:
        answer = json.loads(text)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError) as error:
        # The answer itself may hold the secret, so it is in no message.
        raise WrongInputError(
            f"{program} did not answer with a user name and a secret",
            details=type(error).__name__,
            resolution="Log in again, or take the helper out of config.json.",
        ) from None
    return Credentials("" if user == _TOKEN_USER else user, secret)


def _from_entry(entry: Mapping[str, Any], key: str, origin: str) -> Credentials | None:
    if isinstance(token := entry.get("identitytoken"), str) and token:
        return Credentials("", token)
    user, secret = entry.get("username"), entry.get("password")
    if isinstance(user, str) and isinstance(secret, str):
        return Credentials(user, secret)
    auth = entry.get("auth")
    if not isinstance(auth, str) or not auth:
        return None
    try:
        name, colon, password = base64.b64decode(auth, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        name = colon = password = ""
    if not colon:
        raise WrongInputError(
            f"the credentials for {printable(key)} cannot be read",
            details=f"{origin}: `auth` is not base64 of user:password",
            resolution="Log in again.",
        )
    return Credentials(name, password.rstrip("\x00"))


def _files(environment: Mapping[str, str]) -> list[Path]:
    if environment.get("REGISTRY_AUTH_FILE"):
        return [Path(environment["REGISTRY_AUTH_FILE"])]
    found = []
    if environment.get("XDG_RUNTIME_DIR"):
        found.append(Path(environment["XDG_RUNTIME_DIR"]) / "containers/auth.json")
    docker = environment.get("DOCKER_CONFIG") or (f"{environment['HOME']}/.docker" if environment.get("HOME") else "")
    return [*found, Path(docker) / "config.json"] if docker else found


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        why = os.strerror(error.errno or 0) if isinstance(error, OSError) else "not JSON"
        raise WrongInputError(
            f"{path.name} with the registries' credentials cannot be read",
            details=f"{path}: {why}",
            resolution="Mend or remove the file, or name another with REGISTRY_AUTH_FILE.",
        ) from None
    return content if isinstance(content, dict) else {}


def _table(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = content.get(name)
    return table if isinstance(table, dict) else {}


def _host_of(key: str) -> str:
    """Return the host that an entry is for; one for a single namespace of a host (`host/team`) is for no host as a whole."""
    host, _, path = (key.partition("://")[2] or key).partition("/")
    if path.strip("/") not in {"", "v1", "v2"}:
        return ""
    return _HUB if host in {"index.docker.io", "registry-1.docker.io"} else host
