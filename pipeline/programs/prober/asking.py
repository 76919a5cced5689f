# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Asks: one request at a time, with its outcome in one word and its time; and the token that requests carry."""

import http.client
import json
import os
import threading
import time
import urllib.parse
from dataclasses import dataclass
from datetime import datetime
from typing import Any

# A token is not used any more for so long before it ends.
_EARLY = 60.0
_MOST = 1 << 20


@dataclass(frozen=True)
class Answer:
    """What came back: `ok` or what was wrong, seconds, and the body of a good answer."""

    kind: str
    seconds: float
    body: bytes = b""
    code: int = 0


def ask(place: tuple[str, int], request: dict[str, Any], token: str, timeout: float) -> Answer:
    """Send one request on a connection of its own, as clients do that do not keep any."""
    begin = time.monotonic()
    connection = http.client.HTTPConnection(*place, timeout=timeout)
    headers = {"Connection": "close", "User-Agent": "stackway-prober", "Accept": "application/json"}
    headers |= {"X-Auth-Token": token} if token else {}
    code, body = 0, b""
    try:
        connection.request(request["method"], request["path"], headers=headers)
        answer = connection.getresponse()
        code, body = answer.status, answer.read(_MOST)
        kind = "ok" if code in request["expect"] else f"http_{code}"
    except (OSError, http.client.HTTPException) as error:
        kind = _word(error)
    finally:
        connection.close()
    return Answer(kind, time.monotonic() - begin, body, code)


def _word(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, ConnectionError | http.client.RemoteDisconnected | http.client.IncompleteRead):
        return "reset"
    return "unreachable" if isinstance(error, OSError) else "garbled"


class Tokens:
    """The token of the prober: asked for once, and again before it ends or when somebody does not take it."""

    def __init__(self, url: str, timeout: float) -> None:
        split = urllib.parse.urlsplit(url)
        self._place, self._path = (split.hostname or "", split.port or 80), f"{split.path}/auth/tokens"
        self._timeout, self._lock = timeout, threading.Lock()
        self.token, self.project, self._ends = "", "", 0.0

    def get(self) -> str:
        """Return the token, empty while there is none."""
        return self.token if time.time() < self._ends - _EARLY else ""

    def was(self) -> bool:
        """Tell whether there ever was one."""
        return bool(self.token)

    def refuse(self, token: str) -> bool:
        """Take note that a service did not take the token; tell whether this is news."""
        with self._lock:
            news = token == self.token and self._ends > 0.0
            if news:
                self._ends = 0.0
            return news

    def renew(self) -> Answer:
        """Ask for a new token, and keep it if there is one."""
        begin = time.monotonic()
        connection = http.client.HTTPConnection(*self._place, timeout=self._timeout)
        code = 0
        try:
            headers = {"Content-Type": "application/json", "Connection": "close"}
            connection.request("POST", self._path, json.dumps(_login()), headers)
            answer = connection.getresponse()
            code, body = answer.status, answer.read(_MOST)
            kind = "ok" if code == http.HTTPStatus.CREATED else f"http_{code}"
            if kind == "ok":
                self._keep(answer.headers["X-Subject-Token"], json.loads(body)["token"])
        except (OSError, http.client.HTTPException) as error:
            kind = _word(error)
        except (ValueError, KeyError):
            kind = "garbled"
        finally:
            connection.close()
        return Answer(kind, time.monotonic() - begin, b"", code)

    def _keep(self, token: str, about: dict[str, Any]) -> None:
        with self._lock:
            self.token, self.project = token, about["project"]["id"]
            self._ends = datetime.fromisoformat(about["expires_at"]).timestamp()


def _login() -> dict[str, Any]:
    domain = {"id": os.environ["OS_USER_DOMAIN_ID"]}
    user = {"name": os.environ["OS_USERNAME"], "domain": domain, "password": os.environ["OS_PASSWORD"]}
    identity = {"methods": ["password"], "password": {"user": user}}
    project = {"name": os.environ["OS_PROJECT_NAME"], "domain": {"id": os.environ["OS_PROJECT_DOMAIN_ID"]}}
    return {"auth": {"identity": identity, "scope": {"project": project}}}
