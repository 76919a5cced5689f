# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit.complaints import RegistryError, UnreachableRegistryError
from buildkit.registry import Manifest
from buildkit.store import Blob
from releases import attestations, found, sign
from releases.found import Found, find
from releases.repository import opener
from releases.signatures import (
    DSSE_TYPE,
    MANIFEST_TYPE,
    SIMPLE_TYPE,
    Content,
    Layer,
    bundle_manifest,
    claim,
    layers_manifest,
    tag,
)
from releases.statements import SBOM, Statement, Subject, make_bundle, make_statement, sign_envelope
from stackway.files import canonical_json
from tests.fakes.releases import FakeReleases, FakeRepository, new_signer

ONE, OTHER, EVIL = (new_signer(name) for name in ("one", "other", "evil"))
KEYS = (ONE.public, OTHER.public)
ABOUT = Manifest(canonical_json({"mediaType": MANIFEST_TYPE, "layers": []}), MANIFEST_TYPE)
SUBJECT = Subject("stackway.local/nova", ABOUT.digest)
SIGNATURE, PARTS = attestations.signature(SUBJECT), make_statement(SUBJECT, SBOM, {"components": []})


@pytest.fixture
def place() -> FakeRepository:
    made = FakeReleases().repository("nova")
    made.put_manifest(ABOUT, "1")
    return made


def look(place: FakeRepository) -> Found:
    return find(place, ABOUT.digest)


def older(place: FakeRepository, *rows: tuple[Content, Layer], end: str = "sig") -> None:
    for content, _ in rows:
        place.upload(content.blob, opener(content.content))
    place.put_manifest(layers_manifest([layer for _, layer in rows])[1], tag(ABOUT.digest, end))


def newer(place: FakeRepository, bundle: bytes, statement: Statement = SIGNATURE) -> None:
    content, manifest = bundle_manifest(bundle, statement, Blob(MANIFEST_TYPE, ABOUT.digest, len(ABOUT.content)))
    place.upload(content.blob, opener(content.content))
    place.put_manifest(manifest)


def junk(content: bytes, kind: str = SIMPLE_TYPE) -> tuple[Content, Layer]:
    made = Content(kind, content)
    return made, Layer(made.blob, {})


def test_nothing_is_found_where_nothing_is(place: FakeRepository) -> None:
    assert look(place) == Found((), (), (), ())


def test_both_forms_are_found_and_told_apart(place: FakeRepository) -> None:
    sign.write(place, SIGNATURE, ONE)
    sign.write(place, PARTS, ONE)
    all_of_it = look(place)
    assert [item.subject for item in all_of_it.claims] == [SUBJECT]
    assert {item.payload for item in all_of_it.bundles} == {SIGNATURE.payload, PARTS.payload}
    assert [item.payload for item in all_of_it.attached] == [PARTS.payload]
    assert len(all_of_it.statements) == len(all_of_it.envelopes) == 3
    assert all_of_it.remarks == ()


def test_a_signer_counts_in_whichever_form(place: FakeRepository) -> None:
    sign.write(place, PARTS, ONE)
    newer(place, make_bundle(sign_envelope(PARTS, OTHER), OTHER.public), PARTS)
    sign.write(place, PARTS, EVIL)
    assert look(place).signers(PARTS, KEYS) == set(KEYS)
    assert look(place).signers(SIGNATURE, KEYS) == set()
    assert look(place).signers(make_statement(SUBJECT, SBOM, {}), KEYS) == set()


@given(st.sets(st.sampled_from([ONE, OTHER, EVIL])), st.sets(st.sampled_from([ONE, OTHER, EVIL])))
def test_who_signed_is_exactly_who_signed(signers: set[object], others: set[object]) -> None:
    place = FakeReleases().repository("nova")
    place.put_manifest(ABOUT, "1")
    for signer in (ONE, OTHER, EVIL):
        if signer in signers:
            sign.write(place, SIGNATURE, signer)
        if signer in others:
            sign.write(place, PARTS, signer)
    assert look(place).signers(SIGNATURE, KEYS) == {item.public for item in (ONE, OTHER) if item in signers}
    assert look(place).signers(PARTS, KEYS) == {item.public for item in (ONE, OTHER) if item in others}


def test_statements_that_cannot_be_read_are_no_statements(place: FakeRepository) -> None:
    envelope = sign_envelope(replace(SIGNATURE, payload=b"[]"), ONE)
    newer(place, make_bundle(envelope, ONE.public))
    assert len(look(place).envelopes) == 1
    assert look(place).statements == ()


def test_each_thing_left_out_is_told_by_its_digest(place: FakeRepository) -> None:
    wrong = [junk(b"{}"), junk(b"<", "text/html"), junk(b"x" * 70_000)]
    older(place, *wrong, claim(SUBJECT, ONE))
    result = look(place)
    assert [item.subject for item in result.claims] == [SUBJECT]
    expected = ["this is no signature", "of kind text/html", "70000 bytes are too much"]
    for (content, _), told in zip(wrong, expected, strict=True):
        (remark,) = (item for item in result.remarks if content.blob.digest in item)
        assert told in remark


def test_what_would_fill_the_memory_is_left_out_and_small_things_come_first(
    place: FakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = claim(SUBJECT, ONE)
    monkeypatch.setattr(found, "_TOTAL_MAX", 2000)
    older(place, *(junk(bytes([65 + n]) * 900) for n in range(9)), good)
    result = look(place)
    assert [item.subject for item in result.claims] == [SUBJECT]
    assert sum("are too much" in remark for remark in result.remarks) == 8


def test_an_attestation_under_the_other_tag_does_not_count(place: FakeRepository) -> None:
    content = Content(DSSE_TYPE, sign_envelope(PARTS, ONE))
    older(place, (content, Layer(content.blob, {})))
    older(place, claim(SUBJECT, ONE), end="att")
    assert (look(place).claims, look(place).envelopes) == ((), ())
    assert len(look(place).remarks) == 2


def test_a_bundle_about_something_else_is_left_out(place: FakeRepository) -> None:
    newer(place, make_bundle(sign_envelope(SIGNATURE, ONE), ONE.public))
    (referrer,) = place.referrers(ABOUT.digest)
    data = place.manifests.pop(referrer.digest).data()
    place.put_manifest(Manifest(canonical_json({**data, "layers": data["layers"] * 2}), MANIFEST_TYPE))
    assert look(place).envelopes == ()
    assert [remark.endswith(": no bundle") for remark in look(place).remarks] == [True]


class Trouble(FakeRepository):
    """A repository whose registry has trouble with some questions."""

    error: Exception = RegistryError("the registry answers with an error (500)")

    def referrers(self, digest: str) -> list[Blob]:
        del digest
        raise self.error


def test_trouble_with_one_form_leaves_the_other(place: FakeRepository) -> None:
    sign.write(place, SIGNATURE, ONE)
    result = find(Trouble("nova", place.blobs, place.manifests, place.names), ABOUT.digest)
    assert len(result.claims) == 1
    assert result.remarks == ("what refers to it: the registry answers with an error (500)",)


def test_a_registry_that_does_not_answer_is_no_missing_signature(place: FakeRepository) -> None:
    trouble = Trouble("nova", place.blobs, place.manifests, place.names)
    trouble.error = UnreachableRegistryError("does not answer")
    with pytest.raises(UnreachableRegistryError):
        find(trouble, ABOUT.digest)
