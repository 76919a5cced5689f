# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The stages from specs to a cloud: their order, what may fail, what is told of each, and how long is left."""

from typing import Any

import pytest

from pipeline.cli import COMMANDS, SUMMARY
from pipeline.journey import Stage, left, span, stages
from stackway.commands import build_parser

WAY = {stage.name: stage for stage in stages("2026.1", "dev", is_local=True)}


def test_way_to_a_local_cluster_makes_it_before_it_deploys() -> None:
    assert list(WAY) == ["build", "scan", "bundle", "sign", "verify", "promote", "cluster", "deploy", "check"]


def test_cluster_of_somebody_else_is_not_started() -> None:
    assert [stage.name for stage in stages("2026.1", "prod", is_local=False)] == [
        name for name in WAY if name != "cluster"
    ]


def test_only_the_scan_may_fail_as_gates_ask_for_it() -> None:
    assert [stage.name for stage in WAY.values() if stage.may_fail] == ["scan"]


def test_nothing_names_a_version_before_the_bundle_made_it() -> None:
    names = list(WAY)
    using = [name for name, stage in WAY.items() if "{version}" in stage.words]
    assert using
    assert min(map(names.index, using)) > names.index("bundle")
    made = "2025.1.7"
    assert WAY["promote"].words[1].format(version=made) == made


@pytest.mark.parametrize("stage", WAY)
def test_command_of_each_stage_is_one_that_the_tool_takes(stage: str) -> None:
    words = [word.format(version="2026.1.0") for word in WAY[stage].words]
    parser = build_parser("release", SUMMARY, COMMANDS)
    assert parser.parse_args([*words, "--output", "json"]).output == "json"


@pytest.mark.parametrize(
    ("stage", "value", "told"),
    [
        ("build", {"images": [{"status": "built"}, {"status": "present"}]}, "1 images built, 1 were there"),
        ("build", {"images": []}, "0 images built, 0 were there"),
        ("scan", {"images": [1, 2]}, "2 images judged"),
        ("scan", {}, "0 images judged"),
        ("bundle", {"version": "2026.1.0", "made": True}, "release 2026.1.0 made"),
        ("bundle", {"version": "2026.1.0", "made": False}, "release 2026.1.0 is this already"),
        ("cluster", {"steps": [1]}, "started"),
        ("cluster", {}, "it runs already"),
        ("deploy", {"ready": {"a": 1.04, "b": 20.0}}, "all ready after 20.0 s"),
        ("deploy", {"ready": {"a": 0.0}}, "nothing was to do"),
        ("deploy", {"ready": {}}, "nothing was to do"),
        ("promote", {}, "pinned in dev"),
    ],
)
def test_result_of_a_stage_is_told_in_words(stage: str, value: Any, told: str) -> None:
    assert WAY[stage].told(value) == told


def test_time_left_is_what_it_took_here_and_else_what_it_takes_elsewhere() -> None:
    todo = [Stage("a", (), str, 100.0), Stage("b", (), str, 10.0)]
    assert left(todo, {}) == 110.0
    assert left(todo, {"a": 3.0, "c": 999.0}) == 13.0
    assert left(todo[1:], {"a": 3.0}) == 10.0
    assert left([], {"a": 3.0}) == 0


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 s"), (45.4, "45 s"), (99.4, "99 s"), (100, "2 min"), (720, "12 min")],
)
def test_time_is_told_in_seconds_until_minutes_read_better(seconds: float, told: str) -> None:
    assert span(seconds) == told
