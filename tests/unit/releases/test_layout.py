# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A folder with releases believes no byte that lies in it, changes all at once or not at all, and frees what nobody needs."""

import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit.bodies import DamagedBlobError
from buildkit.complaints import NotThereError, WrongContentError
from buildkit.registry import Manifest
from buildkit.store import Blob
from releases import repository as places
from releases.entries import ENTRIES_MAX, REPOSITORY, Entry, Index, parse_index
from releases.layout import LayoutStore
from releases.repository import opener
from stackway.errors import StackwayError, UnavailableError, WrongInputError
from tests.fakes.repositories import (
    CONFIG,
    INDEX,
    LAYER,
    MANIFEST,
    SIGNATURE,
    blob_of,
    descriptor,
    filled,
    manifest_of,
)

MADE = manifest_of(layers=(LAYER,))
REF = "org.opencontainers.image.ref.name"


@pytest.fixture
def store(tmp_path: Path) -> LayoutStore:
    """A folder with one image, `keystone:1`."""
    found = LayoutStore(tmp_path / "releases")
    filled(found.repository("keystone"), {"1": MADE})
    return found


def again(store: LayoutStore) -> LayoutStore:
    """The same folder, as another program sees it."""
    return LayoutStore(store.folder)


def index_of(store: LayoutStore) -> dict[str, Any]:
    return dict(json.loads((store.folder / "index.json").read_bytes()))


def write_index(store: LayoutStore, *entries: Mapping[str, Any]) -> None:
    content = {"schemaVersion": 2, "manifests": entries}
    (store.folder / "index.json").write_text(json.dumps(content))


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# The files


def test_the_folder_is_an_image_layout_whose_entries_say_where_they_belong(store: LayoutStore) -> None:
    store.repository("keystone").put_manifest(manifest_of(MADE))
    assert (store.folder / "oci-layout").read_bytes() == b'{"imageLayoutVersion":"1.0.0"}'
    tagged, loose = sorted(index_of(store)["manifests"], key=lambda entry: -len(entry["annotations"]))
    assert tagged == {
        "mediaType": MANIFEST,
        "artifactType": SIGNATURE,
        "digest": MADE.digest,
        "size": len(MADE.content),
        "annotations": {REF: "keystone:1", REPOSITORY: "keystone"},
    }
    assert loose["annotations"] == {REPOSITORY: "keystone"}


def test_nothing_is_written_to_where_nobody_writes(tmp_path: Path) -> None:
    store = LayoutStore(tmp_path / "none")
    assert store.repository("keystone").tags() == []
    assert store.address == str(tmp_path / "none")
    assert not store.folder.exists()


def test_the_same_again_leaves_the_files_as_they_are(store: LayoutStore) -> None:
    before = (store.folder / "index.json").stat()
    with store.writing():
        assert store.repository("keystone").put_manifest(MADE, "1") == MADE.digest
        store.repository("keystone").put_manifest(MADE)
    after = (store.folder / "index.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_manifest_that_gets_a_tag_later_has_one_entry(store: LayoutStore) -> None:
    made = manifest_of(number="2")
    store.repository("keystone").put_manifest(made)
    store.repository("keystone").put_manifest(made, "2")
    assert [entry["digest"] for entry in index_of(store)["manifests"]].count(made.digest) == 1


def test_entries_of_other_programs_stay_and_belong_to_nobody(store: LayoutStore) -> None:
    other = {
        "mediaType": MANIFEST,
        "digest": MADE.digest,
        "size": 3,
        "annotations": {REF: "latest"},
        "platform": {"os": "linux"},
    }
    write_index(store, other)
    filled(store.repository("keystone"), {"2": manifest_of()})
    assert other in index_of(store)["manifests"]
    assert store.repository("keystone").tags() == ["2"]


def test_a_tag_of_another_program_is_read_by_its_name(store: LayoutStore) -> None:
    write_index(
        store, {"mediaType": MANIFEST, "digest": MADE.digest, "size": len(MADE.content), "annotations": {REF: "a/b:7"}}
    )
    assert store.repository("a/b").manifest("7") == MADE


# Damage


def rot(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def link_away(path: Path) -> None:
    path.rename(path.parent / "elsewhere")
    path.symlink_to(path.parent / "elsewhere")


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("harm", [rot, cut, grow, link_away, make_pipe, make_folder])
def test_damaged_content_is_named_and_not_given_out(store: LayoutStore, harm: Callable[[Path], None]) -> None:
    repository, blob = again(store).repository("keystone"), blob_of(LAYER)
    harm(store.blobs.path(blob.digest))
    harm(store.blobs.path(MADE.digest))
    for digest, read in ((blob.digest, lambda: repository.read(blob)), (MADE.digest, lambda: repository.manifest("1"))):
        with pytest.raises(WrongContentError, match=digest) as caught:
            read()
        assert str(store.blobs.path(digest)) in caught.value.details
        assert "anew" in caught.value.resolution


def test_damaged_manifest_hides_no_whole_referrer(store: LayoutStore) -> None:
    repository = store.repository("keystone")
    good, bad = (manifest_of(MADE, note=note) for note in ("good", "bad"))
    for manifest in (good, bad):
        repository.put_manifest(manifest)
    rot(store.blobs.path(bad.digest))
    assert [blob.digest for blob in again(store).repository("keystone").referrers(MADE.digest)] == [good.digest]


@pytest.mark.parametrize("harm", [cut, grow])
def test_a_blob_of_another_size_is_written_anew(
    store: LayoutStore, harm: Callable[[Path], None], tmp_path: Path
) -> None:
    repository, path = store.repository("keystone"), store.blobs.path(blob_of(LAYER).digest)
    (tmp_path / "layer").write_bytes(LAYER)
    harm(path)
    assert repository.upload(blob_of(LAYER), opener(LAYER)) == len(LAYER)
    harm(path)
    assert repository.link(blob_of(LAYER), tmp_path / "layer") == len(LAYER)
    assert repository.read(blob_of(LAYER)) == LAYER


def test_a_missing_manifest_is_damage_and_a_missing_blob_is_not_there(store: LayoutStore) -> None:
    store.blobs.path(MADE.digest).unlink()
    store.blobs.path(blob_of(LAYER).digest).unlink()
    with pytest.raises(WrongContentError, match="missing"):
        again(store).repository("keystone").manifest("1")
    with pytest.raises(NotThereError):
        store.repository("keystone").read(blob_of(LAYER))


@pytest.mark.parametrize("kind", [INDEX, "application/vnd.docker.distribution.manifest.v2+json"])
def test_a_manifest_under_another_media_type_is_refused(store: LayoutStore, kind: str) -> None:
    entry = index_of(store)["manifests"][0]
    write_index(store, {**entry, "mediaType": kind})
    with pytest.raises(WrongContentError, match="another kind"):
        again(store).repository("keystone").manifest("1")
    with pytest.raises(WrongContentError, match="not a manifest"):
        store.repository("keystone").put_manifest(Manifest(MADE.content, kind), "2")


def test_bytes_that_name_no_media_type_keep_their_first_one(store: LayoutStore) -> None:
    store.repository("keystone").put_manifest(Manifest(b"{}", MANIFEST), "a")
    with pytest.raises(WrongContentError, match="not a manifest"):
        store.repository("keystone").put_manifest(Manifest(b"{}", INDEX), "b")
    assert store.repository("keystone").manifest("a").media_type == MANIFEST


def test_a_manifest_that_is_announced_too_large_is_not_read(store: LayoutStore) -> None:
    write_index(store, {**index_of(store)["manifests"][0], "size": (4 << 20) + 1})
    with pytest.raises(WrongContentError, match=MADE.digest):
        again(store).repository("keystone").manifest("1")


@pytest.mark.parametrize("digest", ["sha256:../../index.json", "sha512:" + "0" * 128, "sha256:" + "A" * 64, ""])
def test_what_is_no_digest_leads_to_no_file(store: LayoutStore, digest: str) -> None:
    with pytest.raises(WrongInputError):
        store.repository("keystone").read(Blob("x/y", digest, 1))


ENTRY = {"mediaType": MANIFEST, "digest": MADE.digest, "size": len(MADE.content)}


@pytest.mark.parametrize(
    "entry",
    [
        3,
        {},
        ENTRY | {"size": -1},
        ENTRY | {"size": True},
        ENTRY | {"size": "3"},
        ENTRY | {"digest": "sha256:../../../etc/passwd"},
        ENTRY | {"digest": "sha512:" + "0" * 128},
        ENTRY | {"digest": None},
        ENTRY | {"mediaType": "a\nb/c"},
        ENTRY | {"mediaType": 3},
        ENTRY | {"annotations": []},
        ENTRY | {"annotations": {REF: 3}},
        ENTRY | {"annotations": {REF: "keystone:1", REPOSITORY: "glance"}},
        ENTRY | {"annotations": {REPOSITORY: "../glance"}},
        ENTRY | {"annotations": {REPOSITORY: ""}},
        ENTRY | {"annotations": {REF: "glance", REPOSITORY: "glance"}},
    ],
)
def test_an_entry_that_is_none_is_named_with_its_file(store: LayoutStore, entry: Any) -> None:
    write_index(store, entry)
    with pytest.raises(WrongInputError) as caught:
        again(store).repository("keystone").tags()
    assert str(store.folder / "index.json") in caught.value.details
    assert "manifests[0]" in caught.value.details
    before = snapshot(store.folder)
    with pytest.raises(WrongInputError):
        store.repository("keystone").put_manifest(MADE, "2")
    assert snapshot(store.folder) == before


def test_a_tag_that_is_there_twice_is_refused(store: LayoutStore) -> None:
    write_index(
        store,
        *({**ENTRY, "digest": blob_of(content).digest, "annotations": {REF: "a:1"}} for content in (b"1", b"2")),
    )
    with pytest.raises(WrongInputError, match="not an OCI index") as caught:
        again(store).repository("a").tags()
    assert "twice" in caught.value.details


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"\xff", b'{"manifests": 3}', b"[" * 200_000, b'{"manifests":{}}']
)
def test_an_index_that_is_none_is_refused(store: LayoutStore, content: bytes) -> None:
    (store.folder / "index.json").write_bytes(content)
    with pytest.raises(WrongInputError):
        store.repository("keystone").tags()


@pytest.mark.parametrize("harm", [make_pipe, make_folder, link_away])
def test_an_index_that_is_no_plain_file_is_refused(store: LayoutStore, harm: Callable[[Path], None]) -> None:
    harm(store.folder / "index.json")
    with pytest.raises(WrongInputError, match="not an OCI image layout"):
        store.repository("keystone").tags()


def test_an_index_has_its_limits(store: LayoutStore) -> None:
    row = json.dumps(ENTRY)
    (store.folder / "index.json").write_text('{"manifests": [' + ",".join([row] * (ENTRIES_MAX + 1)) + "]}")
    with pytest.raises(WrongInputError, match="not an OCI index"):
        store.repository("keystone").tags()
    with (store.folder / "index.json").open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(WrongInputError, match="not an OCI image layout"):
        store.repository("keystone").tags()


@pytest.mark.parametrize("content", [b'{"imageLayoutVersion":"2.0.0"}', b"", b"[]"])
def test_a_folder_of_another_version_is_left_alone(store: LayoutStore, content: bytes) -> None:
    (store.folder / "oci-layout").write_bytes(content)
    with pytest.raises(WrongInputError, match="not an OCI image layout"):
        again(store).repository("keystone").tags()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NOTES = st.dictionaries(
    st.sampled_from([REF, REPOSITORY, "x"]), st.sampled_from(["a:1", "a", "b:1", "../a:1", ":", "a:", "\ud800"])
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "mediaType": st.sampled_from([MANIFEST, INDEX]) | JSON,
            "digest": st.sampled_from([MADE.digest, blob_of(b"1").digest]) | JSON,
            "size": st.integers() | JSON,
            "annotations": NOTES | JSON,
            "more": JSON,
        },
    ),
    max_size=4,
)


@given(JSON | st.fixed_dictionaries({"manifests": ROWS | JSON}))
def test_any_index_is_read_or_refused(content: Any) -> None:
    try:
        index = parse_index(json.dumps(content).encode(), "index.json")
    except WrongInputError:
        return
    assert parse_index(index.to_bytes(), "again") == parse_index(index.copy().to_bytes(), "again")
    assert all(":" not in tag for tags in index.named.values() for tag in tags)


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["put", "loose", "forget"]), st.sampled_from("ab"), st.sampled_from("12"), st.integers(0, 3)
    ),
    max_size=12,
)


@given(CHANGES)
def test_an_index_survives_its_file(changes: list[tuple[str, str, str, int]]) -> None:
    index = Index()
    for what, repository, tag, number in changes:
        if what == "forget":
            index.forget(repository, tag)
            continue
        name = tag if what == "put" else ""
        index.put(repository, Entry.of(manifest_of(number=str(number)), repository, name), name)
    read = parse_index(index.to_bytes(), "index.json")
    for repository in "ab":
        assert read.tags(repository) == index.tags(repository)
        assert read.held.get(repository, {}).keys() == index.held.get(repository, {}).keys()
    assert read.to_bytes() == index.to_bytes()


# Writing


class BrokenError(Exception):
    """What goes wrong in these tests."""


def put_and_break(store: LayoutStore) -> None:
    with store.writing():
        filled(store.repository("glance"), {"1": manifest_of(number="9")})
        raise BrokenError


def test_an_error_while_writing_changes_nothing_of_the_index(store: LayoutStore) -> None:
    before = (store.folder / "index.json").read_bytes()
    with pytest.raises(BrokenError):
        put_and_break(store)
    assert (store.folder / "index.json").read_bytes() == before
    assert store.repository("glance").tags() == again(store).repository("glance").tags() == []


def test_an_error_in_a_part_drops_that_part_only(store: LayoutStore) -> None:
    with store.writing():
        store.repository("keystone").put_manifest(manifest_of(), "2")
        with pytest.raises(BrokenError):
            put_and_break(store)
    assert again(store).repository("keystone").tags() == ["1", "2"]
    assert again(store).repository("glance").tags() == []


def test_others_see_all_of_it_at_the_end(store: LayoutStore) -> None:
    other = again(store).repository("keystone")
    with store.writing():
        for tag in ("2", "3"):
            store.repository("keystone").put_manifest(manifest_of(), tag)
        assert other.tags() == ["1"]
    assert other.tags() == ["1", "2", "3"]


def test_a_second_writer_is_told_and_changes_nothing(store: LayoutStore) -> None:
    other = again(store)
    with store.writing():
        with pytest.raises(UnavailableError, match="somebody else is writing"), other.writing():
            pass
        with pytest.raises(UnavailableError), other.writing(0.05):
            pass
    with other.writing():
        other.repository("keystone").put_manifest(manifest_of(), "2")
    assert store.repository("keystone").tags() == ["1", "2"]


def in_threads(*works: Callable[[], object]) -> list[BaseException]:
    errors: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except StackwayError as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


@pytest.mark.parametrize("same", [True, False], ids=["one object", "two objects"])
def test_manifests_of_two_writers_are_all_there(store: LayoutStore, *, same: bool) -> None:
    def write(own: LayoutStore, name: str) -> None:
        for number in range(20):
            own.repository(name).put_manifest(manifest_of(number=str(number)), str(number))

    stores = (store, store if same else again(store))
    assert (
        in_threads(*(lambda own=own, name=name: write(own, name) for own, name in zip(stores, "ab", strict=True))) == []
    )
    assert [len(again(store).repository(name).tags()) for name in "ab"] == [20, 20]


def test_another_thread_takes_part_in_the_writing_but_cannot_begin_one(store: LayoutStore) -> None:
    def begin() -> None:
        with store.writing():
            pass

    with store.writing():
        errors = in_threads(lambda: store.repository("keystone").put_manifest(manifest_of(), "2"), begin)
        assert [type(error) for error in errors] == [UnavailableError]
        assert again(store).repository("keystone").tags() == ["1"]
    assert again(store).repository("keystone").tags() == ["1", "2"]


# Links


def test_a_linked_blob_is_the_same_file(store: LayoutStore, tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"new")
    assert store.repository("keystone").link(blob_of(b"new"), tmp_path / "new") == 3
    assert store.repository("keystone").link(blob_of(b"new"), tmp_path / "gone") == 0
    assert store.blobs.path(blob_of(b"new").digest).samefile(tmp_path / "new")


@pytest.mark.parametrize("content", [b"", b"nex", b"new!", None])
def test_a_file_that_is_not_the_blob_is_not_linked(store: LayoutStore, tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "new").write_bytes(content)
    with pytest.raises(DamagedBlobError, match=blob_of(b"new").digest):
        store.repository("keystone").link(blob_of(b"new"), tmp_path / "new")
    assert not store.repository("keystone").has(blob_of(b"new"))


# Collecting


def test_what_nobody_reaches_is_removed(store: LayoutStore) -> None:
    keystone, old = store.repository("keystone"), manifest_of(layers=(b"old",))
    keystone.upload(blob_of(b"old"), opener(b"old"))
    keystone.put_manifest(old, "2")
    (store.blobs.folder / ".part-1").write_bytes(b"half")
    store.forget("keystone", "2")
    assert store.collect() == (3, len(old.content) + len(b"old") + len(b"half"))
    assert store.collect() == (0, 0)
    assert again(store).repository("keystone").manifest("1") == MADE
    assert keystone.has(blob_of(LAYER))


def test_a_manifest_with_another_tag_is_kept(store: LayoutStore) -> None:
    store.repository("keystone").put_manifest(MADE, "2")
    store.forget("keystone", "1")
    store.forget("keystone", "1")
    store.forget("nobody", "1")
    assert store.collect() == (0, 0)
    assert store.repository("keystone").manifest(MADE.digest) == MADE


def test_an_index_of_manifests_keeps_those_in_it_but_not_its_subject(store: LayoutStore) -> None:
    inner, about = manifest_of(layers=(b"inner",)), manifest_of(number="7")
    repository = store.repository("list")
    for content in (b"inner", inner.content, CONFIG):
        repository.upload(blob_of(content, MANIFEST), opener(content))
    data = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(blob_of(inner.content, MANIFEST))]}
    outer = Manifest(json.dumps(data | {"subject": descriptor(blob_of(about.content, MANIFEST))}).encode(), INDEX)
    repository.put_manifest(about, "about")
    repository.put_manifest(outer, "1")
    store.forget("list", "about")
    assert store.collect() == (1, len(about.content))
    assert repository.read(blob_of(b"inner")) == b"inner"


def test_nothing_is_removed_when_a_manifest_is_damaged(store: LayoutStore) -> None:
    rot(store.blobs.path(MADE.digest))
    with pytest.raises(WrongContentError):
        again(store).collect()
    assert store.repository("keystone").has(blob_of(LAYER))


def test_what_is_dropped_again_has_lost_no_blob(store: LayoutStore) -> None:
    def forget_and_break() -> None:
        with store.writing():
            store.forget("keystone", "1")
            assert store.collect() == (0, 0)
            raise BrokenError

    with pytest.raises(BrokenError):
        forget_and_break()
    assert store.repository("keystone").manifest("1") == MADE
    assert store.repository("keystone").read(blob_of(LAYER)) == LAYER


def test_of_too_many_referrers_the_first_are_listed(store: LayoutStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("releases.layout.REFERRERS_MAX", 2)
    repository, made = store.repository("keystone"), [manifest_of(MADE, number=str(number)) for number in range(4)]
    for manifest in made:
        repository.put_manifest(manifest)
    assert [blob.digest for blob in repository.referrers(MADE.digest)] == sorted(item.digest for item in made)[:2]
    assert places.REFERRERS_MAX == 1_000
