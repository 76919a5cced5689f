# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import pytest

from buildkit.scan.policy import Exemption
from buildkit.scan.report import PackageKind, Vulnerability
from buildkit.scan.vex import calendar_noise, make_vex
from tests.fakes.scanned import hole, report


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
    given = {"id": "CVE-1-2", "package": "requests", "owner": "Ann", "reason": "not used", "expires": "2026-12-24"}
    exemption = Exemption.model_validate({**given, "justification": justification})
    found = make_vex(report("nova:2026.1", hole("CVE-1-1"), hole("CVE-1-2")), {}, [exemption])["statements"]
    assert [item["vulnerability"]["name"] for item in found] == stated
    assert all(item["impact_statement"] == "not used (Ann)" for item in found)


def test_equal_knowledge_gives_an_equal_document() -> None:
    holes = [hole("CVE-1-1"), hole("CVE-1-2", "urllib3")]
    why = {("CVE-1-1", "requests"): "x", ("CVE-1-2", "urllib3"): "y"}
    first = make_vex(report("nova:2026.1", *holes), why, [])
    assert make_vex(report("nova:2026.1", *reversed(holes)), why, []) == first
    assert make_vex(report("nova:2026.1", *holes), {**why, ("CVE-1-1", "requests"): "z"}, [])["@id"] != first["@id"]
