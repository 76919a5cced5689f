# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Rules by which a new revision is given up, and what is no reason for it."""

from typing import Any

import pytest

from pipeline.measurements import read_time
from pipeline.rollout.doom import doom, own_pods

CREATED = "2026-11-01T10:00:00Z"
BEGIN = read_time(CREATED)
assert BEGIN
NOW = BEGIN.timestamp()


def pod(name: str = "a-1", **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "creationTimestamp": CREATED, "labels": {"r": "new"}}, "status": status}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"containerStatuses": [{"state": {"waiting": {"reason": reason, "message": message}}, "restartCount": 0}]}


def fallen(code: int, count: int, reason: str = "Error") -> dict[str, Any]:
    last = {"terminated": {"exitCode": code, "reason": reason}}
    return {"containerStatuses": [{"state": {"running": {}}, "lastState": last, "restartCount": count}]}


UNSCHEDULABLE = {
    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}]
}


@pytest.mark.parametrize(
    ("status", "after", "rule"),
    [
        (waiting("InvalidImageName"), 0, "image"),
        (waiting("ErrImageNeverPull"), 0, "image"),
        (waiting("ErrImagePull", "manifest unknown"), 1, "image"),
        (waiting("ImagePullBackOff", "x: not found"), 1, "image"),
        (waiting("ErrImagePull", "i/o timeout"), 60, None),
        (waiting("ImagePullBackOff", "i/o timeout"), 15, None),
        (waiting("ImagePullBackOff", "i/o timeout"), 21, "image"),
        (waiting("CreateContainerConfigError", 'configmap "x" not found'), 1, "configuration"),
        (waiting("CreateContainerConfigError", "failed to sync configmap cache"), 1, None),
        (waiting("CreateContainerConfigError", "failed to sync configmap cache"), 9, "configuration"),
        (waiting("ContainerCreating"), 60, None),
        (fallen(127, 1), 1, "start"),
        (fallen(128, 1, "StartError"), 1, "start"),
        (fallen(1, 1), 1, None),
        (fallen(1, 2), 3, "crash"),
        (fallen(137, 2, "OOMKilled"), 3, "crash"),
        (UNSCHEDULABLE, 5, None),
        (UNSCHEDULABLE, 16, "unschedulable"),
    ],
)
def test_pod_is_given_up_by_the_rule(status: dict[str, Any], after: float, rule: str | None) -> None:
    found = doom([pod(**status)], None, [], NOW + after)
    assert (found.rule if found else None) == rule


def test_one_crash_in_each_of_two_pods_is_enough() -> None:
    found = doom([pod("a-1", **fallen(1, 1)), pod("a-2", **fallen(1, 1))], None, [], NOW + 2)
    assert found
    assert (found.rule, found.object) == ("crash", "a-1")
    assert "a-2" in found.seen


def test_pods_that_are_refused_never_exist() -> None:
    workload = {
        "metadata": {"name": "a"},
        "status": {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]},
    }
    found = doom([], workload, [], NOW)
    assert found
    assert (found.rule, found.seen) == ("refused", "exceeded quota")


@pytest.mark.parametrize(("count", "is_hit"), [(1, False), (2, True)])
def test_admission_may_say_no_once(count: int, is_hit: bool) -> None:  # noqa: FBT001
    event = {
        "reason": "FailedCreate",
        "message": "denied",
        "count": count,
        "involvedObject": {"name": "a-5d"},
        "metadata": {},
    }
    found = doom([], {"metadata": {"name": "a"}, "status": {}}, [event], NOW)
    assert bool(found) is is_hit


def test_volume_that_cannot_be_mounted_is_given_time() -> None:
    event = {"reason": "FailedMount", "message": "no such secret", "involvedObject": {"name": "a-1"}, "metadata": {}}
    waits = pod(**waiting("ContainerCreating"))
    assert doom([waits], None, [event], NOW + 5) is None
    found = doom([waits], None, [event], NOW + 31)
    assert found
    assert found.rule == "mount"


def test_pods_of_another_revision_and_those_that_leave_do_not_count() -> None:
    leaves = {**pod("a-2"), "metadata": {**pod("a-2")["metadata"], "deletionTimestamp": CREATED}}
    other = {"metadata": {"name": "a-3", "labels": {"r": "old"}}}
    found = own_pods({"a-1": pod(), "a-2": leaves, "a-3": other}, {"r": "new"})
    assert [item["metadata"]["name"] for item in found] == ["a-1"]
