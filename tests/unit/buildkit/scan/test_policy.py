# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
import json
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from buildkit.scan.policy import Age, Exemptions, Rules, conflicts, ending_soon, seconds
from stackway.documents import parse_document, parse_model
from stackway.errors import Problem
from tests.fakes.scanned import NOW, POLICY
from tests.fakes.scans import WHOLE, exemption


def problems(*changes: dict[str, Any], now: datetime = NOW) -> list[Problem]:
    content = {"kind": "ScanExceptions", "exceptions": [{**WHOLE, **item} for item in changes]}
    document = parse_document(json.dumps(content, indent=1).encode(), "exceptions.yaml")
    return list(conflicts(parse_model(Exemptions, document, "exceptions.yaml"), document, now))


@pytest.mark.parametrize(
    ("age", "told"),
    [
        ("0d", timedelta()),
        ("90m", timedelta(minutes=90)),
        ("24h", timedelta(days=1)),
        ("14d", timedelta(days=14)),
        ("2w", timedelta(days=14)),
        ("99999w", timedelta(weeks=99999)),
    ],
)
def test_ages_have_a_unit(age: str, told: timedelta) -> None:
    assert seconds(TypeAdapter(Age).validate_python(age)) == told


@pytest.mark.parametrize("age", ["", "24", "h", "-1d", "1.5h", "01d", "1 d", "1y", "1d\n", "100000d", 24])
def test_what_is_no_age_is_refused(age: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Age).validate_python(age)


@given(st.dates(), st.sampled_from([-12, 0, 14]))
def test_an_exception_ends_at_one_moment_wherever_the_machine_is(day: date, hours: int) -> None:
    ends = exemption(expires=day).ends
    assert (ends.date(), ends.time().isoformat(), ends.tzinfo) == (day, "00:00:00", UTC)
    if 1 < day.year < 9999:
        assert ends == ends.astimezone(timezone(timedelta(hours=hours)))


@pytest.mark.parametrize(
    ("images", "image", "covers"),
    [
        ([], "nova:2026.1", True),
        (["heat", "nova"], "nova:2026.1", True),
        (["nova:2026.1"], "nova:2026.1", True),
        (["nova:2026.1"], "nova:2026.10", False),
        (["nova"], "nova-api:2026.1", False),
        (["nova:2026.1"], "nova", False),
    ],
)
def test_an_exception_covers_images_by_name_or_by_series(images: list[str], image: str, *, covers: bool) -> None:
    assert exemption(images=images).covers(image, "prod") is covers


@pytest.mark.parametrize(
    ("policies", "covers"), [([], True), (["prod"], True), (["dev", "prod"], True), (["dev"], False)]
)
def test_an_exception_covers_policies_that_it_names(policies: list[str], *, covers: bool) -> None:
    assert exemption(policies=policies).covers("nova:2026.1", "prod") is covers


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ({"policies": ["prod"]}, {"policies": ["dev"]}, False),
        ({"policies": ["prod", "dev"]}, {"policies": ["dev"]}, True),
        ({"policies": ["prod"]}, {}, True),
        ({"policies": ["prod"], "images": ["nova"]}, {"policies": ["dev"], "images": ["nova"]}, False),
        ({"images": ["nova:2026.1"]}, {"images": ["nova"]}, True),
        ({"images": ["nova", "heat"]}, {"images": ["heat:2026.1"]}, True),
        ({"images": ["nova"]}, {"images": ["nova-api"]}, False),
        ({"expires": "2027-01-01", "reason": "another"}, {}, True),
    ],
)
def test_two_exceptions_clash_when_both_could_hold(one: dict[str, Any], other: dict[str, Any], *, clash: bool) -> None:
    found = [problem.message for problem in problems(one, other)]
    told = ["a second exception for CVE-1-1; the first is at exceptions.yaml:4"]
    assert found == (told if clash else [])
    assert len(problems(other, one)) == len(found)


@pytest.mark.parametrize("hole", ["CVE-1-1", "GHSA-aaaa-bbbb-cccc", "DSA-1-1", "PYSEC-2026-1"])
def test_a_hole_without_a_package_is_a_problem(hole: str) -> None:
    (problem,) = problems({"id": hole, "package": None})
    assert (problem.message, str(problem.position)) == (
        f"the exception for {hole} names no package",
        "exceptions.yaml:4",
    )


def test_a_rule_for_dockerfiles_needs_no_package() -> None:
    assert problems({"id": "DS-0002", "package": None}) == []


def test_every_problem_is_told_at_once() -> None:
    found = problems({"expires": "2026-11-23"}, {"package": None}, {})
    assert [problem.message.split(" (")[0] for problem in found] == [
        "the exception for CVE-1-1 ended on 2026-11-23",
        "the exception for CVE-1-1 names no package",
        "a second exception for CVE-1-1; the first is at exceptions.yaml:4",
    ]


@pytest.mark.parametrize(
    ("left", "is_soon"),
    [
        (timedelta(days=14, microseconds=1), False),
        (timedelta(days=14), True),
        (timedelta(microseconds=1), True),
        (timedelta(), False),
    ],
)
def test_warning_comes_in_the_last_two_weeks(left: timedelta, *, is_soon: bool) -> None:
    item = exemption()
    told = ["x:5: the exception for CVE-1-1 ends on 2026-12-24; Ann decides what then"]
    assert ending_soon(Rules(POLICY, ((item, "x:5"),), ""), item.ends - left) == (told if is_soon else [])
