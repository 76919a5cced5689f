# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A server of files as a transport adapter of `requests`: no sockets, and bad days on request."""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter


class FakeArchive(BaseAdapter):
    """`files` is path → content; `troubles` are the answers to the next requests: a status, or an error to raise.

    A trouble that is bytes is sent as the start of a body that breaks off.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        super().__init__()
        self.files = files
        self.troubles: deque[int | bytes | requests.RequestException] = deque()
        self.asked: list[str] = []

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        path = urlsplit(str(request.url)).path
        self.asked.append(path)
        trouble = self.troubles.popleft() if self.troubles else b""
        if isinstance(trouble, requests.RequestException):
            raise trouble
        answer = requests.Response()
        answer.url = str(request.url)
        answer.status_code = trouble if isinstance(trouble, int) else 200 if path in self.files else 404
        broken = isinstance(trouble, bytes) and bool(trouble)
        answer.raw = Body(
            trouble if isinstance(trouble, bytes) and trouble else self.files.get(path, b""), broken=broken
        )
        return answer

    def close(self) -> None:
        """Do nothing: there is no connection."""


class Body:
    """A body as urllib3 streams it; a broken one ends in an error."""

    def __init__(self, content: bytes, *, broken: bool) -> None:
        self.content = content
        self.broken = broken

    def stream(self, size: int, *, decode_content: bool) -> Iterator[bytes]:
        assert decode_content
        yield from (self.content[start : start + size] for start in range(0, len(self.content), size))
        if self.broken:
            raise requests.exceptions.ChunkedEncodingError("connection broken: 5 bytes read, 20 more expected")

    def close(self) -> None:
        """Do nothing."""

    release_conn = close
