# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The look at schemas sees what breaks code, and nothing in what does not: a real database, and an image's own libraries."""

import json
from typing import Any

import pytest

from tests.schemas.program import values
from tests.schemas.rehearsal import LOOK, hops
from tests.schemas.stage import Job, Stage

USER = "reader"
SAMPLE = """
import sqlalchemy as sa
metadata = sa.MetaData()
books = sa.Table(
    "books", metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("title", sa.String(64), nullable=False),
    sa.Column("shelf", sa.Enum("high", "it's low")),
    sa.Column("pages", sa.BigInteger, nullable=False, default=0),
    sa.Column("text", sa.Text),
)
"""
TABLE = """
CREATE TABLE books (
    id INT AUTO_INCREMENT PRIMARY KEY, title VARCHAR(64) NOT NULL, shelf ENUM('high', 'it''s low'),
    pages BIGINT NOT NULL, text TEXT
);
"""
# Expanding, in a word: what old code does not see and need not know.
HARMLESS = {
    "nothing": "",
    "column that may be absent": "ALTER TABLE books ADD COLUMN isbn VARCHAR(13);",
    "column with a default": "ALTER TABLE books ADD COLUMN isbn VARCHAR(13) NOT NULL DEFAULT '';",
    "column that is computed": "ALTER TABLE books ADD COLUMN size BIGINT AS (char_length(title)) STORED;",
    "longer text": "ALTER TABLE books MODIFY title VARCHAR(255) NOT NULL;",
    "wider kinds": "ALTER TABLE books MODIFY shelf ENUM('high', 'it''s low', 'none'), MODIFY text MEDIUMTEXT;",
    "index": "CREATE INDEX by_title ON books (title);",
    "rows": "INSERT INTO books (title, pages) VALUES ('one', 1), ('two', 2);",
}
_NULL = "cannot be written: 1048 Column '{}' cannot be null"
HARM = {
    "dropped column": ("ALTER TABLE books DROP COLUMN shelf;", {"shelf": "is not there"}),
    "renamed column": ("ALTER TABLE books RENAME COLUMN text TO content;", {"text": "is not there"}),
    "renamed table": ("RENAME TABLE books TO volumes;", {"": "is not there"}),
    "required column": (
        "ALTER TABLE books ADD COLUMN isbn VARCHAR(13) NOT NULL;",
        {"isbn": "must be given, and the code does not know it"},
    ),
    "columns that may not be absent any more": (
        "ALTER TABLE books MODIFY text TEXT NOT NULL, MODIFY shelf ENUM('high', 'it''s low') NOT NULL;",
        {"shelf": _NULL.format("shelf"), "text": _NULL.format("text")},
    ),
    "shorter text": (
        "ALTER TABLE books MODIFY title VARCHAR(63) NOT NULL;",
        {"title": "cannot be written: 1406 Data too long for column 'title' at row 1"},
    ),
    "lost kind": (
        "ALTER TABLE books MODIFY shelf ENUM('high');",
        {"shelf": "cannot be written: 1265 Data truncated for column 'shelf' at row 1"},
    ),
    "smaller number": (
        "ALTER TABLE books MODIFY pages INT NOT NULL;",
        {"pages": "cannot be written: 1264 Out of range value for column 'pages' at row 1"},
    ),
    "numbers that are not drawn any more": (
        "ALTER TABLE books MODIFY id INT NOT NULL;",
        {"id": "cannot be written: 1364 Field 'id' doesn't have a default value"},
    ),
    "kind that does not load": (
        "ALTER TABLE books MODIFY shelf VARCHAR(20); INSERT INTO books (title, shelf, pages) VALUES ('one', 'none', 1);",
        {
            "": "cannot be read: 'none' is not among the defined enum values. Enum name: None. Possible values: high, it's low"
        },
    ),
}
CASES: dict[str, dict[str, str]] = {name: {} for name in HARMLESS} | {name: found for name, (_, found) in HARM.items()}
SQL = HARMLESS | {name: sql for name, (sql, _) in HARM.items()}
SCHEMAS = {name: f"case_{number}" for number, name in enumerate(SQL)}


@pytest.fixture(scope="module")
def looked(stage: Stage) -> dict[str, Any]:
    """What the code of one module finds in schemas that were changed after it."""
    hop = hops(stage.catalog)[0]
    service, server = stage.catalog.service(hop.service, hop.old), stage.server(hop.old)
    stage.load([server, service])
    with stage.running(server, USER, SCHEMAS.values()):
        for name, schema in SCHEMAS.items():
            stage.sql(schema, TABLE + SQL[name])
        plan = {schema: {"address": stage.address(USER, schema), "modules": ["sample"]} for schema in SCHEMAS.values()}
        found: dict[str, Any] = json.loads(stage.run(service, Job(LOOK, plan, files={"sample.py": SAMPLE})))
        left = {
            schema: stage.sql(schema, "SELECT * FROM books WHERE title LIKE 'x%'") for schema in (SCHEMAS["nothing"],)
        }
    assert set(left.values()) == {""}
    return found


@pytest.mark.engine
@pytest.mark.parametrize("name", CASES)
def test_change_is_seen_when_it_does_harm(looked: dict[str, Any], name: str) -> None:
    found = looked[SCHEMAS[name]]
    assert found["tables"] == 1
    assert found["problems"] == [["books", *words] for words in CASES[name].items()]


@pytest.mark.engine
def test_tables_that_no_model_has_are_named(looked: dict[str, Any]) -> None:
    assert looked[SCHEMAS["renamed table"]]["unknown"] == ["volumes"]
    assert looked[SCHEMAS["nothing"]]["unknown"] == []


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("VARCHAR(3)", ["xxx"]),
        ("VARCHAR(3) CHARACTER SET utf8mb3", ["xxx"]),
        ("ENUM('a','it''s, b')", ["a", "it's, b"]),
        ("TINYINT(1)", [127]),
        ("INTEGER UNSIGNED", [2**32 - 1]),
        ("NUMERIC(5, 2)", ["999.99"]),
        ("TINYTEXT", ["x" * 255]),
        ("BOOL", [1]),
        ("DATETIME(6)", ["2026-01-31 12:00:00"]),
    ],
)
def test_largest_value_is_what_a_kind_holds(kind: str, wanted: list[object]) -> None:
    assert values(kind) == wanted


def test_kind_that_is_not_known_is_told() -> None:
    with pytest.raises(LookupError, match="GEOMETRY"):
        values("GEOMETRY")
