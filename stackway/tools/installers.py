# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""One installer for each way that fetches something. It fills an empty folder or fails; it knows nothing of the cache."""

import hashlib
import os
import shutil
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from stackway import process
from stackway.console import Reporter
from stackway.errors import FailedError, RefusedError, UnavailableError
from stackway.tools import trouble
from stackway.tools.pins import DebianWay, DownloadWay, GoModule, WheelWay
from stackway.tools.survey import machine_platform

_CHUNK = 1 << 20
_CONNECT_SECONDS = 30.0


@dataclass(frozen=True)
class Job:
    """One installation: what it is called in messages, the folder to fill, a scratch folder, and who is told."""

    label: str
    target: Path
    scratch: Path
    reporter: Reporter


def fetch_wheel(way: WheelWay, job: Job, uv: Path) -> None:
    """Unpack one wheel with this checksum into the job's folder. Raises the errors of `trouble.explain`."""
    requirements = job.scratch / "requirements.txt"
    requirements.write_text(f"{way.distribution}=={way.version} --hash=sha256:{way.sha256}\n", encoding="utf-8")
    # Copies, not links: a changed program here must not change the one in uv's own cache, from which it is mended.
    flags = ("--no-deps", "--require-hashes", "--no-build", "--link-mode", "copy", "--no-progress")
    where = ("--python", sys.executable, "--target", str(job.target), "--requirements", str(requirements))
    job.reporter.task(job.label, f"fetching the wheel {way.distribution} {way.version}")
    _client_run(
        trouble.UV, job.label, process.Command((str(uv), "pip", "install", *flags, *where), directory=job.scratch)
    )


def compile_module(module: GoModule, packages: tuple[str, ...], job: Job, go: Path) -> None:
    """Compile `packages` of one of our Go modules into `bin`. Raises the errors of `trouble.explain`."""
    source = job.scratch / "source"
    source.mkdir()
    for path in module.files:
        shutil.copyfile(path, source / path.name)
    (job.target / "bin").mkdir(parents=True)
    system, machine = machine_platform().split("/")
    environment = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOOS": system, "GOARCH": machine}
    progress = _Compilation(job)
    listing = process.Command((str(go), "list", "-mod=readonly", "-deps", *packages), environment, source)
    progress.total = len(_client_run(trouble.GO, job.label, listing, progress.hear).stdout.splitlines())
    variables = [f"-X {name}={value}" for name, value in sorted(module.variables.items())]
    flags = ("-mod=readonly", "-trimpath", "-v", "-ldflags", " ".join(["-s", "-w", *variables]))
    out = f"{job.target / 'bin'}{os.sep}"
    command = process.Command((str(go), "build", *flags, "-o", out, *packages), environment, source)
    _client_run(trouble.GO, job.label, command, progress.hear)


def install_package(way: DebianWay, label: str, reporter: Reporter, *, known: bool) -> None:
    """Install a Debian package by apt-get as root; apt's list is renewed when it does not know the package or is stale.

    Raises the errors of `trouble.explain`.
    """
    heard = ""
    for renew in (False, True) if known else (True,):
        if renew:
            reporter.task(label, "asking the Debian archive for its list of packages")
            # It ends well even when nothing could be fetched; the installation then fails, and this says why.
            heard = _printed(_apt_get("update"))
        reporter.task(label, f"installing the Debian package {way.package}")
        completed = _apt_get("install", "--yes", "--no-install-recommends", way.package)
        if completed.code == 0:
            return
    raise trouble.explain(trouble.APT, label, heard + _printed(completed), str(completed.command))


def fetch_download(way: DownloadWay, job: Job, program: str) -> None:
    """Fetch one file, check it, and put it (or the member it holds) at `program`.

    Raises UnavailableError when it cannot be fetched, RefusedError when it is not the pinned file.
    """
    fetched = job.scratch / "download"
    _check_download(way, _save(way, job, fetched), fetched.stat().st_size)
    place = job.target / program
    place.parent.mkdir(parents=True)
    if way.member:
        _extract_member(fetched, way, place)
    else:
        fetched.replace(place)
    place.chmod(0o755)


def _client_run(
    client: trouble.Client, label: str, command: process.Command, hear: process.LineSink | None = None
) -> process.Completed:
    completed = process.run(command, check=False, on_stderr=hear)
    if completed.code != 0:
        raise trouble.explain(client, label, _printed(completed), str(command))
    return completed


def _apt_get(*arguments: str) -> process.Completed:
    # RUNLEVEL=1 keeps the package's scripts from starting its services.
    environment = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1", "LC_ALL": "C"}
    options = ("-q", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0")
    return process.run(process.Command(("apt-get", *options, *arguments), environment), check=False)


def _printed(completed: process.Completed) -> str:
    return f"{completed.stdout}{completed.stderr}"


class _Compilation:
    """Turns the lines of the Go command into progress: one line a download, one line a compiled package."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._built = 0
        self.total = 0

    def hear(self, line: str) -> None:
        """Take one line of standard error."""
        if line.startswith("go: "):
            self._job.reporter.task(self._job.label, "fetching Go modules")
        elif self.total:
            self._built += 1
            share = min(self._built / self.total, 1.0)
            self._job.reporter.task(self._job.label, f"compiling, {int(share * 10) * 10} %", share)


def _save(way: DownloadWay, job: Job, target: Path) -> str:
    """Write what the address gives to `target`, never more than one byte too many, and return its checksum."""
    checksum = hashlib.sha256()
    written = 0
    with target.open("wb") as file:
        for chunk in _chunks(way.url):
            kept = chunk[: way.size + 1 - written]
            file.write(kept)
            checksum.update(kept)
            written += len(kept)
            job.reporter.task(job.label, "fetching", min(written / way.size, 1.0))
            if written > way.size:
                break
    return checksum.hexdigest()


def _chunks(url: str) -> Iterator[bytes]:
    parts = urlsplit(url)
    if parts.scheme == "file":
        try:
            with Path(unquote(parts.path)).open("rb") as file:
                while chunk := file.read(_CHUNK):
                    yield chunk
        except FileNotFoundError as error:
            raise _unreachable(url, error) from error
        return
    import requests

    # The pinned bytes are those of the file, not of what a server makes of a packed one.
    as_it_is = {"Accept-Encoding": "identity"}
    try:
        with requests.get(url, stream=True, timeout=_CONNECT_SECONDS, headers=as_it_is) as answer:
            answer.raise_for_status()
            yield from answer.iter_content(_CHUNK)
    except requests.RequestException as error:
        raise _unreachable(url, error) from error


def _unreachable(url: str, error: Exception) -> UnavailableError:
    return UnavailableError(
        f"{url} could not be fetched",
        details=str(error),
        resolution="Check the network (a proxy is taken from HTTPS_PROXY), then run the same command again.",
    )


def _check_download(way: DownloadWay, checksum: str, size: int) -> None:
    if checksum == way.sha256 and size == way.size:
        return
    if size < way.size:
        found, todo = f"only {size} of {way.size} bytes arrived", "Run the same command again."
    elif size > way.size:
        found, todo = f"more than the {way.size} bytes that are pinned", "Ask who runs that server."
    else:
        found, todo = f"sha256 {checksum}, pinned is {way.sha256}", "Ask who runs that server; do not use the file."
    raise RefusedError(f"{way.url} is not the file that is pinned", details=found, resolution=todo)


def _extract_member(archive: Path, way: DownloadWay, target: Path) -> None:
    """Copy one regular file out of a checked archive; nothing else of it is unpacked."""
    with tarfile.open(archive) as tar:
        member = next((item for item in tar if item.name.removeprefix("./") == way.member and item.isreg()), None)
        content = tar.extractfile(member) if member else None
        if content is None:
            raise FailedError(
                f"there is no file {way.member} in {way.url}",
                resolution="Correct the `member` of that download in tools.toml.",
            )
        with content, target.open("wb") as file:
            shutil.copyfileobj(content, file, _CHUNK)
