# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""When an object counts as ready, as on its way, and as broken."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.readiness import State, readiness

STUCK = {"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "timed out"}
GOING = {"type": "Progressing", "reason": "ReplicaSetUpdated"}


def workload(generation: int = 2, wanted: int = 2, kind: str = "Deployment", **status: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"generation": generation}, "spec": {"replicas": wanted}, "status": status}


def job(*conditions: tuple[str, str], **status: Any) -> dict[str, Any]:
    rows = [{"type": kind, "status": value, "message": "of the cluster"} for kind, value in conditions]
    return {"kind": "Job", "metadata": {}, "spec": {}, "status": {"conditions": rows, **status}}


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
@pytest.mark.parametrize(
    ("status", "state", "reason"),
    [
        ({}, State.WAITING, "the cluster has not seen it yet"),
        ({"observedGeneration": 1, "readyReplicas": 2, "updatedReplicas": 2}, State.WAITING, "not seen it"),
        ({"observedGeneration": 1, "conditions": [STUCK]}, State.WAITING, "not seen it"),
        ({"observedGeneration": 2}, State.WAITING, "0 of 2 pods ready"),
        ({"observedGeneration": 2, "readyReplicas": 1, "updatedReplicas": 2}, State.WAITING, "1 of 2 pods ready"),
        ({"observedGeneration": 2, "readyReplicas": 2, "updatedReplicas": 1}, State.WAITING, "2 of 2"),
        ({"observedGeneration": 2, "readyReplicas": 2, "updatedReplicas": 2}, State.READY, ""),
        (
            {"observedGeneration": 2, "readyReplicas": 2, "updatedReplicas": 2, "replicas": 3},
            State.WAITING,
            "1 old pods are still there",
        ),
        ({"observedGeneration": 2, "readyReplicas": 2, "updatedReplicas": 2, "replicas": 2}, State.READY, ""),
        ({"observedGeneration": 3, "readyReplicas": 3, "updatedReplicas": 3}, State.READY, ""),
        ({"observedGeneration": 2, "conditions": [GOING]}, State.WAITING, "0 of 2"),
        ({"observedGeneration": 2, "conditions": [GOING, STUCK]}, State.FAILED, "timed out"),
    ],
)
def test_workload_is_ready_with_all_its_new_pods(kind: str, status: dict[str, Any], state: State, reason: str) -> None:
    found = readiness(workload(kind=kind, **status))
    assert found.state is state
    assert reason in found.reason


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))
def test_least_alone_says_how_many_pods_are_enough(replicas: int, ready: int, least: int) -> None:
    item = workload(wanted=replicas, observedGeneration=2, readyReplicas=ready, updatedReplicas=ready)
    assert (readiness(item, least).state is State.READY) == (ready >= least)
    assert (readiness(item).state is State.READY) == (ready >= replicas)


@pytest.mark.parametrize(
    ("item", "state", "reason"),
    [
        (job(), State.WAITING, "running"),
        (job(failed=2), State.WAITING, "2 tries failed"),
        (job(("Complete", "True"), failed=2), State.READY, ""),
        (job(("Failed", "True")), State.FAILED, "of the cluster"),
        (job(("Failed", "False")), State.WAITING, "running"),
        (job(("FailureTarget", "True")), State.WAITING, "running"),
        (job(("SuccessCriteriaMet", "True")), State.WAITING, "running"),
        (job(("FailureTarget", "True"), ("Failed", "True")), State.FAILED, "of the cluster"),
        ({"kind": "Job", "metadata": {}, "status": None}, State.WAITING, "running"),
    ],
)
def test_job_is_ready_when_it_is_complete(item: dict[str, Any], state: State, reason: str) -> None:
    assert (readiness(item).state, readiness(item).reason) == (state, reason)


@pytest.mark.parametrize(
    ("phase", "state"),
    [("Bound", State.READY), ("Pending", State.READY), ("", State.READY), ("Lost", State.FAILED)],
)
def test_claim_may_wait_for_its_first_pod_and_not_lose_its_disk(phase: str, state: State) -> None:
    found = readiness({"kind": "PersistentVolumeClaim", "status": {"phase": phase} if phase else {}})
    assert found.state is state
    assert phase in found.reason or state is State.READY


@pytest.mark.parametrize("kind", ["ConfigMap", "Service", "Namespace", "Role"])
def test_what_has_nothing_to_become_is_ready(kind: str) -> None:
    assert readiness({"kind": kind, "metadata": {"generation": 9}}).state is State.READY
