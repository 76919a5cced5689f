# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Which manifests of a repository refer to another one: asked of the registry, or kept in an index where it keeps no list.

Format: OCI distribution specification 1.1, "Listing Referrers" and "Referrers Tag Schema". Anybody may write there and no
entry is believed: those that are none are left out, the others only say what to look at.
"""

import json
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from buildkit.access import Access
from buildkit.complaints import NotThereError, Question, RegistryError, WrongContentError, read_capped
from buildkit.manifests import INDEX_TYPE, MANIFEST_MAX, Manifest, read_manifest, write_manifest
from buildkit.references import is_digest
from buildkit.store import Blob
from buildkit.transport import backoff

REFERRERS_MAX = 1_000
_PAGES_MAX = 100
_BYTES_MAX = 16 << 20
_TRIES = 5
_UNKNOWN = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)


def list_referrers(access: Access, digest: str) -> list[Blob]:
    """Return the manifests that refer to `digest`, sorted by digest, each once, `REFERRERS_MAX` at most.

    Raises what `Transport.ask` raises, and nothing for what stands in an answer.
    """
    found: dict[str, Blob] = {}
    # A mirror may answer for itself and carry the other's index; a registry may have learnt to list after it was written.
    for row in (*_listed(access, digest), *_readable(access, digest)):
        blob = read_row(row)
        if blob and len(found) < REFERRERS_MAX:
            found.setdefault(blob.digest, blob)
    return [found[name] for name in sorted(found)]


def add_referrer(access: Access, manifest: Manifest, seen: str) -> None:
    """Make a manifest that was put findable by its subject; `seen` is the subject that the registry has seen itself.

    Raises RegistryError when other writers take our entry out of the index again and again.
    """
    data = manifest.data()
    subject = data.get("subject")
    digest = subject.get("digest") if isinstance(subject, dict) else None
    if not isinstance(digest, str) or not is_digest(digest) or seen == digest:
        return
    for attempt in range(_TRIES + 1):
        if attempt > 1:
            access.transport.pause(backoff(attempt - 1))
        rows = [row for row in _kept(access, digest) if read_row(row)]
        if any(row["digest"] == manifest.digest for row in rows):
            return
        if attempt < _TRIES:
            write_manifest(access, _index([*rows, _entry(manifest, data)]), fallback_tag(digest))
    raise RegistryError(
        "the list of what refers to a manifest loses our entry again and again",
        details=f"{access}:{fallback_tag(digest)}\n{manifest.digest} refers to {digest}",
        resolution="Others write to it at the same time. Run the same command again when they are done.",
    )


def fallback_tag(digest: str) -> str:
    """Return the tag of the index that stands for the list of what refers to `digest`."""
    return digest.replace(":", "-")


def read_rows(content: bytes) -> list[Any]:
    """Return the entries of an index, none for what is no index."""
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        return []
    rows = data.get("manifests") if isinstance(data, dict) else None
    return rows if isinstance(rows, list) else []


def read_row(row: Any) -> Blob | None:
    """Return what an entry names, None for what is no entry."""
    if not isinstance(row, dict):
        return None
    kind, digest, size = (row.get(name) for name in ("mediaType", "digest", "size"))
    if not isinstance(kind, str) or not isinstance(digest, str) or not is_digest(digest):
        return None
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        return None
    return Blob(kind, digest, size)


def _listed(access: Access, digest: str) -> Iterator[Any]:
    """Yield the entries that the registry lists itself, page by page, none when it lists nothing."""
    url, left = access.url("referrers", digest), _BYTES_MAX
    for _ in range(_PAGES_MAX):
        answer = access.ask(Question("GET", url, {"Accept": INDEX_TYPE}), HTTPStatus.OK, *_UNKNOWN)
        content = read_capped(answer, min(left, MANIFEST_MAX))
        left -= len(content)
        if not answer.ok or left <= 0:
            return
        yield from read_rows(content)
        following = answer.links.get("next", {}).get("url", "")
        if not following:
            return
        url = access.follow(answer, following)


def _readable(access: Access, digest: str) -> list[Any]:
    try:
        return _kept(access, digest)
    except WrongContentError:
        return []


def _kept(access: Access, digest: str) -> list[Any]:
    """Return the entries of the index that stands for the list, none when there is none. Raises WrongContentError."""
    try:
        return read_rows(read_manifest(access, fallback_tag(digest)).content)
    except NotThereError:
        return []


def _entry(manifest: Manifest, data: Mapping[str, Any]) -> dict[str, Any]:
    config = data.get("config")
    kind = data.get("artifactType") or (config.get("mediaType") if isinstance(config, dict) else None)
    more = {"artifactType": kind, "annotations": data.get("annotations")}
    size = len(manifest.content)
    named = {"mediaType": manifest.media_type, "digest": manifest.digest, "size": size}
    return named | {name: value for name, value in more.items() if value}


def _index(rows: list[Any]) -> Manifest:
    content = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": rows}
    # Only ASCII: others' entries may hold what cannot be written as UTF-8.
    return Manifest(json.dumps(content, sort_keys=True, separators=(",", ":")).encode(), INDEX_TYPE)
