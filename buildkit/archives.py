# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The two archives that engines take images from, as streams: what is in them and in which order. Pure; opens nothing.

Formats: OCI image layout 1.0 in a tar (containerd), and the docker-archive of `docker save` with plain tar layers, which
every Docker engine reads.
"""

import json
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from buildkit.store import CONTAINERD_NAME, HOST, REF_NAME, Blob, StoredImage
from stackway.errors import FailedError
from stackway.files import canonical_json

Chunks = Callable[[], Iterable[bytes]]
_INDEX_TYPE = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True)
class Member:
    """A file of an archive; `chunks` opens its content when its turn comes."""

    name: str
    size: int
    chunks: Chunks


@dataclass(frozen=True)
class PlainImage:
    """An image as older engines want it: with its configuration's bytes, and layers known by their plain tar's digest."""

    name: str
    config: bytes
    source: StoredImage

    @property
    def diff_ids(self) -> tuple[str, ...]:
        """The digests of the plain layers. Raises FailedError when they do not match the manifest's layers."""
        try:
            found = tuple(str(diff_id) for diff_id in json.loads(self.config)["rootfs"]["diff_ids"])
        except (ValueError, KeyError, TypeError):
            found = ()
        if len(found) != len(self.source.layers):
            raise FailedError(
                f"{self.name} is not a whole image",
                details=f"its manifest has {len(self.source.layers)} layers, its configuration {len(found)}",
                resolution="Build it again with --no-cache.",
            )
        return found

    @property
    def layers(self) -> dict[str, Blob]:
        """The layers in order, by the digest of their plain tar."""
        return dict(zip(self.diff_ids, self.source.layers, strict=True))


def full_name(image: str) -> str:
    """Return the name that engines know an image by: `stackway.local/keystone:2026.1`."""
    return f"{HOST}/{image}"


def digest_name(image: StoredImage) -> str:
    """Return the name that pods which are pinned by digest ask for: `stackway.local/keystone@sha256:…`."""
    return f"{HOST}/{image.name.partition(':')[0]}@{image.manifest.digest}"


def oci_members(images: Sequence[StoredImage], open_blob: Callable[[Blob], Iterable[bytes]]) -> list[Member]:
    """Return the members of an OCI layout with these images, each by tag and by digest; shared blobs are in it once."""
    entries = [_entry(image, name) for image in images for name in (full_name(image.name), digest_name(image))]
    index = canonical_json({"schemaVersion": 2, "mediaType": _INDEX_TYPE, "manifests": entries})
    blobs = {blob.digest: blob for image in images for blob in image.blobs}
    return [
        _bytes_member("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'),
        _bytes_member("index.json", index),
        *(Member(f"blobs/sha256/{_hex(blob.digest)}", blob.size, partial(open_blob, blob)) for blob in blobs.values()),
    ]


def docker_members(
    images: Sequence[PlainImage], sizes: Mapping[str, int], open_layer: Callable[[str], Iterable[bytes]]
) -> list[Member]:
    """Return the members of a docker-archive with these images.

    `sizes` has the bytes of each plain layer by its diff_id, `open_layer` gives its content.
    """
    listing = [
        {
            "Config": f"{_hex(image.source.config.digest)}.json",
            "RepoTags": [full_name(image.name)],
            "Layers": [f"{_hex(diff_id)}.tar" for diff_id in image.diff_ids],
        }
        for image in images
    ]
    configs = {image.source.config.digest: image.config for image in images}
    layers = {diff_id: sizes[diff_id] for image in images for diff_id in image.diff_ids}
    return [
        _bytes_member("manifest.json", canonical_json(listing)),
        *(_bytes_member(f"{_hex(digest)}.json", content) for digest, content in configs.items()),
        *(Member(f"{_hex(diff_id)}.tar", size, partial(open_layer, diff_id)) for diff_id, size in layers.items()),
    ]


def archive_size(members: Iterable[Member]) -> int:
    """Return the bytes of the members' contents, for progress."""
    return sum(member.size for member in members)


def tar_stream(members: Iterable[Member]) -> Iterator[bytes]:
    """Yield the archive in pieces: equal members give equal bytes. Raises FailedError when a content has another size."""
    for member in members:
        info = tarfile.TarInfo(member.name)
        info.size = member.size
        yield info.tobuf(tarfile.GNU_FORMAT)
        written = 0
        for chunk in member.chunks():
            written += len(chunk)
            yield chunk
        if written != member.size:
            raise FailedError(f"{member.name} has {written} bytes instead of {member.size}")
        yield b"\0" * (-written % tarfile.BLOCKSIZE)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)


def _entry(image: StoredImage, name: str) -> dict[str, object]:
    return {
        "mediaType": image.manifest.media_type,
        "digest": image.manifest.digest,
        "size": image.manifest.size,
        "annotations": {CONTAINERD_NAME: name, REF_NAME: name},
    }


def _bytes_member(name: str, content: bytes) -> Member:
    return Member(name, len(content), lambda: (content,))


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")
