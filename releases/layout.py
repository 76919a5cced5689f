# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A folder as a place for releases: an OCI image layout with many repositories, and a lock for whoever writes.

Format: OCI image-layout 1.0.0. Blobs are shared by all repositories and written before the index, which is replaced as a
whole; so whenever a writer dies, the index is valid and names only whole blobs.
"""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from buildkit.complaints import NotThereError, WrongContentError
from buildkit.registry import MANIFEST_MAX, MANIFEST_TYPES, Manifest, OpenBlob
from buildkit.store import Blob
from releases.blobs import BlobFolder
from releases.entries import Entry, Index, check_place
from releases.index import IndexFile
from releases.manifests import check_manifest, named_blobs, no_manifest, subject_of
from releases.repository import REFERRERS_MAX, opener
from stackway.console import printable
from stackway.errors import UnavailableError

_PATIENCE = 30.0  # seconds that a single manifest waits for another writer
_RESOLUTION = "It was not used. Copy what it belongs to here anew; when it comes back, check the disk."


class LayoutStore:
    """A folder with releases. One writer at a time, of all processes; readers need no lock. Its threads may share it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blobs = BlobFolder(folder / "blobs/sha256")
        self._file = IndexFile(folder)
        self._turn = threading.RLock()
        self._guard = threading.Lock()
        self._pending: Index | None = None
        self._subjects: dict[str, str] = {}

    @property
    def address(self) -> str:
        """The folder."""
        return str(self.folder)

    def repository(self, name: str) -> "LayoutRepository":
        """Return one of its repositories; nothing is read yet. Raises WrongInputError for what is no name."""
        check_place(name)
        return LayoutRepository(self, name)

    @property
    def is_writing(self) -> bool:
        """Whether this object holds the folder now."""
        return self._pending is not None

    @contextmanager
    def writing(self, wait: float = 0.0) -> Iterator[None]:
        """Hold the folder for writing; its index is written at the end, once, or not at all after an error.

        May be nested: then only what the inner part put is dropped after its error. Raises UnavailableError after `wait`
        seconds when another process or thread holds it.
        """
        if not self._turn.acquire(timeout=wait):
            raise self._busy()
        try:
            with self._transaction(wait) if self._pending is None else self._part():
                yield
        finally:
            self._turn.release()

    def index(self) -> Index:
        """Return the entries as this object sees them: with what it put since it holds the folder. Not to be changed."""
        return self._pending or self._file.read()

    def joined(self) -> AbstractContextManager[None]:
        """Be part of the writing that goes on, whichever thread began it; else hold the folder for a moment."""
        return nullcontext() if self.is_writing else self.writing(_PATIENCE)

    def put(self, repository: str, entry: Entry, tag: str = "") -> None:
        """Take a manifest that is in `blobs` into a repository."""
        with self._guard:
            if self._pending is not None:
                self._pending.put(repository, entry, tag)
                return
        with self.writing(_PATIENCE):
            self.put(repository, entry, tag)

    def forget(self, repository: str, tag: str) -> None:
        """Take a tag away, and its manifest when it has no other tag; `collect` frees the space."""
        with self.writing(_PATIENCE), self._guard:
            if self._pending is not None:
                self._pending.forget(repository, tag)

    def collect(self) -> tuple[int, int]:
        """Remove blobs that no manifest of the index reaches; return how many, and their bytes.

        What was forgotten since the folder is held goes next time. Uploads outside of `writing` lose their blobs. Raises
        WrongContentError, and removes nothing, when a manifest is damaged: nobody knows what it needs.
        """
        with self.writing():
            return self.blobs.keep_only(self._reached())

    def subject(self, blob: Blob) -> str:
        """Return the digest that a manifest refers to, empty for none. Raises WrongContentError when it is damaged."""
        if blob.digest not in self._subjects:
            data = self.manifest(blob).data() if blob.media_type in MANIFEST_TYPES else {}
            self._subjects[blob.digest] = subject_of(data)
        return self._subjects[blob.digest]

    def manifest(self, blob: Blob) -> Manifest:
        """Return the manifest of an entry. Raises WrongContentError when it is damaged or of another kind."""
        try:
            manifest = Manifest(self.blobs.read(blob, MANIFEST_MAX), blob.media_type)
        except NotThereError as error:
            raise WrongContentError(
                f"manifest {blob.digest} is missing", details=error.details, resolution=_RESOLUTION
            ) from error
        kind = manifest.data().get("mediaType", blob.media_type)
        if kind != blob.media_type:
            raise WrongContentError(
                f"manifest {blob.digest} is of another kind than the index says",
                details=f"{self.blobs.path(blob.digest)}: {kind} under the name {blob.media_type}",
                resolution=_RESOLUTION,
            )
        return manifest

    @contextmanager
    def _transaction(self, wait: float) -> Iterator[None]:
        from filelock import FileLock, Timeout

        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / "stackway.lock")
        try:
            lock.acquire(timeout=wait)
        except Timeout as error:
            raise self._busy() from error
        try:
            before = self._file.read()
            self._pending = before.copy()
            yield
            self._commit(before)
        finally:
            self._pending = None
            lock.release()

    @contextmanager
    def _part(self) -> Iterator[None]:
        saved = self.index().copy()
        try:
            yield
        except BaseException:
            self._pending = saved
            raise

    def _commit(self, before: Index) -> None:
        self.blobs.flush()
        with self._guard:
            after, self._pending = self._pending, None
        if after is not None and after != before:
            self._file.write(after)

    def _reached(self) -> set[str]:
        # Also what the file still names: what is held now may yet be dropped.
        waiting = list({entry.blob for index in (self.index(), self._file.read()) for entry in index.entries()})
        reached = {blob.digest for blob in waiting}
        while waiting:
            blob = waiting.pop()
            if blob.media_type not in MANIFEST_TYPES:
                continue
            for part, is_manifest in named_blobs(self.manifest(blob).data()):
                if is_manifest and part.digest not in reached and self.blobs.has(part):
                    waiting.append(part)
                reached.add(part.digest)
        return reached

    def _busy(self) -> UnavailableError:
        return UnavailableError(
            "somebody else is writing to this place for releases",
            details=self.address,
            resolution="Wait until it is done, and run the same command again.",
        )


@dataclass(frozen=True)
class LayoutRepository:
    """One repository of a folder: the manifests that the index gives to it, and the blobs that all of them share."""

    store: LayoutStore
    name: str

    def has(self, blob: Blob) -> bool:
        """Tell whether the blob is there. Raises WrongContentError when something of another size has its name."""
        return self.store.blobs.has(blob)

    def read(self, blob: Blob, most: int = MANIFEST_MAX) -> bytes:
        """Return a small blob. Raises WrongContentError when it is larger than `most` bytes or not the blob."""
        return self.store.blobs.read(blob, most)

    def chunks(self, blob: Blob) -> Iterator[bytes]:
        """Yield the blob's bytes. Raises WrongContentError, at the latest after the last, when they are not the blob."""
        return self.store.blobs.chunks(blob)

    def upload(self, blob: Blob, source: OpenBlob, *, mount_from: str = "") -> int:  # noqa: ARG002 - all share blobs
        """Write a blob and return its size, 0 when it was there. Raises DamagedBlobError when `source` is not the blob."""
        size = self.store.blobs.add(blob, source)
        if not self.store.is_writing:
            self.store.blobs.flush()
        return size

    def link(self, blob: Blob, path: Path) -> int:
        """Make the blob a hard link of a file and return its size, 0 when it was there. Raises DamagedBlobError."""
        return self.store.blobs.link(blob, path)

    def manifest(self, reference: str) -> Manifest:
        """Return the manifest of a tag or digest. Raises NotThereError, and WrongContentError when it is damaged."""
        entry = self.store.index().find(self.name, reference)
        if entry is None:
            raise NotThereError(
                f"{self.name} has no {printable(reference)}",
                details=self.store.address,
                resolution="`release list` shows what is there.",
            )
        return self.store.manifest(entry.blob)

    def manifest_digest(self, reference: str) -> str | None:
        """Return the digest of the manifest that a tag or digest stands for, None when it is not there."""
        entry = self.store.index().find(self.name, reference)
        return entry.blob.digest if entry else None

    def put_manifest(self, manifest: Manifest, tag: str = "") -> str:
        """Put a manifest there, under a tag or only its digest; return the digest. Its blobs must be there already.

        Raises NotThereError when one is not, WrongInputError for what is too large or no tag, WrongContentError for what is
        no manifest.
        """
        check_place(self.name, tag)
        check_manifest(manifest)
        entry = Entry.of(manifest, self.name, tag)
        there = self.store.index().find(self.name, entry.blob.digest)
        if there and there.blob != entry.blob:
            raise no_manifest(manifest, f"{self.name} has it as {there.blob.media_type}, not {manifest.media_type}")
        # The lock is held from the check on: nobody may collect the blobs in between.
        with self.store.joined():
            self._require(manifest)
            self.upload(entry.blob, opener(manifest.content))
            self.store.put(self.name, entry, tag)
        return manifest.digest

    def referrers(self, digest: str) -> list[Blob]:
        """Return the manifests whose subject is `digest`, sorted by digest.

        A damaged one is left out: nobody knows what it refers to, and it must not hide those that are whole.
        """
        held = self.store.index().held.get(self.name, {})
        found = [entry.blob for entry in list(held.values()) if self._refers(entry.blob, digest)]
        return sorted(found, key=lambda blob: blob.digest)[:REFERRERS_MAX]

    def _refers(self, blob: Blob, digest: str) -> bool:
        try:
            return self.store.subject(blob) == digest
        except WrongContentError:
            return False

    def tags(self) -> list[str]:
        """Return all tags, sorted."""
        return self.store.index().tags(self.name)

    def _require(self, manifest: Manifest) -> None:
        for blob, _ in named_blobs(manifest.data()):
            if not self.has(blob):
                raise NotThereError(
                    "a manifest names a blob that is not there",
                    details=f"{self.store.address}: {manifest.digest} needs {blob.digest}",
                    resolution="Nothing was changed. Upload its blobs first.",
                )
