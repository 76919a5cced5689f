# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What manifests say: which blobs they name, what they refer to, and whether they are manifests at all. Pure.

Formats: image manifest and image index of the OCI image specification 1.1.
"""

from collections.abc import Iterator
from typing import Any

from buildkit.complaints import WrongContentError
from buildkit.references import is_digest
from buildkit.registry import MANIFEST_MAX, MANIFEST_TYPES, Manifest
from buildkit.store import Blob
from stackway.errors import WrongInputError


def named_blobs(data: dict[str, Any]) -> Iterator[tuple[Blob, bool]]:
    """Yield what a manifest consists of, and whether that is a manifest too. What it refers to is no part of it."""
    for key in ("config", "layers", "manifests"):
        value = data.get(key, [])
        for row in value if isinstance(value, list) else [value]:
            if not isinstance(row, dict):
                continue
            kind, digest, size = (row.get(name) for name in ("mediaType", "digest", "size"))
            if isinstance(digest, str) and is_digest(digest) and isinstance(size, int):
                yield Blob(str(kind), digest, size), key == "manifests"


def subject_of(data: dict[str, Any]) -> str:
    """Return the digest of what a manifest refers to, empty for none."""
    subject = data.get("subject")
    digest = subject.get("digest") if isinstance(subject, dict) else None
    return digest if isinstance(digest, str) and is_digest(digest) else ""


def check_manifest(manifest: Manifest) -> None:
    """Raise WrongInputError for a manifest that is too large, WrongContentError for what is none or of another kind."""
    if len(manifest.content) > MANIFEST_MAX:
        raise WrongInputError(
            "the manifest is too large", details=f"{len(manifest.content)} bytes, {MANIFEST_MAX} at most"
        )
    kind = manifest.data().get("mediaType", manifest.media_type)
    if kind != manifest.media_type or kind not in MANIFEST_TYPES:
        raise no_manifest(manifest, f"{kind} under the name {manifest.media_type}")


def no_manifest(manifest: Manifest, why: str) -> WrongContentError:
    """Return the error for what cannot be kept as a manifest."""
    return WrongContentError(
        "this is not a manifest that can be kept",
        details=f"{manifest.digest}: {why}",
        resolution="Nothing was changed. Tell whoever made it.",
    )
