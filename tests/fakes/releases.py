# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A place for releases in memory, and small releases to put there. Passes the same contract test as the real places."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from buildkit.complaints import NotThereError, WrongContentError
from buildkit.models import Base, Series, Service
from buildkit.registry import MANIFEST_MAX, Manifest, OpenBlob
from buildkit.scan.report import DatabaseFacts, Key, ScanReport
from buildkit.store import Blob, StoredImage
from releases import keys, sign
from releases.bundle import BundleInputs, Evidence, ImageInput, ReleaseBundle, bundle
from releases.environment import Environment
from releases.keyring import Keyring, Place
from releases.keys import FileSigner
from releases.release import REPOSITORY
from releases.repository import ReleaseStore, opener
from releases.signatures import MANIFEST_TYPE, Content, descriptor
from releases.verify import read
from releases.version import ReleaseVersion
from stackway.documents import Document
from stackway.errors import Position
from stackway.files import canonical_json, digest_bytes

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DATABASE = DatabaseFacts(2, "2026-11-23T06:00:00Z", "tests", digest_bytes(b"database"))


@dataclass
class FakeRepository:
    """One repository: manifests by digest, tags, and the blobs of its store."""

    name: str
    blobs: dict[str, bytes]
    manifests: dict[str, Manifest] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def has(self, blob: Blob) -> bool:
        there = self.blobs.get(blob.digest)
        if there is not None and len(there) != blob.size:
            raise WrongContentError("another size", details=blob.digest)
        return there is not None

    def chunks(self, blob: Blob) -> Iterator[bytes]:
        content = self.blobs.get(blob.digest, b"")
        if digest_bytes(content) != blob.digest or len(content) != blob.size:
            raise WrongContentError("not what was asked for", details=blob.digest)
        yield content

    def read(self, blob: Blob, most: int = MANIFEST_MAX) -> bytes:
        if blob.size > most:
            raise WrongContentError("too large", details=blob.digest)
        return b"".join(self.chunks(blob))

    def upload(self, blob: Blob, source: OpenBlob, *, mount_from: str = "") -> int:
        del mount_from
        if self.has(blob):
            return 0
        with source() as file:
            content = file.read()
        if digest_bytes(content) != blob.digest:
            raise WrongContentError("not the blob", details=blob.digest)
        self.blobs[blob.digest] = content
        return len(content)

    def manifest(self, reference: str) -> Manifest:
        digest = self.manifest_digest(reference)
        if digest is None:
            raise NotThereError("not there", details=f"{self.name}: {reference}")
        found = self.manifests[digest]
        if found.digest != digest:
            raise WrongContentError("not what was asked for", details=digest)
        return found

    def manifest_digest(self, reference: str) -> str | None:
        digest = self.names.get(reference, reference)
        return digest if digest in self.manifests else None

    def put_manifest(self, manifest: Manifest, tag: str = "") -> str:
        self.manifests[manifest.digest] = manifest
        if tag:
            self.names[tag] = manifest.digest
        return manifest.digest

    def referrers(self, digest: str) -> list[Blob]:
        found = [
            Blob(item.media_type, own, len(item.content))
            for own, item in self.manifests.items()
            if (item.data().get("subject") or {}).get("digest") == digest
        ]
        return sorted(found, key=lambda blob: blob.digest)

    def tags(self) -> list[str]:
        return sorted(self.names)


class FakeReleases:
    """A place in memory."""

    def __init__(self, address: str = "memory") -> None:
        self.address = address
        self.blobs: dict[str, bytes] = {}
        self.repositories: dict[str, FakeRepository] = {}

    def repository(self, name: str) -> FakeRepository:
        return self.repositories.setdefault(name, FakeRepository(name, self.blobs))

    @contextmanager
    def writing(self, wait: float = 0.0) -> Iterator[None]:
        del wait
        yield


def service(name: str, **given: Any) -> Service:
    """Return a small service of 2026.1."""
    written = {
        "apiVersion": "stackway/v1",
        "kind": "Service",
        "name": name,
        "series": "2026.1",
        "version": "29.0.2",
        "summary": name,
        "settings": {"debug": False},
        "processes": {"api": {"command": [name], "port": 5000}},
    }
    return Service.model_validate({**written, **given})


def series(name: str = "2026.1", earlier: tuple[str, ...] = ("2025.1",)) -> Series:
    """Return a series."""
    return Series.model_validate(
        {
            "apiVersion": "stackway/v1",
            "kind": "Series",
            "name": name,
            "codename": "Gazpacho",
            "base": "trixie",
            "slurp": True,
            "released": "2026-04-01",
            "endOfLife": "2027-10-27",
            "upgradesFrom": list(earlier),
            "constraints": {"file": "c.txt", "commit": "0" * 40, "digest": digest_bytes(b"")},
        }
    )


BASE = Base.model_validate(
    {
        "apiVersion": "stackway/v1",
        "kind": "Base",
        "name": "trixie",
        "distribution": "Debian 13",
        "suite": "trixie",
        "python": "3.13",
        "platform": "x86_64-manylinux_2_28",
        "usrMerge": True,
        "operatingSystem": [],
        "interpreter": [],
    }
)


def image(blobs: dict[str, bytes], name: str, content: bytes = b"layer") -> StoredImage:
    """Put a small image into `blobs` and return it."""
    config, layer = Content("application/vnd.oci.image.config.v1+json", b'{"os":"linux"}'), Content("layer", content)
    manifest = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": descriptor(config.blob),
            "layers": [descriptor(layer.blob)],
            "annotations": {"name": name},
        }
    )
    blobs |= {item.blob.digest: item.content for item in (config, layer)}
    blobs[digest_bytes(manifest)] = manifest
    return StoredImage(name, Blob(MANIFEST_TYPE, digest_bytes(manifest), len(manifest)), config.blob, (layer.blob,))


def evidence(stored: StoredImage) -> Evidence:
    """Return what a scan of an image left that found nothing."""
    key = Key(stored.manifest.digest, "0.76.0", "all", digest_bytes(b"Dockerfile"), DATABASE)
    report = ScanReport(stored.name, key, "debian 13", (), (), (), (), (), ())
    sbom = {"bomFormat": "CycloneDX", "metadata": {"component": {"version": stored.manifest.digest}}, "components": []}
    verdict = {
        "policy": "prod",
        "outcome": "passed",
        "digest": stored.manifest.digest,
        "report": report.digest,
        "rules": digest_bytes(b"rules"),
    }
    return Evidence(report, sbom, {"@context": "https://openvex.dev/ns/v0.2.0", "statements": []}, verdict)


def inputs(
    blobs: dict[str, bytes], version: str = "2026.1.0", names: tuple[str, ...] = ("keystone", "nova")
) -> BundleInputs:
    """Return what a small release is made of."""
    images = []
    own = version.rpartition(".")[0] if "-" not in version else version.partition("-")[0].rpartition(".")[0]
    for name in names:
        stored = image(blobs, f"{name}:{own}", f"{name} of {own}".encode())
        made = {"builder": "BuildKit 0.32.2", "Python package oslo": f"1.0 {digest_bytes(b'oslo')}"}
        images.append(ImageInput(service(name, series=own), BASE, stored, made, evidence(stored)))
    texts = {"nova/nova.conf.j2": "[DEFAULT]\n"}
    return BundleInputs(ReleaseVersion.parse(version), series(own), tuple(images), {"a.lock": "pin\n"}, texts)


def place_release(store: FakeReleases, made: ReleaseBundle) -> None:
    """Put a release and its images into a store, as `release bundle` does."""
    for stored in made.images:
        content = store.blobs[stored.manifest.digest]
        store.repository(stored.name.partition(":")[0]).put_manifest(
            Manifest(content, MANIFEST_TYPE), str(made.version)
        )
    repository = store.repository(REPOSITORY)
    for item in (made.config, *made.files.values()):
        repository.upload(item.blob, opener(item.content))
    repository.put_manifest(made.manifest, str(made.version))


def new_release(store: FakeReleases, version: str = "2026.1.0", *signers: FileSigner) -> ReleaseBundle:
    """Make a small release, put it into a store, and let keys sign it."""
    made = bundle(inputs(store.blobs, version))
    place_release(store, made)
    for signer in signers:
        sign_release(store, str(made.version), signer)
    return made


def sign_release(store: ReleaseStore, version: str, signer: FileSigner) -> None:
    """Sign a release with everything that belongs to it."""
    content = read(store, version)
    sign.apply(store, sign.plan(store, content, signer), signer)


def new_signer(name: str = "release", *, development: bool = False) -> FileSigner:
    """Return a key that is in no file."""
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    return FileSigner(keys.public_of(key, f"{name}.pub"), development, key)


def keyring(*trusted: FileSigner, threshold: int = 1, **given: Any) -> Keyring:
    """Return a keyring in which these keys may do everything."""
    public = tuple(item.public for item in trusted)
    empty: Mapping[str, Any] = {"former": (), "approvers": public, "revoked": {}}
    return Keyring(public, threshold, **{"promoters": public, "observers": public, **empty, **given})


def environment(name: str, ring: Keyring, **given: Any) -> Place:
    """Return an environment with these keys."""
    written = {"name": name, "summary": f"the environment {name}", **given}
    return Place(
        Environment.model_validate(written), Document(written, {(): Position(f"environments/{name}.yaml")}), ring
    )
