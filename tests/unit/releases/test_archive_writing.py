# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What we export comes in whole on the other side; what would not is not written."""

import errno
import io
import resource
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from buildkit.bodies import DamagedBlobError
from buildkit.store import REF_NAME, Blob
from releases.archive import ArchiveSummary, Limits, read_archive, write_archive
from releases.contents import BASE
from releases.entries import REPOSITORY
from releases.ustar import BrokenArchiveError, read_stream
from stackway.errors import FailedError, WrongInputError
from stackway.files import digest_bytes
from tests.fakes.airgap import (
    BASE_DIGEST,
    BLOBS,
    CONTENTS,
    GROUP,
    IMAGE,
    INDEX,
    LAYERS,
    LISTING,
    MANIFEST,
    SIGNATURE,
    WHOLE,
    Shelf,
    blob_name,
    entry,
    files_of,
    holding,
    index_of,
    manifest,
    read_in,
    tar,
)


def write(folder: Path, index: bytes = LISTING, **more: Any) -> tuple[Path, ArchiveSummary]:
    target = folder / "releases.tar"
    return target, write_archive(target, index, BLOBS, Shelf(CONTENTS).open, **more)


def test_what_is_exported_comes_in_again(tmp_path: Path) -> None:
    target, summary = write(tmp_path)
    shelf = Shelf()
    index = read_in(target.read_bytes(), shelf)
    assert shelf.blobs == CONTENTS
    assert [(item.repository, item.tag, item.blob) for item in index.manifests] == [
        ("keystone", "1", Blob(MANIFEST, digest_bytes(IMAGE), len(IMAGE))),
        ("keystone", "", Blob(MANIFEST, digest_bytes(SIGNATURE), len(SIGNATURE))),
        ("group", "1", Blob(INDEX, digest_bytes(GROUP), len(GROUP))),
    ]
    assert index.manifests[0].annotations == {REPOSITORY: "keystone", REF_NAME: "keystone:1"}
    assert summary == ArchiveSummary(len(CONTENTS) + 2, target.stat().st_size, 0)


def test_equal_content_gives_equal_bytes_in_any_order(tmp_path: Path) -> None:
    target, _ = write(tmp_path)
    first = target.read_bytes()
    write_archive(target, LISTING, [*reversed(BLOBS), BLOBS[0]], Shelf(CONTENTS).open)
    assert target.read_bytes() == first == WHOLE


def test_other_programs_see_an_image_layout(tmp_path: Path) -> None:
    target, _ = write(tmp_path)
    with tarfile.open(target, "r:") as archive:
        names = archive.getnames()
    assert names == ["oci-layout", "index.json", *sorted(map(blob_name, CONTENTS))]
    assert target.stat().st_mode & 0o777 == 0o644


NEW = manifest(*LAYERS, b"new layer")
UPDATE = index_of(entry(NEW, "keystone:2"))


def write_update(folder: Path, base: str, contents: dict[str, bytes]) -> tuple[Path, ArchiveSummary]:
    blobs = [Blob("", digest, len(content)) for digest, content in contents.items()]
    target = folder / "update.tar"
    return target, write_archive(target, UPDATE, blobs, Shelf(contents).open, base=base)


def test_blobs_of_the_base_can_be_left_out(tmp_path: Path) -> None:
    target, summary = write_update(tmp_path, BASE_DIGEST, holding(NEW, b"new layer"))
    shelf = Shelf(dict(CONTENTS))
    index = read_in(target.read_bytes(), shelf)
    assert (index.base, summary.members, summary.left_out) == (BASE_DIGEST, 4, 4)
    assert shelf.taken == sorted(map(digest_bytes, (NEW, b"new layer")))


def test_a_manifest_of_the_base_can_be_left_out_with_all_it_names(tmp_path: Path) -> None:
    there = holding(IMAGE, *LAYERS)
    blobs = [blob for blob in BLOBS if blob.digest not in there]
    summary = write_archive(tmp_path / "a.tar", LISTING, blobs, Shelf(CONTENTS).open, base=BASE_DIGEST)
    shelf = Shelf(dict(there))
    with (tmp_path / "a.tar").open("rb") as source:
        read_archive(source, Limits(), shelf.take, shelf.known, shelf.read)
    assert (shelf.blobs, summary.left_out) == (CONTENTS, 1)


def test_without_the_base_the_refusal_names_it(tmp_path: Path) -> None:
    target, _ = write_update(tmp_path, BASE_DIGEST, holding(NEW, b"new layer"))
    with pytest.raises(WrongInputError) as caught:
        read_in(target.read_bytes())
    assert caught.value.brief == f"the archive was made on top of release {BASE_DIGEST}, which is not here"
    assert "Import that one first" in caught.value.resolution


def test_with_the_base_what_is_missing_is_only_missing(tmp_path: Path) -> None:
    target, _ = write_update(tmp_path, BASE_DIGEST, holding(NEW, b"new layer"))
    with pytest.raises(BrokenArchiveError, match="lacks blobs"):
        read_in(target.read_bytes(), Shelf({BASE_DIGEST: b"base"}))


@pytest.mark.parametrize(("left", "is_whole"), [(b"", True), (b"{}", False)])
def test_a_manifest_that_is_left_out_is_followed_where_it_is_kept(left: bytes, is_whole: bool) -> None:  # noqa: FBT001
    shelf = Shelf({digest: content for digest, content in CONTENTS.items() if content != left or is_whole})
    source = io.BytesIO(tar(files_of(LISTING, {})))
    if is_whole:
        assert len(read_archive(source, Limits(), shelf.take, shelf.known, shelf.read).manifests) == 3
        return
    with pytest.raises(BrokenArchiveError, match="lacks blobs"):
        read_archive(source, Limits(), shelf.take, shelf.known, shelf.read)


def test_a_manifest_that_is_kept_damaged_is_not_followed() -> None:
    shelf = Shelf({**CONTENTS, digest_bytes(IMAGE): b"damaged"})
    with pytest.raises(BrokenArchiveError, match="not what it is called"):
        read_archive(io.BytesIO(tar(files_of(LISTING, {}))), Limits(), shelf.take, shelf.known, shelf.read)


def test_a_base_that_the_index_names_already_stays(tmp_path: Path) -> None:
    index = index_of(entry(IMAGE, "keystone:1"), annotations={BASE: BASE_DIGEST, "other": "x"})
    blobs = [Blob("", digest_bytes(IMAGE), len(IMAGE))]
    target = tmp_path / "a.tar"
    write_archive(target, index, blobs, Shelf(CONTENTS).open, base=BASE_DIGEST)
    assert [b"".join(member.chunks) for member in read_stream(io.BytesIO(target.read_bytes()))][1] == index


@pytest.mark.parametrize("base", ["latest", digest_bytes(b"another"), BASE_DIGEST.upper()])
def test_a_base_that_cannot_be_is_not_written(tmp_path: Path, base: str) -> None:
    index = index_of(entry(IMAGE, "keystone:1"), annotations={BASE: BASE_DIGEST})
    with pytest.raises(WrongInputError, match=r"index\.json cannot be used"):
        write_archive(tmp_path / "a.tar", index, [], Shelf(CONTENTS).open, base=base)
    assert list(tmp_path.iterdir()) == []


def wrong_size(blobs: list[Blob]) -> list[Blob]:
    return [Blob("", blob.digest, blob.size + (blob.size == len(b"first layer"))) for blob in blobs]


@pytest.mark.parametrize(
    ("blobs", "message"),
    [
        (BLOBS[1:], "names blobs that the archive would not have"),
        ([*BLOBS, Blob("", digest_bytes(b"extra"), 5)], "does not name these blobs"),
        (wrong_size(BLOBS), "does not name these blobs, or with another size"),
        ([*BLOBS, Blob("", digest_bytes(b"extra"), (4 << 30) + 1)], "larger than what an import takes"),
        ([Blob("", digest, 4 << 30) for digest in CONTENTS], "a manifest is too large"),
        ([*BLOBS, *(Blob("", f"sha256:{number:064}", 1) for number in range(20_000))], "larger than what an import"),
        ([*BLOBS, *(Blob("", f"sha256:{number:064}", 4 << 30) for number in range(16))], "larger than what an import"),
    ],
)
def test_what_no_import_would_take_is_not_written(tmp_path: Path, blobs: list[Blob], message: str) -> None:
    with pytest.raises(WrongInputError, match=message):
        write_archive(tmp_path / "a.tar", LISTING, blobs, Shelf(CONTENTS).open)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [IMAGE, LAYERS[1]], ids=["manifest", "layer"])
@pytest.mark.parametrize("damage", [lambda content: b"x" + content[1:], lambda content: content[:-1], lambda _: b""])
def test_a_damaged_blob_of_ours_leaves_the_old_archive(
    tmp_path: Path, content: bytes, damage: Callable[[bytes], bytes]
) -> None:
    target = tmp_path / "a.tar"
    target.write_bytes(b"old")
    with pytest.raises(DamagedBlobError):
        write_archive(target, LISTING, BLOBS, Shelf({**CONTENTS, digest_bytes(content): damage(content)}).open)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.tar", b"old")]


def test_a_folder_is_no_archive(tmp_path: Path) -> None:
    with pytest.raises(WrongInputError, match="is to be a file"):
        write_archive(tmp_path, LISTING, BLOBS, Shelf(CONTENTS).open)


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(FailedError, match=r"cannot write releases\.tar: No space left"):
        write(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_of_small_files_is_told_in_words(tmp_path: Path, small_files: int) -> None:
    assert len(WHOLE) > small_files
    with pytest.raises(FailedError, match="File too large") as caught:
        write(tmp_path)
    assert "exFAT" in caught.value.resolution
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    def interrupted(blob: Blob) -> BinaryIO:
        if blob.digest == max(CONTENTS):
            raise KeyboardInterrupt
        return Shelf(CONTENTS).open(blob)

    with pytest.raises(KeyboardInterrupt):
        write_archive(tmp_path / "a.tar", LISTING, BLOBS, interrupted)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_files() -> Iterator[int]:
    """Let no file grow above the size that is returned, as FAT does with another size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    yield 4096
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
