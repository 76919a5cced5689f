# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A scan as one HTML page that needs nothing else: no script, no address, no font of anybody's. Pure but for its template."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from buildkit.scan.gate import Outcome
from buildkit.scan.report import Severity
from buildkit.scan.summary import Scanned, closing, image_table, layers, lines
from stackway.console import printable

_TEMPLATE = Path(__file__).with_name("page.html.j2")


def to_html(scanned: Sequence[Scanned], policy: str, facts: Mapping[str, Any]) -> str:
    """Return the page. Everything from a package or a database is text in it, never markup."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["printable"] = printable
    found = [line for line in lines(scanned) if line.judgement.outcome is not Outcome.PASSED]
    table = image_table(scanned)
    found_bars = [(item.image, bars(item)) for item in scanned if item.verdict]
    values = {
        "closing": closing(scanned, policy),
        "facts": facts,
        "table": table,
        "scanned": scanned,
        "groups": [(outcome, [line for line in found if line.judgement.outcome is outcome]) for outcome in Outcome],
        "bars": found_bars,
        "most": max((sum(count for _, count in parts) for _, parts in found_bars), default=0) or 1,
        "layers": layers(scanned),
    }
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(values)


def bars(item: Scanned) -> list[tuple[str, int]]:
    """Return severity → how many holes of it an image has, worst first."""
    holes = [hole for hole in item.verdict.judgements if hole.category == "vulnerability"] if item.verdict else []
    return [
        (str(severity), count)
        for severity in reversed(Severity)
        if (count := sum(hole.severity is severity for hole in holes))
    ]
