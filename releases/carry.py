# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Carries releases over an air gap: out of a place into one file, and from such a file into a place.

What comes out of a file is believed by nobody until it is verified: blobs by their digests now, signatures when it is used.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from buildkit.registry import Manifest
from buildkit.store import REF_NAME, Blob
from releases import transfer
from releases.archive import ArchiveSummary, Limits, read_archive, write_archive
from releases.entries import REPOSITORY as HOME
from releases.layout import LayoutStore
from releases.release import REPOSITORY, ReleaseContent
from releases.repository import ReleaseStore, Repository
from releases.signatures import descriptor
from releases.transfer import Copied
from releases.version import is_version
from stackway.errors import RefusedError
from stackway.files import canonical_json

_INDEX_TYPE = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True)
class Imported:
    """What came of an archive: the releases in it (version → digest), and how many manifests and blobs were new."""

    releases: dict[str, str]
    manifests: int
    blobs: int
    bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {"releases": self.releases, "manifests": self.manifests, "blobs": self.blobs, "bytes": self.bytes}


def export(
    store: ReleaseStore, content: ReleaseContent, target: Path, base: ReleaseContent | None, environments: list[str]
) -> ArchiveSummary:
    """Write a release, its images, signatures and the records of environments to one file.

    What `base`, a release that the other side has, consists of is left out. Equal content gives equal bytes.
    """
    manifests = [*transfer.parts(store, content), *transfer.records(store, environments)]
    there = {item.digest for item in _blobs(transfer.parts(store, base))} if base else set()
    homes = {blob.digest: name for name, blob in _homes(manifests)}
    blobs = [blob for blob in _blobs(manifests) if blob.digest not in there]

    def open_blob(blob: Blob) -> BinaryIO:
        return transfer.stream(store.repository(homes[blob.digest]), blob)

    return write_archive(target, _index(manifests), blobs, open_blob, base=base.digest if base else "")


def _index(manifests: Sequence[Copied]) -> bytes:
    entries = {}
    for item in manifests:
        blob = Blob(item.manifest.media_type, item.manifest.digest, len(item.manifest.content))
        names = {HOME: item.repository}
        if item.tag:
            names[REF_NAME] = f"{item.repository}:{item.tag}"
        entries[item.repository, blob.digest, item.tag] = {**descriptor(blob), "annotations": names}
    tagged = {(name, digest) for name, digest, tag in entries if tag}
    rows = [entries[key] for key in sorted(entries) if key[2] or key[:2] not in tagged]
    return canonical_json({"schemaVersion": 2, "mediaType": _INDEX_TYPE, "manifests": rows})


def _homes(manifests: Sequence[Copied]) -> Iterator[tuple[str, Blob]]:
    for item in manifests:
        yield item.repository, Blob(item.manifest.media_type, item.manifest.digest, len(item.manifest.content))
        yield from ((item.repository, blob) for blob in transfer.blobs_of(item.manifest))


def _blobs(manifests: Iterable[Copied]) -> list[Blob]:
    found = {blob.digest: blob for _, blob in _homes(list(manifests))}
    return [found[digest] for digest in sorted(found)]


def bring(source: BinaryIO, store: LayoutStore, limits: Limits | None = None) -> Imported:
    """Take an archive into a place.

    Blobs come in one by one and stay, so an interrupted import goes on; what refers to them shows when all of it is right.
    Raises RefusedError or WrongInputError for an archive that is not whole, holds what it should not, or contradicts what
    is there.
    """
    taken = [0, 0]

    def take(digest: str, size: int, chunks: Iterator[bytes]) -> None:
        store.blobs.add(Blob("", digest, size), lambda: transfer.file_of(lambda: chunks))
        taken[0], taken[1] = taken[0] + 1, taken[1] + size

    def known(digest: str) -> bool:
        return store.blobs.path(digest).is_file()

    with store.writing():
        index = read_archive(source, limits or Limits(), take, known, store.blobs.read)
        releases, count = {}, 0
        for item in index.manifests:
            place = store.repository(item.repository)
            count += _put(place, Manifest(place.read(item.blob), item.blob.media_type), item.tag)
            if item.repository == REPOSITORY and is_version(item.tag):
                releases[item.tag] = item.blob.digest
    return Imported(releases, count, *taken)


def _put(place: Repository, manifest: Manifest, tag: str) -> int:
    there = place.manifest_digest(tag or manifest.digest)
    if there == manifest.digest:
        return 0
    if there is not None and not tag.endswith((".sig", ".att")):
        raise RefusedError(
            f"the archive has another {place.name}:{tag} than this place",
            details=f"here: {there}\nin the archive: {manifest.digest}",
            resolution="Nothing was imported. One of the two is not what it says: `release verify` both.",
        )
    place.put_manifest(transfer.merged(place, Copied(place.name, manifest, tag)), tag)
    return 1
