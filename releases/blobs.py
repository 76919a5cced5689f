# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The folder `blobs/sha256` of an OCI layout: every byte is hashed on its way in and on its way out. Knows no index.

What is there may have been put there by anybody: only plain files are opened, and only under names made of digests.
"""

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from buildkit.bodies import CheckedBody, damaged
from buildkit.complaints import NotThereError, WrongContentError
from buildkit.references import is_digest
from buildkit.registry import MANIFEST_MAX, OpenBlob
from buildkit.store import Blob
from stackway.errors import WrongInputError
from stackway.files import digest_file, disk_errors, place

_CHUNK = 1 << 18
_SMALL = 4 << 20
_RESOLUTION = "It was not used. Copy what it belongs to here anew; when it comes back, check the disk."


class BlobFolder:
    """The blobs of a layout. `flush` brings new small ones to the disk, before anything that is there names them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._fresh: list[Path] = []

    def path(self, digest: str) -> Path:
        """Return the file of a blob. Raises WrongInputError for what is no digest."""
        if not is_digest(digest):
            raise WrongInputError(
                f"{digest!r} is not a digest", resolution="Write `sha256:` and 64 hexadecimal digits."
            )
        return self.folder / digest.removeprefix("sha256:")

    def has(self, blob: Blob) -> bool:
        """Tell whether the blob is there. Raises WrongContentError when something of another size has its name."""
        size = self._size(blob)
        if size not in (None, blob.size):
            raise self._wrong(blob, f"{size} bytes instead of {blob.size}" if size >= 0 else "no plain file")
        return size is not None

    def chunks(self, blob: Blob) -> Iterator[bytes]:
        """Yield the blob's bytes. Raises NotThereError, and WrongContentError at the latest after the last ones."""
        hasher = hashlib.sha256()
        with self._open(blob) as file:
            while chunk := file.read(_CHUNK):
                hasher.update(chunk)
                yield chunk
        if f"sha256:{hasher.hexdigest()}" != blob.digest:
            raise self._wrong(blob, f"content with sha256:{hasher.hexdigest()}")

    def read(self, blob: Blob, most: int = MANIFEST_MAX) -> bytes:
        """Return a small blob. Raises WrongContentError when it is larger than `most` bytes or not the blob."""
        if blob.size > most:
            raise self._wrong(blob, f"{blob.size} bytes, more than the {most} that it may have")
        return b"".join(self.chunks(blob))

    def add(self, blob: Blob, source: OpenBlob) -> int:
        """Write a blob and return its size, 0 when it is there. Raises DamagedBlobError when `source` is not the blob."""
        path = self.path(blob.digest)
        if self._size(blob) == blob.size:
            return 0
        with disk_errors("cannot write a blob", path):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.folder, prefix=".part-")
            temporary = Path(name)
            try:
                with os.fdopen(handle, "wb") as target, source() as file:
                    target.writelines(CheckedBody(file, blob))
                temporary.chmod(0o644)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        if blob.size <= _SMALL:
            self._fresh.append(path)
        return blob.size

    def link(self, blob: Blob, source: Path) -> int:
        """Make the blob a hard link of a file; return its size, 0 when it is there. Raises DamagedBlobError."""
        path = self.path(blob.digest)
        if self._size(blob) == blob.size:
            return 0
        try:
            found = source.resolve(strict=True)
            digest, size = digest_file(found), found.stat().st_size
        except FileNotFoundError:
            raise damaged(blob, f"{source}: not there") from None
        if (digest, size) != (blob.digest, blob.size):
            raise damaged(blob, f"{source}: {size} bytes of {blob.size}, {digest}")
        path.unlink(missing_ok=True)
        place(found, path)
        return blob.size

    def flush(self) -> None:
        """Wait until the disk has the small blobs that were written since the last time."""
        while self._fresh:
            handle = os.open(self._fresh.pop(), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def keep_only(self, digests: Collection[str]) -> tuple[int, int]:
        """Remove all other files, half-written ones too; return how many, and their bytes."""
        kept = {digest.removeprefix("sha256:") for digest in digests}
        count = size = 0
        for path in self.folder.glob("*") if self.folder.is_dir() else ():
            status = path.lstat()
            if path.name in kept or stat.S_ISDIR(status.st_mode):
                continue
            path.unlink()
            count, size = count + 1, size + status.st_size
        return count, size

    def _size(self, blob: Blob) -> int | None:
        """Return the size of what has the blob's name, -1 for what is no plain file, None for nothing."""
        try:
            status = self.path(blob.digest).lstat()
        except FileNotFoundError:
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else -1

    def _open(self, blob: Blob) -> BinaryIO:
        path = self.path(blob.digest)
        try:
            file = open_plain(path)
        except FileNotFoundError:
            raise NotThereError(
                f"blob {blob.digest} is not there",
                details=str(path),
                resolution="Copy what it belongs to here anew, whole.",
            ) from None
        if file is None:
            raise self._wrong(blob, "no plain file")
        size = os.fstat(file.fileno()).st_size
        if size != blob.size:
            file.close()
            raise self._wrong(blob, f"{size} bytes instead of {blob.size}")
        return file

    def _wrong(self, blob: Blob, got: str) -> WrongContentError:
        return WrongContentError(
            f"blob {blob.digest} is damaged", details=f"{self.path(blob.digest)}: {got}", resolution=_RESOLUTION
        )


def open_plain(path: Path) -> BinaryIO | None:
    """Return a file, open, or None when it is a link, a pipe or else no plain file. Raises FileNotFoundError."""
    try:
        # Without waiting: opening a pipe would last for ever.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            return None
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return None
    return os.fdopen(handle, "rb")
