# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit.scan.report import (
    Layer,
    Package,
    PackageKind,
    ScanReport,
    Severity,
    Vulnerability,
    read_report,
)
from stackway.errors import FailedError
from stackway.files import canonical_json
from tests.fakes.scanned import hole, report
from tests.fakes.scans import GPL, ROOT, SECRET

FULL = replace(
    report("nova:2026.1", hole("CVE-1-1"), hole("CVE-1-2", "urllib3", fixed="")),
    secrets=(SECRET,),
    licences=(GPL,),
    misconfigurations=(ROOT,),
)


def test_a_report_survives_being_written() -> None:
    assert read_report(json.loads(json.dumps(FULL.to_dict())), "report.json") == FULL.sorted()


WORD = st.text(st.characters(codec="utf-8"), max_size=8)
HOLE = st.builds(
    Vulnerability,
    *(WORD, st.sampled_from(PackageKind), WORD, WORD, WORD),
    st.sampled_from(Severity),
    *(WORD, WORD, WORD, WORD, WORD),
)


@given(st.lists(HOLE, max_size=4), st.lists(st.builds(Layer, WORD, WORD), max_size=3), WORD)
def test_any_text_survives_being_written(holes: list[Vulnerability], layers: list[Layer], system: str) -> None:
    given = replace(FULL, vulnerabilities=tuple(holes), layers=tuple(layers), system=system)
    again = read_report(json.loads(canonical_json(given.to_dict())), "report.json")
    assert (again, again.digest) == (given.sorted(), given.digest)


@given(st.permutations(FULL.vulnerabilities), st.permutations(FULL.packages))
def test_order_makes_no_difference_to_the_digest(holes: list[Vulnerability], packages: list[Package]) -> None:
    shuffled = replace(FULL, vulnerabilities=(*holes, holes[0]), packages=tuple(packages))
    assert shuffled.digest == FULL.digest


def test_another_finding_is_another_digest() -> None:
    assert replace(FULL, secrets=()).digest != FULL.digest


@pytest.mark.parametrize("missing", ["image", "key", "layers", "vulnerabilities", "misconfigurations"])
def test_a_report_with_a_part_missing_is_refused(missing: str) -> None:
    content = {key: value for key, value in FULL.to_dict().items() if key != missing}
    with pytest.raises(FailedError, match=r"report\.json is no whole scan report") as caught:
        read_report(content, "report.json")
    assert missing in caught.value.details


def test_an_unknown_severity_is_refused() -> None:
    content = json.loads(json.dumps(FULL.to_dict()).replace('"high"', '"hihg"'))
    with pytest.raises(FailedError, match="no whole scan report"):
        read_report(content, "report.json")


@pytest.mark.parametrize(
    "change",
    [
        {"vulnerabilities": [{"id": "CVE-1-1"}]},
        {"vulnerabilities": None},
        {"packages": {}},
        {"key": {"digest": "sha256:0"}},
        {"image": 5},
    ],
)
def test_a_report_with_a_part_cut_off_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(FailedError, match=r"report\.json is no whole scan report") as caught:
        read_report({**FULL.to_dict(), **change}, "report.json")
    assert next(iter(change)) in caught.value.details


@pytest.mark.parametrize(
    "foreign",
    [
        *({}, [], None, "report", 5),
        {"kind": "Verdict", "apiVersion": "stackway/v1"},
        {**FULL.to_dict(), "apiVersion": "stackway/v2"},
        {"SchemaVersion": 2},
    ],
)
def test_other_documents_are_no_reports(foreign: object) -> None:
    with pytest.raises(FailedError, match="x is no scan report"):
        read_report(foreign, "x")


def test_severities_are_in_order() -> None:
    assert [severity.rank for severity in Severity] == [0, 1, 2, 3, 4]
    assert Severity.CRITICAL.rank == 4


def test_report_is_typed_after_reading() -> None:
    found: ScanReport = read_report(json.loads(json.dumps(FULL.to_dict())), "x")
    assert found.vulnerabilities[0].severity is Severity.HIGH
    assert found.packages[0].kind is PackageKind.PYTHON
