# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What an environment allows its images to contain, and the exceptions people answer for. Shapes and rules; reads no file.

Files: `policies/<name>.yaml` and `policies/exceptions.yaml`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import combinations
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from buildkit.models import API_VERSION, Day, Name, Shape, Text
from buildkit.scan.report import PackageKind, Severity
from stackway.documents import Document
from stackway.errors import Problem

SOON = timedelta(days=14)
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

Age = Annotated[str, StringConstraints(strict=True, pattern=re.compile(r"\A(0|[1-9][0-9]{0,4})[mhdw]\Z"))]
Action = Literal["fail", "warn", "pass"]
FindingId = Annotated[
    str, StringConstraints(strict=True, pattern=re.compile(r"\A[A-Z][A-Za-z0-9]*([.-][A-Za-z0-9]+)*\Z"))
]
PackageName = Annotated[str, StringConstraints(strict=True, pattern=re.compile(r"\A[A-Za-z0-9][A-Za-z0-9+._-]*\Z"))]
ImageName = Annotated[str, StringConstraints(strict=True, pattern=re.compile(r"\A[a-z][a-z0-9-]*(:[0-9.]+)?\Z"))]
LicenceName = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=100)]
# https://github.com/openvex/spec: why a product is not affected.
Justification = Literal[
    "component_not_present",
    "vulnerable_code_not_present",
    "vulnerable_code_not_in_execute_path",
    "vulnerable_code_cannot_be_controlled_by_adversary",
    "inline_mitigations_already_exist",
]


def seconds(age: str) -> timedelta:
    """Return an age such as `24h` or `14d`."""
    return timedelta(**{_UNITS[age[-1]]: int(age[:-1])})


class DatabaseRule(Shape):
    """How old the database may be that says what is known."""

    max_age: Age = Field("24h", description="Older than this, it is stale: `24h`, `7d`.")
    when_stale: Literal["refuse", "warn"] = Field("refuse", description="What a stale database means.")


class VulnerabilityRule(Shape):
    """The first rule that matches a hole decides; what no rule matches passes."""

    severity: Annotated[tuple[Severity, ...], Field(min_length=1)] = Field(description="Severities it is about.")
    fix: Literal["available", "none", "any"] = Field("any", description="Whether there is a version without the hole.")
    packages: tuple[PackageKind, ...] = Field((), description="Kinds of packages it is about; empty means all.")
    older_than: Age = Field(
        "0d", description="Only holes that have been public for longer; a hole without a day counts as old."
    )
    action: Action = Field(description="What it means for the image.")


class LicenceRule(Shape):
    """Licences that must not be in an image, by name and by category of the scanner."""

    packages: tuple[PackageKind, ...] = Field((), description="Kinds of packages it is about; empty means all.")
    names: tuple[LicenceName, ...] = Field((), description="Licences by SPDX identifier.")
    categories: tuple[Literal["forbidden", "restricted", "reciprocal", "unknown"], ...] = Field(
        (), description="Trivy's categories."
    )
    action: Action = Field(description="What it means for the image.")


class MisconfigurationRule(Shape):
    """Rules for Dockerfiles that an image's own may not break."""

    severity: Annotated[tuple[Severity, ...], Field(min_length=1)] = Field(description="Severities it is about.")
    action: Action = Field(description="What it means for the image.")


class Policy(Shape):
    """What an environment allows."""

    api_version: Literal["stackway/v1"] = API_VERSION
    kind: Literal["ScanPolicy"] = "ScanPolicy"
    name: Name = Field(description="The file's name without `.yaml`.")
    summary: Text = Field(description="Whom it is for.")
    database: DatabaseRule = DatabaseRule()
    vulnerabilities: tuple[VulnerabilityRule, ...] = Field(
        description="Rules for holes; the first that matches decides."
    )
    licences: tuple[LicenceRule, ...] = Field((), description="Rules for licences; the first that matches decides.")
    misconfigurations: tuple[MisconfigurationRule, ...] = Field((), description="Rules for Dockerfiles.")


class Exemption(Shape):
    """A finding that somebody answers for, until a day. What is not given here is not excepted."""

    id: FindingId = Field(description="The hole, or the rule of a misconfiguration: `CVE-2026-12345`, `DS-0002`.")
    package: PackageName | None = Field(None, description="The package, as the scanner names it; a hole needs one.")
    images: tuple[ImageName, ...] = Field((), description="`nova` or `nova:2026.1`; empty means all.")
    policies: tuple[Name, ...] = Field((), description="Environments it holds for; empty means all.")
    owner: Text = Field(description="Who answers for it.")
    reason: Text = Field(description="Why it may stay.")
    expires: Day = Field(description="The day from whose beginning (UTC) it no longer holds.")
    justification: Justification | None = Field(
        None, description="Given when the image is not affected: it is then published as OpenVEX."
    )

    @property
    def ends(self) -> datetime:
        """The moment from which it no longer holds."""
        return datetime.combine(self.expires, time(), UTC)

    def covers(self, image: str, policy: str) -> bool:
        """Tell whether it is about this image under this policy."""
        names = {image, image.partition(":")[0]}
        return (not self.images or bool(names & set(self.images))) and (not self.policies or policy in self.policies)


class Exemptions(Shape):
    """The file of exceptions."""

    api_version: Literal["stackway/v1"] = API_VERSION
    kind: Literal["ScanExceptions"] = "ScanExceptions"
    exceptions: tuple[Exemption, ...] = Field(description="Findings that may stay, each with an owner and a day.")


@dataclass(frozen=True)
class Rules:
    """A policy with the exceptions that may hold under it, and where each was written (`file:line`)."""

    policy: Policy
    exceptions: tuple[tuple[Exemption, str], ...]
    digest: str


def conflicts(given: Exemptions, document: Document, now: datetime) -> Iterator[Problem]:
    """Yield what is wrong with exceptions beyond their shape: no longer valid, or two for one finding."""
    for index, item in enumerate(given.exceptions):
        if item.ends <= now:
            place = document.place(("exceptions", index, "expires"))
            hint = f"{item.owner} decides: remove the exception, or give it another day and say why."
            yield Problem(f"the exception for {item.id} ended on {item.expires} ({item.reason})", place, hint)
        if item.id.startswith(("CVE-", "GHSA-", "DSA-", "PYSEC-")) and item.package is None:
            place = document.place(("exceptions", index))
            yield Problem(f"the exception for {item.id} names no package", place, "Say which: `package: openssl`.")
    for (first, one), (second, other) in combinations(enumerate(given.exceptions), 2):
        if _overlap(one, other):
            place = document.place(("exceptions", second))
            before = document.place(("exceptions", first))
            yield Problem(f"a second exception for {other.id}; the first is at {before}", place, "Keep one of them.")


def _overlap(one: Exemption, other: Exemption) -> bool:
    if (one.id, one.package) != (other.id, other.package):
        return False
    return _meet(one.policies, other.policies) and _meet(one.images, other.images)


def _meet(one: Sequence[str], other: Sequence[str]) -> bool:
    """Tell whether two lists of names, where an empty one means all, have something in common."""
    if not one or not other:
        return True
    return any(a == b or a == b.partition(":")[0] or b == a.partition(":")[0] for a in one for b in other)


def ending_soon(rules: Rules, now: datetime) -> list[str]:
    """Return a warning for each exception that will soon no longer hold."""
    return [
        f"{place}: the exception for {item.id} ends on {item.expires}; {item.owner} decides what then"
        for item, place in rules.exceptions
        if now < item.ends <= now + SOON
    ]
