# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Images of a release judged by the database of today: what cannot be judged never passes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from buildkit.scan.policy import Exemption, Rules
from buildkit.scan.report import DatabaseFacts, Package, Vulnerability
from buildkit.scan.trivy import Trivy
from releases.bundle import bundle
from releases.facts import Facts, ImageVerdict, ScanFacts
from releases.gates import decide
from releases.release import ReleaseContent
from releases.rescan import Scanner, rescan
from releases.verify import read
from stackway.errors import FailedError
from stackway.files import digest_bytes
from tests.fakes.chains import PINS, candidate
from tests.fakes.releases import NOW, FakeReleases, inputs, place_release
from tests.fakes.scanned import hole
from tests.fakes.scans import exemption, policy

TODAY = DatabaseFacts(2, "2026-11-23T06:00:00Z", "tests", digest_bytes(b"database of today"))
HOLE, WARNED = hole("CVE-2026-1", "oslo"), hole("CVE-2026-2", "oslo", fixed="", severity="medium")


@dataclass(frozen=True)
class FakeTrivy(Trivy):
    """A scanner that knows a few holes by image, and remembers which lists of parts it was given."""

    known: Mapping[str, tuple[Vulnerability, ...]] = field(default_factory=dict)
    broken: tuple[str, ...] = ()
    asked: dict[str, Any] = field(default_factory=dict)

    def rejudge(self, sbom: Path, image: str, packages: tuple[Package, ...]) -> tuple[Vulnerability, ...]:
        self.asked[image] = (json.loads(sbom.read_bytes()), packages)
        if image in self.broken:
            raise FailedError("the scanner broke off", details="x" * 1000)
        return self.known.get(image, ())


def content(*, unscanned: str = "") -> ReleaseContent:
    store = FakeReleases()
    given = inputs(store.blobs)
    images = (replace(item, evidence=None) if item.service.name == unscanned else item for item in given.images)
    made = bundle(replace(given, images=tuple(images)))
    place_release(store, made)
    return read(store, "2026.1.0")


@pytest.fixture
def trivy(tmp_path: Path) -> FakeTrivy:
    return FakeTrivy(tmp_path / "trivy", "0.99.0", tmp_path / "cache")


def scanner(trivy: Trivy, *exceptions: Exemption, **given: Any) -> Scanner:
    rules = Rules(policy(), tuple((item, "exceptions.yaml:1") for item in exceptions), digest_bytes(b"rules"))
    return replace(Scanner(trivy, TODAY, rules, NOW), **given)


def verdicts(found: ScanFacts) -> dict[str, ImageVerdict]:
    return {item.image: item for item in found.images}


def gate(found: ScanFacts) -> str:
    """Return what the gate makes of it."""
    facts = Facts("prod", NOW.isoformat(), {"scan": {"policy": "prod"}}, candidate(PINS[0]), None, "", scan=found)
    (result,) = (item for item in decide(facts).results if item.gate == "scan")
    return str(result.outcome)


def test_every_image_is_judged_with_its_own_list_of_parts(trivy: FakeTrivy) -> None:
    release = content()
    found = rescan(release, scanner(trivy))
    assert (found.policy, found.rules, found.database, found.updated, found.error) == (
        *("prod", digest_bytes(b"rules"), TODAY.digest, TODAY.updated, ""),
    )
    assert {item.image: item.digest for item in found.images} == {
        image.name: image.manifest.digest for image in release.images
    }
    for image in release.images:
        assert trivy.asked[image.name][0]["metadata"]["component"]["version"] == image.manifest.digest
    assert gate(found) == "passed"


def test_hole_that_became_known_since_stops_its_image_and_no_other(trivy: FakeTrivy) -> None:
    found = rescan(content(), scanner(replace(trivy, known={"nova": (HOLE, WARNED)})))
    nova, keystone = verdicts(found)["nova"], verdicts(found)["keystone"]
    assert (nova.counts, nova.failed, nova.error) == ({"failed": 1, "warned": 1}, ("CVE-2026-1 in oslo 2.0",), "")
    assert (keystone.counts, keystone.failed) == ({}, ())
    assert gate(found) == "failed"


def test_report_is_the_one_of_today(trivy: FakeTrivy) -> None:
    release = content()
    before = release.files["images/nova/scan.json"].blob.digest
    same, other = (
        verdicts(rescan(release, scanner(item)))["nova"].report
        for item in (trivy, replace(trivy, known={"nova": (HOLE,)}))
    )
    assert len({before, same, other}) == 3


@pytest.mark.parametrize(("left", "outcome"), [(timedelta(days=1), "passed"), (timedelta(days=31), "failed")])
def test_exception_holds_until_its_day(trivy: FakeTrivy, left: timedelta, outcome: str) -> None:
    excepted = exemption(id="CVE-2026-1", package="oslo", images=["nova:2026.1"])
    found = rescan(
        content(), scanner(replace(trivy, known={"nova": (HOLE,)}), excepted, now=NOW + left, database=at(NOW + left))
    )
    assert gate(replace(found, updated=TODAY.updated)) == outcome


def at(moment: Any) -> DatabaseFacts:
    return replace(TODAY, updated=moment.isoformat())


def test_image_that_was_never_scanned_is_an_error_and_the_scanner_is_not_asked(trivy: FakeTrivy) -> None:
    found = rescan(content(unscanned="nova"), scanner(trivy))
    assert "made unscanned" in verdicts(found)["nova"].error
    assert list(trivy.asked) == ["keystone"]
    assert gate(found) == "errored"


def test_scanner_that_breaks_off_is_an_error_of_that_image(trivy: FakeTrivy) -> None:
    found = rescan(content(), scanner(replace(trivy, broken=("nova",))))
    nova = verdicts(found)["nova"]
    assert nova.error.startswith("the scanner broke off: xxx")
    assert len(nova.error) == 300
    assert verdicts(found)["keystone"].error == ""
    assert gate(found) == "errored"


@pytest.mark.parametrize(
    "report", [{}, [], {"kind": "ScanReport"}, {"kind": "ScanReport", "apiVersion": "stackway/v1"}]
)
def test_report_that_is_none_is_an_error_of_its_image(trivy: FakeTrivy, report: Any) -> None:
    release = content()
    release._parsed["images/nova/scan.json"] = report
    found = rescan(release, scanner(trivy))
    assert "nova's report in the release is no" in verdicts(found)["nova"].error
    assert gate(found) == "errored"


@pytest.mark.parametrize("updated", ["2026-11-21T00:00:00Z", "", "2027-01-01T00:00:00Z"])
def test_database_that_is_stale_or_from_tomorrow_judges_nothing(trivy: FakeTrivy, updated: str) -> None:
    found = rescan(content(), scanner(trivy, database=replace(TODAY, updated=updated)))
    assert all(item.error.startswith("the database ") for item in found.images)
    assert gate(found) == "errored"


def test_database_from_tomorrow_stops_also_where_the_policy_only_warns(trivy: FakeTrivy) -> None:
    lenient = Rules(policy(database={"maxAge": "24h", "whenStale": "warn"}), (), digest_bytes(b"rules"))
    found = rescan(content(), scanner(trivy, rules=lenient, database=replace(TODAY, updated="2027-01-01T00:00:00Z")))
    assert [item.error for item in found.images] == ["", ""]
    assert gate(found) == "errored"


def test_many_holes_are_counted_whole_and_named_in_part(trivy: FakeTrivy) -> None:
    holes = tuple(hole(f"CVE-2026-{number}", "oslo") for number in range(1, 31))
    nova = verdicts(rescan(content(), scanner(replace(trivy, known={"nova": holes}))))["nova"]
    assert (nova.counts, len(nova.failed)) == ({"failed": 30}, 20)


def test_nothing_is_left_on_the_disk(trivy: FakeTrivy) -> None:
    rescan(content(), scanner(replace(trivy, broken=("nova",))))
    assert list(trivy.cache.iterdir()) == []
