# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Decides every recorded promotion again, from the records alone, and says where they do not bear each other out. Pure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from releases import gates
from releases.facts import Facts
from releases.gates import Decision
from releases.promotion import NEVER_OVERRIDDEN, present_of, source_of
from releases.records import Chain, Entry, Kind
from stackway.console import Table
from stackway.errors import StackwayError

Describe = Callable[[str], Mapping[str, str] | None]


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


def audit(chain: Chain, others: Mapping[str, Chain], images: Describe) -> Audit:
    """Return what the records of an environment come to when everything is decided again.

    `others` are the chains of the environments they refer to. `images` returns image → digest of a release by its digest,
    None for one that is not at hand.
    """
    findings = []
    for entry in chain.entries:
        before = chain.until(entry.record.version - 1)
        problems, remarks = list(_look(entry, before, others)), [entry.note] if entry.note else []
        if entry.record.kind is Kind.PROMOTION:
            problems += _check_scan(entry, images)
            remarks += _overrides(entry)
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


def _look(entry: Entry, before: Chain, others: Mapping[str, Chain]) -> Iterator[str]:
    record = entry.record
    if record.kind is Kind.PROMOTION:
        yield from _promotion(entry, before, others)
    elif record.kind is Kind.ROLLBACK:
        if record.pin is None or record.pin != record.about or before.has_pinned(record.pin.digest) is None:
            yield "it goes to a release that was never here"
    elif record.pin != before.pin:
        yield f"a record of kind {record.kind} moves the pin"
    elif record.kind is not Kind.APPROVAL and record.about != record.pin:
        yield "it is about another release than the pin"


def _promotion(entry: Entry, before: Chain, others: Mapping[str, Chain]) -> Iterator[str]:
    record = entry.record
    try:
        decision = gates.read_decision(record.decision or {})
        again = gates.decide(decision.facts)
    except (StackwayError, ValueError, TypeError) as error:
        yield f"its decision cannot be read: {error}"
        return
    if again.results != decision.results:
        yield f"decided again, the gates say otherwise: {_told(again)}"
    refused = {item.gate for item in again.refusals}
    if refused and (not decision.override or refused & NEVER_OVERRIDDEN):
        yield f"it was written although gates refused: {', '.join(sorted(refused))}"
    yield from _facts(entry, decision.facts, before, others)


def _told(decision: Decision) -> str:
    return "; ".join(f"{item.gate} {item.outcome}" for item in decision.results)


def _facts(entry: Entry, facts: Facts, before: Chain, others: Mapping[str, Chain]) -> Iterator[str]:
    """Yield the facts that other records do not bear out."""
    record = entry.record
    own = (record.environment, record.at, record.previous, record.pin and record.pin.digest, record.about)
    said = (facts.environment, facts.at, facts.head, facts.candidate.digest, record.pin)
    if own != said:
        yield "its facts are about another record"
    if facts.present != present_of(before):
        yield "it says that another release was here before"
    # By key and record: who may approve today is another question than who might then.
    known = {
        (key.id, item.digest)
        for item in before.since_move(Kind.APPROVAL)
        for key in item.signers
        if _agrees(item, facts)
    }
    if {(item.key, item.record) for item in facts.approvals} - known:
        yield "its approvals are not on record"
    if facts.source:
        yield from _source(facts, others)
    for item in facts.ancestors:
        chain = others.get(item.environment)
        entry_there = chain.has_pinned(facts.candidate.digest) if chain else None
        if item.record and (entry_there is None or entry_there.digest != item.record):
            yield f"that it was in {item.environment} is not on record there"


def _agrees(entry: Entry, facts: Facts) -> bool:
    return entry.record.about.digest == facts.candidate.digest


def _source(facts: Facts, others: Mapping[str, Chain]) -> Iterator[str]:
    source = facts.source
    chain = others.get(source.name) if source else None
    if source is None or chain is None or chain.version < source.version:
        yield f"the records of {source.name if source else 'its source'} are not at hand"
    elif source_of(chain.until(source.version)) != source:
        yield f"what it says of {source.name} is not on record there"


def _check_scan(entry: Entry, images: Describe) -> Iterator[str]:
    """Yield what is wrong with the images that were judged: they must be those of the release, all of them."""
    try:
        facts = gates.read_decision(entry.record.decision or {}).facts
    except StackwayError:
        return
    judged = {item.image: item.digest for item in facts.scan.images} if facts.scan and facts.scan.images else None
    release = images(facts.candidate.digest)
    if judged is not None and release is not None and judged != dict(release):
        yield "other images were judged than those of the release"


def _overrides(entry: Entry) -> list[str]:
    try:
        decision = gates.read_decision(entry.record.decision or {})
    except StackwayError:
        return []
    refused = ", ".join(item.gate for item in decision.refusals)
    return [f"overridden ({refused}): {decision.override}"] if decision.override and refused else []
