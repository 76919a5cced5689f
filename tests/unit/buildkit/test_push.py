# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A push sends what the registry lacks and nothing else; tags move last, and only to what can be read back."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit.bodies import DamagedBlobError
from buildkit.complaints import RegistryError, WrongContentError
from buildkit.push import BlobAction, PushReport, Target, examine, open_target, plan_push, push
from buildkit.registry import Registry
from buildkit.store import Blob, Store, StoredImage
from buildkit.transport import Transport, open_session
from stackway.console import SilentReporter
from stackway.errors import WrongInputError
from tests.fakes.images import damage, fill_store
from tests.fakes.registry import MANIFEST, FakeRegistry, RegistryAdapter, Reply

BASE = {"base": b"b" * 5000}
IMAGES = {"keystone:2026.1": [BASE, {"keystone": b"k"}], "glance:2026.1": [BASE, {"glance": b"g"}]}
BLOBS = [Blob("x", f"sha256:{number:064}", number) for number in range(1, 6)]
IMAGE = StoredImage("keystone:2026.1", BLOBS[0], BLOBS[1], tuple(BLOBS[2:]))
PLACE = ("team/keystone", "2026.1")
SILENT = SilentReporter()


class Bench:
    """A store with two images that share a layer, and a registry without them."""

    def __init__(self, folder: Path) -> None:
        self.store, self.images = fill_store(folder, IMAGES)
        self.fake = FakeRegistry()
        session = open_session(loopback=True)
        session.mount("https://", RegistryAdapter(self.fake))
        registry = Registry("registry.test", Transport("https://registry.test", session, pause=lambda _: None))
        self.target = Target(registry, "team")

    def push(self) -> PushReport:
        return push(self.store, self.images, self.target, SILENT)


@pytest.fixture
def at(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def actions(present: set[str], elsewhere: dict[str, str] | None = None) -> dict[str, BlobAction]:
    return {step.blob.digest: step.action for step in plan_push(IMAGE, PLACE, present, elsewhere).steps}


def test_into_an_empty_repository_everything_is_uploaded_and_the_manifest_last() -> None:
    plan = plan_push(IMAGE, PLACE, set())
    assert {step.action for step in plan.steps} == {BlobAction.UPLOAD}
    assert plan.steps[-1].blob == IMAGE.manifest
    assert plan.size == sum(blob.size for blob in BLOBS[1:])


@given(st.sets(st.sampled_from([blob.digest for blob in BLOBS])))
def test_what_is_there_and_only_that_is_left_alone(present: set[str]) -> None:
    plan = plan_push(IMAGE, PLACE, present)
    assert {step.blob.digest for step in plan.steps if step.action is BlobAction.THERE} == present
    assert plan.size == sum(blob.size for blob in BLOBS[1:] if blob.digest not in present)
    assert all(step.reason for step in plan.steps)


def test_what_another_repository_has_is_mounted() -> None:
    layer = BLOBS[2].digest
    assert actions(set(), {layer: "team/glance"})[layer] is BlobAction.MOUNT
    assert actions({layer}, {layer: "team/glance"})[layer] is BlobAction.THERE
    assert actions(set(), {layer: "team/keystone"})[layer] is BlobAction.UPLOAD


def test_a_manifest_is_never_mounted() -> None:
    manifest = IMAGE.manifest.digest
    assert actions(set(), {manifest: "team/glance"})[manifest] is BlobAction.UPLOAD


def test_a_layer_that_is_there_twice_is_sent_once() -> None:
    plan = plan_push(replace(IMAGE, layers=(BLOBS[2], BLOBS[2])), PLACE, set())
    assert [step.blob for step in plan.steps] == [BLOBS[1], BLOBS[2], BLOBS[0]]


def test_a_plan_can_be_shown_as_data() -> None:
    data = plan_push(IMAGE, PLACE, {BLOBS[1].digest}).to_dict()
    assert data["image"] == "keystone:2026.1"
    assert data["steps"][0] == {
        "digest": BLOBS[1].digest,
        "size": 2,
        "action": "there",
        "reason": "team/keystone has it",
    }


def test_to_look_changes_nothing(at: Bench) -> None:
    plans = examine(at.images, at.target)
    assert {ask.method for ask in at.fake.asked} == {"HEAD"}
    assert sum(plan.size for plan in plans) < sum(image.size for image in at.images)


def test_a_push_brings_all_images_and_shared_layers_once(at: Bench) -> None:
    report = at.push()
    for result, image in zip(report.results, at.images, strict=True):
        assert result.reference == f"registry.test/team/{image.name}"
        assert at.target.place(image)[0].manifest("2026.1").digest == image.manifest.digest == result.digest
    assert [result.mounted for result in report.results] == [0, 1]
    once = {blob.digest: blob.size for image in at.images for blob in (image.config, *image.layers)}
    assert report.sent == sum(once.values())


def test_a_second_push_sends_nothing(at: Bench) -> None:
    at.push()
    del at.fake.asked[:]
    report = at.push()
    assert report.sent == 0
    assert not at.fake.asked_for("POST") + at.fake.asked_for("PUT")
    assert [result.there for result in report.results] == [3, 3]


def test_a_registry_that_mounts_nothing_gets_all_blobs(at: Bench) -> None:
    at.fake.mounts = False
    report = at.push()
    assert [result.mounted for result in report.results] == [0, 0]
    assert report.sent == sum(blob.size for image in at.images for blob in (image.config, *image.layers))


def test_a_tag_that_moves_says_what_it_stood_for(at: Bench) -> None:
    old = b'{"schemaVersion": 2}'
    at.fake.manifests["team/keystone"] = {"2026.1": (MANIFEST, old)}
    replaced = {result.image: result.replaced for result in at.push().results}
    assert replaced["keystone:2026.1"].startswith("sha256:")
    assert replaced["glance:2026.1"] == ""


@pytest.mark.parametrize("kind", ["layer", "config", "manifest"])
def test_a_damaged_blob_is_named_and_its_tag_does_not_move(at: Bench, kind: str) -> None:
    image = at.images[0]
    blob = {"layer": image.layers[-1], "config": image.config, "manifest": image.manifest}[kind]
    damage(at.store, blob.digest)
    with pytest.raises(DamagedBlobError, match=blob.digest):
        at.push()
    repository, tag = at.target.place(image)
    assert repository.manifest_digest(tag) is None


def test_a_blob_that_has_gone_is_named(at: Bench) -> None:
    lost = at.images[0].layers[0].digest
    at.store.path(lost).unlink()
    with pytest.raises(DamagedBlobError, match=lost):
        at.push()


def test_no_tag_moves_before_every_blob_of_every_image_is_there(at: Bench) -> None:
    at.fake.trap("POST", at.target.place(at.images[1])[0].name, lambda *_: Reply(403), times=9)
    with pytest.raises(RegistryError):
        at.push()
    assert not at.fake.asked_for("PUT", "/manifests/")


def test_a_tag_that_is_something_else_afterwards_is_an_error(at: Bench) -> None:
    other = Reply(200, b'{"schemaVersion": 2}', {"Content-Type": MANIFEST})
    at.fake.trap("GET", "/manifests/", lambda *_: other)
    with pytest.raises(WrongContentError, match="is not what was pushed"):
        at.push()


def test_a_report_is_a_table_and_data(at: Bench) -> None:
    report = at.push()
    assert "registry.test/team/glance:2026.1" in report.to_table().to_text()
    assert [image["image"] for image in report.to_dict()["images"]] == [image.name for image in at.images]


@pytest.mark.parametrize(
    ("prefix", "host", "path"),
    [
        ("127.0.0.1:5000", "127.0.0.1:5000", ""),
        ("oci://127.0.0.1:5000/team/", "127.0.0.1:5000", "team"),
        ("127.0.0.1:5000/a/b", "127.0.0.1:5000", "a/b"),
    ],
)
def test_a_target_is_a_host_and_a_path(prefix: str, host: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_AUTH_FILE", "/nowhere")
    target = open_target(prefix)
    assert (target.registry.host, target.prefix) == (host, path)
    assert target.place(IMAGE)[0].name == f"{path}/keystone".lstrip("/")


def test_a_path_that_no_repository_can_have_is_refused(at: Bench) -> None:
    with pytest.raises(WrongInputError):
        push(Store(at.store.folder), at.images, replace(at.target, prefix="Team"), SILENT)
    assert at.fake.asked == []
