# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Promotions and the other records: what each says, planned from what is there (pure), then signed and added.

A plan holds the heads of the chains that it was made from; it is applied only while they are still the newest.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from buildkit.scan.gate import describe, parse_moment
from releases import gates
from releases.environment import expires_after
from releases.facts import Ancestor, Approval, Candidate, Facts, Present, ScanFacts, Sight, Source
from releases.gates import Decision
from releases.keyring import Place
from releases.records import Chain, Kind, Observation, Pin, Record, follow, observations
from releases.release import REPOSITORY, ReleaseContent, identity
from releases.statements import SUMMARY, Statement, Subject, make_statement
from stackway.errors import RefusedError, WrongInputError
from stackway.files import digest_json

PLAN_LIFE = timedelta(hours=2)
NEVER_OVERRIDDEN = frozenset({"upgrade path"})


class GateError(RefusedError):
    """A gate does not let the release through."""


@dataclass(frozen=True)
class Author:
    """Who writes a record, when, and why."""

    name: str
    at: datetime
    reason: str


@dataclass(frozen=True)
class PromotionPlan:
    """What a promotion would write: the decision with all its facts, and the pin. `nothing` says why there is nothing to do."""

    environment: str
    pin: Pin
    decision: Decision
    reason: str
    nothing: str = ""

    @property
    def allowed(self) -> bool:
        """Whether it may be applied: all gates pass, or a person overrides those that may be overridden."""
        refusals = {item.gate for item in self.decision.refusals}
        return not refusals or (bool(self.decision.override) and not refusals & NEVER_OVERRIDDEN)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {"apiVersion": "stackway/v1", "kind": "PromotionPlan", **asdict(self)}


def read_plan(content: Any) -> PromotionPlan:
    """Return a plan that was saved. Raises WrongInputError for what is none."""
    from pydantic import TypeAdapter, ValidationError

    head = content if isinstance(content, Mapping) else {}
    if head.get("kind") != "PromotionPlan" or head.get("apiVersion") != "stackway/v1":
        raise WrongInputError("this is no saved promotion", resolution="`release promote … --save FILE` writes one.")
    try:
        data = {key: value for key, value in head.items() if key not in {"apiVersion", "kind"}}
        return TypeAdapter(PromotionPlan).validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise WrongInputError(
            "this saved promotion cannot be read", details=f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        ) from error


def candidate_of(content: ReleaseContent) -> Candidate:
    """Return what gates ask about a release."""
    cards = content.data("cards.json")
    return Candidate(
        str(content.version),
        content.digest,
        content.series,
        bool(content.config["slurp"]),
        tuple(content.config["upgradesFrom"]),
        {row["service"]: row["back"] for row in cards},
    )


def source_of(chain: Chain) -> Source | None:
    """Return what a promotion takes from the records of its source; None when nothing was ever promoted there."""
    if chain.head is None or chain.pin is None:
        return None
    sights = tuple(sight for sight, counts in sights_of(chain) if counts)
    return Source(chain.environment, chain.head.digest, chain.version, chain.pin.digest, sights)


def sights_of(chain: Chain) -> Iterator[tuple[Sight, bool]]:
    """Yield what was seen of the present pin, and whether it counts.

    Good news counts only from keys that may observe today, bad news from every key that ever could.
    """
    for at, item in observations(chain):
        if seen := item.record.observation:
            yield Sight(at.isoformat(timespec="seconds"), seen.healthy, item.digest), not (seen.healthy and item.note)


def approvals_of(chain: Chain, digest: str) -> tuple[Approval, ...]:
    """Return the approvals of a release since the present pin came, one for each key."""
    found: dict[str, Approval] = {}
    for item in chain.since_move(Kind.APPROVAL):
        if item.record.about.digest == digest and not item.note:
            for key in item.signers:
                found.setdefault(key.id, Approval(key.id, item.record.at, item.digest))
    return tuple(found[key] for key in sorted(found))


def ancestors_of(chains: Iterable[Chain], digest: str) -> tuple[Ancestor, ...]:
    """Return for each environment the record by which a release first got there."""
    return tuple(
        Ancestor(chain.environment, entry.digest if (entry := chain.has_pinned(digest)) else "")
        for chain in sorted(chains, key=lambda chain: chain.environment)
    )


def present_of(chain: Chain) -> Present | None:
    """Return the release that is pinned in an environment."""
    from releases.version import ReleaseVersion

    pin = chain.pin
    return Present(pin.version, pin.digest, ReleaseVersion.parse(pin.version).series) if pin else None


@dataclass(frozen=True)
class Grounds:
    """What a promotion is planned from: the target's records, the source's, those of ancestors, and the scan of the day."""

    target: Chain
    source: Chain | None = None
    ancestors: tuple[Chain, ...] = ()
    scan: ScanFacts | None = None


def plan(place: Place, candidate: Candidate, grounds: Grounds, author: Author, override: str = "") -> PromotionPlan:
    """Return the plan to promote a release, with what every gate says. Pure."""
    chain = grounds.target
    facts = Facts(
        place.spec.name,
        author.at.isoformat(timespec="seconds"),
        place.spec.gates.model_dump(mode="json", by_alias=True),
        candidate,
        present_of(chain),
        chain.head.digest if chain.head else "",
        source_of(grounds.source) if grounds.source else None,
        approvals_of(chain, candidate.digest),
        ancestors_of(grounds.ancestors, candidate.digest),
        grounds.scan,
    )
    decision = replace(gates.decide(facts), override=override)
    pin = Pin(candidate.version, candidate.digest)
    nothing = f"{pin.version} is there already" if chain.pin == pin else ""
    return PromotionPlan(place.spec.name, pin, decision, author.reason, nothing)


def check_still(todo: PromotionPlan, again: PromotionPlan, now: datetime) -> None:
    """Raise RefusedError when a saved plan is too old, or what it rests on has changed; `again` is the plan of today."""
    facts, today = todo.decision.facts, again.decision.facts
    made = parse_moment(facts.at)
    if made is None or not -gates.CLOCKS_DIFFER <= now - made <= PLAN_LIFE:
        raise RefusedError(
            "the saved plan is too old, or from the future",
            details=f"made at {facts.at}, now it is {now.isoformat()}; it holds for {describe(PLAN_LIFE)}",
            resolution="Plan again: `release promote … --save FILE`.",
        )
    old, new = (_identity(item) for item in (facts, today))
    changed = sorted(key for key in old if old[key] != new[key])
    if again.decision.override:
        # The reason was given for other refusals.
        then = {item.gate for item in todo.decision.refusals}
        changed += [f"{item.gate} ({item.reason})" for item in again.decision.refusals if item.gate not in then]
    if changed:
        raise RefusedError(
            "what the saved plan rests on has changed",
            details=f"changed: {', '.join(changed)}",
            resolution="Plan again, and look at the new decision.",
        )


def _identity(facts: Facts) -> dict[str, Any]:
    return {
        "environment": facts.environment,
        "release": facts.candidate,
        "records of the target": facts.head,
        "pin of the source": facts.source.pinned if facts.source else "",
        "gates": facts.gates,
    }


def refuse(todo: PromotionPlan) -> None:
    """Raise GateError when a plan may not be applied."""
    if todo.allowed:
        return
    refusals = todo.decision.refusals
    stuck = [item.gate for item in refusals if item.gate in NEVER_OVERRIDDEN]
    hint = (
        f"The gate `{stuck[0]}` cannot be overridden."
        if stuck
        else 'Mend what the gates name, or go on all the same: --override "REASON"; it is recorded and signed.'
    )
    raise GateError(
        f"{todo.pin.version} may not get into {todo.environment}",
        details="\n".join(f"{item.gate} {item.outcome}: {item.reason}" for item in refusals),
        resolution=hint,
    )


def summary(todo: PromotionPlan, author: Author) -> Statement:
    """Return the decision as a verification summary (slsa.dev/verification_summary/v1), for tools that know no other."""
    facts = todo.decision.facts
    inputs = [item.record for item in facts.approvals] + [item.record for item in facts.ancestors if item.record]
    inputs += [facts.source.head] if facts.source else []
    predicate = {
        "verifier": {"id": "urn:stackway:gates:v1"},
        "timeVerified": author.at.isoformat(timespec="seconds"),
        "resourceUri": f"urn:stackway:environment:{todo.environment}",
        "policy": {
            "uri": f"urn:stackway:gates:{todo.environment}",
            "digest": {"sha256": digest_json(dict(facts.gates)).removeprefix("sha256:")},
        },
        "inputAttestations": [{"digest": {"sha256": item.removeprefix("sha256:")}} for item in sorted(set(inputs))],
        "verificationResult": "PASSED" if todo.decision.is_passed else "FAILED",
        "verifiedLevels": [],
    }
    subject = Subject(identity(REPOSITORY), todo.pin.digest, {"dev.stackway.release": todo.pin.version})
    return make_statement(subject, SUMMARY, predicate)


def promotion(place: Place, chain: Chain, todo: PromotionPlan, author: Author) -> Record:
    """Return the record of a promotion."""
    return _record(
        place,
        chain,
        Kind.PROMOTION,
        author,
        about=todo.pin,
        pin=todo.pin,
        decision=todo.decision.to_dict(),
        summary=summary(todo, author).digest,
    )


def rollback(place: Place, chain: Chain, version: str | None, author: Author) -> Record:
    """Return the record that pins an earlier release again: the one before the present, or the one named.

    Raises RefusedError when there is none, or it was never here.
    """
    if chain.pin is None:
        raise WrongInputError(
            f"nothing was ever promoted to {chain.environment}", resolution="There is nothing to go back to."
        )
    pins = [item.record.pin for item in chain.entries if item.record.pin and item.record.pin != chain.pin]
    earlier = [pin for pin in pins if version in (None, pin.version)]
    if not earlier:
        known = ", ".join(dict.fromkeys(pin.version for pin in pins)) or "none"
        raise RefusedError(
            f"{version} is in {chain.environment} now"
            if version == chain.pin.version
            else f"{version or 'an earlier release'} was never in {chain.environment}",
            details=f"now: {chain.pin.version}; before: {known}",
            resolution="A rollback goes to what was there before; for another release use `release promote`.",
        )
    return _record(place, chain, Kind.ROLLBACK, author, about=earlier[-1], pin=earlier[-1])


def renewal(place: Place, chain: Chain, author: Author) -> Record:
    """Return the record that says: this is still the newest. Raises RefusedError when there is nothing to renew."""
    return _record(place, chain, Kind.RENEWAL, author, about=_pin(chain), pin=_pin(chain))


def observation(place: Place, chain: Chain, seen: Observation, author: Author) -> Record:
    """Return the record of what was seen of the release that runs."""
    return _record(place, chain, Kind.OBSERVATION, author, about=_pin(chain), pin=_pin(chain), observation=seen)


def approval(place: Place, chain: Chain, proposed: Pin, author: Author) -> Record:
    """Return the record by which a person agrees to a release getting into an environment."""
    return _record(place, chain, Kind.APPROVAL, author, about=proposed, pin=chain.pin)


def _pin(chain: Chain) -> Pin:
    if chain.pin is None:
        raise WrongInputError(
            f"nothing was ever promoted to {chain.environment}",
            resolution=f"`release promote … {chain.environment}` first.",
        )
    return chain.pin


def _record(place: Place, chain: Chain, kind: Kind, author: Author, **given: Any) -> Record:
    head = chain.head.record.at if chain.head else ""
    if head and datetime.fromisoformat(head) > author.at:
        raise RefusedError(
            "the newest record is from the future",
            details=f"{chain.environment}: it is of {head}, the clock says {author.at.isoformat(timespec='seconds')}",
            resolution="Set the clock of this machine, or of the one that wrote it.",
        )
    expires = author.at + expires_after(place.spec)
    return follow(chain, kind, at=author.at, expires=expires, actor=author.name, reason=author.reason, **given)
