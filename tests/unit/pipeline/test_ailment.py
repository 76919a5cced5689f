# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a pod, a job or a workload, in plain words: the cause rather than the sign, and what to do."""

from typing import Any

import pytest

from pipeline.ailment import Restarts, ended, event_time, is_ready, job_ailment, pod_ailment, restarts, workload_ailment

Object = dict[str, Any]
OOM: Object = {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-05-01T10:00:00Z"}
ERROR: Object = {"exitCode": 1, "reason": "Error", "finishedAt": "2026-05-01T11:00:00Z"}


def pod(*containers: Object, ready: str = "False", init: tuple[Object, ...] = (), **status: Any) -> Object:
    conditions = [{"type": "Ready", "status": ready}, *status.pop("conditions", [])]
    statuses = {"containerStatuses": list(containers), "initContainerStatuses": list(init)}
    return {"metadata": {"name": "a"}, "status": {"conditions": conditions, **statuses, **status}}


def waiting(reason: str, message: str = "", last: Object | None = None) -> Object:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"state": state, "lastState": {"terminated": last} if last else {}}


def event(reason: str, message: str, at: str = "2026-05-01T10:00:00Z") -> Object:
    return {"metadata": {}, "reason": reason, "message": message, "lastTimestamp": at}


@pytest.mark.parametrize(
    ("sick", "told"),
    [
        (pod(waiting("ImagePullBackOff", "not found")), "its image cannot be pulled (ImagePullBackOff): not found"),
        (pod(waiting("CreateContainerConfigError", "secret x")), "configuration that it needs is missing: secret x"),
        (pod(waiting("CreateContainerError")), "its container cannot be made: CreateContainerError"),
        (pod(waiting("CrashLoopBackOff", last=OOM)), "again and again: it used more memory than its limit"),
        (pod(waiting("CrashLoopBackOff", "back-off 10s")), "again and again: back-off 10s"),
        (pod(waiting("ContainerCreating", last=ERROR)), "it starts again: it ended with exit code 1"),
        (pod({"state": {"terminated": ERROR}}), "it ended with exit code 1"),
        (pod({"state": {"running": {}}, "lastState": {"terminated": OOM}}), "it starts again: it used more memory"),
        (pod(waiting("PodInitializing"), init=(waiting("ErrImagePull"),)), "its image cannot be pulled"),
        (pod(reason="Evicted", message="low on memory"), "its node has put it out: low on memory"),
        (pod(ready="Unknown"), "its node does not report any more"),
        (pod(phase="Unknown"), "its node does not report any more"),
        (pod(phase="Failed", reason="Preempting"), "it failed: Preempting"),
        (
            pod(conditions=[{"type": "PodScheduled", "status": "False", "message": "0/1 nodes:\n  cpu"}]),
            "no node takes it: 0/1 nodes: cpu",
        ),
    ],
)
def test_sick_pod_says_its_cause_and_what_to_do(sick: Object, told: str) -> None:
    found = pod_ailment(sick)
    assert found is not None
    assert told in found.what
    assert found.mend
    assert not found.starts


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([event("FailedMount", "no such secret")], "cannot be mounted: no such secret"),
        ([event("FailedCreatePodSandBox", "no address")], "its node cannot begin it: no address"),
        ([event("Unhealthy", "Readiness probe failed: 503")], "runs and does not answer: Readiness probe failed: 503"),
        (
            [event("FailedMount", "later", "2026-05-01T12:00:00Z"), event("FailedCreatePodSandBox", "earlier")],
            "cannot be mounted: later",
        ),
    ],
)
def test_newest_event_tells_why_when_the_pod_itself_does_not(events: list[Object], told: str) -> None:
    found = pod_ailment(pod(waiting("ContainerCreating")), events)
    assert found is not None
    assert told in found.what


def test_cause_in_the_pod_goes_before_what_events_say() -> None:
    found = pod_ailment(pod(waiting("ErrImagePull")), [event("FailedMount", "long ago")])
    assert found is not None
    assert "image" in found.what


@pytest.mark.parametrize(
    "starting",
    [
        {"metadata": {"name": "a"}},
        pod(waiting("ContainerCreating")),
        pod(waiting("PodInitializing"), init=({"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}},)),
    ],
)
def test_pod_of_which_nothing_is_wrong_yet_starts(starting: Object) -> None:
    found = pod_ailment(starting, [event("Pulled", "done"), event("Unhealthy", "Startup probe failed")])
    assert found is not None
    assert found.starts


def test_pod_that_is_ready_or_leaves_has_no_ailment() -> None:
    leaving = pod(waiting("CrashLoopBackOff"), ready="True")
    leaving["metadata"]["deletionTimestamp"] = "2026-05-01T10:00:00Z"
    assert pod_ailment(leaving) is None
    assert not is_ready(leaving)
    assert pod_ailment(pod(ready="True")) is None


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (0, "by itself"),
        (1, "exit code 1"),
        (126, "cannot be started"),
        (127, "cannot be started"),
        (128, "exit code 128"),
        (137, "signal 9 (killed"),
        (139, "signal 11 (invalid memory"),
        (162, "signal 34 (a signal)"),
    ],
)
def test_exit_code_is_told_as_what_it_means(code: int, told: str) -> None:
    found = ended({"exitCode": code, "message": "last\n words"})
    assert told in found.what
    assert found.what.endswith(": last words")


def test_end_with_the_node_is_not_blamed_on_the_program() -> None:
    assert "its node" in ended({"exitCode": 255, "reason": "Unknown"}).what


def test_long_message_is_cut_to_one_line() -> None:
    found = ended({"exitCode": 1, "message": "word\n" * 1000})
    assert "\n" not in found.what
    assert len(found.what) < 300
    assert found.what.endswith("…")


def test_restarts_of_all_containers_count_and_the_newest_end_says_why() -> None:
    older = {"restartCount": 2, "lastState": {"terminated": OOM}}
    newer = {"restartCount": 1, "lastState": {"terminated": ERROR}}
    found = restarts(pod(older, newer, init=({"restartCount": 4},)))
    assert found == Restarts(7, "it ended with exit code 1", ERROR["finishedAt"])
    assert restarts({"metadata": {}}) == Restarts(0)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ({"conditions": [{"type": "Complete", "status": "True"}]}, None),
        ({"conditions": [{"type": "Failed", "status": "True", "message": "too often"}]}, "it failed: too often"),
        ({"conditions": [{"type": "Failed", "status": "True"}]}, "it failed: no reason given"),
        ({"conditions": [{"type": "Failed", "status": "False"}], "failed": 3}, "it runs; 3 tries failed"),
        (None, "it runs"),
    ],
)
def test_job_is_well_only_when_it_is_done(status: Object | None, told: str | None) -> None:
    found = job_ailment({"status": status})
    assert (found and found.what) == told
    assert found is None or found.starts == (told == "it runs")


def test_refused_pods_of_a_workload_are_told_from_its_state_or_the_newest_event() -> None:
    events = [
        event("FailedCreate", "second", "2026-05-01T12:00:00Z"),
        event("FailedCreate", "first"),
        event("Other", "x"),
    ]
    state = {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]}
    for workload, told in (({}, "second"), ({"status": state}, "exceeded quota")):
        found = workload_ailment(workload, events)
        assert found is not None
        assert found.what == f"its pods are refused: {told}"
    assert workload_ailment({}, events[2:]) is None


@pytest.mark.parametrize(
    "said",
    [
        {"series": {"lastObservedTime": "now"}, "eventTime": "before"},
        {"lastTimestamp": "now", "eventTime": "before"},
        {"lastTimestamp": None, "eventTime": "now"},
        {"metadata": {"creationTimestamp": "now"}},
    ],
)
def test_event_is_of_when_it_was_seen_last(said: Object) -> None:
    assert event_time({"metadata": {"creationTimestamp": "before"}, **said}) == "now"
