# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
import copy
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest

from buildkit.complaints import WrongContentError
from buildkit.registry import Manifest
from buildkit.store import Blob
from releases import sign
from releases.found import find
from releases.keys import FileSigner, PublicKey
from releases.signatures import (
    MANIFEST_TYPE,
    SIGNATURE_ANNOTATION,
    Layer,
    layers_manifest,
    read_layers,
    tag,
)
from releases.statements import PROVENANCE, SBOM, SCAN, SIGNATURE, SUMMARY, VEX, make_bundle, sign_envelope
from releases.verify import read, verify
from stackway.errors import FailedError
from stackway.files import digest_bytes
from tests.fakes.releases import FakeReleases, FakeRepository, keyring, new_release, new_signer, sign_release

VERSION = "2026.1.0"
ONE, TWO = new_signer("one"), new_signer("two")
UNSIGNED, SIGNED = FakeReleases(), FakeReleases()
new_release(UNSIGNED, VERSION)
new_release(SIGNED, VERSION, ONE)
EVIDENCE = [PROVENANCE, SBOM, SCAN, VEX, SUMMARY]


def plan(store: FakeReleases, signer: Any = ONE) -> sign.SignPlan:
    return sign.plan(store, read(store, VERSION), signer)


def state(store: FakeReleases) -> tuple[Any, ...]:
    found = {name: (item.manifests, item.names) for name, item in store.repositories.items()}
    return copy.deepcopy((found, store.blobs))


def of(store: FakeReleases, name: str = "nova") -> tuple[FakeRepository, str]:
    return store.repository(name), store.repository(name).names[VERSION]


def test_a_plan_names_all_statements_and_the_releases_own_comes_last() -> None:
    steps = plan(UNSIGNED).steps
    kinds = [(step.repository, step.statement.predicate_type) for step in steps]
    images = [(name, kind) for name in ("keystone", "nova") for kind in (SIGNATURE, *EVIDENCE)]
    assert kinds == [*images, ("release", SIGNATURE)]
    assert plan(UNSIGNED).missing == list(steps)


def test_planning_changes_nothing() -> None:
    before = state(UNSIGNED)
    plan(UNSIGNED)
    assert state(UNSIGNED) == before


def test_signing_twice_adds_nothing() -> None:
    store = copy.deepcopy(SIGNED)
    before = state(store)
    assert plan(store).missing == []
    sign_release(store, VERSION, ONE)
    assert state(store) == before


def test_signing_again_all_the_same_gives_the_same_bytes() -> None:
    store = copy.deepcopy(SIGNED)
    before, todo = state(store), plan(UNSIGNED)
    sign.apply(store, todo, ONE)
    assert state(store) == before


def test_a_plan_shows_people_and_programs_what_is_missing() -> None:
    text = plan(UNSIGNED).to_table().to_text()
    assert text.count("no signature by one.pub yet") == 13
    assert plan(SIGNED).to_table().to_text().count("one.pub has signed it") == 13
    rows = plan(SIGNED).to_dict()
    assert (rows["kind"], rows["release"]) == ("SignPlan", of(SIGNED, "release")[1])
    assert {row["signed"] for row in rows["steps"]} == {True}


def test_two_signers_are_side_by_side_in_both_forms() -> None:
    store = copy.deepcopy(SIGNED)
    assert len(plan(store, TWO).missing) == 13
    sign_release(store, VERSION, TWO)
    for name in ("release", "keystone", "nova"):
        found = find(*of(store, name))
        assert {key for item in found.claims for key in item.signers((ONE.public, TWO.public))} == {
            ONE.public,
            TWO.public,
        }
        for statements in (found.bundles, found.attached if name != "release" else found.bundles):
            payloads = {item.payload for item in statements}
            assert len(statements) == 2 * len(payloads)
    assert verify(store, VERSION, keyring(ONE, TWO, threshold=2)).remarks == ()


def test_two_signers_in_any_order_leave_the_same_signatures() -> None:
    stores = [copy.deepcopy(UNSIGNED), copy.deepcopy(UNSIGNED)]
    for store, signers in zip(stores, [(ONE, TWO), (TWO, ONE)], strict=True):
        for signer in signers:
            sign_release(store, VERSION, signer)
    for name in ("release", "keystone", "nova"):
        assert of(stores[0], name)[0].names == of(stores[1], name)[0].names


@pytest.mark.parametrize("end", ["sig", "att"])
def test_where_the_older_form_is_missing_it_is_written_again(end: str) -> None:
    store = copy.deepcopy(SIGNED)
    place, digest = of(store)
    del place.names[tag(digest, end)]
    assert len(plan(store).missing) == (1 if end == "sig" else 5)
    sign_release(store, VERSION, ONE)
    assert state(store) == state(SIGNED)


def test_where_the_newer_form_is_missing_it_is_written_again() -> None:
    store = copy.deepcopy(SIGNED)
    place, digest = of(store)
    for referrer in place.referrers(digest):
        del place.manifests[referrer.digest]
    assert len(plan(store).missing) == 6
    sign_release(store, VERSION, ONE)
    assert state(store) == state(SIGNED)


def test_a_bundle_that_somebody_attached_again_is_not_taken_for_the_older_form() -> None:
    store = copy.deepcopy(SIGNED)
    place, digest = of(store)
    for referrer in place.referrers(digest):
        data = place.manifests[referrer.digest].data()
        again = {**data, "annotations": {**data["annotations"], "again": "1"}}
        place.put_manifest(Manifest(str(again).replace("'", '"').encode(), MANIFEST_TYPE))
    del place.names[tag(digest, "att")]
    assert len(plan(store).missing) == 5


def test_signatures_of_others_and_junk_stay_beside_a_new_one() -> None:
    store = copy.deepcopy(UNSIGNED)
    place, digest = of(store)
    other = Layer(Blob("text/html", digest_bytes(b"x"), 1), {SIGNATURE_ANNOTATION: "AAAA"})
    place.put_manifest(layers_manifest([other])[1], tag(digest, "sig"))
    sign_release(store, VERSION, ONE)
    layers = read_layers(place.manifest(tag(digest, "sig")))
    assert other in layers
    assert len(layers) == 2


def test_where_nobody_would_see_another_signature_none_is_written() -> None:
    store = copy.deepcopy(UNSIGNED)
    place, digest = of(store, "keystone")
    layers = [Layer(Blob("text/html", digest_bytes(b"x"), 1), {"n": str(number)}) for number in range(1000)]
    place.put_manifest(layers_manifest(layers)[1], tag(digest, "sig"))
    with pytest.raises(FailedError, match="there is no room for another signature") as caught:
        sign_release(store, VERSION, ONE)
    assert f"keystone: {tag(digest, 'sig')} has 1000" in caught.value.details
    assert place.referrers(digest) == []


def test_what_cannot_be_read_is_not_overwritten() -> None:
    store = copy.deepcopy(SIGNED)
    place, digest = of(store)
    there = place.names[tag(digest, "sig")]
    place.manifests[there] = Manifest(b"{", MANIFEST_TYPE)
    with pytest.raises(WrongContentError):
        sign_release(store, VERSION, TWO)
    assert place.names[tag(digest, "sig")] == there


class Interrupting:
    """A key that is taken away after some signatures."""

    def __init__(self, signer: FileSigner, most: int) -> None:
        self._signer, self._left = signer, most

    @property
    def public(self) -> PublicKey:
        return self._signer.public

    @property
    def is_development(self) -> bool:
        return False

    def sign(self, content: bytes) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise FailedError("the token was pulled")
        return self._signer.sign(content)


@pytest.mark.parametrize("most", [0, 1, 2, 5, 13, 14, 15])
def test_signing_goes_on_where_it_was_interrupted(most: int) -> None:
    store = copy.deepcopy(UNSIGNED)
    content = read(store, VERSION)
    with suppress(FailedError):
        sign.apply(store, sign.plan(store, content, ONE), Interrupting(ONE, most))
    assert find(*of(store, "release")).claims == () or most > 14
    sign_release(store, VERSION, ONE)
    assert verify(store, VERSION, keyring(ONE)).signers == (ONE.public,)


def test_a_development_key_marks_whatever_it_signs() -> None:
    store = copy.deepcopy(UNSIGNED)
    sign_release(store, VERSION, replace(ONE, is_development=True))
    for name in ("release", "keystone", "nova"):
        found = find(*of(store, name))
        subjects = [item.subject for item in found.claims] + [item.subject for _, item in found.statements]
        assert {item.annotations["dev.stackway.development"] for item in subjects} == {"true"}
    assert len(plan(store).missing) == 13


@dataclass(frozen=True)
class Random:
    """A key service, whose signatures over the same bytes are never the same."""

    public: PublicKey
    key: Any
    is_development: bool = False

    def sign(self, content: bytes) -> bytes:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        return bytes(self.key.sign(content, ec.ECDSA(hashes.SHA256())))


def test_a_key_whose_signatures_differ_each_time_signs_once_too() -> None:
    store, signer = copy.deepcopy(UNSIGNED), Random(ONE.public, ONE._key)
    content = read(store, VERSION)
    sign.apply(store, sign.plan(store, content, signer), signer)
    before = state(store)
    sign.apply(store, sign.plan(store, content, signer), signer)
    assert state(store) == before
    assert verify(store, VERSION, keyring(ONE)).remarks == ()


def test_a_bundle_may_have_a_tag_and_refers_to_its_subject() -> None:
    store = copy.deepcopy(UNSIGNED)
    place, digest = of(store, "release")
    (step,) = (item for item in plan(store).steps if item.repository == "release")
    envelope = sign_envelope(step.statement, ONE)
    made = sign.write_bundle(place, step.statement, make_bundle(envelope, ONE.public), "channel-dev-1")
    assert place.names["channel-dev-1"] == made
    assert [item.digest for item in place.referrers(digest)] == [made]
    assert place.manifest(made).data()["subject"]["size"] == len(place.manifest(digest).content)
