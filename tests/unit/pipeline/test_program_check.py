# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Upgrade checks as services print them, and which of their results let an upgrade go on."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.programs import check

TABLE = """\
+-------------------------------------------+
| Upgrade Check Results                     |
+-------------------------------------------+
| Check: Cells v2                           |
| Result: Success                           |
| Details: None                             |
+-------------------------------------------+
| Check: Driver: the old one                |
| Result: Warning                           |
| Details: Failed to connect. Error: Could  |
|   not retrieve schema: refused            |
+-------------------------------------------+
| Check: Older than N-1 computes            |
| Result: Failure                           |
| Details: 3 are                            |
+-------------------------------------------+
"""


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, code: int, **allow: str) -> int:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"run": ["nova-status"], "allow": allow}), encoding="utf-8")
    done = SimpleNamespace(returncode=code, stdout=table)
    monkeypatch.setattr("subprocess.run", lambda *_, **__: done)
    monkeypatch.setattr(sys, "argv", ["check.py", str(plan)])
    return check.main()


def only(*titles: str) -> str:
    blocks = TABLE.split("+-------------------------------------------+\n")
    return "".join(block for block in blocks if any(f"Check: {title}" in block for title in titles))


def test_results_are_read_from_the_table_over_as_many_lines_as_they_take() -> None:
    assert check.read(TABLE) == [
        ("Cells v2", "Success", "None"),
        ("Driver: the old one", "Warning", "Failed to connect. Error: Could not retrieve schema: refused"),
        ("Older than N-1 computes", "Failure", "3 are"),
    ]


@pytest.mark.parametrize(
    ("table", "code", "allow", "expected"),
    [
        (only("Cells"), 0, {}, 0),
        (only("Cells", "Driver"), 1, {"Driver: the old one": "no such driver here"}, 0),
        (only("Cells", "Driver"), 1, {}, 3),
        (only("Older"), 2, {"Older than N-1 computes": "a failure is never allowed"}, 3),
        ("", 0, {}, 1),
        (only("Cells"), 255, {}, 1),
        ("Traceback: no database", 1, {}, 1),
    ],
)
def test_failures_and_warnings_that_nobody_allowed_stop(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    table: str,
    code: int,
    allow: dict[str, str],
    expected: int,
) -> None:
    assert run(tmp_path, monkeypatch, table, code, **allow) == expected
    told = capsys.readouterr().out
    assert ("allowed: " in told) == (expected == 0 and bool(allow))
    if expected == 3:
        assert "Warning: Driver" in told or "Failure: Older" in told


def test_result_that_is_cut_off_stops() -> None:
    assert check.judge(check.read("| Check: Cells v2 |")[0], {}) == "no result: Cells v2: "
