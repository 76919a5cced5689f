# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What objects of Kubernetes say: who a pod is, how it does, why it does not, what it uses. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

Object = dict[str, Any]
# Of ends longer ago than this nobody says that they are why something is amiss now.
_RECENT = 300.0
_FACTORS = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "k": 1e3, "M": 1e6, "G": 1e9}


def name_of(item: Object) -> str:
    return str(item["metadata"]["name"])


def label(item: Object, name: str) -> str:
    return str((item["metadata"].get("labels") or {}).get(name, ""))


def annotation(item: Object, name: str) -> str:
    return str((item["metadata"].get("annotations") or {}).get(name, ""))


def status_of(item: Object) -> dict[str, Any]:
    return item.get("status") or {}


def is_leaving(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def is_ready(pod: Object) -> bool:
    """Tell whether a pod takes requests."""
    conditions = status_of(pod).get("conditions") or []
    ready = any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
    return ready and not is_leaving(pod)


def is_running(pod: Object) -> bool:
    """Tell whether a pod can be asked at all."""
    status = status_of(pod)
    return bool(status.get("podIP")) and status.get("phase") == "Running" and not is_leaving(pod)


def why(pods: Iterable[Object], now: float) -> tuple[str, bool]:
    """Return what pods say of why one of them is missing, and whether that is a reason and no mere sign."""
    signs = []
    for pod in pods:
        if is_ready(pod):
            continue
        if is_leaving(pod):
            return f"{name_of(pod)} was deleted", True
        if reason := _reason(pod, now):
            return f"{name_of(pod)}: {reason}", True
        if status_of(pod).get("phase") == "Running":
            signs.append(f"{name_of(pod)} is not ready")
    return (signs[0] if signs else ""), False


def _reason(pod: Object, now: float) -> str:
    """Return why the node ended a pod, or how a container of it ended lately."""
    if reason := status_of(pod).get("reason"):
        return str(reason)
    for item in status_of(pod).get("containerStatuses") or []:
        for state in (item.get("state") or {}, item.get("lastState") or {}):
            ended = state.get("terminated")
            if ended and now - _seconds(ended.get("finishedAt")) < _RECENT:
                return f"{ended.get('reason', 'ended')}, exit code {ended.get('exitCode')}"
    return ""


def _seconds(text: Any) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return 0.0


def number(text: str) -> float:
    """Return a quantity of Kubernetes as a number."""
    unit = text.lstrip("0123456789.")
    return float(text[: len(text) - len(unit)] or 0) * _FACTORS.get(unit, 1.0)


def use(row: Object) -> dict[str, float]:
    """Return what a pod uses, from an object of metrics.k8s.io."""
    found = [item.get("usage") or {} for item in row.get("containers") or []]
    return {key: sum(number(item.get(key, "0")) for item in found) for key in ("cpu", "memory")}


def pod_rows(pods: Iterable[Object], labels: Mapping[str, str], uses: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield who a pod is, what it uses and may use, and how often it began again."""
    for pod in pods:
        service, process = label(pod, labels["service"]), label(pod, labels["process"])
        if not (service and process) or status_of(pod).get("phase") in {"Succeeded", "Failed"}:
            continue
        given = [item.get("resources") or {} for item in pod["spec"]["containers"]]
        statuses = status_of(pod).get("containerStatuses") or []
        yield {
            "labels": {"service": service, "process": process, "pod": name_of(pod)},
            "limit": _total(given, "limits", "memory"),
            "asked": _total(given, "requests", "cpu"),
            "restarts": sum(item.get("restartCount", 0) for item in statuses),
            **uses.get(name_of(pod), {}),
        }


def _total(given: Iterable[Object], kind: str, key: str) -> float | None:
    found = [number(item[kind][key]) for item in given if key in (item.get(kind) or {})]
    return sum(found) if found else None


def workload_rows(workloads: Iterable[Object], labels: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield how many pods a workload wants and has."""
    for item in workloads:
        named = {key: label(item, labels[key]) for key in ("service", "process")} | {"workload": name_of(item)}
        yield {"labels": named, "wanted": wanted_of(item), "ready": ready_of(item)}


def scaler_rows(scalers: Iterable[Object]) -> Iterator[dict[str, Any]]:
    """Yield how many pods a workload may be scaled to."""
    for item in scalers:
        yield {"labels": {"workload": item["spec"]["scaleTargetRef"]["name"]}, "most": item["spec"]["maxReplicas"]}


def wanted_of(workload: Object) -> int:
    return int((workload.get("spec") or {}).get("replicas", 1))


def ready_of(workload: Object) -> int:
    return int(status_of(workload).get("readyReplicas") or 0)
