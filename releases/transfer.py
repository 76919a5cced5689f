# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Copies a release, its images, and everything that is signed about them from one place to another. Changes no byte.

Order: blobs, image manifests, signatures, and the release's own tag last; so what shows in the target is whole. What is
there already is not sent again.
"""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BufferedReader, RawIOBase, UnsupportedOperation
from typing import Any, BinaryIO

from buildkit.complaints import NotThereError, WrongContentError
from buildkit.registry import MANIFEST_MAX, Manifest
from buildkit.store import Blob
from releases.found import ENVELOPE_MAX
from releases.layout import LayoutRepository
from releases.release import REPOSITORY, ReleaseContent
from releases.repository import ReleaseStore, Repository
from releases.sign import put
from releases.signatures import layers_manifest, read_descriptor, read_layers, tag
from stackway.console import Reporter
from stackway.errors import RefusedError

_PARALLEL = 4
_BUFFER = 1 << 18


@dataclass(frozen=True)
class Sent:
    """What a copy took: blobs and manifests written, bytes of blobs sent, blobs that were there or mounted."""

    manifests: int
    blobs: int
    bytes: int
    there: int

    def __add__(self, other: "Sent") -> "Sent":
        return Sent(*(getattr(self, name) + getattr(other, name) for name in ("manifests", "blobs", "bytes", "there")))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return dict(vars(self))


class ChunkFile(RawIOBase):
    """Chunks that arrive from elsewhere, as a file to read; going back to its beginning asks for them anew."""

    def __init__(self, ask: Callable[[], Iterator[bytes]]) -> None:
        super().__init__()
        self._ask = ask
        self._chunks, self._rest, self._at = ask(), b"", 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to the beginning, or stay. Raises UnsupportedOperation for any other place."""
        target = offset + (self._at if whence == 1 else 0)
        if whence not in {0, 1} or target not in {0, self._at}:
            raise UnsupportedOperation("only to the beginning")
        if target != self._at:
            self._chunks, self._rest, self._at = self._ask(), b"", 0
        return target

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = chunk
        count = min(len(view), len(self._rest))
        view[:count], self._rest = self._rest[:count], self._rest[count:]
        self._at += count
        return count


NOTHING = Sent(0, 0, 0, 0)


def stream(repository: Repository, blob: Blob) -> BinaryIO:
    """Return a blob of a repository as a file to read. Reading raises what `chunks` raises."""
    return file_of(lambda: repository.chunks(blob))


def file_of(ask: Callable[[], Iterator[bytes]]) -> BinaryIO:
    """Return chunks as a file to read."""
    return BufferedReader(ChunkFile(ask), _BUFFER)


@dataclass(frozen=True)
class Copied:
    """One manifest to copy, and the tag it gets, empty for none."""

    repository: str
    manifest: Manifest
    tag: str = ""


def parts(store: ReleaseStore, content: ReleaseContent) -> Iterator[Copied]:
    """Yield all manifests of a release in the order in which they must arrive."""
    version = str(content.version)
    for image in content.images:
        repository = store.repository(image.name)
        yield Copied(image.name, repository.manifest(image.manifest.digest), version)
        yield from signatures(store, image.name, image.manifest.digest)
    release = store.repository(REPOSITORY).manifest(content.digest)
    # Without its tag first: what refers to it needs it, and nobody looks for it yet.
    yield Copied(REPOSITORY, release)
    yield from signatures(store, REPOSITORY, content.digest)
    yield Copied(REPOSITORY, release, version)


def signatures(store: ReleaseStore, name: str, digest: str) -> Iterator[Copied]:
    """Yield what is signed about a manifest, in both forms; what refers to it without being a bundle comes too.

    What refers to it and is not whole, or larger than anybody would read, stays behind: anybody may have put it there.
    """
    repository = store.repository(name)
    for kind in ("sig", "att"):
        if repository.manifest_digest(tag(digest, kind)):
            yield Copied(name, repository.manifest(tag(digest, kind)), tag(digest, kind))
    for referrer in repository.referrers(digest):
        if manifest := _whole(repository, referrer.digest):
            yield Copied(name, manifest)


def _whole(repository: Repository, digest: str) -> Manifest | None:
    try:
        manifest = repository.manifest(digest)
        blobs = blobs_of(manifest)
        is_whole = sum(blob.size for blob in blobs) <= ENVELOPE_MAX and all(repository.has(blob) for blob in blobs)
    except (WrongContentError, NotThereError):
        return None
    return manifest if is_whole else None


def records(store: ReleaseStore, environments: list[str]) -> Iterator[Copied]:
    """Yield the records of environments, oldest first. The releases they are about must arrive before them."""
    repository = store.repository(REPOSITORY)
    for name in environments:
        # Other environments' names may begin with this one's, and anybody may have made up tags.
        pattern = re.compile(rf"channel-{re.escape(name)}-([1-9][0-9]{{0,8}})")
        found = [item for item in repository.tags() if pattern.fullmatch(item)]
        for item in sorted(found, key=lambda item: int(item.rpartition("-")[2])):
            yield Copied(REPOSITORY, repository.manifest(item), item)


def copy(source: ReleaseStore, target: ReleaseStore, manifests: list[Copied], reporter: Reporter) -> Sent:
    """Bring manifests and their blobs to `target`; return what it took.

    Raises RefusedError when a tag stands for something else there, and what the two places raise.
    """
    total = NOTHING
    with target.writing(), ThreadPoolExecutor(_PARALLEL) as pool:
        _refuse_taken(target, manifests)
        seen: dict[str, str] = {}
        for number, item in enumerate(manifests):
            origin, place = source.repository(item.repository), target.repository(item.repository)
            if place.manifest_digest(item.tag or item.manifest.digest) == item.manifest.digest:
                continue
            reporter.task("copy", item.repository, number / len(manifests))
            total += _copy_blobs(origin, place, item.manifest, (pool, seen))
            manifest = merged(place, item)
            if not item.tag or place.manifest_digest(item.tag) != manifest.digest:
                place.put_manifest(manifest, item.tag)
                total += Sent(1, 0, 0, 0)
    return total


def _refuse_taken(target: ReleaseStore, manifests: list[Copied]) -> None:
    for item in manifests:
        there = target.repository(item.repository).manifest_digest(item.tag) if item.tag else None
        if there not in (None, item.manifest.digest) and not item.tag.endswith((".sig", ".att")):
            raise RefusedError(
                f"{item.repository}:{item.tag} is something else there",
                details=f"{target.address}: {there}\nhere: {item.manifest.digest}",
                resolution="Nothing was copied. A version is given once: `release verify` both, and take the wrong one away.",
            )


def merged(place: Repository, item: Copied) -> Manifest:
    """Return what to put: signatures that the target has of other keys stay beside those that come."""
    is_shared = item.tag.endswith((".sig", ".att")) and place.manifest_digest(item.tag)
    if not is_shared:
        return item.manifest
    layers = read_layers(place.manifest(item.tag))
    layers += [layer for layer in read_layers(item.manifest) if layer not in layers]
    config, manifest = layers_manifest(layers)
    put(place, config)
    return manifest


def _copy_blobs(
    origin: Repository, place: Repository, manifest: Manifest, work: tuple[ThreadPoolExecutor, dict[str, str]]
) -> Sent:
    pool, seen = work

    def send(blob: Blob) -> Sent:
        if place.has(blob):
            return Sent(0, 0, 0, 1)
        mount_from = seen.get(blob.digest, "")
        if isinstance(origin, LayoutRepository) and isinstance(place, LayoutRepository):
            return Sent(0, 1, place.link(blob, origin.store.blobs.path(blob.digest)), 0)
        from_there = "" if mount_from == place.name else mount_from
        sent = place.upload(blob, lambda: stream(origin, blob), mount_from=from_there)
        return Sent(0, 1, sent, 0) if sent else Sent(0, 0, 0, 1)

    blobs = blobs_of(manifest)
    total = NOTHING
    for sent in pool.map(send, blobs):
        total += sent
    seen.update(dict.fromkeys((blob.digest for blob in blobs), place.name))
    return total


def blobs_of(manifest: Manifest) -> list[Blob]:
    """Return the blobs that a manifest names, each once."""
    if len(manifest.content) > MANIFEST_MAX:
        return []
    data = manifest.data()
    layers = data.get("layers")
    rows = [data.get("config"), *(layers if isinstance(layers, list) else [])]
    found = {blob.digest: blob for row in rows if (blob := read_descriptor(row))}
    return list(found.values())
