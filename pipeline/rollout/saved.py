# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A plan that somebody has looked at and that is carried out later: only as long as it is what would be planned now. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pipeline.rollout.plan import RolloutPlan, read_plan
from pipeline.rollout.target import Target
from stackway.errors import RefusedError, WrongInputError

OLDEST = timedelta(hours=24)


@dataclass(frozen=True)
class SavedPlan:
    """A plan and when it was made."""

    plan: RolloutPlan
    at: datetime

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {**self.plan.to_dict(), "at": self.at.isoformat()}


def read_saved(value: Any, name: str) -> SavedPlan:
    """Return a plan that was saved in the file `name`. Raises WrongInputError for anything else."""
    try:
        return _read(value)
    except (KeyError, TypeError, ValueError) as error:
        raise WrongInputError(
            f"{name} holds no saved plan",
            details=f"{type(error).__name__}: {error}",
            resolution="`release upgrade ENV --save FILE` writes one.",
        ) from error


def _read(value: Any) -> SavedPlan:
    if (value["apiVersion"], value["kind"]) != ("stackway/v1", "RolloutPlan"):
        raise ValueError(f"it is a {value['kind']} of {value['apiVersion']}")
    at = datetime.fromisoformat(value["at"])
    if at.tzinfo is None:
        raise ValueError("its time has no zone")
    return SavedPlan(read_plan(value), at)


def refuse_outdated(saved: SavedPlan, planned: RolloutPlan, now: datetime) -> None:
    """Raise RefusedError when a saved plan is old, from the future, or not what would be planned now."""
    reasons = [*_age(saved.at, now), *_differences(saved.plan, planned)]
    if reasons:
        raise RefusedError(
            f"the saved plan for {saved.plan.environment} is not what would be done now",
            details="\n".join(reasons),
            resolution=f"Look at it anew: `release upgrade {planned.environment} --save FILE`.",
        )


def refuse_changed(plan: RolloutPlan, target: Target) -> None:
    """Raise RefusedError when an upgrade that was begun leads to pods that are not those of `target` any more."""
    wanted = {(item.service, item.process): item.revision for item in target.rendered.workloads}
    changed = {
        f"{step.service} {step.process}: revision {step.revision} was begun, now it would be {found or 'none'}"
        for step in plan.steps
        if step.revision and (found := wanted.get((step.service, step.process))) != step.revision
    }
    if changed:
        raise RefusedError(
            f"the file of {plan.environment} has changed since the upgrade to {plan.target} was begun",
            details="\n".join(sorted(changed)),
            resolution=f"Put it back as it was and resume; or `release resume {plan.environment} --back`.",
        )


def _age(at: datetime, now: datetime) -> Iterator[str]:
    if now - at > OLDEST:
        yield f"it was made {at.isoformat()}, more than {OLDEST.total_seconds() / 3600:.0f} hours ago"
    if at > now:
        yield f"it was made {at.isoformat()}, which has not come yet: a clock is wrong"


def _differences(saved: RolloutPlan, planned: RolloutPlan) -> Iterator[str]:
    before, after = saved.to_dict(), planned.to_dict()
    for key in sorted(set(before) - {"steps"}):
        if before[key] != after[key]:
            yield f"{key}: {_short(before[key])} was saved, now it is {_short(after[key])}"
    gone = [step for step in saved.steps if step not in planned.steps]
    come = [step for step in planned.steps if step not in saved.steps]
    yield from (f"step {step.name}: it was saved, and would not be done so now" for step in gone)
    yield from (f"step {step.name}: it would be done now, and was not saved so" for step in come)
    if not gone and not come and saved.steps != planned.steps:
        yield "the steps have another order"


def _short(value: Any) -> str:
    text = ", ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, Mapping) else str(value)
    return text or "nothing"
