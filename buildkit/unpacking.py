# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Layers as the plain tars that their diff_ids are of, whatever they are compressed with. Writes nothing."""

import gzip
import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from buildkit.bodies import damaged, open_blob
from buildkit.store import Blob, Store
from stackway.errors import WrongInputError

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 1 << 18


def plain_chunks(store: Store, layer: Blob, diff_id: str) -> Iterator[bytes]:
    """Yield the layer's plain tar. Raises DamagedBlobError, at the latest after the last byte, when it is not `diff_id`."""
    hasher = hashlib.sha256()
    with open_blob(store.path(layer.digest), layer) as file:
        try:
            for chunk in _decompressed(file, layer):
                hasher.update(chunk)
                yield chunk
        except (OSError, EOFError, ValueError) as error:
            raise damaged(layer, f"it cannot be unpacked: {error}") from error
    if f"sha256:{hasher.hexdigest()}" != diff_id:
        raise damaged(layer, f"unpacked it is sha256:{hasher.hexdigest()}, the image's configuration says {diff_id}")


def plain_size(store: Store, layer: Blob, diff_id: str) -> int:
    """Return the bytes of the layer's plain tar, reading all of it. Raises DamagedBlobError as `plain_chunks` does."""
    return sum(len(chunk) for chunk in plain_chunks(store, layer, diff_id))


def _decompressed(file: BinaryIO, layer: Blob) -> Iterator[bytes]:
    read = _reader(file, layer)
    while chunk := read(_CHUNK):
        yield chunk


def _reader(file: BinaryIO, layer: Blob) -> "Callable[[int], bytes]":
    match layer.media_type.rpartition(".tar")[2]:
        case "":
            return file.read
        case "+gzip" | ".gzip":
            return gzip.GzipFile(fileobj=file).read
        case "+zstd":
            return _zstd(file)
        case other:
            raise WrongInputError(
                f"a layer is compressed in a way that is not known here: {other or layer.media_type!r}",
                details=layer.digest,
                resolution="Build the image with zstd, gzip or no compression.",
            )


def _zstd(file: BinaryIO) -> "Callable[[int], bytes]":
    import zstandard

    reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)

    def read(count: int) -> bytes:
        try:
            return reader.read(count)
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from error

    return read
