# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from buildkit.scan.policy import ending_soon
from buildkit.scan.rules import load_rules, policy_names
from stackway.errors import WrongInputError
from tests.fakes.scanned import NOW

REPOSITORY = Path(__file__).parents[4]
POLICY = {
    "name": "prod",
    "summary": "of the tests",
    "vulnerabilities": [{"severity": ["high"], "fix": "available", "action": "fail"}],
}
EXCEPTION = {"id": "CVE-1-1", "package": "bash", "owner": "Ann", "reason": "not ours", "expires": "2026-12-24"}


def write(root: Path, policy: dict[str, Any], *exceptions: dict[str, Any]) -> Path:
    (root / "policies").mkdir(exist_ok=True)
    (root / "policies/prod.yaml").write_text(json.dumps(policy, indent=1))
    content = {"kind": "ScanExceptions", "exceptions": exceptions}
    (root / "policies/exceptions.yaml").write_text(json.dumps(content, indent=1))
    return root


def refusal(root: Path, name: str = "prod", now: datetime = NOW) -> str:
    with pytest.raises(WrongInputError) as caught:
        load_rules(root, name, now)
    return f"{caught.value.brief}\n{caught.value.details}\n{caught.value.resolution}"


@pytest.mark.parametrize("name", ["dev", "staging", "prod"])
def test_policies_of_the_repository_can_be_used(name: str) -> None:
    assert load_rules(REPOSITORY, name, NOW).policy.name == name


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"vulnerabilites": []},
            "policies/prod.yaml:13: unknown key 'vulnerabilites'\n    Did you mean 'vulnerabilities'?",
        ),
        (
            {"vulnerabilities": [{"severity": ["hihg"], "action": "fail"}]},
            "prod.yaml:7: 'vulnerabilities.0.severity.0'",
        ),
        ({"vulnerabilities": [{"severity": [], "action": "fail"}]}, "vulnerabilities.0.severity"),
        ({"vulnerabilities": [{"severity": ["high"], "action": "ignore"}]}, "vulnerabilities.0.action"),
        ({"database": {"maxAge": "1 day"}}, "database.maxAge"),
        ({"name": "staging"}, "prod.yaml:2: name is 'staging', but the file is 'prod''s"),
    ],
)
def test_an_unusable_policy_is_named_with_its_line(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    assert told in refusal(write(tmp_path, {**POLICY, **changes}))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"owner": ""}, "exceptions.0.owner"),
        ({"reason": "two\nlines"}, "exceptions.0.reason"),
        ({"expires": "soon"}, "exceptions.0.expires"),
        ({"id": "cve-1"}, "exceptions.0.id"),
        (
            {"expire": "2027-01-01"},
            "exceptions.yaml:10: unknown key 'exceptions.0.expire'\n    Did you mean 'expires'?",
        ),
        ({"package": None}, "the exception for CVE-1-1 names no package"),
        ({"justification": "because"}, "exceptions.0.justification"),
        ({"policies": ["prdo"]}, "there is no policy 'prdo'\n    Did you mean 'prod'?"),
    ],
)
def test_an_unusable_exception_is_named(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    given = {key: value for key, value in {**EXCEPTION, **changes}.items() if value is not None}
    assert told in refusal(write(tmp_path, POLICY, given))


@pytest.mark.parametrize("missing", ["id", "owner", "reason", "expires"])
def test_an_exception_must_be_whole(tmp_path: Path, missing: str) -> None:
    given = {key: value for key, value in EXCEPTION.items() if key != missing}
    assert f"'exceptions.0.{missing}' is missing" in refusal(write(tmp_path, POLICY, given))


def test_an_exception_stops_everything_from_its_midnight_on(tmp_path: Path) -> None:
    root, ends = write(tmp_path, POLICY, EXCEPTION), datetime(2026, 12, 24, tzinfo=UTC)
    assert len(load_rules(root, "prod", ends - timedelta(microseconds=1)).exceptions) == 1
    told = refusal(root, now=ends)
    assert "policies/exceptions.yaml:9: the exception for CVE-1-1 ended on 2026-12-24 (not ours)" in told
    assert "Ann decides" in told


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ({}, {}, True),
        ({"images": ["nova"]}, {"images": ["nova:2026.1"]}, True),
        ({"images": ["nova:2025.1"]}, {"images": ["nova:2026.1"]}, False),
        ({"images": ["nova"]}, {}, True),
        ({"policies": ["prod"]}, {"images": ["nova"]}, True),
        ({"package": "dash"}, {}, False),
        ({"id": "CVE-1-2"}, {}, False),
    ],
)
def test_two_exceptions_for_one_finding_are_refused(
    tmp_path: Path, one: dict[str, Any], other: dict[str, Any], *, clash: bool
) -> None:
    root = write(tmp_path, POLICY, {**EXCEPTION, **one}, {**EXCEPTION, **other})
    if clash:
        assert "a second exception for CVE-1-1; the first is at policies/exceptions.yaml:4" in refusal(root)
    else:
        assert len(load_rules(root, "prod", NOW).exceptions) == 2


def test_an_unknown_policy_is_answered_with_the_nearest(tmp_path: Path) -> None:
    told = refusal(write(tmp_path, POLICY), "prot")
    assert "there is no policy 'prot'" in told
    assert "Did you mean 'prod'?" in told


def test_an_exception_for_an_image_that_is_not_there_is_refused(tmp_path: Path) -> None:
    root = write(tmp_path, POLICY, {**EXCEPTION, "images": ["nvoa", "nova:2026.1", "nova"]})
    with pytest.raises(WrongInputError) as caught:
        load_rules(root, "prod", NOW, ["nova:2026.1"])
    assert "there is no image 'nvoa'\n    Did you mean 'nova'?" in caught.value.details
    assert caught.value.details.count("there is no image") == 1


def test_a_licence_can_be_excepted(tmp_path: Path) -> None:
    root = write(tmp_path, POLICY, {**EXCEPTION, "id": "AGPL-3.0-only"})
    assert load_rules(root, "prod", NOW).exceptions[0][0].id == "AGPL-3.0-only"


def test_a_day_is_written_as_a_day(tmp_path: Path) -> None:
    assert "a day is written as 2027-01-31" in refusal(write(tmp_path, POLICY, {**EXCEPTION, "expires": 20270101}))


def test_without_a_file_there_are_no_exceptions(tmp_path: Path) -> None:
    (write(tmp_path, POLICY) / "policies/exceptions.yaml").unlink()
    assert load_rules(tmp_path, "prod", NOW).exceptions == ()
    assert policy_names(tmp_path) == ["prod"]


def test_digest_changes_with_policy_and_exceptions_that_hold_for_it(tmp_path: Path) -> None:
    def digest(policy: dict[str, Any], *exceptions: dict[str, Any]) -> str:
        return load_rules(write(tmp_path, policy, *exceptions), "prod", NOW).digest

    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/dev.yaml").write_text("name: dev\n")
    first = digest(POLICY)
    assert digest({**POLICY, "summary": "another"}) != first
    assert digest(POLICY, EXCEPTION) != first
    assert digest(POLICY, {**EXCEPTION, "policies": ["dev"]}) == first


def test_digest_is_of_what_the_rules_say_and_not_of_how_they_are_written(tmp_path: Path) -> None:
    first = load_rules(write(tmp_path, POLICY, EXCEPTION), "prod", NOW)
    for file in ("prod.yaml", "exceptions.yaml"):
        path = tmp_path / "policies" / file
        path.write_text(f"# a comment\n\n{json.dumps(json.loads(path.read_text()), indent=3)}\n")
    again = load_rules(tmp_path, "prod", NOW + timedelta(days=1))
    assert again.digest == first.digest
    assert again.exceptions[0][1] == "policies/exceptions.yaml:7"
    assert load_rules(write(tmp_path, POLICY, {**EXCEPTION, "owner": "Bob"}), "prod", NOW).digest != first.digest


def test_a_checkout_without_policies_says_so(tmp_path: Path) -> None:
    told = refusal(tmp_path)
    assert "there is no policy 'prod'\nthere are: none in policies/\nWrite policies/prod.yaml." in told


@pytest.mark.parametrize("name", ["exceptions", "../policies/prod", ""])
def test_no_other_file_is_read_as_a_policy(tmp_path: Path, name: str) -> None:
    assert f"there is no policy {name!r}" in refusal(write(tmp_path, POLICY), name)


def test_an_exception_that_ends_soon_is_told_of(tmp_path: Path) -> None:
    rules = load_rules(write(tmp_path, POLICY, EXCEPTION), "prod", NOW)
    ends = datetime(2026, 12, 24, tzinfo=UTC)
    (told,) = ending_soon(rules, ends - timedelta(days=14))
    assert told.startswith("policies/exceptions.yaml:5: the exception for CVE-1-1 ends on 2026-12-24; Ann decides")
    assert ending_soon(rules, ends - timedelta(days=14, seconds=1)) == []
