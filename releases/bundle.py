# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Puts together what a release consists of, as one OCI artifact under one digest. Pure: equal inputs, equal bytes.

The artifact's config (`release.json`) names the images by digest; each of its layers is a file, named by its title.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from buildkit.models import Base, Series, Service
from buildkit.registry import Manifest
from buildkit.scan.report import ScanReport
from buildkit.store import Blob, StoredImage
from releases.provenance import make_provenance
from releases.signatures import MANIFEST_TYPE, Content, descriptor
from releases.version import ReleaseVersion
from releases.workloads import card, settings_schema, workloads
from stackway.files import canonical_json, digest_json

API_VERSION = "stackway/v1"
KIND = "Release"
ARTIFACT_TYPE = "application/vnd.stackway.release.v1"
CONFIG_TYPE = "application/vnd.stackway.release.config.v1+json"
FILE_TYPE = "application/vnd.stackway.release.file.v1+json"
TITLE = "org.opencontainers.image.title"
VERSION = "org.opencontainers.image.version"
SPECS, CONFIGURATION, LOCKS, MANIFESTS, CARDS = (
    f"{name}.json" for name in ("specs", "configuration", "locks", "manifests", "cards")
)
EVIDENCE = ("provenance", "sbom", "scan", "vex", "verdict")
_PER_IMAGE = re.compile(rf"images/[a-z][a-z0-9-]*/({'|'.join(EVIDENCE)})\.json\Z")


@dataclass(frozen=True)
class Evidence:
    """What the scan of an image left: its parts, its findings, what does not touch it, and the verdict over it."""

    report: ScanReport
    sbom: Mapping[str, Any] = field(repr=False)
    vex: Mapping[str, Any] = field(repr=False)
    verdict: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class ImageInput:
    """One image of a release: spec, base, what is in the store, the inputs its build recorded, and its scan, if any."""

    service: Service
    base: Base
    image: StoredImage
    inputs: Mapping[str, str] = field(repr=False)
    evidence: Evidence | None = field(default=None, repr=False)


@dataclass(frozen=True)
class BundleInputs:
    """All that a release is made of. `locks` and `templates` map names to texts."""

    version: ReleaseVersion
    series: Series
    images: tuple[ImageInput, ...]
    locks: Mapping[str, str] = field(repr=False)
    templates: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class ReleaseBundle:
    """A release that nobody has signed yet: its config, its files by title, and the manifest over both."""

    version: ReleaseVersion
    config: Content
    files: Mapping[str, Content]
    manifest: Manifest
    images: tuple[StoredImage, ...]

    @property
    def digest(self) -> str:
        """The digest of the release."""
        return self.manifest.digest

    @property
    def blob(self) -> Blob:
        """The release's manifest as a blob."""
        return Blob(MANIFEST_TYPE, self.digest, len(self.manifest.content))


def bundle(inputs: BundleInputs) -> ReleaseBundle:
    """Return the release that these inputs make."""
    files = {
        title: Content(FILE_TYPE, canonical_json(value))
        for title, value in sorted((*_series_files(inputs), *_image_files(inputs.images)))
    }
    config = Content(CONFIG_TYPE, canonical_json(_config(inputs)))
    images = tuple(item.image for item in _ordered(inputs.images))
    return ReleaseBundle(inputs.version, config, files, make_manifest(inputs.version, config, files), images)


def make_manifest(version: ReleaseVersion, config: Content, files: Mapping[str, Content]) -> Manifest:
    """Return the manifest of a release with these files."""
    content = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": descriptor(config.blob),
        "layers": [{**descriptor(item.blob), "annotations": {TITLE: title}} for title, item in sorted(files.items())],
        "annotations": {VERSION: str(version)},
    }
    return Manifest(canonical_json(content), MANIFEST_TYPE)


def expected_titles(images: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the titles of all files that a release with these images (as its config lists them) has, and no more."""
    titles = {SPECS, CONFIGURATION, LOCKS, MANIFESTS, CARDS}
    for image in images:
        names = EVIDENCE if image["scanned"] else EVIDENCE[:1]
        titles |= {f"images/{image['name']}/{name}.json" for name in names}
    return titles


def is_title(title: str) -> bool:
    """Tell whether a release may have a file of this title at all."""
    return title in {SPECS, CONFIGURATION, LOCKS, MANIFESTS, CARDS} or _PER_IMAGE.match(title) is not None


def _config(inputs: BundleInputs) -> dict[str, Any]:
    series = inputs.series
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "version": str(inputs.version),
        "series": series.name,
        "codename": series.codename,
        "slurp": series.slurp,
        "endOfLife": series.end_of_life.isoformat(),
        "upgradesFrom": sorted(series.upgrades_from),
        "images": [_image_row(item) for item in _ordered(inputs.images)],
    }


def _image_row(item: ImageInput) -> dict[str, Any]:
    verdict = item.evidence.verdict if item.evidence else {}
    return {
        "name": item.service.name,
        "series": item.service.series,
        "version": item.service.version,
        "role": str(item.service.role),
        "manifest": descriptor(item.image.manifest),
        "size": item.image.size,
        "scanned": item.evidence is not None,
        "verdict": {"policy": verdict["policy"], "outcome": str(verdict["outcome"])} if verdict else None,
    }


def _series_files(inputs: BundleInputs) -> Iterator[tuple[str, Any]]:
    images = _ordered(inputs.images)
    series = inputs.series.model_dump(mode="json", by_alias=True)
    bases = {item.base.name: item.base.model_dump(mode="json", by_alias=True) for item in images}
    services = {item.service.name: _spec(item.service) for item in images}
    yield SPECS, {"series": series, "bases": bases, "services": services}
    schemas = {item.service.name: settings_schema(item.service) for item in images}
    yield CONFIGURATION, {"settings": schemas, "templates": dict(inputs.templates)}
    yield LOCKS, dict(inputs.locks)
    yield MANIFESTS, [row for item in images for row in workloads(item.service, item.image.manifest.digest)]
    yield CARDS, [card(item.service, inputs.series.upgrades_from) for item in images]


def _image_files(images: Iterable[ImageInput]) -> Iterator[tuple[str, Any]]:
    for item in images:
        folder = f"images/{item.service.name}"
        spec = digest_json(_spec(item.service))
        yield f"{folder}/provenance.json", make_provenance(item.service, spec, item.inputs)
        if item.evidence:
            yield f"{folder}/sbom.json", dict(item.evidence.sbom)
            yield f"{folder}/scan.json", item.evidence.report.to_dict()
            yield f"{folder}/vex.json", dict(item.evidence.vex)
            yield f"{folder}/verdict.json", dict(item.evidence.verdict)


def _spec(service: Service) -> dict[str, Any]:
    return service.model_dump(mode="json", by_alias=True)


def _ordered(images: Iterable[ImageInput]) -> list[ImageInput]:
    return sorted(images, key=lambda item: item.service.name)
