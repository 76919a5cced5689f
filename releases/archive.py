# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The archive that carries releases over an air gap: an OCI image layout as one plain tar, written whole, read as hostile.

Order: `oci-layout`, `index.json`, then the blobs. So a reader knows from the start what comes, and each blob can go
where it belongs while it is read: content that its digest names is harmless wherever it is from. What is in the archive
is only told when all of it was right. Signatures are not looked at.
"""

import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from buildkit.bodies import CheckedBody
from buildkit.store import Blob
from releases import contents
from releases.contents import ArchiveIndex, Links
from releases.ustar import Entry, HostileArchiveError, Member, broken, hostile, read_stream, write_stream
from stackway.errors import FailedError, StackwayError, WrongInputError
from stackway.files import disk_errors

Take = Callable[[str, int, Iterator[bytes]], None]
_BLOB = re.compile(r"blobs/sha256/([0-9a-f]{64})")
_HEAD = ("oci-layout", "index.json")
_LAYOUT_MAX = 1 << 10
_LISTED = 10


@dataclass(frozen=True)
class Limits:
    """How much of an archive is read, in members and bytes; `links` is how many blobs its manifests may name in all."""

    members: int = 20_000
    manifest_bytes: int = 4 << 20
    index_bytes: int = 64 << 20
    blob_bytes: int = 4 << 30
    total_bytes: int = 64 << 30
    links: int = 50_000


@dataclass(frozen=True)
class ArchiveSummary:
    """What was written: members and bytes of the archive, and how many blobs it names but leaves to its base."""

    members: int
    bytes: int
    left_out: int


def write_archive(
    target: Path, index: bytes, blobs: Sequence[Blob], open_blob: Callable[[Blob], BinaryIO], *, base: str = ""
) -> ArchiveSummary:
    """Write an archive with this OCI index and these blobs, whole or not at all; equal input gives equal bytes.

    With `base`, the digest of a release, blobs that the index needs may be left out. Raises WrongInputError for blobs that
    do not make up the index and for more than `Limits`, DamagedBlobError for a damaged one, FailedError for a full disk.
    """
    listing = contents.with_base(index, base) if base else index
    ordered = sorted({blob.digest: blob for blob in blobs}.values(), key=lambda blob: blob.digest)
    _check_limits([len(listing), *(blob.size for blob in ordered)], Limits())
    left_out = _check_parts(contents.parse_index(listing), ordered, open_blob)
    head = (Entry(name, len(part), (part,)) for name, part in zip(_HEAD, (contents.LAYOUT, listing), strict=True))
    with _whole_file(target) as file:
        size = write_stream(file, (*head, *(_entry(blob, open_blob) for blob in ordered)))
    return ArchiveSummary(len(_HEAD) + len(ordered), size, left_out)


def read_archive(
    source: BinaryIO,
    limits: Limits,
    take: Take,
    known: Callable[[str], bool],
    read: Callable[[Blob], bytes] | None = None,
) -> ArchiveIndex:
    """Read an archive from a stream; return what it brings when all of it was right.

    `take` gets digest, size and content of each blob that is not `known`; the last piece comes only when all of it is what
    the digest says. `read` returns a known manifest that the archive leaves out, so that its blobs are asked for too.
    Raises BrokenArchiveError and HostileArchiveError; whatever was taken until then is harmless, and known the next time.
    """
    members = _within(read_stream(source), limits)
    contents.parse_layout(_head(members, _HEAD[0], _LAYOUT_MAX))
    index = contents.parse_index(_head(members, _HEAD[1], limits.index_bytes))
    found = _Found(limits)
    for member in members:
        digest, chunks = found.add(member)
        if not known(digest):
            take(digest, member.size, chunks)
        for _ in chunks:
            pass
    _check_whole(index, found, known, read)
    return index


@dataclass
class _Found:
    """The blobs of an archive as they come: digest → size, and what those that may be manifests name."""

    limits: Limits
    sizes: dict[str, int] = field(default_factory=dict)
    links: dict[str, Links] = field(default_factory=dict)
    count: int = 0

    def add(self, member: Member) -> tuple[str, Iterator[bytes]]:
        """Return the digest and the checked content of the next blob."""
        name = _BLOB.fullmatch(member.name)
        digest = f"sha256:{name[1]}" if name else ""
        if digest in self.sizes or member.name in _HEAD:
            raise hostile("the archive has a file twice", member.place)
        if not name:
            raise _strange(member)
        if member.size > self.limits.blob_bytes:
            raise _too_large(member, self.limits.blob_bytes)
        self.sizes[digest] = member.size
        chunks = _checked(member, digest)
        if member.size > self.limits.manifest_bytes:
            return digest, chunks
        content = b"".join(chunks)
        self._note(digest, content)
        return digest, iter((content,) if content else ())

    def _note(self, digest: str, content: bytes) -> None:
        if not content.lstrip().startswith(b"{"):
            return
        try:
            links = contents.parse_manifest(content)
        except ValueError:
            # Most blobs are no manifests; one that should be is missed when the index is followed.
            return
        self.count += len(links.blobs)
        if self.count > self.limits.links:
            raise hostile("the archive's manifests name too many blobs", f"more than {self.limits.links}")
        self.links[digest] = links


def _within(members: Iterable[Member], limits: Limits) -> Iterator[Member]:
    total = 0
    for member in members:
        total += member.size
        if member.number > limits.members:
            raise hostile("the archive has too many files", f"{member.place}: {limits.members} at most")
        if total > limits.total_bytes:
            raise hostile("the archive is too large", f"{member.place}: {limits.total_bytes} bytes at most")
        yield member


def _head(members: Iterator[Member], name: str, most: int) -> bytes:
    member = next(members, None)
    if member is None:
        raise broken(f"the archive has no {name}", "it ends before")
    if member.name != name:
        if member.name not in _HEAD and not _BLOB.fullmatch(member.name):
            raise _strange(member)
        raise hostile(f"the archive has no {name} at its place", f"{member.place}: first come {' and '.join(_HEAD)}")
    if member.size > most:
        raise _too_large(member, most)
    return b"".join(member.chunks)


def _checked(member: Member, digest: str) -> Iterator[bytes]:
    """Yield the content; its last piece only when all of it is the blob."""
    hasher, last = hashlib.sha256(), b""
    for chunk in member.chunks:
        if last:
            yield last
        hasher.update(chunk)
        last = chunk
    if f"sha256:{hasher.hexdigest()}" != digest:
        details = f"{member.place}: its content is sha256:{hasher.hexdigest()}"
        raise broken("a blob in the archive is not what its name says", details)
    if last:
        yield last


def _check_whole(
    index: ArchiveIndex, found: _Found, known: Callable[[str], bool], read: Callable[[Blob], bytes] | None
) -> None:
    def links_of(blob: Blob) -> Links | None:
        if blob.digest in found.sizes:
            return contents.fitting(blob, found.links.get(blob.digest))
        return contents.links_in(blob, read(blob)) if read and known(blob.digest) else None

    wanted = contents.reached(index, links_of)
    wrong = {blob.digest for blob in wanted if found.sizes.get(blob.digest, blob.size) != blob.size}
    if wrong:
        raise hostile("the archive gives wrong sizes for its blobs", _listed(wrong))
    missing = {blob.digest for blob in wanted if blob.digest not in found.sizes and not known(blob.digest)}
    if missing:
        raise _missing(missing, "" if not index.base or known(index.base) else index.base)
    extra = found.sizes.keys() - {blob.digest for blob in wanted}
    if extra:
        raise hostile("the archive has extra files: nothing in it names them", _listed(extra))


def _check_parts(index: ArchiveIndex, blobs: Sequence[Blob], open_blob: Callable[[Blob], BinaryIO]) -> int:
    """Return how many blobs are left out. Raises WrongInputError for blobs that do not make up the index."""
    ours = {blob.digest: blob for blob in blobs}

    def links_of(blob: Blob) -> Links | None:
        if blob.digest not in ours:
            return None
        if ours[blob.digest].size > Limits().manifest_bytes:
            raise _unfit("a manifest is too large", f"{blob.digest}: {ours[blob.digest].size} bytes")
        return contents.links_in(blob, b"".join(_entry(ours[blob.digest], open_blob).chunks))

    wanted = contents.reached(index, links_of)
    left_out = {blob.digest for blob in wanted} - ours.keys()
    odd = ours.keys() - {blob.digest for blob in wanted}
    odd |= {blob.digest for blob in wanted if blob.digest in ours and ours[blob.digest].size != blob.size}
    if odd:
        raise _unfit("the index does not name these blobs, or with another size", _listed(odd))
    if left_out and not index.base:
        raise _unfit("the index names blobs that the archive would not have", _listed(left_out))
    return len(left_out)


def _check_limits(sizes: Sequence[int], limits: Limits) -> None:
    index, *blobs = sizes
    is_within = index <= limits.index_bytes and len(_HEAD) + len(blobs) <= limits.members
    if not is_within or max(blobs, default=0) > limits.blob_bytes or sum(sizes) + _LAYOUT_MAX > limits.total_bytes:
        raise _unfit("the archive would be larger than what an import takes", f"{len(blobs)} blobs; {limits}")


def _entry(blob: Blob, open_blob: Callable[[Blob], BinaryIO]) -> Entry:
    def chunks() -> Iterator[bytes]:
        with open_blob(blob) as file:
            yield from CheckedBody(file, blob)

    return Entry(f"blobs/sha256/{blob.digest.removeprefix('sha256:')}", blob.size, chunks())


@contextmanager
def _whole_file(target: Path) -> Iterator[BinaryIO]:
    """Yield a file that becomes `target` when all went well, and is gone otherwise."""
    if target.is_dir():
        raise WrongInputError("the archive is to be a file", details=f"{target} is a folder", resolution="Add a name.")
    with disk_errors(f"cannot write {target.name}", target):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(target)
        except BaseException as error:
            temporary.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno == errno.EFBIG:
                raise _no_room(target, error) from error
            raise


def _no_room(target: Path, error: OSError) -> FailedError:
    return FailedError(
        f"cannot write {target.name}: {error.strerror}",
        details=str(target),
        resolution="The file system there takes no file of this size (FAT: 4 GiB at most). Format it as exFAT or ext4, or "
        "leave out what the other side has, with --base.",
    )


def _listed(digests: Iterable[str]) -> str:
    ordered = sorted(digests)
    rest = len(ordered) - _LISTED
    return "\n".join((*ordered[:_LISTED], *((f"and {rest} more",) if rest > 0 else ())))


def _missing(digests: Iterable[str], base: str) -> StackwayError:
    if not base:
        return broken("the archive lacks blobs that it names", _listed(digests))
    return WrongInputError(
        f"the archive was made on top of release {base}, which is not here",
        details=f"it leaves out what that release has:\n{_listed(digests)}",
        resolution="Import that one first, then this one again; or export this one without --base-release.",
    )


def _too_large(member: Member, most: int) -> HostileArchiveError:
    return hostile("the archive has a file that is too large", f"{member.place}: {member.size} bytes, {most} at most")


def _strange(member: Member) -> HostileArchiveError:
    return hostile(
        "the archive has a file whose name is none of ours",
        f"{member.place}: only {', '.join(_HEAD)} and blobs/sha256/<64 lower-case hexadecimal digits> may be in it",
    )


def _unfit(brief: str, details: str) -> WrongInputError:
    return WrongInputError(brief, details=details, resolution="Nothing was written. Check the place it comes from.")
