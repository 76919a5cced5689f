# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Blobs on their way from a registry. A download that breaks off goes on where it stopped, under the same hash.

Format: OCI distribution specification 1.1, "Pulling blobs"; RFC 9110, 14 for ranges.
"""

import hashlib
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING

from buildkit.access import Access
from buildkit.complaints import Question, UnreachableRegistryError, read_capped
from buildkit.manifests import not_there
from buildkit.store import Blob
from buildkit.transport import TRIES, backoff

if TYPE_CHECKING:
    import requests

_CHUNK = 1 << 18
_ERROR_MAX = 64 << 10
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_MAYBE = (HTTPStatus.OK, HTTPStatus.NOT_FOUND)
_PARTLY = (HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)


def has_blob(access: Access, blob: Blob) -> bool:
    """Tell whether the blob is there. Raises WrongContentError when the registry has another size under its digest."""
    answer = access.ask(_question("HEAD", access, blob), *_MAYBE)
    read_capped(answer, 0)
    length = answer.headers.get("Content-Length", "")
    if answer.ok and length.isdecimal() and int(length) != blob.size:
        raise access.wrong(blob.digest, f"{length} bytes instead of {blob.size}")
    return answer.ok


def read_chunks(access: Access, blob: Blob) -> Iterator[bytes]:
    """Yield the blob's bytes, each once, whatever breaks off in between.

    Raises NotThereError, UnreachableRegistryError when it breaks off too often, and WrongContentError, at the latest after
    the last bytes, when they are not the blob.
    """
    hasher, size = hashlib.sha256(), 0
    for attempt in range(1, TRIES + 1):
        broken: Exception | None = None
        for chunk in _part(access, blob, size):
            if isinstance(chunk, Exception):
                broken = chunk
                break
            size += len(chunk)
            if size > blob.size:
                raise access.wrong(blob.digest, f"more than its {blob.size} bytes")
            hasher.update(chunk)
            yield chunk
        if broken is None or size == blob.size:
            break
        if attempt == TRIES:
            details = f"{_question('GET', access, blob)}\nafter {size} of {blob.size} bytes"
            raise UnreachableRegistryError(f"{access.host} breaks off", details=details) from broken
        access.transport.pause(backoff(attempt))
    if (size, f"sha256:{hasher.hexdigest()}") != (blob.size, blob.digest):
        raise access.wrong(blob.digest, f"{size} bytes with sha256:{hasher.hexdigest()}")


def _part(access: Access, blob: Blob, start: int) -> Iterator[bytes | Exception]:
    """Yield the bytes from `start` on; last comes the error with which they broke off, if they did."""
    import urllib3

    answer, skip = _ask_from(access, blob, start)
    try:
        for chunk in answer.raw.stream(_CHUNK, decode_content=False):
            if rest := chunk[skip:]:
                yield rest
            skip = max(0, skip - len(chunk))
    except urllib3.exceptions.HTTPError as error:
        yield error
    finally:
        answer.close()


def _ask_from(access: Access, blob: Blob, start: int) -> tuple["requests.Response", int]:
    """Return an answer with the bytes from `start` on, after `skip` more that we have already."""
    if start:
        question = _question("GET", access, blob, {"Range": f"bytes={start}-"})
        answer = access.ask(question, *_MAYBE, *_PARTLY)
        if answer.status_code == HTTPStatus.PARTIAL_CONTENT and _begins_at(answer, start, blob.size):
            return answer, 0
        if answer.status_code == HTTPStatus.OK:
            return answer, start
        read_capped(answer, _ERROR_MAX)
    answer = access.ask(_question("GET", access, blob), *_MAYBE)
    if not answer.ok:
        read_capped(answer, _ERROR_MAX)
        raise not_there(access, blob.digest)
    return answer, start


def _begins_at(answer: "requests.Response", start: int, size: int) -> bool:
    found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if not found:
        return False
    first, last, whole = found.groups()
    return int(first) == start and start <= int(last) < size and whole in ("*", str(size))


def _question(method: str, access: Access, blob: Blob, headers: dict[str, str] | None = None) -> Question:
    return Question(method, access.url("blobs", blob.digest), headers or {})
