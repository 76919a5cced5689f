# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The vulnerability database: where it lies, how old it is, and how another one comes in, whole or not at all.

One for a user, in the cache. Trivy's format, schema 2: `trivy.db` (bbolt) and `metadata.json`. We keep beside them
`stackway-source.json`: whence it came, its digest, and size and time of the file when that was taken.
"""

import json
import lzma
import shutil
import struct
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from filelock import FileLock

from buildkit.scan.gate import describe, parse_moment
from buildkit.scan.report import DatabaseFacts
from stackway.errors import FailedError, StackwayError, UnavailableError, WrongInputError
from stackway.files import digest_file, disk_errors, read_json, scratch_directory, write_json

SCHEMA_VERSION = 2
FILES = ("trivy.db", "metadata.json")
_SOURCE = "stackway-source.json"
# Today's is 0.9 GB unpacked.
_MAX_BYTES = 8 << 30
_MAX_METADATA = 1 << 16
_MAX_MEMBERS = 64
# Pages 0 and 1 of a bbolt file have, behind 16 bytes: magic number, version, size of a page, flags, root bucket (two
# numbers), page of the free list, number of pages, transaction. The later transaction counts.
_BOLT_META = struct.Struct("<16xIIIIQQQQQ")
_BOLT_MAGIC = 0xED0CDAED
_MAX_PAGE = 1 << 16
_IMPORT_HINT = (
    "With a network: `release scan db update`. Without: `trivy image --download-db-only --cache-dir DIR` on a machine that "
    "has one, bring DIR/db here, then `release scan db import DIR/db`."
)


class Downloader(Protocol):
    """What can fetch a database; the scanner can."""

    def download(self, repository: str, cache: Path, timeout: float) -> None:
        """Fetch one from a repository (empty: its own) into the folder `cache`, within `timeout` seconds."""


@dataclass(frozen=True)
class DatabaseState:
    """A database that is there: its facts, when its makers mean to have the next one, where it lies, bytes."""

    facts: DatabaseFacts
    next_update: str
    folder: Path
    size: int

    def age(self, now: datetime) -> str:
        """Return its age for people."""
        moment = parse_moment(self.facts.updated)
        return describe(now - moment) if moment else "unknown"

    def is_due(self, now: datetime) -> bool:
        """Tell whether its makers have a newer one by now."""
        moment = parse_moment(self.next_update)
        return moment is None or moment <= now

    def to_dict(self, now: datetime) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {
            "version": self.facts.version,
            "updated": self.facts.updated,
            "nextUpdate": self.next_update,
            "age": self.age(now),
            "source": self.facts.source,
            "digest": self.facts.digest,
            "size": self.size,
        }


class Database:
    """The database in a scanner's cache folder."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.folder = cache / "db"

    def state(self) -> DatabaseState:
        """Return what is there. Raises UnavailableError when nothing is, FailedError when it cannot be used."""
        path = self.folder / "trivy.db"
        if not path.exists():
            raise UnavailableError(
                "there is no vulnerability database", details=f"looked in {self.folder}", resolution=_IMPORT_HINT
            )
        metadata = check(self.folder)
        source = self._source(path)
        facts = DatabaseFacts(
            SCHEMA_VERSION, _moment(metadata, "UpdatedAt"), str(source["source"]), str(source["digest"])
        )
        return DatabaseState(facts, _moment(metadata, "NextUpdate"), self.folder, path.stat().st_size)

    def bring(self, source: Path) -> DatabaseState:
        """Take a database from a folder, an archive (tar, gzip) or an OCI layout. What is there stays until it is whole."""
        with scratch_directory(self.cache, "import") as folder:
            _unpack(source, folder)
            return self._install(folder, f"file {source.name}")

    def update(self, trivy: Downloader, repository: str, timeout: float) -> DatabaseState:
        """Fetch the newest database. Raises UnavailableError when none can be reached; what is there stays."""
        with scratch_directory(self.cache, "update") as folder:
            try:
                trivy.download(repository, folder, timeout)
            except StackwayError as error:
                raise UnavailableError(
                    "no newer vulnerability database can be fetched", details=error.details, resolution=_IMPORT_HINT
                ) from error
            return self._install(folder / "db", repository or "Trivy's own registries")

    def _install(self, folder: Path, source: str) -> DatabaseState:
        check(folder)
        with disk_errors("the vulnerability database", self.cache), self._exclusive():
            path = folder / "trivy.db"
            write_json(folder / _SOURCE, {"source": source, "digest": digest_file(path), **_stamp(path)})
            old = self.cache / "db.old"
            shutil.rmtree(old, ignore_errors=True)
            if self.folder.exists():
                self.folder.rename(old)
            folder.rename(self.folder)
            shutil.rmtree(old, ignore_errors=True)
        return self.state()

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        self.cache.mkdir(parents=True, exist_ok=True)
        with FileLock(self.cache / "db.lock"):
            yield

    def _source(self, path: Path) -> dict[str, Any]:
        """Return whence the file came and its digest, which is taken anew when the file is not the one that came."""
        try:
            given = read_json(self.folder / _SOURCE)
        except (StackwayError, FileNotFoundError):
            given = {}
        known: dict[str, Any] = given if isinstance(given, dict) else {}
        stamp = _stamp(path)
        if {**known, **stamp} == known and known.get("digest") and known.get("source"):
            return known
        known = {"source": "put here by other means", "digest": digest_file(path), **stamp}
        write_json(self.folder / _SOURCE, known)
        return known


def check(folder: Path) -> dict[str, Any]:
    """Return a database's metadata. Raises FailedError that says what is wrong with it."""
    try:
        metadata = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
        with (folder / "trivy.db").open("rb") as file:
            head, size = file.read(2 * _MAX_PAGE), file.seek(0, 2)
    except (OSError, ValueError) as error:
        raise _broken(f"{type(error).__name__}: {error}") from error
    if not isinstance(metadata, dict) or metadata.get("Version") != SCHEMA_VERSION:
        given = metadata.get("Version") if isinstance(metadata, dict) else metadata
        raise _broken(f"it is of schema {given!r}, {SCHEMA_VERSION} is understood")
    if not 0 < _bolt_bytes(head) <= size or size % 4096:
        raise _broken(f"trivy.db ({size} bytes) is no whole bbolt file")
    if parse_moment(_moment(metadata, "UpdatedAt")) is None:
        raise _broken("metadata.json does not say when it was made (UpdatedAt)")
    return metadata


def _bolt_bytes(head: bytes) -> int:
    """Return how many bytes a bbolt file has at least, from its beginning; 0 when it is none."""
    magic, _, page, *_ = _BOLT_META.unpack(head[: _BOLT_META.size].ljust(_BOLT_META.size, b"\0"))
    if magic != _BOLT_MAGIC:
        return 0
    metas = [_BOLT_META.unpack_from(head, start) for start in (0, page) if start + _BOLT_META.size <= len(head)]
    _, size = max((meta[8], meta[7] * page) for meta in metas if meta[0] == _BOLT_MAGIC)
    return int(size)


def _broken(why: str) -> FailedError:
    return FailedError("the vulnerability database cannot be used", details=why, resolution=_IMPORT_HINT)


def _moment(metadata: dict[str, Any], key: str) -> str:
    return str(metadata.get(key) or "")


def _stamp(path: Path) -> dict[str, int]:
    status = path.stat()
    return {"size": status.st_size, "mtime": status.st_mtime_ns}


def _unpack(source: Path, folder: Path) -> None:
    """Put the database's two files into `folder`, from wherever they are in `source`; nothing else is taken."""
    if not source.exists():
        raise WrongInputError(
            f"there is no {source}", details="", resolution="Name a folder, an archive, or an OCI layout with trivy-db."
        )
    if source.is_dir() and (layer := _layer(source)):
        source = layer
    if source.is_dir():
        inside = source if (source / "trivy.db").exists() else source / "db"
        for name in FILES:
            with _readable(source, name), (inside / name).open("rb") as given:
                _copy(given, folder / name)
        return
    with _readable(source, "trivy.db"), tarfile.open(source, "r:*") as archive:
        for number, member in enumerate(archive):
            name = member.name.rpartition("/")[2]
            if number > _MAX_MEMBERS:
                raise _broken(f"{source.name} has more than {_MAX_MEMBERS} members")
            if member.isfile() and name in FILES and (file := archive.extractfile(member)):
                _copy(file, folder / name)
        _finish(archive, source.name)


def _finish(archive: tarfile.TarFile, name: str) -> None:
    """Read on to the end of a compressed file: its checksum is there, behind what tar wants to know."""
    total = 0
    while chunk := archive.fileobj.read(1 << 20):
        total += len(chunk)
        if total > _MAX_BYTES:
            raise _broken(f"{name} goes on for more than {_MAX_BYTES} bytes behind its last member")


@contextmanager
def _readable(source: Path, name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise _broken(f"{source} has no {name}") from error
    except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno and not isinstance(error, IsADirectoryError):
            raise
        raise _broken(f"{source}: {error}") from error


def _copy(file: Any, target: Path) -> None:
    limit = _MAX_METADATA if target.name == "metadata.json" else _MAX_BYTES
    with disk_errors("the vulnerability database", target.parent), target.open("wb") as written:
        _limited(file, written, limit, target.name)


def _limited(file: Any, written: BinaryIO, limit: int, name: str) -> None:
    total = 0
    while chunk := file.read(1 << 20):
        total += len(chunk)
        if total > limit:
            raise _broken(f"{name} is larger than {limit} bytes")
        written.write(chunk)


def _layer(layout: Path) -> Path | None:
    """Return the database's layer in an OCI layout, after checking its digest; None when `layout` is none."""
    if not (layout / "index.json").exists():
        return None
    try:
        entry = read_json(layout / "index.json")["manifests"][0]
        manifest = read_json(_blob(layout, entry["digest"]))
        digest = manifest["layers"][0]["digest"]
    except (KeyError, IndexError, TypeError) as error:
        raise _broken(f"{layout} is an OCI layout without a database: {error}") from error
    return _blob(layout, digest)


def _blob(layout: Path, digest: str) -> Path:
    path = layout / "blobs/sha256" / Path(str(digest).removeprefix("sha256:")).name
    if not path.is_file() or digest_file(path) != digest:
        raise _broken(f"{layout}: the blob {digest} is missing or damaged")
    return path
