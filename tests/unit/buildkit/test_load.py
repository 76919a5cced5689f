# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Archives for engines hold the chosen images and nothing else, byte for byte what their digests say."""

import gzip
import io
import json
import os
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit.archives import Member, PlainImage, archive_size, digest_name, full_name, oci_members, tar_stream
from buildkit.bodies import DamagedBlobError
from buildkit.load import Feed, complete_images, load_docker, local_containerd
from buildkit.store import Blob, Store, StoredImage
from buildkit.unpacking import plain_chunks, plain_size
from stackway.console import SilentReporter
from stackway.errors import FailedError, UnavailableError, WrongInputError
from stackway.files import digest_bytes
from tests.fakes.docker import FakeDocker
from tests.fakes.images import damage, fill_store, plain_layer

BASE = {"base": b"b" * 5000}
IMAGES = {"keystone:2026.1": [BASE, {"keystone": b"k"}], "glance:2026.1": [BASE, {"glance": b"g"}]}
SILENT = SilentReporter()

Filled = tuple[Store, list[StoredImage]]


@pytest.fixture
def filled(tmp_path: Path) -> Filled:
    return fill_store(tmp_path, IMAGES)


def members_of(stream: Iterable[bytes]) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
        files = {info.name: archive.extractfile(info) for info in archive}
        return {name: file.read() for name, file in files.items() if file}


def read_all(store: Store, blob: Blob) -> Iterator[bytes]:
    yield store.path(blob.digest).read_bytes()


@given(st.dictionaries(st.from_regex(r"[a-z]{1,150}", fullmatch=True), st.binary(max_size=2000), max_size=5))
def test_an_archive_holds_what_was_put_in(files: dict[str, bytes]) -> None:
    members = [Member(name, len(content), partial(iter, (content,))) for name, content in files.items()]
    stream = b"".join(tar_stream(members))
    assert members_of([stream]) == files
    assert len(stream) % tarfile.BLOCKSIZE == 0
    assert archive_size(members) == sum(map(len, files.values()))


@pytest.mark.parametrize("size", [4, 6])
def test_a_content_of_another_size_breaks_the_archive_off(size: int) -> None:
    with pytest.raises(FailedError, match="5 bytes"):
        list(tar_stream([Member("x", size, lambda: (b"12345",))]))


def test_an_oci_archive_holds_the_blobs_of_the_chosen_images(filled: Filled) -> None:
    store, (first, _) = filled
    content = members_of(tar_stream(oci_members([first], lambda blob: read_all(store, blob))))
    blobs = {f"sha256:{name.rpartition('/')[2]}": data for name, data in content.items() if "blobs" in name}
    assert blobs.keys() == {blob.digest for blob in first.blobs}
    assert all(digest_bytes(data) == digest for digest, data in blobs.items())


def test_an_oci_archive_names_each_image_by_tag_and_by_digest(filled: Filled) -> None:
    store, images = filled
    content = members_of(tar_stream(oci_members(images, lambda blob: read_all(store, blob))))
    entries = json.loads(content["index.json"])["manifests"]
    names = {entry["annotations"]["io.containerd.image.name"]: entry["digest"] for entry in entries}
    assert names == {
        name: image.manifest.digest for image in images for name in (full_name(image.name), digest_name(image))
    }


def test_equal_images_give_equal_archives(filled: Filled) -> None:
    store, images = filled
    first, second = (list(tar_stream(oci_members(images, lambda blob: read_all(store, blob)))) for _ in range(2))
    assert b"".join(first) == b"".join(second)


def test_names_are_those_that_pods_ask_for(filled: Filled) -> None:
    image = filled[1][0]
    assert full_name("keystone:2026.1") == "stackway.local/keystone:2026.1"
    assert (
        digest_name(replace(image, name="python/trixie:1")) == f"stackway.local/python/trixie@{image.manifest.digest}"
    )


# Layers


@pytest.mark.parametrize("kind", ["tar+zstd", "tar+gzip", "tar"])
def test_a_layer_is_unpacked_whatever_it_is_compressed_with(kind: str, tmp_path: Path) -> None:
    plain = plain_layer({"file": b"x" * 1_000_000})
    layer, store = stored(tmp_path, kind, plain)
    assert b"".join(plain_chunks(store, layer, digest_bytes(plain))) == plain
    assert plain_size(store, layer, digest_bytes(plain)) == len(plain)


def stored(folder: Path, kind: str, plain: bytes) -> tuple[Blob, Store]:
    import zstandard

    content = {"tar+zstd": zstandard.compress(plain), "tar+gzip": gzip.compress(plain), "tar": plain}.get(kind, plain)
    store = Store(folder)
    blob = Blob(f"application/vnd.oci.image.layer.v1.{kind}", digest_bytes(content), len(content))
    store.path(blob.digest).parent.mkdir(parents=True)
    store.path(blob.digest).write_bytes(content)
    return blob, store


@pytest.mark.parametrize("kind", ["tar+zstd", "tar+gzip", "tar"])
def test_a_damaged_layer_is_named(kind: str, tmp_path: Path) -> None:
    plain = plain_layer({"file": os.urandom(10_000)})
    layer, store = stored(tmp_path, kind, plain)
    damage(store, layer.digest)
    with pytest.raises(DamagedBlobError, match=layer.digest):
        plain_size(store, layer, digest_bytes(plain))


def test_a_layer_that_is_another_one_unpacked_is_named(tmp_path: Path) -> None:
    layer, store = stored(tmp_path, "tar+zstd", plain_layer({"file": b"x"}))
    with pytest.raises(DamagedBlobError, match=layer.digest):
        plain_size(store, layer, digest_bytes(b"other"))


def test_an_unknown_compression_is_named(tmp_path: Path) -> None:
    layer, store = stored(tmp_path, "tar+lzma", b"x")
    with pytest.raises(WrongInputError, match="lzma"):
        plain_size(store, layer, digest_bytes(b"x"))


@pytest.mark.parametrize("config", [b"{}", b"[", b'{"rootfs": {"diff_ids": ["sha256:1"]}}', b'{"rootfs": null}'])
def test_a_configuration_that_does_not_fit_the_layers_is_refused(config: bytes, filled: Filled) -> None:
    with pytest.raises(FailedError, match="not a whole image"):
        _ = PlainImage("glance:2026.1", config, filled[1][0]).layers


# Docker


def test_docker_gets_images_with_plain_layers(filled: Filled) -> None:
    store, images = filled
    engine = FakeDocker()
    assert load_docker(store, images, SILENT, engine) == [full_name(image.name) for image in images]
    assert {name: image.id for name, image in engine.held.items()} == {
        full_name(image.name): image.config.digest for image in images
    }


def test_what_docker_has_is_not_loaded_again(filled: Filled) -> None:
    store, images = filled
    engine = FakeDocker()
    load_docker(store, images[:1], SILENT, engine)
    assert load_docker(store, images, SILENT, engine) == [full_name(images[1].name)]
    assert load_docker(store, images, SILENT, engine) == []
    assert engine.loads == 2


def test_docker_gets_no_image_with_a_damaged_layer(filled: Filled) -> None:
    store, images = filled
    damage(store, images[0].layers[1].digest)
    engine = FakeDocker()
    with pytest.raises(DamagedBlobError, match=images[0].layers[1].digest):
        load_docker(store, images, SILENT, engine)
    assert engine.held == {}


def test_an_engine_that_keeps_nothing_is_an_error(filled: Filled) -> None:
    store, images = filled
    with pytest.raises(FailedError, match="does not have"):
        load_docker(store, images, SILENT, FakeDocker(forgetful=True))


def test_an_engine_that_keeps_another_image_under_the_name_is_an_error(filled: Filled) -> None:
    store, images = filled
    engine = FakeDocker()
    load_docker(store, images[:1], SILENT, engine)
    engine.held[full_name(images[1].name)] = engine.held[full_name(images[0].name)]
    engine.forgetful = True
    with pytest.raises(FailedError, match="does not have"):
        load_docker(store, images, SILENT, engine)


def test_an_engine_that_refuses_is_an_error_without_escapes(filled: Filled) -> None:
    store, images = filled
    with pytest.raises(FailedError, match="does not take") as caught:
        load_docker(store, images, SILENT, FakeDocker(refusal="\x1b[31mno space left"))
    assert "no space left" in caught.value.details
    assert "\x1b" not in caught.value.details


def test_no_engine_is_told_as_such(filled: Filled) -> None:
    with pytest.raises(UnavailableError, match="no Docker engine"):
        load_docker(*filled, SILENT, FakeDocker(gone=True))


# containerd


def test_an_image_counts_only_when_it_is_complete_and_unpacked() -> None:
    listing = """\
REF TYPE DIGEST STATUS SIZE UNPACKED
a:1 application/x sha256:1 complete (3/3) 19.1 MiB/19.1 MiB true
b:1 application/x sha256:2 complete (3/3) 19.1 MiB/19.1 MiB false
c:1 application/x sha256:3 incomplete (1/3) 1.0 MiB/19.1 MiB false
d:1 application/x sha256:4 unavailable (0/?) 0.0 B/? false
e:1 application/x sha256:5 incomplete (1/3) 1.0 MiB/19.1 MiB true

"""
    assert complete_images(listing) == {"a:1": "sha256:1"}
    assert complete_images("") == {}


@pytest.mark.parametrize(
    ("environment", "address", "namespace"),
    [
        ({}, "/run/containerd/containerd.sock", "default"),
        ({"CONTAINERD_ADDRESS": "/s", "CONTAINERD_NAMESPACE": "k8s.io"}, "/s", "k8s.io"),
    ],
)
def test_containerd_is_where_ctr_would_look(environment: dict[str, str], address: str, namespace: str) -> None:
    found = local_containerd(environment)
    assert (found.address, found.namespace) == (address, namespace)
    assert found.command("version").arguments == ("ctr", "--address", address, "--namespace", namespace, "version")


def test_a_pipe_gives_its_reader_the_stream(tmp_path: Path) -> None:
    chunks = [os.urandom(70_000) for _ in range(5)]
    with Feed(tmp_path / "pipe", iter(chunks)) as feed:
        content = feed.path.read_bytes()
    assert content == b"".join(chunks)
    assert feed.problem is None


def test_a_pipe_that_nobody_reads_ends(tmp_path: Path) -> None:
    with Feed(tmp_path / "pipe", iter([b"x"])) as feed:
        pass
    assert feed.problem is None


def test_a_reader_that_ends_early_is_no_problem_of_the_pipe(tmp_path: Path) -> None:
    with Feed(tmp_path / "pipe", iter([bytes(1 << 20)] * 3)) as feed, feed.path.open("rb") as file:
        assert file.read(10) == bytes(10)
    assert feed.problem is None


def test_a_stream_that_ends_with_an_error_tells_why(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"beginning"
        raise FailedError("it broke")

    with Feed(tmp_path / "pipe", broken()) as feed:
        assert feed.path.read_bytes() == b"beginning"
    assert str(feed.problem) == "it broke"
