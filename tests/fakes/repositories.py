# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What every place for releases must do, as tests to inherit: a class that does so gives a fixture `place`, empty."""

import io
import json
from collections.abc import Mapping
from typing import Any

import pytest

from buildkit.bodies import DamagedBlobError
from buildkit.complaints import NotThereError, WrongContentError
from buildkit.registry import Manifest
from buildkit.store import Blob
from releases.repository import ReleaseStore, Repository, opener
from stackway.errors import StackwayError, WrongInputError
from stackway.files import digest_bytes

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
SIGNATURE = "application/vnd.dev.sigstore.bundle.v0.3+json"
CONFIG = b"{}"
LAYER = b"a layer" * 1000


def blob_of(content: bytes, kind: str = "application/octet-stream") -> Blob:
    return Blob(kind, digest_bytes(content), len(content))


def descriptor(blob: Blob) -> dict[str, Any]:
    return {"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size}


def manifest_of(subject: Manifest | None = None, *, layers: tuple[bytes, ...] = (), **more: str) -> Manifest:
    """A manifest with an empty configuration; `more` are its annotations, and make it another one."""
    config = blob_of(CONFIG, "application/vnd.oci.empty.v1+json")
    data: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": SIGNATURE,
        "config": descriptor(config),
        "layers": [descriptor(blob_of(layer)) for layer in layers],
        "annotations": dict(more),
    }
    if subject:
        data["subject"] = {"mediaType": MANIFEST, "digest": subject.digest, "size": len(subject.content)}
    return Manifest(json.dumps(data).encode(), MANIFEST)


def as_blob(manifest: Manifest) -> Blob:
    return Blob(manifest.media_type, manifest.digest, len(manifest.content))


def filled(repository: Repository, contents: Mapping[str, Manifest]) -> Repository:
    """Put manifests there, by tag, with the blobs that `manifest_of` gives them."""
    repository.upload(blob_of(CONFIG), opener(CONFIG))
    repository.upload(blob_of(LAYER), opener(LAYER))
    for tag, manifest in contents.items():
        repository.put_manifest(manifest, tag)
    return repository


class Counted:
    """The source of a blob that counts what is read of it."""

    def __init__(self, content: bytes) -> None:
        self.content, self.opened = content, 0

    def __call__(self) -> io.BytesIO:
        self.opened += 1
        return io.BytesIO(self.content)


class RepositoryContract:
    """Tests that run on an empty `place`."""

    def test_what_was_never_put_is_not_there(self, place: ReleaseStore) -> None:
        repository = place.repository("keystone")
        assert (repository.tags(), repository.manifest_digest("1")) == ([], None)
        assert not repository.has(blob_of(LAYER))
        assert repository.referrers(blob_of(LAYER).digest) == []
        with pytest.raises(NotThereError):
            repository.manifest("1")
        with pytest.raises(NotThereError):
            repository.manifest(blob_of(LAYER).digest)
        with pytest.raises(NotThereError):
            repository.read(blob_of(LAYER))

    def test_a_blob_comes_back_and_is_sent_once(self, place: ReleaseStore) -> None:
        repository, source = place.repository("keystone"), Counted(LAYER)
        assert repository.upload(blob_of(LAYER), source) == len(LAYER)
        assert repository.upload(blob_of(LAYER), source) == 0
        assert source.opened == 1
        assert repository.has(blob_of(LAYER))
        assert repository.read(blob_of(LAYER)) == b"".join(repository.chunks(blob_of(LAYER))) == LAYER

    def test_an_empty_blob_is_a_blob(self, place: ReleaseStore) -> None:
        repository = place.repository("keystone")
        assert repository.upload(blob_of(b""), opener(b"")) == 0
        assert repository.has(blob_of(b""))
        assert repository.read(blob_of(b"")) == b""

    def test_a_blob_of_another_repository_is_not_sent_again(self, place: ReleaseStore) -> None:
        place.repository("keystone").upload(blob_of(LAYER), opener(LAYER))
        other = place.repository("team/glance")
        assert other.upload(blob_of(LAYER), opener(LAYER), mount_from="keystone") == 0
        assert other.read(blob_of(LAYER)) == LAYER

    def test_a_blob_larger_than_allowed_is_not_read(self, place: ReleaseStore) -> None:
        repository = filled(place.repository("keystone"), {})
        with pytest.raises(WrongContentError):
            repository.read(blob_of(LAYER), len(LAYER) - 1)

    def test_another_size_under_a_digest_is_refused(self, place: ReleaseStore) -> None:
        repository = filled(place.repository("keystone"), {})
        wrong = Blob("x/y", blob_of(LAYER).digest, len(LAYER) + 1)
        with pytest.raises(WrongContentError):
            repository.has(wrong)
        with pytest.raises(WrongContentError):
            repository.read(wrong)

    @pytest.mark.parametrize("content", [LAYER[:-1], LAYER[:-1] + b"x", LAYER + b"x", b""])
    def test_a_source_that_is_not_the_blob_does_not_get_there(self, place: ReleaseStore, content: bytes) -> None:
        repository = place.repository("keystone")
        with pytest.raises(DamagedBlobError):
            repository.upload(blob_of(LAYER), opener(content))
        assert not repository.has(blob_of(LAYER))

    def test_a_manifest_comes_back_by_tag_and_digest(self, place: ReleaseStore) -> None:
        made = manifest_of(layers=(LAYER,))
        repository = filled(place.repository("keystone"), {"1": made, "2": made})
        assert repository.manifest("1") == repository.manifest(made.digest) == made
        assert repository.manifest_digest("2") == repository.manifest_digest(made.digest) == made.digest
        assert repository.tags() == ["1", "2"]

    def test_a_manifest_without_a_tag_has_only_its_digest(self, place: ReleaseStore) -> None:
        repository, made = filled(place.repository("keystone"), {}), manifest_of()
        assert repository.put_manifest(made) == made.digest
        assert repository.manifest(made.digest) == made
        assert repository.tags() == []

    def test_a_tag_moves_and_its_old_manifest_stays(self, place: ReleaseStore) -> None:
        old, new = manifest_of(number="1"), manifest_of(number="2")
        repository = filled(place.repository("keystone"), {"1": old})
        repository.put_manifest(new, "1")
        assert repository.manifest("1") == new
        assert repository.manifest(old.digest) == old

    def test_a_manifest_whose_blobs_are_missing_is_refused(self, place: ReleaseStore) -> None:
        repository = place.repository("keystone")
        with pytest.raises(StackwayError):
            repository.put_manifest(manifest_of(layers=(LAYER,)), "1")
        assert repository.manifest_digest("1") is None

    def test_a_repository_does_not_see_the_manifests_of_another(self, place: ReleaseStore) -> None:
        made = manifest_of()
        signature = manifest_of(made, kind="signature")
        filled(place.repository("keystone"), {"1": made}).put_manifest(signature)
        other = filled(place.repository("glance"), {"2": manifest_of(number="2")})
        assert (other.tags(), other.manifest_digest("1")) == (["2"], None)
        assert other.manifest_digest(made.digest) is None
        assert other.referrers(made.digest) == []
        with pytest.raises(NotThereError):
            other.manifest(made.digest)

    def test_referrers_are_listed_by_digest_each_once(self, place: ReleaseStore) -> None:
        made = manifest_of()
        signatures = [manifest_of(made, number=str(number)) for number in range(3)]
        repository = filled(place.repository("keystone"), {"1": made})
        for signature in (*signatures, *signatures):
            repository.put_manifest(signature)
        listed = repository.referrers(made.digest)
        assert listed == sorted(map(as_blob, signatures), key=lambda blob: blob.digest)
        assert [repository.manifest(blob.digest) for blob in listed] == [
            next(item for item in signatures if item.digest == blob.digest) for blob in listed
        ]

    def test_a_referrer_may_come_before_what_it_is_about(self, place: ReleaseStore) -> None:
        made = manifest_of()
        signature = manifest_of(made, kind="signature")
        repository = filled(place.repository("keystone"), {"signed": signature})
        assert repository.referrers(made.digest) == [as_blob(signature)]
        repository.put_manifest(made, "1")
        assert repository.referrers(made.digest) == [as_blob(signature)]
        assert repository.referrers(signature.digest) == []

    def test_what_is_put_while_writing_is_seen_at_once_and_afterwards(self, place: ReleaseStore) -> None:
        repository, made = filled(place.repository("keystone"), {}), manifest_of()
        with place.writing():
            repository.put_manifest(made, "1")
            with place.writing():
                repository.put_manifest(manifest_of(made), "sig")
            assert repository.manifest("1") == made
            assert len(repository.referrers(made.digest)) == 1
        assert {"1", "sig"} <= set(place.repository("keystone").tags())

    @pytest.mark.parametrize("name", ["", "..", "a/../b", "A", "a b", "a:1", "a@b", "/a", "a?b", "x" * 256])
    def test_what_is_no_repository_is_refused(self, place: ReleaseStore, name: str) -> None:
        with pytest.raises(WrongInputError):
            place.repository(name)

    @pytest.mark.parametrize("tag", ["..", "a/b", "a b", "a?b", "-a", "x" * 129, "a@" + blob_of(LAYER).digest])
    def test_what_is_no_tag_is_refused(self, place: ReleaseStore, tag: str) -> None:
        repository = filled(place.repository("keystone"), {})
        with pytest.raises(WrongInputError):
            repository.put_manifest(manifest_of(), tag)
        with pytest.raises(NotThereError):
            repository.manifest(tag)
        assert repository.manifest_digest(tag) is None
        assert repository.tags() == []

    def test_a_manifest_that_is_too_large_is_refused(self, place: ReleaseStore) -> None:
        with pytest.raises(WrongInputError):
            filled(place.repository("keystone"), {}).put_manifest(manifest_of(text="x" * (4 << 20)), "1")

    def test_a_manifest_that_is_no_object_is_refused(self, place: ReleaseStore) -> None:
        with pytest.raises(StackwayError):
            place.repository("keystone").put_manifest(Manifest(b"[]", MANIFEST), "1")
        assert place.repository("keystone").manifest_digest("1") is None
