# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""An upgrade's report as one HTML page that needs nothing else. What comes from outside is text in it, never markup. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from pipeline.rollout.report import RolloutReport, StepReport
from stackway.console import printable

_TEMPLATE = Path(__file__).with_name("rollout.html.j2")
WIDTH, LABEL, ROW = 960.0, 220.0, 20.0
_LEAST = 2.0


@dataclass(frozen=True)
class Bar:
    """A step in the picture: where it begins, how long it is, in units of the picture, and how it ended."""

    y: float
    x: float
    width: float
    look: str
    name: str
    said: str
    back: float | None


def rollout_page(report: RolloutReport) -> str:
    """Return the page."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["printable"] = printable
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    asked = [step for step in report.steps if step.failing]
    return template.render(
        report=report,
        bars=list(bars(report)),
        asked=asked,
        size=(WIDTH, LABEL, ROW),
        height=ROW * len(report.steps) + 4,
    )


def bars(report: RolloutReport) -> Iterator[Bar]:
    """Yield the steps as bars, the first at the top."""
    scale = (WIDTH - LABEL) / max(report.seconds, 1.0)
    for number, step in enumerate(report.steps):
        end = step.done if step.done is not None else _end(report, step)
        look = "done" if step.done is not None else "failed"
        width = max((end - step.begun) * scale, _LEAST)
        back = None if step.undone is None else LABEL + step.undone * scale
        yield Bar(number * ROW, LABEL + step.begun * scale, width, look, step.name, step.said, back)


def _end(report: RolloutReport, step: StepReport) -> float:
    """Return when a step that was never done was given up: when the first step went back, or the end."""
    return min(
        (item.undone for item in report.steps if item.undone is not None), default=max(report.seconds, step.begun)
    )
