# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What is seen of this machine: processes by more than their pid, rights, room, and what the keeper said."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.cluster import machine
from pipeline.cluster.layout import Home

BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def started(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def keeper(tmp_path: Path, **changes: Any) -> int:
    """Return the keeper's pid when this very process is recorded as one, with changes."""
    home = Home(tmp_path)
    home.keeper.write_text(json.dumps({"pid": os.getpid(), "started": started(os.getpid()), "boot": BOOT, **changes}))
    return machine.keeper_pid(home)


def test_a_recorded_process_is_found(tmp_path: Path) -> None:
    assert keeper(tmp_path) == os.getpid()


@pytest.mark.parametrize(
    "changes",
    [{"boot": "another"}, {"started": "1"}, {"pid": 1}, {"pid": 2**22 + 1}, {"pid": "x"}, {"pid": None}],
    ids=["another boot", "another start", "another process", "no process", "no number", "nothing"],
)
def test_another_process_is_never_taken_for_it(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert keeper(tmp_path, **changes) == 0


@pytest.mark.parametrize(
    ("arguments", "is_ours"),
    [
        (["/tools/keeper", "start", "{plan}", "/record", "/log"], True),
        (["keeper", "keep", "{plan}"], True),
        (["keeper", "keep", "/elsewhere/plan.json"], False),
        (["vi", "{plan}"], False),
        (["keeper"], False),
        ([], False),
    ],
)
def test_a_start_that_nobody_recorded_is_known_by_its_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], *, is_ours: bool
) -> None:
    home = Home(tmp_path / "cluster")
    (tmp_path / "77").mkdir()
    words = "".join(f"{word}\0" for word in arguments).replace("{plan}", str(home.plan))
    (tmp_path / "77/cmdline").write_text(words)
    monkeypatch.setattr(machine, "_PROC", tmp_path)
    assert machine.unrecorded(home) == ((77,) if is_ours else ())


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "7"])
def test_a_broken_note_of_the_keeper_is_none(tmp_path: Path, text: str) -> None:
    home = Home(tmp_path)
    home.keeper.write_text(text)
    assert machine.keeper_pid(home) == 0
    home.programs.write_text(text)
    assert machine.kept_programs(home) == {}


def test_children_are_those_of_that_process_only() -> None:
    assert os.getpid() in {child.pid for child in machine.children(os.getppid())}
    assert os.getpid() not in {child.pid for child in machine.children(os.getpid())}


def test_a_process_is_told_with_memory_and_start() -> None:
    (this,) = [child for child in machine.children(os.getppid()) if child.pid == os.getpid()]
    assert this.memory > 5 * 10**6
    assert this.started > 1_500_000_000
    assert this.inner > 0


def test_room_is_told_before_the_folder_is_there(tmp_path: Path) -> None:
    assert machine.free_bytes(tmp_path / "not" / "yet") == pytest.approx(machine.free_bytes(tmp_path), rel=0.2)


def test_links_are_found_by_name() -> None:
    assert machine.has_link("lo")
    assert not machine.has_link("sw-nobody")


def test_without_root_that_is_what_is_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert machine.lacking_rights() == ("root",)


@pytest.mark.parametrize(
    ("mask", "lacks"),
    [("0000003fffffffff", ()), ("0000003fffdfefff", ("CAP_NET_ADMIN", "CAP_SYS_ADMIN"))],
)
def test_rights_are_read_from_the_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mask: str, lacks: tuple[str, ...]
) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/status").write_text(f"Name:\tx\nCapEff:\t{mask}\n")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(machine, "_PROC", tmp_path)
    assert machine.lacking_rights() == lacks
