# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases import attestations
from releases.found import Found
from releases.keys import FileSigner
from releases.proof import (
    MissingEvidenceError,
    MovedSignatureError,
    Proof,
    RevokedKeyError,
    TooFewSignaturesError,
    UnsignedError,
    UntrustedKeyError,
    WrongStatementError,
)
from releases.release import VerificationError
from releases.signatures import Claim, claim, read_claim
from releases.statements import SBOM, Envelope, Statement, Subject, make_statement, read_envelope, sign_envelope
from stackway.files import digest_bytes
from tests.fakes.releases import keyring, new_signer

ONE, TWO, THREE, REVOKED, EVIL = ALL = tuple(new_signer(name) for name in ("one", "two", "three", "lost", "evil"))
DIGEST = digest_bytes(b"nova")
SUBJECT = Subject("stackway.local/nova", DIGEST)
MARKED = Subject("stackway.local/nova", DIGEST, {attestations.DEVELOPMENT: "true"})
PARTS = make_statement(SUBJECT, SBOM, {"components": []})
REASONS = {REVOKED.public: "copied to a forum"}
SIGNERS = st.sets(st.sampled_from(range(5)))


def claims(*signers: FileSigner, subject: Subject = SUBJECT) -> tuple[Claim, ...]:
    pairs = (claim(subject, signer) for signer in signers)
    return tuple(read_claim(content.content, layer.annotations) for content, layer in pairs)


def envelopes(*signers: FileSigner, statement: Statement | None = None) -> tuple[Envelope, ...]:
    made = statement or attestations.signature(SUBJECT)
    return tuple(read_envelope(sign_envelope(made, signer)) for signer in signers)


def proof(found: Found, threshold: int = 1, **given: Any) -> Proof:
    ring = keyring(ONE, TWO, THREE, threshold=threshold, revoked=REASONS, **given)
    return Proof("nova", DIGEST, found, ring)


@given(SIGNERS, SIGNERS, SIGNERS, st.integers(1, 3))
def test_those_pass_who_have_enough_different_keys_that_count(a: set[int], b: set[int], c: set[int], need: int) -> None:
    """Over all ways of signing: in claims, in bundles, as attached statements."""
    parts = [[ALL[number] for number in sorted(numbers)] for numbers in (a, b, c)]
    found = Found(claims(*parts[0]), envelopes(*parts[1]), envelopes(*parts[2]), ())
    counting = {ALL[number].public for number in a | b | c if number < 3}
    try:
        signers = proof(found, need).signers([SUBJECT])
    except TooFewSignaturesError:
        assert 0 < len(counting) < need
    except VerificationError:
        assert not counting
    else:
        assert set(signers) == counting
        assert len(signers) >= need


@pytest.mark.parametrize(
    ("found", "error", "told"),
    [
        (Found((), (), (), ()), UnsignedError, "nova is not signed"),
        (Found(claims(EVIL), envelopes(EVIL), (), ()), UntrustedKeyError, "there are 2 signatures; 1 of 3 keys must"),
        (Found((), envelopes(EVIL, REVOKED), (), ()), RevokedKeyError, "lost.pub: copied to a forum"),
        (Found((), envelopes(ONE, statement=PARTS), (), ()), WrongStatementError, f"signed statements: {SBOM}"),
        (Found((), (), envelopes(ONE, statement=PARTS), ()), WrongStatementError, "An attestation is no signature"),
        (Found(claims(ONE, subject=MARKED), (), (), ()), MovedSignatureError, "(dev.stackway.development=true)"),
        (Found(claims(ONE, subject=replace(SUBJECT, name="")), (), (), ()), MovedSignatureError, f"\n@{DIGEST}\n"),
    ],
)
def test_the_nearest_reason_is_told(found: Found, error: type[VerificationError], told: str) -> None:
    with pytest.raises(error) as caught:
        proof(found).signers([SUBJECT])
    assert told in f"{caught.value.brief}\n{caught.value.details}\n{caught.value.resolution}"
    assert f"nova: {DIGEST}" in caught.value.details


def test_too_few_are_told_with_those_who_have_signed() -> None:
    with pytest.raises(TooFewSignaturesError, match="nova is signed by too few") as caught:
        proof(Found(claims(TWO, ONE, EVIL, REVOKED), (), (), ()), 3).signers([SUBJECT])
    assert caught.value.details.endswith("signed by one.pub, two.pub; 3 of 3 keys must have signed it")
    assert "--key" in caught.value.resolution


def test_marked_statements_count_only_where_they_are_wanted() -> None:
    found = Found(claims(ONE, subject=MARKED), envelopes(TWO), (), ())
    assert set(proof(found, 2).signers([SUBJECT, MARKED])) == {ONE.public, TWO.public}
    with pytest.raises(TooFewSignaturesError):
        proof(found, 2).signers([SUBJECT])


def test_signers_are_in_an_order_of_their_own() -> None:
    orders = [proof(Found(claims(*signers), (), (), ())).signers([SUBJECT]) for signers in ((ONE, TWO), (TWO, ONE))]
    assert orders[0] == orders[1] == tuple(sorted([ONE.public, TWO.public]))


def test_what_was_left_out_is_told_when_something_is_missing() -> None:
    found = Found((), (), (), tuple(f"remark {number}" for number in range(7)))
    with pytest.raises(UnsignedError) as unsigned:
        proof(found).signers([SUBJECT])
    with pytest.raises(MissingEvidenceError) as missing:
        proof(found).require([(PARTS,)])
    for caught in (unsigned, missing):
        assert "left out: remark 0\n" in caught.value.details
        assert caught.value.details.endswith("left out: remark 4\n…")


def test_evidence_counts_in_one_of_its_variants_from_enough_keys() -> None:
    marked = make_statement(MARKED, SBOM, {"components": []})
    found = Found((), envelopes(ONE, EVIL, statement=PARTS), envelopes(TWO, statement=marked), ())
    proof(found, 2).require([(PARTS, marked)])
    with pytest.raises(MissingEvidenceError) as caught:
        proof(found, 2).require([(PARTS,)])
    assert caught.value.details == f"{DIGEST}\n{SBOM}: signed by 1 of 2 keys"


def test_every_piece_of_evidence_is_asked_for() -> None:
    found = Found((), envelopes(ONE, statement=PARTS), (), ())
    proof(found).require([])
    with pytest.raises(MissingEvidenceError, match="evidence about nova is missing"):
        proof(found).require([(PARTS,), (make_statement(SUBJECT, SBOM, {"components": [1]}),)])


def test_text_that_a_trusted_key_signed_cannot_harm_a_terminal() -> None:
    odd = Subject("\x1b[2J\ud800", DIGEST, {"a": "\u202e" + "x" * 9999})
    content = Claim(odd, b"payload", ONE.sign(b"payload"))
    with pytest.raises(MovedSignatureError) as caught:
        proof(Found((content,), (), (), ())).signers([SUBJECT])
    assert "\x1b" not in caught.value.details
    assert len(caught.value.details.encode()) < 1000
