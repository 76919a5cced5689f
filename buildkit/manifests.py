# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Manifests on their way from and to a registry, always as the bytes that their digest is of. Knows no blobs.

Format: OCI distribution specification 1.1, "Pulling manifests" and "Pushing manifests".
"""

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from buildkit.access import TAMPERED, Access
from buildkit.complaints import NotThereError, Question, WrongContentError, read_capped
from buildkit.references import is_digest
from stackway.console import printable
from stackway.errors import WrongInputError
from stackway.files import digest_bytes

MANIFEST_MAX = 4 << 20
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    INDEX_TYPE,
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_ACCEPT = {"Accept": ", ".join(MANIFEST_TYPES)}
_MAYBE = (HTTPStatus.OK, HTTPStatus.NOT_FOUND)


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
            raise WrongContentError("a manifest is not a JSON object", details=self.digest, resolution=TAMPERED)
        return data


def read_digest(access: Access, reference: str) -> str | None:
    """Return what a tag (or digest) stands for by the registry's word, None when it is not there."""
    answer = access.ask(Question("HEAD", access.url("manifests", reference), _ACCEPT), *_MAYBE)
    read_capped(answer, 0)
    if not answer.ok:
        return None
    said = answer.headers.get("Docker-Content-Digest", "")
    return said if is_digest(said) else read_manifest(access, reference).digest


def read_manifest(access: Access, reference: str) -> Manifest:
    """Return the manifest of a tag or digest.

    Raises NotThereError, and WrongContentError when it is too large or not what it should be.
    """
    answer = access.ask(Question("GET", access.url("manifests", reference), _ACCEPT), *_MAYBE)
    content = read_capped(answer, MANIFEST_MAX)
    if not answer.ok:
        raise not_there(access, reference)
    if len(content) > MANIFEST_MAX:
        raise access.wrong(reference, f"more than the {MANIFEST_MAX} bytes that a manifest may have")
    manifest = Manifest(content, answer.headers.get("Content-Type", "").partition(";")[0].strip())
    said = answer.headers.get("Docker-Content-Digest") or manifest.digest
    if manifest.digest != said or (is_digest(reference) and manifest.digest != reference):
        raise access.wrong(reference, f"bytes with {manifest.digest} (its header says {said})")
    kind = manifest.data().get("mediaType", manifest.media_type)
    if kind != manifest.media_type:
        raise access.wrong(reference, f"{kind} under the name {manifest.media_type}")
    return manifest


def write_manifest(access: Access, manifest: Manifest, reference: str) -> str:
    """Put a manifest there; return the digest of the subject that the registry has seen in it, empty for none.

    Raises WrongInputError for what is too large, WrongContentError for what is no manifest; then nothing was sent.
    """
    if len(manifest.content) > MANIFEST_MAX:
        raise WrongInputError(
            "the manifest is too large for a registry",
            details=f"{len(manifest.content)} bytes, {MANIFEST_MAX} at most",
        )
    manifest.data()
    headers = {"Content-Type": manifest.media_type}
    question = Question("PUT", access.url("manifests", reference), headers, lambda: manifest.content)
    answer = access.ask(question, HTTPStatus.CREATED)
    read_capped(answer, MANIFEST_MAX)
    access.check_said(answer, manifest.digest)
    return answer.headers.get("OCI-Subject", "")


def not_there(access: Access, what: str) -> NotThereError:
    """Return the error for something that the repository does not have."""
    return NotThereError(
        "the registry does not have what was asked for",
        details=printable(f"{access}: {what}"),
        resolution="Check the name; if it is right, copy what it belongs to there anew, whole.",
    )
