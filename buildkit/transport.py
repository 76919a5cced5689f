# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""HTTP to one registry: who we are, redirects, retries, errors. Knows nothing of blobs and manifests.

Credentials go to the registry itself and to the token service it names over https or loopback; never along a redirect, never
into a message. The answer's body is left unread. Token flow: the distribution project's "Token Authentication".
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from buildkit.credentials import Credentials
from buildkit.references import is_loopback
from stackway import clock
from stackway.console import printable
from stackway.errors import FailedError, RefusedError, UnavailableError

if TYPE_CHECKING:
    import requests

_TIMEOUT = (10, 60)  # seconds to connect, seconds between two pieces
_TRIES = 4
_LONGEST_WAIT = 60.0
_REDIRECTS = 5
_MESSAGE_MAX = 16 << 10
_TOKEN_MAX = 1 << 20
_BUSY = frozenset({429, 503})
_TROUBLE = frozenset({500, 502, 504}) | _BUSY
_CHALLENGE = re.compile(r"\s*([A-Za-z]+)\s+(.*)")
_PARAMETER = re.compile(r'([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


class RegistryError(FailedError):
    """A registry answered with an error."""


class AccessDeniedError(RegistryError):
    """The registry does not let these credentials (or nobody) do this."""


class UnreachableRegistryError(UnavailableError):
    """The registry does not answer, or breaks off every time."""


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
    body: Callable[[], object] | None = None
    repeatable: bool = True

    def __str__(self) -> str:
        # Without the query: an upload's or a storage's address may carry a signature there.
        return f"{self.method} {self.url.partition('?')[0]}"


@dataclass
class Transport:
    """Requests to the registry at `base` (`https://host`), with at most one token for each repository in use."""

    base: str
    session: "requests.Session"
    credentials: Credentials | None = None
    pause: Callable[[float], None] = clock.sleep
    tries: int = _TRIES
    _tickets: dict[str, str] = field(default_factory=dict, repr=False)

    def ask(self, question: Question, scope: str, *, expect: tuple[int, ...]) -> "requests.Response":
        """Return the answer, its body unread; 404 and the like only where expected.

        `scope` names what a token is kept for (the repository). Raises AccessDeniedError, RegistryError,
        UnreachableRegistryError, UntrustedRegistryError.
        """
        question = replace(question, url=urljoin(self.base, question.url))
        attempt = 1
        while (waiting := self._attempt(question, scope, attempt)) is not None and not hasattr(waiting, "status_code"):
            attempt += 1
        return waiting

    def _is_ours(self, url: str) -> bool:
        """Tell whether credentials may go there: the registry's own scheme, host and port."""
        return _origin(url) == _origin(self.base)

    def _follow(self, question: Question, ticket: str) -> "requests.Response":
        """Ask, and follow redirects by hand: requests would take credentials from .netrc on the way."""
        url = question.url
        for _ in range(_REDIRECTS):
            headers = {"Accept-Encoding": "identity", "User-Agent": "stackway", **question.headers}
            if ticket and self._is_ours(url):
                headers["Authorization"] = ticket
            body = question.body() if question.body else None
            answer = self._send(question.method, url, headers, body)
            if answer.status_code not in {301, 302, 303, 307, 308} or question.method not in {"GET", "HEAD"}:
                return answer
            target = urljoin(url, answer.headers.get("Location", ""))
            answer.close()
            self._check_redirect(target)
            url = target
        raise RegistryError("the registry redirects in circles", details=str(question), resolution=_ASK_OPERATOR)

    def _check_redirect(self, url: str) -> None:
        target = urlsplit(url)
        if target.scheme == "https" or (target.scheme == "http" and _is_plain(self.base)):
            return
        raise UntrustedRegistryError(
            "the registry redirects to an address without encryption",
            details=printable(f"from {self.base} to {target.scheme}://{target.netloc}"),
            resolution=_ASK_OPERATOR,
        )

    def _send(self, method: str, url: str, headers: Mapping[str, str], body: object) -> "requests.Response":
        return self.session.request(
            method, url, headers=headers, data=body, stream=True, timeout=_TIMEOUT, allow_redirects=False
        )

    def _ticket(self, answer: "requests.Response") -> str:
        """Return an `Authorization` value that answers the registry's challenge, empty when we have none."""
        found = _CHALLENGE.match(answer.headers.get("WWW-Authenticate", ""))
        scheme = found[1].lower() if found else ""
        if scheme == "basic" and self.credentials and self.credentials.user:
            return self.credentials.basic()
        if found and scheme == "bearer":
            return self._token(parse_parameters(found[2]))
        return ""

    def _token(self, challenge: Mapping[str, str]) -> str:
        realm = urlsplit(challenge.get("realm", ""))
        secure = realm.scheme == "https" or (realm.scheme == "http" and is_loopback(realm.netloc))
        if not secure or "@" in realm.netloc:
            raise UntrustedRegistryError(
                "the registry names a token service that is not safe to ask",
                details=printable(f"{self.base} names {realm.scheme}://{realm.netloc.rpartition('@')[2]}"),
                resolution="Nothing was sent. A token service must be reached over https.",
            )
        import requests

        try:
            answer = self._ask_token(challenge)
            if answer.status_code != 200:
                raise _complaint(Question("GET", challenge["realm"]), answer)
            return "Bearer " + _token_of(answer)
        except (requests.ConnectionError, requests.Timeout) as error:
            raise _unreachable(Question("GET", challenge["realm"]), error) from error

    def _ask_token(self, challenge: Mapping[str, str]) -> "requests.Response":
        known = {"service": challenge.get("service", ""), "scope": challenge.get("scope", "")}
        wanted = {name: value for name, value in known.items() if value}
        headers = {"Accept-Encoding": "identity", "User-Agent": "stackway"}
        if self.credentials and not self.credentials.user:
            form = {**wanted, "grant_type": "refresh_token", "refresh_token": self.credentials.secret}
            return self._send("POST", challenge["realm"], headers, {**form, "client_id": "stackway"})
        if self.credentials:
            headers["Authorization"] = self.credentials.basic()
        query = {**wanted, "scope": wanted["scope"].split(" ")} if "scope" in wanted else wanted
        return self.session.request(
            "GET",
            challenge["realm"],
            headers=headers,
            params=query,
            stream=True,
            timeout=_TIMEOUT,
            allow_redirects=False,
        )


_ASK_OPERATOR = "Check the registry's address; if it is right, tell whoever runs it."


def open_session(*, loopback: bool) -> "requests.Session":
    """Return a session that keeps no cookies and takes no credentials from .netrc; loopback is never asked by a proxy."""
    from http.cookiejar import DefaultCookiePolicy

    import requests

    session = requests.Session()
    session.auth = _as_it_is
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.trust_env = not loopback
    return session


def _as_it_is(request: "requests.PreparedRequest") -> "requests.PreparedRequest":
    return request


def parse_parameters(text: str) -> dict[str, str]:
    """Return the parameters of a `WWW-Authenticate` challenge (RFC 9110, 11.2)."""
    return {
        found[1].lower(): re.sub(r"\\(.)", r"\1", found[2]) if found[2] is not None else found[3]
        for found in _PARAMETER.finditer(text)
    }


def read_capped(answer: "requests.Response", most: int) -> bytes:
    """Return the body as it came, at most one byte more than `most`. Raises UnreachableRegistryError when it breaks off."""
    import urllib3

    content = b""
    try:
        while len(content) <= most and (chunk := answer.raw.read(most + 1 - len(content), decode_content=False)):
            content += chunk
    except urllib3.exceptions.HTTPError as error:
        raise _unreachable(Question("GET", answer.url or ""), error) from error
    finally:
        answer.close()
    return content


def _token_of(answer: "requests.Response") -> str:
    import json

    try:
        content = json.loads(read_capped(answer, _TOKEN_MAX))
        token = content.get("token") or content.get("access_token")
    except (ValueError, AttributeError):
        token = None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise RegistryError("the registry's token service gave no token", details=_bare(answer.url))
    return token


def _wait_of(answer: "requests.Response", default: float) -> float:
    """Return the seconds that `Retry-After` asks for (a number or a date), else `default`."""
    text = answer.headers.get("Retry-After", "")
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - clock.now()).total_seconds())
    except (ValueError, TypeError):
        return default


def _complaint(question: Question, answer: "requests.Response") -> RegistryError:
    status = answer.status_code
    said = printable(read_capped(answer, _MESSAGE_MAX)[:_MESSAGE_MAX].decode("utf-8", "replace")).strip()[:500]
    details = f"{question}\n{status} {printable(answer.reason or '')}" + (f": {said}" if said else "")
    if status in {401, 403}:
        return AccessDeniedError(
            "the registry denies access",
            details=details,
            resolution="Log in with `docker login` or `podman login`, or name a file of credentials with REGISTRY_AUTH_FILE.",
        )
    if status in _BUSY:
        return RegistryError(
            "the registry is too busy", details=details, resolution="Run the same command later: what is there stays."
        )
    return RegistryError(f"the registry answers with an error ({status})", details=details, resolution=_ASK_OPERATOR)


def _unreachable(question: Question, error: Exception) -> UnreachableRegistryError:
    reason = printable(re.sub(r"\?[^\s')]*", "", str(error)))[:500]
    return UnreachableRegistryError(
        f"{urlsplit(question.url).netloc} does not answer, or breaks off",
        details=f"{question}\n{reason}",
        resolution="Check the address, the network and the proxy settings, then run the same command: what is there stays.",
    )


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _is_plain(url: str) -> bool:
    return urlsplit(url).scheme == "http"


def _bare(url: str | None) -> str:
    return printable((url or "").partition("?")[0])
