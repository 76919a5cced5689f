# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases.statements import (
    BUNDLE_TYPE,
    PAYLOAD_TYPE,
    SIGNATURE,
    STATEMENT,
    NotSignedError,
    Subject,
    encode,
    make_bundle,
    make_statement,
    read_bundle,
    read_envelope,
    read_statement,
    sign_envelope,
)
from stackway.files import canonical_json
from tests.fakes.releases import new_signer

SIGNER = new_signer()
OTHER = new_signer("other")
SUBJECT = Subject("stackway.local/nova", f"sha256:{'a' * 64}", {"release": "2026.1.0"})
MADE = make_statement(SUBJECT, SIGNATURE, {})
ENVELOPE = sign_envelope(MADE, SIGNER)
BUNDLE = make_bundle(ENVELOPE, SIGNER.public)

WORDS = [
    "payload",
    "payloadType",
    "signatures",
    "sig",
    "dsseEnvelope",
    "mediaType",
    "subject",
    "digest",
    "sha256",
    "name",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just(PAYLOAD_TYPE),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*WORDS, "predicate", "_type"]), inner, max_size=5)
    ),
    max_leaves=15,
)
READERS: dict[str, Callable[[bytes], Any]] = {
    "bundle": read_bundle,
    "envelope": read_envelope,
    "statement": read_statement,
}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=3), st.dictionaries(TEXTS, TEXTS | st.integers(), max_size=3))
def test_a_statement_is_read_as_it_was_made(name: str, annotations: dict[str, str], predicate: dict[str, Any]) -> None:
    made = make_statement(Subject(name, SUBJECT.digest, annotations), SIGNATURE, predicate)
    assert read_statement(made.payload) == made
    assert made.predicate == predicate
    assert json.loads(made.payload)["_type"] == STATEMENT


@given(st.dictionaries(TEXTS, TEXTS | st.integers() | st.lists(TEXTS), max_size=4))
def test_a_predicate_that_is_written_already_gives_the_same_bytes(predicate: dict[str, Any]) -> None:
    made = make_statement(SUBJECT, SIGNATURE, predicate)
    assert make_statement(SUBJECT, SIGNATURE, canonical_json(predicate)) == made
    assert canonical_json(json.loads(made.payload)) == made.payload


def test_a_bundle_leads_back_to_its_statement_and_signer() -> None:
    for envelope in (read_bundle(BUNDLE), read_envelope(ENVELOPE)):
        assert read_statement(envelope.payload) == MADE
        assert envelope.signers((OTHER.public, SIGNER.public)) == (SIGNER.public,)
        assert envelope.signers((OTHER.public,)) == ()


def test_an_envelope_has_no_keyid_which_cosign_would_refuse() -> None:
    (signature,) = json.loads(ENVELOPE)["signatures"]
    assert signature.keys() == {"sig"}
    assert json.loads(BUNDLE)["verificationMaterial"] == {
        "publicKey": {"hint": SIGNER.public.hint},
        "tlogEntries": [],
    }


def test_what_is_signed_is_told_apart_by_length_and_type() -> None:
    assert encode(b"body", "type") == b"DSSEv1 4 type 4 body"
    assert encode(b"e body", "typ") != encode(b"body", "typ e")
    assert encode("ä".encode(), "ä") == b"DSSEv1 2 \xc3\xa4 2 \xc3\xa4"


def test_a_signature_over_the_bare_payload_does_not_count() -> None:
    content = {**json.loads(ENVELOPE), "signatures": [{"sig": base64.b64encode(SIGNER.sign(MADE.payload)).decode()}]}
    assert read_envelope(canonical_json(content)).signers((SIGNER.public,)) == ()


def changed(content: bytes, **given: Any) -> bytes:
    return canonical_json({**json.loads(content), **given})


def deep(levels: int) -> bytes:
    return b'{"predicate":' + b"[" * levels + b"]" * levels + b"}"


SIGNED = {"sig": "AAAA"}


@pytest.mark.parametrize(
    ("kind", "content", "told"),
    [
        ("bundle", b"", "Expecting value"),
        ("bundle", BUNDLE[:-1], "delimiter"),
        ("bundle", b"[]", "no JSON object"),
        ("bundle", b"\xff\xfe\x00", "decode"),
        ("bundle", deep(100_000), "recursion"),
        ("bundle", changed(BUNDLE, mediaType=BUNDLE_TYPE.replace("v0.3", "v0.1")), "v0.1+json"),
        ("bundle", changed(BUNDLE, mediaType="x" * 9999), "it says mediaType"),
        ("bundle", changed(BUNDLE, dsseEnvelope=None), "it says mediaType"),
        ("bundle", changed(BUNDLE, dsseEnvelope={"messageSignature": {}}), "payloadType"),
        ("envelope", changed(ENVELOPE, payloadType="text/plain"), "text/plain"),
        ("envelope", changed(ENVELOPE, signatures=[]), "0 signatures"),
        ("envelope", changed(ENVELOPE, signatures=[SIGNED] * 17), "17 signatures"),
        ("envelope", changed(ENVELOPE, signatures=SIGNED), "TypeError"),
        ("envelope", changed(ENVELOPE, signatures=[{"sig": "!!!!"}]), "Error"),
        ("envelope", changed(ENVELOPE, signatures=[{"sig": "ä"}]), "ASCII"),
        ("envelope", changed(ENVELOPE, payload="AAA"), "padding"),
        ("envelope", changed(ENVELOPE, payload=None), "TypeError"),
        ("statement", changed(MADE.payload, subject=[]), "not enough values"),
        ("statement", changed(MADE.payload, subject=[SUBJECT.to_dict()] * 2), "too many values"),
        ("statement", changed(MADE.payload, subject=[{"name": "nova"}]), "digest"),
        ("statement", changed(MADE.payload, subject=[{"digest": {"sha256": "a", "sha512": "b"}}]), "_type"),
        ("statement", changed(MADE.payload, subject=[{"digest": {"sha256": 7}}]), "_type"),
        ("statement", changed(MADE.payload, subject=[{**SUBJECT.to_dict(), "annotations": {"a": 1}}]), "_type"),
        ("statement", changed(MADE.payload, subject=[{**SUBJECT.to_dict(), "annotations": ["a"]}]), "Attribute"),
        ("statement", changed(MADE.payload, subject=[{**SUBJECT.to_dict(), "annotations": None}]), "TypeError"),
        ("statement", changed(MADE.payload, _type="https://in-toto.io/Statement/v0.1"), "Statement/v0.1"),
        ("statement", changed(MADE.payload, predicate=[]), "_type"),
        ("statement", changed(MADE.payload, predicateType=None), "_type"),
        ("statement", b"1" * 10_000, "digits"),
    ],
)
def test_what_is_none_is_refused_and_says_why(kind: str, content: bytes, told: str) -> None:
    with pytest.raises(NotSignedError, match=f"this is no signed {kind}|this is no signed envelope") as caught:
        READERS[kind](content)
    assert told in caught.value.details
    assert len(caught.value.details) <= 200
    assert caught.value.resolution


@given(st.sampled_from(sorted(READERS)), JSON)
def test_any_json_raises_no_other_error(kind: str, content: Any) -> None:
    with pytest.raises(NotSignedError):
        READERS[kind](json.dumps(content).encode())


@given(st.sampled_from(sorted(READERS)), st.binary(max_size=50))
def test_any_bytes_raise_no_other_error(kind: str, content: bytes) -> None:
    with pytest.raises(NotSignedError):
        READERS[kind](content)


@given(st.dictionaries(st.sampled_from(WORDS[:4]), JSON, max_size=3), JSON)
def test_any_json_in_place_of_a_field_never_gets_a_signature_to_count(fields: dict[str, Any], subject: Any) -> None:
    try:
        envelope = read_bundle(changed(BUNDLE, dsseEnvelope={**json.loads(ENVELOPE), **fields}))
    except NotSignedError:
        envelope = None
    assert envelope is None or envelope.payload == MADE.payload or not envelope.signers((SIGNER.public,))
    try:
        read = read_statement(changed(MADE.payload, subject=subject))
    except NotSignedError:
        read = None
    assert read is None or read.subject != SUBJECT


@given(st.integers(0, len(MADE.payload) - 1), st.integers(1, 255))
def test_no_byte_of_a_signed_statement_can_be_changed(place: int, difference: int) -> None:
    payload = bytearray(MADE.payload)
    payload[place] ^= difference
    content = changed(ENVELOPE, payload=base64.b64encode(payload).decode())
    assert read_envelope(content).signers((SIGNER.public,)) == ()
