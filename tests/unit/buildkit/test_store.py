# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The store takes only what is whole, names what is damaged, and shows nothing before its index is written."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buildkit.store import Store, StoredImage, remove_layout, unique_size
from stackway.errors import FailedError, UnavailableError, WrongInputError
from stackway.files import digest_file
from tests.fakes.images import damage, fill_store, write_layout

BASE = {"base": b"b" * 5000}
KEYSTONE, GLANCE = "keystone:2026.1", "glance:2026.1"
IMAGES = {KEYSTONE: [BASE, {"keystone": b"k"}], GLANCE: [BASE, {"glance": b"g"}]}
Filled = tuple[Store, list[StoredImage]]


@pytest.fixture
def filled(tmp_path: Path) -> Filled:
    return fill_store(tmp_path, IMAGES)


def blobs(store: Store) -> set[str]:
    return {f"sha256:{path.name}" for path in (store.folder / "blobs/sha256").glob("*")}


def test_images_are_found_as_they_were_added(filled: Filled) -> None:
    store, images = filled
    assert list(store.images().values()) == sorted(images, key=lambda image: image.name)
    assert [len(image.layers) for image in images] == [2, 2]
    assert all(digest_file(store.path(blob.digest)) == blob.digest for image in images for blob in image.blobs)


def test_an_empty_store_has_no_images(tmp_path: Path) -> None:
    assert Store(tmp_path / "store").images() == {}


def test_the_index_names_images_for_oci_and_containerd(filled: Filled) -> None:
    index = json.loads((filled[0].folder / "index.json").read_bytes())
    names = [entry["annotations"] for entry in index["manifests"]]
    assert [name["org.opencontainers.image.ref.name"] for name in names] == [GLANCE, KEYSTONE]
    assert names[0]["io.containerd.image.name"] == f"stackway.local/{GLANCE}"
    assert json.loads((filled[0].folder / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}


def test_what_images_share_is_stored_and_counted_once(filled: Filled) -> None:
    store, (keystone, glance) = filled
    shared = keystone.layers[0]
    assert shared == glance.layers[0]
    assert unique_size([keystone, glance]) == keystone.size + glance.size - shared.size
    assert unique_size([keystone, glance]) == sum(store.path(digest).stat().st_size for digest in blobs(store))


def test_blobs_are_hard_links_of_the_builder_s_output(filled: Filled, tmp_path: Path) -> None:
    store, (keystone, _) = filled
    source = tmp_path / "layout-0/blobs/sha256" / keystone.manifest.digest.removeprefix("sha256:")
    assert source.samefile(store.path(keystone.manifest.digest))


def test_an_image_added_again_replaces_the_one_of_its_name(filled: Filled, tmp_path: Path) -> None:
    store, (keystone, glance) = filled
    write_layout(tmp_path / "newer", [BASE, {"keystone": b"newer"}])
    added = store.add({KEYSTONE: tmp_path / "newer"})[KEYSTONE]
    assert store.images() == {GLANCE: glance, KEYSTONE: added}
    assert added.manifest != keystone.manifest


def test_damaged_output_is_refused_and_nothing_of_it_is_visible(filled: Filled, tmp_path: Path) -> None:
    store, before = filled[0], filled[0].images()
    write_layout(tmp_path / "good", [{"good": b"1"}])
    write_layout(tmp_path / "bad", [{"bad": b"2"}])
    damage(Store(tmp_path / "bad"), max(blobs(Store(tmp_path / "bad")) - blobs(store)))
    with pytest.raises(FailedError):
        store.add({"a:1": tmp_path / "good", "b:1": tmp_path / "bad"})
    assert store.images() == before


def test_a_wrong_blob_of_the_builder_is_named(tmp_path: Path) -> None:
    write_layout(tmp_path / "bad", [{"bad": b"2"}])
    layer = min((tmp_path / "bad/blobs/sha256").iterdir(), key=lambda path: path.read_bytes()[:1])
    layer.write_bytes(b"x")
    with pytest.raises(FailedError, match="the builder's output is damaged") as caught:
        Store(tmp_path / "store").add({"b:1": tmp_path / "bad"})
    assert str(layer) in caught.value.details


def test_images_are_visible_only_when_the_index_is_written(
    filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, before = filled[0], filled[0].images()
    write_layout(tmp_path / "new", [{"new": b"1"}])

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "_write_index", stop)
    with pytest.raises(KeyboardInterrupt):
        store.add({"new:1": tmp_path / "new"})
    assert store.images() == before
    assert len(blobs(store)) == len({blob for image in before.values() for blob in image.blobs}) + 3


def lose(store: Store, digest: str) -> None:
    store.path(digest).unlink()


def cut(store: Store, digest: str) -> None:
    path = store.path(digest)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1])


@pytest.mark.parametrize(
    ("harm", "message"), [(damage, "in the store is corrupt"), (cut, "in the store is corrupt"), (lose, "is missing")]
)
@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_a_damaged_blob_is_named(filled: Filled, harm: Callable[[Store, str], None], message: str, number: int) -> None:
    store, (keystone, glance) = filled
    blob = keystone.blobs[number]
    harm(store, blob.digest)
    (problem,) = store.check(keystone)
    assert problem.startswith(f"blob {blob.digest} ")
    assert message in problem
    assert bool(store.check(glance)) == (blob in glance.blobs)


def bloat(store: Store, digest: str) -> None:
    """Make a file of 5 MB that takes no room."""
    lose(store, digest)
    with store.path(digest).open("wb") as file:
        file.truncate(5 << 20)


@pytest.mark.parametrize("harm", [lose, cut, bloat])
def test_an_image_whose_manifest_cannot_be_read_is_still_listed(
    filled: Filled, harm: Callable[[Store, str], None]
) -> None:
    store, (keystone, glance) = filled
    harm(store, keystone.manifest.digest)
    found = store.images()
    assert (found[KEYSTONE].manifest, found[KEYSTONE].layers, found[GLANCE]) == (keystone.manifest, (), glance)
    assert [text.startswith(f"blob {keystone.manifest.digest} ") for text in store.check(found[KEYSTONE])] == [True]
    assert store.check(found[GLANCE]) == []


def rot(store: Store, digest: str) -> None:
    """Change a blob's content but neither its size nor its time."""
    path = store.path(digest)
    status = path.stat()
    damage(store, digest)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_only_a_full_check_reads_what_looks_unchanged(filled: Filled) -> None:
    store, (keystone, _) = filled
    rot(store, keystone.layers[0].digest)
    assert store.check(keystone) == []
    assert store.check(keystone, full=True) == [f"blob {keystone.layers[0].digest} in the store is corrupt"]


@pytest.mark.parametrize("memory", ["", "damaged", "[]", "{}"])
def test_a_store_that_forgot_what_it_checked_checks_again(filled: Filled, memory: str) -> None:
    store, (keystone, glance) = filled
    (store.folder / "stackway-verified.json").write_text(memory)
    rot(store, glance.layers[1].digest)
    assert store.check(keystone) == []
    assert store.check(glance) == [f"blob {glance.layers[1].digest} in the store is corrupt"]


def test_a_corrupt_blob_is_replaced_by_a_good_one(filled: Filled, tmp_path: Path) -> None:
    store, (keystone, _) = filled
    damage(store, keystone.layers[1].digest)
    write_layout(tmp_path / "again", IMAGES[KEYSTONE])
    store.add({KEYSTONE: tmp_path / "again"})
    assert store.check(keystone, full=True) == []


def test_a_corrupt_blob_is_dropped_everywhere_and_added_anew(filled: Filled, tmp_path: Path) -> None:
    store, (keystone, _) = filled
    digest = keystone.layers[1].digest
    damage(store, digest)
    store.drop([digest], [tmp_path / "layout-0"])
    assert not (tmp_path / "layout-0/blobs/sha256" / digest.removeprefix("sha256:")).exists()
    write_layout(tmp_path / "again", IMAGES[KEYSTONE])
    store.add({KEYSTONE: tmp_path / "again"})
    assert store.check(keystone, full=True) == []


def test_forgotten_images_free_what_nobody_else_uses(filled: Filled) -> None:
    store, (keystone, glance) = filled
    assert store.collect() == (0, 0)
    store.forget([KEYSTONE, "unknown:1"])
    own = [blob for blob in keystone.blobs if blob not in glance.blobs]
    assert store.collect() == (len(own), sum(blob.size for blob in own))
    assert store.images() == {GLANCE: glance}
    assert store.check(glance, full=True) == []


@pytest.mark.parametrize(
    "content",
    ["[]", '{"manifests": {}}', '{"manifests": [{}]}', '{"manifests": [7]}', '{"manifests": [{"digest": "sha256:1"}]}'],
)
def test_an_index_of_another_form_is_said_to_be_wrong(filled: Filled, content: str) -> None:
    (filled[0].folder / "index.json").write_text(content)
    with pytest.raises(WrongInputError, match="the store's index is not an OCI index"):
        filled[0].images()


def test_an_index_that_is_cut_short_is_said_to_be_wrong(filled: Filled) -> None:
    path = filled[0].folder / "index.json"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(WrongInputError, match=r"index\.json is not JSON"):
        filled[0].images()


def test_a_second_writer_is_told_to_wait(tmp_path: Path) -> None:
    first, second = Store(tmp_path / "store"), Store(tmp_path / "store")
    with first.exclusive(), pytest.raises(UnavailableError, match="another build") as caught, second.exclusive():
        pytest.fail("both are in")
    assert "--wait" in caught.value.resolution
    with second.exclusive():
        assert second.images() == {}


def test_a_failed_build_gives_the_store_back(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(RuntimeError), store.exclusive():
        raise RuntimeError
    with store.exclusive():
        assert store.images() == {}


def test_a_layout_is_removed_whether_it_is_there_or_not(filled: Filled, tmp_path: Path) -> None:
    for _ in range(2):
        remove_layout(tmp_path / "layout-0")
        assert not (tmp_path / "layout-0").exists()
    assert filled[0].check(filled[1][0], full=True) == []


def test_entries_without_annotations_are_named_by_their_digest(filled: Filled) -> None:
    store, (keystone, _) = filled
    path = store.folder / "index.json"
    index: dict[str, Any] = json.loads(path.read_bytes())
    for entry in index["manifests"]:
        del entry["annotations"]
    path.write_text(json.dumps(index))
    store.forget([keystone.manifest.digest])
    assert len(json.loads(path.read_bytes())["manifests"]) == 1
