# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Says whether a release may be used: the only place that makes a `Release`, which is all that later steps take.

Stricter than cosign: it also looks at what kind of statement was signed, for which name, by how many keys, and at every
file. What is found beside that is ignored, and can neither pass nor fail a release.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import InitVar, dataclass, field

from buildkit.complaints import NotThereError, WrongContentError
from buildkit.store import Blob
from releases import attestations
from releases.found import find
from releases.keyring import Keyring
from releases.keys import PublicKey
from releases.proof import MovedSignatureError, Proof
from releases.release import (
    REPOSITORY,
    NoReleaseError,
    ReleaseContent,
    ReleaseImage,
    VerificationError,
    read_content,
)
from releases.repository import ReleaseStore, Repository
from releases.signatures import read_descriptor
from releases.version import ReleaseVersion, is_version

_PARALLEL = 4


class DamagedReleaseError(VerificationError):
    """Something that the release names is not there, or not what its digest says."""


_SEAL = object()


@dataclass(frozen=True)
class Release:
    """A release that was verified: who signed it, where it lies, and remarks. Nothing but `verify` can make one."""

    content: ReleaseContent
    signers: tuple[PublicKey, ...]
    store: ReleaseStore = field(repr=False)
    remarks: tuple[str, ...] = ()
    # No field, so that `dataclasses.replace` cannot take it over.
    seal: InitVar[object] = None

    def __post_init__(self, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("a Release is what releases.verify.verify returns; make none by hand")

    @property
    def version(self) -> ReleaseVersion:
        """The release's version."""
        return self.content.version

    @property
    def digest(self) -> str:
        """The release's digest."""
        return self.content.digest


def verify(store: ReleaseStore, reference: str, keyring: Keyring, *, every_byte: bool = True) -> Release:
    """Return the release that `reference` (version or digest) names, if it may be used under these keys.

    With `every_byte` the images' layers are hashed too, otherwise only looked for. Raises a VerificationError that says
    which rule is broken.
    """
    repository = store.repository(REPOSITORY)
    content = read(store, reference)
    found = find(repository, content.digest)
    proof = Proof(f"release {content.version}", content.digest, found, keyring)
    signers = proof.signers([attestations.release_subject(content, development=mark) for mark in _marks(keyring)])
    with ThreadPoolExecutor(_PARALLEL) as pool:
        remarks = list(pool.map(lambda image: _image(store, content, image, keyring), content.images))
        list(pool.map(lambda part: _check_blob(store, *part, every_byte=every_byte), _parts(store, content)))
    return Release(content, signers, store, (*found.remarks, *(item for items in remarks for item in items)), _SEAL)


def read(store: ReleaseStore, reference: str) -> ReleaseContent:
    """Return what a release holds, without asking who signed it: for those who sign it, and to look at.

    Raises VerificationError for what is none, or carries another version than the tag that it was asked by.
    """
    repository = store.repository(REPOSITORY)
    digest = repository.manifest_digest(reference)
    if digest is None:
        known = [item for item in repository.tags() if is_version(item)]
        raise NoReleaseError(
            f"there is no release {reference}",
            details=f"{store.address}; there are: {', '.join(known) or 'none'}",
            resolution="`release list` shows all; `release bundle` makes one.",
        )
    # Resolved once: whatever the tag is moved to from now on, this digest is what is used.
    with _whole("the release"):
        content = read_content(repository.manifest(digest), lambda blob: repository.read(blob, blob.size))
    if is_version(reference) and str(content.version) != reference:
        raise MovedSignatureError(
            f"what is called {reference} is release {content.version}",
            details=f"{store.address}: {digest}",
            resolution="Somebody moved the tag. Name the digest that you want, and find out who did it.",
        )
    return content


def _image(store: ReleaseStore, content: ReleaseContent, image: ReleaseImage, keyring: Keyring) -> tuple[str, ...]:
    """Check one image's signatures and evidence. Return remarks on what lies beside them."""
    repository = store.repository(image.name)
    found = find(repository, image.manifest.digest)
    proof = Proof(image.name, image.manifest.digest, found, keyring)
    subjects = [attestations.image_subject(image, development=mark) for mark in _marks(keyring)]
    proof.signers(subjects)
    variants = [list(attestations.evidence(content, image, subject)) for subject in subjects]
    proof.require(list(zip(*variants, strict=True)))
    return found.remarks


def _marks(keyring: Keyring) -> tuple[bool, ...]:
    """Return whether statements count that are not, and those that are, marked as made by a development key."""
    return (False, True) if keyring.allow_development else (False,)


def image_blobs(repository: Repository, image: ReleaseImage) -> Iterator[Blob]:
    """Yield config and layers of an image. Raises DamagedReleaseError when its manifest is not there or is none."""
    if repository.manifest_digest(image.manifest.digest) is None:
        raise DamagedReleaseError(
            f"the image {image.name} of the release is not there",
            details=image.manifest.digest,
            resolution="Copy the release anew, whole: `release push`, or `release import`.",
        )
    with _whole(image.name):
        data = repository.manifest(image.manifest.digest).data()
    layers = data.get("layers")
    rows = [data.get("config"), *(layers if isinstance(layers, list) else [None])]
    for row in rows:
        blob = read_descriptor(row)
        if blob is None:
            raise DamagedReleaseError(
                f"{image.name} is no image", details=image.manifest.digest, resolution="Make the release anew."
            )
        yield blob


def _parts(store: ReleaseStore, content: ReleaseContent) -> list[tuple[Blob, list[str]]]:
    """Return everything the images consist of, each with the images that share it."""
    found: dict[Blob, list[str]] = {}
    for image in content.images:
        for blob in image_blobs(store.repository(image.name), image):
            found.setdefault(blob, []).append(image.name)
    # The largest first, so that none is left alone at the end.
    return sorted(found.items(), key=lambda part: -part[0].size)


def _check_blob(store: ReleaseStore, blob: Blob, names: list[str], *, every_byte: bool) -> None:
    """Look for a blob in each repository that needs it: in a registry each has its own. Its bytes are hashed once."""
    for name in dict.fromkeys(names):
        with _whole(name):
            if not store.repository(name).has(blob):
                raise WrongContentError("a blob is not there", details=f"{store.address}: {blob.digest}")
    with _whole(names[0]):
        for _ in store.repository(names[0]).chunks(blob) if every_byte else ():
            pass


@contextmanager
def _whole(what: str) -> Iterator[None]:
    """Turn what a place says of missing and wrong content into the refusal of the release."""
    try:
        yield
    except (WrongContentError, NotThereError) as error:
        raise DamagedReleaseError(
            f"{what} is damaged",
            details=f"{error.brief}\n{error.details}",
            resolution=error.resolution or "Get the release anew from a place where it is whole.",
        ) from error
