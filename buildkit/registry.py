# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""An OCI registry: blobs, manifests, tags, each checked against its digest in both directions. Decides nothing about images.

Format: OCI distribution specification 1.1. A registry's word is never taken for a digest or a size.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from buildkit.access import Access
from buildkit.bodies import write_whole
from buildkit.complaints import Question, read_capped
from buildkit.credentials import find_credentials
from buildkit.downloads import has_blob, read_chunks
from buildkit.manifests import (
    MANIFEST_MAX,
    MANIFEST_TYPES,
    Manifest,
    read_digest,
    read_manifest,
    write_manifest,
)
from buildkit.references import Reference, api_host, is_host, is_loopback
from buildkit.referrers import add_referrer, list_referrers
from buildkit.store import Blob
from buildkit.transport import Transport, open_session
from buildkit.uploads import OpenBlob, upload_blob
from stackway.errors import WrongInputError

__all__ = ["MANIFEST_MAX", "MANIFEST_TYPES", "Manifest", "OpenBlob", "Registry", "Repository", "open_registry"]

_TAGS_MAX = 10_000
_MAYBE = (HTTPStatus.OK, HTTPStatus.NOT_FOUND)


@dataclass(frozen=True)
class Registry:
    """A registry by its name, and the way to it."""

    host: str
    transport: Transport

    def repository(self, name: str) -> "Repository":
        """Return one of its repositories; nothing is asked yet."""
        return Repository(self, name)

    def check(self) -> None:
        """Ask whether it is there and lets us in. Raises what `Transport.ask` raises."""
        read_capped(self.transport.ask(Question("GET", "/v2/"), "", HTTPStatus.OK), MANIFEST_MAX)


def open_registry(host: str, *, plain_http: bool | None = None) -> Registry:
    """Return the registry `host[:port]` with the user's credentials for it.

    Plain HTTP is spoken on loopback unless `plain_http` is False, and elsewhere only when it is True. Raises WrongInputError
    for what is no host and for credentials that cannot be read.
    """
    if not is_host(host):
        raise WrongInputError(
            f"{host!r} is not the name of a registry", resolution="Write HOST or HOST:PORT, like registry.example:5000."
        )
    plain = is_loopback(host) if plain_http is None else plain_http
    base = f"{'http' if plain else 'https'}://{api_host(host)}"
    return Registry(host, Transport(base, open_session(loopback=is_loopback(host)), find_credentials(host)))


@dataclass(frozen=True)
class Repository:
    """One repository of a registry. All methods raise what `Transport.ask` raises."""

    registry: Registry
    name: str

    def __str__(self) -> str:
        return f"{self.registry.host}/{self.name}"

    def reference(self, tag: str = "", digest: str = "") -> Reference:
        """Return the full name of something in it."""
        return Reference(self.registry.host, self.name, tag, digest)

    @property
    def access(self) -> Access:
        """The way to it."""
        return Access(self.registry.host, self.name, self.registry.transport)

    def has(self, blob: Blob) -> bool:
        """Tell whether the blob is there. Raises WrongContentError when the registry has another size under its digest."""
        return has_blob(self.access, blob)

    def upload(self, blob: Blob, source: OpenBlob, *, mount_from: str = "") -> int:
        """Put a blob there and return the bytes sent: 0 when the registry had it, here or in `mount_from` of its own.

        The bytes are hashed as they go out. Raises DamagedBlobError when they are not the blob; then it does not get there.
        """
        return upload_blob(self.access, blob, source, mount_from)

    def chunks(self, blob: Blob) -> Iterator[bytes]:
        """Yield the blob's bytes. Raises WrongContentError, at the latest after the last, when they are not the blob."""
        return read_chunks(self.access, blob)

    def read(self, blob: Blob, most: int = MANIFEST_MAX) -> bytes:
        """Return a small blob. Raises WrongContentError when it is larger than `most` bytes or not the blob."""
        if blob.size > most:
            raise self.access.wrong(blob.digest, f"{blob.size} bytes, more than the {most} that it may have")
        return b"".join(self.chunks(blob))

    def download(self, blob: Blob, target: Path) -> None:
        """Write a blob to a file, whole and checked or not at all; goes on where it stopped when it breaks off."""
        write_whole(self.chunks(blob), target)

    def manifest_digest(self, reference: str) -> str | None:
        """Return what a tag (or digest) stands for by the registry's word, None when it is not there."""
        return read_digest(self.access, reference)

    def manifest(self, reference: str) -> Manifest:
        """Return the manifest of a tag or digest.

        Raises NotThereError, and WrongContentError when it is too large or not what it should be.
        """
        return read_manifest(self.access, reference)

    def put_manifest(self, manifest: Manifest, tag: str = "") -> str:
        """Put a manifest there, under a tag or only its digest; return the digest. Its blobs must be there already.

        One with a subject becomes a referrer of it, by the registry's own means or in the index that stands for them.
        """
        seen = write_manifest(self.access, manifest, tag or manifest.digest)
        add_referrer(self.access, manifest, seen)
        return manifest.digest

    def referrers(self, digest: str) -> list[Blob]:
        """Return the manifests that refer to `digest`, by the registry's word and by the index that stands for it.

        Sorted by digest, `REFERRERS_MAX` at most. Anybody may add to them, so what is no entry is left out.
        """
        return list_referrers(self.access, digest)

    def tags(self) -> list[str]:
        """Return all tags, sorted. Raises WrongContentError for an endless or unreadable list."""
        url, found = self.access.url("tags", "list"), set[str]()
        while url and len(found) <= _TAGS_MAX:
            answer = self.access.ask(Question("GET", url), *_MAYBE)
            content = read_capped(answer, MANIFEST_MAX)
            page = set(self._tag_page(content)) if answer.ok else set()
            following = answer.links.get("next", {}).get("url", "")
            url = self.access.follow(answer, following) if following and page - found else ""
            found |= page
        if len(found) > _TAGS_MAX:
            raise self.access.wrong("tags/list", f"more than {_TAGS_MAX} tags")
        return sorted(found)

    def _tag_page(self, content: bytes) -> list[str]:
        try:
            tags = json.loads(content)["tags"] or []
            return [str(tag) for tag in tags]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise self.access.wrong("tags/list", "something else than a list of tags") from None
