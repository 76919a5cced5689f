# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Signs a release: plans which statements lack a key's signature, and writes each in both forms. Twice adds nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from releases import attestations
from releases.found import Found, find
from releases.keys import Signer
from releases.release import REPOSITORY, ReleaseContent
from releases.repository import ReleaseStore, Repository, opener
from releases.signatures import (
    EMPTY,
    EMPTY_TYPE,
    LAYERS_MAX,
    Content,
    Layer,
    attestation,
    bundle_manifest,
    claim,
    layers_manifest,
    read_layers,
    tag,
)
from releases.statements import SIGNATURE, Envelope, Statement, make_bundle, sign_envelope
from stackway.console import Table
from stackway.errors import FailedError


@dataclass(frozen=True)
class SignStep:
    """One statement about one manifest, and whether this key's signature is there already."""

    repository: str
    statement: Statement
    there: bool


@dataclass(frozen=True)
class SignPlan:
    """All that a key has to sign of a release, and why."""

    content: ReleaseContent
    key: str
    steps: tuple[SignStep, ...]

    @property
    def missing(self) -> list[SignStep]:
        """The statements to sign."""
        return [step for step in self.steps if not step.there]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        steps = [
            {
                "repository": step.repository,
                "subject": step.statement.subject.digest,
                "statement": step.statement.predicate_type,
                "signed": step.there,
            }
            for step in self.steps
        ]
        return {"apiVersion": "stackway/v1", "kind": "SignPlan", "release": self.content.digest, "steps": steps}

    def to_table(self) -> Table:
        """Return the plan for people."""
        rows = [
            (
                step.repository,
                step.statement.predicate_type,
                "there" if step.there else "sign",
                f"{self.key} has signed it" if step.there else f"no signature by {self.key} yet",
            )
            for step in self.steps
        ]
        return Table(("REPOSITORY", "STATEMENT", "ACTION", "WHY"), rows)


def plan(store: ReleaseStore, content: ReleaseContent, signer: Signer) -> SignPlan:
    """Return what `signer` has to sign. Changes nothing."""
    steps = tuple(_steps(store, content, signer))
    return SignPlan(content, signer.public.name, steps)


def _steps(store: ReleaseStore, content: ReleaseContent, signer: Signer) -> Iterator[SignStep]:
    mark = signer.is_development
    for image in content.images:
        subject = attestations.image_subject(image, development=mark)
        statements = [attestations.signature(subject), *attestations.evidence(content, image, subject)]
        found = find(store.repository(image.name), image.manifest.digest)
        yield from (SignStep(image.name, item, _is_there(found, item, signer)) for item in statements)
    # Last, so that a release with a signature has all of its evidence signed.
    statement = attestations.signature(attestations.release_subject(content, development=mark))
    found = find(store.repository(REPOSITORY), content.digest)
    yield SignStep(REPOSITORY, statement, _is_there(found, statement, signer))


def _is_there(found: Found, statement: Statement, signer: Signer) -> bool:
    """Tell whether both forms of a signature are there; where only one is, the statement is signed again."""
    key = (signer.public,)

    def is_in(envelopes: tuple[Envelope, ...]) -> bool:
        return any(item.payload == statement.payload and item.signers(key) for item in envelopes)

    if statement.predicate_type == SIGNATURE:
        claims = [item for item in found.claims if item.subject == statement.subject]
        return is_in(found.bundles) and any(item.signers(key) for item in claims)
    return is_in(found.bundles) and is_in(found.attached)


def apply(store: ReleaseStore, todo: SignPlan, signer: Signer) -> None:
    """Sign and write what is missing; a release's own signature comes last."""
    with store.writing():
        for step in todo.missing:
            write(store.repository(step.repository), step.statement, signer)


def write(repository: Repository, statement: Statement, signer: Signer) -> str:
    """Sign a statement and write it in both forms; return the digest of the bundle's manifest."""
    envelope = sign_envelope(statement, signer)
    if statement.predicate_type == SIGNATURE:
        _add_layer(repository, tag(statement.subject.digest, "sig"), claim(statement.subject, signer))
    else:
        attached = attestation(envelope, statement.predicate_type)
        _add_layer(repository, tag(statement.subject.digest, "att"), attached)
    return write_bundle(repository, statement, make_bundle(envelope, signer.public))


def write_bundle(repository: Repository, statement: Statement, bundle: bytes, name: str = "") -> str:
    """Write a bundle that refers to its subject, also under the tag `name` if one is given; return its manifest's digest."""
    from buildkit.store import Blob

    subject = repository.manifest(statement.subject.digest)
    about = Blob(subject.media_type, subject.digest, len(subject.content))
    content, manifest = bundle_manifest(bundle, statement, about)
    put(repository, Content(EMPTY_TYPE, EMPTY))
    put(repository, content)
    return repository.put_manifest(manifest, name)


def _add_layer(repository: Repository, name: str, added: tuple[Content, Layer]) -> None:
    """Add a layer to a `.sig` or `.att` manifest, beside those that are there."""
    content, layer = added
    layers = read_layers(repository.manifest(name)) if repository.manifest_digest(name) else []
    if layer in layers:
        return
    if len(layers) >= LAYERS_MAX:
        raise FailedError(
            "there is no room for another signature",
            details=f"{repository.name}: {name} has {len(layers)}, nobody reads more than {LAYERS_MAX}",
            resolution="Somebody put them there. Remove the tag, and let everybody sign again.",
        )
    config, manifest = layers_manifest([*layers, layer])
    put(repository, content)
    put(repository, config)
    repository.put_manifest(manifest, name)


def put(repository: Repository, content: Content) -> int:
    """Put a small blob there; return the bytes sent."""
    return repository.upload(content.blob, opener(content.content))
