# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Blobs on their way to a registry: mounted, sent whole, or in parts that go on after a break. Hashed as they go out.

Format: OCI distribution specification 1.1, "Pushing blobs".
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote

from buildkit.access import Access
from buildkit.bodies import CheckedBody
from buildkit.complaints import Question, RegistryError, UnreachableRegistryError, read_capped
from buildkit.downloads import has_blob
from buildkit.store import Blob
from buildkit.transport import TRIES, backoff

if TYPE_CHECKING:
    import requests

OpenBlob = Callable[[], BinaryIO]

LARGE = 16 << 20
PART = 8 << 20
_ERROR_MAX = 4 << 20
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,18})")
_HEADERS = {"Content-Type": "application/octet-stream"}
_STUMBLES = (416, 500, 502, 504)
_REFUSALS = (400, 404, 405, 411, 413, 415, 501)


def upload_blob(access: Access, blob: Blob, source: OpenBlob, mount_from: str = "") -> int:
    """Put a blob there and return the bytes of it that were sent, 0 when it was there or in `mount_from`.

    Raises DamagedBlobError when the source is not the blob; then it does not get there.
    """
    if has_blob(access, blob):
        return 0
    for attempt in range(1, TRIES):
        try:
            return _upload(access, blob, source, mount_from)
        except UnreachableRegistryError:
            # The whole upload may be repeated: the blob's name is its content.
            access.transport.pause(backoff(attempt))
            if has_blob(access, blob):
                return blob.size
    return _upload(access, blob, source, mount_from)


def _upload(access: Access, blob: Blob, source: OpenBlob, mount_from: str) -> int:
    place = _begin(access, blob, mount_from)
    if not place:
        return 0
    with source() as file:
        body = CheckedBody(file, blob)
        if blob.size > LARGE:
            place = _Parts(access, place).send(body)
            if place:
                _finish(access, blob, Question("PUT", place, _HEADERS, repeatable=False))
                return blob.size
            place = _begin(access, blob, "")
        _finish(access, blob, Question("PUT", place, _HEADERS, body.rewound, repeatable=False))
    return blob.size


def _begin(access: Access, blob: Blob, mount_from: str) -> str:
    """Return where to upload to, empty when the blob could be mounted."""
    mount = f"?mount={blob.digest}&from={quote(mount_from, safe='')}" if mount_from else ""
    question = Question("POST", access.url("blobs", "uploads/") + mount, repeatable=False)
    answer = access.ask(question, HTTPStatus.ACCEPTED, *((HTTPStatus.CREATED,) if mount else ()))
    read_capped(answer, _ERROR_MAX)
    if answer.status_code == HTTPStatus.CREATED:
        access.check_said(answer, blob.digest)
        return ""
    if "Location" not in answer.headers:
        raise RegistryError("the registry does not say where to upload to", details=str(question))
    return _following(access, answer, "")


def _finish(access: Access, blob: Blob, question: Question) -> None:
    place = question.url + ("&" if "?" in question.url else "?") + f"digest={blob.digest}"
    answer = access.ask(Question("PUT", place, question.headers, question.body, repeatable=False), HTTPStatus.CREATED)
    read_capped(answer, _ERROR_MAX)
    access.check_said(answer, blob.digest)


@dataclass
class _Parts:
    """An upload in parts: where the next one goes, and how many bytes the registry has."""

    access: Access
    place: str
    start: int = 0

    def send(self, body: CheckedBody) -> str:
        """Send all of a body; return where to finish, empty when the registry does not take it in parts to its end."""
        body = body.rewound()
        while part := body.read(PART):
            if not self._send_part(part):
                return ""
        return self.place

    def _send_part(self, part: bytes) -> bool:
        end = self.start + len(part)
        for attempt in range(1, TRIES + 1):
            try:
                status = self._patch(part[len(part) - (end - self.start) :])
            except UnreachableRegistryError:
                if attempt == TRIES:
                    raise
                status = 0
            if status in _REFUSALS:
                return False
            if self.start < end:
                self.access.transport.pause(backoff(attempt))
                known, self.start = self.start, self._ask_start()
                if not known <= self.start <= end:
                    return False
            if self.start == end:
                return True
        return False

    def _patch(self, content: bytes) -> int:
        headers = {**_HEADERS, "Content-Range": f"{self.start}-{self.start + len(content) - 1}"}
        question = Question("PATCH", self.place, headers, lambda: content, repeatable=False)
        answer = self.access.ask(question, HTTPStatus.ACCEPTED, *_STUMBLES, *_REFUSALS)
        read_capped(answer, _ERROR_MAX)
        if answer.status_code == HTTPStatus.ACCEPTED:
            self.place = _following(self.access, answer, self.place)
            self.start += len(content)
        return answer.status_code

    def _ask_start(self) -> int:
        """Return how many bytes the registry has of this upload, -1 when it does not know it any more."""
        answer = self.access.ask(Question("GET", self.place), HTTPStatus.NO_CONTENT, 202, *_STUMBLES, *_REFUSALS)
        read_capped(answer, _ERROR_MAX)
        found = _RANGE.fullmatch(answer.headers.get("Range", ""))
        if not answer.ok or not found:
            return -1
        self.place = _following(self.access, answer, self.place)
        # One byte and none look the same; nobody stops after one.
        return int(found[1]) + 1 if int(found[1]) else 0


def _following(access: Access, answer: "requests.Response", known: str) -> str:
    """Return the place that an answer names for what comes next. Raises what `Access.follow` raises."""
    said = answer.headers.get("Location", "")
    return access.follow(answer, said) if said else known
