# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Judges a report by an environment's rules. Pure: the same report, rules and moment give the same verdict, in any order.

*Failed* means that a rule said no; *errored* that it could not be told, because the database was too old to ask.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from buildkit.scan.origin import Origin
from buildkit.scan.policy import Exemption, Policy, Rules, seconds
from buildkit.scan.report import Licence, Misconfiguration, ScanReport, Secret, Severity, Vulnerability

Finding = Vulnerability | Secret | Licence | Misconfiguration


class Outcome(StrEnum):
    """What is said of an image, or of one finding."""

    PASSED = "passed"
    WARNED = "warned"
    EXCEPTED = "excepted"
    NOT_AFFECTED = "not affected"
    FAILED = "failed"
    ERRORED = "errored"


_CLOCKS_DIFFER = timedelta(hours=1)
_BY_ACTION = {"fail": Outcome.FAILED, "warn": Outcome.WARNED, "pass": Outcome.PASSED}


@dataclass(frozen=True, order=True)
class Judgement:
    """What is said of one finding, why, where the finding comes from, and what would mend it."""

    category: str
    id: str
    subject: str
    severity: Severity
    outcome: Outcome
    reason: str
    origin: str
    layer: str
    remedy: str
    fixed: str = ""
    title: str = ""


@dataclass(frozen=True)
class Verdict:
    """What is said of one image under one policy, with the digests of all it was made from."""

    image: str
    digest: str
    report: str
    policy: str
    rules: str
    scanner: str
    database: str
    outcome: Outcome
    reasons: tuple[str, ...]
    judgements: tuple[Judgement, ...]

    @property
    def is_passed(self) -> bool:
        """Whether the image may go on."""
        return self.outcome is Outcome.PASSED

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {"apiVersion": "stackway/v1", "kind": "Verdict", **asdict(self)}


@dataclass(frozen=True)
class Case:
    """All that a verdict depends on: report, rules, package → origin, holes that do not touch it (id, package → why), time."""

    report: ScanReport
    rules: Rules
    origins: Mapping[str, Origin]
    not_affected: Mapping[tuple[str, str], str]
    now: datetime


def judge(case: Case) -> Verdict:
    """Return the verdict over one image."""
    report, policy = case.report.sorted(), case.rules.policy
    findings: list[Finding] = [*report.vulnerabilities, *report.secrets, *report.licences, *report.misconfigurations]
    judgements = tuple(sorted(judgement for item in findings if (judgement := _judge(case, item))))
    errors = tuple(_stale(case)) if policy.database.when_stale == "refuse" else ()
    warnings = tuple(_stale(case)) if policy.database.when_stale == "warn" else ()
    failed = tuple(
        f"{item.id} in {item.subject}: {item.reason}" for item in judgements if item.outcome is Outcome.FAILED
    )
    outcome = Outcome.ERRORED if errors else Outcome.FAILED if failed else Outcome.PASSED
    return Verdict(
        report.image,
        report.key.digest,
        report.digest,
        policy.name,
        case.rules.digest,
        report.key.scanner,
        report.key.database.digest,
        outcome,
        (*errors, *failed, *warnings),
        judgements,
    )


def unused(rules: Rules, reports: Sequence[ScanReport]) -> list[str]:
    """Return a warning for each exception that no finding of these images needs."""
    seen = {
        *((item.id, item.package, report.image) for report in reports for item in report.vulnerabilities),
        *((item.name, item.package, report.image) for report in reports for item in report.licences),
        *((item.id, "", report.image) for report in reports for item in report.misconfigurations),
    }
    images = [report.image for report in reports]
    return [
        f"{place}: nothing needs the exception for {item.id}; remove it"
        for item, place in rules.exceptions
        if any(item.covers(image, rules.policy.name) for image in images)
        and not any(
            id_ == item.id and package == (item.package or "") and item.covers(image, rules.policy.name)
            for id_, package, image in seen
        )
    ]


def _stale(case: Case) -> Iterable[str]:
    limit, updated = case.rules.policy.database.max_age, case.report.key.database.updated
    moment = parse_moment(updated)
    if moment is None:
        yield "the database does not say how old it is"
    elif moment > case.now + _CLOCKS_DIFFER:
        yield f"the database is from {updated}, which is yet to come: a clock is wrong, here or where it was made"
    elif case.now - moment > seconds(limit):
        yield f"the database is {describe(case.now - moment)} old, {limit} are allowed"


def parse_moment(text: str) -> datetime | None:
    """Return a moment in ISO 8601, or None when `text` is none or says nothing."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None if moment.year <= 1 else moment


def describe(age: timedelta) -> str:
    """Return an age for people, in its largest unit."""
    minutes = int(age.total_seconds() // 60)
    for words, size in (("days", 48 * 60), ("hours", 60)):
        if minutes >= size:
            return f"{minutes // (24 * 60 if words == 'days' else 60)} {words}"
    return f"{minutes} minutes"


def _judge(case: Case, item: Finding) -> Judgement | None:
    outcome, reason = _decide(case, item)
    if isinstance(item, Licence) and outcome is Outcome.PASSED:
        return None  # Hundreds of licences that no rule is about are contents of an image, no findings.
    origin = _origin(case, item)
    subject = _subject(item)
    severity = Severity.UNKNOWN if isinstance(item, Licence) else item.severity
    id_, fixed = _id(item), item.fixed if isinstance(item, Vulnerability) else ""
    title = "" if isinstance(item, Licence) else item.title
    remedy = "" if outcome in {Outcome.PASSED, Outcome.NOT_AFFECTED} else _remedy(item, origin)
    return Judgement(
        type(item).__name__.lower(),
        id_,
        subject,
        severity,
        outcome,
        reason,
        origin.place,
        origin.layer,
        remedy,
        fixed,
        title,
    )


def _decide(case: Case, item: Finding) -> tuple[Outcome, str]:
    if isinstance(item, Secret):
        return Outcome.FAILED, f"a secret in {item.path}, line {item.line}; no rule and no exception allows one"
    if isinstance(item, Vulnerability) and (why := case.not_affected.get((item.id, item.package))):
        return Outcome.NOT_AFFECTED, why
    outcome, reason = _by_rules(case, item)
    found = _exemption(case, item)
    if outcome is Outcome.PASSED or found is None:
        return outcome, reason
    exemption, place = found
    if exemption.ends <= case.now:
        return outcome, f"{reason}; its exception at {place} ended on {exemption.expires}"
    return Outcome.EXCEPTED, f"{exemption.owner} answers for it until {exemption.expires}: {exemption.reason} ({place})"


def _by_rules(case: Case, item: Vulnerability | Licence | Misconfiguration) -> tuple[Outcome, str]:
    policy = case.rules.policy
    if isinstance(item, Vulnerability):
        return _vulnerability(policy, item, case.now)
    if isinstance(item, Licence):
        return _licence(policy, item)
    for number, rule in enumerate(policy.misconfigurations, 1):
        if item.severity in rule.severity:
            return _BY_ACTION[rule.action], f"{item.severity} misconfiguration (rule {number} of {policy.name})"
    return Outcome.PASSED, f"no rule of {policy.name} is about it"


def _vulnerability(policy: Policy, item: Vulnerability, now: datetime) -> tuple[Outcome, str]:
    published = parse_moment(item.published)
    for number, rule in enumerate(policy.vulnerabilities, 1):
        matches = (
            item.severity in rule.severity
            and rule.fix in {"any", "available" if item.fixed else "none"}
            and (not rule.packages or item.kind in rule.packages)
        )
        age = seconds(rule.older_than)
        is_young = bool(age and published and now - published <= age)
        if not matches or is_young:
            continue
        fix = f"fixed in {item.fixed}" if item.fixed else "no fix"
        since = f", public for {describe(now - published)}" if published and published < now else ""
        return _BY_ACTION[rule.action], f"{item.severity}, {fix}{since} (rule {number} of {policy.name})"
    return Outcome.PASSED, f"no rule of {policy.name} is about it"


def _licence(policy: Policy, item: Licence) -> tuple[Outcome, str]:
    for number, rule in enumerate(policy.licences, 1):
        if rule.packages and item.kind not in rule.packages:
            continue
        if item.name in rule.names or item.category in rule.categories:
            return _BY_ACTION[rule.action], f"{item.name} is {item.category} (licence rule {number} of {policy.name})"
    return Outcome.PASSED, f"no rule of {policy.name} is about it"


def _exemption(case: Case, item: Finding) -> tuple[Exemption, str] | None:
    for exemption, place in case.rules.exceptions:
        same = exemption.id == _id(item) and (exemption.package or "") == _package(item)
        if same and exemption.covers(case.report.image, case.rules.policy.name):
            return exemption, place
    return None


def _package(item: Finding) -> str:
    return item.package if isinstance(item, Vulnerability | Licence) else ""


def _id(item: Finding) -> str:
    match item:
        case Secret():
            return item.rule
        case Licence():
            return item.name
        case _:
            return item.id


def _subject(item: Finding) -> str:
    match item:
        case Vulnerability():
            return f"{item.package} {item.version}"
        case Secret():
            return f"{item.path}:{item.line}"
        case Licence():
            return item.package
        case Misconfiguration():
            return f"Dockerfile:{item.line}"


def _origin(case: Case, item: Finding) -> Origin:
    match item:
        case Vulnerability():
            name = f"{item.kind} {item.package}"
            origin = case.origins.get(f"{name} {item.version}") or case.origins.get(name, Origin())
            layer = case.origins.get(f"layer {item.layer}")
            return replace(origin, layer=layer.layer) if layer else origin
        case Licence():
            return case.origins.get(f"{item.kind} {item.package}", Origin())
        case Secret():
            return case.origins.get(f"file {item.path}", Origin())
        case Misconfiguration():
            return case.origins.get("Dockerfile", Origin())


def _remedy(item: Finding, origin: Origin) -> str:
    match item:
        case Vulnerability():
            return origin.remedy(item.fixed)
        case Secret():
            return f"Take it out of {origin.place or item.path}, build again, and give the secret another value: it is known."
        case Licence():
            return (
                f"Use another package, or change the policy's rule. It comes from {origin.place or 'an unknown place'}."
            )
        case Misconfiguration():
            return item.resolution
