# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Asks the API of the local cluster, as its administrator. Knows how to ask, not what for."""

import http.client
import json
import ssl
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from stackway.errors import FailedError, UnavailableError

_SECONDS = 10.0
_CREATED = 201
_JSON = {"Accept": "application/json"}
_APPLY = {**_JSON, "Content-Type": "application/apply-patch+yaml"}


@dataclass(frozen=True)
class Answer:
    """What the API said: status, and the content, parsed where it is JSON."""

    status: int
    content: Any


class Api:
    """The API, asked with the administrator's certificate; each question has a connection of its own."""

    def __init__(self, host: str, port: int, keys: Path, seconds: float = _SECONDS) -> None:
        context = ssl.create_default_context(cafile=str(keys / "ca.crt"))
        context.load_cert_chain(keys / "admin.crt", keys / "admin.key")
        self._open = partial(http.client.HTTPSConnection, host, port, timeout=seconds, context=context)

    def get(self, path: str) -> Answer:
        """Return what is at `path`. Raises UnavailableError when nobody answers."""
        return self._ask("GET", path)

    def is_ready(self) -> bool:
        """Return whether the API calls itself ready."""
        try:
            return self.get("/readyz").status == http.client.OK
        except UnavailableError:
            return False

    def apply(self, path: str, item: dict[str, Any]) -> None:
        """Make the object at `path` be so. Raises FailedError when it is refused."""
        answer = self._ask("PATCH", f"{path}?fieldManager=stackway&force=true", json.dumps(item), _APPLY)
        if answer.status not in {http.client.OK, _CREATED}:
            raise FailedError(
                f"the cluster refused {item['kind']} {item['metadata']['name']}",
                details=f"{path}: {answer.status}: {answer.content}",
                resolution="This is a fault in Stackway; `release cluster down` and `up` starts afresh.",
            )

    def _ask(self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None) -> Answer:
        try:
            with closing(self._open()) as connection:
                connection.request(method, path, body, headers or _JSON)
                response = connection.getresponse()
                content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError(
                "the cluster's API does not answer",
                details=f"{method} {path}: {error}",
                resolution="`release cluster status` shows what runs; `release cluster up` starts what does not.",
            ) from error
        return Answer(response.status, _parsed(content))


def plain_ready(host: str, port: int, path: str) -> bool:
    """Return whether a plain HTTP address answers with 200."""
    try:
        with closing(http.client.HTTPConnection(host, port, timeout=1.0)) as connection:
            connection.request("GET", path)
            return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode(errors="replace")
