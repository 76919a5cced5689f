# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The strangers that judge our signatures work here: both cosigns, offline, on registries with and without referrers."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from buildkit.push import push
from stackway.files import digest_bytes
from tests.fakes.images import MANIFEST, fill_store
from tests.integration import cosign
from tests.integration.cosign import KeyPair, Predicate, Version
from tests.integration.runtime import SILENT, running_referrers_registry, running_registry

VERSIONS: tuple[Version, ...] = (2, 3)
MARKS = {"release": "2026.1"}
KIND = "https://example.org/checked/v1"
both = pytest.mark.parametrize("version", VERSIONS)


# Debian's registry is installed by root; the other one is compiled by anybody.
@pytest.fixture(scope="module", params=["referrers", pytest.param("tags", marks=pytest.mark.engine)])
def registry(request: pytest.FixtureRequest) -> Iterator[str]:
    with running_referrers_registry() if request.param == "referrers" else running_registry() as host:
        yield host


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[Version, KeyPair]:
    return {version: cosign.generate_key_pair(version, tmp_path_factory.mktemp("keys")) for version in VERSIONS}


@pytest.fixture
def image(registry: str, tmp_path: Path) -> str:
    return pushed(registry, tmp_path)


def pushed(registry: str, folder: Path) -> str:
    """Push an image that no other test has; return its reference by digest."""
    store, images = fill_store(folder, {"tiny:1.0": [{"name": str(folder).encode()}]})
    push(store, images, registry, SILENT)
    return f"{registry}/tiny@{images[0].manifest.digest}"


def other(version: Version) -> Version:
    return 3 if version == 2 else 2


@both
def test_a_signature_is_good_for_its_key_and_its_annotations_only(
    version: Version, image: str, pairs: dict[Version, KeyPair]
) -> None:
    assert cosign.verify(version, pairs[version].public, image).code != 0
    assert cosign.sign(version, pairs[version], image, MARKS).code == 0
    assert cosign.verify(version, pairs[version].public, image, MARKS).code == 0
    assert cosign.verify(version, pairs[version].public, image, {"release": "2025.2"}).code != 0
    assert cosign.verify(version, pairs[other(version)].public, image).code != 0


@both
def test_a_changed_key_is_refused(version: Version, image: str, pairs: dict[Version, KeyPair], tmp_path: Path) -> None:
    changed = tmp_path / "changed.pub"
    text = pairs[version].public.read_text()
    changed.write_text(text.replace(text.splitlines()[2], text.splitlines()[2].swapcase()))
    assert cosign.sign(version, pairs[version], image).code == 0
    assert cosign.verify(version, changed, image).code == 1


@both
def test_the_old_form_of_one_is_good_for_the_other(version: Version, image: str, pairs: dict[Version, KeyPair]) -> None:
    pair = pairs[version]
    assert cosign.sign(version, pair, image, MARKS, bundle=False).code == 0
    for reader in VERSIONS:
        assert cosign.verify(reader, pair.public, image, MARKS).code == 0
    assert cosign.verify(3, pair.public, image, bundle=False).code == 0


def test_cosign_2_does_not_see_a_bundle(image: str, pairs: dict[Version, KeyPair]) -> None:
    assert cosign.sign(3, pairs[3], image).code == 0
    assert cosign.verify(2, pairs[3].public, image).code == 10


@both
@pytest.mark.parametrize("bundle", [True, False])
def test_an_attestation_of_one_is_good_for_the_other(
    version: Version, *, bundle: bool, image: str, pairs: dict[Version, KeyPair], tmp_path: Path
) -> None:
    pair, predicate = pairs[version], Predicate(KIND, tmp_path / "predicate.json")
    predicate.file.write_text(json.dumps({"checked": True}))
    assert cosign.attest(version, pair, image, predicate, bundle=bundle).code == 0
    for reader in VERSIONS:
        assert cosign.verify_attestation(reader, pair.public, image, KIND, bundle=bundle).code == 0
        assert cosign.verify_attestation(reader, pair.public, image, f"{KIND}/other", bundle=bundle).code != 0
        assert cosign.verify_attestation(reader, pairs[other(version)].public, image, KIND, bundle=bundle).code != 0


@both
def test_a_files_signature_is_good_for_that_file_only(
    version: Version, pairs: dict[Version, KeyPair], tmp_path: Path
) -> None:
    blob, bundle = tmp_path / "blob", tmp_path / "blob.sigstore.json"
    blob.write_bytes(b"content")
    assert cosign.sign_blob(version, pairs[version], blob, bundle).code == 0
    assert [cosign.verify_blob(reader, pairs[version].public, blob, bundle).code for reader in VERSIONS] == [0, 0]
    blob.write_bytes(b"c0ntent")
    assert [cosign.verify_blob(reader, pairs[version].public, blob, bundle).code for reader in VERSIONS] == [1, 1]


@both
def test_a_plain_key_can_be_imported(version: Version, image: str, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "plain.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    pair = cosign.import_key_pair(version, tmp_path / "plain.pem", tmp_path / "imported")
    assert cosign.sign(other(version), pair, image, bundle=False).code == 0
    assert cosign.verify(version, pair.public, image).code == 0


def test_nothing_of_the_users_environment_is_heard(
    image: str, pairs: dict[Version, KeyPair], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSIGN_REPOSITORY", "127.0.0.1:9/elsewhere")
    monkeypatch.setenv("COSIGN_PASSWORD", "wrong")
    assert cosign.sign(2, pairs[2], image).code == 0
    assert cosign.sign(2, replace(pairs[2], password="wrong"), image).code == 1
    monkeypatch.undo()
    assert cosign.verify(2, pairs[2].public, image).code == 0


def test_one_registry_indexes_what_refers_to_an_image_and_the_other_does_not(
    request: pytest.FixtureRequest, registry: str, image: str
) -> None:
    knows = request.node.callspec.params["registry"] == "referrers"
    name, _, digest = image.removeprefix(f"{registry}/").partition("@")
    base = f"http://{registry}/v2/{name}"
    subject = requests.get(f"{base}/manifests/{digest}", headers={"Accept": MANIFEST}, timeout=10)
    about = {"mediaType": MANIFEST, "digest": digest, "size": len(subject.content)}
    content = json.dumps(subject.json() | {"subject": about, "artifactType": "application/vnd.example"}).encode()
    own = digest_bytes(content)
    put = requests.put(f"{base}/manifests/{own}", content, headers={"Content-Type": MANIFEST}, timeout=10)
    assert (put.status_code, put.headers.get("OCI-Subject")) == (201, digest if knows else None)
    listed = requests.get(f"{base}/referrers/{digest}", timeout=10)
    assert listed.status_code == (200 if knows else 404)
    assert not knows or [entry["digest"] for entry in listed.json()["manifests"]] == [own]
