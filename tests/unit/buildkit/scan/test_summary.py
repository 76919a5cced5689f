# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
from buildkit.scan.gate import Outcome
from buildkit.scan.summary import (
    Scanned,
    closing,
    finding_table,
    image_table,
    layer_table,
    lines,
    name_images,
    to_dict,
    to_markdown,
)
from tests.fakes.scanned import hole, report, scanned

NOVA = scanned("nova:2026.1", hole("CVE-1-1"), hole("CVE-1-2", fixed="", severity="medium"))
HEAT = scanned("heat:2026.1", hole("CVE-1-1"))
BROKEN = Scanned("glance:2026.1", error="the scanner failed")


def test_equal_findings_of_many_images_are_one_line_with_all_places() -> None:
    first, second = lines([HEAT, NOVA])
    assert (first.judgement.id, first.images) == ("CVE-1-1", ("heat:2026.1", "nova:2026.1"))
    assert first.origins == ("images/heat/2026.1.python.lock:7", "images/nova/2026.1.python.lock:7")
    assert (second.judgement.id, second.judgement.outcome) == ("CVE-1-2", Outcome.WARNED)


def test_worst_comes_first_and_new_before_old() -> None:
    before = report("nova:2026.1", hole("CVE-1-1"), hole("CVE-1-4", severity="critical"))
    holes = [hole("CVE-1-1"), hole("CVE-1-2"), hole("CVE-1-3", severity="low"), hole("CVE-1-4", severity="critical")]
    found = lines([scanned("nova:2026.1", *holes, before=before)])
    assert [(line.judgement.id, line.is_new) for line in found] == [
        ("CVE-1-4", False),
        ("CVE-1-2", True),
        ("CVE-1-1", False),
        ("CVE-1-3", True),
    ]


def test_image_table_counts_by_severity() -> None:
    rows = image_table([HEAT, NOVA, BROKEN]).rows
    assert rows[1] == ("nova:2026.1", "1", "0", "1", "1", "0", "1", "-", "0", "failed")
    assert rows[2][-1] == "errored: the scanner failed"


def test_new_holes_are_counted_only_against_an_earlier_report() -> None:
    again = scanned("nova:2026.1", hole("CVE-1-1"), before=report("nova:2026.1"))
    assert image_table([again]).rows[0][7] == "1"
    assert HEAT.new == set()


def test_finding_table_ends_with_how_many_more_there_are() -> None:
    many = scanned("nova:2026.1", *(hole(f"CVE-1-{number}") for number in range(40)))
    rows = finding_table([many]).rows
    assert len(rows) == 26
    assert rows[-1][0] == "and 15 more"
    assert finding_table([BROKEN]).rows == []


def test_what_could_not_be_scanned_is_an_error_in_every_form() -> None:
    assert closing([HEAT, BROKEN], "prod") == "2 images under prod: 1 failed, 1 errored"
    assert to_dict([BROKEN], {})["images"] == [
        {"image": "glance:2026.1", "outcome": "errored", "error": "the scanner failed", "new": [], "verdict": None}
    ]


def test_a_hole_of_a_shared_layer_is_counted_once() -> None:
    assert layer_table([HEAT, NOVA]).rows == [("shared", "2", "1")]


def test_markdown_cannot_be_broken_by_a_package() -> None:
    evil = scanned("nova:2026.1", hole("CVE-1-1", "a|b<img>[x](y)\nz"))
    row = next(line for line in to_markdown([evil], "prod").splitlines() if line.startswith("| CVE-1-1"))
    assert "a\\|b\\<img>\\[x\\](y) z" in row
    assert row.replace("\\|", "").count("|") == 6


def test_a_few_images_are_named_and_the_others_counted() -> None:
    assert name_images(["a", "b"]) == "a, b"
    assert name_images(["a", "b", "c", "d"]) == "a, b and 2 more"
