# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What a scanner found in one image: packages, holes, secrets, licences, misconfiguration. Pure; holds no path of a machine.

Everything is sorted, so equal images, databases and scanners give equal bytes.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from stackway.errors import FailedError
from stackway.files import canonical_json, digest_bytes

if TYPE_CHECKING:
    from pydantic import TypeAdapter

KIND = "ScanReport"
_ROWS = ("layers", "packages", "vulnerabilities", "secrets", "licences", "misconfigurations")


class Severity(StrEnum):
    """How bad a finding is, in the scanner's words; members are in order."""

    UNKNOWN = "unknown"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for unknown up to 4 for critical."""
        return list(Severity).index(self)


class PackageKind(StrEnum):
    """Where a package is from, which says how it is mended: Debian, the Python index, or some other language's packages."""

    DEBIAN = "debian"
    PYTHON = "python"
    OTHER = "other"


@dataclass(frozen=True, order=True)
class Layer:
    """A layer of an image: digest of its uncompressed bytes, and the instruction that made it."""

    digest: str
    made_by: str


@dataclass(frozen=True, order=True)
class Package:
    """An installed package; `source` is what Debian builds it from, `layer` the digest of the layer that has it."""

    kind: PackageKind
    name: str
    version: str
    purl: str
    source: str
    layer: str
    path: str


@dataclass(frozen=True, order=True)
class Vulnerability:
    """A known hole of a package. An empty `fixed` means that there is no fix, an empty `published` that no day is known."""

    id: str
    kind: PackageKind
    package: str
    version: str
    fixed: str
    severity: Severity
    status: str
    published: str
    title: str
    purl: str
    layer: str


@dataclass(frozen=True, order=True)
class Secret:
    """Something that looks like a secret; what it says is not kept."""

    path: str
    line: int
    rule: str
    severity: Severity
    title: str
    layer: str


@dataclass(frozen=True, order=True)
class Licence:
    """A licence that a package declares, with the scanner's category (`notice`, `restricted`, `forbidden` …)."""

    kind: PackageKind
    package: str
    name: str
    category: str


@dataclass(frozen=True, order=True)
class Misconfiguration:
    """A rule that the image's Dockerfile breaks."""

    id: str
    line: int
    severity: Severity
    title: str
    message: str
    resolution: str


@dataclass(frozen=True)
class DatabaseFacts:
    """The database that was asked: schema version, when its makers made it (UTC, ISO 8601), whence it came, its digest."""

    version: int
    updated: str
    source: str
    digest: str


@dataclass(frozen=True)
class Key:
    """What a report depends on: image, scanner, how we ask it, the Dockerfile, and the database."""

    digest: str
    scanner: str
    questions: str
    dockerfile: str
    database: DatabaseFacts


@dataclass(frozen=True)
class ScanReport:
    """All that was found in one image."""

    image: str
    key: Key
    system: str
    layers: tuple[Layer, ...]
    packages: tuple[Package, ...]
    vulnerabilities: tuple[Vulnerability, ...]
    secrets: tuple[Secret, ...]
    licences: tuple[Licence, ...]
    misconfigurations: tuple[Misconfiguration, ...]

    @property
    def digest(self) -> str:
        """The digest of the report's canonical JSON."""
        return digest_bytes(canonical_json(self.to_dict()))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data; the order of what was found makes no difference."""
        rows = {
            name: [dict(vars(item)) for item in found] for name, found in vars(self.sorted()).items() if name in _ROWS
        }
        head = {"image": self.image, "key": asdict(self.key), "system": self.system}
        return {"apiVersion": "stackway/v1", "kind": KIND, **head, **rows}

    def sorted(self) -> "ScanReport":
        """Return the report with everything in order, and once."""
        return replace(
            self,
            packages=tuple(sorted(set(self.packages))),
            vulnerabilities=tuple(sorted(set(self.vulnerabilities))),
            secrets=tuple(sorted(set(self.secrets))),
            licences=tuple(sorted(set(self.licences))),
            misconfigurations=tuple(sorted(set(self.misconfigurations))),
        )


def read_report(content: Any, name: str) -> ScanReport:
    """Return the report in JSON data. Raises FailedError for anything that is not a whole one."""
    from pydantic import ValidationError

    head = content if isinstance(content, Mapping) else {}
    if head.get("kind") != KIND or head.get("apiVersion") != "stackway/v1":
        raise FailedError(
            f"{name} is no scan report",
            details=f"it says kind {head.get('kind')!r}, apiVersion {head.get('apiVersion')!r}",
            resolution="Scan again: `release scan --force`.",
        )
    data = {key: value for key, value in content.items() if key not in {"apiVersion", "kind"}}
    try:
        return _adapter().validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise FailedError(
            f"{name} is no whole scan report",
            details=f"{'.'.join(map(str, first['loc'])) or 'the report'}: {first['msg']}",
            resolution="Scan again: `release scan --force`.",
        ) from error


@lru_cache(maxsize=1)
def _adapter() -> "TypeAdapter[ScanReport]":
    from pydantic import TypeAdapter

    return TypeAdapter(ScanReport)
