# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit.scan.gate import Case, Judgement, Outcome, Verdict, describe, judge, parse_moment, unused
from buildkit.scan.origin import Origin
from buildkit.scan.policy import Exemption, Policy, Rules
from buildkit.scan.report import PackageKind, ScanReport, Severity
from tests.fakes.scanned import LAYER, NOW, POLICY, hole, report
from tests.fakes.scans import GPL, ROOT, SECRET, exemption, policy

PLACE = "policies/exceptions.yaml:5"
DOCKERFILES = [{"severity": ["high"], "action": "fail"}]


def verdict(found: ScanReport, rules: Policy = POLICY, *exemptions: Exemption, now: datetime = NOW) -> Verdict:
    placed = tuple((item, PLACE) for item in exemptions)
    advice = "Raise the override in series.yaml:25 to {version}."
    origins = {"python requests": Origin("service.yaml:10 (lock:7)", "layer 3: shared", advice)}
    return judge(Case(found, Rules(rules, placed, "sha256:0"), origins, {}, now))


def only(found: ScanReport, rules: Policy = POLICY, *exemptions: Exemption, now: datetime = NOW) -> Judgement:
    (judgement,) = verdict(found, rules, *exemptions, now=now).judgements
    return judgement


@given(st.permutations([hole(f"CVE-1-{n}", fixed="3" * (n % 2), severity=list(Severity)[n % 5]) for n in range(8)]))
def test_verdict_is_the_same_in_whatever_order_findings_come(holes: list[Any]) -> None:
    first = verdict(report("nova:2026.1", *sorted(holes)))
    again = verdict(report("nova:2026.1", *holes))
    assert first == again


@given(st.randoms(use_true_random=False))
def test_verdict_over_findings_of_all_kinds_has_no_order(chance: Random) -> None:
    def shuffled(items: list[Any]) -> tuple[Any, ...]:
        return tuple(chance.sample(items, len(items)))

    rules = policy(licences=[{"categories": ["forbidden"], "action": "fail"}], misconfigurations=DOCKERFILES)
    found = replace(
        report("nova:2026.1", *shuffled([hole(f"CVE-1-{n}") for n in range(3)])),
        secrets=shuffled([SECRET, replace(SECRET, line=9)]),
        licences=shuffled([GPL, replace(GPL, package="urllib3")]),
        misconfigurations=shuffled([ROOT, replace(ROOT, id="DS-0026")]),
    )
    exemptions = shuffled([exemption(), exemption(id="CVE-1-2"), exemption(id="DS-0002", package=None)])
    judged = verdict(found, rules, *exemptions)
    assert judged == verdict(found.sorted(), rules, *sorted(exemptions, key=lambda item: item.id))
    assert Counter(item.outcome for item in judged.judgements) == {Outcome.FAILED: 6, Outcome.EXCEPTED: 3}


@pytest.mark.parametrize(
    ("rules", "outcome"),
    [
        ([{"severity": ["high"], "action": "pass"}, {"severity": ["high"], "action": "fail"}], Outcome.PASSED),
        ([{"severity": ["high"], "action": "fail"}, {"severity": ["high"], "action": "pass"}], Outcome.FAILED),
        ([{"severity": ["low"], "action": "fail"}, {"severity": ["high"], "action": "warn"}], Outcome.WARNED),
        ([], Outcome.PASSED),
    ],
)
def test_a_later_rule_changes_nothing(rules: list[dict[str, Any]], outcome: Outcome) -> None:
    assert only(report("nova:2026.1", hole("CVE-1-1")), policy(vulnerabilities=rules)).outcome is outcome
    found = replace(report("nova:2026.1"), misconfigurations=(ROOT,))
    assert only(found, policy(misconfigurations=rules)).outcome is outcome


@pytest.mark.parametrize(("fix", "failing"), [("available", ["3.0"]), ("none", [""]), ("any", ["", "3.0"])])
def test_a_rule_may_ask_whether_there_is_a_fix(fix: str, failing: list[str]) -> None:
    rules = policy(vulnerabilities=[{"severity": ["high"], "fix": fix, "action": "fail"}])
    items = {fixed: only(report("nova:2026.1", hole("CVE-1-1", fixed=fixed)), rules) for fixed in ("", "3.0")}
    assert [fixed for fixed, item in items.items() if item.outcome is Outcome.FAILED] == failing


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
    assert (item.origin, item.layer) == ("service.yaml:10 (lock:7)", "layer 3: shared")
    assert item.remedy == "Raise the override in series.yaml:25 to 3.0."


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
    excused = exemption(id=SECRET.rule, package=None, justification="component_not_present")
    assert not verdict(found, policy(vulnerabilities=[]), excused).is_passed
    item = only(found, policy(vulnerabilities=[]), excused)
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
    rules = policy(misconfigurations=DOCKERFILES)
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
    ],
)
def test_a_stale_database_is_never_silent(
    age: timedelta, when: str, outcome: Outcome, reasons: tuple[str, ...]
) -> None:
    found = report("nova:2026.1")
    key = replace(found.key, database=replace(found.key.database, updated=(NOW - age).isoformat()))
    judged = verdict(replace(found, key=key), policy(database={"maxAge": "24h", "whenStale": when}))
    assert (judged.outcome, judged.reasons) == (outcome, reasons)
    assert judged.is_passed is (outcome is Outcome.PASSED)


@pytest.mark.parametrize("updated", ["", "yesterday", "0001-01-01T00:00:00Z"])
def test_a_database_without_an_age_is_no_fresh_one(updated: str) -> None:
    found = report("nova:2026.1")
    key = replace(found.key, database=replace(found.key.database, updated=updated))
    told = ("the database does not say how old it is",)
    refused = verdict(replace(found, key=key), policy(database={"whenStale": "refuse"}))
    assert (refused.outcome, refused.reasons, refused.is_passed) == (Outcome.ERRORED, told, False)
    assert verdict(replace(found, key=key), policy(database={"whenStale": "warn"})).reasons == told


def test_a_stale_database_is_an_error_even_when_a_rule_says_no() -> None:
    late = NOW + timedelta(days=9)
    judged = verdict(report("nova:2026.1", hole("CVE-1-1")), now=late)
    assert (judged.outcome, judged.is_passed) == (Outcome.ERRORED, False)
    stale, failed = judged.reasons
    assert stale == "the database is 9 days old, 24h are allowed"
    assert failed.startswith("CVE-1-1 in requests 2.0: high, fixed in 3.0")
    warned = verdict(report("nova:2026.1", hole("CVE-1-1")), policy(database={"whenStale": "warn"}), now=late)
    assert (warned.outcome, len(warned.reasons)) == (Outcome.FAILED, 2)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_only_what_passed_may_go_on(outcome: Outcome) -> None:
    assert replace(verdict(report("nova:2026.1")), outcome=outcome).is_passed is (outcome is Outcome.PASSED)


def test_an_exception_speaks_for_a_warning_and_leaves_what_passes() -> None:
    warned = report("nova:2026.1", hole("CVE-1-1", fixed=""))
    assert only(warned, POLICY, exemption()).outcome is Outcome.EXCEPTED
    assert only(report("nova:2026.1", hole("CVE-1-1", severity="low")), POLICY, exemption()).outcome is Outcome.PASSED


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


def test_exceptions_that_licences_and_dockerfiles_need_are_not_named() -> None:
    licence = replace(GPL, name="BSD-4-Clause")
    found = replace(report("nova:2026.1"), licences=(licence,), misconfigurations=(ROOT,))
    needed = (exemption(id="BSD-4-Clause"), exemption(id="DS-0002", package=None))
    rules = policy(licences=[{"names": ["BSD-4-Clause"], "action": "fail"}], misconfigurations=DOCKERFILES)
    assert {item.outcome for item in verdict(found, rules, *needed).judgements} == {Outcome.EXCEPTED}
    placed = tuple((item, PLACE) for item in needed)
    assert unused(Rules(rules, placed, ""), [found]) == []
    assert len(unused(Rules(rules, placed, ""), [report("nova:2026.1")])) == 2


def test_the_origin_is_that_of_the_version() -> None:
    origins = {"python requests": Origin("lock:7"), "python requests 2.0": Origin("lock:9, inside setuptools")}
    case = Case(report("nova:2026.1", hole("CVE-1-1")), Rules(POLICY, (), ""), origins, {}, NOW)
    assert judge(case).judgements[0].origin == "lock:9, inside setuptools"


def test_a_database_from_the_future_is_never_fresh() -> None:
    found = report("nova:2026.1")
    for ahead, outcome in ((timedelta(hours=1), Outcome.PASSED), (timedelta(hours=2), Outcome.ERRORED)):
        key = replace(found.key, database=replace(found.key.database, updated=(NOW + ahead).isoformat()))
        assert verdict(replace(found, key=key)).outcome is outcome


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
