# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Files on disks that are really full, really read-only, and really another one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from stackway.errors import FailedError
from stackway.files import place, write_atomic
from stackway.process import Command, run

pytestmark = pytest.mark.engine


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    run(Command(("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk))))
    try:
        yield disk
    finally:
        run(Command(("umount", str(disk))))


def test_a_file_that_does_not_fit_leaves_the_old_one_and_nothing_else(small_disk: Path) -> None:
    path = small_disk / "file"
    write_atomic(path, b"old")
    with pytest.raises(FailedError, match=r"^cannot write file: No space left on device$") as caught:
        write_atomic(path, b"x" * 100_000)
    assert caught.value.details == str(path)
    assert path.read_bytes() == b"old"
    assert list(small_disk.iterdir()) == [path]


def test_a_read_only_disk_is_told_as_such(small_disk: Path) -> None:
    run(Command(("mount", "-o", "remount,ro", str(small_disk))))
    with pytest.raises(FailedError, match=r"^cannot write file: Read-only file system$"):
        write_atomic(small_disk / "file", b"content")


def test_a_file_of_another_disk_is_copied(small_disk: Path, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"content")
    place(tmp_path / "source", small_disk / "folder/target")
    assert (small_disk / "folder/target").read_bytes() == b"content"


def test_a_copy_that_does_not_fit_leaves_nothing(small_disk: Path, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x" * 100_000)
    with pytest.raises(FailedError, match=r"^cannot write target: No space left on device$"):
        place(tmp_path / "source", small_disk / "target")
    assert list(small_disk.iterdir()) == []
