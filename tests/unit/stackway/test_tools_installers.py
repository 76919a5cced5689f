# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A download is taken only when it is the pinned file, byte for byte."""

import hashlib
import tarfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from stackway.console import SilentReporter
from stackway.errors import FailedError, RefusedError, UnavailableError
from stackway.tools.installers import Job, fetch_download
from stackway.tools.pins import DownloadWay

CONTENT = b"#!/bin/sh\n" * 300_000


def job(folder: Path) -> Job:
    (folder / "scratch").mkdir()
    return Job("demo 1.0", folder / "kit", folder / "scratch", SilentReporter())


def way(folder: Path, content: bytes, member: str = "") -> DownloadWay:
    source = folder / "a file"
    source.write_bytes(content)
    checksum = hashlib.sha256(content).hexdigest()
    return DownloadWay(source.as_uri(), checksum, len(content), member, "linux/amd64", "a second")


def archive(*members: tuple[str, bytes, bytes]) -> bytes:
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(content), "/etc/passwd"
            tar.addfile(info, BytesIO(content))
    return packed.getvalue()


def test_the_pinned_file_becomes_the_program(tmp_path: Path) -> None:
    fetch_download(way(tmp_path, CONTENT), job(tmp_path), "bin/demo")
    program = tmp_path / "kit/bin/demo"
    assert program.read_bytes() == CONTENT
    assert program.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (len(CONTENT), "pinned is 0000"),
        (len(CONTENT) + 1, f"only {len(CONTENT)} of {len(CONTENT) + 1} bytes arrived"),
        (10, "more than the 10 bytes that are pinned"),
    ],
)
def test_another_file_is_refused_and_leaves_no_program(tmp_path: Path, size: int, said: str) -> None:
    wrong = replace(way(tmp_path, CONTENT), sha256="0" * 64, size=size)
    with pytest.raises(RefusedError, match="is not the file that is pinned") as caught:
        fetch_download(wrong, job(tmp_path), "bin/demo")
    assert said in caught.value.details
    assert not (tmp_path / "kit").exists()


@pytest.mark.parametrize("difference", [-1, 1])
def test_the_right_bytes_under_a_wrong_size_are_refused(tmp_path: Path, difference: int) -> None:
    wrong = replace(way(tmp_path, CONTENT), size=len(CONTENT) + difference)
    with pytest.raises(RefusedError, match="is not the file that is pinned"):
        fetch_download(wrong, job(tmp_path), "bin/demo")


def test_an_endless_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    endless = replace(way(tmp_path, CONTENT), size=10, sha256="0" * 64)
    with pytest.raises(RefusedError):
        fetch_download(endless, job(tmp_path), "bin/demo")
    assert (tmp_path / "scratch/download").stat().st_size == 11


def test_a_file_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    gone = replace(way(tmp_path, CONTENT), url=(tmp_path / "gone").as_uri())
    with pytest.raises(UnavailableError, match="could not be fetched"):
        fetch_download(gone, job(tmp_path), "bin/demo")


def test_one_member_is_taken_out_of_an_archive(tmp_path: Path) -> None:
    packed = archive(("./bin/demo", tarfile.REGTYPE, CONTENT), ("../evil", tarfile.REGTYPE, b"x"))
    fetch_download(way(tmp_path, packed, "bin/demo"), job(tmp_path), "bin/demo")
    assert (tmp_path / "kit/bin/demo").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "kit").rglob("*") if path.is_file()] == ["demo"]
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE])
def test_a_member_that_is_no_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    packed = archive(("bin/demo", kind, b""))
    with pytest.raises(FailedError, match="there is no file bin/demo"):
        fetch_download(way(tmp_path, packed, "bin/demo"), job(tmp_path), "bin/demo")
