# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What an archive says that it holds: its index and its manifests, read without trust. Pure; knows no tar and no files.

Formats: OCI image index and manifest 1.1, image-layout 1.0.0; entries are placed as `releases.entries` writes them.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from buildkit.references import is_digest
from buildkit.registry import MANIFEST_TYPES
from buildkit.store import REF_NAME, Blob
from releases.entries import REPOSITORY, check_place
from releases.signatures import read_descriptor
from releases.ustar import BrokenArchiveError, broken
from stackway.errors import WrongInputError

BASE = "dev.stackway.base"
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
_INDEX_TYPES = frozenset({_INDEX_TYPE, "application/vnd.docker.distribution.manifest.list.v2+json"})
# Values of a JSON text: so many of the smallest take some 30 MiB, where the bytes themselves are few.
_VALUES_MAX = 250_000
_MEDIA_TYPE = re.compile(r"[!-~]{1,127}/[!-~]{1,127}")


@dataclass(frozen=True)
class ArchivedManifest:
    """A manifest that an archive brings, and where it belongs; `tag` is empty when only its digest names it."""

    repository: str
    tag: str
    blob: Blob
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ArchiveIndex:
    """What an archive brings; `base` is the digest of the release whose blobs were left out, empty for none."""

    manifests: tuple[ArchivedManifest, ...]
    base: str = ""


@dataclass(frozen=True)
class Links:
    """What a manifest or a nested index names; `media_type` is its own word about itself, empty when it gives none."""

    media_type: str
    is_index: bool
    blobs: tuple[Blob, ...]

    def fits(self, media_type: str) -> bool:
        """Tell whether it may be called a `media_type`."""
        return self.is_index == (media_type in _INDEX_TYPES) and self.media_type in {"", media_type}


def parse_layout(content: bytes) -> None:
    """Raise BrokenArchiveError unless this is the `oci-layout` of version 1.0.0."""
    try:
        version = _object(content).get("imageLayoutVersion")
    except ValueError as error:
        raise _wrong("oci-layout", str(error)) from None
    if version != "1.0.0":
        raise _wrong("oci-layout", f"its version is {version!a}, not '1.0.0'"[:200])


def parse_index(content: bytes) -> ArchiveIndex:
    """Return what an `index.json` says. Raises BrokenArchiveError that says what is wrong with it, and where."""
    try:
        data = _object(content)
        return ArchiveIndex(tuple(_entries(data)), _base(data))
    except ValueError as error:
        raise _wrong("index.json", str(error)) from None


def with_base(content: bytes, base: str) -> bytes:
    """Return an `index.json` that names its base. Raises BrokenArchiveError when it cannot."""
    data = json.loads(content) if parse_index(content).base in {"", base} else {}
    if not data or not is_digest(base):
        raise _wrong("index.json", f"its base cannot be {base!a}")
    notes = data.get("annotations", {})
    if BASE in notes:
        return content
    # Only ASCII: JSON can hold half a character, which UTF-8 cannot.
    return json.dumps({**data, "annotations": {**notes, BASE: base}}, sort_keys=True, separators=(",", ":")).encode()


def parse_manifest(content: bytes) -> Links:
    """Return what a manifest or a nested index names, without its subject. Raises ValueError for anything else."""
    data = _object(content)
    is_index = "manifests" in data
    kind, layers = data.get("mediaType", ""), data.get("manifests" if is_index else "layers")
    if not isinstance(layers, list) or not isinstance(kind, str) or not _is_version_2(data):
        raise ValueError("it is neither a manifest nor an index")
    if is_index and ("layers" in data or "config" in data):
        raise ValueError("it is a manifest and an index at once")
    rows = layers if is_index else [data.get("config"), *layers]
    blobs = tuple(blob for row in rows if (blob := read_descriptor(row)))
    if len(blobs) != len(rows):
        raise ValueError("it names something without digest, size or media type")
    if is_index and any(blob.media_type not in MANIFEST_TYPES for blob in blobs):
        raise ValueError("it names something that is no manifest")
    return Links(kind, is_index, blobs)


def links_in(blob: Blob, content: bytes) -> Links:
    """Return what a manifest names. Raises BrokenArchiveError when it is not what `blob` calls it."""
    try:
        return fitting(blob, parse_manifest(content))
    except ValueError:
        return fitting(blob, None)


def fitting(blob: Blob, links: Links | None) -> Links:
    """Return these links. Raises BrokenArchiveError when there are none, or `blob` calls their manifest something else."""
    if links is None or not links.fits(blob.media_type):
        raise broken("a manifest is not what it is called", f"{blob.digest} is no {blob.media_type}")
    return links


def reached(index: ArchiveIndex, links_of: Callable[[Blob], Links | None]) -> set[Blob]:
    """Return everything that an index names, by itself or through manifests, each as it is named.

    `links_of` returns what a manifest names, or None for one that need not be followed; what it raises passes through.
    """
    waiting = [manifest.blob for manifest in index.manifests]
    found = set(waiting)
    while waiting:
        links = links_of(waiting.pop())
        for blob in links.blobs if links else ():
            if links and links.is_index and blob not in found:
                waiting.append(blob)
            found.add(blob)
    return found


def _entries(data: Mapping[str, Any]) -> Iterator[ArchivedManifest]:
    rows = data.get("manifests")
    if not _is_version_2(data) or not isinstance(rows, list) or data.get("mediaType", _INDEX_TYPE) != _INDEX_TYPE:
        raise ValueError("it is not an image index of version 2")
    seen = set()
    for number, row in enumerate(rows):
        try:
            entry = _entry(row)
        except ValueError as error:
            raise ValueError(f"manifests[{number}]: {error}") from None
        # A tag stands for one manifest; one without a tag is there once.
        key = (entry.repository, entry.tag or entry.blob.digest)
        if key in seen:
            raise ValueError(f"manifests[{number}]: {':'.join(key)} is there twice")
        seen.add(key)
        yield entry


def _entry(row: Any) -> ArchivedManifest:
    blob = read_descriptor(row)
    if not blob or not _MEDIA_TYPE.fullmatch(blob.media_type):
        raise ValueError("it has no right media type, sha256 digest and size")
    if blob.media_type not in MANIFEST_TYPES:
        raise ValueError(f"{blob.media_type} is no type of a manifest")
    notes = _notes(row)
    repository, name = notes.get(REPOSITORY, ""), notes.get(REF_NAME, "")
    tag = name.removeprefix(f"{repository}:")
    try:
        check_place(repository, tag)
    except WrongInputError:
        raise ValueError(f"{repository[:300]!a} and {name[:300]!a} are not a repository and a tag in it") from None
    return ArchivedManifest(repository, tag, blob, notes)


def _base(data: Mapping[str, Any]) -> str:
    base = _notes(data).get(BASE, "")
    if base and not is_digest(base):
        raise ValueError(f"its base {base[:100]!a} is not a digest")
    return base


def _notes(row: Mapping[str, Any]) -> dict[str, str]:
    notes = row.get("annotations", {})
    if not isinstance(notes, dict) or not all(isinstance(value, str) for value in notes.values()):
        raise ValueError("its annotations are not texts")
    # JSON can hold half a character, which no file can.
    "".join((*notes, *notes.values())).encode()
    return notes


def _is_version_2(data: Mapping[str, Any]) -> bool:
    version = data.get("schemaVersion")
    return isinstance(version, int) and not isinstance(version, bool) and version == 2  # noqa: PLR2004 - named above


def _object(content: bytes) -> dict[str, Any]:
    """Return a JSON object. Raises ValueError for other content, and for what could be read in two ways."""
    if sum(map(content.count, (b",", b"[", b"{"))) > _VALUES_MAX:
        raise ValueError(f"it has more than {_VALUES_MAX} values")
    try:
        data = json.loads(content.decode(), object_pairs_hook=_once, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(data, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - one kind of error for all that is wrong with it
    return data


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _wrong(name: str, why: str) -> BrokenArchiveError:
    return broken(f"the archive's {name} cannot be used", why)
