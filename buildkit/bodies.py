# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Blobs on the move: hashed and counted on the way out of the store and on the way into a file. Knows no registry."""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from buildkit.store import Blob
from stackway.errors import FailedError
from stackway.files import disk_errors

_CHUNK = 1 << 18


class DamagedBlobError(FailedError):
    """Our own copy of a blob is not what its name says, so it was not given out."""


class CheckedBody:
    """A file as the body of a request; its last bytes are only given out when all of it is the blob."""

    def __init__(self, file: BinaryIO, blob: Blob) -> None:
        self._file, self._blob = file, blob
        self._hasher, self._size = hashlib.sha256(), 0

    def __len__(self) -> int:
        return self._blob.size

    def __iter__(self) -> Iterator[bytes]:
        """Yield the content in pieces. Raises DamagedBlobError as `read` does."""
        while chunk := self.read(_CHUNK):
            yield chunk

    def rewound(self) -> "CheckedBody":
        """Return the body from its beginning, for one more attempt."""
        self._file.seek(0)
        self._hasher, self._size = hashlib.sha256(), 0
        return self

    def read(self, count: int = -1) -> bytes:
        """Return up to `count` bytes. Raises DamagedBlobError instead of the last ones when they are not the blob's."""
        chunk = self._file.read(count if count >= 0 else _CHUNK)
        self._size += len(chunk)
        self._hasher.update(chunk)
        is_end = not chunk or self._size >= self._blob.size
        if is_end and (self._size, self._digest()) != (self._blob.size, self._blob.digest):
            raise damaged(self._blob, f"{self._size} bytes of {self._blob.size}, {self._digest()}")
        return chunk

    def _digest(self) -> str:
        return f"sha256:{self._hasher.hexdigest()}"


def damaged(blob: Blob, details: str) -> DamagedBlobError:
    """Return the error for a blob in the store that is not what its name says."""
    return DamagedBlobError(
        f"blob {blob.digest} in the store is damaged",
        details=details,
        resolution="It was not given out. Build again: the build sees the damage and makes the image anew.",
    )


def open_blob(path: Path, blob: Blob) -> BinaryIO:
    """Return the blob's file, open. Raises DamagedBlobError when it is not there."""
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise damaged(blob, f"{path}: not there") from None


def write_whole(chunks: Iterable[bytes], target: Path) -> None:
    """Write all chunks to `target`, or nothing when they end with an error."""
    with disk_errors(f"cannot write {target.name}"):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".part-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.writelines(chunks)
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
