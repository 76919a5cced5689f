# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import pytest

from buildkit.scan.report import PackageKind, Vulnerability
from buildkit.scan.vex import calendar_noise, make_vex
from tests.fakes.scanned import hole, report
from tests.fakes.scans import exemption


def noise(item: Vulnerability, own: str = "keystone") -> bool:
    return bool(calendar_noise(report("keystone:2026.1", item), own))


@pytest.mark.parametrize(
    ("version", "fixed", "is_noise"),
    [
        ("29.0.2", "2012.1.1", True),
        ("29.0.2", "2014.1.5, 2015.1.0", True),
        ("8.0.0", "2015.1.2", True),
        ("29.0.2", "2015.1.0, 30.0.1", False),
        ("29.0.2", "30.0.0", False),
        ("29.0.2", "", False),
        ("29.0.2", "2026.1.0", False),
        ("29.0.2", "2012", False),
        ("2014.1.1", "2014.1.5", False),
        ("unknown", "2012.1.1", False),
    ],
)
def test_years_before_the_renumbering_are_noise(version: str, fixed: str, *, is_noise: bool) -> None:
    assert noise(replace(hole("CVE-1-1", "keystone", fixed=fixed), version=version)) is is_noise


def test_only_the_images_own_distribution_was_renumbered() -> None:
    old = replace(hole("CVE-1-1", "Keystone", fixed="2012.1.1"), version="29.0.2")
    assert noise(old)
    assert not noise(replace(old, package="certifi"))
    assert not noise(replace(old, kind=PackageKind.DEBIAN))
    assert not noise(replace(old, package=""), own="")


def test_a_hole_that_is_real_in_a_second_copy_is_no_noise() -> None:
    new = replace(hole("CVE-1-1", "keystone", fixed="2012.1.1"), version="29.0.2")
    old = replace(new, version="2011.1", purl="pkg:pypi/keystone@2011.1")
    other = replace(new, id="CVE-1-2")
    found = calendar_noise(report("keystone:2026.1", old, new, other), "keystone")
    assert list(found) == [("CVE-1-2", "keystone")]
    assert found["CVE-1-2", "keystone"].startswith("fixed in 2012.1.1, which is from before keystone was renumbered")


def test_statement_names_the_image_by_digest_and_the_package_by_purl() -> None:
    item = hole("CVE-1-1", "keystone", fixed="2012.1.1")
    found = report("keystone:2026.1", item, hole("CVE-1-2"))
    (statement,) = make_vex(found, {("CVE-1-1", "keystone"): "renumbered"}, [])["statements"]
    digest = "a" * 64
    assert statement == {
        "vulnerability": {"name": "CVE-1-1"},
        "products": [
            {"@id": f"pkg:oci/keystone@sha256%3A{digest}", "subcomponents": [{"@id": "pkg:pypi/keystone@2.0"}]},
            {"@id": "pkg:pypi/keystone@2.0"},
        ],
        "status": "not_affected",
        "justification": "vulnerable_code_not_present",
        "impact_statement": "renumbered",
    }


@pytest.mark.parametrize(
    ("justification", "stated"), [("vulnerable_code_not_in_execute_path", ["CVE-1-2"]), (None, [])]
)
def test_an_exception_is_stated_only_when_it_says_why_nothing_is_affected(
    justification: str | None, stated: list[str]
) -> None:
    given = exemption(id="CVE-1-2", reason="not used", justification=justification)
    found = make_vex(report("nova:2026.1", hole("CVE-1-1"), hole("CVE-1-2")), {}, [given])["statements"]
    assert [item["vulnerability"]["name"] for item in found] == stated
    assert all(item["impact_statement"] == "not used (Ann)" for item in found)


def test_a_document_says_when_its_knowledge_was_made_and_not_when_it_was_written() -> None:
    found = make_vex(report("nova:2026.1"), {}, [])
    assert (found["timestamp"], found["statements"]) == ("2026-11-22T18:00:00Z", [])
    assert found["@id"].startswith("urn:stackway:vex:sha256:")


@pytest.mark.parametrize("changes", [{"package": "urllib3"}, {"id": "CVE-1-9"}])
def test_an_exception_for_another_finding_states_nothing(changes: dict[str, str]) -> None:
    given = exemption(justification="component_not_present", **changes)
    assert make_vex(report("nova:2026.1", hole("CVE-1-1")), {}, [given])["statements"] == []


def test_a_package_in_two_layers_is_stated_once() -> None:
    item = hole("CVE-1-1", "keystone", fixed="2012.1.1")
    found = report("keystone:2026.1", item, replace(item, layer="sha256:" + "2" * 64))
    assert len(make_vex(found, {("CVE-1-1", "keystone"): "renumbered"}, [])["statements"]) == 1


def test_equal_knowledge_gives_an_equal_document() -> None:
    holes = [hole("CVE-1-1"), hole("CVE-1-2", "urllib3")]
    why = {("CVE-1-1", "requests"): "x", ("CVE-1-2", "urllib3"): "y"}
    first = make_vex(report("nova:2026.1", *holes), why, [])
    assert make_vex(report("nova:2026.1", *reversed(holes)), why, []) == first
    assert make_vex(report("nova:2026.1", *holes), {**why, ("CVE-1-1", "requests"): "z"}, [])["@id"] != first["@id"]
