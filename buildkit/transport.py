# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""HTTP to one registry: who we are, redirects, retries, errors. Knows nothing of blobs and manifests.

Credentials go to the registry itself and to the token service it names over https or loopback; never along a redirect, never
into a message. The answer's body is left unread. Token flow: the distribution project's "Token Authentication".
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urljoin, urlsplit

from buildkit.complaints import (
    ASK_OPERATOR,
    BUSY,
    TROUBLE,
    Question,
    RegistryError,
    UnreachableRegistryError,
    UntrustedRegistryError,
    bare,
    complaint,
    may_pass,
    read_capped,
    unreachable,
    wait_of,
)
from buildkit.credentials import Credentials
from buildkit.references import is_loopback
from stackway import clock
from stackway.console import printable

if TYPE_CHECKING:
    import requests

    from buildkit.complaints import Body

TRIES = 4
_TIMEOUT = (10, 60)  # seconds to connect, seconds between two pieces
_LONGEST_WAIT = 60.0
_REDIRECTS = 5
_TOKEN_MAX = 1 << 20
_REDIRECT = frozenset({301, 302, 303, 307, 308})
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "stackway"}
_CHALLENGE = re.compile(
    r"""(?:^|,)\s*(?:(?P<scheme>[A-Za-z]+)(?:\s+|(?=,)|$))?
    (?:(?P<name>[A-Za-z_]+)\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s,"]+)))?""",
    re.VERBOSE,
)


@dataclass
class Transport:
    """Requests to the registry at `base` (`https://host`), with one ticket for each repository in use."""

    base: str
    session: "requests.Session"
    credentials: Credentials | None = None
    pause: Callable[[float], None] = clock.sleep
    _tickets: dict[str, str] = field(default_factory=dict, repr=False)

    def ask(self, question: Question, scope: str, *expect: int) -> "requests.Response":
        """Return the answer, its body unread, when its status is one of `expect`.

        `scope` names what a ticket is kept for (the repository). Raises AccessDeniedError, RegistryError,
        UnreachableRegistryError, UntrustedRegistryError.
        """
        question = replace(question, url=urljoin(self.base, question.url))
        attempt = 1
        while True:
            try:
                return self._attempt(question, scope, expect)
            except _AgainError as again:
                if attempt >= TRIES:
                    raise again.problem from again.__cause__
                wait = again.wait or backoff(attempt)
            self.pause(wait)
            attempt += 1

    def resolve(self, url: str, target: str) -> str:
        """Return the address that the answer of `url` points to.

        Raises RegistryError for what is no address, UntrustedRegistryError for one that gives up encryption.
        """
        try:
            found = urljoin(url, target)
            parts = urlsplit(found)
        except ValueError as error:
            raise _no_address(url, error) from error
        if parts.scheme == "https" or (parts.scheme == "http" and _is_plain(self.base)):
            return found
        raise UntrustedRegistryError(
            "the registry points to an address without encryption",
            details=printable(f"from {self.base} to {parts.scheme}://{parts.hostname}"),
            resolution=ASK_OPERATOR,
        )

    def _attempt(self, question: Question, scope: str, expect: tuple[int, ...]) -> "requests.Response":
        import requests

        try:
            answer = self._authorized(question, scope)
        except requests.RequestException as error:
            problem = unreachable(question, error)
            if question.repeatable and may_pass(error):
                raise _AgainError(problem) from error
            raise problem from error
        if answer.status_code in expect:
            return answer
        said, wait = complaint(question, answer), wait_of(answer)
        if answer.status_code in (TROUBLE if question.repeatable else BUSY) and wait <= _LONGEST_WAIT:
            raise _AgainError(said, wait)
        raise said

    def _authorized(self, question: Question, scope: str) -> "requests.Response":
        answer = self._follow(question, self._tickets.get(scope, ""))
        # Only the registry itself may say where our credentials go, not a host that it sent us to.
        if answer.status_code != HTTPStatus.UNAUTHORIZED or not self._is_ours(answer.url):
            return answer
        ticket = self._ticket(answer)
        if not ticket:
            return answer
        answer.close()
        self._tickets[scope] = ticket
        return self._follow(question, ticket)

    def _follow(self, question: Question, ticket: str) -> "requests.Response":
        """Ask, and follow redirects by hand: the credentials must not come along."""
        url = question.url
        for _ in range(_REDIRECTS):
            headers = {**_HEADERS, **question.headers}
            if ticket and self._is_ours(url):
                headers["Authorization"] = ticket
            try:
                answer = self._send(question.method, url, headers, question.body() if question.body else None)
            except ValueError as error:
                # requests looks where an answer points to, even when it is not to go there. Its own errors are OSErrors too.
                if isinstance(error, OSError):
                    raise
                raise _no_address(url, error) from error
            if answer.status_code not in _REDIRECT or question.method not in {"GET", "HEAD"}:
                return answer
            answer.close()
            url = self.resolve(url, answer.headers.get("Location", ""))
        raise RegistryError("the registry redirects in circles", details=str(question), resolution=ASK_OPERATOR)

    def _is_ours(self, url: str) -> bool:
        """Tell whether credentials may go there: to the registry's own scheme, host and port."""
        return _origin(url) == _origin(self.base)

    def _send(self, method: str, url: str, headers: Mapping[str, str], body: "Body") -> "requests.Response":
        return self.session.request(
            method, url, headers=headers, data=body, stream=True, timeout=_TIMEOUT, allow_redirects=False
        )

    def _ticket(self, answer: "requests.Response") -> str:
        """Return an `Authorization` value that answers the registry's challenge, empty when we have none."""
        challenges = parse_challenges(answer.headers.get("WWW-Authenticate", ""))
        if self.credentials and challenges and _is_plain(self.base) and not _is_here(self.base):
            raise UntrustedRegistryError(
                "the registry asks for credentials without encryption",
                details=self.base,
                resolution="Nothing was sent. Reach it over https, or take its entry out of config.json to go there as nobody.",
            )
        if "bearer" in challenges:
            return self._token(challenges["bearer"])
        if "basic" in challenges and self.credentials and self.credentials.user:
            return self.credentials.basic()
        return ""

    def _token(self, challenge: Mapping[str, str]) -> str:
        realm = challenge.get("realm", "")
        parts = urlsplit(realm)
        secure = parts.scheme == "https" or (parts.scheme == "http" and _is_here(realm))
        if not secure or "@" in parts.netloc:
            raise UntrustedRegistryError(
                "the registry names a token service that is not safe to ask",
                details=printable(f"{self.base} names {parts.scheme}://{parts.hostname}"),
                resolution="Nothing was sent. A token service must be reached over https.",
            )
        answer = self._ask_token(realm, challenge)
        if answer.status_code != HTTPStatus.OK:
            raise complaint(Question("GET", realm), answer)
        return "Bearer " + _token_of(answer)

    def _ask_token(self, realm: str, challenge: Mapping[str, str]) -> "requests.Response":
        wanted = {name: challenge[name] for name in ("service", "scope") if challenge.get(name)}
        if self.credentials and not self.credentials.user:
            form = {**wanted, "grant_type": "refresh_token", "refresh_token": self.credentials.secret}
            return self._send("POST", realm, _HEADERS, {**form, "client_id": "stackway"})
        headers = {**_HEADERS, "Authorization": self.credentials.basic()} if self.credentials else _HEADERS
        scopes = [("scope", scope) for scope in wanted.pop("scope", "").split()]
        query = urlencode([*wanted.items(), *scopes])
        return self._send("GET", f"{realm}{'&' if '?' in realm else '?'}{query}", headers, None)


class _AgainError(Exception):
    """A problem that may pass; `wait` is what the registry asked for, 0 when it did not."""

    def __init__(self, problem: RegistryError | UnreachableRegistryError, wait: float = 0.0) -> None:
        super().__init__(problem.brief)
        self.problem = problem
        self.wait = wait


def _no_address(url: str, error: ValueError) -> RegistryError:
    return RegistryError(
        "the registry points to what is no address",
        details=printable(f"{bare(url)}: {error}")[:500],
        resolution=ASK_OPERATOR,
    )


def backoff(attempt: int) -> float:
    """Return the seconds to wait after the failed attempt with this number: 1, 2, 4."""
    return float(2 ** (attempt - 1))


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


def parse_challenges(text: str) -> dict[str, dict[str, str]]:
    """Return scheme → parameters of a `WWW-Authenticate` header (RFC 9110, 11.6.1); the first of a scheme counts."""
    found: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for item in _CHALLENGE.finditer(text):
        if item["scheme"]:
            current = {}
            found.setdefault(item["scheme"].lower(), current)
        if item["name"]:
            value = item["plain"] if item["quoted"] is None else re.sub(r"\\(.)", r"\1", item["quoted"])
            current.setdefault(item["name"].lower(), value)
    return found


def _token_of(answer: "requests.Response") -> str:
    try:
        content = json.loads(read_capped(answer, _TOKEN_MAX))
        token = content.get("token") or content.get("access_token")
    except (ValueError, AttributeError, RecursionError):
        token = None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise RegistryError("the registry's token service gave no token", details=bare(answer.url or ""))
    return token


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _is_plain(url: str) -> bool:
    return urlsplit(url).scheme == "http"


def _is_here(url: str) -> bool:
    return is_loopback(urlsplit(url).netloc)
