# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What is known of a local cluster without starting one: nothing there, a node's word, and whose files these are."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.cluster import machine
from pipeline.cluster.api import Answer, Api
from pipeline.cluster.cluster import Cluster, look, node_trouble, only_one, open_cluster, programs_now
from pipeline.cluster.record import Record, write_record
from stackway.console import SilentReporter
from stackway.errors import UnavailableError

REPORTED = "2026-05-01T10:00:00Z"
REPORTED_SECONDS = 1777629600


class FakeApi(Api):
    """An API with one answer to everything."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def get(self, path: str) -> Answer:
        return Answer(200, self.content if path.endswith("/nodes/stackway") else None)


def node(status: str, message: str = "") -> dict[str, Any]:
    ready = {"type": "Ready", "status": status, "message": message, "lastHeartbeatTime": REPORTED}
    return {"kind": "Node", "status": {"conditions": [{"type": "DiskPressure", "status": "False"}, ready]}}


def cluster(folder: Path) -> Cluster:
    return open_cluster(folder, folder / "cache", SilentReporter())


def record_of(found: Cluster) -> Record:
    return Record(str(found.home.path), "10.214.0.0/16", found.home.link, ("/groups/g",), complete=True)


@pytest.mark.parametrize(
    ("content", "begun", "told"),
    [
        (node("True"), 0, ""),
        (node("True"), REPORTED_SECONDS, ""),
        (node("True"), REPORTED_SECONDS + 1, "the node is not ready: no report since its last start"),
        (node("False", "no network"), 0, "the node is not ready: no network"),
        ({"kind": "Node"}, 0, "the node is not ready: no report yet"),
        ({"kind": "Status", "code": 404}, 0, "the node is not registered"),
        ("Bad Gateway", 0, "the node is not registered"),
    ],
)
def test_node_takes_pods_when_it_said_so_since_its_last_start(content: Any, begun: int, told: str) -> None:
    assert node_trouble(FakeApi(content), begun) == told


@pytest.mark.parametrize(("entries", "wanted"), [({}, 0), ({"etcd": {"begun": 7}}, 0), ({"kubelet": {"begun": 7}}, 7)])
def test_start_of_a_program_is_what_the_keeper_says(tmp_path: Path, entries: dict[str, Any], wanted: int) -> None:
    home = cluster(tmp_path).home
    home.path.mkdir()
    home.programs.write_text(json.dumps(entries))
    assert machine.begun(home, "kubelet") == wanted


def test_looking_at_nothing_makes_nothing(tmp_path: Path) -> None:
    found = cluster(tmp_path / "state")
    facts = look(found)
    assert (facts.exists, facts.record, facts.keeper, facts.has_link, facts.original) == (False, None, 0, False, "")
    assert programs_now(found) == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ask", [Cluster.running, Cluster.api, Cluster.containerd])
def test_who_needs_it_is_told_when_it_does_not_run(tmp_path: Path, ask: Any) -> None:
    found = cluster(tmp_path)
    write_record(found.home, record_of(found))
    with pytest.raises(UnavailableError, match="does not run") as caught:
        ask(found)
    assert "release cluster up" in caught.value.resolution


def test_a_moved_folder_is_still_the_cluster_s_and_a_copied_one_is_not(tmp_path: Path) -> None:
    first, second = cluster(tmp_path / "a"), cluster(tmp_path / "b")
    write_record(second.home, record_of(first))
    assert look(second).original == ""
    write_record(first.home, record_of(first))
    assert look(second).original == str(first.home.path)
    assert look(first).original == ""


def test_the_lock_leaves_no_file(tmp_path: Path) -> None:
    found = cluster(tmp_path / "state")
    for _ in range(2):
        with only_one(found):
            assert list((tmp_path / "state").iterdir()) == []
