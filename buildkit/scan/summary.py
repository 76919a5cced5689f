# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A scan's verdicts as tables, Markdown and JSON. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from buildkit.scan.difference import new_holes
from buildkit.scan.gate import Judgement, Outcome, Verdict
from buildkit.scan.report import ScanReport, Severity
from stackway.console import Table

_SHOWN = 25
_ORDER = (Outcome.FAILED, Outcome.WARNED, Outcome.EXCEPTED, Outcome.NOT_AFFECTED, Outcome.PASSED)
_COUNTED = (Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW)


@dataclass(frozen=True)
class Scanned:
    """One image's part of a scan: verdict and report, the report to compare with, or the error that there is instead."""

    image: str
    verdict: Verdict | None = None
    report: ScanReport | None = None
    before: ScanReport | None = None
    error: str = ""

    @property
    def outcome(self) -> Outcome:
        """What is said of the image; what could not be scanned is an error."""
        return self.verdict.outcome if self.verdict else Outcome.ERRORED

    @property
    def new(self) -> set[tuple[str, str]]:
        """(hole, package) that the report before did not have; nothing when there is none to compare with."""
        return new_holes(self.before, self.report) if self.report and self.before else set()


@dataclass(frozen=True)
class Line:
    """One finding over all images that have it, and all the places that brought it; `judgement` is one image's."""

    judgement: Judgement
    images: tuple[str, ...]
    origins: tuple[str, ...]
    is_new: bool


def lines(scanned: Sequence[Scanned]) -> list[Line]:
    """Return the findings of all images, equal ones once, in the order in which they matter."""
    groups: dict[tuple[str, ...], list[tuple[str, Judgement]]] = {}
    fresh = set()
    for item in scanned:
        for judgement in item.verdict.judgements if item.verdict else ():
            key = (judgement.category, judgement.id, judgement.subject, judgement.outcome, judgement.reason)
            groups.setdefault(key, []).append((item.image, judgement))
            if (judgement.id, judgement.subject.partition(" ")[0]) in item.new:
                fresh.add(key)
    found = [
        Line(
            members[0][1],
            tuple(dict.fromkeys(image for image, _ in members)),
            tuple(dict.fromkeys(judgement.origin for _, judgement in members)),
            key in fresh,
        )
        for key, members in groups.items()
    ]
    return sorted(found, key=_weight)


def _weight(line: Line) -> tuple[int, int, bool, str, str, tuple[str, ...]]:
    judgement = line.judgement
    return (
        _ORDER.index(judgement.outcome),
        -judgement.severity.rank,
        not line.is_new,
        judgement.id,
        judgement.subject,
        line.images,
    )


def image_table(scanned: Sequence[Scanned]) -> Table:
    """Return a row for each image."""
    counted = tuple(str(severity).upper() for severity in _COUNTED)
    columns = ("IMAGE", "PACKAGES", *counted, "FIXABLE", "NEW", "EXCEPTED", "VERDICT")
    return Table(columns, [_row(item) for item in scanned], right=columns[1:-1])


def _row(item: Scanned) -> tuple[str, ...]:
    if item.verdict is None or item.report is None:
        return (item.image, *("-" for _ in range(8)), f"errored: {item.error}")
    holes = [judgement for judgement in item.verdict.judgements if judgement.category == "vulnerability"]
    counts = [sum(hole.severity is severity for hole in holes) for severity in _COUNTED]
    settled = sum(hole.outcome in {Outcome.EXCEPTED, Outcome.NOT_AFFECTED} for hole in item.verdict.judgements)
    fixable = sum(bool(hole.fixed) and hole.outcome is not Outcome.NOT_AFFECTED for hole in holes)
    fresh = str(len(item.new)) if item.before else "-"
    return (
        item.image,
        str(len(item.report.packages)),
        *(str(count) for count in counts),
        str(fixable),
        fresh,
        str(settled),
        str(item.outcome),
    )


def finding_table(scanned: Sequence[Scanned]) -> Table:
    """Return the findings that stop or want attention, each with what would mend it."""
    wanted = [line for line in lines(scanned) if line.judgement.outcome in {Outcome.FAILED, Outcome.WARNED}]
    rows = [
        (
            f"{line.judgement.outcome}{' (new)' if line.is_new else ''}",
            str(line.judgement.severity),
            line.judgement.id,
            line.judgement.subject,
            line.judgement.fixed or "-",
            name_images(line.images),
            line.judgement.layer or "-",
        )
        for line in wanted[:_SHOWN]
    ]
    if len(wanted) > _SHOWN:
        rows.append((f"and {len(wanted) - _SHOWN} more", "", "", "", "", "", ""))
    return Table(("OUTCOME", "SEVERITY", "FINDING", "IN", "FIXED IN", "IMAGES", "LAYER"), rows)


def layers(scanned: Sequence[Scanned]) -> list[tuple[str, int, int]]:
    """Return (layer, holes, of them fixable), the worst first: one layer that many images share is mended once."""
    found: dict[str, set[tuple[str, str, bool]]] = {}
    for line in lines(scanned):
        item = line.judgement
        if item.category == "vulnerability" and item.outcome is not Outcome.NOT_AFFECTED:
            name = item.layer.partition(": ")[2] or item.layer or "unknown"
            found.setdefault(name, set()).add((item.id, item.subject, bool(item.fixed)))
    rows = [(name, len(holes), sum(fixable for _, _, fixable in holes)) for name, holes in found.items()]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def layer_table(scanned: Sequence[Scanned]) -> Table:
    """Return the layers that have known holes, the worst first."""
    rows = [(name, str(count), str(fixable)) for name, count, fixable in layers(scanned)]
    return Table(("LAYER OF ORIGIN", "HOLES", "FIXABLE"), rows, right=("HOLES", "FIXABLE"))


def name_images(images: Sequence[str]) -> str:
    """Return a few images by name, and how many more there are."""
    return ", ".join(images[:2]) + (f" and {len(images) - 2} more" if len(images) > 2 else "")  # noqa: PLR2004 - a few


def closing(scanned: Sequence[Scanned], policy: str) -> str:
    """Return the closing line of a scan."""
    counts = {outcome: sum(item.outcome is outcome for item in scanned) for outcome in Outcome}
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    return f"{len(scanned)} images under {policy}: {told}"


def to_dict(scanned: Sequence[Scanned], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole scan as JSON-ready data."""
    return {
        "apiVersion": "stackway/v1",
        "kind": "Scan",
        **facts,
        "images": [
            {
                "image": item.image,
                "outcome": str(item.outcome),
                "error": item.error or None,
                "new": sorted(list(pair) for pair in item.new),
                "verdict": item.verdict.to_dict() if item.verdict else None,
            }
            for item in scanned
        ],
    }


def to_markdown(scanned: Sequence[Scanned], policy: str) -> str:
    """Return a summary that code hosts show beside a run."""
    table = image_table(scanned)
    parts = [f"## Scan: {closing(scanned, policy)}", "", *_markdown(table.columns, table.rows), ""]
    failed = [line for line in lines(scanned) if line.judgement.outcome is Outcome.FAILED]
    if failed:
        rows = [
            (
                line.judgement.id,
                line.judgement.subject,
                ", ".join(line.images),
                line.judgement.reason,
                line.judgement.remedy,
            )
            for line in failed[:_SHOWN]
        ]
        parts += [
            "### What stops it",
            "",
            *_markdown(("finding", "in", "images", "why", "what to do"), rows),
            "",
        ]
        if len(failed) > _SHOWN:
            parts += [f"… and {len(failed) - _SHOWN} more.", ""]
    return "\n".join(parts)


def _markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    body = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in body]


def _cell(text: str) -> str:
    """Return text that can neither end a cell nor become markup."""
    for mark in ("\\", "|", "<", "[", "]", "*"):
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())
