# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What the prober counts and tells; its program is fed by hand, with a time of its own."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.manifests.monitoring import monitoring, plan
from pipeline.manifests.render import render
from pipeline.measurements import read_measurements, read_time
from pipeline.programs.prober.counts import KEPT, Counts, Histogram, Target
from pipeline.programs.prober.facts import Object, pod_rows, why
from pipeline.programs.prober.facts import number as quantity
from pipeline.programs.prober.losses import Losses
from pipeline.programs.prober.pages import metrics, status
from tests.fakes.sites import site

API, POD = Target("nova", "api"), Target("nova", "api", "nova-api-1", "r1")
KEY = ("nova", "api")
NOW = 1_790_000_000.0


def counted(*kinds: str, target: Target = API, begin: float = NOW) -> Counts:
    counts = Counts(NOW)
    for second, kind in enumerate(kinds):
        counts.answer(target, begin + second, kind, 0.1)
    return counts


def test_disruption_lasts_until_requests_are_answered_again_and_again() -> None:
    counts = counted("ok", "refused", "timeout", "ok", "ok", "ok")
    assert counts.open == {}
    (found,) = counts.past
    assert (found.begin - NOW, found.end and found.end - NOW) == (1.0, 5.0)
    assert found.what == "requests fail: refused"
    assert counts.heals[KEY].total == 4.0


def test_one_good_answer_between_failures_heals_nothing() -> None:
    counts = counted("refused", "ok", "ok", "refused", "ok", "ok")
    assert list(counts.open) == [KEY]
    assert not counts.past


def test_failures_of_one_pod_are_no_disruption_of_the_service() -> None:
    assert counted("refused", "refused", target=POD).open == {}


def test_lost_pods_are_a_disruption_even_when_all_requests_are_answered() -> None:
    counts = counted("ok")
    counts.lost(KEY, NOW + 1, "nova-api-r1", "1 of 2 pods ready")
    for second in range(2, 6):
        counts.answer(API, NOW + second, "ok", 0.1)
    assert list(counts.open) == [KEY]
    counts.whole(KEY, NOW + 8, "nova-api-r1")
    assert counts.past[0].end == NOW + 8


@pytest.mark.parametrize(
    ("told", "cause"),
    [
        ([("", False), ("a was deleted", True)], "a was deleted"),
        ([("a is not ready", False), ("a: OOMKilled, exit code 137", True)], "a: OOMKilled, exit code 137"),
        ([("a was deleted", True), ("b: Error, exit code 1", True)], "a was deleted"),
        ([("a is not ready", False), ("b is not ready", False)], "a is not ready"),
    ],
)
def test_cause_is_the_first_that_is_more_than_a_sign(told: list[tuple[str, bool]], cause: str) -> None:
    counts = counted("refused")
    for text, sure in told:
        counts.explain(KEY, text, sure=sure)
    assert counts.open[KEY].cause == cause


def test_what_is_whole_has_no_cause() -> None:
    counts = counted("ok")
    counts.explain(KEY, "a was deleted", sure=True)
    assert counts.open == {}


def test_workers_that_nobody_asks_are_whole_when_their_pods_are_back() -> None:
    counts = Counts(NOW)
    counts.lost(KEY, NOW, "w", "0 of 1 pods ready")
    counts.whole(KEY, NOW + 3, "w")
    assert counts.past[0].end == NOW + 3


def test_only_the_last_disruptions_are_kept_and_all_are_counted() -> None:
    counts = Counts(NOW)
    for number in range(KEPT + 7):
        counts.lost(KEY, NOW + number, "w", "gone")
        counts.whole(KEY, NOW + number + 0.5, "w")
    assert len(counts.past) == KEPT
    assert counts.heals[KEY].count == KEPT + 7


def test_window_forgets_what_is_old_and_totals_do_not() -> None:
    counts = counted("refused", "ok")
    tally = counts.tallies[API]
    assert tally.recent(NOW + 1) == (2, 1)
    assert tally.recent(NOW + 299.5) == (2, 1)
    assert tally.recent(NOW + 302) == (0, 0)
    assert (tally.requests, tally.failures) == (2, 1)


def test_pods_that_are_gone_are_forgotten() -> None:
    counts = counted("ok", target=POD)
    counts.answer(API, NOW, "ok", 0.1)
    counts.forget(NOW + 1000, 900)
    assert list(counts.tallies) == [API]


@given(st.lists(st.floats(0, 100), max_size=50))
def test_buckets_of_a_histogram_never_fall(values: list[float]) -> None:
    found = Histogram()
    for value in values:
        found.add(value)
    assert found.buckets == sorted(found.buckets)
    assert found.count == len(values)
    assert all(number <= found.count for number in found.buckets)


def pod(name: str = "a", *, ready: bool = False, leaving: bool = False, **status: Any) -> Object:
    conditions = [{"type": "Ready", "status": str(ready)}]
    metadata = {"name": name, "labels": {"s": "nova", "p": "api"}, **({"deletionTimestamp": "x"} if leaving else {})}
    return {"metadata": metadata, "status": {"phase": "Running", "conditions": conditions, **status}}


def ended(reason: str, ago: float) -> Object:
    at = datetime.fromtimestamp(NOW - ago, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"lastState": {"terminated": {"reason": reason, "exitCode": 137, "finishedAt": at}}, "restartCount": 3}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (pod(ready=True), ("", False)),
        (pod(ready=True, leaving=True), ("a was deleted", True)),
        (pod(containerStatuses=[ended("OOMKilled", 20)]), ("a: OOMKilled, exit code 137", True)),
        # What ended an hour ago is no reason now.
        (pod(containerStatuses=[ended("OOMKilled", 3600)]), ("a is not ready", False)),
        (pod(reason="Evicted", phase="Failed"), ("a: Evicted", True)),
        (pod(phase="Pending"), ("", False)),
    ],
)
def test_pods_tell_why_one_is_missing(given: Object, told: tuple[str, bool]) -> None:
    assert why([given], NOW) == told


def workload(ready: int, wanted: int = 2) -> Object:
    return {"metadata": {"name": "nova-api"}, "spec": {"replicas": wanted}, "status": {"readyReplicas": ready}}


@pytest.mark.parametrize(
    ("seen", "disrupted"),
    [
        ([(0, 2), (1, 2)], False),
        ([(2, 2), (1, 2)], True),
        ([(2, 2), (1, 2), (2, 2)], False),
        ([(2, 2), (2, 1), (1, 1)], False),
        ([(1, 2), (0, 2)], True),
        ([(2, 2), (0, 0)], False),
    ],
    ids=["comes", "loses one", "gets it back", "is scaled down", "loses its first", "is not wanted"],
)
def test_workload_is_disrupted_by_what_it_loses(seen: list[tuple[int, int]], *, disrupted: bool) -> None:
    counts = Counts(NOW)
    losses = Losses(counts, lambda _service, _process: [pod(leaving=True)])
    for ready, wanted in seen:
        losses.compare(KEY, workload(ready, wanted), gone=False)
    assert [item.cause for item in counts.open.values()] == (["a was deleted"] if disrupted else [])


def test_pod_that_went_before_its_workload_says_so_is_the_cause() -> None:
    counts = Counts(NOW)
    losses = Losses(counts, lambda _service, _process: [])
    losses.compare(KEY, workload(2), gone=False)
    losses.left(KEY, pod())
    losses.compare(KEY, workload(1), gone=False)
    assert counts.open[KEY].cause == "a was deleted"


def test_workload_that_is_gone_is_no_disruption() -> None:
    counts = Counts(NOW)
    losses = Losses(counts, lambda _service, _process: [])
    for ready, gone in ((2, False), (1, False), (1, True)):
        losses.compare(KEY, workload(ready), gone=gone)
    assert (len(counts.open), len(counts.past)) == (0, 1)


def test_pod_has_what_it_may_use_and_without_meters_not_what_it_uses() -> None:
    limits = [{"resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "50m"}}}, {}]
    given = {**pod(containerStatuses=[ended("Error", 1)]), "spec": {"containers": limits}}
    (row,) = pod_rows([given], {"service": "s", "process": "p"}, {})
    assert (row["limit"], row["asked"], row["restarts"]) == (2.0**30, 0.05, 3)
    assert not {"cpu", "memory"} & set(row)


@pytest.mark.parametrize(("text", "value"), [("714709n", 0.000714709), ("100m", 0.1), ("224Mi", 234881024), ("2", 2)])
def test_quantities_are_numbers(text: str, value: float) -> None:
    assert quantity(text) == pytest.approx(value)


LINE = re.compile(r'(?P<name>[a-z_]+)(\{(?P<labels>([a-z_]+="([^"\\\n]|\\.)*",?)+)\})? (?P<value>[0-9.e+-]+|\+Inf)\Z')


@given(st.text(max_size=20))
def test_metrics_can_be_read_whatever_names_hold(name: str) -> None:
    counts = counted("ok", "http_500", target=Target("nova", "api", name, "r1"))
    text = metrics(counts, [{"labels": {"pod": name}, "cpu": 0.25, "memory": 1.5e9}])
    lines = text.split("\n")
    assert lines.pop() == ""
    samples = [line for line in lines if not line.startswith("# ")]
    assert all(LINE.match(line) for line in samples)
    typed = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    for line in samples:
        assert re.sub("_(bucket|sum|count)$", "", line.partition("{")[0].partition(" ")[0]) in typed


def test_metrics_tell_outcomes_and_times() -> None:
    lines = metrics(counted("ok", "ok", "http_500"), []).splitlines()
    assert 'stackway_requests_total{service="nova",process="api",via="service",outcome="http_500"} 1' in lines
    assert 'stackway_request_seconds_count{service="nova",process="api",via="service"} 3' in lines
    assert 'stackway_disrupted{service="nova",process="api"} 1' in lines


def test_every_metric_is_in_the_docs() -> None:
    page = (Path(__file__).parents[3] / "docs/explanation/monitoring.md").read_text(encoding="utf-8")
    offered = {line.split()[2] for line in metrics(Counts(NOW), []).splitlines() if line.startswith("# TYPE")}
    assert set(re.findall(r"`(stackway_[a-z_]+)`", page)) == offered


def test_status_is_what_the_reader_reads() -> None:
    counts = counted("ok", "ok", "http_500")
    counts.answer(POD, NOW, "reset", 0.1)
    told = status(counts, NOW + 3, {})
    now = read_time(NOW + 3)
    assert now
    found = read_measurements(told, now)
    assert (found.answers[KEY].requests, found.answers[KEY].failures) == (3, 1)
    assert [item.what for item in found.open(KEY)] == ["requests fail: http_500"]
    assert told["pods"][0]["kinds"] == {"reset": 1}


@pytest.mark.parametrize("version", ["2025.1.0", "2026.1.0"])
def test_plan_asks_every_api_of_the_release(version: str) -> None:
    asked = {(entry["service"], entry["process"]) for entry in plan(site(version))["targets"] if entry["requests"]}
    apis = {
        (service.name, name)
        for service in site(version).openstack
        for name, process in service.processes.items()
        if process.port
    }
    assert apis <= asked


def test_prober_may_only_look_and_only_here() -> None:
    found = monitoring(site())
    kinds = {item["kind"] for item in found}
    assert not kinds & {"ClusterRole", "ClusterRoleBinding", "Secret"}
    (role,) = [item for item in found if item["kind"] == "Role"]
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} <= {"get", "list", "watch"}
    assert "secrets" not in {name for rule in role["rules"] for name in rule["resources"]}


def test_prometheus_of_the_cluster_finds_and_reaches_what_has_metrics() -> None:
    found = render(site(external={"monitoring": True})).objects
    pods = [item["spec"]["template"]["metadata"] for item in found if item["kind"] in {"Deployment", "StatefulSet"}]
    ports = {item.get("annotations", {}).get("prometheus.io/port") for item in pods} - {None}
    ways = [item["spec"] for item in found if item["kind"] == "NetworkPolicy"]
    opened = {
        str(port["port"])
        for way in ways
        for rule in way.get("ingress", [])
        for port in rule["ports"]
        if "from" not in rule
    }
    assert len(ports) > 1
    assert ports <= opened
    assert "prometheus" not in {item["metadata"]["name"] for item in found if item["kind"] == "Service"}


def test_without_it_metrics_are_for_our_own_only() -> None:
    found = render(site()).objects
    (way,) = [item for item in found if item["kind"] == "NetworkPolicy" and item["metadata"]["name"] == "rabbitmq"]
    assert all("from" in rule for rule in way["spec"]["ingress"])
