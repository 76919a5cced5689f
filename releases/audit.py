# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Decides every recorded promotion again, from the records alone, and says where they do not bear each other out. Pure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from releases import gates
from releases.facts import Approval, Candidate, Facts, Source
from releases.gates import Decision
from releases.promotion import NEVER_OVERRIDDEN, Author, PromotionPlan, present_of, sights_of, source_of, summary
from releases.records import Chain, Entry, Kind, Pin
from releases.version import ReleaseVersion
from stackway.console import Table
from stackway.errors import StackwayError, WrongInputError
from stackway.files import canonical_json

Describe = Callable[[str], Mapping[str, str] | None]
Propose = Callable[[str], Candidate | None]


@dataclass(frozen=True)
class Finding:
    """What came of looking at one record again; `problems` is empty when everything bears it out."""

    environment: str
    version: int
    kind: str
    release: str
    at: str
    signers: tuple[str, ...]
    problems: tuple[str, ...]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Audit:
    """What came of all records of an environment."""

    environment: str
    findings: tuple[Finding, ...]

    @property
    def is_good(self) -> bool:
        """Whether every record is borne out."""
        return not any(item.problems for item in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {"apiVersion": "stackway/v1", "kind": "EvidenceAudit", **asdict(self)}

    def to_table(self) -> Table:
        """Return the audit for people."""
        rows = [
            (
                str(item.version),
                item.kind,
                item.release,
                item.at,
                ", ".join(item.signers),
                "; ".join(item.problems) or "; ".join(("borne out", *item.remarks)),
            )
            for item in self.findings
        ]
        return Table(("NO", "RECORD", "RELEASE", "AT", "SIGNED BY", "RESULT"), rows, right=("NO",))


def audit(chain: Chain, others: Mapping[str, Chain], images: Describe, candidates: Propose | None = None) -> Audit:
    """Return what the records of an environment come to when everything is decided again.

    `others` are the chains of the environments they refer to. `images` returns image → digest of a release by its digest,
    `candidates` what gates ask about it; None for a release that is not at hand.
    """
    findings, earlier = [], None
    for entry in chain.entries:
        before = chain.until(entry.record.version - 1)
        problems, remarks = list(_look(entry, before)), [entry.note] if entry.note else []
        if entry.record.kind is Kind.PROMOTION and (decision := _decision(entry)):
            facts = decision.facts
            problems += [*_decided(entry, decision), *_facts(entry, facts, before, others)]
            problems += [*_check_scan(facts, images), *_check_candidate(facts, candidates)]
            remarks += [*_overrides(decision), *_unknown(facts, images), *_noted(facts, before, others)]
            remarks += _overlooked(facts.source, entry.record.at, others) if facts.source else []
            remarks += _changed(earlier, facts) if earlier else []
            earlier = facts
        findings.append(_finding(entry, problems, remarks))
    return Audit(chain.environment, tuple(findings))


def _finding(entry: Entry, problems: list[str], remarks: list[str]) -> Finding:
    record = entry.record
    names = tuple(key.name for key in entry.signers)
    return Finding(
        record.environment,
        record.version,
        str(record.kind),
        record.about.version,
        record.at,
        names,
        tuple(problems),
        tuple(remarks),
    )


def _look(entry: Entry, before: Chain) -> Iterator[str]:
    record = entry.record
    if record.kind is Kind.PROMOTION:
        if _decision(entry) is None:
            yield "its decision cannot be read"
    elif record.kind is Kind.ROLLBACK:
        if record.pin is None or record.pin != record.about or before.has_pinned(record.pin.digest) is None:
            yield "it goes to a release that was never here"
    elif record.pin != before.pin:
        yield f"a record of kind {record.kind} moves the pin"
    elif record.kind is not Kind.APPROVAL and record.about != record.pin:
        yield "it is about another release than the pin"


def _decision(entry: Entry) -> Decision | None:
    try:
        return gates.read_decision(entry.record.decision or {})
    except WrongInputError:
        return None


def _decided(entry: Entry, decision: Decision) -> Iterator[str]:
    """Yield what is wrong with the decision by itself, whatever other records say."""
    record = entry.record
    if canonical_json(decision.to_dict()) != canonical_json(record.decision):
        yield "its decision says more or other things than a decision does"
    try:
        again = gates.decide(decision.facts)
    except (StackwayError, ValueError, TypeError) as error:
        yield f"its facts cannot be decided: {str(error).splitlines()[0]}"
        return
    if again.results != decision.results:
        yield f"decided again, the gates say otherwise: {_told(again)}"
    refused = {item.gate for item in again.refusals}
    if refused and (not decision.override or refused & NEVER_OVERRIDDEN):
        yield f"it was written although gates refused: {', '.join(sorted(refused))}"
    todo = PromotionPlan(record.environment, record.about, decision, record.reason)
    if record.summary != summary(todo, Author(record.actor, datetime.fromisoformat(record.at), record.reason)).digest:
        yield "its summary is of another decision"


def _told(decision: Decision) -> str:
    return "; ".join(f"{item.gate} {item.outcome}" for item in decision.results)


def _facts(entry: Entry, facts: Facts, before: Chain, others: Mapping[str, Chain]) -> Iterator[str]:
    """Yield the facts that other records do not bear out."""
    record, candidate = entry.record, facts.candidate
    own = (record.environment, record.at, record.previous, record.about)
    if own != (facts.environment, facts.at, facts.head, Pin(candidate.version, candidate.digest)):
        yield "its facts are about another record"
    if ReleaseVersion.parse(record.about.version).series != candidate.series:
        yield f"it says that {record.about.version} is of series {candidate.series}"
    if facts.present != present_of(before):
        yield "it says that another release was here before"
    if set(facts.approvals) - _approvals(before, candidate.digest).keys():
        yield "its approvals are not on record"
    if facts.source:
        yield from _source(facts.source, others)
    for item in facts.ancestors:
        chain = others.get(item.environment)
        entry_there = chain.has_pinned(candidate.digest) if chain else None
        if item.record and (entry_there is None or entry_there.digest != item.record):
            yield f"that it was in {item.environment} is not on record there"


def _approvals(before: Chain, digest: str) -> dict[Approval, str]:
    """Return the approvals on record, each with the note on its key: who may approve today, might not then."""
    return {
        Approval(key.id, item.record.at, item.digest): item.note
        for item in before.since_move(Kind.APPROVAL)
        if item.record.about.digest == digest
        for key in item.signers
    }


def _source(source: Source, others: Mapping[str, Chain]) -> Iterator[str]:
    chain = others.get(source.name)
    if chain is None or not 0 < source.version <= chain.version:
        yield f"the records of {source.name} are not at hand"
        return
    there = chain.until(source.version)
    known = source_of(there)
    # Whose good news counted then may not count today: it may be among the facts. What counts today must be.
    sights = tuple(sight for sight, counts in sights_of(there) if counts or sight in source.sights)
    if known is None or replace(known, sights=sights) != source:
        yield f"what it says of {source.name} is not on record there"


def _check_scan(facts: Facts, images: Describe) -> Iterator[str]:
    """Yield what is wrong with the images that were judged: they must be those of the release, all of them."""
    judged = [(item.image, item.digest) for item in facts.scan.images] if facts.scan and facts.scan.images else None
    release = images(facts.candidate.digest)
    if judged is not None and release is not None and sorted(judged) != sorted(release.items()):
        yield "other images were judged than those of the release"


def _check_candidate(facts: Facts, candidates: Propose | None) -> Iterator[str]:
    release = candidates(facts.candidate.digest) if candidates else None
    if release is not None and release != facts.candidate:
        yield "it describes the release otherwise than the release itself"


def _overrides(decision: Decision) -> Iterator[str]:
    refused = ", ".join(item.gate for item in decision.refusals)
    if decision.override and refused:
        yield f"overridden ({refused}): {decision.override}"


def _unknown(facts: Facts, images: Describe) -> Iterator[str]:
    if images(facts.candidate.digest) is None:
        yield "the release is not at hand, so its images were not compared"


def _noted(facts: Facts, before: Chain, others: Mapping[str, Chain]) -> Iterator[str]:
    """Yield which approvals and observations a key made that may not do so today; whether it might then, people know."""
    known = _approvals(before, facts.candidate.digest)
    for item in facts.approvals:
        if note := known.get(item):
            yield f"an approval is {note}"
    chain = others.get(facts.source.name) if facts.source else None
    used = {item.record for item in facts.source.sights if item.healthy} if facts.source else set()
    for entry in chain.entries if chain else ():
        if entry.note and entry.digest in used:
            yield f"an observation (record {entry.record.version} of {entry.record.environment}) is {entry.note}"


def _overlooked(source: Source, at: str, others: Mapping[str, Chain]) -> Iterator[str]:
    """Yield the source's first record that was there and is not among the facts; it may not have come over the air gap yet."""
    chain = others.get(source.name)
    for item in chain.entries[max(source.version, 0) :][:1] if chain else ():
        if datetime.fromisoformat(at) - datetime.fromisoformat(item.record.at) > gates.CLOCKS_DIFFER:
            yield f"it was decided without record {item.record.version} of {source.name}, of {item.record.at}"


def _changed(earlier: Facts, facts: Facts) -> Iterator[str]:
    """Yield in what the gates were others than at the promotion before: what was asked then, only people know."""
    if names := sorted(
        name for name in {*earlier.gates, *facts.gates} if earlier.gates.get(name) != facts.gates.get(name)
    ):
        yield f"gates changed since the promotion before: {', '.join(names)}"
    was, now = (item.source.name if item.source else "nowhere" for item in (earlier, facts))
    if was != now:
        yield f"it comes from {now}, the promotion before came from {was}"
