# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Writes and reads plain POSIX `ustar` streams: regular files only, in bounded memory. Knows no names; opens no file.

Format: IEEE Std 1003.1-1988, "ustar Interchange Format". Python's `tarfile` is not used: what it reads ahead of a member
(pax and GNU records) has no bound, and it believes more kinds of members than we ever write.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from stackway.errors import RefusedError, WrongInputError

BLOCK = 512
NAME_MAX = 100
SIZE_MAX = (8 << 30) - 1
_CHUNK = 1 << 18
_ZEROS_MAX = 1 << 20
_MAGIC = b"ustar\x0000"
_NOTHING = bytes(BLOCK)
_NUMBER = re.compile(rb" *([0-7]{1,11})[ \0]+")
_BINARY = {0x80: "a number in base 256", 0xC0: "a negative number in base 256"}
_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"5": "a directory",
    b"6": "a named pipe",
    b"7": "a contiguous file",
    b"x": "a pax record",
    b"g": "a global pax record",
    b"X": "a pax record of Solaris",
    b"A": "an access control list of Solaris",
    b"D": "a directory with a listing (GNU)",
    b"K": "a long link name (GNU)",
    b"L": "a long name (GNU)",
    b"M": "a continuation from another volume (GNU)",
    b"N": "a long name of an old form (GNU)",
    b"S": "a sparse file (GNU)",
    b"V": "a volume label (GNU)",
}
_PACKINGS = {
    b"\x1f\x8b": ("gzip", "gzip -d"),
    b"\x28\xb5\x2f\xfd": ("zstd", "zstd -d"),
    b"\xfd7zXZ\0": ("xz", "xz -d"),
    b"BZh": ("bzip2", "bzip2 -d"),
    b"\x04\x22\x4d\x18": ("lz4", "lz4 -d"),
    b"PK": ("zip", "unzip"),
}


class BrokenArchiveError(WrongInputError):
    """The file is not an archive of ours, or not a whole one."""


class HostileArchiveError(RefusedError):
    """The archive has something that an archive of ours never has."""


@dataclass(frozen=True)
class Member:
    """A file of an archive; `number` counts from 1, `offset` is that of its header, `chunks` can be read once."""

    number: int
    name: str
    size: int
    offset: int
    chunks: Iterator[bytes] = field(repr=False, compare=False)

    @property
    def place(self) -> str:
        """Where it is, for messages; its name cannot do anything to a terminal."""
        return _place(self.number, self.name, self.offset)


@dataclass(frozen=True)
class Entry:
    """A file to write: name, bytes, and its content."""

    name: str
    size: int
    chunks: Iterable[bytes] = field(repr=False)


def write_stream(target: BinaryIO, entries: Iterable[Entry]) -> int:
    """Write an archive with these files in this order; equal entries give equal bytes. Return how many bytes it has.

    Raises WrongInputError for a name or size that the format cannot hold, ValueError for a content of another size.
    """
    total = 0
    for entry in entries:
        target.write(_make_header(entry))
        written = 0
        for chunk in entry.chunks:
            written += len(chunk)
            target.write(chunk)
        if written != entry.size:
            raise ValueError(f"{entry.name} has {written} bytes instead of {entry.size}")
        target.write(bytes(-written % BLOCK))
        total += BLOCK + _padded(written)
    target.write(2 * _NOTHING)
    return total + 2 * BLOCK


def read_stream(source: BinaryIO) -> Iterator[Member]:
    """Yield the files of an archive; what the caller leaves of one's chunks is read over.

    Raises BrokenArchiveError for what is no whole ustar archive, HostileArchiveError for anything but regular files.
    """
    stream, number = _Stream(source), 0
    while True:
        number, offset = number + 1, stream.offset
        header = stream.read(BLOCK)
        _check_start(header, number, offset)
        if header == _NOTHING:
            break
        name, size = _parse(header, number, offset)
        chunks = _content(stream, size, _place(number, name, offset))
        yield Member(number, name, size, offset, chunks)
        for _ in chunks:
            pass
    _check_end(stream)


class _Stream:
    """A stream that counts and gives as much as was asked for, as long as there is any."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.offset = 0

    def read(self, count: int) -> bytes:
        pieces, missing = [], count
        while missing and (piece := self._read(missing)):
            pieces.append(piece)
            missing -= len(piece)
            self.offset += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read(self, count: int) -> bytes:
        try:
            return self._source.read(count)
        except OSError as error:
            raise BrokenArchiveError(
                f"the archive cannot be read: {error.strerror or error}",
                details=f"at byte {self.offset}",
                resolution="Look at the medium; copy the archive again, or export it to another one.",
            ) from error


def _make_header(entry: Entry) -> bytes:
    name = entry.name.encode("ascii", "replace")
    if not entry.name.isascii() or not 1 <= len(name) <= NAME_MAX or not 0 <= entry.size <= SIZE_MAX:
        raise WrongInputError(
            "an archive cannot hold this file",
            details=f"{entry.name!a}: {entry.size} bytes",
            resolution=f"Names have {NAME_MAX} ASCII characters at most, files {SIZE_MAX} bytes.",
        )
    fields = (
        name.ljust(NAME_MAX, b"\0"),
        b"0000644\x000000000\x000000000\0",
        b"%011o\0%011o\0" % (entry.size, 0),
        b" " * 8,
        b"0" + bytes(100) + _MAGIC,
    )
    header = b"".join(fields).ljust(BLOCK, b"\0")
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]


def _check_start(header: bytes, number: int, offset: int) -> None:
    where = f"member {number} at byte {offset}"
    if number == 1 and header[257:265] != _MAGIC:
        for magic, (name, command) in _PACKINGS.items():
            if header.startswith(magic):
                raise broken(f"the archive is packed with {name}", where, f"Unpack it first: `{command}`.")
        if not header:
            raise broken("the archive is empty", where, _EXPORT)
    if not header:
        raise broken("the archive is cut off: its end marker is missing", where)
    if len(header) < BLOCK:
        raise broken("the archive is cut off in a header", f"{where}: {len(header)} of {BLOCK} bytes")


def _parse(header: bytes, number: int, offset: int) -> tuple[str, int]:
    """Return name and size of a regular file."""
    raw = header[:NAME_MAX].partition(b"\0")
    where = _place(number, raw[0].decode("ascii", "backslashreplace"), offset)
    total = _octal(header[148:156])
    if header[257:265] != _MAGIC:
        raise broken("the archive has not the plain form `ustar`", where, _REPACK)
    if total != sum(header) - sum(header[148:156]) + 8 * 0x20:
        raise broken("a header of the archive is damaged: its checksum is wrong", where)
    _check_kind(header[156:157], where)
    # Two readers must not see two names: nothing after the first zero byte, no link's target, no prefix.
    if not raw[0] or not raw[0].isascii() or any(raw[2]) or any(header[157:257]) or any(header[345:]):
        raise hostile("the archive has a member with an odd name", where)
    return raw[0].decode("ascii"), _size(header[124:136], where)


def _check_kind(kind: bytes, where: str) -> None:
    if kind not in {b"0", b"\0"}:
        what = _KINDS.get(kind, f"a member of the unknown kind {kind!a}")
        raise hostile(f"the archive has {what}", where)


def _size(raw: bytes, where: str) -> int:
    size = _octal(raw)
    if size is not None:
        return size
    form = _BINARY.get(raw[0] & 0xC0, f"{raw!a}, no octal number")
    raise hostile("the archive has a member with an odd size", f"{where}: {form}")


def _octal(raw: bytes) -> int | None:
    found = _NUMBER.fullmatch(raw)
    return int(found[1], 8) if found else None


def _content(stream: _Stream, size: int, where: str) -> Iterator[bytes]:
    left = size
    while left:
        chunk = stream.read(min(left, _CHUNK))
        if not chunk:
            raise broken("the archive is cut off in a member", f"{where}: {size - left} of {size} bytes")
        left -= len(chunk)
        yield chunk
    padding = stream.read(-size % BLOCK)
    if len(padding) != -size % BLOCK:
        raise broken("the archive is cut off after a member", where)
    if any(padding):
        raise hostile("the archive has something between two members", where)


def _check_end(stream: _Stream) -> None:
    offset = stream.offset
    if stream.read(BLOCK) != _NOTHING:
        raise broken("the archive's end marker is not whole", f"at byte {offset}")
    while chunk := stream.read(_CHUNK):
        if any(chunk) or stream.offset - offset > _ZEROS_MAX:
            raise hostile("the archive goes on after its end marker", f"at byte {offset + BLOCK}")


def _padded(size: int) -> int:
    return size + -size % BLOCK


def _place(number: int, name: str, offset: int) -> str:
    return f"member {number} {name!a} at byte {offset}"


_COPY = "Copy the archive again and compare its checksum with the original's; if they agree, export it again."
_EXPORT = "Give an archive that `release export` has written."
_REPACK = f"{_EXPORT} One that was packed again needs `tar --format=ustar`, and files only."
_DISTRUST = (
    "Nothing of it can be used, for `release export` writes no such thing. If somebody packed it again, that needs "
    "`tar --format=ustar`, and files only; if nobody did, ask where it comes from."
)


def broken(brief: str, details: str, resolution: str = _COPY) -> BrokenArchiveError:
    """Return the error for an archive that is not whole or not as we write it, most likely by accident."""
    return BrokenArchiveError(brief, details=details, resolution=resolution)


def hostile(brief: str, details: str) -> HostileArchiveError:
    """Return the error for an archive with something in it that only somebody else can have put there."""
    return HostileArchiveError(brief, details=details, resolution=_DISTRUST)
