# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Decides what an upgrade does next, from its plan, what is on record and what is seen now. Pure: the one place of decisions.

The record says how far an upgrade has come; whoever reads it, on whatever machine, decides the same. Doubt goes back: a step
that is not proved good within its limit is as bad as one that is proved bad.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import reduce
from typing import Any

from pipeline.rollout.doom import Doom
from pipeline.rollout.plan import TRAFFIC, Kind, RolloutPlan, Step, Undo
from pipeline.rollout.sequential import Outlook


class Direction(StrEnum):
    """Where an upgrade is going."""

    FORWARD = "forward"
    BACK = "back"


class Phase(StrEnum):
    """What a line of the record says of a step."""

    BEGUN = "begun"  # it may have been done, or a part of it
    PAUSED = "paused"  # nobody goes on with it until somebody does
    RESUMED = "resumed"  # somebody else goes on with it; its limit runs anew
    DONE = "done"
    UNDOING = "undoing"
    UNDONE = "undone"
    TURNED = "turned"  # from here on the way is back
    ENDED = "ended"
    FINALIZED = "finalized"  # the commit point: there is no way back from here


class Outcome(StrEnum):
    """How an upgrade has ended."""

    UPGRADED = "upgraded"
    ROLLED_BACK = "rolled back"
    FINALIZED = "finalized"


@dataclass(frozen=True)
class Line:
    """One line of the record: of which step (-1: of the whole), what, when (seconds since 1970), why, and by which counts."""

    phase: Phase
    step: int
    at: float
    why: str = ""
    rule: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """How far an upgrade has come, computed from its record."""

    direction: Direction = Direction.FORWARD
    begun: Mapping[int, float] = field(default_factory=dict)
    resumed: frozenset[int] = frozenset()  # steps that were on when somebody went on with it
    is_paused: bool = False
    done: frozenset[int] = frozenset()
    undoing: frozenset[int] = frozenset()
    undone: frozenset[int] = frozenset()
    why: str = ""
    outcome: Outcome | None = None


@dataclass(frozen=True)
class Seen:
    """What is seen of the step that is on: whether what it made is ready, whether it is doomed, and what requests say.

    `outlook` is None where nothing is to be asked. On the way back many steps are on, and `back` are those that are as before.
    """

    ready: bool = False
    doom: Doom | None = None
    outlook: Outlook | None = None
    told: str = ""
    disturbed: float = 0.0
    back: frozenset[int] = frozenset()
    counts: Mapping[str, int] = field(default_factory=dict)


class Act(StrEnum):
    """What to do next."""

    DO = "do"
    WAIT = "wait"
    HOLD = "hold"  # wait for somebody to say how it goes on
    CLOSE = "close"  # the step is proved good
    TURN = "turn"
    UNDO = "undo"
    CLOSE_UNDO = "close undo"
    END = "end"


@dataclass(frozen=True)
class Decision:
    """What to do next, with which step (-1: with the whole), and why."""

    act: Act
    step: int
    reason: str
    rule: str = ""


def progress(lines: Iterable[Line]) -> Progress:
    """Return how far the lines of a record have come."""
    return reduce(_after, lines, Progress())


def _after(found: Progress, line: Line) -> Progress:
    match line.phase:
        case Phase.BEGUN:
            return replace(found, begun={**found.begun, line.step: line.at})
        case Phase.RESUMED:
            begun = {number: line.at for number in found.begun if number not in found.done}
            resumed = found.resumed | frozenset(begun)
            return replace(found, begun={**found.begun, **begun}, resumed=resumed, is_paused=False)
        case Phase.PAUSED:
            return replace(found, is_paused=True)
        case Phase.DONE:
            return replace(found, done=found.done | {line.step})
        case Phase.TURNED:
            # An upgrade that has ended well can go back as long as it is not finalized.
            return replace(found, direction=Direction.BACK, why=line.why, outcome=None, is_paused=False)
        case Phase.UNDOING:
            return replace(found, undoing=found.undoing | {line.step})
        case Phase.UNDONE:
            return replace(found, undone=found.undone | {line.step})
        case Phase.ENDED:
            back = found.direction is Direction.BACK
            return replace(found, outcome=Outcome.ROLLED_BACK if back else Outcome.UPGRADED)
        case Phase.FINALIZED:
            return replace(found, outcome=Outcome.FINALIZED)


def advance(plan: RolloutPlan, so_far: Progress, seen: Seen, now: float) -> Decision:
    """Return what to do next. `now` is seconds since 1970."""
    if so_far.outcome is not None:
        return Decision(Act.END, -1, str(so_far.outcome))
    if so_far.direction is Direction.BACK:
        return _back(plan, so_far, seen)
    number = current(plan, so_far)
    if number is None:
        return Decision(Act.END, -1, "every step is done")
    if number not in so_far.begun:
        return Decision(Act.DO, number, plan.steps[number].reason)
    return _judge(plan.steps[number], number, so_far, seen, (now, plan.rules.disturbance))


def current(plan: RolloutPlan, so_far: Progress) -> int | None:
    """Return the number of the step that is on or comes next, None when all are done."""
    return next((number for number in range(len(plan.steps)) if number not in so_far.done), None)


def _judge(step: Step, number: int, so_far: Progress, seen: Seen, limits: tuple[float, float]) -> Decision:
    """Decide about a step that was begun."""
    now, disturbance = limits
    if seen.doom is not None:
        return Decision(Act.TURN, number, f"{seen.doom.object}: {seen.doom.seen}", seen.doom.rule)
    if seen.outlook is Outlook.FAILED:
        return Decision(Act.TURN, number, f"requests to the new revision fail: {seen.told}", "requests")
    if seen.disturbed > disturbance:
        return Decision(Act.TURN, number, f"the whole cloud is disturbed: {seen.told}", "disturbance")
    if step.kind is Kind.HOLD:
        is_on = number in so_far.resumed
        return Decision(Act.CLOSE, number, "somebody goes on") if is_on else Decision(Act.HOLD, number, step.reason)
    left = so_far.begun[number] + step.seconds - now
    if step.kind is Kind.SOAK:
        return (
            Decision(Act.CLOSE, number, "nothing was found")
            if left <= 0
            else Decision(Act.WAIT, number, f"{left:.0f} s")
        )
    if seen.ready and seen.outlook in {None, Outlook.PASSED}:
        return Decision(Act.CLOSE, number, seen.told or "it is ready")
    if left <= 0:
        return Decision(Act.TURN, number, f"not proved good within {step.seconds:.0f} s: {seen.told}", "limit")
    return Decision(Act.WAIT, number, seen.told or "it gets ready")


def way_back(plan: RolloutPlan, so_far: Progress) -> list[int]:
    """Return the steps to undo, in order: first what leads users to the new revision, then the rest, the last one first."""
    begun = [number for number in sorted(so_far.begun, reverse=True) if plan.steps[number].undo is Undo.REVERSIBLE]
    traffic = [number for number in begun if plan.steps[number].kind in TRAFFIC]
    # Old processes that were stopped come back before new ones go: both want to be the one that there is, but users come first.
    return [
        *traffic,
        *(number for number in begun if number not in traffic and plan.steps[number].kind is not Kind.SOAK),
    ]


def _back(plan: RolloutPlan, so_far: Progress, seen: Seen) -> Decision:
    """Decide on the way back. What leads users goes first and in order; then everything at once, except what has to wait."""
    todo = [number for number in way_back(plan, so_far) if number not in so_far.undone]
    if not todo:
        return Decision(Act.END, -1, so_far.why)
    for number in todo:
        if number in so_far.undoing and number in seen.back:
            return Decision(Act.CLOSE_UNDO, number, "it is as it was")
    for number in todo:
        if number not in so_far.undoing and _may_go_back(plan, number, todo):
            return Decision(Act.UNDO, number, so_far.why)
    return Decision(Act.WAIT, todo[0], seen.told or "the old revision gets ready")


def _may_go_back(plan: RolloutPlan, number: int, todo: Sequence[int]) -> bool:
    """Tell whether a step may be undone before the rest: users come first; what was stopped waits for the new one to go."""
    step = plan.steps[number]
    if step.kind in TRAFFIC:
        return number == todo[0]
    if any(plan.steps[other].kind in TRAFFIC for other in todo):
        return False
    own = [plan.steps[other] for other in todo if other != number]
    return step.kind is not Kind.STOP or not any(
        other.kind is Kind.START and (other.service, other.process) == (step.service, step.process) for other in own
    )


def to_data(line: Line) -> dict[str, Any]:
    """Return a line as JSON-ready data."""
    head = {"phase": str(line.phase), "step": line.step, "at": line.at, "why": line.why, "rule": line.rule}
    return {**head, "counts": dict(line.counts)}


def read_line(value: Mapping[str, Any]) -> Line:
    """Return a line from its data. Raises KeyError or ValueError for what is none."""
    counts = {str(name): int(number) for name, number in value["counts"].items()}
    head = (Phase(value["phase"]), int(value["step"]), float(value["at"]), str(value["why"]), str(value["rule"]))
    return Line(*head, counts)
