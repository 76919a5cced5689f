# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""An OCI registry: blobs, manifests, tags, each checked against its digest in both directions. Decides nothing about images.

Format: OCI distribution specification 1.1. A registry's word is never taken for a digest or a size.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

from buildkit.bodies import CheckedBody, write_whole
from buildkit.complaints import Question, RegistryError, UnreachableRegistryError, WrongContentError, read_capped
from buildkit.credentials import find_credentials
from buildkit.references import Reference, api_host, is_digest, is_host, is_loopback
from buildkit.store import Blob
from buildkit.transport import TRIES, Transport, backoff, open_session
from stackway.console import printable
from stackway.errors import WrongInputError
from stackway.files import digest_bytes

if TYPE_CHECKING:
    import requests

OpenBlob = Callable[[], BinaryIO]

MANIFEST_MAX = 4 << 20
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_CHUNK = 1 << 18
_TAGS_MAX = 10_000
_MAYBE = (HTTPStatus.OK, HTTPStatus.NOT_FOUND)
_TAMPERED = "Do not use it. Ask who runs the registry; what lies between here and there may have changed it."


@dataclass(frozen=True)
class Manifest:
    """A manifest as the bytes that its digest is of; never parsed and written again."""

    content: bytes = field(repr=False)
    media_type: str

    @property
    def digest(self) -> str:
        """The digest of the bytes."""
        return digest_bytes(self.content)

    def data(self) -> dict[str, Any]:
        """Return the parsed content. Raises WrongContentError when it is no JSON object."""
        try:
            data = json.loads(self.content)
        except (ValueError, RecursionError):
            data = None
        if not isinstance(data, dict):
            raise WrongContentError("a manifest is not a JSON object", details=self.digest, resolution=_TAMPERED)
        return data


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

    def has(self, blob: Blob) -> bool:
        """Tell whether the blob is there. Raises WrongContentError when the registry has another size under its digest."""
        answer = self._ask(Question("HEAD", self._url("blobs", blob.digest)), *_MAYBE)
        read_capped(answer, 0)
        length = answer.headers.get("Content-Length", "")
        if answer.ok and length.isdecimal() and int(length) != blob.size:
            raise self._wrong(blob.digest, f"{length} bytes instead of {blob.size}")
        return answer.ok

    def upload(self, blob: Blob, source: OpenBlob, *, mount_from: str = "") -> int:
        """Put a blob there and return the bytes sent: 0 when the registry had it in `mount_from`, a repository of its own.

        The bytes are hashed as they go out. Raises DamagedBlobError when they are not the blob; then it does not get there.
        """
        for attempt in range(1, TRIES):
            try:
                return self._upload(blob, source, mount_from)
            except UnreachableRegistryError:
                # The whole upload may be repeated: the blob's name is its content.
                self.registry.transport.pause(backoff(attempt))
                if self.has(blob):
                    return blob.size
        return self._upload(blob, source, mount_from)

    def chunks(self, blob: Blob) -> Iterator[bytes]:
        """Yield the blob's bytes. Raises WrongContentError, at the latest after the last, when they are not the blob."""
        import urllib3

        question = Question("GET", self._url("blobs", blob.digest))
        answer, hasher, size = self._ask(question, HTTPStatus.OK), hashlib.sha256(), 0
        try:
            for chunk in answer.raw.stream(_CHUNK, decode_content=False):
                size += len(chunk)
                if size > blob.size:
                    raise self._wrong(blob.digest, f"more than its {blob.size} bytes")
                hasher.update(chunk)
                yield chunk
        except urllib3.exceptions.HTTPError as error:
            raise UnreachableRegistryError(
                f"{self.registry.host} breaks off", details=f"{question}\nafter {size} of {blob.size} bytes"
            ) from error
        finally:
            answer.close()
        if (size, f"sha256:{hasher.hexdigest()}") != (blob.size, blob.digest):
            raise self._wrong(blob.digest, f"{size} bytes with sha256:{hasher.hexdigest()}")

    def read(self, blob: Blob, most: int = MANIFEST_MAX) -> bytes:
        """Return a small blob. Raises WrongContentError when it is larger than `most` bytes or not the blob."""
        if blob.size > most:
            raise self._wrong(blob.digest, f"{blob.size} bytes, more than the {most} that it may have")
        return b"".join(self.chunks(blob))

    def download(self, blob: Blob, target: Path) -> None:
        """Write a blob to a file, whole and checked or not at all; tried again when it breaks off."""
        for attempt in range(1, TRIES):
            try:
                return write_whole(self.chunks(blob), target)
            except UnreachableRegistryError:
                self.registry.transport.pause(backoff(attempt))
        return write_whole(self.chunks(blob), target)

    def manifest_digest(self, reference: str) -> str | None:
        """Return what a tag (or digest) stands for by the registry's word, None when it is not there."""
        question = Question("HEAD", self._url("manifests", reference), {"Accept": ", ".join(MANIFEST_TYPES)})
        answer = self._ask(question, *_MAYBE)
        read_capped(answer, 0)
        if not answer.ok:
            return None
        said = answer.headers.get("Docker-Content-Digest", "")
        return said if is_digest(said) else self.manifest(reference).digest

    def manifest(self, reference: str) -> Manifest:
        """Return the manifest of a tag or digest. Raises WrongContentError when it is too large or not what it should be."""
        question = Question("GET", self._url("manifests", reference), {"Accept": ", ".join(MANIFEST_TYPES)})
        answer = self._ask(question, HTTPStatus.OK)
        content = read_capped(answer, MANIFEST_MAX)
        if len(content) > MANIFEST_MAX:
            raise self._wrong(reference, f"more than the {MANIFEST_MAX} bytes that a manifest may have")
        manifest = Manifest(content, answer.headers.get("Content-Type", "").partition(";")[0].strip())
        said = answer.headers.get("Docker-Content-Digest") or manifest.digest
        if manifest.digest != said or (is_digest(reference) and manifest.digest != reference):
            raise self._wrong(reference, f"bytes with {manifest.digest} (its header says {said})")
        kind = manifest.data().get("mediaType", manifest.media_type)
        if kind != manifest.media_type:
            raise self._wrong(reference, f"{kind} under the name {manifest.media_type}")
        return manifest

    def put_manifest(self, manifest: Manifest, tag: str = "") -> str:
        """Put a manifest there, under a tag or only its digest; return the digest. Its blobs must be there already."""
        if len(manifest.content) > MANIFEST_MAX:
            raise WrongInputError(
                "the manifest is too large for a registry",
                details=f"{len(manifest.content)} bytes, {MANIFEST_MAX} at most",
            )
        url = self._url("manifests", tag or manifest.digest)
        question = Question("PUT", url, {"Content-Type": manifest.media_type}, lambda: manifest.content)
        answer = self._ask(question, HTTPStatus.CREATED)
        read_capped(answer, MANIFEST_MAX)
        self._check_said(answer, manifest.digest)
        return manifest.digest

    def tags(self) -> list[str]:
        """Return all tags, sorted. Raises WrongContentError for an endless or unreadable list."""
        url, found = self._url("tags", "list"), set[str]()
        while url and len(found) <= _TAGS_MAX:
            answer = self._ask(Question("GET", url), *_MAYBE)
            content = read_capped(answer, MANIFEST_MAX)
            page = set(self._tag_page(content)) if answer.ok else set()
            following = answer.links.get("next", {}).get("url", "")
            url = self.registry.transport.resolve(answer.url, following) if following and page - found else ""
            found |= page
        if len(found) > _TAGS_MAX:
            raise self._wrong("tags/list", f"more than {_TAGS_MAX} tags")
        return sorted(found)

    def _upload(self, blob: Blob, source: OpenBlob, mount_from: str) -> int:
        mount = f"?mount={blob.digest}&from={quote(mount_from, safe='')}" if mount_from else ""
        question = Question("POST", self._url("blobs", "uploads/") + mount, repeatable=False)
        answer = self._ask(question, HTTPStatus.ACCEPTED, *((HTTPStatus.CREATED,) if mount else ()))
        read_capped(answer, MANIFEST_MAX)
        if answer.status_code == HTTPStatus.CREATED:
            self._check_said(answer, blob.digest)
            return 0
        if "Location" not in answer.headers:
            raise RegistryError("the registry does not say where to upload to", details=str(question))
        place = self.registry.transport.resolve(answer.url, answer.headers["Location"])
        place += ("&" if "?" in place else "?") + f"digest={blob.digest}"
        with source() as file:
            headers = {"Content-Type": "application/octet-stream"}
            body = CheckedBody(file, blob)
            answer = self._ask(Question("PUT", place, headers, body.rewound, repeatable=False), HTTPStatus.CREATED)
        read_capped(answer, MANIFEST_MAX)
        self._check_said(answer, blob.digest)
        return blob.size

    def _tag_page(self, content: bytes) -> list[str]:
        try:
            tags = json.loads(content)["tags"] or []
            return [str(tag) for tag in tags]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise self._wrong("tags/list", "something else than a list of tags") from None

    def _check_said(self, answer: "requests.Response", digest: str) -> None:
        said = answer.headers.get("Docker-Content-Digest") or digest
        if said != digest:
            raise self._wrong(digest, f"it stored {said}")

    def _ask(self, question: Question, *expect: int) -> "requests.Response":
        return self.registry.transport.ask(question, self.name, *expect)

    def _url(self, kind: str, what: str) -> str:
        return f"/v2/{self.name}/{kind}/{what}"

    def _wrong(self, what: str, got: str) -> WrongContentError:
        return WrongContentError(
            "the registry does not have what was asked for",
            details=printable(f"{self}: {what}\ngot: {got}"),
            resolution=_TAMPERED,
        )
