# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""How much room a cluster has and leaves: on which nodes, in whatever notation its other users write."""

from datetime import UTC, datetime
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pipeline.preflight import Amount, Facts, Quota
from pipeline.survey import needed, survey
from stackway import clock
from tests.fakes.sites import site

GIB = 1 << 30
READY = {"type": "Ready", "status": "True"}


def node(name: str, *conditions: dict[str, str], **spec: Any) -> dict[str, Any]:
    allocatable = {"cpu": "3920m", "memory": f"{8 << 20}Ki", "pods": "110"}
    status = {"allocatable": allocatable, "conditions": [READY, *conditions]}
    return {"metadata": {"name": name}, "spec": spec, "status": status}


def pod(cpu: str, memory: str, node_name: str = "a", phase: str = "Running") -> dict[str, Any]:
    containers = [{"resources": {"requests": {"cpu": cpu, "memory": memory}}}, {}]
    return {"spec": {"nodeName": node_name, "containers": containers}, "status": {"phase": phase}}


class Api:
    """A cluster that says what it was given, and lets everybody do everything."""

    context = "lab"

    def __init__(self, date: str = "", **items: list[dict[str, Any]] | None) -> None:
        self.items, self.date = items, date

    def get(self, kind: str, name: str) -> None:
        del kind, name

    def try_list(self, kind: str, namespace: str = "") -> list[dict[str, Any]] | None:
        del namespace
        return self.items.get(kind, [])

    def version(self) -> tuple[tuple[int, int], str]:
        return (1, 34), self.date

    def has(self, path: str) -> bool:
        return path.startswith("/apis/")

    def may(self, verb: str, kind: str, namespace: str) -> bool:
        return (verb, kind, namespace) != ("watch", "Pod", "dev")


def seen(date: str = "", **items: list[dict[str, Any]] | None) -> Facts:
    prepared = SimpleNamespace(site=site(), plan=SimpleNamespace(steps=()))
    return survey(cast("Any", Api(date, **items)), cast("Any", prepared))


@pytest.mark.parametrize(
    ("running", "expected"),
    [
        ([], Amount(3920, 8 * GIB, 110)),
        ([pod("1", "1Gi")], Amount(2920, 7 * GIB, 109)),
        ([pod("0.5", "1G")], Amount(3420, 8 * GIB - 10**9, 109)),
        ([pod("1e-1", "512M")], Amount(3820, 8 * GIB - 512 * 10**6, 109)),
        ([pod("1", "1Gi", phase="Succeeded"), pod("1", "1Gi", phase="Failed")], Amount(3920, 8 * GIB, 110)),
        ([pod("1", "1Gi", "", "Pending")], Amount(2920, 7 * GIB, 109)),
        ([pod("1", "1Gi", "elsewhere")], Amount(3920, 8 * GIB, 110)),
    ],
)
def test_room_is_what_running_pods_leave_of_the_nodes(running: list[dict[str, Any]], expected: Amount) -> None:
    assert seen(Node=[node("a")], Pod=running).free == expected


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (node("b", unschedulable=True), "it is cordoned"),
        (node("b", {"type": "DiskPressure", "status": "True"}), "DiskPressure"),
        (node("b", {"type": "Ready", "status": "Unknown", "message": "no heartbeat"}), "no heartbeat"),
        (node("b", {"type": "Ready", "status": "False"}), "it does not report"),
    ],
)
def test_node_that_takes_no_pods_gives_no_room_and_its_pods_take_none(other: dict[str, Any], why: str) -> None:
    found = seen(Node=[node("a"), other], Pod=[pod("3", "6Gi", "b")])
    assert found.nodes == {"a": "", "b": why}
    assert found.free == Amount(3920, 8 * GIB, 110)


@pytest.mark.parametrize("hidden", ["Node", "Pod"])
def test_room_is_unknown_where_nobody_may_look(hidden: str) -> None:
    lists: dict[str, Any] = {"Node": [node("a")], "Pod": [], hidden: None}
    assert seen(**lists).free is None


def test_quota_leaves_what_is_not_used_in_any_notation() -> None:
    status = {"hard": {"requests.memory": "10G", "pods": "1k", "limits.cpu": "2"}, "used": {"requests.memory": "1G"}}
    (found,) = seen(ResourceQuota=[{"metadata": {"name": "tight"}, "status": status}]).quotas
    left = {"requests.memory": 9 * 10**12, "pods": 10**6, "limits.cpu": 2000}
    assert found == Quota("tight", left)


def test_needed_is_what_all_pods_of_workloads_ask_for() -> None:
    template = {"template": pod("250m", "64Mi")}
    items = [{"kind": "Deployment", "spec": {**template, "replicas": 3}}, {"kind": "StatefulSet", "spec": template}]
    assert needed([*items, {"kind": "Job", "spec": template}]) == Amount(1000, GIB // 4, 4)


def test_clock_is_compared_with_the_cluster_where_it_tells_the_time() -> None:
    assert abs(seen(format_datetime(clock.now())).skew) < 5
    assert seen(format_datetime(datetime(2020, 1, 1, tzinfo=UTC))).skew > 10**8
    assert seen("yesterday").skew == 0.0


def test_what_may_not_be_done_is_named() -> None:
    assert seen().forbidden == ("watch Pod",)
    assert not seen().exists
