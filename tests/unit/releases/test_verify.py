# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What somebody may try who can write anything into the place of the releases, or has a key that counts elsewhere."""

import copy
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildkit.registry import Manifest
from buildkit.store import Blob
from releases import attestations, sign
from releases.keyring import Keyring
from releases.keys import FileSigner, PublicKey
from releases.proof import (
    MissingEvidenceError,
    MovedSignatureError,
    RevokedKeyError,
    TooFewSignaturesError,
    UnsignedError,
    UntrustedKeyError,
    WrongStatementError,
)
from releases.release import MixedReleaseError, NoReleaseError, ReleaseContent, VerificationError, identity
from releases.repository import opener
from releases.signatures import (
    DSSE_TYPE,
    MANIFEST_TYPE,
    SIGNATURE_ANNOTATION,
    SIMPLE_TYPE,
    Content,
    Layer,
    bundle_manifest,
    claim,
    descriptor,
    layers_manifest,
    read_layers,
    tag,
)
from releases.statements import (
    BUNDLE_TYPE,
    PROVENANCE,
    SBOM,
    SIGNATURE,
    Statement,
    Subject,
    make_bundle,
    make_statement,
    sign_envelope,
)
from releases.verify import DamagedReleaseError, Release, read, verify
from stackway.files import digest_bytes
from tests.fakes.releases import FakeReleases, FakeRepository, keyring, new_release, new_signer, sign_release

VERSION = "2026.1.0"
GOOD, SECOND, THIRD, EVIL = (new_signer(name) for name in ("good", "second", "third", "evil"))
DEVELOPMENT = new_signer("development", development=True)
ONE = keyring(GOOD)
TWO_OF_THREE = keyring(GOOD, SECOND, THIRD, threshold=2)


def made(*signers: FileSigner) -> FakeReleases:
    store = FakeReleases()
    new_release(store, VERSION, *signers)
    return store


UNSIGNED, SIGNED, BY_TWO = made(), made(GOOD), made(GOOD, SECOND)


def content_of(store: FakeReleases) -> ReleaseContent:
    return read(store, VERSION)


def release_subject(store: FakeReleases) -> Subject:
    return attestations.release_subject(content_of(store), development=False)


def repository(store: FakeReleases, name: str = "release") -> tuple[FakeRepository, str]:
    """Return a repository, and the digest of what the release has there."""
    found = store.repository(name)
    return found, found.names[VERSION]


def say(store: FakeReleases, statement: Statement, signer: FileSigner = GOOD, name: str = "release") -> None:
    sign.write(store.repository(name), statement, signer)


def attach_layer(
    store: FakeReleases, name: str, kind: str, content: Content, annotations: dict[str, str], about: str = ""
) -> None:
    """Add a layer under the tag by which cosign finds signatures of what the release has in a repository."""
    place, digest = repository(store, name)
    there = tag(about or digest, kind)
    layers = read_layers(place.manifest(there)) if there in place.names else []
    place.upload(content.blob, opener(content.content))
    place.put_manifest(layers_manifest([*layers, Layer(content.blob, annotations)])[1], there)


def attach_bundle(store: FakeReleases, name: str, bundle: bytes) -> None:
    """Attach bytes as a bundle about what the release has in a repository."""
    place, digest = repository(store, name)
    about = place.manifest(digest)
    statement = make_statement(Subject("", digest), SIGNATURE, {})
    content, manifest = bundle_manifest(bundle, statement, Blob(MANIFEST_TYPE, digest, len(about.content)))
    place.upload(content.blob, opener(content.content))
    place.put_manifest(manifest)


def remove(store: FakeReleases, name: str, *, older: bool = True, newer: bool = True, kind: str = "") -> None:
    """Take away what is signed, in one form or both; with `kind` only statements of that type."""
    place, digest = repository(store, name)
    for end in ("sig", "att") if older else ():
        there = tag(digest, end)
        if there in place.names and kind:
            kept = [
                item for item in read_layers(place.manifest(there)) if item.annotations.get("predicateType") != kind
            ]
            place.put_manifest(layers_manifest(kept)[1], there)
        elif there in place.names:
            del place.names[there]
    for referrer in place.referrers(digest) if newer else ():
        annotations = place.manifests[referrer.digest].data()["annotations"]
        if kind in ("", annotations["in-toto.io/predicate-type"]):
            del place.manifests[referrer.digest]


# Attacks on the release's own signature.


def only_provenance(store: FakeReleases) -> None:
    say(store, make_statement(release_subject(store), PROVENANCE, {}))


def signature_that_says_more(store: FakeReleases) -> None:
    envelope = sign_envelope(make_statement(release_subject(store), SIGNATURE, {"only": "for tests"}), GOOD)
    attach_bundle(store, "release", make_bundle(envelope, GOOD.public))


def another_version(store: FakeReleases) -> None:
    subject = replace(release_subject(store), annotations={attestations.RELEASE: "2026.1.9"})
    say(store, attestations.signature(subject))


def another_repository(store: FakeReleases) -> None:
    say(store, attestations.signature(replace(release_subject(store), name=identity("nova"))))


def without_a_name(store: FakeReleases) -> None:
    say(store, attestations.signature(replace(release_subject(store), name="")))


def claim_of_another_release(store: FakeReleases) -> None:
    subject = replace(release_subject(store), digest=digest_bytes(b"another release"))
    content, layer = claim(subject, GOOD)
    attach_layer(store, "release", "sig", content, dict(layer.annotations))


def bundle_of_another_release(store: FakeReleases) -> None:
    subject = replace(release_subject(store), digest=digest_bytes(b"another release"))
    envelope = sign_envelope(attestations.signature(subject), GOOD)
    attach_bundle(store, "release", make_bundle(envelope, GOOD.public))


def claim_with_another_payload(store: FakeReleases) -> None:
    """The signature of one claim beside the bytes of another."""
    good, evil = (
        claim(replace(release_subject(store), digest=digest_bytes(b"x")), GOOD),
        claim(release_subject(store), EVIL),
    )
    attach_layer(store, "release", "sig", evil[0], dict(good[1].annotations))


def bundle_with_another_payload(store: FakeReleases) -> None:
    """The signature of one statement beside the bytes of another, and the right key's hint."""
    good = json.loads(sign_envelope(make_statement(release_subject(store), PROVENANCE, {}), GOOD))
    evil = json.loads(sign_envelope(attestations.signature(release_subject(store)), EVIL))
    envelope = json.dumps({**evil, "signatures": good["signatures"]}).encode()
    attach_bundle(store, "release", make_bundle(envelope, GOOD.public))


def development_signature(store: FakeReleases) -> None:
    sign_release(store, VERSION, replace(GOOD, is_development=True))


def tag_of_another_release(store: FakeReleases) -> None:
    new_release(store, "2026.1.1", GOOD)
    place, _ = repository(store)
    place.names[VERSION] = place.names["2026.1.1"]


def images_of_another_release(store: FakeReleases) -> None:
    """The release's manifest with images of another one; its signature stays behind at the old digest."""
    other = FakeReleases()
    new_release(other, "2026.1.1")
    place, digest = repository(store)
    rows = {**place.manifest(digest).data(), "layers": read(other, "2026.1.1").files and []}
    place.put_manifest(Manifest(json.dumps(rows).encode(), MANIFEST_TYPE), VERSION)


# Attacks on an image.


def image_content(store: FakeReleases, name: str = "nova") -> tuple[ReleaseContent, Subject]:
    content = content_of(store)
    (image,) = (item for item in content.images if item.name == name)
    return content, attestations.image_subject(image, development=False)


def image_unsigned(store: FakeReleases) -> None:
    remove(store, "nova", kind=SIGNATURE)
    place, digest = repository(store, "nova")
    del place.names[tag(digest, "sig")]


def image_without_anything(store: FakeReleases) -> None:
    remove(store, "nova")


def image_by_another_key(store: FakeReleases) -> None:
    remove(store, "nova")
    sign_release(store, VERSION, EVIL)


def image_signature_of_a_sibling(store: FakeReleases) -> None:
    remove(store, "nova")
    _, sibling = image_content(store, "keystone")
    content, layer = claim(sibling, GOOD)
    attach_layer(store, "nova", "sig", content, dict(layer.annotations))
    attach_bundle(store, "nova", make_bundle(sign_envelope(attestations.signature(sibling), GOOD), GOOD.public))


def image_signature_of_a_repository(store: FakeReleases) -> None:
    remove(store, "nova")
    _, subject = image_content(store)
    say(store, attestations.signature(replace(subject, name=identity("keystone"))), GOOD, "nova")


def without_sbom(store: FakeReleases) -> None:
    remove(store, "nova", kind=SBOM)


def sbom_by_another_key(store: FakeReleases) -> None:
    content, subject = image_content(store)
    remove(store, "nova", kind=SBOM)
    say(store, make_statement(subject, SBOM, content.data("images/nova/sbom.json")), EVIL, "nova")


def sbom_that_says_less(store: FakeReleases) -> None:
    _, subject = image_content(store)
    remove(store, "nova", kind=SBOM)
    say(store, make_statement(subject, SBOM, {"components": []}), GOOD, "nova")


def sbom_as_something_else(store: FakeReleases) -> None:
    content, subject = image_content(store)
    remove(store, "nova", kind=SBOM)
    say(store, make_statement(subject, PROVENANCE, content.data("images/nova/sbom.json")), GOOD, "nova")


def evidence_of_one_only(store: FakeReleases) -> None:
    remove(store, "nova", kind=SBOM)
    content, subject = image_content(store)
    say(store, make_statement(subject, SBOM, content.data("images/nova/sbom.json")), GOOD, "nova")


def image_gone(store: FakeReleases) -> None:
    place, digest = repository(store, "nova")
    del place.manifests[digest]


def layer_gone(store: FakeReleases) -> None:
    del store.blobs[digest_bytes(b"nova of 2026.1")]


def layer_longer(store: FakeReleases) -> None:
    store.blobs[digest_bytes(b"nova of 2026.1")] += b"!"


def layer_changed(store: FakeReleases) -> None:
    store.blobs[digest_bytes(b"nova of 2026.1")] = b"evil of 2026.1"


def file_changed(store: FakeReleases) -> None:
    blob = content_of(store).files["cards.json"].blob
    store.blobs[blob.digest] = b"[" + store.blobs[blob.digest][1:-1] + b" "


def file_gone(store: FakeReleases) -> None:
    del store.blobs[content_of(store).files["cards.json"].blob.digest]


def put_as_release(content: bytes) -> Callable[[FakeReleases], None]:
    def put(store: FakeReleases) -> None:
        repository(store)[0].put_manifest(Manifest(content, MANIFEST_TYPE), VERSION)

    return put


def truncated(store: FakeReleases) -> None:
    place, digest = repository(store)
    place.manifests[digest] = Manifest(place.manifests[digest].content[:-9], MANIFEST_TYPE)


def image_as_release(store: FakeReleases) -> None:
    place, _ = repository(store)
    images, digest = repository(store, "nova")
    place.put_manifest(images.manifests[digest], VERSION)


def nothing(store: FakeReleases) -> None:
    del store


def signed_by(*signers: FileSigner) -> Callable[[FakeReleases], None]:
    def attack(store: FakeReleases) -> None:
        for signer in signers:
            sign_release(store, VERSION, signer)

    return attack


def named_twice(key: PublicKey) -> tuple[PublicKey, ...]:
    return replace(key, name="one.pub"), replace(key, name="two.pub")


REVOKED = {SECOND.public: "lost with a laptop"}


@dataclass(frozen=True)
class Attack:
    """A place as it was, what is done to it, whose keys count, and what must come of it."""

    about: str
    do: Callable[[FakeReleases], None]
    error: type[VerificationError]
    told: str
    start: FakeReleases = field(default=UNSIGNED, repr=False)
    ring: Keyring = field(default=ONE, repr=False)


ATTACKS = [
    # Signed by nobody, by others, by too few.
    Attack("unsigned", nothing, UnsignedError, "release 2026.1.0 is not signed"),
    Attack("another key", signed_by(EVIL), UntrustedKeyError, "1 of 1 keys must have signed it: good.pub"),
    Attack("two other keys", signed_by(EVIL, THIRD), UntrustedKeyError, "none of the keys that count"),
    Attack("a key that may only promote and approve", signed_by(SECOND), UntrustedKeyError, "none of the keys",
           ring=keyring(GOOD, promoters=(SECOND.public,), approvers=(SECOND.public,), former=(SECOND.public,))),
    Attack("one of two", signed_by(GOOD, EVIL), TooFewSignaturesError, "signed by good.pub; 2 of 3 keys",
           ring=TWO_OF_THREE),
    Attack("one key under two names", nothing, TooFewSignaturesError, "signed by one.pub; 2 of 2 keys", SIGNED,
           Keyring(named_twice(GOOD.public), 2, (), (), (), (), {})),
    Attack("one key that signs twice", signed_by(GOOD, GOOD), TooFewSignaturesError, "by too few", ring=TWO_OF_THREE),
    Attack("no key counts at all", nothing, UntrustedKeyError, "none of the keys", SIGNED, Keyring((), 1, (), (), (), (), {})),
    Attack("a revoked key", signed_by(SECOND), RevokedKeyError, "second.pub: lost with a laptop",
           ring=keyring(GOOD, revoked=REVOKED)),
    Attack("a revoked key and a foreign one", signed_by(EVIL, SECOND), RevokedKeyError, "signed by a revoked key",
           ring=keyring(GOOD, revoked=REVOKED)),
    Attack("a revoked key beside too few", nothing, TooFewSignaturesError, "signed by good.pub;", BY_TWO,
           keyring(GOOD, THIRD, threshold=2, revoked=REVOKED)),
    # Signed, but not this.
    Attack("only an attestation", only_provenance, WrongStatementError, f"signed statements: {PROVENANCE}"),
    Attack("a signature that says more", signature_that_says_more, WrongStatementError, f"statements: {SIGNATURE}"),
    Attack("a signature of another version", another_version, MovedSignatureError, "dev.stackway.release=2026.1.9"),
    Attack("a signature of another repository", another_repository, MovedSignatureError, "stackway.local/nova@sha256:"),
    Attack("a signature without a name", without_a_name, MovedSignatureError, "expected: stackway.local/release@"),
    Attack("a .sig of another release", claim_of_another_release, MovedSignatureError, "are for something else"),
    Attack("a bundle of another release", bundle_of_another_release, MovedSignatureError, "are for something else"),
    Attack("a signature beside another claim", claim_with_another_payload, UntrustedKeyError, "there are 1 signatures"),
    Attack("a signature beside another statement", bundle_with_another_payload, UntrustedKeyError, "1 signatures"),
    Attack("a development signature", development_signature, MovedSignatureError, "dev.stackway.development=true"),
    Attack("a development key", signed_by(DEVELOPMENT), MovedSignatureError, "or of a development key",
           ring=keyring(DEVELOPMENT)),
    Attack("a tag moved to another release", tag_of_another_release, MovedSignatureError,
           "what is called 2026.1.0 is release 2026.1.1", SIGNED),
    Attack("images of another release", images_of_another_release, NoReleaseError, "lists no files", SIGNED),
    # Images.
    Attack("an image unsigned", image_unsigned, WrongStatementError, "what is signed about nova is no", SIGNED),
    Attack("an image with nothing", image_without_anything, UnsignedError, "nova is not signed", SIGNED),
    Attack("an image signed by another key", image_by_another_key, UntrustedKeyError, "nova is signed by none", SIGNED),
    Attack("an image with a sibling's signature", image_signature_of_a_sibling, MovedSignatureError,
           "stackway.local/keystone@", SIGNED),
    Attack("an image signed under another name", image_signature_of_a_repository, MovedSignatureError,
           "expected: stackway.local/nova@", SIGNED),
    Attack("an image signed by one of two", image_without_anything, UnsignedError, "nova", BY_TWO, TWO_OF_THREE),
    # Evidence.
    Attack("no SBOM", without_sbom, MissingEvidenceError, f"{SBOM}: signed by 0 of 1 keys", SIGNED),
    Attack("an SBOM signed by another key", sbom_by_another_key, MissingEvidenceError, "signed by 0 of 1", SIGNED),
    Attack("another SBOM than the release's", sbom_that_says_less, MissingEvidenceError, "evidence about nova", SIGNED),
    Attack("an SBOM as another kind of statement", sbom_as_something_else, MissingEvidenceError, SBOM, SIGNED),
    Attack("an SBOM signed by one of two", evidence_of_one_only, MissingEvidenceError, "signed by 1 of 2", BY_TWO,
           TWO_OF_THREE),
    # Bytes.
    Attack("an image gone", image_gone, DamagedReleaseError, "the image nova of the release is not there", SIGNED),
    Attack("a layer gone", layer_gone, DamagedReleaseError, "nova is damaged", SIGNED),
    Attack("a longer layer", layer_longer, DamagedReleaseError, "another size", SIGNED),
    Attack("a changed layer", layer_changed, DamagedReleaseError, "not what was asked for", SIGNED),
    Attack("a changed file", file_changed, DamagedReleaseError, "the release is damaged", SIGNED),
    Attack("a file gone", file_gone, DamagedReleaseError, "the release is damaged", SIGNED),
    Attack("a manifest cut off", truncated, DamagedReleaseError, "the release is damaged", SIGNED),
    Attack("a manifest that is no JSON", put_as_release(b"{"), DamagedReleaseError, "is not a JSON object", SIGNED),
    Attack("a manifest that is a list", put_as_release(b"[]"), DamagedReleaseError, "is not a JSON object", SIGNED),
    Attack("a deeply nested manifest", put_as_release(b'{"a":' * 99_999), DamagedReleaseError, "JSON object", SIGNED),
    Attack("an image as release", image_as_release, NoReleaseError, "this is no release", SIGNED),
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: str(attack.about))
def test_an_attack_is_refused_and_told(attack: Attack) -> None:
    store = copy.deepcopy(attack.start)
    attack.do(store)
    with pytest.raises(VerificationError) as caught:
        verify(store, VERSION, attack.ring)
    assert type(caught.value) is attack.error
    assert attack.told in f"{caught.value.brief}\n{caught.value.details}\n{caught.value.resolution}"
    assert caught.value.details
    assert caught.value.resolution


@dataclass(frozen=True)
class Use:
    about: str
    start: FakeReleases
    ring: Keyring
    signers: set[str]
    do: Callable[[FakeReleases], None] = nothing


def swapped_tags(store: FakeReleases) -> None:
    """Tags of images mean nothing: the release names digests."""
    place, _ = repository(store, "nova")
    place.names[VERSION] = digest_bytes(b"another image")


USES = [
    Use("one key", SIGNED, ONE, {"good.pub"}),
    Use("one of three", SIGNED, keyring(EVIL, GOOD, THIRD), {"good.pub"}),
    Use("two of three", BY_TWO, TWO_OF_THREE, {"good.pub", "second.pub"}),
    Use("a revoked key beside a good one", BY_TWO, keyring(GOOD, revoked=REVOKED), {"good.pub"}),
    Use("a foreign key beside a good one", BY_TWO, ONE, {"good.pub"}),
    Use("one key under two names", SIGNED, Keyring(named_twice(GOOD.public), 1, (), (), (), (), {}), {"one.pub"}),
    Use(
        "a development key where it counts",
        made(DEVELOPMENT),
        keyring(DEVELOPMENT, allow_development=True),
        {"development.pub"},
    ),
    Use("a release key where development counts too", SIGNED, keyring(GOOD, allow_development=True), {"good.pub"}),
    Use("the older form alone", SIGNED, ONE, {"good.pub"}, lambda store: without(store, older=False)),
    Use("the newer form alone", SIGNED, ONE, {"good.pub"}, lambda store: without(store, newer=False)),
    Use("tags of images moved", SIGNED, ONE, {"good.pub"}, swapped_tags),
]


def without(store: FakeReleases, *, older: bool = True, newer: bool = True) -> None:
    for name in ("release", "keystone", "nova"):
        remove(store, name, older=older, newer=newer)


@pytest.mark.parametrize("use", USES, ids=lambda use: str(use.about))
def test_a_release_with_enough_signatures_passes(use: Use) -> None:
    store = copy.deepcopy(use.start)
    use.do(store)
    release = verify(store, VERSION, use.ring)
    assert {key.name for key in release.signers} == use.signers
    assert (str(release.version), release.digest) == (VERSION, store.repository("release").names[VERSION])
    assert release.remarks == ()


def test_two_forms_may_be_by_different_keys() -> None:
    one, other = copy.deepcopy(SIGNED), made(SECOND)
    without(one, newer=False)
    without(other, older=False)
    for name in ("release", "keystone", "nova"):
        one.repository(name).names |= other.repository(name).names
        one.repository(name).manifests |= other.repository(name).manifests
    one.blobs |= other.blobs
    assert {key.name for key in verify(one, VERSION, TWO_OF_THREE).signers} == {"good.pub", "second.pub"}


# Junk: whoever can write may attach anything.


def junk_layer(kind: str, end: str, content: bytes, **annotations: str) -> Callable[[FakeReleases], None]:
    def attach(store: FakeReleases) -> None:
        for name in ("release", "nova"):
            attach_layer(store, name, end, Content(kind, content), annotations)

    return attach


def junk_bundle(content: bytes) -> Callable[[FakeReleases], None]:
    def attach(store: FakeReleases) -> None:
        for name in ("release", "nova"):
            attach_bundle(store, name, content)

    return attach


def junk_row(row: dict[str, object]) -> Callable[[FakeReleases], None]:
    """Put a row beside the layers under a tag of cosign's, as bytes: without our own writer."""

    def attach(store: FakeReleases) -> None:
        place, digest = repository(store)
        data = place.manifest(tag(digest, "sig")).data()
        content = json.dumps({**data, "layers": [row, *data["layers"]]}).encode()
        place.put_manifest(Manifest(content, MANIFEST_TYPE), tag(digest, "sig"))

    return attach


def junk_manifest(content: dict[str, object] | bytes, name: str = "") -> Callable[[FakeReleases], None]:
    """Put a manifest that refers to the release, or under its tag with this end."""

    def attach(store: FakeReleases) -> None:
        place, digest = repository(store)
        about = {"subject": descriptor(Blob(MANIFEST_TYPE, digest, 1))}
        written = content if isinstance(content, bytes) else json.dumps({**about, **content}).encode()
        place.put_manifest(Manifest(written, MANIFEST_TYPE), tag(digest, name) if name else "")

    return attach


HUGE = Blob(SIMPLE_TYPE, digest_bytes(b"nowhere"), 1 << 60)
GONE = Blob(SIMPLE_TYPE, digest_bytes(b"nowhere"), 10)
JUNK: dict[str, Callable[[FakeReleases], None]] = {
    "a layer of another kind": junk_layer("text/html", "sig", b"<html>"),
    "a claim without a signature": junk_layer(SIMPLE_TYPE, "sig", b"{}"),
    "a claim that is no JSON": junk_layer(SIMPLE_TYPE, "sig", b"\xff\x00", **{SIGNATURE_ANNOTATION: "AAAA"}),
    "a deeply nested claim": junk_layer(SIMPLE_TYPE, "sig", b"[" * 60_000, **{SIGNATURE_ANNOTATION: "AAAA"}),
    "a claim larger than claims are": junk_layer(SIMPLE_TYPE, "sig", b" " * 70_000),
    "an envelope that is none": junk_layer(DSSE_TYPE, "att", b"{}"),
    "an attestation of another kind": junk_layer("application/vnd.in-toto+json", "att", b"{}"),
    "a bundle that is none": junk_bundle(b"[]"),
    "a deeply nested bundle": junk_bundle(b'{"dsseEnvelope":' * 99_999),
    "a layer larger than anything": junk_row(descriptor(HUGE)),
    "a layer that is not there": junk_row(descriptor(GONE)),
    "a foreign referrer": junk_manifest({"artifactType": "application/spdx+json"}),
    "a referrer with half a character": junk_manifest({"artifactType": "\ud800"}),
    "a referrer with very many layers": junk_manifest({"artifactType": BUNDLE_TYPE, "layers": [{}] * 50_000}),
    "a referrer whose bundle is huge": junk_manifest(
        {"artifactType": BUNDLE_TYPE, "layers": [descriptor(replace(HUGE, media_type=BUNDLE_TYPE))]}
    ),
    "a referrer whose bundle is not there": junk_manifest(
        {"artifactType": BUNDLE_TYPE, "layers": [descriptor(replace(GONE, media_type=BUNDLE_TYPE))]}
    ),
    "a manifest in the repository that is no JSON": junk_manifest(b"{"),
    "a tag of attestations that is no JSON": junk_manifest(b"\x00", "att"),
}


@pytest.mark.parametrize("about", JUNK)
def test_junk_is_ignored_with_a_remark_and_fails_nothing(about: str) -> None:
    store = copy.deepcopy(SIGNED)
    JUNK[about](store)
    release = verify(store, VERSION, ONE)
    assert release.remarks
    assert release.digest == SIGNED.repository("release").names[VERSION]
    for remark in release.remarks:
        assert len(remark) <= 300
        assert remark.isprintable()


@pytest.mark.parametrize("about", [about for about in JUNK if "layer that" not in about])
def test_junk_passes_nothing_and_is_told_in_the_refusal(about: str) -> None:
    store = copy.deepcopy(UNSIGNED)
    if "layer larger" in about:
        claim_of_another_release(store)
    JUNK[about](store)
    with pytest.raises((UnsignedError, MovedSignatureError)) as caught:
        verify(store, VERSION, ONE)
    assert "left out: " in caught.value.details


@pytest.mark.parametrize(
    "row", [{}, None, {"mediaType": "\ud800"}, {**descriptor(GONE), "annotations": {"a": "\ud800"}}]
)
def test_rows_that_are_no_layers_harm_nothing(row: dict[str, object]) -> None:
    store = copy.deepcopy(SIGNED)
    junk_row(row)(store)
    assert verify(store, VERSION, ONE).signers == (GOOD.public,)


def test_very_much_junk_is_told_in_a_few_lines() -> None:
    store = copy.deepcopy(UNSIGNED)
    for number in range(40):
        attach_bundle(store, "release", f"[{number}]".encode())
    with pytest.raises(UnsignedError) as caught:
        verify(store, VERSION, ONE)
    assert len(caught.value.details.splitlines()) == 7


def test_a_thousand_foreign_signatures_fail_and_pass_nothing() -> None:
    store = copy.deepcopy(SIGNED)
    place, digest = repository(store)
    layers = read_layers(place.manifest(tag(digest, "sig")))
    wrong = [replace(layers[0], annotations={SIGNATURE_ANNOTATION: "AAAA", "n": str(n)}) for n in range(999)]
    place.put_manifest(layers_manifest([*layers, *wrong])[1], tag(digest, "sig"))
    assert verify(store, VERSION, ONE).signers == (GOOD.public,)
    with pytest.raises(UntrustedKeyError):
        verify(store, VERSION, keyring(EVIL))


# Bytes.


def needed(store: FakeReleases) -> set[str]:
    """Return the digests of what a release consists of; all else is signatures, each of which is there in two forms."""
    content = content_of(store)
    found = {content.digest, repository(store)[0].manifest(content.digest).data()["config"]["digest"]}
    found |= {item.blob.digest for item in content.files.values()}
    for image in content.images:
        data = store.repository(image.name).manifest(image.manifest.digest).data()
        found |= {image.manifest.digest, data["config"]["digest"], *(row["digest"] for row in data["layers"])}
    return found


NEEDED = needed(SIGNED)
OLDER = {digest for found in SIGNED.repositories.values() for name, digest in found.names.items() if name != VERSION}
PLACES = [(name, digest) for name, found in SIGNED.repositories.items() for digest in found.manifests]
HELD = {digest for _, digest in PLACES}
# The images' manifests are also among the blobs, where nobody looks for them.
PLACES += [("", digest) for digest in SIGNED.blobs if digest not in HELD]


@given(st.sampled_from(PLACES), st.floats(0, 1, exclude_max=True), st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_any_byte_of_what_a_release_consists_of_is_guarded(place: tuple[str, str], where: float, flip: int) -> None:
    """A flipped byte is refused, but where it is in one of the two forms of a signature: then the other one counts.

    Of the older form's manifest it may be refused too: a manifest that is no JSON hides from a place what refers to what,
    and so hides the newer form.
    """
    store, (name, digest) = copy.deepcopy(SIGNED), place
    there = bytearray(store.repository(name).manifests[digest].content if name else store.blobs[digest])
    there[int(where * len(there))] ^= flip
    if name:
        store.repository(name).manifests[digest] = Manifest(bytes(there), MANIFEST_TYPE)
    else:
        store.blobs[digest] = bytes(there)
    try:
        signers = verify(store, VERSION, ONE).signers
    except VerificationError:
        assert digest in NEEDED | OLDER
    else:
        assert digest not in NEEDED
        assert signers == (GOOD.public,)


def test_a_manifest_that_is_no_json_hides_what_refers_and_is_told() -> None:
    store = copy.deepcopy(SIGNED)
    junk_manifest(b"[", "sig")(store)
    with pytest.raises(UnsignedError) as caught:
        verify(store, VERSION, ONE)
    assert "left out: what refers to it: a manifest is not a JSON object" in caught.value.details
    assert ".sig: a manifest is not a JSON object" in caught.value.details


def test_the_flipped_bytes_were_in_all_kinds_of_things() -> None:
    assert {digest for _, digest in PLACES} >= NEEDED
    assert len(PLACES) > 2 * len(NEEDED)


@pytest.mark.parametrize("name", ["release", "keystone", "nova"])
def test_a_signature_damaged_in_both_forms_is_refused(name: str) -> None:
    store = copy.deepcopy(SIGNED)
    place, digest = repository(store, name)
    for layer in read_layers(place.manifest(tag(digest, "sig"))):
        store.blobs[layer.blob.digest] = b"{}"
    for referrer in place.referrers(digest):
        (row,) = place.manifest(referrer.digest).data()["layers"]
        store.blobs[row["digest"]] = b"{}"
    with pytest.raises(VerificationError) as caught:
        verify(store, VERSION, ONE)
    assert "left out: sha256:" in caught.value.details


def test_a_changed_layer_is_found_by_hashing_and_not_by_a_quick_look() -> None:
    store = copy.deepcopy(SIGNED)
    layer_changed(store)
    assert verify(store, VERSION, ONE, every_byte=False).signers == (GOOD.public,)
    with pytest.raises(DamagedReleaseError, match="nova is damaged"):
        verify(store, VERSION, ONE)


@pytest.mark.parametrize("attack", [layer_gone, layer_longer])
def test_a_quick_look_finds_layers_that_are_gone_or_of_another_size(attack: Callable[[FakeReleases], None]) -> None:
    store = copy.deepcopy(SIGNED)
    attack(store)
    with pytest.raises(DamagedReleaseError, match="nova is damaged"):
        verify(store, VERSION, ONE, every_byte=False)


class Apart(FakeReleases):
    """A place in which repositories share no blobs, as registries may be."""

    def repository(self, name: str) -> FakeRepository:
        return self.repositories.setdefault(name, FakeRepository(name, dict(self.blobs)))


def test_a_layer_that_images_share_must_be_in_the_repository_of_each() -> None:
    store = Apart()
    store.blobs = dict(SIGNED.blobs)
    for name, found in copy.deepcopy(SIGNED.repositories).items():
        store.repository(name).manifests, store.repository(name).names = found.manifests, found.names
    assert verify(store, VERSION, ONE).signers == (GOOD.public,)
    del store.repository("nova").blobs[digest_bytes(b'{"os":"linux"}')]
    with pytest.raises(DamagedReleaseError, match="nova is damaged"):
        verify(store, VERSION, ONE, every_byte=False)


# What comes of it.


def test_a_release_keeps_what_was_verified_whatever_the_place_becomes() -> None:
    store = copy.deepcopy(SIGNED)
    release = verify(store, VERSION, ONE)
    digest, images = release.digest, [item.manifest for item in release.content.images]
    cards = release.content.data("cards.json")
    tag_of_another_release(store)
    store.blobs.clear()
    assert (release.digest, [item.manifest for item in release.content.images]) == (digest, images)
    assert release.content.data("cards.json") == cards
    assert release.content.data("manifests.json")[1]["image"] == f"nova@{images[1].digest}"


class Shifting(FakeRepository):
    """A repository that answers with one release when it is asked for a tag first, and with another one afterwards."""

    def manifest_digest(self, reference: str) -> str | None:
        found = super().manifest_digest(reference)
        self.names[VERSION] = self.names["2026.1.1"]
        return found


def test_a_tag_that_moves_while_it_is_verified_is_resolved_once() -> None:
    store = copy.deepcopy(SIGNED)
    new_release(store, "2026.1.1")
    there = store.repositories["release"]
    digest = there.names[VERSION]
    store.repositories["release"] = Shifting("release", there.blobs, there.manifests, there.names)
    assert verify(store, VERSION, ONE).digest == digest


def test_nobody_makes_a_release_by_hand() -> None:
    content = content_of(SIGNED)
    with pytest.raises(TypeError, match=r"releases\.verify\.verify"):
        Release(content, (GOOD.public,), SIGNED)
    with pytest.raises(TypeError, match="by hand"):
        Release(content, (GOOD.public,), SIGNED, (), object())
    with pytest.raises(TypeError, match="by hand"):
        replace(verify(SIGNED, VERSION, ONE), content=content_of(BY_TWO))


def test_a_release_is_found_by_its_digest_too() -> None:
    digest = SIGNED.repository("release").names[VERSION]
    assert verify(SIGNED, digest, ONE).digest == digest


@pytest.mark.parametrize("name", ["2026.1.9", "latest", digest_bytes(b""), "../release", os.fsdecode(b"\xff")])
def test_what_is_not_there_is_told_with_what_there_is(name: str) -> None:
    with pytest.raises(NoReleaseError, match="there is no release") as caught:
        verify(SIGNED, name, ONE)
    assert caught.value.details == "memory; there are: 2026.1.0"
    with pytest.raises(NoReleaseError) as caught:
        verify(FakeReleases(), name, ONE)
    assert caught.value.details == "memory; there are: none"


def test_a_release_is_signed_with_its_version_and_an_image_without() -> None:
    content, subject = image_content(SIGNED)
    assert release_subject(SIGNED) == Subject(
        "stackway.local/release", content.digest, {"dev.stackway.release": VERSION}
    )
    assert subject == Subject("stackway.local/nova", content.images[1].manifest.digest)


def test_evidence_that_lacks_what_statements_need_is_refused_before_anybody_signs_it() -> None:
    store = copy.deepcopy(UNSIGNED)
    content = content_of(store)
    report = {"key": {"digest": content.images[1].manifest.digest}}
    files = {**content.files, "images/nova/scan.json": Content("a/b", json.dumps(report).encode())}
    with pytest.raises(MixedReleaseError, match="evidence about nova cannot be read") as caught:
        list(attestations.evidence(replace(content, files=files, _parsed={}), content.images[1], Subject("", "")))
    assert "KeyError" in caught.value.details
    assert "do not sign it" in caught.value.resolution
