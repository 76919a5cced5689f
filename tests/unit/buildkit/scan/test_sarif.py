# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

from buildkit.scan.gate import Outcome
from buildkit.scan.sarif import to_sarif
from buildkit.scan.summary import Scanned
from tests.fakes.scanned import hole, scanned

NOVA = scanned("nova:2026.1", hole("CVE-1-1", severity="critical"), hole("CVE-1-2", fixed=""))
HEAT = scanned("heat:2026.1", hole("CVE-1-1", severity="critical"))


def run(*images: Scanned) -> dict[str, object]:
    content = to_sarif(images, "1.0")["runs"][0]
    assert isinstance(content, dict)
    return content


def with_outcome(item: Scanned, outcome: Outcome) -> Scanned:
    assert item.verdict
    judgements = tuple(replace(judgement, outcome=outcome) for judgement in item.verdict.judgements)
    return replace(item, verdict=replace(item.verdict, judgements=judgements))


def test_a_result_is_at_the_line_of_the_lock_and_names_the_others() -> None:
    result = to_sarif([HEAT, NOVA], "1.0")["runs"][0]["results"][0]
    place = result["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "images/heat/2026.1.python.lock"}, "region": {"startLine": 7}}
    other = result["relatedLocations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert (result["level"], other) == ("error", "images/nova/2026.1.python.lock")
    assert "Take 3.0." in result["message"]["text"]


def test_rules_are_named_once_with_a_severity_to_sort_by() -> None:
    rules = to_sarif([HEAT, NOVA], "1.0")["runs"][0]["tool"]["driver"]["rules"]
    assert [(rule["id"], rule["properties"]["security-severity"]) for rule in rules] == [
        ("CVE-1-1", "9.5"),
        ("CVE-1-2", "8.0"),
    ]


def test_excepted_findings_are_suppressed_and_passed_ones_left_out() -> None:
    result = to_sarif([with_outcome(HEAT, Outcome.EXCEPTED)], "1.0")["runs"][0]["results"][0]
    assert (result["level"], result["suppressions"][0]["kind"]) == ("note", "external")
    assert run(with_outcome(HEAT, Outcome.PASSED))["results"] == []


def test_an_unknown_origin_has_a_place_all_the_same() -> None:
    assert HEAT.verdict
    lost = tuple(replace(judgement, origin="") for judgement in HEAT.verdict.judgements)
    result = to_sarif([replace(HEAT, verdict=replace(HEAT.verdict, judgements=lost))], "1.0")["runs"][0]["results"][0]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "images"


def test_equal_input_gives_equal_output() -> None:
    assert to_sarif([HEAT, NOVA], "1.0") == to_sarif([HEAT, NOVA], "1.0")
