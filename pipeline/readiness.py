# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Says of a live object whether it is ready, on its way, or broken, and why. Pure; the words are for people."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Object = dict[str, Any]


class State(StrEnum):
    """How an object does."""

    READY = "ready"
    WAITING = "waiting"
    FAILED = "failed"


@dataclass(frozen=True)
class Readiness:
    """An object's state, and why."""

    state: State
    reason: str = ""


_READY = Readiness(State.READY)


def readiness(item: Object, least: int | None = None) -> Readiness:
    """Return how an object does; kinds that have nothing to become are ready. `least` pods are enough, if given."""
    status = item.get("status") or {}
    match item["kind"]:
        case "Deployment" | "StatefulSet":
            return _replicas(item, status, least)
        case "Job":
            return _job(status)
        case "PersistentVolumeClaim":
            phase = status.get("phase", "")
            # A claim that waits for its first pod is as ready as it gets.
            return _READY if phase in {"Bound", "Pending", ""} else Readiness(State.FAILED, f"the claim is {phase}")
        case _:
            return _READY


def _replicas(item: Object, status: Object, least: int | None) -> Readiness:
    wanted = item["spec"].get("replicas", 1) if least is None else least
    if status.get("observedGeneration", 0) < item["metadata"].get("generation", 0):
        return Readiness(State.WAITING, "the cluster has not seen it yet")
    for condition in status.get("conditions", []):
        if condition["type"] == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            return Readiness(State.FAILED, condition.get("message", "it does not get on"))
    ready, updated = status.get("readyReplicas", 0), status.get("updatedReplicas", 0)
    if ready < wanted or updated < wanted:
        return Readiness(State.WAITING, f"{ready} of {wanted} pods ready")
    # As long as there are old pods, some of those that are ready may be old ones.
    if (old := status.get("replicas", updated) - updated) > 0:
        return Readiness(State.WAITING, f"{old} old pods are still there")
    return _READY


def _job(status: Object) -> Readiness:
    for condition in status.get("conditions", []):
        if condition.get("status") == "True" and condition["type"] == "Failed":
            return Readiness(State.FAILED, condition.get("message", "it failed"))
        if condition.get("status") == "True" and condition["type"] == "Complete":
            return _READY
    return Readiness(State.WAITING, f"{status.get('failed', 0)} tries failed" if status.get("failed") else "running")
