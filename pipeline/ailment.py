# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Says in plain words what is wrong with a pod or a job, and what to do about it. Pure; reads what Kubernetes reports."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
_SIGNALS = {
    4: "illegal instruction",
    6: "it aborted itself",
    7: "bus error",
    9: "killed; its node or a liveness probe ended it",
    11: "invalid memory access",
    15: "asked to end",
}
_SIGNALLED = 128
_NOT_EXECUTABLE, _NOT_FOUND = 126, 127
_IMAGE = frozenset({"ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError"})
_CREATION = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_MOUNTS = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume"})
_LONG = 240


@dataclass(frozen=True)
class Ailment:
    """What is wrong, and what to do. `starts` tells that it may pass by itself: the pod is on its way."""

    what: str
    mend: str = ""
    starts: bool = False


@dataclass(frozen=True)
class Restarts:
    """How often the containers of a pod began anew, why the last time, and when that was (ISO 8601)."""

    count: int
    why: str = ""
    at: str = ""


def pod_ailment(pod: Object, events: Iterable[Object] = ()) -> Ailment | None:
    """Return what is wrong with a pod, None for one that is ready or leaves as it was told to; `events` are its own."""
    if pod["metadata"].get("deletionTimestamp") or is_ready(pod):
        return None
    own = sorted(events, key=event_time)
    found = _of_pod(pod) or _of_containers(pod) or _of_events(own)
    return found or Ailment("it starts", "", starts=True)


def is_ready(pod: Object) -> bool:
    """Tell whether a pod answers its readiness probe, and is not on its way out."""
    return _condition(pod, "Ready").get("status") == "True" and not pod["metadata"].get("deletionTimestamp")


def restarts(pod: Object) -> Restarts:
    """Return how often the containers of a pod began anew, and why."""
    statuses = _statuses(pod)
    ends = [end for status in statuses if (end := status.get("lastState", {}).get("terminated"))]
    last = max(ends, key=lambda end: str(end.get("finishedAt", "")), default=None)
    count = sum(int(status.get("restartCount", 0)) for status in statuses)
    return Restarts(count, ended(last).what, str(last.get("finishedAt", ""))) if last else Restarts(count)


def ended(state: Object) -> Ailment:
    """Return why a container has ended, from its `terminated` state."""
    code, reason = int(state.get("exitCode", 0)), state.get("reason", "")
    said = f": {_short(state['message'])}" if state.get("message") else ""
    if reason == "OOMKilled":
        return Ailment(
            "it used more memory than its limit (OOMKilled)",
            "Raise `resources.limits.memory` of the process in the environment's file, then deploy.",
        )
    if reason in {"StartError", "ContainerCannotRun"} or code in {_NOT_EXECUTABLE, _NOT_FOUND}:
        return Ailment(
            f"its program cannot be started (exit code {code}){said}",
            "The command is not in the image, or not executable: check `command` in the service's spec.",
        )
    if reason == "Unknown":
        return Ailment("it ended with its node, or with the node's container runtime", "Look at the node.")
    if code == 0:
        return Ailment(f"it ended by itself (exit code 0){said}", "A process of a service must not end: read its log.")
    if code > _SIGNALLED:
        signal = code - _SIGNALLED
        return Ailment(f"it ended by signal {signal} ({_SIGNALS.get(signal, 'a signal')}){said}", _LOG)
    return Ailment(f"it ended with exit code {code}{said}", _LOG)


_LOG = "Read the end of its log: `kubectl logs --previous POD`."
_DEPLOY = "`release deploy ENV` makes what is missing."


def job_ailment(job: Object) -> Ailment | None:
    """Return what is wrong with a job, None when it is done."""
    status = job.get("status") or {}
    for condition in status.get("conditions", []):
        if condition.get("status") == "True" and condition["type"] == "Complete":
            return None
        if condition.get("status") == "True" and condition["type"] == "Failed":
            what = f"it failed: {_short(condition.get('message', condition.get('reason', 'no reason given')))}"
            return Ailment(what, "Read the log of its pod, mend what it says, delete the job, and deploy again.")
    tries = int(status.get("failed", 0))
    return Ailment(f"it runs; {tries} tries failed" if tries else "it runs", "", starts=not tries)


def workload_ailment(workload: Object, events: Iterable[Object]) -> Ailment | None:
    """Return why a workload makes no pods, where the cluster says so; `events` are its own and its ReplicaSets'."""
    for condition in (workload.get("status") or {}).get("conditions", []):
        if condition["type"] == "ReplicaFailure" and condition.get("status") == "True":
            return Ailment(f"its pods are refused: {_short(condition.get('message', ''))}", _REFUSED)
    failed = [event for event in sorted(events, key=event_time) if event.get("reason") == "FailedCreate"]
    return Ailment(f"its pods are refused: {_short(failed[-1].get('message', ''))}", _REFUSED) if failed else None


_REFUSED = "A quota or an admission rule of the cluster says no: change the one or the other."


def event_time(event: Object) -> str:
    """Return when an event was seen last (ISO 8601)."""
    series = event.get("series") or {}
    found = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
    return str(found or event["metadata"].get("creationTimestamp", ""))


def _condition(pod: Object, kind: str) -> Object:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return next((item for item in conditions if item["type"] == kind), {})


def _statuses(pod: Object) -> list[Object]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _of_pod(pod: Object) -> Ailment | None:
    status = pod.get("status") or {}
    said, phase = _short(status.get("message", "")), status.get("phase", "")
    if status.get("reason") == "Evicted":
        return Ailment(
            f"its node has put it out: {said}", "The node is short of memory or disk: give it more, or less to do."
        )
    if status.get("reason") == "NodeLost" or phase == "Unknown" or _condition(pod, "Ready").get("status") == "Unknown":
        return Ailment(
            "its node does not report any more",
            "See `kubectl get nodes`; a lost node's pods come back elsewhere in minutes.",
        )
    place = _condition(pod, "PodScheduled")
    if place.get("status") == "False":
        return Ailment(f"no node takes it: {_short(place.get('message', ''))}", _ROOM)
    if phase == "Failed" and not _statuses(pod):
        return Ailment(f"it failed: {said or status.get('reason', 'no reason given')}", _LOG)
    return None


_ROOM = "Give the cluster room (nodes, memory, volumes), or let its pods ask for less in the environment's file."


def _of_containers(pod: Object) -> Ailment | None:
    return next((found for status in _statuses(pod) for found in _of_container(status)), None)


def _of_container(status: Object) -> Iterator[Ailment]:
    """Yield what is wrong with one container: at most one thing."""
    state = status.get("state") or {}
    waiting, terminated = state.get("waiting"), state.get("terminated")
    last = (status.get("lastState") or {}).get("terminated")
    if waiting:
        yield from _waiting(waiting, last)
    elif terminated and (terminated.get("exitCode") or terminated.get("reason") != "Completed"):
        yield ended(terminated)
    elif last and not status.get("ready"):
        yield Ailment(f"it starts again: {ended(last).what}", ended(last).mend)


def _waiting(waiting: Object, last: Object | None) -> Iterator[Ailment]:
    reason, said = waiting.get("reason", ""), _short(waiting.get("message", ""))
    if reason in _IMAGE:
        yield Ailment(f"its image cannot be pulled ({reason}): {said}", _PULL)
    elif reason in _CREATION:
        what = "configuration that it needs is missing" if "Config" in reason else "its container cannot be made"
        yield Ailment(f"{what}: {said or reason}", _DEPLOY)
    elif reason == "CrashLoopBackOff":
        cause = ended(last) if last else Ailment(said)
        yield Ailment(f"it crashes again and again: {cause.what}", cause.mend or _LOG)
    elif last:
        yield Ailment(f"it starts again: {ended(last).what}", ended(last).mend)


_PULL = (
    "`release deploy ENV` gives images to the local cluster; for another one `release push`, then check `cluster.images` "
    "of the environment and the node's right to pull."
)


def _of_events(events: list[Object]) -> Ailment | None:
    """Return what the newest event that says why tells."""
    for event in reversed(events):
        reason, said = event.get("reason", ""), _short(event.get("message", ""))
        if reason in _MOUNTS:
            return Ailment(f"a volume or a file cannot be mounted: {said}", _DEPLOY)
        if reason == "FailedCreatePodSandBox":
            return Ailment(f"its node cannot begin it: {said}", "Look at the node's container runtime and its network.")
        if reason == "Unhealthy" and "Startup" not in event.get("message", ""):
            return Ailment(f"it runs and does not answer: {said}", "Read its log; look whether what it asks is there.")
    return None


def _short(text: str) -> str:
    """Return text on one line, cut where it gets long."""
    line = re.sub(r"\s+", " ", str(text)).strip()
    return line if len(line) <= _LONG else f"{line[: _LONG - 1]}…"
