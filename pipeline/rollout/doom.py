# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Says as early as can be that a new revision will not get well, by what Kubernetes reports of its own pods. Pure.

Only pods of the revision count: an old pod that crashes must not fail a new release. First hit wins.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.ailment import ended, event_time

Object = dict[str, Any]
_SPOILT_IMAGE = frozenset({"InvalidImageName", "ErrImageNeverPull"})
_AGAIN_AND_AGAIN = "ImagePullBackOff"
_PULLING = frozenset({"ErrImagePull", _AGAIN_AND_AGAIN})
# By then a node has tried twice; images should be there before an upgrade begins.
_PULL_SECONDS = 20.0
# What a registry or a node says that trying again will not change.
_FINAL_PULL = re.compile(
    r"not found|manifest unknown|unauthori[sz]ed|denied|no match for platform|no such host", re.IGNORECASE
)
_CONFIGURATION = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_STARTS = frozenset({"StartError", "ContainerCannotRun"})
_NOT_EXECUTABLE, _NOT_FOUND = 126, 127
_CACHE_SECONDS = 5.0
_UNSCHEDULABLE_SECONDS = 15.0
_REFUSALS = 2
_MOUNT_SECONDS = 30.0


@dataclass(frozen=True)
class Doom:
    """Why a revision will not get well: the rule that says so, the object it says it of, and what was seen."""

    rule: str
    object: str
    seen: str


def doom(pods: Iterable[Object], workload: Object | None, events: Iterable[Object], now: float) -> Doom | None:
    """Return the first rule that says that a revision will not get well, None while there is hope.

    `pods` are those of the revision, `events` of the namespace; `now` is seconds since 1970.
    """
    listed, known = list(pods), list(events)
    found = [
        *_refused(workload, known),
        *(item for pod in listed for item in _of_pod(pod, known, now)),
        *_crashes(listed),
    ]
    return found[0] if found else None


def _of_pod(pod: Object, events: list[Object], now: float) -> Iterator[Doom]:
    name, status = str(pod["metadata"]["name"]), pod.get("status") or {}
    age = now - _seconds(pod["metadata"].get("creationTimestamp", ""))
    for condition in status.get("conditions") or []:
        is_refused = condition["type"] == "PodScheduled" and condition["status"] == "False"
        if is_refused and condition.get("reason") == "Unschedulable" and age > _UNSCHEDULABLE_SECONDS:
            yield Doom("unschedulable", name, condition.get("message", ""))
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        yield from _of_container(name, container, age)
    own = [event for event in events if (event.get("involvedObject") or {}).get("name") == name]
    for event in sorted(own, key=event_time):
        if event.get("reason") == "FailedMount" and age > _MOUNT_SECONDS:
            yield Doom("mount", name, event.get("message", ""))


def _of_container(name: str, container: Object, age: float) -> Iterator[Doom]:
    state = container.get("state") or {}
    waiting = state.get("waiting") or {}
    reason, said = waiting.get("reason", ""), waiting.get("message", "")
    is_final = _FINAL_PULL.search(said) or (reason == _AGAIN_AND_AGAIN and age > _PULL_SECONDS)
    if reason in _SPOILT_IMAGE or (reason in _PULLING and is_final):
        yield Doom("image", name, f"{reason}: {said}")
    if reason in _CONFIGURATION and (age > _CACHE_SECONDS or "cache" not in said):
        yield Doom("configuration", name, f"{reason}: {said}")
    for last in (state.get("terminated"), (container.get("lastState") or {}).get("terminated")):
        if last and (last.get("reason") in _STARTS or last.get("exitCode") in {_NOT_EXECUTABLE, _NOT_FOUND}):
            yield Doom("start", name, ended(last).what)


def _crashes(pods: list[Object]) -> Iterator[Doom]:
    """Yield a hit when one container ended twice, or containers of two pods once each."""
    fallen: list[tuple[str, str]] = []
    for pod in pods:
        name = str(pod["metadata"]["name"])
        for container in (pod.get("status") or {}).get("containerStatuses") or []:
            ends = list(_ends(container))
            count = int(container.get("restartCount", 0)) + bool((container.get("state") or {}).get("terminated"))
            if count > 1 and ends:
                yield Doom("crash", name, f"{count} times: {ended(ends[0]).what}")
            fallen += [(name, ended(item).what) for item in ends[:1]]
    if len({name for name, _ in fallen}) > 1:
        yield Doom("crash", fallen[0][0], f"and {fallen[1][0]} too: {fallen[0][1]}")


def _ends(container: Object) -> Iterator[Object]:
    for state in (container.get("state") or {}, container.get("lastState") or {}):
        if last := state.get("terminated"):
            yield last


def _refused(workload: Object | None, events: list[Object]) -> Iterator[Doom]:
    if workload is None:
        return
    name = str(workload["metadata"]["name"])
    for condition in (workload.get("status") or {}).get("conditions") or []:
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            yield Doom("refused", name, condition.get("message", ""))
        if condition["type"] == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            yield Doom("deadline", name, condition.get("message", ""))
    failed = [
        event
        for event in events
        if event.get("reason") == "FailedCreate"
        and str((event.get("involvedObject") or {}).get("name", "")).startswith(name)
    ]
    if sum(int(event.get("count") or 1) for event in failed) >= _REFUSALS:
        yield Doom("refused", name, str(failed[-1].get("message", "")))


def _seconds(text: str) -> float:
    from pipeline.measurements import read_time

    found = read_time(text) if text else None
    return found.timestamp() if found else 0.0


def own_pods(pods: Mapping[str, Object], labels: Mapping[str, str], *, leaving: bool = False) -> list[Object]:
    """Return the pods that have these labels, those on their way out only when they are asked for."""
    return [
        pod
        for _, pod in sorted(pods.items())
        if (leaving or "deletionTimestamp" not in pod["metadata"])
        and all((pod["metadata"].get("labels") or {}).get(key) == value for key, value in labels.items())
    ]
