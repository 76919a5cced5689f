# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Fetches locked packages into the artifact cache, each named by its sha256 and checked on the way in.

Images are built from this cache with no network at all, so mirrors, indexes, proxies and certificates of this machine
matter here and nowhere else.
"""

import hashlib
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from buildkit.index import NoNetworkError, index_files
from buildkit.locks import Artifact, Pin, SystemPackage
from buildkit.mirrors import debian_mirrors
from stackway import clock
from stackway.console import Reporter
from stackway.errors import FailedError
from stackway.files import disk_errors
from stackway.settings import Settings

if TYPE_CHECKING:
    import requests

_CHUNK = 1 << 18
_TIMEOUT = (10, 60)  # seconds to connect, seconds between two chunks
_TRIES = 3
_PARALLEL = 8
MAX_BYTES = 1 << 30  # of a file whose size the index does not tell


class MissingArtifactError(FailedError):
    """A locked package is not where it was: the archive has moved on."""


class HashMismatchError(FailedError):
    """What came is not what was locked."""


@dataclass(frozen=True)
class ArtifactCache:
    """A folder of files named by their sha256."""

    folder: Path

    def path(self, digest: str) -> Path:
        """Return where the file with this digest is or would be."""
        plain = digest.removeprefix("sha256:")
        return self.folder / plain[:2] / plain

    def missing(self, artifacts: Iterable[Artifact]) -> list[Artifact]:
        """Return the artifacts that are not there with their full size, each digest once."""
        found = {artifact.digest: artifact for artifact in artifacts}
        return [artifact for artifact in found.values() if not self._has(artifact)]

    def _has(self, artifact: Artifact) -> bool:
        try:
            return self.path(artifact.digest).stat().st_size == artifact.size or not artifact.size
        except FileNotFoundError:
            return False

    def put(self, artifact: Artifact, chunks: Iterable[bytes]) -> None:
        """Store what `chunks` bring, if it is the artifact. Raises HashMismatchError, or FailedError on a full disk."""
        target = self.path(artifact.digest)
        with disk_errors(f"cannot store {artifact.name}"):
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=target.parent, prefix=".part-")
            try:
                with os.fdopen(handle, "wb") as file:
                    _write_checked(artifact, chunks, file.write)
                Path(name).chmod(0o444)
                Path(name).replace(target)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise


def _write_checked(artifact: Artifact, chunks: Iterable[bytes], write: Callable[[bytes], object]) -> None:
    hasher, size, most = hashlib.sha256(), 0, artifact.size or MAX_BYTES
    for chunk in chunks:
        size += len(chunk)
        if size > most:
            break
        hasher.update(chunk)
        write(chunk)
    digest = f"sha256:{hasher.hexdigest()}"
    if digest != artifact.digest or size not in {artifact.size, artifact.size or size}:
        got = f"more than {most} bytes" if size > most else f"{size} bytes, {digest}"
        raise HashMismatchError(
            f"{artifact.name} is not the file that was locked",
            details=f"locked: {artifact.size} bytes, {artifact.digest}\ngot: {got}",
            resolution="Do not build from it. Ask who changed the mirror or index; if the change is right, lock again.",
        )


@dataclass(frozen=True)
class Download:
    """An artifact and the address to get it from."""

    artifact: Artifact
    url: str


def fetch_system(
    packages: Iterable[SystemPackage], cache: ArtifactCache, settings: Settings, reporter: Reporter
) -> int:
    """Bring every Debian package into the cache; return how many had to be fetched."""
    wanted = {package.digest: package for package in packages}
    missing = cache.missing(package.artifact for package in wanted.values())
    if not missing:
        return 0
    mirrors = debian_mirrors(settings)
    downloads = [
        Download(item, f"{mirrors[wanted[item.digest].archive]}/{wanted[item.digest].path}") for item in missing
    ]
    _download_all("Debian packages", downloads, cache, reporter)
    return len(downloads)


def fetch_python(pins: Iterable[Pin], cache: ArtifactCache, python: str, reporter: Reporter) -> int:
    """Bring every Python distribution into the cache; return how many had to be fetched."""
    wanted = {pin.digest: pin for pin in pins}
    missing = cache.missing(pin.artifact for pin in wanted.values())
    if not missing:
        return 0
    reporter.task("Python packages", f"asking the index for {len(missing)} files")
    downloads: list[Download] = []
    for batch in _without_conflicts([wanted[item.digest] for item in missing]):
        urls = _index_urls(batch, python)
        for pin in batch:
            if pin.digest not in urls:
                raise MissingArtifactError(
                    f"{pin.filename} is no longer in the package index",
                    details=f"locked: {pin.digest}",
                    resolution="Copy the file into the artifact cache from elsewhere, or `release spec lock --upgrade`.",
                )
            downloads.append(Download(pin.artifact, urls[pin.digest]))
    _download_all("Python packages", downloads, cache, reporter)
    return len(downloads)


def _without_conflicts(pins: Sequence[Pin]) -> Iterator[list[Pin]]:
    """Yield the pins in groups that hold each name once: the index is asked about one consistent set at a time."""
    rest = list(pins)
    while rest:
        batch = list({pin.name: pin for pin in reversed(rest)}.values())
        yield batch
        taken = {pin.digest for pin in batch}
        rest = [pin for pin in rest if pin.digest not in taken]


def _index_urls(pins: Sequence[Pin], python: str) -> dict[str, str]:
    """Return digest → address of all files that the configured index has of these versions. uv knows the index."""
    asked = "".join(f"{pin.name}=={pin.version}\n" for pin in pins)
    return {
        item.digest: item.url for found in index_files(asked, python, ("--no-deps",)).values() for item in found.files
    }


def _download_all(title: str, downloads: Sequence[Download], cache: ArtifactCache, reporter: Reporter) -> None:
    total = sum(item.artifact.size for item in downloads) or 1
    done = 0
    lock, stop, local = threading.Lock(), threading.Event(), threading.local()

    def one(download: Download) -> None:
        nonlocal done
        if stop.is_set():
            return
        if not hasattr(local, "session"):
            local.session = _session()
        _download(download, cache, local.session)
        with lock:
            done += download.artifact.size
            reporter.task(title, f"fetching {len(downloads)} files, {total / 1e6:.0f} MB", done / total)

    reporter.task(title, f"fetching {len(downloads)} files, {total / 1e6:.0f} MB", 0.0)
    with ThreadPoolExecutor(_PARALLEL) as pool:
        futures = [pool.submit(one, download) for download in downloads]
        try:
            finished, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in finished:
                future.result()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            reporter.finish(title, "not all could be fetched", good=False)
            raise
    reporter.finish(title, f"fetched {len(downloads)} files, {total / 1e6:.0f} MB")


def _session() -> "requests.Session":
    import requests

    return requests.Session()


def _download(download: Download, cache: ArtifactCache, session: "requests.Session") -> None:
    import requests

    for attempt in range(1, _TRIES + 1):
        try:
            with session.get(download.url, stream=True, timeout=_TIMEOUT) as answer:
                if answer.status_code in {404, 410}:
                    raise _gone(download)
                answer.raise_for_status()
                cache.put(download.artifact, answer.iter_content(_CHUNK))
                return
        except requests.RequestException as error:
            if attempt == _TRIES or _is_unreachable(error):
                raise _unreachable(download, error) from error
            clock.sleep(attempt)


def _is_unreachable(error: Exception) -> bool:
    """Tell a network that is not there (no use in trying again) from a connection that broke."""
    import requests

    return (
        isinstance(error, requests.ConnectionError)
        and re.search(r"resolve|refused|unreachable", str(error)) is not None
    )


def _gone(download: Download) -> MissingArtifactError:
    return MissingArtifactError(
        f"{download.artifact.name} is no longer in the archive",
        details=f"locked: {download.artifact.digest}",
        resolution="Copy the file into the artifact cache from a machine that has it, point the mirror setting at an archive "
        "of snapshots, or `release spec lock --upgrade`.",
    )


def _unreachable(download: Download, error: Exception) -> NoNetworkError:
    return NoNetworkError(
        f"{download.artifact.name} is not in the cache and cannot be fetched",
        details=str(error),
        resolution="Connect the machine, choose a mirror it can reach (`release doctor` shows the settings), or copy a filled "
        "artifact cache here.",
    )
