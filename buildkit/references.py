# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Names of images in registries: `host[:port]/repository[:tag|@digest]`. Pure; knows no protocol but who may speak plain HTTP.

Grammar: OCI distribution specification 1.1, "Pulling manifests".
"""

import ipaddress
import re
from dataclasses import dataclass, replace

from stackway.errors import WrongInputError

_HOST = re.compile(r"(\[[0-9a-fA-F:]+\]|[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?)(?::([0-9]{1,5}))?")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LONGEST = 255
_DOCKER_HUB = "docker.io"
_DOCKER_HUB_API = "registry-1.docker.io"


@dataclass(frozen=True)
class Reference:
    """A place in a registry; `tag` and `digest` may be empty, and together mean "the tag, but only with that digest"."""

    host: str
    repository: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.host}/{self.repository}{tag}" + (f"@{self.digest}" if self.digest else "")

    def at(self, digest: str) -> "Reference":
        """Return the same repository at exactly `digest`."""
        return replace(self, tag="", digest=digest)


def parse_reference(text: str) -> Reference:
    """Return the parts of a reference; a leading `oci://` is allowed. Raises WrongInputError when it is none."""
    plain = text.removeprefix("oci://")
    host, slash, rest = plain.partition("/")
    if not slash or not is_host(host):
        raise _wrong(text, "it must begin with a registry's host, like registry.example:5000/team/keystone:2026.1")
    rest, at, digest = rest.partition("@")
    repository, colon, tag = rest.partition(":")
    if not _REPOSITORY.fullmatch(repository) or len(repository) > _LONGEST:
        raise _wrong(text, f"{repository!r} is not a repository: lower-case words, joined by `.`, `_`, `-` and `/`")
    if colon and not _TAG.fullmatch(tag):
        raise _wrong(text, f"{tag!r} is not a tag")
    if at and not is_digest(digest):
        raise _wrong(text, f"{digest!r} is not a digest: `sha256:` and 64 hexadecimal digits")
    return Reference(host, repository, tag, digest)


def is_digest(text: str) -> bool:
    """Tell whether `text` is a digest that we accept: sha256 only."""
    return _DIGEST.fullmatch(text) is not None


def is_host(text: str) -> bool:
    """Tell whether `text` is `host` or `host:port`, and no word that could as well be a part of a repository."""
    found = _HOST.fullmatch(text)
    return found is not None and ("." in text or ":" in text or text == "localhost")


def is_loopback(host: str) -> bool:
    """Tell whether `host` (with or without port) is this machine and nothing else."""
    found = _HOST.fullmatch(host)
    name = found[1].strip("[]") if found else ""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def api_host(host: str) -> str:
    """Return the host that answers for `host`: they differ for the one hub whose name is not its address."""
    return _DOCKER_HUB_API if host == _DOCKER_HUB else host


def _wrong(text: str, why: str) -> WrongInputError:
    return WrongInputError(
        f"{text!r} is not the name of an image in a registry",
        details=why,
        resolution="Write HOST[:PORT]/REPOSITORY[:TAG] or HOST[:PORT]/REPOSITORY@sha256:DIGEST.",
    )
