# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Files are whole or not there. tests/integration/test_files.py does the same on disks that are full or read-only."""

import errno
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackway.errors import FailedError, WrongInputError
from stackway.files import (
    canonical_json,
    digest_bytes,
    digest_file,
    digest_json,
    disk_errors,
    place,
    read_json,
    scratch_directory,
    write_atomic,
    write_json,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755])
def test_a_file_is_written_with_its_folders_and_mode(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a/b/file"
    write_atomic(path, b"one", mode=mode)
    write_atomic(path, b"two", mode=mode)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == mode
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_atomic(tmp_path / "file", b"old")
    not_bytes: Any = "text"
    with pytest.raises(TypeError):
        write_atomic(tmp_path / "file", not_bytes)
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomic(tmp_path / "folder", b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_reader_sees_one_whole_content_or_the_other(tmp_path: Path) -> None:
    contents = [b"a" * 100_000, b"b" * 100_000]
    path = tmp_path / "file"

    def write() -> None:
        for number in range(30):
            write_atomic(path, contents[number % 2])

    write()
    writer = threading.Thread(target=write)
    writer.start()
    seen = {path.read_bytes()}
    while writer.is_alive():
        seen.add(path.read_bytes())
    writer.join()
    assert seen <= set(contents)


def test_a_full_disk_is_an_error_that_says_what_and_where() -> None:
    full = Path("/dev/full")
    told = r"^cannot write x: No space left on device$"
    with pytest.raises(FailedError, match=told) as caught, disk_errors("cannot write x", full):
        full.write_bytes(b"content")
    assert caught.value.details == "/dev/full"
    assert "release store gc" in caught.value.resolution


@pytest.mark.parametrize(
    ("number", "is_told"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EROFS, True), (errno.EIO, False)]
)
def test_only_what_a_person_can_mend_is_told_as_a_full_disk(number: int, is_told: bool) -> None:  # noqa: FBT001
    with pytest.raises(FailedError if is_told else OSError), disk_errors("cannot write x"):
        raise OSError(number, os.strerror(number), "x")


@given(JSON)
def test_canonical_json_is_json_without_choice(value: Any) -> None:
    content = canonical_json(value)
    assert json.loads(content) == value
    assert canonical_json(json.loads(content)) == content


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=5))
def test_the_order_of_keys_does_not_change_a_digest(value: dict[str, Any]) -> None:
    assert digest_json(dict(reversed(value.items()))) == digest_json(value)


@given(value=JSON, other=JSON)
def test_other_values_have_other_digests(value: Any, other: Any) -> None:
    assert (digest_json(value) == digest_json(other)) == (canonical_json(value) == canonical_json(other))


@pytest.mark.parametrize("size", [0, 1, (1 << 20) + 1])
def test_a_file_has_the_digest_of_its_bytes(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(b"x" * size)
    assert digest_file(tmp_path / "file") == digest_bytes(b"x" * size)


def test_the_digest_is_sha256_in_hex() -> None:
    assert digest_bytes(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_json_is_read_back_and_sorted_for_people(tmp_path: Path) -> None:
    write_json(tmp_path / "f.json", {"b": "ü", "a": 1})
    assert (tmp_path / "f.json").read_text() == '{\n "a": 1,\n "b": "ü"\n}\n'
    assert read_json(tmp_path / "f.json") == {"a": 1, "b": "ü"}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"{'a': 1}"])
def test_what_is_no_json_is_told_with_its_path(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "f.json"
    path.write_bytes(content)
    with pytest.raises(WrongInputError, match=r"^f\.json is not JSON$") as caught:
        read_json(path)
    assert caught.value.details.startswith(f"{path}: ")


def test_a_file_is_placed_as_a_link_and_an_existing_one_stays(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "a/target"
    source.write_bytes(b"content")
    place(source, target)
    assert target.samefile(source)
    other = tmp_path / "other"
    other.write_bytes(b"other")
    place(other, target)
    assert target.read_bytes() == b"content"


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EACCES])
def test_where_no_link_can_be_made_a_whole_copy_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse_links(monkeypatch, number)
    (tmp_path / "source").write_bytes(b"content")
    place(tmp_path / "source", tmp_path / "to/target")
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["target"]
    assert (tmp_path / "to/target").read_bytes() == b"content"


def test_another_trouble_with_a_link_is_no_reason_to_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_links(monkeypatch, errno.EIO)
    (tmp_path / "source").write_bytes(b"content")
    with pytest.raises(OSError, match="Input/output error"):
        place(tmp_path / "source", tmp_path / "target")
    assert not (tmp_path / "target").exists()


def refuse_links(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def link(source: Path, target: Path) -> None:  # noqa: ARG001 - the signature of os.link
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", link)


@pytest.mark.parametrize("below", ["below", "."])
def test_a_scratch_directory_is_gone_afterwards_whatever_happens(tmp_path: Path, below: str) -> None:
    def work() -> None:
        with scratch_directory(tmp_path / below, ".x.") as scratch:
            write_atomic(scratch / "deep/file", b"content")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert list((tmp_path / below).iterdir()) == []
