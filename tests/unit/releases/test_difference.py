# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What differs between two releases: each part by itself, and nothing where nothing does."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from buildkit.models import Service
from releases.bundle import BundleInputs, Evidence, ImageInput, bundle
from releases.difference import Change, ReleaseDifference, compare
from releases.page import difference_page
from releases.release import ReleaseContent
from releases.verify import read
from stackway.files import digest_bytes
from tests.fakes.releases import FakeReleases, image, inputs, place_release
from tests.fakes.scanned import hole

STORE = FakeReleases()
FIRST = inputs(STORE.blobs)
PARTS = ("images", "packages", "holes", "configuration", "manifests", "cards")
Step = Callable[[BundleInputs], BundleInputs]


def content(given: BundleInputs) -> ReleaseContent:
    store = FakeReleases()
    store.blobs = STORE.blobs
    made = bundle(given)
    place_release(store, made)
    return read(store, str(given.version))


def with_nova(change: Callable[[ImageInput], ImageInput]) -> Step:
    def changed(given: BundleInputs) -> BundleInputs:
        return replace(
            given, images=tuple(change(item) if item.service.name == "nova" else item for item in given.images)
        )

    return changed


def service(**changes: Any) -> Step:
    """Return what changes the spec of nova."""

    def changed(item: ImageInput) -> ImageInput:
        written = {**item.service.model_dump(mode="json", by_alias=True), **changes}
        return replace(item, service=Service.model_validate(written))

    return with_nova(changed)


def holes(*found: Any) -> Step:
    """Return what finds holes in nova's image."""

    def changed(item: ImageInput) -> ImageInput:
        assert item.evidence
        report = replace(item.evidence.report, vulnerabilities=tuple(found))
        verdict = {**item.evidence.verdict, "report": report.digest}
        return replace(item, evidence=replace(item.evidence, report=report, verdict=verdict))

    return with_nova(changed)


def made_of(**others: str) -> Step:
    packages = {name.replace("_", " "): value for name, value in others.items()}
    return with_nova(lambda item: replace(item, inputs={**item.inputs, **packages}))


def unscanned(given: BundleInputs) -> BundleInputs:
    return with_nova(lambda item: replace(item, evidence=None))(given)


def without(given: BundleInputs) -> BundleInputs:
    return replace(given, images=tuple(item for item in given.images if item.service.name != "nova"))


def difference(before: Step | None, after: Step | None) -> ReleaseDifference:
    """Return the difference of the first release and itself, each after a step."""
    one, two = (content(step(FIRST) if step else FIRST) for step in (before, after))
    return compare(one, two)


PINNED = f"1.1 {digest_bytes(b'oslo 1.1')}"
TEMPLATES = {"nova/nova.conf.j2": "[DEFAULT]\ndebug = true\n"}
STEPS: dict[str, tuple[Step, Change]] = {
    "version": (service(version="29.1.0"), Change("nova", "version", "29.0.2", "29.1.0")),
    "python": (
        made_of(Python_package_oslo=PINNED),
        Change("nova", "oslo (python)", "1.0", "1.1"),
    ),
    "debian": (
        made_of(system_package_libssl3=f"1:3.0+deb13u1~x {digest_bytes(b'ssl')}"),
        Change("nova", "libssl3 (debian)", "-", "1:3.0+deb13u1~x"),
    ),
    "hole": (
        holes(hole("CVE-2026-1", "oslo")),
        Change("nova", "CVE-2026-1 in oslo", "-", "high, fixed in 3.0"),
    ),
    "hole without a fix": (
        holes(hole("CVE-2026-1", "oslo", fixed="")),
        Change("nova", "CVE-2026-1 in oslo", "-", "high"),
    ),
    "setting": (service(settings={"debug": True}), Change("nova", "debug", "False", "True")),
    "template": (
        lambda given: replace(given, templates=TEMPLATES),
        Change(
            "nova",
            "nova.conf.j2",
            f"1 lines, {digest_bytes(b'[DEFAULT]' + bytes([10]))[:19]}",
            f"2 lines, {digest_bytes(TEMPLATES['nova/nova.conf.j2'].encode())[:19]}",
        ),
    ),
    "port": (
        service(processes={"api": {"command": ["nova"], "port": 5001}}),
        Change("nova-api", "port", "5000", "5001"),
    ),
    "environment": (service(environment={"A": "1"}), Change("nova-api", "environment.A", "-", "1")),
    "card": (service(upgrade={"back": "restore"}), Change("nova", "back", "pods", "restore")),
}


@pytest.mark.parametrize("step", STEPS)
def test_each_part_is_told_by_itself_and_in_both_directions(step: str) -> None:
    change, expected = STEPS[step]
    there, back = difference(None, change), difference(change, None)
    told = [item for part in PARTS for item in getattr(there, part)]
    assert expected in told
    assert replace(expected, before=expected.after, after=expected.before) in {
        item for part in PARTS for item in getattr(back, part)
    }
    assert all(item.where.startswith("nova") for item in told)
    assert not there.is_empty


def test_release_and_itself_under_another_name_are_the_same() -> None:
    other = inputs(STORE.blobs, "2026.1.1")
    found = compare(content(FIRST), content(other))
    assert found.is_empty
    assert found.tables() == []
    assert (found.before, found.after, found.templates) == ("2026.1.0", "2026.1.1", {})


def test_image_that_comes_or_goes_is_told_in_every_part() -> None:
    found = difference(without, None)
    assert [(item.what, item.before) for item in found.images] == [("digest", "-"), ("version", "-")]
    assert found.manifests
    assert {item.before for part in PARTS for item in getattr(found, part) if item.where.startswith("nova")} == {"-"}


def test_image_that_was_not_scanned_says_so_and_looks_clean_to_nobody() -> None:
    found = difference(holes(hole("CVE-2026-1", "oslo")), unscanned)
    digest = next(item.image.manifest.digest for item in FIRST.images if item.service.name == "nova")
    assert found.holes == (
        Change("nova", "CVE-2026-1 in oslo", "high, fixed in 3.0", "-"),
        Change("nova", "scan", "-", f"was not scanned ({digest[:19]})"),
    )


def test_two_images_that_nobody_scanned_are_not_alike_unless_they_are_one() -> None:
    def rebuilt(given: BundleInputs) -> BundleInputs:
        stored = image(STORE.blobs, "nova:2026.1", b"other layer")
        return unscanned(with_nova(lambda item: replace(item, image=stored))(given))

    assert difference(unscanned, unscanned).is_empty
    (row,) = difference(unscanned, rebuilt).holes
    assert row.before != row.after
    assert "was not scanned" in row.before
    assert "was not scanned" in row.after


def test_templates_are_shown_line_by_line() -> None:
    found = difference(None, lambda given: replace(given, templates={**TEMPLATES, "nova/new.j2": "a\n"}))
    assert list(found.templates) == ["nova/new.j2", "nova/nova.conf.j2"]
    assert found.templates["nova/nova.conf.j2"].splitlines()[-2:] == [" [DEFAULT]", "+debug = true"]
    assert "+a" in found.templates["nova/new.j2"]


def test_rows_are_in_order_whatever_the_order_of_the_inputs() -> None:
    def many(given: BundleInputs) -> BundleInputs:
        step = made_of(**{f"Python_package_p{number}": f"{number}.0 {digest_bytes(b'p')}" for number in (3, 1, 2)})
        return replace(step(given), images=step(given).images[::-1])

    found = difference(None, many)
    assert [item.what for item in found.packages] == ["p1 (python)", "p2 (python)", "p3 (python)"]
    assert all(list(getattr(found, part)) == sorted(getattr(found, part)) for part in PARTS)


def test_tables_are_short_and_data_is_whole() -> None:
    long = "x" * 200
    found = difference(None, service(environment={"A": long}))
    ((name, table),) = found.tables()
    assert name == "manifests"
    assert table.rows[-1][3] == "x" * 60 + "\N{HORIZONTAL ELLIPSIS}"
    assert found.to_dict()["manifests"][-1]["after"] == long
    assert found.to_dict()["kind"] == "ReleaseDifference"


def test_evidence_alone_is_no_difference_of_what_runs() -> None:
    def described(item: ImageInput) -> ImageInput:
        evidence: Evidence | None = item.evidence
        assert evidence
        return replace(item, evidence=replace(evidence, vex={**evidence.vex, "author": "somebody else"}))

    assert difference(None, with_nova(described)).is_empty


@pytest.mark.parametrize("title", ["configuration.json", "cards.json", "manifests.json"])
def test_half_a_character_in_a_release_that_nobody_signed_can_be_shown(title: str) -> None:
    before = content(FIRST)
    text = before.files[title].content.decode().replace("[DEFAULT]", "\\ud800").replace('"5000"', '"\\ud800"')
    text = text.replace('"notes":[]', '"notes":["\\udfff"]').replace('"config":{}', '"config":{"\\ud801":"\\ud800"}')
    assert "\\ud" in text
    after = replace(
        before, files={**before.files, title: replace(before.files[title], content=text.encode())}, _parsed={}
    )
    found = compare(before, after)
    assert not found.is_empty
    json.dumps(found.to_dict(), ensure_ascii=False).encode()
    difference_page(found).encode()
