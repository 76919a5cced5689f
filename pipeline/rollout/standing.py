# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Where the last upgrade of an environment stands, for whoever looks at the environment. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.rollout.advance import Direction, Line, Outcome, Progress, current, progress
from pipeline.rollout.plan import Kind, RolloutPlan


@dataclass(frozen=True)
class Standing:
    """An upgrade in short. `at` is when its last line was written, in seconds since 1970; `why` says why it goes back."""

    number: int
    source: str
    target: str
    outcome: Outcome | None
    waits: str  # `held` or `paused` where somebody has to say how it goes on
    is_back: bool
    step: str
    done: int
    steps: int
    at: float
    why: str


def standing(number: int, plan: RolloutPlan, lines: Sequence[Line]) -> Standing:
    """Return where an upgrade stands; its lines are those of its record."""
    so_far = progress(lines)
    index = current(plan, so_far)
    is_back = so_far.direction is Direction.BACK
    return Standing(
        number,
        plan.source,
        plan.target,
        so_far.outcome,
        waits(plan, so_far),
        is_back,
        plan.steps[index].name if index is not None and not is_back else "",
        len(so_far.undone if is_back else so_far.done),
        len(so_far.begun if is_back else plan.steps),
        lines[-1].at if lines else 0.0,
        so_far.why,
    )


def waits(plan: RolloutPlan, so_far: Progress) -> str:
    """Return how an upgrade waits for somebody, nothing when it does not."""
    if so_far.outcome is not None:
        return ""
    if so_far.is_paused:
        return "paused"
    number = current(plan, so_far)
    is_on = number is not None and number in so_far.begun and number not in so_far.resumed
    is_held = is_on and number is not None and plan.steps[number].kind is Kind.HOLD
    return "held" if is_held and so_far.direction is Direction.FORWARD else ""
