# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Gathers what a release is made of from a checkout, and puts the finished release into a store, whole or not at all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from buildkit.checkout import Checkout
from buildkit.lockfiles import base_path, find, image_path, layers_path
from buildkit.models import Service
from buildkit.prepare import PreparedBuild, load_records, prepare
from buildkit.registry import Manifest
from buildkit.scan.scanning import Records
from buildkit.sources import load_templates
from buildkit.store import StoredImage
from releases.bundle import BundleInputs, Evidence, ImageInput, ReleaseBundle
from releases.layout import LayoutStore
from releases.release import REPOSITORY
from releases.repository import ReleaseStore
from releases.sign import put
from releases.verify import read
from releases.version import ReleaseVersion, is_version
from stackway.errors import FailedError, RefusedError, StackwayError
from stackway.files import read_json

_SCAN_HINT = "`release scan --series SERIES` scans and judges them; with --unscanned the release says that it was not."


@dataclass(frozen=True)
class Choice:
    """What a person says of a release to be made: its series, the policy whose verdicts go in, and whether it may lack them."""

    series: str
    policy: str
    unscanned: bool


def gather(checkout: Checkout, choice: Choice, version: ReleaseVersion) -> BundleInputs:
    """Return what a release of a series is made of.

    Raises FailedError for images that are not there, damaged, or not what their specs say; RefusedError for unscanned ones.
    """
    services = checkout.catalog.members(choice.series)
    prepared = prepare(checkout, services)
    _refuse_unbuilt(prepared)
    stored, records = checkout.store.images(), load_records(checkout.records)
    images, unscanned = [], []
    for service in services:
        image = stored[service.image]
        evidence = _evidence(checkout, service, image, choice.policy)
        if evidence is None:
            unscanned.append(service.image)
        inputs = records[service.image].inputs
        images.append(ImageInput(service, checkout.catalog.base_of(service), image, inputs, evidence))
    if unscanned and not choice.unscanned:
        raise RefusedError(
            f"{len(unscanned)} images were not scanned and judged by {choice.policy}",
            details=", ".join(unscanned),
            resolution=_SCAN_HINT.replace("SERIES", choice.series, 1),
        )
    series = checkout.catalog.series[choice.series].spec
    return BundleInputs(
        version, series, tuple(images), dict(_locks(checkout, services, choice.series)), _templates(checkout)
    )


def _refuse_unbuilt(prepared: PreparedBuild) -> None:
    if prepared.plan.builds:
        raise FailedError(
            f"{len(prepared.plan.builds)} images are not what their specs say today",
            details="\n".join(f"{action.image}: {action.reason}" for action in prepared.plan.builds),
            resolution="Build them first: `release build`.",
        )


def _evidence(checkout: Checkout, service: Service, image: StoredImage, policy: str) -> Evidence | None:
    """Return what the scan of this very image left, None when it was not scanned or not judged by the policy."""
    records = Records(checkout.state)
    folder, report = records.of(service), records.last(service)
    if report is None or report.key.digest != image.manifest.digest:
        return None
    try:
        sbom, vex, verdict = (_json(folder, name) for name in ("sbom.json", "vex.json", f"verdict-{policy}.json"))
    except (StackwayError, OSError):
        return None
    is_same = verdict.get("digest") == image.manifest.digest and verdict.get("report") == report.digest
    return Evidence(report, sbom, vex, verdict) if is_same and verdict.get("outcome") != "errored" else None


def _json(folder: Any, name: str) -> dict[str, Any]:
    content = read_json(folder / name)
    return content if isinstance(content, dict) else {}


def _locks(checkout: Checkout, services: Sequence[Service], series: str) -> Iterator[tuple[str, str]]:
    """Yield the locks of these images by their path below the folder of specs."""
    catalog = checkout.catalog
    paths = {layers_path(series)}
    for service in services:
        base = catalog.base_of(service)
        paths |= {base_path(base, stage) for stage in ("os", "interpreter", "backends")}
        paths |= {image_path(service, kind) for kind in ("system", "python")}
    for path in sorted(paths):
        file = find(catalog, path)
        if file.exists():
            yield path, file.read_text(encoding="utf-8")


def _templates(checkout: Checkout) -> dict[str, str]:
    """Return the templates that are rendered at deployment, and what they share."""
    library = load_templates(checkout.catalog)
    return {name: text for name, text in library.texts.items() if "/templates/" in library.places[name]}


def same_as(store: ReleaseStore, made: ReleaseBundle) -> str | None:
    """Return the version of the newest release in `store` that is this one in all but its version, None for none."""
    versions = [ReleaseVersion.parse(tag) for tag in store.repository(REPOSITORY).tags() if is_version(tag)]
    newest = max((item for item in versions if item.series == made.version.series), default=None)
    if newest is None:
        return None
    there = read(store, str(newest))
    files = {title: item.blob for title, item in there.files.items()}
    is_same = files == {title: item.blob for title, item in made.files.items()}
    images = {image.manifest.digest for image in there.images}
    return str(newest) if is_same and images == {image.manifest.digest for image in made.images} else None


def versions(store: ReleaseStore, series: str | None = None) -> list[ReleaseVersion]:
    """Return the versions of all releases in a store, oldest first."""
    found = [ReleaseVersion.parse(tag) for tag in store.repository(REPOSITORY).tags() if is_version(tag)]
    return sorted(item for item in found if series in (None, item.series))


def write(checkout: Checkout, store: LayoutStore, made: ReleaseBundle) -> str:
    """Put a release and its images into a store; return its digest. The images' blobs are hard links of the build's.

    Raises RefusedError when the version is taken by another release.
    """
    with store.writing():
        repository = store.repository(REPOSITORY)
        there = repository.manifest_digest(str(made.version))
        if there not in (None, made.digest):
            raise RefusedError(
                f"there is another release {made.version}",
                details=f"{store.address}\nthere: {there}\nthis one: {made.digest}",
                resolution="A version is given once. Leave it out to take the next one.",
            )
        for image in made.images:
            _write_image(checkout, store, image, str(made.version))
        for content in (made.config, *made.files.values()):
            put(repository, content)
        repository.put_manifest(made.manifest, str(made.version))
    return made.digest


def _write_image(checkout: Checkout, store: LayoutStore, image: StoredImage, tag: str) -> None:
    repository = store.repository(image.name.partition(":")[0])
    for blob in (image.config, *image.layers):
        repository.link(blob, checkout.store.path(blob.digest))
    content = checkout.store.path(image.manifest.digest).read_bytes()
    repository.put_manifest(Manifest(content, image.manifest.media_type), tag)
