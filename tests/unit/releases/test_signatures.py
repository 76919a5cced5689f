# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit.registry import Manifest
from buildkit.store import Blob
from releases.signatures import (
    LAYERS_MAX,
    MANIFEST_TYPE,
    SIGNATURE_ANNOTATION,
    SIMPLE_TYPE,
    Layer,
    attestation,
    bundle_manifest,
    claim,
    claim_payload,
    layers_manifest,
    read_bundle_manifest,
    read_claim,
    read_descriptor,
    read_layers,
    tag,
)
from releases.statements import (
    BUNDLE_TYPE,
    SIGNATURE,
    NotSignedError,
    Subject,
    make_bundle,
    make_statement,
    sign_envelope,
)
from stackway.files import canonical_json, digest_bytes
from tests.fakes.releases import new_signer

SIGNER = new_signer()
ABOUT = Blob(MANIFEST_TYPE, digest_bytes(b"image"), 5)
SUBJECT = Subject("stackway.local/nova", ABOUT.digest, {"release": "2026.1.0"})
CONTENT, LAYER = claim(SUBJECT, SIGNER)
STATEMENT = make_statement(SUBJECT, SIGNATURE, {})
BUNDLE = make_bundle(sign_envelope(STATEMENT, SIGNER), SIGNER.public)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just(ABOUT.digest),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["critical", "optional", "identity", "image", "type", "mediaType", "digest", "size"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)


def manifest(content: Any) -> Manifest:
    return Manifest(json.dumps(content).encode(), MANIFEST_TYPE)


def row(kind: Any = "a/b", digest: Any = ABOUT.digest, size: Any = 5, **given: Any) -> dict[str, Any]:
    return {"mediaType": kind, "digest": digest, "size": size, **given}


def test_a_claim_is_read_as_it_was_made() -> None:
    read = read_claim(CONTENT.content, LAYER.annotations)
    assert (read.subject, read.signers((new_signer().public, SIGNER.public))) == (SUBJECT, (SIGNER.public,))
    assert json.loads(CONTENT.content)["critical"] == {
        "identity": {"docker-reference": SUBJECT.name},
        "image": {"docker-manifest-digest": SUBJECT.digest},
        "type": "cosign container image signature",
    }


def changed(**given: Any) -> bytes:
    content = json.loads(CONTENT.content)
    return canonical_json({**content, "critical": {**content["critical"], **given}})


@pytest.mark.parametrize(
    ("payload", "annotation"),
    [
        (b"", "AAAA"),
        (b"[]", "AAAA"),
        (b"[" * 100_000, "AAAA"),
        (changed(type="atomic container signature"), "AAAA"),
        (changed(type=None), "AAAA"),
        (changed(identity=None), "AAAA"),
        (changed(image={"docker-manifest-digest": 7}), "AAAA"),
        (canonical_json({**json.loads(CONTENT.content), "optional": ["a"]}), "AAAA"),
        (canonical_json({**json.loads(CONTENT.content), "optional": {"a": 1}}), "AAAA"),
        (CONTENT.content, "not base64"),
        (CONTENT.content, "ä"),
    ],
)
def test_what_is_no_claim_is_refused(payload: bytes, annotation: str) -> None:
    with pytest.raises(NotSignedError, match="this is no signature") as caught:
        read_claim(payload, {SIGNATURE_ANNOTATION: annotation})
    assert 0 < len(caught.value.details) <= 200


def test_a_claim_without_a_signature_is_refused() -> None:
    with pytest.raises(NotSignedError):
        read_claim(CONTENT.content, {})


@given(JSON, st.text(max_size=9))
def test_any_json_as_a_claim_raises_no_other_error(content: Any, annotation: str) -> None:
    with pytest.raises(NotSignedError):
        read_claim(json.dumps(content).encode(), {SIGNATURE_ANNOTATION: annotation})


@given(st.integers(0, len(CONTENT.content) - 1), st.integers(1, 255))
def test_no_byte_of_a_signed_claim_can_be_changed(place: int, difference: int) -> None:
    payload = bytearray(CONTENT.content)
    payload[place] ^= difference
    try:
        read = read_claim(bytes(payload), LAYER.annotations)
    except NotSignedError:
        return
    assert read.signers((SIGNER.public,)) == ()


def test_the_tags_are_those_that_cosign_looks_for() -> None:
    assert tag(f"sha256:{'a' * 64}", "sig") == f"sha256-{'a' * 64}.sig"


def test_the_older_form_has_what_cosign_reads() -> None:
    config, made = layers_manifest([LAYER])
    data = made.data()
    assert data["config"]["digest"] == config.blob.digest
    assert json.loads(config.content)["rootfs"] == {"diff_ids": [CONTENT.blob.digest], "type": "layers"}
    assert data["layers"] == [row(SIMPLE_TYPE, CONTENT.blob.digest, CONTENT.blob.size, annotations=LAYER.annotations)]
    assert read_layers(made) == [LAYER]


def test_an_attestation_has_an_empty_signature_beside_it() -> None:
    _, layer = attestation(b"envelope", SIGNATURE)
    assert layer.annotations == {"predicateType": SIGNATURE, SIGNATURE_ANNOTATION: ""}


@given(
    st.permutations([Layer(Blob("a/b", digest_bytes(bytes([n])), n), {"n": str(m)}) for n in (1, 2) for m in (1, 2)])
)
def test_layers_in_any_order_give_the_same_bytes(layers: list[Layer]) -> None:
    _, made = layers_manifest(layers)
    assert made == layers_manifest(sorted(layers, key=repr))[1]
    assert len(read_layers(made)) == 4


@pytest.mark.parametrize(
    "layers",
    [
        None,
        7,
        "text",
        {},
        [None, 7, "text", []],
        [row(annotations=None)],
        [row(annotations=["a"])],
        [row(annotations={"a": 1})],
        [row(annotations={"a": "\ud800"})],
        [row(annotations={"\udfff": "a"})],
        [row(kind="\ud800")],
    ],
)
def test_rows_that_are_no_layers_are_left_out(layers: Any) -> None:
    good = row(SIMPLE_TYPE, annotations={"a": "b"})
    assert read_layers(manifest({"layers": layers})) == []
    both = [*layers, good] if isinstance(layers, list) else [good]
    assert read_layers(manifest({"layers": both})) == [Layer(Blob(SIMPLE_TYPE, ABOUT.digest, 5), {"a": "b"})]


def test_of_very_many_layers_no_more_than_a_thousand_are_read() -> None:
    assert len(read_layers(manifest({"layers": [row()] * 30_000}))) == LAYERS_MAX == 1000


ROWS = st.builds(row, st.text(max_size=9), size=st.integers(), annotations=JSON | st.dictionaries(st.text(), st.text()))


@given(st.lists(JSON | ROWS, max_size=5))
def test_whatever_is_read_can_be_written_again(layers: list[Any]) -> None:
    found = read_layers(manifest({"layers": layers}))
    again = read_layers(layers_manifest(found)[1])
    assert len(again) == len(found)
    assert all(layer in found for layer in again)


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        {},
        row(kind=None),
        row(kind="\ud800"),
        row(digest=None),
        row(digest="sha256:abc"),
        row(digest=f"sha512:{'a' * 128}"),
        row(digest=f"sha256:{'A' * 64}"),
        row(digest=ABOUT.digest + "\n"),
        row(size=None),
        row(size=-1),
        row(size=True),
        row(size=5.0),
        row(size="5"),
    ],
)
def test_what_names_no_blob_is_none(wrong: Any) -> None:
    assert read_descriptor(wrong) is None


def test_a_descriptor_is_read() -> None:
    assert read_descriptor(row(extra=1)) == Blob("a/b", ABOUT.digest, 5)
    assert read_descriptor(row(size=0)) == Blob("a/b", ABOUT.digest, 0)


def test_a_bundle_refers_to_its_subject_in_the_form_of_cosign_3() -> None:
    content, made = bundle_manifest(BUNDLE, STATEMENT, ABOUT)
    data = made.data()
    assert data["artifactType"] == BUNDLE_TYPE
    assert data["config"] == row("application/vnd.oci.empty.v1+json", digest_bytes(b"{}"), 2)
    assert data["subject"] == row(MANIFEST_TYPE, ABOUT.digest, 5)
    assert data["annotations"]["dev.sigstore.bundle.content"] == "dsse-envelope"
    assert data["annotations"]["in-toto.io/predicate-type"] == SIGNATURE
    assert read_bundle_manifest(made, ABOUT.digest) == content.blob


@pytest.mark.parametrize(
    "given",
    [
        {"artifactType": "application/vnd.dev.sigstore.bundle.v0.1+json"},
        {"artifactType": None},
        {"subject": None},
        {"subject": row(MANIFEST_TYPE, digest_bytes(b"another image"), 5)},
        {"layers": []},
        {"layers": None},
        {"layers": [row(BUNDLE_TYPE)] * 2},
        {"layers": [row("text/plain")]},
        {"layers": [None]},
    ],
)
def test_what_is_no_bundle_about_the_subject_is_none(given: dict[str, Any]) -> None:
    _, made = bundle_manifest(BUNDLE, STATEMENT, ABOUT)
    assert read_bundle_manifest(manifest({**made.data(), **given}), ABOUT.digest) is None


def test_the_payload_of_a_claim_is_the_same_for_every_signer() -> None:
    content, layer = claim(SUBJECT, new_signer("other"))
    assert content == CONTENT
    assert content.content == claim_payload(SUBJECT)
    assert base64.b64decode(layer.annotations[SIGNATURE_ANNOTATION]) != base64.b64decode(
        LAYER.annotations[SIGNATURE_ANNOTATION]
    )
