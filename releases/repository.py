# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What a place for releases can do, be it an OCI layout directory or a registry. Holds nothing itself.

Terms of the OCI distribution specification 1.1: a *repository* holds blobs and manifests; a *tag* names a manifest; a
*referrer* is a manifest whose `subject` is another one.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

from buildkit.registry import Manifest, OpenBlob
from buildkit.store import Blob

REFERRERS_MAX = 1_000


class Repository(Protocol):
    """One repository. Whatever comes out of it is the bytes that were asked for, or an error."""

    @property
    def name(self) -> str:
        """The name within its place: `keystone`."""

    def has(self, blob: Blob) -> bool:
        """Tell whether the blob is there. Raises WrongContentError when another size is known under its digest."""

    def read(self, blob: Blob, most: int = ...) -> bytes:
        """Return a small blob. Raises WrongContentError when it is larger than `most` bytes or not the blob."""

    def chunks(self, blob: Blob) -> Iterator[bytes]:
        """Yield the blob's bytes. Raises WrongContentError, at the latest after the last, when they are not the blob."""

    def upload(self, blob: Blob, source: OpenBlob, *, mount_from: str = "") -> int:
        """Put a blob there; return the bytes that were sent, 0 when it was there or could be mounted or linked."""

    def manifest(self, reference: str) -> Manifest:
        """Return the manifest of a tag or digest. Raises NotThereError, or WrongContentError for what is not it."""

    def manifest_digest(self, reference: str) -> str | None:
        """Return the digest of the manifest that a tag or digest stands for, None when it is not there."""

    def put_manifest(self, manifest: Manifest, tag: str = "") -> str:
        """Put a manifest there, under a tag or only its digest; one with a subject becomes a referrer. Return its digest."""

    def referrers(self, digest: str) -> list[Blob]:
        """Return the manifests that refer to `digest`, sorted by digest, `REFERRERS_MAX` at most. Their word is not checked."""

    def tags(self) -> list[str]:
        """Return all tags, sorted."""


class ReleaseStore(Protocol):
    """A place with repositories."""

    @property
    def address(self) -> str:
        """What people call it: a folder, or `oci://host/prefix`."""

    def repository(self, name: str) -> Repository:
        """Return one of its repositories; nothing is asked yet."""

    def writing(self, wait: float = 0.0) -> AbstractContextManager[None]:
        """Hold the place for writing. What is written within shows to readers at its end, or not at all, where possible.

        Raises UnavailableError after `wait` seconds when another holds it. A registry cannot be held.
        """


def opener(content: bytes) -> OpenBlob:
    """Return what opens these bytes as a blob's source."""
    from io import BytesIO

    def open_content() -> BinaryIO:
        return BytesIO(content)

    return open_content
