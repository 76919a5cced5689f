# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The record of a local cluster: what is written is read, and what is broken is said."""

from pathlib import Path

import pytest

from pipeline.cluster.layout import Home
from pipeline.cluster.record import Record, read_record, write_record
from stackway.errors import WrongInputError
from stackway.files import read_json, write_json

GROUPS = ("/groups/cpu/stackway-1", "/groups/memory/stackway-1")


def record(home: Home) -> Record:
    tools = {"ip": "/usr/sbin/ip"}
    return Record(str(home.path), "10.214.0.0/16", home.link, GROUPS, tools, complete=True)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    home = Home(tmp_path / "cluster")
    write_record(home, record(home))
    assert read_record(home) == record(home)
    assert record(home).group == "stackway-1"
    assert record(home).programs == {"ip": Path("/usr/sbin/ip")}
    assert str(record(home).addresses.node) == "10.214.0.2"


def test_nothing_is_recorded_of_what_is_not_there(tmp_path: Path) -> None:
    assert read_record(Home(tmp_path / "cluster")) is None


def test_record_of_a_time_with_one_cluster_names_its_link(tmp_path: Path) -> None:
    home = Home(tmp_path / "cluster")
    write_record(home, record(home))
    former = {key: value for key, value in read_json(home.record).items() if key not in {"home", "link"}}
    write_json(home.record, former)
    found = read_record(home)
    assert found is not None
    assert (found.home, found.link) == (str(home.path), "stackway0")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"groups": [], "network": "10.214.0.0/33", "tools": {}, "complete": true}',
        '{"groups": 1, "network": "10.214.0.0/16", "tools": {}, "complete": true}',
        '{"groups": [], "network": "10.214.0.0/16", "tools": 7, "complete": true}',
    ],
)
def test_broken_record_names_its_file_and_what_to_do(tmp_path: Path, text: str) -> None:
    home = Home(tmp_path)
    home.record.write_text(text)
    with pytest.raises(WrongInputError) as caught:
        read_record(home)
    assert str(home.record) in caught.value.details
    assert caught.value.resolution
