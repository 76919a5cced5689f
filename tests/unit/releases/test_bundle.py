# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildkit.store import Blob
from releases.bundle import ARTIFACT_TYPE, BundleInputs, ImageInput, bundle, expected_titles, is_title
from releases.release import read_content
from releases.version import ReleaseVersion
from stackway.files import canonical_json, digest_bytes
from tests.fakes.releases import BASE, inputs, series, service

BLOBS: dict[str, bytes] = {}
NAMES = ("cinder", "glance", "keystone", "nova")
MADE = bundle(inputs(BLOBS, names=NAMES))

Step = Callable[[BundleInputs], BundleInputs]


def shuffled(given: BundleInputs, chance: Any) -> BundleInputs:
    def mixed(items: Any) -> Any:
        return chance.sample(sorted(items, key=repr), len(items))

    images = [replace(item, inputs=dict(mixed(item.inputs.items()))) for item in given.images]
    earlier = tuple(mixed(given.series.upgrades_from))
    return replace(
        given,
        images=tuple(chance.sample(images, len(images))),
        series=given.series.model_copy(update={"upgrades_from": earlier}),
        locks=dict(mixed(given.locks.items())),
        templates=dict(mixed(given.templates.items())),
    )


def many() -> BundleInputs:
    texts = {f"{name}/a.conf.j2": name for name in NAMES}
    return replace(inputs(BLOBS, names=NAMES), locks=texts, templates=texts)


@given(st.randoms())
@settings(max_examples=30)
def test_equal_inputs_in_any_order_give_equal_bytes(chance: Any) -> None:
    one, other = bundle(many()), bundle(shuffled(many(), chance))
    assert one.manifest == other.manifest
    assert one.config == other.config
    assert one.files == other.files
    assert one.images == other.images


def image(step: Callable[[ImageInput], ImageInput]) -> Step:
    """Return what changes the last image."""
    return lambda given: replace(given, images=(*given.images[:-1], step(given.images[-1])))


def evidence(**change: Any) -> Step:
    def step(item: ImageInput) -> ImageInput:
        assert item.evidence
        return replace(item, evidence=replace(item.evidence, **change))

    return image(step)


def other_report(item: ImageInput) -> ImageInput:
    assert item.evidence
    return replace(item, evidence=replace(item.evidence, report=replace(item.evidence.report, system="debian 12")))


def other_image(item: ImageInput) -> ImageInput:
    manifest = Blob(item.image.manifest.media_type, digest_bytes(b"other"), 5)
    return replace(item, image=replace(item.image, manifest=manifest))


CHANGES: dict[str, Step] = {
    "version": lambda given: replace(given, version=ReleaseVersion.parse("2026.1.1")),
    "end of life": lambda given: replace(given, series=series(earlier=("2025.2",))),
    "locks": lambda given: replace(given, locks={"a.lock": "pin2\n"}),
    "name of a lock": lambda given: replace(given, locks={"b.lock": "pin\n"}),
    "templates": lambda given: replace(given, templates={}),
    "one image less": lambda given: replace(given, images=given.images[1:]),
    "image": image(other_image),
    "spec": image(lambda item: replace(item, service=service("nova", settings={"debug": True}))),
    "base": image(lambda item: replace(item, base=BASE.model_copy(update={"name": "bookworm"}))),
    "inputs": image(lambda item: replace(item, inputs={**item.inputs, "flag": "1"})),
    "unscanned": image(lambda item: replace(item, evidence=None)),
    "report": image(other_report),
    "sbom": evidence(sbom={}),
    "vex": evidence(vex={}),
    "verdict": evidence(verdict={"policy": "prod", "outcome": "failed"}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_digest_changes_with_every_input(name: str) -> None:
    given = CHANGES[name](inputs(BLOBS, names=NAMES))
    assert bundle(given).digest != MADE.digest
    assert bundle(inputs(BLOBS, names=NAMES)).digest == MADE.digest


def test_a_release_is_an_oci_artifact_whose_files_have_titles() -> None:
    data = MADE.manifest.data()
    assert data["artifactType"] == ARTIFACT_TYPE
    assert data["annotations"] == {"org.opencontainers.image.version": "2026.1.0"}
    titles = [row["annotations"]["org.opencontainers.image.title"] for row in data["layers"]]
    assert titles == sorted(MADE.files)
    assert [row["digest"] for row in data["layers"]] == [MADE.files[title].blob.digest for title in titles]
    assert MADE.blob == Blob(MADE.manifest.media_type, MADE.digest, len(MADE.manifest.content))


def test_what_was_made_is_what_is_read() -> None:
    held = {item.blob: item.content for item in (MADE.config, *MADE.files.values())}
    content = read_content(MADE.manifest, held.__getitem__)
    assert (content.digest, content.version, content.series) == (MADE.digest, MADE.version, "2026.1")
    assert [item.name for item in content.images] == list(NAMES)
    assert {item.manifest for item in content.images} == {item.manifest for item in MADE.images}
    assert content.images[0].identity == "stackway.local/cinder"


def test_every_file_is_canonical_json_without_a_time() -> None:
    for item in (MADE.config, *MADE.files.values()):
        assert canonical_json(json.loads(item.content)) == item.content
        assert b"createdAt" not in item.content


def test_titles_are_those_that_are_expected() -> None:
    rows = [{"name": "nova", "scanned": False}, {"name": "keystone", "scanned": True}]
    own = {"specs.json", "configuration.json", "locks.json", "manifests.json", "cards.json"}
    kinds = ("provenance", "sbom", "scan", "vex", "verdict")
    scanned = {f"images/keystone/{kind}.json" for kind in kinds}
    assert expected_titles(rows) == {*own, "images/nova/provenance.json", *scanned}
    assert all(map(is_title, expected_titles(rows)))


@pytest.mark.parametrize(
    "title",
    [
        *("", "spec.json", "SPECS.JSON", "specs.json\n", "./specs.json", "/specs.json", "..", "images/../specs.json"),
        *("images/nova/sbom.json\n", "images/nova/sbom.json.exe", "images/Nova/sbom.json", "images//sbom.json"),
        *("images/nova/../sbom.json", "images\\nova\\sbom.json", "images/nova/extra.json", "images/nova/a/sbom.json"),
    ],
)
def test_other_titles_are_none(title: str) -> None:
    assert not is_title(title)


def test_an_unscanned_image_says_so() -> None:
    step = image(lambda item: replace(item, evidence=None))
    made = bundle(step(inputs(BLOBS, names=NAMES)))
    held = {item.blob: item.content for item in (made.config, *made.files.values())}
    *_, last = read_content(made.manifest, held.__getitem__).images
    assert (last.name, last.scanned, last.verdict) == ("nova", False, None)
    assert "images/nova/sbom.json" not in made.files
