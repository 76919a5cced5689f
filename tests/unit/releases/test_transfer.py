# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
import copy
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import SEEK_END, UnsupportedOperation
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit.complaints import WrongContentError
from buildkit.registry import Manifest
from buildkit.store import Blob
from releases import transfer
from releases.layout import LayoutStore
from releases.release import REPOSITORY
from releases.repository import ReleaseStore, opener
from releases.signatures import MANIFEST_TYPE, Content, descriptor, layers_manifest, read_layers, tag
from releases.transfer import NOTHING, ChunkFile, Copied, Sent, file_of
from releases.verify import read, verify
from stackway.console import SilentReporter
from stackway.errors import RefusedError
from stackway.files import canonical_json, digest_bytes
from tests.fakes.releases import FakeReleases, FakeRepository, keyring, new_release, new_signer, sign_release

VERSION = "2026.1.0"
ONE, TWO = new_signer("one"), new_signer("two")
SIGNED, BY_TWO = FakeReleases(), FakeReleases()
new_release(SIGNED, VERSION, ONE)
new_release(BY_TWO, VERSION, TWO)
SILENT = SilentReporter()


def send(source: ReleaseStore, target: ReleaseStore) -> Sent:
    return transfer.copy(source, target, list(transfer.parts(source, read(source, VERSION))), SILENT)


def tags(store: FakeReleases) -> dict[str, dict[str, str]]:
    return {name: dict(item.names) for name, item in store.repositories.items()}


def test_a_copy_passes_the_same_verification() -> None:
    target = FakeReleases()
    sent = send(SIGNED, target)
    assert verify(target, VERSION, keyring(ONE)).remarks == ()
    assert tags(target) == tags(SIGNED)
    assert sent.bytes == sum(len(target.blobs[digest]) for digest in target.blobs)
    assert set(target.blobs) <= set(SIGNED.blobs)


def test_what_is_there_is_not_sent_again() -> None:
    target = FakeReleases()
    send(SIGNED, target)
    before = copy.deepcopy((target.blobs, tags(target)))
    assert send(SIGNED, target) == NOTHING
    assert (target.blobs, tags(target)) == before


def test_a_second_release_sends_only_what_is_new() -> None:
    source, target = copy.deepcopy(SIGNED), FakeReleases()
    send(SIGNED, target)
    new_release(source, "2026.1.1", ONE)
    content = read(source, "2026.1.1")
    sent = transfer.copy(source, target, list(transfer.parts(source, content)), SILENT)
    assert verify(target, "2026.1.1", keyring(ONE)).digest == content.digest
    assert 0 < sent.manifests < len(list(transfer.parts(source, content)))
    assert sent.bytes < 3000


def test_signatures_of_both_places_stay_side_by_side() -> None:
    target = copy.deepcopy(BY_TWO)
    send(SIGNED, target)
    assert verify(target, VERSION, keyring(ONE, TWO, threshold=2)).remarks == ()
    assert send(SIGNED, target) == Sent(0, 0, 0, send(SIGNED, target).there)


def test_the_same_signatures_come_of_both_directions() -> None:
    here, there = copy.deepcopy(SIGNED), copy.deepcopy(BY_TWO)
    send(BY_TWO, here)
    send(SIGNED, there)
    assert tags(here) == tags(there)


def test_the_releases_own_tag_comes_last_after_all_that_is_signed() -> None:
    found = list(transfer.parts(SIGNED, read(SIGNED, VERSION)))
    digest = SIGNED.repository(REPOSITORY).names[VERSION]
    assert (found[-1].repository, found[-1].tag, found[-1].manifest.digest) == (REPOSITORY, VERSION, digest)
    assert [item.tag for item in found if item.manifest.digest == digest] == ["", VERSION]
    assert [item.repository for item in found] == sorted(
        (item.repository for item in found), key=["keystone", "nova", "release"].index
    )


@given(st.integers(0, 50))
def test_a_copy_that_breaks_off_shows_no_release_and_goes_on_later(most: int) -> None:
    source, target, left = SIGNED, FakeReleases(), [most]

    class Breaking(FakeRepository):
        def put_manifest(self, manifest: Manifest, tag: str = "") -> str:
            left[0] -= 1
            if left[0] < 0:
                raise WrongContentError("the line is cut")
            return super().put_manifest(manifest, tag)

    for name in ("release", "keystone", "nova"):
        target.repositories[name] = Breaking(name, target.blobs)
    with suppress(WrongContentError):
        send(source, target)
    whole = VERSION in target.repository(REPOSITORY).names
    assert whole is (left[0] >= 0)
    left[0] = 1000
    send(source, target)
    assert verify(target, VERSION, keyring(ONE)).remarks == ()


def test_a_damaged_blob_is_not_taken_over() -> None:
    source, target = copy.deepcopy(SIGNED), FakeReleases()
    source.blobs[digest_bytes(b"nova of 2026.1")] = b"evil of 2026.1"
    with pytest.raises(WrongContentError):
        send(source, target)
    assert VERSION not in target.repository(REPOSITORY).names
    assert digest_bytes(b"nova of 2026.1") not in target.blobs


@pytest.mark.parametrize("name", ["release", "keystone", "nova"])
def test_a_version_that_is_something_else_there_is_refused_before_anything_is_copied(name: str) -> None:
    target = FakeReleases()
    other = Manifest(canonical_json({"mediaType": MANIFEST_TYPE, "layers": []}), MANIFEST_TYPE)
    target.repository(name).put_manifest(other, VERSION)
    with pytest.raises(RefusedError, match=f"{name}:{VERSION} is something else there") as caught:
        send(SIGNED, target)
    assert other.digest in caught.value.details
    assert SIGNED.repository(name).names[VERSION] in caught.value.details
    assert target.blobs == {}
    assert target.repository(name).names == {VERSION: other.digest}


def referring(store: FakeReleases, *layers: Content, **more: Any) -> Manifest:
    """Attach something to the release, as anybody may, and return its manifest."""
    place = store.repository(REPOSITORY)
    about = Blob(MANIFEST_TYPE, place.names[VERSION], 1)
    rows = [descriptor(item.blob) for item in layers]
    content = {"mediaType": MANIFEST_TYPE, "subject": descriptor(about), "layers": rows, **more}
    for item in layers:
        place.upload(item.blob, opener(item.content))
    manifest = Manifest(canonical_json(content), MANIFEST_TYPE)
    place.put_manifest(manifest)
    return manifest


GONE = {"layers": [descriptor(Blob("a/b", digest_bytes(b"nowhere"), 10))]}
HUGE = {"layers": [descriptor(Blob("a/b", digest_bytes(b"nowhere"), 1 << 50))]}


@pytest.mark.parametrize("more", [GONE, HUGE], ids=["not whole", "larger than anything"])
def test_junk_that_refers_to_a_release_stays_behind(more: dict[str, Any]) -> None:
    source, target = copy.deepcopy(SIGNED), FakeReleases()
    junk = referring(source, **more)
    send(source, target)
    assert junk.digest not in target.repository(REPOSITORY).manifests
    assert verify(target, VERSION, keyring(ONE)).remarks == ()


def test_what_others_attach_comes_too() -> None:
    source, target = copy.deepcopy(SIGNED), FakeReleases()
    other = referring(source, Content("text/plain", b"notes"), artifactType="text/plain")
    send(source, target)
    assert target.repository(REPOSITORY).manifest(other.digest) == other
    assert target.blobs[digest_bytes(b"notes")] == b"notes"


def test_records_are_those_of_the_environment_in_their_order() -> None:
    source = copy.deepcopy(SIGNED)
    place = source.repository(REPOSITORY)
    made = {}
    names = ["channel-prod-10", "channel-prod-9", "channel-prod-eu-1", "channel-dev-1"]
    for name in (
        *names,
        "channel-prod-x",
        "channel-prod-1x",
        "channel-prod-",
        "channel-prod-01",
        "channel-prod-0",
        "channel-prod--1",
    ):
        made[name] = referring(source, artifactType=name)
        place.put_manifest(made[name], name)
    found = [item.tag for item in transfer.records(source, ["prod"])]
    assert found == ["channel-prod-9", "channel-prod-10"]
    assert [item.tag for item in transfer.records(source, ["prod-eu", "dev"])] == ["channel-prod-eu-1", "channel-dev-1"]
    assert list(transfer.records(source, [])) == []


def test_records_never_replace_others() -> None:
    source, target = copy.deepcopy(SIGNED), copy.deepcopy(SIGNED)
    for store, name in ((source, "a"), (target, "b")):
        store.repository(REPOSITORY).put_manifest(referring(store, artifactType=name), "channel-prod-1")
    before = tags(target)
    with pytest.raises(RefusedError, match="channel-prod-1 is something else there"):
        transfer.copy(source, target, list(transfer.records(source, ["prod"])), SILENT)
    assert tags(target) == before


def test_layers_that_both_places_have_are_there_once() -> None:
    place = copy.deepcopy(SIGNED).repository("nova")
    name = tag(place.names[VERSION], "att")
    there = place.manifest(name)
    assert transfer.merged(place, Copied("nova", there, name)) == there
    less = layers_manifest(read_layers(there)[:2])[1]
    assert transfer.merged(place, Copied("nova", less, name)) == there
    assert transfer.merged(place, Copied("nova", less, "2026.1.9")) == less


def test_between_folders_blobs_are_links(tmp_path: Path) -> None:
    stores = [LayoutStore(tmp_path / name) for name in "ab"]
    send(SIGNED, stores[0])
    sent = send(stores[0], stores[1])
    blob = digest_bytes(b"nova of 2026.1")
    paths = [store.blobs.path(blob) for store in stores]
    assert paths[0].samefile(paths[1])
    assert sent.blobs > 0
    assert verify(stores[1], VERSION, keyring(ONE)).remarks == ()
    sign_release(stores[1], VERSION, TWO)
    send(stores[1], stores[0])
    assert len(verify(stores[0], VERSION, keyring(ONE, TWO)).signers) == 2


@pytest.mark.parametrize("data", [{}, {"config": None, "layers": None}, {"layers": "text"}, {"layers": [None, 7, {}]}])
def test_manifests_that_name_nothing_have_no_blobs(data: dict[str, Any]) -> None:
    assert transfer.blobs_of(Manifest(canonical_json(data), MANIFEST_TYPE)) == []


def chunks(*parts: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: iter(parts)


@given(st.lists(st.binary(max_size=5), max_size=8), st.lists(st.integers(0, 7), max_size=20))
def test_chunks_are_read_like_a_file_of_the_same_bytes(parts: list[bytes], sizes: list[int]) -> None:
    file, whole = file_of(chunks(*parts)), b"".join(parts)
    read_so_far = b"".join(file.read(size) for size in sizes)
    assert read_so_far == whole[: sum(sizes)]
    assert read_so_far + file.read() == whole
    file.seek(0)
    assert file.read() == whole


def test_a_file_of_chunks_goes_only_to_its_beginning() -> None:
    file = ChunkFile(chunks(b"abc", b"def"))
    assert (file.read(2), file.tell()) == (b"ab", 2)
    assert file.seek(0, 1) == 2
    assert file.seek(0) == 0
    for place in ((1, 0), (0, SEEK_END), (1, 1)):
        with pytest.raises(UnsupportedOperation):
            file.seek(*place)
    assert (file.seekable(), file.readable(), file.read()) == (True, True, b"abcdef")


def test_what_was_sent_is_added_up() -> None:
    assert Sent(1, 2, 3, 4) + NOTHING + Sent(10, 20, 30, 40) == Sent(11, 22, 33, 44)
    assert Sent(1, 2, 3, 4).to_dict() == {"manifests": 1, "blobs": 2, "bytes": 3, "there": 4}
