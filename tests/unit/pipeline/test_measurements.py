# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What is read of a prober's status and of meters: nothing that is old, broken or doubtful is taken for measured."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.measurements import FRESH_SECONDS, Answers, Use, quantity, read_measurements, read_time, read_uses

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
KEY = ("glance", "api")
ROW = {"service": "glance", "process": "api"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def status(**given_: Any) -> dict[str, Any]:
    return {"at": NOW.timestamp(), **given_}


@pytest.mark.parametrize("age", [0.0, FRESH_SECONDS, -FRESH_SECONDS])
def test_fresh_status_is_believed_even_when_clocks_differ_a_little(age: float) -> None:
    found = read_measurements(status(at=(NOW - timedelta(seconds=age)).isoformat(), targets=[]), NOW)
    assert (found.trouble, found.seconds) == ("", 300.0)


@pytest.mark.parametrize("age", [FRESH_SECONDS + 1, -FRESH_SECONDS - 1])
def test_status_of_another_time_says_nothing(age: float) -> None:
    row = {**ROW, "requests": 5, "failures": 0}
    found = read_measurements(status(at=NOW.timestamp() - age, targets=[row]), NOW)
    assert (found.answers, found.disruptions) == ({}, ())
    assert "not of now" in found.trouble


@pytest.mark.parametrize("value", [None, [], "text", {}, {"at": True}, {"at": "soon"}, {"at": float("nan")}])
def test_what_is_no_status_says_nothing(value: Any) -> None:
    found = read_measurements(value, NOW)
    assert found.answers == {}
    assert found.trouble


def test_answers_of_several_targets_of_a_process_are_one_sum() -> None:
    rows = [{**ROW, "requests": 5, "failures": 1}, {**ROW, "requests": 7, "failures": 0}]
    assert read_measurements(status(targets=rows), NOW).answers == {KEY: Answers(12, 1)}


@pytest.mark.parametrize(
    "row",
    [
        "no row",
        {"requests": 5, "failures": 0},
        {**ROW, "process": 7, "requests": 5, "failures": 0},
        {**ROW, "requests": 5},
        {**ROW, "requests": -1, "failures": -2},
        {**ROW, "requests": 5, "failures": 6},
        {**ROW, "requests": True, "failures": False},
        {**ROW, "requests": 5.0, "failures": 0},
    ],
)
def test_counts_that_cannot_be_are_left_out(row: Any) -> None:
    assert read_measurements(status(targets=[row]), NOW).answers == {}


def test_disruptions_are_in_the_order_of_time_and_open_until_they_end() -> None:
    rows = [
        {**ROW, "begin": NOW.timestamp() - 10, "what": "no answer"},
        {**ROW, "begin": NOW.timestamp() - 50, "end": NOW.timestamp() - 47.5, "cause": "upgrade"},
        {**ROW, "begin": "whenever"},
    ]
    found = read_measurements(status(disruptions=rows), NOW)
    assert [item.seconds for item in found.disruptions] == [2.5, None]
    assert [item.what for item in found.open(KEY)] == ["no answer"]
    assert found.open(("glance", "other")) == []
    assert (found.healed("glance"), found.healed("nova")) == ([2.5], [])


@given(value=st.dictionaries(st.sampled_from(["targets", "disruptions", "window"]), JSON))
def test_nothing_in_a_status_breaks_its_reader(value: dict[str, Any]) -> None:
    found = read_measurements(status(**value), NOW)
    assert all(answers.failures <= answers.requests for answers in found.answers.values())
    assert found.seconds > 0


def test_availability_is_unknown_without_requests() -> None:
    assert Answers(0, 0).availability is None
    assert Answers(4, 1).availability == 0.75


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-05-01T12:00:00Z", NOW),
        ("2026-05-01T12:00:00", NOW),
        ("2026-05-01T14:00:00+02:00", NOW),
        (NOW.timestamp(), NOW),
        (True, None),
        (None, None),
        ("", None),
        (float("inf"), None),
        (1e300, None),
    ],
)
def test_time_is_read_with_its_zone_or_not_at_all(value: Any, expected: datetime | None) -> None:
    assert read_time(value) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("714709n", 0.000714709),
        ("250u", 0.00025),
        ("100m", 0.1),
        ("2", 2.0),
        ("1.5", 1.5),
        ("0", 0.0),
        ("1k", 1e3),
        ("1M", 1e6),
        ("2P", 2e15),
        ("3E", 3e18),
        ("224Mi", 224 * 2**20),
        ("1Pi", 2**50),
        ("1Ei", 2**60),
        ("1e3", 1000.0),
        ("12E2", 1200.0),
        ("5e-1", 0.5),
        ("", 0.0),
        ("lots", 0.0),
    ],
)
def test_quantity_is_read_as_kubernetes_writes_it(text: str, expected: float) -> None:
    assert quantity(text) == pytest.approx(expected)


def test_use_of_a_pod_is_that_of_all_its_containers() -> None:
    containers = [{"usage": {"cpu": "250m", "memory": "1Mi"}}, {"usage": {"cpu": "500m"}}, {}]
    item = {"metadata": {"name": "a"}, "containers": containers}
    assert read_uses([item, {"metadata": {"name": "b"}}]) == {"a": Use(0.75, 2**20), "b": Use(0, 0)}
