# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Turns what uv, go and apt-get print when they fail into an error that says what to do. Pure."""

import re
from dataclasses import dataclass

from stackway.errors import FailedError, RefusedError, StackwayError, UnavailableError

_CHANGED = re.compile(r"hash mismatch|checksum mismatch|hash sum mismatch|SECURITY ERROR", re.IGNORECASE)
_FULL = re.compile(r"no space left|not enough free space|don't have enough free space|disk quota", re.IGNORECASE)
_KILLED = re.compile(r"signal: killed|cannot allocate memory|out of memory", re.IGNORECASE)
_ABSENT = re.compile(
    r"no version of|not found in the package registry|404 +not found|410 gone|unable to locate package"
    r"|has no installation candidate|unknown revision",
    re.IGNORECASE,
)
_NETWORK = re.compile(
    r"dial tcp|connection refused|no such host|i/o timeout|tls handshake|error sending request|dns error"
    r"|could not resolve|temporary failure|unable to connect|could not connect|x509:|certificate|proxyconnect"
    r"|network was disabled|network is unreachable|connection reset|timed out|module lookup disabled|unexpected eof",
    re.IGNORECASE,
)
_CREDENTIALS = re.compile(r"://[^/\s@]+@")


@dataclass(frozen=True)
class Client:
    """A program that fetches for us: what it talks to, and how a person points it to another one."""

    source: str
    elsewhere: str


UV = Client("the Python package index", "set UV_DEFAULT_INDEX to your mirror (and SSL_CERT_FILE to its certificates)")
GO = Client("the Go module proxy", "set GOPROXY to your mirror")
APT = Client("the Debian archive", "name your mirror in /etc/apt/sources.list and run `apt-get update`")


@dataclass(frozen=True)
class _Cause:
    pattern: re.Pattern[str]
    error: type[StackwayError]
    brief: str
    resolution: str


_CAUSES = (
    _Cause(
        _CHANGED,
        RefusedError,
        "{source} gave other bytes than those that are pinned",
        "Do not use them. Ask who runs that source, or {elsewhere}.",
    ),
    _Cause(
        _FULL,
        FailedError,
        "the disk is full",
        "Free some space (`release doctor` shows where the cache is) and run the same command again.",
    ),
    _Cause(
        _KILLED,
        FailedError,
        "the machine ran out of memory",
        "End other programs or use a machine with 4 GB of memory, and run the same command again.",
    ),
    _Cause(
        _NETWORK,
        UnavailableError,
        "{source} could not be reached",
        "Check the network, or {elsewhere}; then run the same command again.",
    ),
    _Cause(
        _ABSENT,
        UnavailableError,
        "{source} does not have it",
        "If that is a mirror, let it take this version in; or {elsewhere}.",
    ),
)


def explain(client: Client, what: str, output: str, command: str) -> StackwayError:
    """Return the error for a failed attempt to get `what`; `output` is what the client printed."""
    details = f"$ {command}\n{_tail(output)}"
    for cause in _CAUSES:
        if cause.pattern.search(output):
            brief = cause.brief.format(source=client.source)
            resolution = cause.resolution.format(elsewhere=client.elsewhere)
            return cause.error(f"{what} was not installed: {brief}", details=details, resolution=resolution)
    return FailedError(
        f"{what} was not installed",
        details=details,
        resolution="The lines above are the end of what the program said; `release doctor` shows the other ways.",
    )


def _tail(output: str, lines: int = 25) -> str:
    """Return the last lines, without the credentials that an address of a mirror may hold."""
    return "\n".join(_CREDENTIALS.sub("://***@", line) for line in output.strip().splitlines()[-lines:])
