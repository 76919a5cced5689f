# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Finds where two builds of one image differ: the first layer, in it the first file, and what about it."""

import hashlib
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from buildkit.store import Store, StoredImage
from stackway.files import read_json


@dataclass(frozen=True)
class Entry:
    """A file in a layer, as far as bytes of the layer depend on it."""

    path: str
    kind: str
    mode: int
    owner: tuple[int, int]
    time: float
    target: str
    digest: str


def first_difference(name: str, first: Store, second: Store) -> str:
    """Return where the two images differ in words, empty when they are the same."""
    images = first.images().get(name), second.images().get(name)
    if images[0] is None or images[1] is None:
        return "it is in one of the stores only"
    if images[0].manifest.digest == images[1].manifest.digest:
        return ""
    return _layers(images[0], images[1], first, second) or _config(images[0], images[1], first, second)


def _layers(one: StoredImage, other: StoredImage, first: Store, second: Store) -> str:
    for number, (mine, theirs) in enumerate(zip_longest(one.layers, other.layers), 1):
        if mine is None or theirs is None:
            return f"one has {len(one.layers)} layers, the other {len(other.layers)}"
        if mine.digest != theirs.digest:
            return f"layer {number}: {_files(first.path(mine.digest), second.path(theirs.digest))}"
    return ""


def _files(first: Path, second: Path) -> str:
    with entries(first) as mine, entries(second) as theirs:
        for one, other in zip_longest(mine, theirs):
            if one is None or other is None:
                return f"{(one or other).path} is in one of them only"
            if one != other:
                return _explain(one, other)
    return "the files are the same, their compression is not"


def _explain(one: Entry, other: Entry) -> str:
    if one.path != other.path:
        return f"{one.path} is where the other has {other.path}"
    names = [name for name in vars(one) if getattr(one, name) != getattr(other, name)]
    what = ", ".join(f"{name} {getattr(one, name)} and {getattr(other, name)}" for name in names)
    return f"{one.path}: {what}"


def _config(one: StoredImage, other: StoredImage, first: Store, second: Store) -> str:
    mine, theirs = read_json(first.path(one.config.digest)), read_json(second.path(other.config.digest))
    keys = [key for key in sorted({*mine, *theirs}) if mine.get(key) != theirs.get(key)]
    return f"the image's configuration: {', '.join(keys)}" if keys else "the manifests' own form"


@contextmanager
def entries(layer: Path) -> Iterator[Iterator[Entry]]:
    """Yield the files of a zstd-compressed layer, in its order."""
    import zstandard

    decompressor = zstandard.ZstdDecompressor()
    with (
        layer.open("rb") as file,
        decompressor.stream_reader(file, read_across_frames=True) as stream,
        tarfile.open(fileobj=stream, mode="r|") as archive,
    ):
        yield (_entry(archive, member) for member in archive)


def _entry(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    content = archive.extractfile(member) if member.isreg() else None
    digest = hashlib.file_digest(content, "sha256").hexdigest() if content else ""  # type: ignore[arg-type]
    owner = (member.uid, member.gid)
    return Entry(member.name, member.type.decode(), member.mode, owner, member.mtime, member.linkname, digest)
