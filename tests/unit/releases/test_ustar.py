# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Streams of plain files: what we write everybody reads, and what others write is read or refused, never believed."""

import gzip
import io
import lzma
import tarfile
import zipfile
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from releases.ustar import BLOCK, SIZE_MAX, BrokenArchiveError, Entry, HostileArchiveError, read_stream, write_stream
from stackway.errors import ExitCode, WrongInputError
from tests.fakes.airgap import Zeros, peak_of, sealed

Files = dict[str, bytes]
FILES = {"oci-layout": b"{}", "empty": b"", "exact": b"b" * BLOCK, "n" * 100: b"long" * 1000}


def pack(files: Files) -> bytes:
    target = io.BytesIO()
    size = write_stream(target, [Entry(name, len(content), [content]) for name, content in files.items()])
    assert size == len(target.getvalue())
    return target.getvalue()


def unpack(archive: bytes) -> Files:
    return {member.name: b"".join(member.chunks) for member in read_stream(io.BytesIO(archive))}


def patched(**changes: tuple[int, bytes]) -> bytes:
    """Return an archive of one file `name` whose header has other bytes at some offsets, and a right checksum."""
    archive = pack({"name": b"content"})
    header = bytearray(archive[:BLOCK])
    for offset, content in changes.values():
        header[offset : offset + len(content)] = content
    return sealed(bytes(header)) + archive[BLOCK:]


def foreign(form: int = tarfile.USTAR_FORMAT, **attributes: Any) -> bytes:
    """Return an archive of one member as Python writes it."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=form) as archive:
        info = tarfile.TarInfo("name")
        info.size = 7
        for name, value in attributes.items():
            setattr(info, name, value)
        archive.addfile(info, io.BytesIO(b"content"))
    return target.getvalue()


def zipped(content: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("a.tar", content)
    return target.getvalue()


class Dripping(io.RawIOBase):
    """A pipe: it gives fewer bytes than it is asked for."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def read(self, size: int = -1, /) -> bytes:
        return self._content.read(min(size, 1 + self._content.tell() % 700))


class FailingMedium(io.RawIOBase):
    def read(self, size: int = -1, /) -> bytes:  # noqa: ARG002 - the signature of files
        raise OSError(5, "Input/output error")


def test_what_is_written_is_read_again() -> None:
    assert unpack(pack(FILES)) == FILES


def test_equal_files_give_equal_bytes() -> None:
    assert pack(FILES) == pack(dict(FILES))


def test_python_reads_what_we_write() -> None:
    with tarfile.open(fileobj=io.BytesIO(pack(FILES))) as archive:
        seen = {member.name: archive.extractfile(member) for member in archive}
        assert {name: file.read() for name, file in seen.items() if file} == FILES
        facts = {(item.mode, item.uid, item.gid, item.mtime, item.uname, item.gname) for item in archive.getmembers()}
    assert facts == {(0o644, 0, 0, 0, "", "")}


def test_python_writes_the_same_header() -> None:
    assert pack({"name": b"content"})[:BLOCK] == foreign(mode=0o644)[:BLOCK]


def test_what_python_writes_is_read_with_its_zeros_behind() -> None:
    archive = foreign(mode=0o6777, uid=1000, uname="somebody", mtime=1_700_000_000)
    assert len(archive) == tarfile.RECORDSIZE
    assert unpack(archive) == {"name": b"content"}


def test_a_pipe_that_gives_little_at_a_time_is_read() -> None:
    members = read_stream(Dripping(pack(FILES)))  # type: ignore[arg-type]  # a pipe is less than a BinaryIO
    assert {member.name: b"".join(member.chunks) for member in members} == FILES


def test_members_that_nobody_reads_are_read_over() -> None:
    seen = [(item.number, item.name, item.size, item.offset) for item in read_stream(io.BytesIO(pack(FILES)))]
    assert seen == [(1, "oci-layout", 2, 0), (2, "empty", 0, 1024), (3, "exact", 512, 1536), (4, "n" * 100, 4000, 2560)]


@given(st.dictionaries(st.text("ab/.-", min_size=1, max_size=100), st.binary(max_size=1500), max_size=5))
def test_any_files_come_back(files: Files) -> None:
    assert unpack(pack(files)) == files


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.CHRTYPE, "a character device"),
        (tarfile.BLKTYPE, "a block device"),
        (tarfile.DIRTYPE, "a directory"),
        (tarfile.FIFOTYPE, "a named pipe"),
        (tarfile.CONTTYPE, "a contiguous file"),
        (tarfile.XHDTYPE, "a pax record"),
        (tarfile.XGLTYPE, "a global pax record"),
        (tarfile.SOLARIS_XHDTYPE, "a pax record of Solaris"),
        (tarfile.GNUTYPE_LONGNAME, "a long name (GNU)"),
        (tarfile.GNUTYPE_LONGLINK, "a long link name (GNU)"),
        (tarfile.GNUTYPE_SPARSE, "a sparse file (GNU)"),
        (b"M", "a continuation from another volume (GNU)"),
        (b"V", "a volume label (GNU)"),
        (b"\xff", r"a member of the unknown kind b'\xff'"),
    ],
)
def test_all_but_regular_files_are_refused_in_words(kind: bytes, message: str) -> None:
    with pytest.raises(HostileArchiveError) as caught:
        unpack(patched(kind=(156, kind)))
    assert caught.value.brief == f"the archive has {message}"
    assert caught.value.details == "member 1 'name' at byte 0"


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (foreign(type=tarfile.SYMTYPE, linkname="/etc/shadow", size=0), "a symbolic link"),
        (foreign(type=tarfile.DIRTYPE, size=0), "a directory"),
        (foreign(tarfile.PAX_FORMAT, name="n" * 300), "a pax record"),
        (foreign(tarfile.PAX_FORMAT, pax_headers={"size": "99999999999"}), "a pax record"),
        (patched(kind=(156, b"L"), size=(124, b"77777777777\0")), "a long name"),
        (patched(kind=(156, b"x"), size=(124, b"77777777777\0")), "a pax record"),
        (foreign(name="d" * 80 + "/" + "n" * 60), "an odd name"),
        (patched(name=(5, b"hidden")), "an odd name"),
        (patched(name=(0, b"n\xc3\xa4m")), "an odd name"),
        (patched(name=(0, bytes(4))), "an odd name"),
        (patched(link=(157, b"/etc/passwd")), "an odd name"),
        (patched(prefix=(345, b"..")), "an odd name"),
        (patched(behind=(511, b"x")), "an odd name"),
        (patched(size=(124, b"\x80" + bytes(10) + b"\x07")), "an odd size"),
        (patched(size=(124, b"\xff" * 12)), "an odd size"),
        (patched(size=(124, b"-0000000007\0")), "an odd size"),
        (patched(size=(124, b"0000000_007\0")), "an odd size"),
        (patched(size=(124, b"00000000009\0")), "an odd size"),
        (patched(size=(124, b"000000000007")), "an odd size"),
        (patched(size=(124, bytes(12))), "an odd size"),
        (pack({"name": b"content"})[: BLOCK + 7] + b"x" + pack({})[:504] + pack({}), "something between"),
        (pack({"name": b""}) + pack({"other": b""}), "goes on after its end"),
        (pack({"name": b""}) + b"\0x", "goes on after its end"),
        (pack({}) + bytes(2 << 20), "goes on after its end"),
    ],
)
def test_what_an_archive_of_ours_never_has_is_refused(archive: bytes, message: str) -> None:
    with pytest.raises(HostileArchiveError) as caught:
        unpack(archive)
    assert message in caught.value.brief
    assert caught.value.exit_code is ExitCode.REFUSED


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (b"", "is empty"),
        (b"ustar", "cut off in a header"),
        (b"some text\n" * 100, "not the plain form"),
        (foreign(tarfile.GNU_FORMAT), "not the plain form"),
        (patched(magic=(257, b"ustar\x0099")), "not the plain form"),
        (patched(magic=(257, bytes(8))), "not the plain form"),
        (b"x" + pack({"name": b"content"})[1:], "checksum is wrong"),
        (pack({"name": b"content"})[:148] + b"        " + pack({"name": b"content"})[156:], "checksum is wrong"),
        (pack({"name": b""})[:BLOCK], "end marker is missing"),
        (pack({"name": b""})[: 2 * BLOCK], "end marker is not whole"),
        (bytes(BLOCK) + pack({"name": b""}), "end marker is not whole"),
        (gzip.compress(pack(FILES)), "packed with gzip"),
        (lzma.compress(pack(FILES)), "packed with xz"),
        (zstandard.compress(pack(FILES)), "packed with zstd"),
        (zipped(pack(FILES)), "packed with zip"),
    ],
)
def test_what_is_no_whole_plain_archive_is_refused(archive: bytes, message: str) -> None:
    with pytest.raises(BrokenArchiveError) as caught:
        unpack(archive)
    assert message in caught.value.brief
    assert caught.value.exit_code is ExitCode.WRONG_INPUT


@pytest.mark.parametrize("name", ["PK", "BZh"])
def test_a_name_that_looks_like_a_packed_file_is_only_a_name(name: str) -> None:
    assert unpack(pack({name: b"x"})) == {name: b"x"}


def test_an_archive_that_is_cut_anywhere_is_refused() -> None:
    whole = pack(FILES)
    for length in {*range(0, len(whole), BLOCK), *range(0, len(whole), 97), len(whole) - 1}:
        with pytest.raises(BrokenArchiveError):
            unpack(whole[:length])


def test_names_in_messages_do_nothing_to_a_terminal() -> None:
    with pytest.raises(HostileArchiveError) as caught:
        unpack(patched(name=(0, b"\x1b[2J\n\x9b"), kind=(156, b"2")))
    assert caught.value.details == r"member 1 '\x1b[2J\n\\x9b' at byte 0"


def test_a_medium_that_fails_is_told_with_the_place() -> None:
    with pytest.raises(BrokenArchiveError, match="cannot be read: Input/output error"):
        list(read_stream(FailingMedium()))  # type: ignore[arg-type]  # a medium is less than a BinaryIO


@pytest.mark.parametrize(
    "entry", [Entry("", 0, ()), Entry("n" * 101, 0, ()), Entry("näm", 0, ()), Entry("n", SIZE_MAX + 1, ())]
)
def test_a_file_that_the_format_cannot_hold_is_not_written(entry: Entry) -> None:
    target = io.BytesIO()
    with pytest.raises(WrongInputError, match="cannot hold"):
        write_stream(target, [entry])
    assert target.getvalue() == b""


@pytest.mark.parametrize("content", [b"", b"12", b"1234"])
def test_a_content_of_another_size_is_not_written_as_if_it_were_right(content: bytes) -> None:
    with pytest.raises(ValueError, match="instead of 3"):
        write_stream(io.BytesIO(), [Entry("name", 3, [content])])


@pytest.mark.parametrize("start", [pack({})[:BLOCK], patched(size=(124, b"07777777777\0"))[:BLOCK]])
def test_zeros_without_end_take_no_memory(start: bytes) -> None:
    source = Zeros(start)
    peak = peak_of(lambda: next(read_stream(source)).size)  # type: ignore[arg-type]  # a pipe is less than a BinaryIO
    assert peak < 4 << 20
    assert source.given < 2 << 20


def test_a_bomb_that_is_announced_is_read_in_pieces() -> None:
    source = Zeros(patched(size=(124, b"%011o\0" % 300_000_000))[:BLOCK])
    member = next(read_stream(source))  # type: ignore[arg-type]  # a pipe is less than a BinaryIO
    assert peak_of(lambda: sum(map(len, member.chunks))) < 4 << 20
    assert source.given == BLOCK + 300_000_000 + -300_000_000 % BLOCK


@given(st.integers(0, len(pack(FILES)) - 1), st.integers(1, 255))
def test_damage_is_refused_or_changes_contents_only(offset: int, change: int) -> None:
    archive = bytearray(pack(FILES))
    archive[offset] ^= change
    assert sizes(unpack_or_refuse(bytes(archive))) in ({}, sizes(FILES))


def unpack_or_refuse(archive: bytes) -> Files:
    """Return the files, none when the archive is refused; any other error is a defect."""
    try:
        return unpack(archive)
    except (BrokenArchiveError, HostileArchiveError):
        return {}


def sizes(files: Files) -> dict[str, int]:
    return {name: len(content) for name, content in files.items()}
