# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Where a finding comes from, which images have it, why it passes or not, and what mends it; from the records of scans."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from buildkit.checkout import Checkout
from buildkit.lockfiles import load_locks
from buildkit.models import Service
from buildkit.scan.gate import Case, Judgement, judge
from buildkit.scan.origin import origins
from buildkit.scan.places import sources_of
from buildkit.scan.policy import Rules
from buildkit.scan.report import ScanReport
from buildkit.scan.scanning import Records
from buildkit.scan.vex import calendar_noise
from stackway.console import Table
from stackway.errors import FailedError


@dataclass(frozen=True)
class Explanation:
    """What is known of one finding: (image, judgement) of all that have it, and how many images were looked at."""

    finding: str
    policy: str
    looked_at: int
    found: tuple[tuple[str, Judgement], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {
            "finding": self.finding,
            "policy": self.policy,
            "imagesLookedAt": self.looked_at,
            "images": [{"image": image, **asdict(item)} for image, item in self.found],
        }

    def texts(self) -> list[Table | str]:
        """Return the explanation for people."""
        if not self.found:
            return [f"none of the {self.looked_at} images scanned here has {self.finding}"]
        first = self.found[0][1]
        rows = [(image, item.subject, str(item.outcome), item.reason) for image, item in self.found]
        places = {item.origin: item.layer for _, item in self.found}
        return [
            f"{self.finding}  {first.severity}  {first.title}".rstrip(),
            Table(("IMAGE", "IN", "OUTCOME", f"WHY ({self.policy})"), rows),
            Table(("COMES FROM", "LAYER"), [(place or "unknown", layer or "-") for place, layer in places.items()]),
            "\n".join(dict.fromkeys(f"what to do: {item.remedy}" for _, item in self.found)),
        ]


def explain(checkout: Checkout, rules: Rules, finding: str, now: datetime) -> Explanation:
    """Return what is known of a finding. Raises FailedError when nothing was scanned here yet."""
    services = checkout.catalog.select([], None)
    reports = [(service, report) for service in services if (report := Records(checkout.state).last(service))]
    if not reports:
        raise FailedError("nothing was scanned here yet", details="", resolution="Run `release scan` first.")
    found = [
        (report.image, item)
        for service, report in reports
        for item in _judgements(checkout, service, report, (rules, now))
        if item.id.lower() == finding.lower()
    ]
    return Explanation(finding, rules.policy.name, len(reports), tuple(found))


def _judgements(
    checkout: Checkout, service: Service, report: ScanReport, by: tuple[Rules, datetime]
) -> Sequence[Judgement]:
    rules, now = by
    locks = load_locks(checkout.catalog, [service])[service.image]
    known = origins(sources_of(checkout.catalog, service, locks), report)
    return judge(Case(report, rules, known, calendar_noise(report, service.distribution or ""), now)).judgements
