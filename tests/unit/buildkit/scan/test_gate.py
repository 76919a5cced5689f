# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit.scan.gate import Case, Judgement, Outcome, Verdict, describe, judge, parse_moment, unused
from buildkit.scan.origin import Origin
from buildkit.scan.policy import Exemption, Policy, Rules
from buildkit.scan.report import Licence, Misconfiguration, PackageKind, ScanReport, Secret, Severity
from tests.fakes.scanned import LAYER, NOW, POLICY, hole, report

PLACE = "policies/exceptions.yaml:5"
SECRET = Secret("/etc/x.conf", 3, "aws-access-key-id", Severity.CRITICAL, "a key", LAYER)
GPL = Licence(PackageKind.PYTHON, "requests", "AGPL-3.0-only", "forbidden")
ROOT = Misconfiguration("DS-0002", 4, Severity.HIGH, "root", "runs as root", "Add USER.")


def policy(**changes: Any) -> Policy:
    return Policy.model_validate({**POLICY.model_dump(mode="json", by_alias=True), **changes})


def exemption(**changes: Any) -> Exemption:
    given = {"id": "CVE-1-1", "package": "requests", "owner": "Ann", "reason": "not ours", "expires": "2026-12-24"}
    return Exemption.model_validate({**given, **changes})


def verdict(found: ScanReport, rules: Policy = POLICY, *exemptions: Exemption, now: datetime = NOW) -> Verdict:
    placed = tuple((item, PLACE) for item in exemptions)
    origins = {"python requests": Origin("lock:7", "layer 3: shared", "Take {version}.")}
    return judge(Case(found, Rules(rules, placed, "sha256:0"), origins, {}, now))


def only(found: ScanReport, rules: Policy = POLICY, *exemptions: Exemption, now: datetime = NOW) -> Judgement:
    (judgement,) = verdict(found, rules, *exemptions, now=now).judgements
    return judgement


@given(st.permutations([hole(f"CVE-1-{n}", fixed="3" * (n % 2), severity=list(Severity)[n % 5]) for n in range(8)]))
def test_verdict_is_the_same_in_whatever_order_findings_come(holes: list[Any]) -> None:
    first = verdict(report("nova:2026.1", *sorted(holes)))
    again = verdict(report("nova:2026.1", *holes))
    assert first == again


@pytest.mark.parametrize(
    ("severity", "fixed", "outcome"),
    [
        ("critical", "3.0", Outcome.FAILED),
        ("high", "3.0", Outcome.FAILED),
        ("high", "", Outcome.WARNED),
        ("medium", "3.0", Outcome.WARNED),
        ("low", "3.0", Outcome.PASSED),
        ("unknown", "", Outcome.PASSED),
    ],
)
def test_the_first_rule_that_matches_decides(severity: str, fixed: str, outcome: Outcome) -> None:
    found = verdict(report("nova:2026.1", hole("CVE-1-1", severity=severity, fixed=fixed)))
    assert found.judgements[0].outcome is outcome
    assert found.is_passed is (outcome is not Outcome.FAILED)


def test_reason_and_remedy_name_rule_line_and_version() -> None:
    item = only(report("nova:2026.1", hole("CVE-1-1")))
    assert item.reason == "high, fixed in 3.0, public for 326 days (rule 1 of prod)"
    assert (item.origin, item.layer, item.remedy) == ("lock:7", "layer 3: shared", "Take 3.0.")


@pytest.mark.parametrize(
    ("published", "outcome"),
    [
        (NOW - timedelta(days=14), Outcome.PASSED),
        (NOW - timedelta(days=14, seconds=1), Outcome.FAILED),
        (NOW + timedelta(days=3), Outcome.PASSED),
        (None, Outcome.FAILED),
    ],
    ids=["on its last day", "a second later", "not yet public", "no day known"],
)
def test_a_hole_counts_from_a_certain_age(published: datetime | None, outcome: Outcome) -> None:
    rules = policy(vulnerabilities=[{"severity": ["high"], "olderThan": "14d", "action": "fail"}])
    day = published.isoformat() if published else ""
    assert only(report("nova:2026.1", replace(hole("CVE-1-1"), published=day)), rules).outcome is outcome


def test_a_rule_may_be_about_one_kind_of_packages() -> None:
    rules = policy(vulnerabilities=[{"severity": ["high"], "packages": ["debian"], "action": "fail"}])
    python = hole("CVE-1-1")
    assert only(report("nova:2026.1", python), rules).outcome is Outcome.PASSED
    assert only(report("nova:2026.1", replace(python, kind=PackageKind.DEBIAN)), rules).outcome is Outcome.FAILED


def test_no_policy_and_no_exception_lets_a_secret_pass() -> None:
    found = replace(report("nova:2026.1"), secrets=(SECRET,))
    item = only(found, policy(vulnerabilities=[]), exemption(id="AWS-ACCESS-KEY-ID", package=None))
    assert (item.outcome, item.subject) == (Outcome.FAILED, "/etc/x.conf:3")
    assert "give the secret another value" in item.remedy


@pytest.mark.parametrize(
    ("rule", "outcome"),
    [
        ({"names": ["AGPL-3.0-only"], "action": "fail"}, Outcome.FAILED),
        ({"categories": ["forbidden"], "action": "warn"}, Outcome.WARNED),
        ({"categories": ["forbidden"], "packages": ["debian"], "action": "fail"}, None),
        ({"names": ["MIT"], "action": "fail"}, None),
    ],
)
def test_licences_are_judged_by_name_and_category(rule: dict[str, Any], outcome: Outcome | None) -> None:
    found = verdict(replace(report("nova:2026.1"), licences=(GPL,)), policy(licences=[rule]))
    assert [item.outcome for item in found.judgements] == ([outcome] if outcome else [])


def test_misconfiguration_is_judged_by_severity_and_can_be_excepted() -> None:
    found = replace(report("nova:2026.1"), misconfigurations=(ROOT,))
    rules = policy(misconfigurations=[{"severity": ["high"], "action": "fail"}])
    assert only(found, rules).outcome is Outcome.FAILED
    assert only(found, rules).remedy == "Add USER."
    assert only(found, rules, exemption(id="DS-0002", package=None)).outcome is Outcome.EXCEPTED


def test_an_exception_holds_until_the_very_midnight() -> None:
    found, ends = report("nova:2026.1", hole("CVE-1-1")), datetime(2026, 12, 24, tzinfo=UTC)
    before = only(found, POLICY, exemption(), now=ends - timedelta(microseconds=1))
    assert before.outcome is Outcome.EXCEPTED
    assert before.reason == f"Ann answers for it until 2026-12-24: not ours ({PLACE})"
    after = only(found, POLICY, exemption(), now=ends)
    assert after.outcome is Outcome.FAILED
    assert after.reason.endswith(f"its exception at {PLACE} ended on 2026-12-24")


@pytest.mark.parametrize(
    ("changes", "covers"),
    [
        ({}, True),
        ({"images": ["nova"]}, True),
        ({"images": ["nova:2026.1"]}, True),
        ({"images": ["nova:2025.1"]}, False),
        ({"images": ["neutron"]}, False),
        ({"policies": ["prod", "dev"]}, True),
        ({"policies": ["dev"]}, False),
        ({"package": "urllib3"}, False),
        ({"id": "CVE-1-2"}, False),
    ],
)
def test_an_exception_is_only_about_what_it_names(changes: dict[str, Any], *, covers: bool) -> None:
    item = only(report("nova:2026.1", hole("CVE-1-1")), POLICY, exemption(**changes))
    assert (item.outcome is Outcome.EXCEPTED) is covers


@pytest.mark.parametrize(
    ("age", "when", "outcome", "reasons"),
    [
        (timedelta(hours=24), "refuse", Outcome.PASSED, ()),
        (timedelta(hours=25), "refuse", Outcome.ERRORED, ("the database is 25 hours old, 24h are allowed",)),
        (timedelta(days=3), "warn", Outcome.PASSED, ("the database is 3 days old, 24h are allowed",)),
        (None, "refuse", Outcome.ERRORED, ("the database does not say how old it is",)),
    ],
)
def test_a_stale_database_is_never_silent(
    age: timedelta | None, when: str, outcome: Outcome, reasons: tuple[str, ...]
) -> None:
    found = report("nova:2026.1")
    updated = (NOW - age).isoformat() if age is not None else "0001-01-01T00:00:00Z"
    key = replace(found.key, database=replace(found.key.database, updated=updated))
    judged = verdict(replace(found, key=key), policy(database={"maxAge": "24h", "whenStale": when}))
    assert (judged.outcome, judged.reasons) == (outcome, reasons)
    assert judged.is_passed is (outcome is Outcome.PASSED)


def test_a_hole_that_does_not_touch_the_image_needs_nothing() -> None:
    case = Case(
        report("nova:2026.1", hole("CVE-1-1")), Rules(POLICY, (), ""), {}, {("CVE-1-1", "requests"): "renumbered"}, NOW
    )
    (item,) = judge(case).judgements
    assert (item.outcome, item.reason, item.remedy) == (Outcome.NOT_AFFECTED, "renumbered", "")


def test_exceptions_that_nothing_needs_are_named() -> None:
    elsewhere = exemption(id="CVE-9-8", images=["heat"])
    placed = ((exemption(), "x:1"), (exemption(id="CVE-9-9"), "x:2"), (elsewhere, "x:3"))
    rules = Rules(POLICY, placed, "")
    assert unused(rules, [report("nova:2026.1", hole("CVE-1-1"))]) == [
        "x:2: nothing needs the exception for CVE-9-9; remove it"
    ]


def test_the_layer_is_that_of_the_finding() -> None:
    origins = {"python requests": Origin("lock:7", "wrong", ""), f"layer {LAYER}": Origin("", "layer 2: right", "")}
    case = Case(report("nova:2026.1", hole("CVE-1-1")), Rules(POLICY, (), ""), origins, {}, NOW)
    assert judge(case).judgements[0].layer == "layer 2: right"


@pytest.mark.parametrize(
    ("age", "told"),
    [(timedelta(minutes=7), "7 minutes"), (timedelta(hours=47), "47 hours"), (timedelta(days=2), "2 days")],
)
def test_ages_are_told_in_their_largest_unit(age: timedelta, told: str) -> None:
    assert describe(age) == told


def test_moments_that_say_nothing_are_none() -> None:
    assert parse_moment("") is None
    assert parse_moment("0001-01-01T00:00:00Z") is None
    assert parse_moment("2026-11-23") == NOW
    assert parse_moment("2026-11-23T00:00:00Z") == NOW


def test_verdict_names_the_digests_of_what_it_is_made_from() -> None:
    found = report("nova:2026.1")
    content = verdict(found).to_dict()
    assert content["digest"] == found.key.digest
    assert content["report"] == found.digest
    assert (content["kind"], content["policy"], content["database"]) == ("Verdict", "prod", found.key.database.digest)


def test_exception_ends_at_the_beginning_of_its_day() -> None:
    assert exemption(expires=date(2026, 12, 24)).ends == datetime(2026, 12, 24, tzinfo=UTC)
