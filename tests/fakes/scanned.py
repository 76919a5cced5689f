# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Small reports and verdicts, as scans of images would give them."""

from dataclasses import replace
from datetime import UTC, datetime

from buildkit.scan.gate import Case, judge
from buildkit.scan.origin import Origin
from buildkit.scan.policy import Policy, Rules
from buildkit.scan.report import (
    DatabaseFacts,
    Key,
    Layer,
    Package,
    PackageKind,
    ScanReport,
    Severity,
    Vulnerability,
)
from buildkit.scan.summary import Scanned

NOW = datetime(2026, 11, 23, tzinfo=UTC)
LAYER = "sha256:" + "1" * 64
POLICY = Policy.model_validate(
    {
        "name": "prod",
        "summary": "of the tests",
        "vulnerabilities": [
            {"severity": ["critical", "high"], "fix": "available", "action": "fail"},
            {"severity": ["critical", "high", "medium"], "action": "warn"},
        ],
    }
)


def hole(name: str, package: str = "requests", *, fixed: str = "3.0", severity: str = "high") -> Vulnerability:
    """Return a hole of a Python package."""
    purl = f"pkg:pypi/{package}@2.0"
    day, title = "2026-01-01T00:00:00Z", f"<b>{name}</b> | \x1b[31mred"
    kind = PackageKind.PYTHON
    return Vulnerability(name, kind, package, "2.0", fixed, Severity(severity), "", day, title, purl, LAYER)


def report(image: str, *holes: Vulnerability) -> ScanReport:
    """Return the report of an image with these holes."""
    database = DatabaseFacts(2, "2026-11-22T18:00:00Z", "file", "sha256:" + "d" * 64)
    key = Key("sha256:" + "a" * 64, "0.76.0", "", "", database)
    packages = tuple(
        {
            item.package: Package(item.kind, item.package, item.version, item.purl, item.package, LAYER, "")
            for item in holes
        }.values()
    )
    return ScanReport(image, key, "debian 13", (Layer(LAYER, "COPY /tree/ /"),), packages, holes, (), (), ())


def scanned(image: str, *holes: Vulnerability, before: ScanReport | None = None) -> Scanned:
    """Return an image's part of a scan under the tests' policy."""
    found = report(image, *holes)
    place = f"images/{image.replace(':', '/')}.python.lock:7"
    origins = {f"python {item.package}": Origin(place, "layer 3: shared", "Take {version}.") for item in holes}
    verdict = judge(Case(found, Rules(POLICY, (), "sha256:0"), origins, {}, NOW))
    return replace(Scanned(image, verdict, found), before=before)
