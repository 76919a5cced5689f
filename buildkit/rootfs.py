# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Writes the tar from which a base's first container starts: the locked packages' files, merged, byte for byte the same.

It only has to be complete enough for `dpkg --install` of the same packages to run inside; the recipe `system.sh` does that
in the builder, so the machine that asks needs neither Debian nor root. Formats: deb(5), ar with members
`control.tar.*` and `data.tar.*`.
"""

import io
import lzma
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from stackway.errors import FailedError
from stackway.files import disk_errors

_MAGIC = b"!<arch>\n"
_HEADER = 60
_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
# What no container needs; dpkg.cfg in the recipe excludes the same.
_EXCLUDED = (
    "usr/share/man/",
    "usr/share/info/",
    "usr/share/locale/",
    "usr/share/lintian/",
    "usr/share/bug/",
    "usr/share/doc/",
)
_CONFIGURATION = """path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/lintian/*
path-exclude=/usr/share/bug/*
path-exclude=/usr/share/bash-completion/*
force-unsafe-io
"""


def write_bootstrap(debs: Iterable[Path], target: Path, *, usr_merge: bool) -> None:
    """Write the tar. Raises FailedError for a file that is no Debian package.

    With `usr_merge` files below /bin, /lib … go below /usr and links take their place, as the distribution's own
    installer does for suites whose packages are not merged yet.
    """
    seen: set[str] = set()
    with disk_errors(f"cannot write {target.name}"), tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as output:
        if usr_merge:
            _add(output, seen, _directory("usr"))
            for name in _MERGED:
                _add(output, seen, _directory(f"usr/{name}"))
                _add(output, seen, _link(name, f"usr/{name}"))
        for path in debs:
            for member, content in _files(path):
                if usr_merge:
                    _merge_usr(member)
                _add(output, seen, member, content)
        for member, content in _scaffolding():
            _add(output, seen, member, content)


def _files(path: Path) -> Iterator[tuple[tarfile.TarInfo, io.BufferedIOBase | None]]:
    with tarfile.open(fileobj=io.BytesIO(_data(path))) as archive:
        for member in archive:
            member.name = member.name.removeprefix("./").rstrip("/")
            if not member.name or member.name == "." or f"{member.name}/".startswith(_EXCLUDED):
                continue
            yield member, archive.extractfile(member) if member.isreg() else None  # type: ignore[misc]


def _data(path: Path) -> bytes:
    """Return the uncompressed `data.tar` of a .deb."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise FailedError(f"{path.name} is not a Debian package", details=str(path))
        while header := file.read(_HEADER):
            name, size = header[:16].decode().strip().rstrip("/"), int(header[48:58])
            if name.startswith("data.tar"):
                return _decompress(name, file.read(size), path)
            file.seek(size + size % 2, io.SEEK_CUR)
    raise FailedError(f"{path.name} has no data", details=str(path))


def _decompress(name: str, content: bytes, path: Path) -> bytes:
    match name.rpartition(".")[2]:
        case "xz":
            return lzma.decompress(content)
        case "zst":
            import zstandard

            with zstandard.ZstdDecompressor().stream_reader(content) as stream:
                return bytes(stream.read())
        case "gz":
            import gzip

            return gzip.decompress(content)
        case "tar":
            return content
        case other:
            raise FailedError(f"{path.name} is compressed in an unknown way: {other}", details=str(path))


def _merge_usr(member: tarfile.TarInfo) -> None:
    if member.name.split("/", 1)[0] in _MERGED:
        member.name = f"usr/{member.name}"
    if member.islnk():
        target = member.linkname.removeprefix("./")
        member.linkname = f"usr/{target}" if target.split("/", 1)[0] in _MERGED else target


def _add(
    output: tarfile.TarFile, seen: set[str], member: tarfile.TarInfo, content: io.BufferedIOBase | None = None
) -> None:
    if member.name in seen:
        return
    seen.add(member.name)
    if member.islnk():
        member.linkname = member.linkname.removeprefix("./")
    member.uname = member.gname = ""
    member.pax_headers = {}
    output.addfile(member, content)


def _directory(name: str, mode: int = 0o755) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, mode
    return member


def _link(name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode = tarfile.SYMTYPE, target, 0o777
    return member


def _scaffolding() -> Iterator[tuple[tarfile.TarInfo, io.BytesIO | None]]:
    """Yield what dpkg needs to find before its first package, and its configuration."""
    for name in ("proc", "sys", "dev", "run", "tmp", "var/lib/dpkg", "var/lib/dpkg/info", "var/lib/dpkg/updates"):
        yield _directory(name, 0o1777 if name == "tmp" else 0o755), None
    for name, text in (
        ("var/lib/dpkg/status", ""),
        ("var/lib/dpkg/available", ""),
        ("etc/dpkg/dpkg.cfg.d/stackway", _CONFIGURATION),
    ):
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(text), 0o644
        yield member, io.BytesIO(text.encode())
