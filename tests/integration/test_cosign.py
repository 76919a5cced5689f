# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Stock cosign, two generations of it, as second opinion: what we sign it accepts, and not after one byte is another."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from buildkit.registry import Manifest, open_registry
from releases import keys, transfer
from releases.keys import FileSigner
from releases.remote import RegistryStore
from releases.signatures import (
    SIGNATURE_ANNOTATION,
    Content,
    Layer,
    bundle_manifest,
    layers_manifest,
    read_bundle_manifest,
    read_layers,
    tag,
)
from releases.statements import (
    PROVENANCE,
    SBOM,
    SCAN,
    SIGNATURE,
    SUMMARY,
    VEX,
    make_statement,
    read_bundle,
    read_statement,
)
from releases.verify import read, verify
from tests.fakes.releases import FakeReleases, keyring, new_release, new_signer
from tests.integration import cosign
from tests.integration.cosign import Version
from tests.integration.runtime import SILENT, running_referrers_registry, running_registry

pytestmark = pytest.mark.engine

VERSIONS: tuple[Version, ...] = (2, 3)
PASSWORD = "pw"
NAMES = ("release", "keystone", "nova")
Mutate = Callable[[FakeReleases, str], None]


@pytest.fixture(scope="module", params=["with the referrers API", "without"])
def registry(request: pytest.FixtureRequest) -> Iterator[str]:
    with running_referrers_registry() if request.param.startswith("with ") else running_registry() as host:
        yield host


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "release.key"
    keys.generate(path, PASSWORD.encode(), development=True)
    return path


@pytest.fixture(scope="module")
def signer(key: Path) -> FileSigner:
    # cosign asks for annotations only when it is told to, so a development key's mark does not matter to it.
    return keys.load_signer(key, PASSWORD.encode())


def push(store: FakeReleases, host: str, prefix: str) -> RegistryStore:
    target = RegistryStore(open_registry(host), prefix)
    transfer.copy(store, target, list(transfer.parts(store, read(store, "2026.1.0"))), SILENT)
    return target


@pytest.fixture(scope="module")
def pushed(registry: str, signer: FileSigner) -> str:
    """A signed release in the registry; the prefix of its repositories."""
    store = FakeReleases()
    new_release(store, "2026.1.0", signer)
    push(store, registry, "good")
    return f"{registry}/good"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", NAMES)
def test_signatures_are_accepted_and_a_foreign_key_is_not(
    pushed: str, key: Path, version: Version, name: str, tmp_path: Path
) -> None:
    reference = f"{pushed}/{name}:2026.1.0"
    completed = cosign.verify(version, key.with_suffix(".pub"), reference)
    assert completed.code == 0, completed.tail()
    keys.generate(tmp_path / "foreign.key", b"")
    assert cosign.verify(version, tmp_path / "foreign.pub", reference).code != 0


@pytest.mark.parametrize("version", VERSIONS)
def test_the_release_is_signed_with_its_version(pushed: str, key: Path, version: Version) -> None:
    reference, public = f"{pushed}/release:2026.1.0", key.with_suffix(".pub")
    assert cosign.verify(version, public, reference, {"dev.stackway.release": "2026.1.0"}).code == 0
    assert cosign.verify(version, public, reference, {"dev.stackway.release": "2026.1.1"}).code != 0


@pytest.mark.parametrize("form", [(2, False), (2, True), (3, True)], ids=str)
@pytest.mark.parametrize("kind", ["slsaprovenance1", PROVENANCE, "cyclonedx", SBOM, "vuln", SCAN, VEX, SUMMARY])
def test_evidence_is_accepted_in_each_form(pushed: str, key: Path, form: tuple[Version, bool], kind: str) -> None:
    completed = cosign.verify_attestation(
        form[0], key.with_suffix(".pub"), f"{pushed}/nova:2026.1.0", kind, bundle=form[1]
    )
    assert completed.code == 0, completed.tail()


@pytest.mark.parametrize("version", VERSIONS)
def test_our_private_keys_are_cosigns(pushed: str, key: Path, version: Version) -> None:
    pair = cosign.KeyPair(key, key.with_suffix(".pub"), PASSWORD)
    assert cosign.sign(version, pair, f"{pushed}/keystone:2026.1.0").code == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_keys_of_cosign_are_ours(version: Version, tmp_path: Path) -> None:
    pair = cosign.generate_key_pair(version, tmp_path)
    theirs = keys.load_signer(pair.private, pair.password.encode())
    assert theirs.public == keys.load_public(pair.public)
    store = FakeReleases()
    new_release(store, "2026.1.0", theirs)
    assert verify(store, "2026.1.0", keyring(theirs)).signers == (theirs.public,)


def flip(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def change_layers(
    store: FakeReleases, name: str, which: str, change: Callable[[Layer, bytes], tuple[bytes, dict[str, str]]]
) -> None:
    """Change every layer of a `.sig` or `.att` manifest: its bytes and its annotations."""
    repository = store.repository(name)
    digest = repository.manifest_digest("2026.1.0") or ""
    layers = []
    for layer in read_layers(repository.manifest(tag(digest, which))):
        content, annotations = change(layer, store.blobs[layer.blob.digest])
        item = Content(layer.blob.media_type, content)
        store.blobs[item.blob.digest] = content
        layers.append(Layer(item.blob, annotations))
    config, manifest = layers_manifest(layers)
    store.blobs[config.blob.digest] = config.content
    repository.put_manifest(manifest, tag(digest, which))


def change_bundles(store: FakeReleases, name: str, change: Callable[[bytes], bytes]) -> None:
    """Change every bundle that refers to a manifest; the good ones are gone."""
    repository = store.repository(name)
    digest = repository.manifest_digest("2026.1.0") or ""
    subject = repository.manifest(digest)
    for referrer in repository.referrers(digest):
        manifest = repository.manifests.pop(referrer.digest)
        blob = read_bundle_manifest(manifest, digest)
        assert blob
        bundle = store.blobs[blob.digest]
        statement = read_statement(read_bundle(bundle).payload)
        about = transfer.Blob(subject.media_type, digest, len(subject.content))
        content, changed = bundle_manifest(change(bundle), statement, about)
        store.blobs[content.blob.digest] = content.content
        repository.put_manifest(changed)


def other_payload(store: FakeReleases, name: str) -> None:
    """One byte of what is signed."""
    change_layers(
        store,
        name,
        "sig",
        lambda layer, content: (flip(content, content.index(b"sha256:") + 10), dict(layer.annotations)),
    )
    change_layers(
        store,
        name,
        "att",
        lambda layer, content: (flip(content, content.index(b'"payload":"') + 60), dict(layer.annotations)),
    )
    change_bundles(store, name, lambda bundle: flip(bundle, bundle.index(b'"payload":"') + 60))


def other_signature(store: FakeReleases, name: str) -> None:
    """One byte of the signatures themselves."""

    def annotate(layer: Layer, content: bytes) -> tuple[bytes, dict[str, str]]:
        signature = layer.annotations[SIGNATURE_ANNOTATION].encode()
        return content, {**layer.annotations, SIGNATURE_ANNOTATION: flip(signature, 20).decode()}

    change_layers(store, name, "sig", annotate)
    change_layers(
        store,
        name,
        "att",
        lambda layer, content: (flip(content, content.index(b'"sig":"') + 30), dict(layer.annotations)),
    )
    change_bundles(store, name, lambda bundle: flip(bundle, bundle.index(b'"sig":"') + 30))


def other_image(store: FakeReleases, name: str) -> None:
    """One byte of the manifest that the tag stands for."""
    repository = store.repository(name)
    manifest = repository.manifest("2026.1.0")
    changed = manifest.content.replace(b'"schemaVersion":2', b'"schemaVersion": 2')
    repository.put_manifest(Manifest(changed, manifest.media_type), "2026.1.0")


@pytest.mark.parametrize("mutate", [other_payload, other_signature, other_image], ids=lambda item: item.__name__)
def test_one_changed_byte_is_refused_by_both_and_by_us(
    registry: str, key: Path, signer: FileSigner, mutate: Mutate
) -> None:
    store, public = FakeReleases(), key.with_suffix(".pub")
    new_release(store, "2026.1.0", signer)
    mutate(store, "nova")
    prefix = mutate.__name__.replace("_", "-")
    target = RegistryStore(open_registry(registry), prefix)
    repository, place = store.repository("nova"), target.repository("nova")
    for manifest in [*repository.manifests.values()]:
        copied = transfer.Copied(
            "nova", manifest, next((name for name, digest in repository.names.items() if digest == manifest.digest), "")
        )
        transfer.copy(store, target, [copied], SILENT)
    reference = f"{registry}/{prefix}/nova:2026.1.0"
    assert place.manifest_digest("2026.1.0")
    assert [version for version in VERSIONS if cosign.verify(version, public, reference).code == 0] == []
    forms: tuple[tuple[Version, bool], ...] = ((2, False), (2, True), (3, True))
    for version, bundle in forms:
        assert cosign.verify_attestation(version, public, reference, PROVENANCE, bundle=bundle).code != 0


def test_stock_cosign_is_less_strict_than_we_are(registry: str, key: Path, signer: FileSigner) -> None:
    """The reason for a verifier of our own: a statement of another kind is enough for cosign 3."""
    store = FakeReleases()
    made = new_release(store, "2026.1.0")
    from releases import sign
    from releases.statements import Subject

    subject = Subject("stackway.local/nova", made.images[1].manifest.digest)
    sign.write(store.repository("nova"), make_statement(subject, PROVENANCE, {"buildDefinition": {}}), signer)
    push(store, registry, "confused")
    assert cosign.verify(3, key.with_suffix(".pub"), f"{registry}/confused/nova:2026.1.0").code == 0
    assert SIGNATURE not in {item.predicate_type for _, item in _statements(store, made.images[1].manifest.digest)}


def _statements(store: FakeReleases, digest: str) -> list:  # type: ignore[type-arg]
    from releases.found import find

    return list(find(store.repository("nova"), digest).statements)


def test_release_in_a_registry_verifies_as_in_a_folder(registry: str) -> None:
    good = new_signer()
    store = FakeReleases()
    made = new_release(store, "2026.1.0", good)
    target = push(store, registry, "ours")
    assert verify(target, "2026.1.0", keyring(good)).digest == made.digest
    again = transfer.copy(store, target, list(transfer.parts(store, read(store, "2026.1.0"))), SILENT)
    assert (again.bytes, again.manifests) == (0, 0)
