# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

from buildkit.scan.difference import compare, new_holes
from stackway.console import Table
from tests.fakes.scanned import hole, report

BEFORE = report("nova:2026.1", hole("CVE-1-1"), hole("CVE-1-2", "urllib3"))
AFTER = report("nova:2026.1", hole("CVE-1-1"), hole("CVE-1-3", severity="critical"))


def test_holes_that_came_and_went_are_told_with_the_packages_that_changed() -> None:
    found = compare(BEFORE, AFTER)
    assert [item.id for item in found.came] == ["CVE-1-3"]
    assert [item.id for item in found.went] == ["CVE-1-2"]
    assert found.packages == (("python urllib3", "2.0", "-"),)
    holes, packages = found.tables()
    assert isinstance(holes, Table)
    assert [row[:3] for row in holes.rows] == [("new", "critical", "CVE-1-3"), ("gone", "high", "CVE-1-2")]
    assert isinstance(packages, Table)


def test_a_package_in_two_versions_shows_both() -> None:
    twice = replace(AFTER, packages=(*AFTER.packages, replace(AFTER.packages[0], version="1.0")))
    assert compare(AFTER, twice).packages == (("python requests", "2.0", "1.0 2.0"),)


def test_equal_reports_say_so() -> None:
    (told,) = compare(AFTER, AFTER).tables()
    assert "same packages and the same known holes" in str(told)


def test_everything_is_new_when_there_was_nothing_before() -> None:
    assert new_holes(None, AFTER) == {("CVE-1-1", "requests"), ("CVE-1-3", "requests")}
    assert new_holes(BEFORE, AFTER) == {("CVE-1-3", "requests")}
