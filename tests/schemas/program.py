# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Asks whether code works with schemas: runs inside a service's image, with the models and libraries that are there.

Argument: a JSON file with {schema: {"address": "mysql+pymysql://...", "modules": ["package.models", "package.*.sql"]}}.
Prints one JSON line: for each schema how many tables the code knows, which others there are, and what does not fit.
What is written is rolled back.
"""

import fnmatch
import importlib
import importlib.util
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

Column = Any  # of SQLAlchemy, which is in the images only
Table = Any
Engine = Any

_KIND = re.compile(r"([A-Z]+)\s*(?:\((.*)\))?(.*)", re.DOTALL)
_WHOLE = {"TINYINT": 7, "SMALLINT": 15, "MEDIUMINT": 23, "INTEGER": 31, "INT": 31, "BIGINT": 63}
# Of the largest kinds a little more than the next smaller one holds.
_LONG = {"TINY": 2**8 - 1, "": 2**16 - 1, "MEDIUM": 70_000, "LONG": 70_000}
_OTHER: Mapping[str, object] = {
    "BOOL": 1,
    "FLOAT": 1.5,
    "DOUBLE": 1.5,
    "DATE": "2026-01-31",
    "DATETIME": "2026-01-31 12:00:00",
    "TIMESTAMP": "2026-01-31 12:00:00",
    "TIME": "12:00:00",
    "JSON": "{}",
}
_COLUMNS = """
    SELECT table_name, column_name,
           is_nullable = 'NO' AND column_default IS NULL AND extra NOT LIKE '%auto_increment%'
           AND is_generated = 'NEVER' AS required
      FROM information_schema.columns WHERE table_schema = DATABASE()
"""


class Problem(NamedTuple):
    """What does not fit; `column` is empty when it is the whole table."""

    table: str
    column: str
    what: str


def main() -> int:
    plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    found = {name: look(item["address"], item["modules"]) for name, item in plan.items()}
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


def look(address: str, patterns: list[str]) -> dict[str, Any]:
    """Return what the code of the modules finds in the schema at an address."""
    sqlalchemy = importlib.import_module("sqlalchemy")
    known = tables(patterns)
    engine = sqlalchemy.create_engine(address)
    with engine.connect() as connection:
        rows = connection.execute(sqlalchemy.text(_COLUMNS)).all()
    there: dict[str, dict[str, bool]] = {}
    for table, column, required in rows:
        there.setdefault(table, {})[column.lower()] = bool(required)
    problems = [problem for table in known for problem in judge(engine, table, there.get(table.name, {}))]
    unknown = sorted(there.keys() - {table.name for table in known})
    return {"tables": len(known), "unknown": unknown, "problems": sorted(set(problems))}


def tables(patterns: list[str]) -> list[Table]:
    """Return the tables that the modules know, each once: of every collection in a module or in what it has imported."""
    collection = importlib.import_module("sqlalchemy").MetaData
    found: dict[str, Table] = {}
    for name in (name for pattern in patterns for name in modules(pattern)):
        module = importlib.import_module(name)
        holders = [module, *(value for value in vars(module).values() if isinstance(value, ModuleType))]
        for value in [value for holder in holders for value in vars(holder).values()]:
            kept = value if isinstance(value, collection) else getattr(value, "metadata", None)
            if isinstance(kept, collection):
                found |= {table.name: table for table in kept.sorted_tables}
    return [found[name] for name in sorted(found)]


def modules(pattern: str) -> list[str]:
    """Return the modules that a pattern means, found by their files: nothing but them is imported. Raises LookupError."""
    if "*" not in pattern:
        return [pattern]
    package = pattern.partition(".")[0]
    spec = importlib.util.find_spec(package)
    folders = [Path(folder) for folder in (spec.submodule_search_locations if spec else None) or ()]
    paths = sorted(path.relative_to(folder.parent) for folder in folders for path in folder.rglob("*.py"))
    found = fnmatch.filter([".".join(path.with_suffix("").parts) for path in paths], pattern)
    if not found:
        raise LookupError(f"no module is called {pattern}")
    return found


def judge(engine: Engine, table: Table, there: Mapping[str, bool]) -> Iterator[Problem]:
    """Yield what of a table does not fit to the columns that are there (name → must be given)."""
    if not there:
        yield Problem(table.name, "", "is not there")
        return
    own = {column.name.lower(): column.name for column in table.columns}
    gone = [name for key, name in own.items() if key not in there]
    yield from (Problem(table.name, name, "is not there") for name in gone)
    foreign = [name for name, required in there.items() if required and name not in own]
    yield from (Problem(table.name, name, "must be given, and the code does not know it") for name in foreign)
    if not gone:
        yield from reading(engine, table)
    if not gone and not foreign:
        yield from writing(engine, table)


def reading(engine: Engine, table: Table) -> Iterator[Problem]:
    """Read all columns of a row, through the types of the code: these complain in words of their own."""
    sqlalchemy = importlib.import_module("sqlalchemy")
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.select(*table.columns).limit(1)).all()
    except (sqlalchemy.exc.SQLAlchemyError, LookupError, TypeError, ValueError) as error:
        yield problem_of(table, "cannot be read", error)


def writing(engine: Engine, table: Table) -> Iterator[Problem]:
    """Write the smallest row and the largest ones, and take them back; what may not be absent is then given."""
    sqlalchemy = importlib.import_module("sqlalchemy")
    plain = sqlalchemy.table(table.name, *(sqlalchemy.column(column.name) for column in table.columns))
    kinds = kinds_of(table, engine.dialect)
    with engine.connect() as connection:
        # As oslo.db does; a row alone breaks all its references.
        connection.execute(sqlalchemy.text("SET SESSION sql_mode = 'TRADITIONAL', foreign_key_checks = 0"))
        connection.commit()
        for row in rows(table, kinds):
            while problem := attempt(connection, plain.insert().values(row)):
                yield problem
                if row.get(problem.column, problem) is not None:
                    break
                row[problem.column] = kinds[problem.column][0]


def attempt(connection: Any, statement: Any) -> Problem | None:
    """Execute a statement and take back what it did; return what the database says against it."""
    sqlalchemy = importlib.import_module("sqlalchemy")
    try:
        connection.execute(statement)
    except sqlalchemy.exc.SQLAlchemyError as error:
        return problem_of(statement.table, "cannot be written", error)
    finally:
        connection.rollback()
    return None


def problem_of(table: Table, what: str, error: Any) -> Problem:
    """Return the problem that an error tells, with the column it names."""
    text = " ".join(str(part) for part in getattr(error, "orig", error).args)
    named = re.search(r"(?:[Cc]olumn|Field) '(?:[^']*\.)?([^'.]+)'", text)
    return Problem(table.name, named[1] if named else "", f"{what}: {text}")


def kinds_of(table: Table, dialect: Any) -> dict[str, list[Any]]:
    """Return what code may write in each column that it does write."""
    sqlalchemy = importlib.import_module("sqlalchemy")
    kinds = {column.name: values(column.type.compile(dialect=dialect)) for column in given(table)}
    if any(isinstance(item, sqlalchemy.CheckConstraint) for item in table.constraints):
        # The code itself says that not every number will do.
        kinds = {name: [1] if isinstance(found[0], int) else found for name, found in kinds.items()}
    return kinds


def rows(table: Table, kinds: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """Yield the rows that code may write: one without all that may be absent, then as many full ones as it takes."""
    least = [column for column in given(table) if column.default is not None or column.server_default is None]
    yield {column.name: kinds[column.name][0] if is_needed(column) else None for column in least}
    for number in range(max(map(len, kinds.values()), default=0)):
        yield {name: found[number % len(found)] for name, found in kinds.items()}


def given(table: Table) -> list[Column]:
    """Return the columns that code writes; the database itself makes the others."""
    return [
        column
        for column in table.columns
        if column is not table.autoincrement_column and column.computed is None and column.identity is None
    ]


def is_needed(column: Column) -> bool:
    """Tell whether a row of the code always has a value here."""
    return column.primary_key or not column.nullable or column.default is not None


def values(kind: str) -> list[Any]:
    """Return the largest value that a column of the kind holds by the code's own word, or all when they are named."""
    found = _KIND.fullmatch(kind)
    name, size, more = (part or "" for part in found.groups()) if found else (kind, "", "")
    if name in {"ENUM", "SET"}:
        return [item.replace("''", "'") for item in re.findall(r"'((?:[^']|'')*)'", size)]
    if name in _WHOLE:
        return [2 ** (_WHOLE[name] + ("UNSIGNED" in more)) - 1]
    if name in {"NUMERIC", "DECIMAL"}:
        digits, _, places = (size or "10").partition(",")
        return ["9" * (int(digits) - int(places or 0)) + "." + "9" * int(places or 0)]
    if name.endswith(("TEXT", "BLOB")):
        return ["x" * (min(int(size), _LONG["LONG"]) if size else _LONG[name[:-4]])]
    if name.endswith(("CHAR", "BINARY")):
        return ["x" * int(size or 1)]
    if name not in _OTHER:
        raise LookupError(f"nothing is known of the kind {kind}")
    return [_OTHER[name]]


if __name__ == "__main__":
    sys.exit(main())
