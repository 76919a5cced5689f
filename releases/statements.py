# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""In-toto statements and the DSSE envelopes that sign them: written once as bytes, and read as those bytes. Pure.

Sources: in-toto attestation framework v1, DSSE 1.0 (protocol.md), Sigstore bundle v0.3 (protobuf-specs).
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from releases.keys import PublicKey, Signer
from stackway.errors import FailedError
from stackway.files import canonical_json, digest_bytes

STATEMENT = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"

SIGNATURE = "https://sigstore.dev/cosign/sign/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
SBOM = "https://cyclonedx.org/bom"
SCAN = "https://cosign.sigstore.dev/attestation/vuln/v1"
VEX = "https://openvex.dev/ns/v0.2.0"
SUMMARY = "https://slsa.dev/verification_summary/v1"
CHANNEL = "urn:stackway:channel:v1"


class NotSignedError(FailedError):
    """Something that should be a signed statement is none."""


@dataclass(frozen=True)
class Subject:
    """What a statement is about: a name, the digest of a manifest, and remarks that are signed with it."""

    name: str
    digest: str
    annotations: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        found: dict[str, Any] = {"name": self.name, "digest": {"sha256": self.digest.removeprefix("sha256:")}}
        return {**found, "annotations": dict(self.annotations)} if self.annotations else found


@dataclass(frozen=True)
class Statement:
    """One statement about one subject; `payload` is the bytes that were signed, and `digest` theirs."""

    subject: Subject
    predicate_type: str
    payload: bytes = field(repr=False)

    @property
    def predicate(self) -> dict[str, Any]:
        """What is said, read from the signed bytes."""
        found: dict[str, Any] = json.loads(self.payload)["predicate"]
        return found

    @property
    def digest(self) -> str:
        """The digest of the signed bytes."""
        return digest_bytes(self.payload)


@dataclass(frozen=True)
class Envelope:
    """A DSSE envelope: what is signed, and the signatures (ASN.1 DER) over it."""

    payload: bytes = field(repr=False)
    signatures: tuple[bytes, ...] = field(repr=False)

    def signers(self, keys: "tuple[PublicKey, ...]") -> tuple[PublicKey, ...]:
        """Return those of `keys` that signed it."""
        content = encode(self.payload)
        return tuple(key for key in keys if any(key.accepts(item, content) for item in self.signatures))


def make_statement(subject: Subject, predicate_type: str, predicate: Mapping[str, Any] | bytes) -> Statement:
    """Return a statement, with its bytes. A predicate that is canonical JSON already is taken as it is."""
    written = predicate if isinstance(predicate, bytes) else canonical_json(dict(predicate))
    head = b'{"_type":' + canonical_json(STATEMENT) + b',"predicate":' + written
    rest = b',"predicateType":' + canonical_json(predicate_type) + b',"subject":'
    payload = head + rest + canonical_json([subject.to_dict()]) + b"}"
    return Statement(subject, predicate_type, payload)


def encode(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """Return DSSE's pre-authentication encoding: what the signature is really over."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def sign_envelope(statement: Statement, signer: Signer) -> bytes:
    """Return the signed statement as a DSSE envelope in JSON.

    There is no `keyid`: cosign refuses a bundle that has one.
    """
    signature = _b64(signer.sign(encode(statement.payload)))
    content = {"payload": _b64(statement.payload), "payloadType": PAYLOAD_TYPE, "signatures": [{"sig": signature}]}
    return canonical_json(content)


def make_bundle(envelope: bytes, key: PublicKey) -> bytes:
    """Return a signed envelope as a Sigstore bundle v0.3, with a key instead of a certificate."""
    content = {
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": {"publicKey": {"hint": key.hint}, "tlogEntries": []},
        "dsseEnvelope": json.loads(envelope),
    }
    return canonical_json(content)


def read_bundle(content: bytes) -> Envelope:
    """Return the envelope in a bundle. Raises NotSignedError for what is none."""
    bundle = _object(content, "bundle")
    envelope = bundle.get("dsseEnvelope")
    if bundle.get("mediaType") != BUNDLE_TYPE or not isinstance(envelope, dict):
        raise _no("bundle", f"it says mediaType {bundle.get('mediaType')!r}")
    return _envelope(envelope)


def read_envelope(content: bytes) -> Envelope:
    """Return the envelope in its JSON. Raises NotSignedError for what is none."""
    return _envelope(_object(content, "envelope"))


def read_statement(payload: bytes) -> Statement:
    """Return the statement in signed bytes. Raises NotSignedError for what is none, or is about several things."""
    content = _object(payload, "statement")
    try:
        (subject,) = content["subject"]
        hexadecimal, annotations = subject["digest"]["sha256"], subject.get("annotations", {})
        digest, predicate, kind = f"sha256:{hexadecimal}", content["predicate"], content["predicateType"]
        name = subject.get("name", "")
        texts = (name, hexadecimal, kind, *annotations, *annotations.values())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _no("statement", f"{type(error).__name__}: {error}") from error
    is_right = content.get("_type") == STATEMENT and isinstance(predicate, dict)
    if not is_right or not all(isinstance(text, str) for text in texts) or len(subject["digest"]) != 1:
        raise _no("statement", f"it says _type {content.get('_type')!r}")
    return Statement(Subject(name, digest, annotations), kind, payload)


def _envelope(content: Mapping[str, Any]) -> Envelope:
    try:
        if content["payloadType"] != PAYLOAD_TYPE:
            raise _no("envelope", f"it says payloadType {content['payloadType']!r}")
        signatures = tuple(base64.b64decode(item["sig"], validate=True) for item in content["signatures"])
        payload = base64.b64decode(content["payload"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise _no("envelope", f"{type(error).__name__}: {error}") from error
    # One bundle, one signature; where several are allowed, a handful is.
    if not 0 < len(signatures) <= 16:  # noqa: PLR2004
        raise _no("envelope", f"it has {len(signatures)} signatures")
    return Envelope(payload, signatures)


def _object(content: bytes, what: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _no(what, str(error)) from error
    if not isinstance(found, dict):
        raise _no(what, "it is no JSON object")
    return found


def _no(what: str, why: str) -> NotSignedError:
    return NotSignedError(f"this is no signed {what}", details=why[:200], resolution="Sign again; somebody changed it.")


def _b64(content: bytes) -> str:
    return base64.b64encode(content).decode()
