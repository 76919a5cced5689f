# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The two forms in which cosign finds signatures: tags `sha256-….sig` and `.att`, and bundles that refer to a manifest.

Both are always written: cosign 2.5 sees only the first on images, cosign 3 prefers the second. Pure; nothing is sent.
Sources: sigstore/cosign specs/SIGNATURE_SPEC.md and BUNDLE_SPEC.md, OCI image specification 1.1 (`subject`).
"""

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from buildkit.registry import Manifest
from buildkit.store import Blob
from releases.keys import PublicKey, Signer
from releases.statements import BUNDLE_TYPE, NotSignedError, Statement, Subject
from stackway.files import canonical_json, digest_bytes

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY = b"{}"
SIMPLE_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
DSSE_TYPE = "application/vnd.dsse.envelope.v1+json"
SIGNATURE_ANNOTATION = "dev.cosignproject.cosign/signature"
PREDICATE_ANNOTATION = "dev.sigstore.bundle.predicateType"
CONTENT_ANNOTATION = "dev.sigstore.bundle.content"
# Trivy finds VEX documents by this one.
IN_TOTO_ANNOTATION = "in-toto.io/predicate-type"
_CLAIM = "cosign container image signature"
LAYERS_MAX = 1_000


@dataclass(frozen=True)
class Content:
    """A blob with its bytes."""

    media_type: str
    content: bytes = field(repr=False)

    @property
    def blob(self) -> Blob:
        """Its descriptor."""
        return Blob(self.media_type, digest_bytes(self.content), len(self.content))


@dataclass(frozen=True)
class Layer:
    """A layer of a `.sig` or `.att` manifest, with its annotations."""

    blob: Blob
    annotations: Mapping[str, str]


@dataclass(frozen=True)
class Claim:
    """A simple signing payload that was read: whose image it says it is, its digest, remarks, and the signature over it."""

    subject: Subject
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    def signers(self, keys: tuple[PublicKey, ...]) -> tuple[PublicKey, ...]:
        """Return those of `keys` that signed it."""
        return tuple(key for key in keys if key.accepts(self.signature, self.payload))


def tag(digest: str, kind: str) -> str:
    """Return the tag by which cosign finds a manifest's signatures (`sig`) or attestations (`att`)."""
    return f"{digest.replace(':', '-')}.{kind}"


def claim(subject: Subject, signer: Signer) -> tuple[Content, Layer]:
    """Return a signed simple signing payload, and its layer."""
    content = Content(SIMPLE_TYPE, claim_payload(subject))
    signature = base64.b64encode(signer.sign(content.content)).decode()
    return content, Layer(content.blob, {SIGNATURE_ANNOTATION: signature})


def claim_payload(subject: Subject) -> bytes:
    """Return the bytes that are signed in the older form."""
    critical = {
        "identity": {"docker-reference": subject.name},
        "image": {"docker-manifest-digest": subject.digest},
        "type": _CLAIM,
    }
    return canonical_json({"critical": critical, "optional": dict(subject.annotations)})


def read_claim(payload: bytes, annotations: Mapping[str, str]) -> Claim:
    """Return the claim in a layer's bytes. Raises NotSignedError for what is none."""
    try:
        content = json.loads(payload)
        critical, optional = content["critical"], content.get("optional") or {}
        name, digest = critical["identity"]["docker-reference"], critical["image"]["docker-manifest-digest"]
        signature = base64.b64decode(annotations[SIGNATURE_ANNOTATION], validate=True)
        texts = (name, digest, *optional, *optional.values())
        is_right = critical["type"] == _CLAIM and all(isinstance(text, str) for text in texts)
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error, RecursionError) as error:
        raise _no(f"{type(error).__name__}: {error}") from error
    if not is_right:
        raise _no(f"it says type {critical['type']!r}")
    return Claim(Subject(name, digest, optional), payload, signature)


def _no(why: str) -> NotSignedError:
    return NotSignedError("this is no signature", details=why[:200], resolution="Sign again; somebody changed it.")


def attestation(envelope: bytes, predicate_type: str) -> tuple[Content, Layer]:
    """Return a signed envelope as a layer of the older form."""
    content = Content(DSSE_TYPE, envelope)
    return content, Layer(content.blob, {"predicateType": predicate_type, SIGNATURE_ANNOTATION: ""})


def layers_manifest(layers: Iterable[Layer]) -> tuple[Content, Manifest]:
    """Return the config and the manifest of a `.sig` or `.att` tag; equal layers in any order give equal bytes."""
    ordered = sorted(layers, key=lambda layer: (layer.blob.digest, sorted(layer.annotations.items())))
    diffs = [layer.blob.digest for layer in ordered]
    config = Content(
        CONFIG_TYPE,
        canonical_json({"architecture": "", "config": {}, "os": "", "rootfs": {"diff_ids": diffs, "type": "layers"}}),
    )
    rows = [{**descriptor(layer.blob), "annotations": dict(layer.annotations)} for layer in ordered]
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": descriptor(config.blob),
        "layers": rows,
    }
    return config, Manifest(canonical_json(manifest), MANIFEST_TYPE)


def read_layers(manifest: Manifest) -> list[Layer]:
    """Return the layers of a `.sig` or `.att` manifest; rows that are none are left out."""
    rows = manifest.data().get("layers")
    found = []
    for row in rows[:LAYERS_MAX] if isinstance(rows, list) else []:
        blob = read_descriptor(row)
        annotations = row.get("annotations", {}) if blob else {}
        texts = (*annotations, *annotations.values()) if isinstance(annotations, dict) else (None,)
        if blob and all(_is_text(text) for text in texts):
            found.append(Layer(blob, annotations))
    return found


def _is_text(value: object) -> bool:
    """Tell whether a value is text that can be written again: JSON can spell half a character, UTF-8 cannot."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def bundle_manifest(bundle: bytes, statement: Statement, subject: Blob) -> tuple[Content, Manifest]:
    """Return a bundle as blob, and the manifest by which it refers to `subject`."""
    content = Content(BUNDLE_TYPE, bundle)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": BUNDLE_TYPE,
        "config": descriptor(Content(EMPTY_TYPE, EMPTY).blob),
        "layers": [descriptor(content.blob)],
        "subject": descriptor(subject),
        "annotations": {
            CONTENT_ANNOTATION: "dsse-envelope",
            PREDICATE_ANNOTATION: statement.predicate_type,
            IN_TOTO_ANNOTATION: statement.predicate_type,
        },
    }
    return content, Manifest(canonical_json(manifest), MANIFEST_TYPE)


def read_bundle_manifest(manifest: Manifest, subject: str) -> Blob | None:
    """Return the bundle's blob when the manifest is a bundle that refers to `subject`, else None."""
    content = manifest.data()
    layers, about = content.get("layers"), read_descriptor(content.get("subject"))
    if content.get("artifactType") != BUNDLE_TYPE or about is None or about.digest != subject:
        return None
    blob = read_descriptor(layers[0]) if isinstance(layers, list) and len(layers) == 1 else None
    return blob if blob and blob.media_type == BUNDLE_TYPE else None


def descriptor(blob: Blob) -> dict[str, Any]:
    """Return a blob as OCI writes it."""
    return {"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size}


def read_descriptor(row: Any) -> Blob | None:
    """Return the blob that a row of a manifest names, None when it names none."""
    from buildkit.references import is_digest

    if not isinstance(row, dict):
        return None
    kind, digest, size = row.get("mediaType"), row.get("digest"), row.get("size")
    is_size = isinstance(size, int) and not isinstance(size, bool) and size >= 0
    if not _is_text(kind) or not isinstance(digest, str) or not is_size or not is_digest(digest):
        return None
    return Blob(str(kind), digest, int(size or 0))
