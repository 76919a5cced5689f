# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from releases.workloads import card, settings_schema, workloads
from stackway.files import digest_bytes
from tests.fakes.releases import service

DIGEST = digest_bytes(b"nova")
API = {"command": ["nova-api"], "port": 8774}
CONFIG = {
    "conf": {"path": "/etc/nova/nova.conf", "template": "nova.conf.j2", "render": "deployment"},
    "paste": {"path": "/etc/nova/paste.ini", "template": "paste.ini.j2", "render": "image"},
}


def only(**given: Any) -> dict[str, Any]:
    (row,) = workloads(service("nova", **given), DIGEST)
    return row


def test_each_process_is_a_workload_in_the_order_of_names() -> None:
    rows = workloads(service("nova", processes={"scheduler": {"command": ["s"]}, "api": API}), DIGEST)
    assert [row["process"] for row in rows] == ["api", "scheduler"]
    assert {row["image"] for row in rows} == {f"nova@{DIGEST}"}


def test_a_process_adds_to_the_services_environment_and_wins() -> None:
    processes = {"api": {**API, "environment": {"WORKERS": "4", "DEBUG": "1"}}}
    row = only(environment={"WORKERS": "2", "HOME": "/var"}, processes=processes)
    assert row["environment"] == {"WORKERS": "4", "DEBUG": "1", "HOME": "/var"}


def test_only_what_is_rendered_at_deployment_is_mounted() -> None:
    assert only(config=CONFIG)["config"] == {"conf": "/etc/nova/nova.conf"}
    assert only(config=CONFIG, processes={"api": {**API, "config": []}})["config"] == {}


def test_a_service_without_processes_has_no_workloads() -> None:
    assert workloads(service("nova", processes={}), DIGEST) == []


@pytest.mark.parametrize(
    ("given", "is_right"),
    [
        ({}, True),
        ({"debug": True}, True),
        ({"debug": "yes"}, False),
        ({"workers": 3}, True),
        ({"workers": "3"}, False),
        ({"region": "one"}, True),
        ({"regoin": "one"}, False),
    ],
)
def test_an_environment_may_change_settings_of_their_type_and_no_others(
    given: dict[str, Any], *, is_right: bool
) -> None:
    schema = settings_schema(service("nova", settings={"debug": False, "workers": 2, "region": "RegionOne"}))
    assert Draft202012Validator(schema).is_valid(given) is is_right


def test_a_setting_shows_its_default() -> None:
    schema = settings_schema(service("nova", settings={"workers": 2, "debug": False}))
    assert list(schema["properties"]) == ["debug", "workers"]
    assert schema["properties"]["debug"] == {"type": "boolean", "default": False}


def test_a_card_says_where_one_may_come_from_and_how_back() -> None:
    database = {"migrate": [{"run": ["m"]}], "expand": [{"run": ["e"]}]}
    row = card(service("nova", database=database, upgrade={"back": "restore", "notes": ["slow"]}), ("2025.2", "2025.1"))
    assert row["from"] == ["2025.1", "2025.2"]
    assert (row["back"], row["records"], row["notes"]) == ("restore", False, ["slow"])
    assert row["phases"] == ["expand", "migrate"]
    assert (row["service"], row["series"], row["version"]) == ("nova", "2026.1", "29.0.2")
