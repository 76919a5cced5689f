# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A small archive over the air gap, its parts to be changed, a shelf for what comes in, and streams that mean no good."""

import io
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import pytest

from buildkit.store import REF_NAME, Blob
from releases.archive import Limits, read_archive
from releases.contents import LAYOUT, ArchiveIndex
from releases.entries import REPOSITORY
from releases.ustar import BrokenArchiveError, Entry, HostileArchiveError, write_stream
from stackway.errors import StackwayError
from stackway.files import canonical_json, digest_bytes

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
Files = list[tuple[str, bytes]]
Row = dict[str, Any]


def row(content: bytes, media_type: str = LAYER, **more: Any) -> Row:
    return {"mediaType": media_type, "digest": digest_bytes(content), "size": len(content), **more}


def entry(content: bytes, name: str, media_type: str = MANIFEST, **more: Any) -> Row:
    """Return an index entry for `repository:tag` or `repository`."""
    repository, _, tag = name.partition(":")
    notes = {REPOSITORY: repository, **({REF_NAME: name} if tag else {})}
    return row(content, media_type, **{"annotations": notes, **more})


def manifest(*layers: bytes, config: bytes = b"{}", **more: Any) -> bytes:
    data = {"schemaVersion": 2, "mediaType": MANIFEST, "config": row(config), "layers": [row(item) for item in layers]}
    return canonical_json(data | more)


def nested(*manifests: bytes, media_type: str = MANIFEST) -> bytes:
    rows = [row(item, media_type) for item in manifests]
    return canonical_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": rows})


def index_of(*entries: Row, **more: Any) -> bytes:
    return canonical_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries), **more})


LAYERS = (b"first layer", b"second layer" * 200, b"")
IMAGE = manifest(*LAYERS)
SIGNATURE = manifest(b"signed", subject=row(IMAGE, MANIFEST))
ELSEWHERE = manifest(b"for another machine", config=b"{ }")
GROUP = nested(IMAGE, ELSEWHERE)
LISTING = index_of(entry(IMAGE, "keystone:1"), entry(SIGNATURE, "keystone"), entry(GROUP, "group:1", INDEX))
CONTENTS = {
    digest_bytes(content): content
    for content in (*LAYERS, IMAGE, SIGNATURE, b"signed", ELSEWHERE, b"for another machine", b"{}", b"{ }", GROUP)
}
BLOBS = [Blob("", digest, len(content)) for digest, content in CONTENTS.items()]
BASE_DIGEST = digest_bytes(b"base")


@dataclass
class Shelf:
    """A store of blobs that hashes nothing: what it holds is what it was given."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)

    def take(self, digest: str, size: int, chunks: Iterator[bytes]) -> None:
        content = b"".join(chunks)
        assert len(content) == size
        self.blobs[digest] = content
        self.taken.append(digest)

    def known(self, digest: str) -> bool:
        return digest in self.blobs

    def read(self, blob: Blob) -> bytes:
        return self.blobs[blob.digest]

    def open(self, blob: Blob) -> BinaryIO:
        return io.BytesIO(self.blobs[blob.digest])


def tar(files: Files) -> bytes:
    target = io.BytesIO()
    write_stream(target, [Entry(name, len(content), [content]) for name, content in files])
    return target.getvalue()


def files_of(index: bytes = LISTING, contents: dict[str, bytes] = CONTENTS) -> Files:
    blobs = [(blob_name(digest), content) for digest, content in sorted(contents.items())]
    return [("oci-layout", LAYOUT), ("index.json", index), *blobs]


def blob_name(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def holding(*contents: bytes) -> dict[str, bytes]:
    return {digest_bytes(content): content for content in contents}


def read_in(archive: bytes, shelf: Shelf | None = None, limits: Limits | None = None) -> ArchiveIndex:
    shelf = shelf or Shelf()
    return read_archive(io.BytesIO(archive), limits or Limits(), shelf.take, shelf.known)


def refusal(archive: bytes, limits: Limits | None = None) -> StackwayError:
    with pytest.raises(StackwayError) as caught:
        read_in(archive, limits=limits)
    assert isinstance(caught.value, HostileArchiveError | BrokenArchiveError)
    assert caught.value.resolution
    return caught.value


WHOLE = tar(files_of())


class Zeros(io.RawIOBase):
    """A start, and then zeros without end; counts what was given."""

    def __init__(self, start: bytes) -> None:
        self._start = io.BytesIO(start)
        self.given = 0

    def read(self, size: int = -1, /) -> bytes:
        self.given += size
        return self._start.read(size) or bytes(size)


def sealed(header: bytes) -> bytes:
    """Return the header with the right checksum."""
    total = sum(header[:148]) + 8 * 0x20 + sum(header[156:])
    return header[:148] + b"%06o\0 " % total + header[156:]


def resized(header: bytes, size: int) -> bytes:
    return sealed(header[:124] + b"%011o\0" % size + header[136:])


def taken_or_refused(archive: bytes) -> dict[str, bytes] | None:
    """Return what came in, None when the archive is refused; any other error is a defect, and so is what lies."""
    shelf = Shelf()
    try:
        read_in(archive, shelf)
    except (BrokenArchiveError, HostileArchiveError):
        return None
    finally:
        assert all(digest_bytes(content) == digest for digest, content in shelf.blobs.items())
    return shelf.blobs


def peak_of(work: Callable[[], object]) -> int:
    """Return the bytes that were held at most while `work` ran, whether it ended well or was refused."""
    tracemalloc.start()
    try:
        work()
    except StackwayError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak
