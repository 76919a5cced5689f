# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Databases and users in a server that is not ours: each statement in turn, and no password in what is printed."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Self

import pytest

STATEMENTS = ("CREATE DATABASE IF NOT EXISTS `nova`", "ALTER USER 'nova'@'%' IDENTIFIED BY 'xyzzy'", "FLUSH PRIVILEGES")


class MySQLError(Exception):
    """As PyMySQL's."""


class OperationalError(MySQLError):
    """As PyMySQL's."""


class Server:
    """A database server: what it refuses, and what it was told."""

    def __init__(self) -> None:
        self.away: list[OperationalError] = []
        self.refused: dict[str, MySQLError] = {}
        self.done: list[str] = []
        self.logins: list[dict[str, Any]] = []
        self.waited: list[float] = []

    def connect(self, **given: Any) -> Self:
        self.logins.append(given)
        if self.away:
            raise self.away.pop(0)
        return self

    def cursor(self) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, statement: str) -> None:
        if statement in self.refused:
            raise self.refused[statement]
        self.done.append(statement)

    def run(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
        """Run the program against this server."""
        library = ModuleType("pymysql")
        vars(library).update(connect=self.connect, MySQLError=MySQLError, OperationalError=OperationalError)
        monkeypatch.setitem(sys.modules, "pymysql", library)
        monkeypatch.delitem(sys.modules, "pipeline.programs.accounts", raising=False)
        program = importlib.import_module("pipeline.programs.accounts")
        monkeypatch.setattr(program, "time", SimpleNamespace(sleep=self.waited.append))
        (folder / "statements.sql").write_text("".join(f"{line};\n" for line in STATEMENTS) + "\n", encoding="utf-8")
        plan = {"host": "db", "port": 3306, "statements": str(folder / "statements.sql")}
        (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
        monkeypatch.setattr(sys, "argv", ["accounts.py", str(folder / "plan.json")])
        monkeypatch.setenv("DATABASE_USER", "root")
        monkeypatch.setenv("DATABASE_PASSWORD", "plugh")
        return int(program.main())


def test_statements_are_done_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    assert server.run(tmp_path, monkeypatch) == 0
    assert server.done == list(STATEMENTS)
    assert server.logins[0]["autocommit"]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MySQLError(1396, "Operation ALTER USER failed for 'nova'@'%'"), "1396 Operation ALTER USER failed"),
        (
            MySQLError(1064, "You have an error in your SQL syntax near 'BY 'xyzzy'' at line 1"),
            "1064 You have an error",
        ),
        (MySQLError(), "statement 2"),
    ],
)
def test_refused_statement_ends_it_and_is_told_without_its_password(
    error: MySQLError, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server()
    server.refused = {STATEMENTS[1]: error}
    assert server.run(tmp_path, monkeypatch) == 1
    assert server.done == [STATEMENTS[0]]
    said = "".join(capsys.readouterr())
    assert "statement 2 (ALTER USER …)" in said
    assert told in said
    assert "xyzzy" not in said


def test_server_that_is_not_there_yet_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    server.away = [OperationalError(2003, "no route")] * 3
    assert server.run(tmp_path, monkeypatch) == 0
    assert (len(server.logins), server.waited) == (4, [2.0] * 3)


@pytest.mark.parametrize(("code", "tries"), [(1045, 1), (1044, 1), (1698, 1), (2003, 30)])
def test_server_that_refuses_us_is_not_asked_again_and_one_that_is_away_not_for_ever(
    code: int, tries: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server()
    server.away = [OperationalError(code, "no")] * 100
    with pytest.raises(SystemExit) as ended:
        server.run(tmp_path, monkeypatch)
    assert (ended.value.code, len(server.logins)) == (1, tries)
    assert f"db:3306: {code} no" in capsys.readouterr().out
