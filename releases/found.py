# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Collects what a place holds about a manifest, in both forms: signatures and signed statements. Believes none of it.

Anybody may attach anything to a manifest, so what cannot be read is left out with a remark, and never an error.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from buildkit.complaints import RegistryError, WrongContentError
from buildkit.registry import MANIFEST_MAX, Manifest
from buildkit.store import Blob
from releases.keys import PublicKey
from releases.release import FILE_MAX
from releases.repository import Repository
from releases.signatures import (
    DSSE_TYPE,
    SIMPLE_TYPE,
    Claim,
    Layer,
    read_bundle_manifest,
    read_claim,
    read_layers,
    tag,
)
from releases.statements import Envelope, NotSignedError, Statement, read_bundle, read_envelope, read_statement

# A statement carries a predicate of that size in base64, and a little more.
_ENVELOPE_MAX = 2 * FILE_MAX


@dataclass(frozen=True)
class Found:
    """What there is about one manifest: older signatures, statements in either form, and remarks on what was left out."""

    claims: tuple[Claim, ...]
    envelopes: tuple[Envelope, ...]
    remarks: tuple[str, ...]

    @property
    def statements(self) -> tuple[tuple[Envelope, Statement], ...]:
        """The statements that can be read. Large ones take time, and whoever knows what to expect compares bytes instead."""
        return tuple(_statements(self.envelopes))

    def signers(self, statement: Statement, keys: tuple[PublicKey, ...]) -> set[PublicKey]:
        """Return those of `keys` that signed exactly this statement."""
        same = (envelope for envelope in self.envelopes if envelope.payload == statement.payload)
        return {key for envelope in same for key in envelope.signers(keys)}


def _statements(envelopes: Iterable[Envelope]) -> Iterator[tuple[Envelope, Statement]]:
    for envelope in envelopes:
        with suppress(NotSignedError):
            yield envelope, read_statement(envelope.payload)


def find(repository: Repository, digest: str) -> Found:
    """Return all that `repository` holds about the manifest with this digest."""
    remarks: list[str] = []
    claims = tuple(_claims(repository, digest, remarks))
    attached = tuple(_attached(repository, digest, remarks))
    bundled = tuple(_bundled(repository, digest, remarks))
    return Found(claims, (*bundled, *attached), tuple(remarks))


def _claims(repository: Repository, digest: str, remarks: list[str]) -> Iterator[Claim]:
    for layer in _layers(repository, tag(digest, "sig"), remarks):
        if layer.blob.media_type != SIMPLE_TYPE:
            remarks.append(f"{layer.blob.digest}: of kind {layer.blob.media_type}")
            continue
        try:
            yield read_claim(repository.read(layer.blob, MANIFEST_MAX), layer.annotations)
        except (NotSignedError, RegistryError, WrongContentError) as error:
            remarks.append(f"{layer.blob.digest}: {error.brief}")


def _attached(repository: Repository, digest: str, remarks: list[str]) -> Iterator[Envelope]:
    for layer in _layers(repository, tag(digest, "att"), remarks):
        if layer.blob.media_type == DSSE_TYPE:
            yield from _read(repository, layer.blob, remarks, bundled=False)


def _bundled(repository: Repository, digest: str, remarks: list[str]) -> Iterator[Envelope]:
    for referrer in repository.referrers(digest):
        try:
            blob = read_bundle_manifest(repository.manifest(referrer.digest), digest)
        except (RegistryError, WrongContentError) as error:
            remarks.append(f"{referrer.digest}: {error.brief}")
            continue
        if blob is None:
            remarks.append(f"{referrer.digest}: no bundle")
            continue
        yield from _read(repository, blob, remarks, bundled=True)


def _read(repository: Repository, blob: Blob, remarks: list[str], *, bundled: bool) -> Iterator[Envelope]:
    try:
        content = repository.read(blob, _ENVELOPE_MAX)
        yield read_bundle(content) if bundled else read_envelope(content)
    except (NotSignedError, RegistryError, WrongContentError) as error:
        remarks.append(f"{blob.digest}: {error.brief}: {error.details}")


def _layers(repository: Repository, name: str, remarks: list[str]) -> list[Layer]:
    manifest = _manifest(repository, name, remarks)
    return read_layers(manifest) if manifest else []


def _manifest(repository: Repository, name: str, remarks: list[str]) -> Manifest | None:
    if repository.manifest_digest(name) is None:
        return None
    try:
        return repository.manifest(name)
    except (RegistryError, WrongContentError) as error:
        remarks.append(f"{name}: {error.brief}")
        return None
