# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What rehearsals have found, as people and programs read it. Decides nothing."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict

from stackway.console import Table
from tests.schemas.rehearsal import Row

COLUMNS = ("service", "schema", "phase", "code", "tables", "seconds", "verdict")


def as_text(rows: Iterable[Row]) -> Iterator[str]:
    """Yield the table, a line for each row, and below it what is not well."""
    found = list(rows)
    yield from Table(COLUMNS, [_cells(row) for row in found], right=("tables", "seconds")).to_text().splitlines()
    noted = (f"{row.schema}.{item.place} {item.what}{_reason(item.why)}" for row in found for item in row.problems)
    yield from dict.fromkeys(noted)


def as_json(rows: Iterable[Row]) -> str:
    """Return the rows with all that was found."""
    return json.dumps([{**asdict(row), "verdict": _verdict(row)} for row in rows], indent=1) + "\n"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.hop.service,
        row.schema,
        f"{row.phase} {row.series}",
        row.code,
        str(row.tables),
        f"{row.seconds:.1f}",
        _verdict(row),
    )


def _verdict(row: Row) -> str:
    allowed = f", {len(row.problems) - len(row.wrong)} allowed" if len(row.problems) > len(row.wrong) else ""
    if not row.wrong:
        return f"well{allowed}"
    return f"{len(row.wrong)} wrong{allowed}{'' if row.counts else ', recorded'}"


def _reason(why: str) -> str:
    return f" (allowed: {why})" if why else ""
