# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What is asked of a registry, what goes wrong on the way, and whether it may pass. Sends nothing."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stackway import clock
from stackway.console import printable
from stackway.errors import FailedError, RefusedError, UnavailableError

if TYPE_CHECKING:
    import requests

    from buildkit.bodies import CheckedBody

    Body = CheckedBody | bytes | Mapping[str, str] | None

ASK_OPERATOR = "Check the registry's address; if it is right, tell whoever runs it."
BUSY = frozenset({429, 503})
TROUBLE = frozenset({500, 502, 504}) | BUSY
_DENIED = frozenset({401, 403})
_MESSAGE_MAX = 16 << 10


class RegistryError(FailedError):
    """A registry answered with an error."""


class AccessDeniedError(RegistryError):
    """The registry does not let these credentials (or nobody) do this."""


class NotThereError(RegistryError):
    """A place for images answered, and what was asked for is not there."""


class UnreachableRegistryError(UnavailableError):
    """The registry does not answer, or breaks off."""


class UntrustedRegistryError(RefusedError):
    """The registry asks for something that would give credentials or content away; it was not done."""


class WrongContentError(FailedError):
    """What came is not what was asked for: another digest, another size, another kind."""


@dataclass(frozen=True)
class Question:
    """One request. `body` makes the body anew for each attempt; only a `repeatable` one is tried again after a break."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: "Callable[[], Body] | None" = None
    repeatable: bool = True

    def __str__(self) -> str:
        return f"{self.method} {bare(self.url)}"


def read_capped(answer: "requests.Response", most: int) -> bytes:
    """Return the body as it came, at most one byte more than `most`. Raises UnreachableRegistryError when it breaks off."""
    import urllib3

    content = b""
    try:
        while len(content) <= most and (chunk := answer.raw.read(most + 1 - len(content), decode_content=False)):
            content += chunk
    except urllib3.exceptions.HTTPError as error:
        raise unreachable(Question("GET", answer.url or ""), error) from error
    finally:
        answer.close()
    return content


def wait_of(answer: "requests.Response") -> float:
    """Return the seconds that `Retry-After` asks for (a number or a date), 0 for none."""
    text = answer.headers.get("Retry-After", "")
    if re.fullmatch("[0-9]{1,9}", text):
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - clock.now()).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def complaint(question: Question, answer: "requests.Response") -> RegistryError:
    """Return the error for an answer with a status that was not expected."""
    status, wait = answer.status_code, answer.headers.get("Retry-After", "")
    said = printable(read_capped(answer, _MESSAGE_MAX)[:_MESSAGE_MAX].decode("utf-8", "replace")).strip()[:500]
    details = f"{question}\n{status} {printable(answer.reason or '')}".rstrip() + (f": {said}" if said else "")
    if status in _DENIED:
        return AccessDeniedError(
            "the registry denies access",
            details=details,
            resolution="Log in with `docker login` or `podman login`, or name a file of credentials with REGISTRY_AUTH_FILE.",
        )
    if status in BUSY:
        return RegistryError(
            "the registry is too busy",
            details=details + (f"\nit asks to wait: {printable(wait)[:40]}" if wait else ""),
            resolution="Run the same command later: what is there stays.",
        )
    return RegistryError(f"the registry answers with an error ({status})", details=details, resolution=ASK_OPERATOR)


def unreachable(question: Question, error: Exception) -> UnreachableRegistryError:
    """Return the error for no answer at all, or half of one."""
    reason = printable(re.sub(r"\?[^\s')]*", "", str(error)))[:500]
    return UnreachableRegistryError(
        f"{urlsplit(question.url).netloc} does not answer, or breaks off",
        details=f"{question}\n{reason}",
        resolution="Check the address, the network and the proxy settings, then run the same command: what is there stays.",
    )


def may_pass(error: Exception) -> bool:
    """Tell a connection that broke from one that cannot be made: a refused, unknown or untrusted host stays so."""
    import requests

    if isinstance(error, requests.exceptions.SSLError | requests.exceptions.ProxyError):
        return False
    lasting = re.search(r"resolve|refused|unreachable", str(error), re.IGNORECASE)
    return isinstance(error, requests.ConnectionError | requests.Timeout) and not lasting


def bare(url: str) -> str:
    """Return an address without its query: an upload's or a storage's may carry a signature there."""
    return printable(url.partition("?")[0])
