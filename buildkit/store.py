# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The store: one OCI image layout directory with all images. Every blob is hashed on the way in, the index is written last.

Format: OCI image-layout 1.0.0. Blobs are hard links of what the builder wrote, so nothing is copied.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stackway.errors import FailedError, UnavailableError, WrongInputError
from stackway.files import digest_file, place, read_json, write_atomic, write_json

REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"
HOST = "stackway.local"
_INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
_MANIFEST_MAX = 4 << 20


@dataclass(frozen=True)
class Blob:
    """A piece of an image: media type, digest, size in bytes."""

    media_type: str
    digest: str
    size: int


@dataclass(frozen=True)
class StoredImage:
    """An image in the store: its name (`keystone:2026.1`), its manifest, and what that names."""

    name: str
    manifest: Blob
    config: Blob
    layers: tuple[Blob, ...]

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """Everything the image consists of."""
        return (self.manifest, self.config, *self.layers)

    @property
    def size(self) -> int:
        """Bytes of all its blobs, compressed as they are."""
        return sum(blob.size for blob in self.blobs)


class Store:
    """An OCI layout directory with a lock of its own. One writer at a time; readers need no lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._verified = folder / "stackway-verified.json"

    @contextmanager
    def exclusive(self, wait: float = 0.0) -> Iterator[None]:
        """Hold the store for one build. Raises UnavailableError after `wait` seconds when another holds it."""
        from filelock import FileLock, Timeout

        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / "stackway.lock")
        try:
            lock.acquire(timeout=wait)
        except Timeout as error:
            raise UnavailableError(
                "another build is using this store",
                details=str(self.folder),
                resolution="Wait for it (`--wait 600`), or give this build a store of its own with --state DIR.",
            ) from error
        try:
            yield
        finally:
            lock.release()

    def images(self) -> dict[str, StoredImage]:
        """Return name → image of everything in the index that can be read; damage shows in `check`."""
        found = {}
        for entry in self._index().get("manifests", []):
            name, manifest = self._name_of(entry), _blob(entry)
            try:
                content = json.loads(self._read(manifest))
                found[name] = StoredImage(
                    name, manifest, _blob(content["config"]), tuple(_blob(layer) for layer in content["layers"])
                )
            except (OSError, ValueError, KeyError):
                found[name] = StoredImage(name, manifest, manifest, ())
        return found

    def check(self, image: StoredImage, *, full: bool = False) -> list[str]:
        """Return what is wrong with an image's blobs, nothing when all is well.

        A blob whose size and time are as when it was last hashed is believed, unless `full` asks for every byte.
        """
        verified = self._known()
        wrong = []
        for blob in {blob.digest: blob for blob in image.blobs}.values():
            stamp = self._stamp(blob)
            if stamp is None:
                wrong.append(f"blob {blob.digest} is missing from the store")
            elif not full and verified.get(blob.digest) == stamp:
                continue
            elif stamp[0] != blob.size or digest_file(self.path(blob.digest)) != blob.digest:
                wrong.append(f"blob {blob.digest} in the store is corrupt")
                # A disk that goes bad leaves the time as it was: the next build must not believe it.
                verified.pop(blob.digest, None)
            else:
                verified[blob.digest] = stamp
        self._remember(verified)
        return wrong

    def drop(self, digests: Iterable[str], elsewhere: Iterable[Path] = ()) -> None:
        """Remove blobs, here and in the layouts `elsewhere` that may be hard links of the same file."""
        for digest in digests:
            for folder in (self.folder, *elsewhere):
                (folder / "blobs/sha256" / digest.removeprefix("sha256:")).unlink(missing_ok=True)

    def add(self, layouts: Mapping[str, Path]) -> dict[str, StoredImage]:
        """Take one image from each layout (name → folder); return what was added.

        All or nothing for readers: blobs first, each hashed, then the index at once. Raises FailedError when a layout's
        blob is not what its name says.
        """
        entries = {self._name_of(entry): entry for entry in self._index().get("manifests", [])}
        verified = self._known()
        for name, layout in layouts.items():
            descriptor = self._take(layout, verified)
            names = {REF_NAME: name, CONTAINERD_NAME: f"{HOST}/{name}"}
            entries[name] = {**descriptor, "annotations": names}
        self._remember(verified)
        self._write_index(entries.values())
        stored = self.images()
        return {name: stored[name] for name in layouts}

    def collect(self) -> tuple[int, int]:
        """Remove blobs that no image refers to; return how many, and their bytes."""
        used = {blob.digest.removeprefix("sha256:") for image in self.images().values() for blob in image.blobs}
        count = size = 0
        for path in (self.folder / "blobs/sha256").glob("*"):
            if path.name not in used:
                count, size = count + 1, size + path.stat().st_size
                path.unlink()
        return count, size

    def forget(self, names: Iterable[str]) -> None:
        """Take images out of the index; `collect` frees their space."""
        gone = set(names)
        self._write_index(entry for entry in self._index().get("manifests", []) if self._name_of(entry) not in gone)

    def path(self, digest: str) -> Path:
        """Return the file of a blob."""
        return self.folder / "blobs/sha256" / digest.removeprefix("sha256:")

    def _take(self, layout: Path, verified: dict[str, list[int]]) -> dict[str, Any]:
        entries = read_json(layout / "index.json")["manifests"]
        descriptor = {key: entries[-1][key] for key in ("mediaType", "digest", "size")}
        manifest = read_json(layout / "blobs/sha256" / descriptor["digest"].removeprefix("sha256:"))
        for blob in (_blob(descriptor), _blob(manifest["config"]), *(_blob(layer) for layer in manifest["layers"])):
            source, target = layout / "blobs/sha256" / blob.digest.removeprefix("sha256:"), self.path(blob.digest)
            stamp = self._stamp(blob)
            if stamp is not None and verified.get(blob.digest) == stamp:
                continue
            if digest_file(source) != blob.digest:
                raise FailedError(
                    "the builder's output is damaged",
                    details=f"{source}: not {blob.digest}",
                    resolution="Build again; when it comes back, check the disk.",
                )
            target.unlink(missing_ok=True)
            place(source, target)
            verified[blob.digest] = self._stamp(blob) or []
        return descriptor

    def _index(self) -> dict[str, Any]:
        path = self.folder / "index.json"
        if not path.exists():
            return {}
        content = read_json(path)
        entries = content.get("manifests", []) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(_is_descriptor(entry) for entry in entries):
            raise WrongInputError(
                "the store's index is not an OCI index", details=str(path), resolution="Remove it and build again."
            )
        return dict(content)

    def _write_index(self, entries: Iterable[Mapping[str, Any]]) -> None:
        manifests = sorted((dict(entry) for entry in entries), key=self._name_of)
        write_atomic(self.folder / "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        write_json(self.folder / "index.json", {"schemaVersion": 2, "mediaType": _INDEX_TYPE, "manifests": manifests})

    @staticmethod
    def _name_of(entry: Mapping[str, Any]) -> str:
        return str(entry.get("annotations", {}).get(REF_NAME, entry.get("digest", "")))

    def _read(self, blob: Blob) -> bytes:
        path = self.path(blob.digest)
        if path.stat().st_size > _MANIFEST_MAX:
            raise ValueError(f"{path} is too large for a manifest")
        return path.read_bytes()

    def _stamp(self, blob: Blob) -> list[int] | None:
        try:
            status = self.path(blob.digest).stat()
        except FileNotFoundError:
            return None
        return [status.st_size, status.st_mtime_ns]

    def _known(self) -> dict[str, list[int]]:
        try:
            content = json.loads(self._verified.read_bytes())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def _remember(self, verified: Mapping[str, list[int]]) -> None:
        if verified != self._known():
            write_json(self._verified, dict(verified))


def _is_descriptor(entry: Any) -> bool:
    return isinstance(entry, dict) and {"mediaType", "digest", "size"} <= entry.keys()


def _blob(entry: Mapping[str, Any]) -> Blob:
    return Blob(str(entry["mediaType"]), str(entry["digest"]), int(entry["size"]))


def unique_size(images: Iterable[StoredImage]) -> int:
    """Return the bytes that a set of images takes together: what they share counts once."""
    return sum({blob.digest: blob.size for image in images for blob in image.blobs}.values())


def remove_layout(folder: Path) -> None:
    """Remove a builder's output folder."""
    shutil.rmtree(folder, ignore_errors=True)
