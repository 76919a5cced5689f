# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Collects what a place holds about a manifest, in both forms: signatures and signed statements. Believes none of it.

Anybody may attach anything to a manifest, so what cannot be read is left out with a remark, and never an error.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from buildkit.complaints import RegistryError, WrongContentError
from buildkit.store import Blob
from releases.keys import PublicKey
from releases.release import FILE_MAX, told
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
ENVELOPE_MAX = 2 * FILE_MAX
# A claim is a name and a digest.
_CLAIM_MAX = 64 << 10
# Anybody may attach; nobody may fill the memory of whoever verifies.
_TOTAL_MAX = 512 << 20
_Parsed = TypeVar("_Parsed")


@dataclass(frozen=True)
class Found:
    """What there is about one manifest: older signatures, statements in either form, and remarks on what was left out."""

    claims: tuple[Claim, ...]
    bundles: tuple[Envelope, ...]
    attached: tuple[Envelope, ...]
    remarks: tuple[str, ...]

    @property
    def envelopes(self) -> tuple[Envelope, ...]:
        """The signed statements in either form."""
        return (*self.bundles, *self.attached)

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
    reader = _Reader(repository)
    claims, attached, bundles = reader.claims(digest), reader.attached(digest), reader.bundles(digest)
    return Found(claims, bundles, attached, tuple(reader.remarks))


class _Reader:
    """Reads what is attached to one manifest, the smallest first, and remarks on what it leaves out."""

    def __init__(self, repository: Repository) -> None:
        self.remarks: list[str] = []
        self._repository = repository
        self._left = _TOTAL_MAX

    def claims(self, digest: str) -> tuple[Claim, ...]:
        """Return the signatures under cosign's tag `.sig`."""
        layers = self._layers(tag(digest, "sig"), SIMPLE_TYPE)
        found = [self._read(layer.blob, _CLAIM_MAX, partial(_claim, layer)) for layer in layers]
        return tuple(claim for claim in found if claim)

    def attached(self, digest: str) -> tuple[Envelope, ...]:
        """Return the signed statements under cosign's tag `.att`."""
        return self._envelopes([layer.blob for layer in self._layers(tag(digest, "att"), DSSE_TYPE)], read_envelope)

    def bundles(self, digest: str) -> tuple[Envelope, ...]:
        """Return the signed statements in the bundles that refer to the manifest."""
        blobs = []
        try:
            for referrer in self._repository.referrers(digest):
                blobs += self._bundle(referrer, digest)
        except (RegistryError, WrongContentError) as error:
            self._remark("what refers to it", f"{error.brief}: {error.details}".removesuffix(": "))
        return self._envelopes(blobs, read_bundle)

    def _bundle(self, referrer: Blob, digest: str) -> list[Blob]:
        try:
            blob = read_bundle_manifest(self._repository.manifest(referrer.digest), digest)
        except (RegistryError, WrongContentError) as error:
            self._remark(referrer.digest, error.brief)
            return []
        if blob is None:
            self._remark(referrer.digest, "no bundle")
        return [blob] if blob else []

    def _envelopes(self, blobs: list[Blob], parse: Callable[[bytes], Envelope]) -> tuple[Envelope, ...]:
        ordered = sorted(set(blobs), key=lambda blob: (blob.size, blob.digest))
        found = [self._read(blob, ENVELOPE_MAX, parse) for blob in ordered]
        return tuple(envelope for envelope in found if envelope)

    def _read(self, blob: Blob, most: int, parse: Callable[[bytes], _Parsed]) -> _Parsed | None:
        if blob.size > min(most, self._left):
            self._remark(blob.digest, f"left out, {blob.size} bytes are too much")
            return None
        self._left -= blob.size
        try:
            return parse(self._repository.read(blob, most))
        except (NotSignedError, RegistryError, WrongContentError) as error:
            self._remark(blob.digest, f"{error.brief}: {error.details}".removesuffix(": "))
            return None

    def _layers(self, name: str, kind: str) -> list[Layer]:
        """Return the layers of a kind under a tag, each once, the smallest first."""
        if self._repository.manifest_digest(name) is None:
            return []
        try:
            layers = read_layers(self._repository.manifest(name))
        except (RegistryError, WrongContentError) as error:
            self._remark(name, error.brief)
            return []
        for layer in layers:
            if layer.blob.media_type != kind:
                self._remark(layer.blob.digest, f"of kind {layer.blob.media_type}")
        return sorted((item for item in layers if item.blob.media_type == kind), key=lambda item: item.blob.size)

    def _remark(self, what: str, why: str) -> None:
        self.remarks.append(told(f"{what}: {why}"))


def _claim(layer: Layer, content: bytes) -> Claim:
    return read_claim(content, layer.annotations)
