# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What an upgrade did and why, from its plan and its record: for people, for archives, and for whoever doubts it. Pure.

Raw counts are in it, and the rates that they were judged by, so each verdict can be computed again.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipeline.rollout.advance import Line, Phase, progress
from pipeline.rollout.plan import RolloutPlan, Undo
from pipeline.rollout.sequential import Evidence, band
from pipeline.rollout.standing import waits
from stackway.console import Table


@dataclass(frozen=True)
class StepReport:
    """What became of a step. Seconds are since the upgrade began."""

    name: str
    begun: float
    done: float | None
    undone: float | None
    said: str
    counts: Mapping[str, int] = field(default_factory=dict)
    failing: tuple[float, float] | None = None  # the shares of failing requests that are believable
    evidence: Mapping[str, float] = field(default_factory=dict)  # e-values


@dataclass(frozen=True)
class RolloutReport:
    """What became of an upgrade. `kept` are steps that do not go back and were done."""

    number: int
    environment: str
    source: str
    target: str
    digest: str
    strategy: str
    rules: Mapping[str, Any]
    begun: str
    seconds: float
    outcome: str
    rule: str
    why: str
    steps: tuple[StepReport, ...]
    kept: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {"apiVersion": "stackway/v1", "kind": "RolloutReport", **asdict(self)}

    def to_table(self) -> Table:
        """Return the steps for people."""
        rows = [
            (step.name, *(_told(item) for item in (step.begun, step.done, step.undone)), step.said)
            for step in self.steps
        ]
        return Table(("STEP", "BEGUN", "DONE", "BACK", "WHAT WAS SEEN"), rows)

    def headline(self) -> str:
        """Return all of it in a few lines."""
        lines = [
            f"{self.environment}: {self.source} to {self.target}, {self.strategy}: {self.outcome} after {self.seconds:.1f} s",
            f"began {self.begun}; rollout {self.number}",
        ]
        lines += [f"rule {self.rule}: {self.why}"] if self.rule else []
        lines += [f"does not go back: {', '.join(self.kept)}"] if self.rule and self.kept else []
        return "\n".join(lines)

    @property
    def counted(self) -> tuple[int, int]:
        """Requests and failures of all trials, each counted where it ended."""
        ended = {step.name.rsplit(" ", 1)[0]: step.counts for step in self.steps if step.counts}
        return tuple(sum(item.get(name, 0) for item in ended.values()) for name in ("requests", "failures"))  # type: ignore[return-value]


def report(number: int, plan: RolloutPlan, lines: Sequence[Line]) -> RolloutReport:
    """Return the report of an upgrade that has begun; its lines are those of its record."""
    so_far = progress(lines)
    begin = lines[0].at if lines else 0.0
    ended = lines[-1].at if lines else 0.0
    turned = next((line for line in lines if line.phase is Phase.TURNED), None)
    steps = tuple(_step(plan, index, lines, begin) for index in sorted(so_far.begun))
    kept = tuple(plan.steps[index].name for index in sorted(so_far.done) if plan.steps[index].undo is Undo.FORWARD)
    return RolloutReport(
        number,
        plan.environment,
        plan.source,
        plan.target,
        plan.digest,
        str(plan.way.strategy),
        asdict(plan.rules),
        datetime.fromtimestamp(begin, UTC).isoformat(timespec="seconds"),
        round(ended - begin, 1),
        str(so_far.outcome or waits(plan, so_far) or "it has not ended"),
        turned.rule if turned else "",
        turned.why if turned else "",
        steps,
        kept,
    )


def _step(plan: RolloutPlan, index: int, lines: Sequence[Line], begin: float) -> StepReport:
    own = [line for line in lines if line.step == index]
    at = {line.phase: round(line.at - begin, 2) for line in own}
    judged = next((line for line in own if line.phase in {Phase.DONE, Phase.TURNED}), None)
    counts = dict(judged.counts) if judged else {}
    done, undone = at.get(Phase.DONE), at.get(Phase.UNDONE)
    said = judged.why if judged else own[-1].why
    return StepReport(plan.steps[index].name, at[Phase.BEGUN], done, undone, said, counts, *_judged(plan, counts))


def _judged(plan: RolloutPlan, counts: Mapping[str, int]) -> tuple[tuple[float, float] | None, dict[str, float]]:
    """Return what counts are worth: the believable shares of failing requests, and the e-values that decided."""
    if not counts.get("requests"):
        return None, {}
    rates, failures = plan.rules.rates, counts["failures"]
    found = Evidence(failures, counts["requests"] - failures)
    low, high = band(found, rates.alpha)
    values = {"isNotGood": found.against_good(rates), "isNotBad": found.against_bad(rates)}
    return (round(low, 4), round(high, 4)), {name: _rounded(value) for name, value in values.items()}


def _rounded(log: float) -> float:
    return float(f"{math.exp(min(log, 600.0)):.4g}")


def _told(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"
