# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A lock's question changes with what the spec asks, and overrides end on their day."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from buildkit.models import Override
from buildkit.questions import (
    PythonQuestion,
    SystemQuestion,
    expired,
    expiring,
    interpreter_question,
    os_question,
    overrides,
    python_question,
    system_question,
)
from stackway.documents import parse_document
from tests.fakes.checkout import FakeCheckout

SPEC = "images/keystone/2026.1.yaml"
SERIES = "images/series/2026.1.yaml"
BASE = "images/bases/trixie.yaml"
TODAY = date(2026, 6, 15)


@pytest.fixture
def checkout(tmp_path: Path) -> FakeCheckout:
    return FakeCheckout(tmp_path)


def override(version: str = "1", expires: str = "2999-12-31") -> dict[str, str]:
    return {"version": version, "owner": "Tests", "reason": "an example", "expires": expires}


def questions(checkout: FakeCheckout) -> dict[str, str]:
    """Return each question of keystone:2026.1 by its digest."""
    catalog = checkout.catalog()
    service, series = catalog.service("keystone", "2026.1"), catalog.series["2026.1"].spec
    base = catalog.base_of(service)
    asked: dict[str, PythonQuestion | SystemQuestion] = {
        "os": os_question(base),
        "interpreter": interpreter_question(base),
        "system": system_question(service, base),
        "python": python_question(service, series, base),
    }
    return {name: question.header["input"] for name, question in asked.items()}


@pytest.mark.parametrize(
    ("path", "change", "changed"),
    [
        (SPEC, {"version": "29.0.3"}, {"python"}),
        (SPEC, {"packages": {"python": ["keystone", "ldappool"]}}, {"python"}),
        (SPEC, {"packages": {"system": ["libldap2"]}}, {"system"}),
        (SPEC, {"overrides": {"requests": override()}}, {"python"}),
        (SPEC, {"summary": "other words"}, set()),
        (SERIES, {"packages": ["pyuwsgi", "pymysql"]}, {"python"}),
        (SERIES, {"codename": "Other"}, set()),
        (BASE, {"interpreter": ["python3", "netbase"]}, {"interpreter", "system"}),
        (BASE, {"operatingSystem": ["usr-is-merged", "tzdata"]}, {"os", "interpreter", "system"}),
        (BASE, {"suite": "forky"}, {"os", "interpreter", "system"}),
        (BASE, {"python": "3.14"}, {"python"}),
    ],
)
def test_a_changed_spec_changes_the_questions_it_bears_on(
    checkout: FakeCheckout, path: str, change: dict[str, Any], changed: set[str]
) -> None:
    before = questions(checkout)
    checkout.change(path, **change)
    after = questions(checkout)
    assert {name for name in before if before[name] != after[name]} == changed


def test_an_image_asks_for_its_version_and_what_its_series_gives_all(checkout: FakeCheckout) -> None:
    catalog = checkout.catalog()
    service, series = catalog.service("keystone", "2026.1"), catalog.series["2026.1"].spec
    question = python_question(service, series, catalog.base_of(service))
    assert question.requirements == {"keystone": "29.0.2", "pyuwsgi": "2.0.30"}
    assert question.header["target"] == "CPython 3.13, x86_64-manylinux_2_28"


def test_a_system_image_stands_on_the_root_file_system_alone(checkout: FakeCheckout) -> None:
    catalog = checkout.catalog()
    service = catalog.service("memcached", "1.6")
    question = system_question(service, catalog.base_of(service))
    assert (question.packages, question.below) == (("usr-is-merged", "memcached"), ("os",))


def test_an_image_s_own_override_wins_over_its_series(checkout: FakeCheckout) -> None:
    checkout.change(SPEC, overrides={"pyuwsgi": override("2.0.31")})
    catalog = checkout.catalog()
    service, series = catalog.service("keystone", "2026.1"), catalog.series["2026.1"].spec
    assert overrides(service, series)["pyuwsgi"].version == "2.0.31"
    assert python_question(service, series, catalog.base_of(service)).pinned["pyuwsgi"] == "2.0.31"


@pytest.mark.parametrize(
    ("day", "is_expired", "is_expiring"),
    [
        ("2026-06-14", True, False),
        ("2026-06-15", True, False),
        ("2026-06-16", False, True),
        ("2026-07-15", False, True),
        ("2026-07-16", False, False),
    ],
)
def test_an_override_holds_until_its_day_begins(day: str, is_expired: bool, is_expiring: bool) -> None:  # noqa: FBT001
    document = parse_document(f"overrides:\n  x:\n    expires: {day}\n".encode(), "service.yaml")
    given = {"x": Override.model_validate(override(expires=day))}
    problems = [*expired(given, document, TODAY), *expiring(given, document, TODAY)]
    assert bool(expired(given, document, TODAY)) is is_expired
    assert bool(expiring(given, document, TODAY)) is is_expiring
    assert {str(problem.position) for problem in problems} <= {"service.yaml:3"}


def test_an_expired_override_says_who_decides(checkout: FakeCheckout) -> None:
    checkout.change(SPEC, overrides={"requests": override(expires="2026-06-01")})
    found = checkout.catalog().services["keystone", "2026.1"]
    (problem,) = expired(found.spec.overrides, found.document, TODAY)
    assert problem.message == "the override of requests expired on 2026-06-01 (an example)"
    assert problem.hint.startswith("Tests decides: ")
