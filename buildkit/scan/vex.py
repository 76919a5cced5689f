# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""OpenVEX of an image: holes that scanners report and that do not touch it, with the reason. Pure, and equal for equal input.

Format: OpenVEX 0.2.0 (https://github.com/openvex/spec). Each product is named in two ways, the image by its digest and
the package by its own purl: stock Trivy matches the first in a registry and the second in a layout directory.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from buildkit.scan.policy import Exemption
from buildkit.scan.report import PackageKind, ScanReport, Vulnerability
from stackway.files import digest_json

CONTEXT = "https://openvex.dev/ns/v0.2.0"
_CALENDAR = re.compile(r"20(1[0-9])\.\d")
_FIRST_CALENDAR_MAJOR = 2010


def calendar_noise(report: ScanReport, own: str) -> dict[tuple[str, str], str]:
    """Return (hole, package) → why it is none: OpenStack's services were numbered by year until 2015, then from 5 upwards.

    A hole that was "fixed in 2012.1.1" is older than version 29.0.2, though the number is larger. `own` is the
    distribution that the image is about; for other packages a year is a version like any other.
    """
    noise = [item for item in report.vulnerabilities if _is_calendar_noise(item, own)]
    # A package may be there twice, and the hole be real in one of them.
    real = {(item.id, item.package) for item in report.vulnerabilities if not _is_calendar_noise(item, own)}
    return {
        (item.id, item.package): (
            f"fixed in {item.fixed}, which is from before {item.package} was renumbered in 2015; {item.version} is later"
        )
        for item in noise
        if (item.id, item.package) not in real
    }


def _is_calendar_noise(item: Vulnerability, own: str) -> bool:
    if not own or item.kind is not PackageKind.PYTHON or item.package.lower() != own.lower():
        return False
    fixed = [part.strip() for part in item.fixed.split(",") if part.strip()]
    major = item.version.split(".")[0]
    return (
        bool(fixed)
        and all(_CALENDAR.match(part) for part in fixed)
        and major.isdecimal()
        and int(major) < _FIRST_CALENDAR_MAJOR
    )


def make_vex(
    report: ScanReport, noise: Mapping[tuple[str, str], str], exemptions: Sequence[Exemption]
) -> dict[str, Any]:
    """Return the OpenVEX document of an image. Its time is that of the database, the moment whose knowledge it states."""
    # A package may lie in two layers; what is true of it is said once.
    said = {
        (item["vulnerability"]["name"], item["products"][1]["@id"]): item
        for item in (*_exempted(report, exemptions), *_noise(report, noise))
    }
    statements = [said[key] for key in sorted(said)]
    content = {
        "@context": CONTEXT,
        "author": "Stackway",
        "timestamp": report.key.database.updated,
        "version": 1,
        "statements": statements,
    }
    return {"@id": f"urn:stackway:vex:{digest_json(content)}", **content}


def _noise(report: ScanReport, noise: Mapping[tuple[str, str], str]) -> Iterator[dict[str, Any]]:
    for item in report.vulnerabilities:
        if why := noise.get((item.id, item.package)):
            yield _statement(report, item, "vulnerable_code_not_present", why)


def _exempted(report: ScanReport, exemptions: Sequence[Exemption]) -> Iterator[dict[str, Any]]:
    for item in report.vulnerabilities:
        for exemption in exemptions:
            if exemption.justification and (exemption.id, exemption.package) == (item.id, item.package):
                yield _statement(report, item, exemption.justification, f"{exemption.reason} ({exemption.owner})")


def _statement(report: ScanReport, item: Vulnerability, justification: str, impact: str) -> dict[str, Any]:
    return {
        "vulnerability": {"name": item.id},
        "products": [
            {"@id": image_purl(report), "subcomponents": [{"@id": item.purl}]},
            {"@id": item.purl},
        ],
        "status": "not_affected",
        "justification": justification,
        "impact_statement": impact,
    }


def image_purl(report: ScanReport) -> str:
    """Return the package URL of the image, by digest."""
    return f"pkg:oci/{report.image.partition(':')[0]}@{report.key.digest.replace(':', '%3A')}"
