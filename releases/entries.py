# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The entries of an OCI layout's index.json: which repository holds which manifests, under which tags. Pure; reads no file.

Formats: OCI image index 1.1 and image-layout 1.0.0. A tagged entry's `ref.name` is `repository:tag`; one without a tag has
only our own annotation with the repository. Entries of other programs are kept as they are and belong to no repository.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from buildkit.references import is_digest, parse_reference
from buildkit.registry import Manifest
from buildkit.store import REF_NAME, Blob
from stackway.console import printable
from stackway.errors import WrongInputError

REPOSITORY = "dev.stackway.repository"
ENTRIES_MAX = 100_000
INDEX_MAX = 64 << 20
_INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
_MEDIA_TYPE = re.compile(r"[!-~]{1,127}/[!-~]{1,127}")


@dataclass(frozen=True)
class Entry:
    """One manifest in the index: what it is, and the entry as it stands there."""

    blob: Blob
    data: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, manifest: Manifest, repository: str, tag: str = "") -> "Entry":
        """Return the entry for a manifest in a repository, under a tag or none."""
        blob = Blob(manifest.media_type, manifest.digest, len(manifest.content))
        kind = manifest.data().get("artifactType")
        data = {"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size}
        return cls(blob, data | ({"artifactType": kind} if isinstance(kind, str) else {})).placed(repository, tag)

    def placed(self, repository: str, tag: str = "") -> "Entry":
        """Return the same manifest in a repository, under another tag or none."""
        others = {name: value for name, value in self.data.get("annotations", {}).items() if name != REF_NAME}
        named = {REF_NAME: f"{repository}:{tag}"} if tag else {}
        return Entry(self.blob, {**self.data, "annotations": others | named | {REPOSITORY: repository}})


Entries = dict[str, dict[str, Entry]]


@dataclass
class Index:
    """Repository → tag → entry, repository → digest → entry, and what belongs to no repository."""

    named: Entries = field(default_factory=dict)
    held: Entries = field(default_factory=dict)
    foreign: tuple[Entry, ...] = ()

    def copy(self) -> "Index":
        """Return another index with the same entries."""
        named, held = ({name: dict(found) for name, found in side.items()} for side in (self.named, self.held))
        return Index(named, held, self.foreign)

    def find(self, repository: str, reference: str) -> Entry | None:
        """Return what a tag or digest stands for in a repository."""
        side = self.held if ":" in reference else self.named
        return side.get(repository, {}).get(reference)

    def tags(self, repository: str) -> list[str]:
        """Return the tags of a repository, sorted."""
        return sorted(self.named.get(repository, {}))

    def put(self, repository: str, entry: Entry, tag: str = "") -> None:
        """Take a manifest into a repository; a tag that moves leaves its old manifest without that tag."""
        self.held.setdefault(repository, {}).setdefault(entry.blob.digest, entry)
        if not tag:
            return
        tags = self.named.setdefault(repository, {})
        if tag not in tags or tags[tag].blob != entry.blob:
            tags[tag] = entry

    def forget(self, repository: str, tag: str) -> None:
        """Take a tag away, and its manifest when it has no other tag."""
        tags = self.named.get(repository, {})
        entry = tags.pop(tag, None)
        if entry and all(other.blob.digest != entry.blob.digest for other in tags.values()):
            del self.held[repository][entry.blob.digest]

    def entries(self) -> Iterator[Entry]:
        """Yield all entries in the order of the file; a manifest with tags has one for each of them and no other."""
        yield from self.foreign
        for repository in sorted(self.held):
            tags = self.named.get(repository, {})
            tagged = {entry.blob.digest for entry in tags.values()}
            yield from (tags[tag] for tag in sorted(tags))
            for digest, entry in sorted(self.held[repository].items()):
                if digest not in tagged:
                    yield entry.placed(repository)

    def to_bytes(self) -> bytes:
        """Return the content of index.json. Raises WrongInputError when it would be larger than what we read."""
        manifests = [dict(entry.data) for entry in self.entries()]
        content = {"schemaVersion": 2, "mediaType": _INDEX_TYPE, "manifests": manifests}
        # Only ASCII: an entry of another program may hold what cannot be written as UTF-8.
        data = json.dumps(content, indent=1, sort_keys=True).encode() + b"\n"
        if len(manifests) > ENTRIES_MAX or len(data) > INDEX_MAX:
            raise WrongInputError(
                "there are too many manifests for one place",
                details=f"{len(manifests)} in {len(data)} bytes; {ENTRIES_MAX} in {INDEX_MAX} at most",
                resolution="Begin another folder for releases.",
            )
        return data


def parse_index(content: bytes, path: str) -> Index:
    """Return the entries of an index.json. Raises WrongInputError that names the file at `path`."""
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        raise _wrong(path, "it is not JSON") from None
    rows = data.get("manifests") if isinstance(data, dict) else None
    if not isinstance(rows, list) or len(rows) > ENTRIES_MAX:
        raise _wrong(path, f"it has no list `manifests` of at most {ENTRIES_MAX} entries")
    index, foreign = Index(), []
    for number, row in enumerate(rows):
        try:
            entry, repository, tag = _read(row)
            _take(index, entry, repository, tag)
        except ValueError as error:
            raise _wrong(path, f"manifests[{number}]: {error}") from None
        if not repository:
            foreign.append(entry)
    index.foreign = tuple(foreign)
    return index


def check_place(repository: str, tag: str = "") -> None:
    """Raise WrongInputError for what can be no repository or no tag."""
    if not is_place(repository, tag):
        raise WrongInputError(
            f"{printable(f'{repository}:{tag}')!r} is not a repository and a tag",
            resolution="Write lower-case words, joined by `.`, `_`, `-` and `/`, then `:` and a tag like 2026.1.3.",
        )


def _take(index: Index, entry: Entry, repository: str, tag: str) -> None:
    if not repository:
        return
    there = index.named.get(repository, {}).get(tag)
    if there and there.blob.digest != entry.blob.digest:
        raise ValueError(f"the tag {tag!r} of {repository} is there twice")
    same = index.held.get(repository, {}).get(entry.blob.digest)
    if same and same.blob != entry.blob:
        raise ValueError(f"{entry.blob.digest} is there twice, with another size or media type")
    index.put(repository, entry, tag)


def _read(row: Any) -> tuple[Entry, str, str]:
    """Return an entry, its repository and tag, both empty for one of another program. Raises ValueError."""
    if not isinstance(row, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one kind of error for all that is wrong with an entry
    kind, digest, size = (row.get(name) for name in ("mediaType", "digest", "size"))
    if not isinstance(kind, str) or not _MEDIA_TYPE.fullmatch(kind):
        raise ValueError("`mediaType` is not a media type")
    if not isinstance(digest, str) or not is_digest(digest):
        raise ValueError("`digest` is not `sha256:` and 64 hexadecimal digits")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError("`size` is not a number of bytes")
    notes = row.get("annotations", {})
    if not isinstance(notes, dict) or not all(isinstance(value, str) for value in notes.values()):
        raise ValueError("`annotations` are not texts")
    return Entry(Blob(kind, digest, size), row), *_place_of(notes)


def _place_of(notes: Mapping[str, str]) -> tuple[str, str]:
    name, ours = notes.get(REF_NAME, ""), notes.get(REPOSITORY)
    repository, _, tag = name.rpartition(":")
    if ours is None:
        return (repository, tag) if tag and is_place(repository, tag) else ("", "")
    if name and repository != ours:
        raise ValueError(f"{printable(name)!r} is not in the repository {printable(ours)!r}")
    if not is_place(ours, tag) or (name and not tag):
        raise ValueError(f"{printable(name or ours)!r} is not a repository with a tag")
    return ours, tag


def is_place(repository: str, tag: str) -> bool:
    """Tell whether these can be a repository and a tag, or no tag when it is empty."""
    try:
        found = parse_reference(f"localhost/{repository}:{tag}" if tag else f"localhost/{repository}")
    except WrongInputError:
        return False
    return (found.repository, found.tag, found.digest) == (repository, tag, "")


def _wrong(path: str, why: str) -> WrongInputError:
    return WrongInputError(
        "the place's index is not an OCI index",
        details=f"{path}: {why}",
        resolution="Nothing was changed. Restore the file, or copy the releases into a new folder.",
    )
