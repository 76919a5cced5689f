# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""An archive is read as if an enemy had written it: all of it is right, or none of it counts."""

import errno
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable, Iterator

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from releases.archive import Limits, read_archive
from releases.contents import LAYOUT
from releases.ustar import BLOCK, BrokenArchiveError, HostileArchiveError
from stackway.errors import ExitCode
from stackway.files import digest_bytes
from tests.fakes.airgap import (
    CONTENTS,
    GROUP,
    IMAGE,
    LISTING,
    WHOLE,
    Files,
    Shelf,
    Zeros,
    blob_name,
    entry,
    files_of,
    holding,
    index_of,
    manifest,
    peak_of,
    read_in,
    refusal,
    resized,
    sealed,
    taken_or_refused,
    tar,
)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])
def test_an_archive_that_was_packed_again_comes_in_when_it_is_plain(form: int) -> None:
    target, shelf = io.BytesIO(), Shelf()
    with tarfile.open(fileobj=target, mode="w", format=form) as archive:
        for name, content in files_of():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.uname, info.mtime = len(content), 0o6755, "somebody", 1_700_000_000
            archive.addfile(info, io.BytesIO(content))
    read_in(target.getvalue(), shelf)
    assert shelf.blobs == CONTENTS


def test_a_blob_is_taken_before_the_next_is_read() -> None:
    source, places = io.BytesIO(WHOLE), []
    shelf = Shelf()

    def take(digest: str, size: int, chunks: Iterator[bytes]) -> None:
        shelf.take(digest, size, chunks)
        places.append(source.tell())

    read_archive(source, Limits(), take, shelf.known)
    assert places == sorted(set(places))


def test_the_last_piece_of_a_wrong_blob_is_kept_back() -> None:
    large = b"x" * 700_000
    files = files_of(index_of(entry(manifest(large), "a:1")), holding(large, manifest(large), b"{}"))
    wrong = tar([(name, content[:-1] + b"y" if content == large else content) for name, content in files])
    got: dict[str, int] = {}

    def take(digest: str, _: int, chunks: Iterator[bytes]) -> None:
        for chunk in chunks:
            got[digest] = got.get(digest, 0) + len(chunk)

    with pytest.raises(BrokenArchiveError, match="not what its name says"):
        read_archive(io.BytesIO(wrong), Limits(manifest_bytes=1000), take, lambda _: False)
    assert 0 < got[digest_bytes(large)] < len(large)


LARGE = b"large" * 100_000
LARGE_FILES = files_of(index_of(entry(manifest(LARGE), "a:1")), holding(LARGE, manifest(LARGE), b"{}"))


def test_a_known_blob_is_read_over_but_checked() -> None:
    shelf, archive = Shelf(holding(LARGE, manifest(LARGE), b"{}")), tar(LARGE_FILES)
    limits = Limits(manifest_bytes=1000)
    read_in(archive, shelf, limits)
    assert shelf.taken == []
    with pytest.raises(BrokenArchiveError, match="not what its name says"):
        read_in(archive.replace(b"large", b"LARGE"), shelf, limits)


def test_who_takes_nothing_of_a_blob_still_has_it_checked() -> None:
    archive, limits = tar(LARGE_FILES), Limits(manifest_bytes=1000)
    index = read_archive(io.BytesIO(archive), limits, lambda *_: None, lambda _: False)
    assert [item.tag for item in index.manifests] == ["1"]
    with pytest.raises(BrokenArchiveError, match="not what its name says"):
        read_archive(io.BytesIO(archive.replace(b"large", b"LARGE")), limits, lambda *_: None, lambda _: False)


def test_what_stops_the_taker_stops_the_import() -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    with pytest.raises(OSError, match="no space"):
        read_archive(io.BytesIO(WHOLE), Limits(), full, lambda _: False)


@given(st.integers(0, len(WHOLE) - 1))
def test_an_import_that_was_cut_off_goes_on_where_it_was(cut: int) -> None:
    shelf = Shelf()
    with pytest.raises(BrokenArchiveError):
        read_in(WHOLE[:cut], shelf)
    before = set(shelf.taken)
    read_in(WHOLE, shelf)
    assert shelf.blobs == CONTENTS
    assert len(shelf.taken) == len(CONTENTS) == len(before | set(shelf.taken))


def test_an_archive_that_is_cut_at_any_block_is_refused() -> None:
    for length in range(0, len(WHOLE), BLOCK):
        assert refusal(WHOLE[:length]).exit_code is ExitCode.WRONG_INPUT


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/etc/passwd",
        "./oci-layout",
        "oci-layout.",
        "OCI-LAYOUT",
        "index.json ",
        "C:index.json",
        "CON",
        "stackway.lock",
        ".",
        "\x1b[2Jx",
        "blobs\\sha256\\" + "a" * 64,
        "blobs/sha256:" + "a" * 64,
        "blobs/sha256/" + "A" * 64,
        "blobs/sha256/" + "a" * 63,
        "blobs/sha256/" + "a" * 65,
        "blobs/sha256/" + "a" * 64 + ".",
        "blobs/sha256/" + "a" * 64 + "\n",
        "blobs/sha256/" + "a" * 64 + "/x",
        "blobs/sha256/../" + "a" * 64,
        "blobs//sha256/" + "a" * 64,
        "blobs/sha512/" + "a" * 64,
        "blobs/sha256/",
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2, -1])
def test_a_name_that_is_not_ours_is_refused_wherever_it_is(name: str, place: int) -> None:
    files = files_of()
    files.insert(place, (name, b"x"))
    error = refusal(tar(files))
    assert (error.brief, error.exit_code) == ("the archive has a file whose name is none of ours", ExitCode.REFUSED)
    assert f"{name!a} at byte " in error.details


def moved(source: int, target: int) -> Files:
    files = files_of()
    files.insert(target, files.pop(source))
    return files


def without(place: int) -> Files:
    return [item for number, item in enumerate(files_of()) if number != place]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "has no oci-layout"),
        (files_of()[:1], "has no index.json"),
        (without(0), "has no oci-layout at its place"),
        (without(1), "has no index.json at its place"),
        (moved(1, 0), "has no oci-layout at its place"),
        (moved(1, 5), "has no index.json at its place"),
        (moved(0, 1), "has no oci-layout at its place"),
        ([*files_of(), files_of()[0]], "a file twice"),
        ([*files_of(), files_of()[1]], "a file twice"),
        ([*files_of(), files_of()[2]], "a file twice"),
        ([*files_of(), (files_of()[2][0], b"other")], "a file twice"),
        ([*files_of(), (blob_name(digest_bytes(b"extra")), b"extra")], "extra files"),
        ([*files_of(), (blob_name(digest_bytes(b"extra")), b"other")], "not what its name says"),
        ([("oci-layout", b"{}"), *files_of()[1:]], "oci-layout cannot be used"),
        ([("oci-layout", b'{"imageLayoutVersion":"2.0.0"}'), *files_of()[1:]], "oci-layout cannot be used"),
        ([("oci-layout", b"\xff"), *files_of()[1:]], "oci-layout cannot be used"),
        ([("oci-layout", LAYOUT + b" " * 2000), *files_of()[1:]], "a file that is too large"),
        *((without(place), "lacks blobs") for place in range(2, len(files_of())) if files_of()[place][1] != GROUP),
    ],
)
def test_files_that_do_not_make_an_archive_are_refused(files: Files, message: str) -> None:
    assert message in refusal(tar(files)).brief


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(members=5), "too many files"),
        (Limits(total_bytes=1000), "too large"),
        (Limits(blob_bytes=100), "a file that is too large"),
        (Limits(index_bytes=100), "a file that is too large"),
        (Limits(links=5), "name too many blobs"),
        (Limits(manifest_bytes=100), "not what it is called"),
    ],
)
def test_more_than_the_limits_is_refused(limits: Limits, message: str) -> None:
    assert message in refusal(WHOLE, limits).brief


def test_exactly_the_limits_are_enough() -> None:
    sizes = [len(content) for _, content in files_of()]
    limits = Limits(len(sizes), max(len(IMAGE), len(GROUP)), len(LISTING), max(sizes[2:]), sum(sizes), 10)
    assert len(read_in(WHOLE, limits=limits).manifests) == 3


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_bomb_is_refused_by_what_it_announces(place: int) -> None:
    files = files_of()
    announced = tar([*files[:place], (files[place][0], b"")])[: -2 * BLOCK]
    source = Zeros(announced[:-BLOCK] + resized(announced[-BLOCK:], 1_000_000_000))
    with pytest.raises(HostileArchiveError, match="a file that is too large"):
        read_archive(source, Limits(blob_bytes=999_999_999), Shelf().take, Shelf().known)  # type: ignore[arg-type]
    assert source.given < 1 << 20


def test_zeros_within_the_limits_take_time_but_no_memory() -> None:
    header = resized(tar([files_of()[2]])[:BLOCK], 200_000_000)
    source = Zeros(tar(files_of()[:2])[: -2 * BLOCK] + header)
    peak = peak_of(
        lambda: read_archive(source, Limits(), lambda *_: None, lambda _: False)  # type: ignore[arg-type]
    )
    assert source.given > 200_000_000
    assert peak < 8 << 20


@pytest.mark.parametrize(
    ("pack", "program"),
    [(gzip.compress, "gzip"), (lzma.compress, "xz"), (zstandard.compress, "zstd"), (lambda _: b"PK\3\4", "zip")],
)
def test_a_packed_archive_is_refused_with_the_way_to_unpack_it(pack: Callable[[bytes], bytes], program: str) -> None:
    error = refusal(pack(WHOLE))
    assert error.brief == f"the archive is packed with {program}"
    assert error.resolution.startswith("Unpack it first: `")


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"4", b"5", b"6", b"x", b"g", b"L", b"K", b"S"])
@pytest.mark.parametrize("place", [0, 1, 2, -1])
def test_anything_but_a_file_is_refused_even_under_a_good_name(kind: bytes, place: int) -> None:
    files = files_of()
    parts = [tar([item])[: -2 * BLOCK] for item in files]
    header = bytearray(parts[place][:BLOCK])
    header[156:157] = kind
    parts[place] = sealed(bytes(header)) + parts[place][BLOCK:]
    assert "the archive has a" in refusal(b"".join(parts) + bytes(2 * BLOCK)).brief


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_damage_is_refused_or_changes_nothing(offset: int, change: int) -> None:
    archive = bytearray(WHOLE)
    archive[offset] ^= change
    assert taken_or_refused(bytes(archive)) in (CONTENTS, None)


@given(st.lists(st.sampled_from([*files_of(), ("../x", b""), (blob_name(digest_bytes(b"y")), b"y")]), max_size=16))
def test_any_list_of_files_is_whole_or_refused(files: Files) -> None:
    assert taken_or_refused(tar(files)) in (CONTENTS, None)


@given(st.permutations(files_of()[2:]))
def test_blobs_may_come_in_any_order(blobs: Files) -> None:
    assert taken_or_refused(tar([*files_of()[:2], *blobs])) == CONTENTS
