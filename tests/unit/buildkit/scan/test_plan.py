# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
from typing import Any

import pytest

from buildkit.scan.plan import ScanKind, plan_scans
from tests.fakes.scanned import report

LAST = report("nova:2026.1")
OTHER = replace(LAST.key.database, updated="2026-11-23T06:00:00Z", digest="sha256:" + "e" * 64)


@pytest.mark.parametrize(
    ("changes", "kind", "reason"),
    [
        ({}, ScanKind.KEEP, "image, scanner and database are the same"),
        ({"digest": "sha256:" + "b" * 64}, ScanKind.SCAN, "the image is another"),
        ({"scanner": "0.77.0"}, ScanKind.SCAN, "the scanner is another"),
        ({"questions": "more"}, ScanKind.SCAN, "the scanner is asked otherwise"),
        ({"dockerfile": "sha256:1"}, ScanKind.REJUDGE, "its Dockerfile is another"),
        (
            {"database": OTHER},
            ScanKind.REJUDGE,
            "the database is another (2026-11-22T18:00:00Z \N{RIGHTWARDS ARROW} 2026-11-23T06:00:00Z)",
        ),
        (
            {"database": replace(LAST.key.database, source="a mirror")},
            ScanKind.REJUDGE,
            "the database is another (2026-11-22T18:00:00Z \N{RIGHTWARDS ARROW} 2026-11-22T18:00:00Z)",
        ),
        ({"database": OTHER, "scanner": "0.77.0"}, ScanKind.SCAN, "the scanner is another"),
    ],
)
def test_only_what_has_changed_is_looked_at_again(changes: dict[str, Any], kind: ScanKind, reason: str) -> None:
    (action,) = plan_scans({"nova:2026.1": replace(LAST.key, **changes)}, {"nova:2026.1": LAST}).actions
    assert (action.kind, action.reason) == (kind, reason)


def test_what_was_never_scanned_is_scanned_and_force_scans_all() -> None:
    wanted = {"nova:2026.1": LAST.key, "heat:2026.1": LAST.key}
    plan = plan_scans(wanted, {"nova:2026.1": LAST})
    assert [(item.image, item.kind) for item in plan.actions] == [
        ("heat:2026.1", ScanKind.SCAN),
        ("nova:2026.1", ScanKind.KEEP),
    ]
    assert [item.image for item in plan.pending] == ["heat:2026.1"]
    forced = plan_scans(wanted, {"nova:2026.1": LAST}, force=True)
    assert {item.reason for item in forced.actions} == {"asked to scan it anew (--force)"}


def test_what_is_shown_is_what_is_planned() -> None:
    plan = plan_scans({"nova:2026.1": LAST.key}, {})
    assert plan.to_dict()["actions"][0]["action"] == "scan"
    assert plan.to_table().rows == [("nova:2026.1", "scan", "it was never scanned here")]
