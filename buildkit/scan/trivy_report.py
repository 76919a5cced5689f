# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Trivy's JSON as our report: what we use is checked, what names this machine or this moment is left out. Pure.

Format: `pkg/types/report.go` of Trivy, schema version 2.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from buildkit.scan.report import (
    Layer,
    Licence,
    Misconfiguration,
    Package,
    PackageKind,
    Secret,
    Severity,
    Vulnerability,
)
from stackway.errors import FailedError

SCHEMA_VERSION = 2
_LICENCE_TARGETS = {"OS Packages": PackageKind.DEBIAN}

Row = TypeVar("Row", Layer, Package, Vulnerability, Secret, Licence, Misconfiguration)


@dataclass(frozen=True)
class Contents:
    """What is in an image whatever the database knows."""

    system: str
    layers: tuple[Layer, ...]
    packages: tuple[Package, ...]
    secrets: tuple[Secret, ...]
    licences: tuple[Licence, ...]


def parse(text: str, what: str) -> Mapping[str, Any]:
    """Return the report in `text`. Raises FailedError when it is not a whole one of the schema we know."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise _unusable(what, f"line {error.lineno}: {error.msg}") from error
    if not isinstance(content, dict) or content.get("SchemaVersion") != SCHEMA_VERSION:
        given = content.get("SchemaVersion") if isinstance(content, dict) else type(content).__name__
        raise _unusable(what, f"schema version {given!r}, {SCHEMA_VERSION} is understood")
    return content


def contents(report: Mapping[str, Any], what: str) -> Contents:
    """Return packages, secrets and licences of an image's report. Raises FailedError for a shape that is not Trivy's.

    An image in which no package is found is one that the scanner did not understand: that is an error, no clean image.
    """
    try:
        metadata = report.get("Metadata") or {}
        system = metadata.get("OS") or {}
        results = report.get("Results") or []
        found = Contents(
            f"{system.get('Family', 'unknown')} {system.get('Name', '')}".strip(),
            tuple(_layers(metadata)),
            tuple(sorted({package for result in results for package in _packages(result)})),
            tuple(sorted({secret for result in results for secret in _secrets(result)})),
            tuple(sorted({licence for result in results for licence in _licences(result)})),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _unusable(what, f"{type(error).__name__}: {error}") from error
    if not found.packages:
        raise _unusable(what, "it lists no package")
    return found


def vulnerabilities(report: Mapping[str, Any], packages: tuple[Package, ...], what: str) -> tuple[Vulnerability, ...]:
    """Return the holes in a report of an image or of its SBOM. Raises FailedError for a shape that is not Trivy's."""
    layers = {(package.kind, package.name, package.version): package.layer for package in packages}
    try:
        found = {
            _vulnerability(item, kind, layers)
            for result in report.get("Results") or []
            if (kind := _kind(result))
            for item in result.get("Vulnerabilities") or []
        }
        return tuple(sorted(found))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _unusable(what, f"{type(error).__name__}: {error}") from error


def misconfigurations(report: Mapping[str, Any], what: str) -> dict[str, tuple[Misconfiguration, ...]]:
    """Return file → rules it breaks. Raises FailedError for a shape that is not Trivy's."""
    try:
        return {
            str(result["Target"]): tuple(
                sorted(_misconfiguration(item) for item in result.get("Misconfigurations") or [])
            )
            for result in report.get("Results") or []
            if result.get("Class") == "config"
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _unusable(what, f"{type(error).__name__}: {error}") from error


def _layers(metadata: Mapping[str, Any]) -> Iterator[Layer]:
    config = metadata.get("ImageConfig") or {}
    made = [item.get("created_by", "") for item in config.get("history") or [] if not item.get("empty_layer")]
    digests = metadata.get("DiffIDs") or (config.get("rootfs") or {}).get("diff_ids") or []
    for index, digest in enumerate(digests):
        yield _sound(Layer(digest, _instruction(made[index]) if len(made) == len(digests) else ""))


def _instruction(text: str) -> str:
    """Return an instruction as its Dockerfile has it, in one line."""
    return " ".join(text.removesuffix("# buildkit").split())


def _kind(result: Mapping[str, Any]) -> PackageKind | None:
    """Return the kind of packages a part of the report is about; None when it is about none."""
    match result.get("Class"):
        case "os-pkgs":
            return PackageKind.DEBIAN
        case "lang-pkgs":
            return PackageKind.PYTHON if result.get("Type") == "python-pkg" else PackageKind.OTHER
        case _:
            return None


def _packages(result: Mapping[str, Any]) -> Iterator[Package]:
    kind = _kind(result)
    if kind is None:
        return
    for item in result.get("Packages") or []:
        purl = (item.get("Identifier") or {}).get("PURL", "")
        layer = (item.get("Layer") or {}).get("DiffID", "")
        name = item["Name"]
        source, path = item.get("SrcName", name), item.get("FilePath", "")
        yield _sound(Package(kind, name, _version(item), purl, source, layer, path))


def _version(item: Mapping[str, Any]) -> str:
    """Return a package's whole version: Trivy gives Debian's epoch and revision beside it."""
    version = str(item.get("Version", ""))
    epoch = f"{item['Epoch']}:" if item.get("Epoch") else ""
    release = f"-{item['Release']}" if item.get("Release") else ""
    return f"{epoch}{version}{release}"


def _secrets(result: Mapping[str, Any]) -> Iterator[Secret]:
    for item in result.get("Secrets") or []:
        layer = (item.get("Layer") or {}).get("DiffID", "")
        severity = Severity(str(item["Severity"]).lower())
        path, line = str(result["Target"]), int(item.get("StartLine", 0))
        yield _sound(Secret(path, line, item["RuleID"], severity, item["Title"], layer))


def _licences(result: Mapping[str, Any]) -> Iterator[Licence]:
    if result.get("Class") != "license":
        return
    kind = _LICENCE_TARGETS.get(str(result.get("Target")), PackageKind.PYTHON)
    for item in result.get("Licenses") or []:
        yield _sound(Licence(kind, item["PkgName"], item["Name"], item.get("Category") or "unknown"))


def _vulnerability(
    item: Mapping[str, Any], kind: PackageKind, layers: Mapping[tuple[PackageKind, str, str], str]
) -> Vulnerability:
    name, version = item["PkgName"], item["InstalledVersion"]
    found = Vulnerability(
        item["VulnerabilityID"],
        kind,
        name,
        version,
        item.get("FixedVersion") or "",
        Severity(str(item.get("Severity", "UNKNOWN")).lower()),
        item.get("Status") or "",
        item.get("PublishedDate") or "",
        item.get("Title") or "",
        (item.get("PkgIdentifier") or {}).get("PURL", ""),
        (item.get("Layer") or {}).get("DiffID") or layers.get((kind, name, version), ""),
    )
    return _sound(found)


def _misconfiguration(item: Mapping[str, Any]) -> Misconfiguration:
    found = Misconfiguration(
        item["ID"],
        int((item.get("CauseMetadata") or {}).get("StartLine") or 0),
        Severity(str(item["Severity"]).lower()),
        item["Title"],
        item["Message"],
        item.get("Resolution") or "",
    )
    return _sound(found)


def _sound(row: Row) -> Row:
    """Return a row of which every value but a line is text. Raises TypeError for any other."""
    for name, value in vars(row).items():
        if name != "line" and not isinstance(value, str):
            raise TypeError(f"{name} is {value!r}, and no text")
    return row


def _unusable(what: str, why: str) -> FailedError:
    return FailedError(
        f"the scanner's report of {what} cannot be used",
        details=why,
        resolution="Scan again; when it stays so, `release doctor` shows which Trivy is used.",
    )
