# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Small Debian packages: an ar archive with a version, a control tar, and a data tar in any of the usual compressions."""

import gzip
import io
import lzma
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import zstandard

COMPRESSIONS: Mapping[str, Callable[[bytes], bytes]] = {
    ".xz": lzma.compress,
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
    "": bytes,
    ".lz9": bytes,
}
TIME = 1_600_000_000


def write_deb(path: Path, files: Mapping[str, bytes | str | None], compression: str = ".xz") -> Path:
    """Write a package of files (bytes), directories (None), symbolic links (text) and hard links (text with `=` first)."""
    data = COMPRESSIONS[compression](data_tar(files))
    members = {"debian-binary": b"2.0\n", "control.tar.gz": b"odd", f"data.tar{compression}": data}
    path.write_bytes(b"!<arch>\n" + b"".join(ar_member(name, content) for name, content in members.items()))
    return path


def ar_member(name: str, content: bytes) -> bytes:
    header = f"{name:<16}{TIME:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n"
    return header.encode() + content + b"\n" * (len(content) % 2)


def data_tar(files: Mapping[str, bytes | str | None]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.mtime, member.uname, member.gname = TIME, "root", "root"
            member.mode = 0o755 if content is None else 0o644
            if content is None:
                member.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                member.type = tarfile.LNKTYPE if content.startswith("=") else tarfile.SYMTYPE
                member.linkname = content.removeprefix("=")
            else:
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    return stream.getvalue()
