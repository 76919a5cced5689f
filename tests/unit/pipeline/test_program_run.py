# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A service's commands in order: what is done before is passed over, and the first that fails ends it."""

import json
import os
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import IO, Any

import pytest

from pipeline.programs import run


class Programs:
    """Programs by their first word: the codes that they end with, one after the other, and what they print."""

    def __init__(self, codes: dict[str, list[int]], printed: dict[str, bytes]) -> None:
        self.codes, self.printed = codes, printed
        self.begun: list[str] = []

    def __call__(self, command: list[str], output: IO[bytes] | None = None) -> int:
        self.begun.append(command[0])
        if output:
            output.write(self.printed.get(command[0], b""))
        return self.codes.get(command[0], [0]).pop(0)


def ran(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    commands: list[dict[str, Any]],
    codes: dict[str, list[int]] | None = None,
    **printed: bytes,
) -> tuple[int, list[str]]:
    programs = Programs(codes or {}, printed)
    (folder / "plan.json").write_text(json.dumps({"commands": commands}), encoding="utf-8")
    monkeypatch.setattr(run, "run", programs)
    monkeypatch.setattr(sys, "argv", ["run.py", str(folder / "plan.json")])
    return run.main(), programs.begun


@pytest.mark.parametrize(
    ("codes", "expected"),
    [({}, (0, ["a", "b", "c"])), ({"b": [3]}, (3, ["a", "b"])), ({"a": [-9]}, (-9, ["a"]))],
)
def test_commands_run_in_order_until_one_fails(
    codes: dict[str, list[int]], expected: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = [{"run": [name, "--now"]} for name in "abc"]
    assert ran(tmp_path, monkeypatch, commands, codes) == expected


@pytest.mark.parametrize(
    ("printed", "begun"), [(b"cell0 \xff there", ["list", "next"]), (b"nothing", ["list", "make", "next"])]
)
def test_what_is_done_already_is_passed_over(
    printed: bytes, begun: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[dict[str, Any]] = [
        {"run": ["make"], "unless": {"run": ["list"], "contains": "cell0"}},
        {"run": ["next"]},
    ]
    assert ran(tmp_path, monkeypatch, commands, list=printed) == (0, begun)


def test_command_that_has_more_to_do_is_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[dict[str, Any]] = [{"run": ["migrate"], "more": 1}, {"run": ["next"]}]
    assert ran(tmp_path, monkeypatch, commands, {"migrate": [1, 1, 0]}) == (0, ["migrate"] * 3 + ["next"])
    assert ran(tmp_path, monkeypatch, commands, {"migrate": [1, 2]}) == (2, ["migrate"] * 2)


def test_each_command_is_told_with_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran(tmp_path, monkeypatch, [{"run": ["a", "--now"]}, {"run": ["b"]}], {"b": [7]})
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "+ a --now"
    assert said[-1].startswith("  exit code 7 after ")


def fails() -> None:
    raise ValueError("broken")


@pytest.mark.parametrize(
    ("program", "code", "told"),
    [
        (lambda: None, 0, ""),
        (lambda: 0, 0, ""),
        (lambda: 3, 3, ""),
        (sys.exit, 0, ""),
        (lambda: sys.exit(4), 4, ""),
        (lambda: "no database", 1, "no database"),
        (lambda: sys.exit("no database"), 1, "no database"),
        (fails, 1, "ValueError: broken"),
    ],
)
def test_imported_program_ends_as_it_would_alone(
    program: Callable[[], Any],
    code: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ends: list[int] = []
    monkeypatch.setattr(os, "_exit", ends.append)
    monkeypatch.setattr(sys, "argv", [])
    run.child(program, ["program", "--now"])
    assert ends == [code]
    assert sys.argv == ["program", "--now"]
    assert told in capsys.readouterr().err


def entry(value: str) -> EntryPoints:
    return EntryPoints([EntryPoint("program", value, "console_scripts")])


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (entry("json:dumps"), json.dumps),
        (entry("json:nothing"), None),
        (entry("no_such_module:main"), None),
        (EntryPoints(), None),
    ],
)
def test_program_that_cannot_be_imported_is_left_to_be_started(
    found: EntryPoints, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: found)
    monkeypatch.setattr(sys, "argv", ["run.py"])
    run.imported.cache_clear()
    assert run.imported("program") is expected
    run.imported.cache_clear()
