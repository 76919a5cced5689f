# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Decides whether a release may get into an environment. Pure: facts in, one result for each gate out, with its reason.

The facts are written into the signed record as they are, so anybody can decide again and must come to the same.
*Failed* means that a gate said no; *errored* that it could not be told. Neither lets a release through.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from buildkit.scan.gate import describe, parse_moment
from buildkit.scan.policy import seconds
from releases.environment import Gates, ScanGate
from releases.facts import Facts, ImageVerdict, Sight, Source
from releases.version import ReleaseVersion, is_newer
from stackway.console import Table
from stackway.errors import WrongInputError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

CLOCKS_DIFFER = timedelta(minutes=5)
_SHOWN = 3


class Outcome(StrEnum):
    """What a gate says."""

    PASSED = "passed"
    FAILED = "failed"
    ERRORED = "errored"


@dataclass(frozen=True)
class GateResult:
    """What one gate says, and why."""

    gate: str
    outcome: Outcome
    reason: str


@dataclass(frozen=True)
class Decision:
    """What all gates together say. `override` is the reason of a person who went on all the same, empty for none."""

    facts: Facts
    results: tuple[GateResult, ...]
    override: str = ""

    @property
    def is_passed(self) -> bool:
        """Whether every gate lets the release through."""
        return all(item.outcome is Outcome.PASSED for item in self.results)

    @property
    def refusals(self) -> list[GateResult]:
        """The gates that do not let it through."""
        return [item for item in self.results if item.outcome is not Outcome.PASSED]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return asdict(self)

    def to_table(self) -> Table:
        """Return the decision for people."""
        return Table(("GATE", "RESULT", "WHY"), [(item.gate, str(item.outcome), item.reason) for item in self.results])


def read_decision(content: Mapping[str, Any]) -> Decision:
    """Return the decision in a record. Raises WrongInputError for what is none."""
    from pydantic import ValidationError

    try:
        return _adapter().validate_python(dict(content))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise WrongInputError(
            "a record's decision cannot be read",
            details=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
            resolution="It was written by another version of the tool, or changed.",
        ) from error


def decide(facts: Facts) -> Decision:
    """Return what the gates of the environment say to these facts."""
    gates = Gates.model_validate(dict(facts.gates))
    return Decision(facts, tuple(result for ask in _GATES for result in ask(gates, facts)))


def _passed(gate: str, reason: str) -> GateResult:
    return GateResult(gate, Outcome.PASSED, reason)


def _failed(gate: str, reason: str) -> GateResult:
    return GateResult(gate, Outcome.FAILED, reason)


def _path(_: Gates, facts: Facts) -> Iterator[GateResult]:
    """Let a series be left for the next one, or SLURP for SLURP; nothing goes down but by a signed rollback."""
    gate, new, old = "upgrade path", facts.candidate, facts.present
    if old is None:
        yield _passed(gate, "nothing was there before")
    elif ReleaseVersion.parse(new.version) < ReleaseVersion.parse(old.version):
        yield _failed(gate, f"{new.version} is older than {old.version}; `release rollback` goes back, on record")
    elif new.version == old.version and new.digest != old.digest:
        yield _failed(gate, f"another release {old.version} is there: {old.digest}")
    elif new.series == old.series:
        yield _passed(gate, f"{old.version} to {new.version} stays in series {new.series}")
    elif old.series in new.upgrades_from and is_newer(new.series, old.series):
        kind = "SLURP to SLURP or adjacent" if new.slurp else "adjacent"
        yield _passed(gate, f"{old.series} to {new.series}: {kind}")
    else:
        known = ", ".join(new.upgrades_from) or "none"
        yield _failed(gate, f"{new.series} can be reached from {known}, not from {old.series}")


def _back(gates: Gates, facts: Facts) -> Iterator[GateResult]:
    """Ask whether what the way back takes is acceptable; within a series only pods are replaced."""
    new, old = facts.candidate, facts.present
    if old is None or old.series == new.series:
        yield _passed("way back", "pods only: the series stays the same" if old else "nothing to go back to")
        return
    bad = sorted(f"{name} takes {back}" for name, back in new.back.items() if back not in gates.back)
    if bad:
        yield _failed("way back", f"{'; '.join(bad)}; acceptable here: {', '.join(gates.back)}")
    else:
        yield _passed("way back", f"every service takes one of: {', '.join(gates.back)}")


def _candidate(gates: Gates, facts: Facts) -> Iterator[GateResult]:
    if not ReleaseVersion.parse(facts.candidate.version).is_final:
        reason = f"{facts.candidate.version} is a release candidate"
        yield (
            _passed("candidate", reason) if gates.candidates else _failed("candidate", f"{reason}; none may come here")
        )


def _freeze(gates: Gates, facts: Facts) -> Iterator[GateResult]:
    now = _moment(facts.at)
    for item in gates.freeze:
        if item.holds(now):
            yield _failed("freeze", f"{item.reason}: {item.begin} to {item.end}")
            return
    if gates.freeze:
        yield _passed("freeze", f"none of {len(gates.freeze)} is on")


def _lineage(gates: Gates, facts: Facts) -> Iterator[GateResult]:
    been = {item.environment for item in facts.ancestors if item.record}
    if missing := [name for name in gates.lineage if name not in been]:
        yield _failed("lineage", f"it was never in {', '.join(missing)}")
    elif gates.lineage:
        yield _passed("lineage", f"it was in {', '.join(gates.lineage)}")


def _live(gates: Gates, facts: Facts) -> Iterator[GateResult]:
    if gates.live is None:
        return
    if facts.source is None:
        yield GateResult("live", Outcome.ERRORED, "there is no source that it could be live in")
        return
    source, sights = facts.source, _in_time(facts.source)
    if source.pinned != facts.candidate.digest:
        yield _failed("live", f"the release of {source.name} is {source.pinned}")
        return
    if not sights:
        yield _failed("live", f"nobody has seen it run in {source.name}")
        return
    last, limit = sights[-1], seconds(gates.live.max_age)
    age = _moment(facts.at) - _moment(last.at)
    if age < -CLOCKS_DIFFER:
        yield GateResult(
            "live", Outcome.ERRORED, f"the last observation in {source.name} is from the future: {last.at}"
        )
    elif not last.healthy:
        yield _failed("live", f"it is not healthy in {source.name}: seen {describe(age)} ago")
    elif age > limit:
        yield _failed("live", f"last seen in {source.name} {describe(age)} ago, {gates.live.max_age} at most")
    else:
        yield _passed("live", f"healthy in {source.name}, seen {describe(max(age, timedelta()))} ago")


def _soak(gates: Gates, facts: Facts) -> Iterator[GateResult]:
    """Count the time of unbroken health: an observation that says otherwise ends it, and so does a gap without any."""
    if gates.soak is None:
        return
    if gates.live is None or facts.source is None:
        yield GateResult("soak", Outcome.ERRORED, "there is no source in which its health is watched")
        return
    since = last = None
    for sight in _in_time(facts.source):
        at = _moment(sight.at)
        is_gap = last is not None and at - last > seconds(gates.live.max_age)
        since = (at if since is None or is_gap else since) if sight.healthy else None
        last = at
    if since is None or last is None:
        yield _failed("soak", f"it is not healthy in {facts.source.name}, so no time counts")
        return
    # To the last observation and not to now: what nobody saw does not count.
    age = last - since
    reason = f"seen healthy in {facts.source.name} for {describe(age)} without a break, {gates.soak} asked"
    yield _passed("soak", reason) if age >= seconds(gates.soak) else _failed("soak", reason)


def _in_time(source: Source) -> list[Sight]:
    """Return the observations from old to new; of two at the same moment the bad one has the last word."""
    return sorted(source.sights, key=lambda sight: (_moment(sight.at), not sight.healthy))


def _scan(gates: Gates, facts: Facts) -> Iterator[GateResult]:
    if gates.scan is None:
        return
    scan = facts.scan
    if scan is None or scan.error or scan.policy != gates.scan.policy:
        why = scan.error if scan and scan.error else f"it was not judged by {gates.scan.policy}"
        yield GateResult("scan", Outcome.ERRORED, why)
        return
    images = sorted(scan.images, key=lambda item: (item.image, item.digest, item.error, item.failed))
    broken = [f"{item.image}: {item.error}" for item in images if item.error]
    stopped = [_findings(item) for item in images if item.counts.get("failed") or item.failed]
    if why := _stale(gates.scan, facts.at, scan.updated):
        yield GateResult("scan", Outcome.ERRORED, why)
    elif broken or not scan.images:
        yield GateResult("scan", Outcome.ERRORED, _some(broken) or "no image was judged")
    elif stopped:
        yield _failed("scan", f"not by {scan.policy} with the database of {scan.updated}: {_some(stopped)}")
    else:
        yield _passed("scan", f"{len(images)} images pass {scan.policy}, database of {scan.updated}")


def _stale(gate: ScanGate, now: str, updated: str) -> str:
    """Return why a database made at `updated` says nothing today, empty when it does."""
    made = parse_moment(updated)
    if made is None:
        return "the database does not say how old it is"
    age = _moment(now) - made
    if age < -CLOCKS_DIFFER:
        return f"the database is from the future: {updated}; a clock is wrong, here or where it was made"
    is_old = age > seconds(gate.database_max_age)
    return f"the database is {describe(age)} old, {gate.database_max_age} at most" if is_old else ""


def _findings(item: ImageVerdict) -> str:
    """Return what stops an image: some by name, the rest as a number."""
    named = item.failed[:_SHOWN]
    rest = max(item.counts.get("failed", 0), len(item.failed)) - len(named)
    more = f" and {rest} more" if named else f"{rest} finding{'s' if rest > 1 else ''}"
    return f"{item.image}: {', '.join(named)}{more if rest > 0 else ''}"


def _approvals(gates: Gates, facts: Facts) -> Iterator[GateResult]:
    if gates.approvals is None:
        return
    keys = sorted({item.key for item in facts.approvals})
    reason = f"{len(keys)} of {gates.approvals.at_least} needed"
    yield _passed("approvals", reason) if len(keys) >= gates.approvals.at_least else _failed("approvals", reason)


_GATES: tuple[Callable[[Gates, Facts], Iterable[GateResult]], ...] = (
    _path,
    _back,
    _candidate,
    _freeze,
    _lineage,
    _live,
    _soak,
    _scan,
    _approvals,
)


def _some(lines: list[str]) -> str:
    rest = len(lines) - _SHOWN
    return "; ".join(lines[:_SHOWN]) + (f"; and {rest} more" if rest > 0 else "")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


@lru_cache(maxsize=1)
def _adapter() -> "TypeAdapter[Decision]":
    from pydantic import TypeAdapter

    return TypeAdapter(Decision)
