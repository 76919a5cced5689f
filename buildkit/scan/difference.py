# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What differs between two reports: packages that changed, holes that came and went. Pure."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from buildkit.scan.report import Package, ScanReport, Vulnerability
from stackway.console import Table


@dataclass(frozen=True)
class Difference:
    """From one report to another; a package's change is (kind and name, versions before, versions after)."""

    before: str
    after: str
    packages: tuple[tuple[str, str, str], ...]
    came: tuple[Vulnerability, ...]
    went: tuple[Vulnerability, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {"apiVersion": "stackway/v1", "kind": "ScanDifference", **asdict(self)}

    def tables(self) -> list[Table | str]:
        """Return the difference for people."""
        holes = [("new", item) for item in self.came] + [("gone", item) for item in self.went]
        rows = [
            (what, str(item.severity), item.id, f"{item.package} {item.version}", item.fixed or "-")
            for what, item in sorted(holes, key=lambda pair: (pair[0] != "new", -pair[1].severity.rank, pair[1].id))
        ]
        changed = Table(("PACKAGE", "BEFORE", "AFTER"), self.packages)
        found = Table(("", "SEVERITY", "HOLE", "PACKAGE", "FIXED IN"), rows)
        nothing = f"{self.before} and {self.after} have the same packages and the same known holes"
        return [*([found] if rows else []), *([changed] if self.packages else [])] or [nothing]


def new_holes(before: ScanReport | None, after: ScanReport) -> set[tuple[str, str]]:
    """Return (hole, package) of what the earlier report does not have; all of it when there is no earlier one."""
    known = _holes(before.vulnerabilities) if before else set()
    return _holes(after.vulnerabilities) - known


def compare(before: ScanReport, after: ScanReport) -> Difference:
    """Return what differs between two reports. A hole is the same when id and package are, whatever the version."""
    known, now = _holes(before.vulnerabilities), _holes(after.vulnerabilities)
    old, new = _versions(before.packages), _versions(after.packages)
    return Difference(
        f"{before.image}@{before.key.digest}",
        f"{after.image}@{after.key.digest}",
        tuple(
            (name, old.get(name, "-"), new.get(name, "-"))
            for name in sorted({*old, *new})
            if old.get(name) != new.get(name)
        ),
        tuple(item for item in after.vulnerabilities if (item.id, item.package) not in known),
        tuple(item for item in before.vulnerabilities if (item.id, item.package) not in now),
    )


def _holes(found: Iterable[Vulnerability]) -> set[tuple[str, str]]:
    return {(item.id, item.package) for item in found}


def _versions(packages: Iterable[Package]) -> dict[str, str]:
    """Return kind and name → versions; one name may be installed twice, once inside another package."""
    found: dict[str, set[str]] = {}
    for package in packages:
        found.setdefault(f"{package.kind} {package.name}", set()).add(package.version)
    return {name: " ".join(sorted(versions)) for name, versions in found.items()}
