# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A difference or a history as one HTML page that needs nothing else. Everything from outside is text in it, never markup."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from releases.difference import ReleaseDifference
from releases.history import history_table
from releases.records import MOVES, Chain, Record
from stackway.console import Table, printable

_TEMPLATE = Path(__file__).with_name("page.html.j2")
_WIDTH, _HEIGHT, _MARGIN = 900, 150, 40


@dataclass(frozen=True)
class Dot:
    """A record in the picture of a history: where, what it looks like, and what it says."""

    x: float
    y: float
    kind: str
    label: str


def difference_page(found: ReleaseDifference) -> str:
    """Return the page of what differs between two releases."""
    title = f"Release {found.before} to {found.after}"
    told = (
        "nothing differs but the name"
        if found.is_empty
        else ", ".join(f"{table_count(table)} in {name}" for name, table in found.tables())
    )
    return _render(title, told, found.tables(), texts=sorted(found.templates.items()))


def table_count(table: Table) -> str:
    """Return how many rows a table has, in words."""
    return f"{len(table.rows)} change{'s' if len(table.rows) != 1 else ''}"


def history_page(chain: Chain) -> str:
    """Return the page of an environment's records."""
    pin = chain.pin.version if chain.pin else "nothing"
    told = f"{len(chain.entries)} records; pinned: {pin}"
    return _render(
        f"History of {chain.environment}", told, [("records", history_table(chain.entries))], dots=dots(chain)
    )


def dots(chain: Chain) -> list[Dot]:
    """Return the records as dots: from left to right in their order, the higher the newer the release that is pinned."""
    from releases.version import ReleaseVersion

    pins = [item.record.pin for item in chain.entries]
    levels = sorted({ReleaseVersion.parse(pin.version) for pin in pins if pin})
    across = (_WIDTH - 2 * _MARGIN) / max(1, len(pins) - 1)
    up = (_HEIGHT - 2 * _MARGIN) / max(1, len(levels) - 1)
    found = []
    for number, item in enumerate(chain.entries):
        pin = item.record.pin
        level = levels.index(ReleaseVersion.parse(pin.version)) if pin else 0
        label = pin.version if pin and item.record.kind in MOVES else ""
        found.append(Dot(_MARGIN + number * across, _HEIGHT - _MARGIN - level * up, _kind(item.record), label))
    return found


def _kind(record: Record) -> str:
    seen = record.observation
    return "unhealthy" if seen and not seen.healthy else str(record.kind)


def _render(title: str, told: str, tables: Sequence[tuple[str, Table]], **more: Any) -> str:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["printable"] = printable
    values = {
        "title": title,
        "told": told,
        "tables": tables,
        "dots": [],
        "texts": [],
        "size": (_WIDTH, _HEIGHT),
        **more,
    }
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(values)
