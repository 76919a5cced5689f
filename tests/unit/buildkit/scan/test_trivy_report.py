# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
import json
from typing import Any

import pytest

from buildkit.scan.report import Layer, PackageKind, Severity
from buildkit.scan.trivy_report import contents, misconfigurations, parse, vulnerabilities
from stackway.errors import FailedError

FIRST, SECOND = "sha256:" + "1" * 64, "sha256:" + "2" * 64
BASH = {
    "Name": "bash",
    "Version": "5.2.37",
    "Release": "2+b10",
    "Epoch": 1,
    "SrcName": "bash",
    "Identifier": {"PURL": "pkg:deb/debian/bash@5.2.37-2"},
    "Layer": {"DiffID": FIRST},
}
REQUESTS = {"Name": "requests", "Version": "2.0", "Layer": {"DiffID": SECOND}, "FilePath": "opt/requests/METADATA"}
HOLE = {"VulnerabilityID": "CVE-1-1", "PkgName": "requests", "InstalledVersion": "2.0", "Severity": "HIGH"}
SECRET = {"RuleID": "key", "Severity": "CRITICAL", "Title": "a key", "StartLine": 2, "Match": "hunter2", "Code": {}}
BROKEN = {"ID": "DS-0002", "Severity": "HIGH", "Title": "root", "Message": "m", "CauseMetadata": {"StartLine": 4}}
REPORT: dict[str, Any] = {
    "SchemaVersion": 2,
    "Metadata": {
        "OS": {"Family": "debian", "Name": "13.7"},
        "DiffIDs": [FIRST, SECOND],
        "ImageConfig": {
            "history": [
                {"created_by": "COPY / / # buildkit"},
                {"created_by": "ENV A=b", "empty_layer": True},
                {"created_by": "RUN |1 A=b  sh\tx # buildkit"},
            ]
        },
    },
    "Results": [
        {"Target": "x (debian 13.7)", "Class": "os-pkgs", "Packages": [BASH]},
        {
            "Target": "Python",
            "Class": "lang-pkgs",
            "Type": "python-pkg",
            "Packages": [REQUESTS],
            "Vulnerabilities": [HOLE],
        },
        {"Target": "/etc/x", "Class": "secret", "Secrets": [SECRET]},
        {
            "Target": "OS Packages",
            "Class": "license",
            "Licenses": [{"PkgName": "bash", "Name": "GPL", "Category": "restricted"}],
        },
        {"Target": "Python", "Class": "license", "Licenses": [{"PkgName": "requests", "Name": "MIT", "Category": ""}]},
    ],
}


def test_packages_of_other_languages_are_not_taken_for_pythons() -> None:
    other = {"Target": "bin/x", "Class": "lang-pkgs", "Type": "gobinary", "Packages": [REQUESTS]}
    assert [item.kind for item in contents({**REPORT, "Results": [other]}, "nova").packages] == [PackageKind.OTHER]


def test_packages_have_their_whole_version_and_their_layer() -> None:
    found = contents(REPORT, "nova")
    bash, requests = found.packages
    assert (bash.kind, bash.version, bash.layer) == (PackageKind.DEBIAN, "1:5.2.37-2+b10", FIRST)
    assert (requests.kind, requests.version, requests.path) == (PackageKind.PYTHON, "2.0", "opt/requests/METADATA")
    assert found.system == "debian 13.7"


def test_layers_have_the_instruction_that_made_them() -> None:
    assert contents(REPORT, "nova").layers == (Layer(FIRST, "COPY / /"), Layer(SECOND, "RUN |1 A=b sh x"))


def test_a_history_that_does_not_fit_names_no_instruction() -> None:
    lost = {**REPORT, "Metadata": {"DiffIDs": [FIRST]}}
    assert contents(lost, "nova").layers == (Layer(FIRST, ""),)


def test_what_a_secret_says_is_not_kept() -> None:
    (secret,) = contents(REPORT, "nova").secrets
    assert (secret.path, secret.line, secret.severity) == ("/etc/x", 2, Severity.CRITICAL)
    assert "hunter2" not in repr(secret)


def test_licences_belong_to_a_kind_of_package() -> None:
    found = {(item.kind, item.package): item.category for item in contents(REPORT, "nova").licences}
    assert found == {(PackageKind.DEBIAN, "bash"): "restricted", (PackageKind.PYTHON, "requests"): "unknown"}


def test_a_hole_without_a_layer_has_that_of_its_package() -> None:
    (hole,) = vulnerabilities(REPORT, contents(REPORT, "nova").packages, "nova")
    assert (hole.id, hole.severity, hole.layer, hole.fixed) == ("CVE-1-1", Severity.HIGH, SECOND, "")


def test_rules_that_a_file_breaks_are_found_by_its_name() -> None:
    found = misconfigurations(
        {"Results": [{"Class": "config", "Target": "0/Dockerfile", "Misconfigurations": [BROKEN]}, {"Class": "other"}]},
        "the Dockerfiles",
    )
    assert [(item.id, item.line) for item in found["0/Dockerfile"]] == [("DS-0002", 4)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1"),
        (json.dumps(REPORT)[:-5], "line 1"),
        ("[]", "schema version 'list'"),
        ("{}", "schema version None"),
        ('{"SchemaVersion": 3}', "schema version 3"),
    ],
)
def test_what_is_no_whole_report_is_an_error(text: str, told: str) -> None:
    with pytest.raises(FailedError, match=r"report of nova:2026\.1 cannot be used") as caught:
        parse(text, "nova:2026.1")
    assert told in caught.value.details


def with_result(**changes: Any) -> dict[str, Any]:
    """Return a report with the packages of the system and one other result."""
    return {
        **REPORT,
        "Results": [REPORT["Results"][0], {"Target": "x", "Class": "lang-pkgs", "Type": "python-pkg", **changes}],
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {**REPORT, "Results": [1]},
        {**REPORT, "Results": "x"},
        {**REPORT, "Results": 1},
        {**REPORT, "Metadata": 1},
        {**REPORT, "Metadata": {"DiffIDs": [1]}},
        with_result(Packages=[{}]),
        with_result(Class="license", Licenses=[{}]),
        with_result(Secrets=[{**SECRET, "Severity": "terrible"}]),
        with_result(Secrets=[{"RuleID": "x"}]),
        with_result(Packages=[{**REQUESTS, "Name": 5}]),
        with_result(Packages=[{**REQUESTS, "FilePath": None}]),
        with_result(Packages=[{**REQUESTS, "Layer": FIRST}]),
        with_result(Secrets=[{**SECRET, "StartLine": "two"}]),
        with_result(Class="license", Licenses=[{"PkgName": "bash", "Name": ["GPL"]}]),
    ],
)
def test_contents_of_another_shape_are_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(FailedError, match="report of nova cannot be used") as caught:
        contents(wrong, "nova")
    assert "Error: " in caught.value.details


@pytest.mark.parametrize("wrong", [{}, {**REPORT, "Results": None}, {**REPORT, "Results": REPORT["Results"][2:]}])
def test_an_image_without_any_package_was_not_understood(wrong: dict[str, Any]) -> None:
    with pytest.raises(FailedError, match="report of nova cannot be used") as caught:
        contents(wrong, "nova")
    assert caught.value.details == "it lists no package"


@pytest.mark.parametrize(
    ("given", "version"),
    [
        ({"Version": "13.8+deb13u7"}, "13.8+deb13u7"),
        ({"Version": "5.2.37", "Release": "2+b10"}, "5.2.37-2+b10"),
        ({"Version": "1.2", "Release": "3", "Epoch": 2}, "2:1.2-3"),
        ({"Version": "1.2", "Epoch": 0, "Release": ""}, "1.2"),
        ({}, ""),
    ],
)
def test_versions_of_debian_are_put_together(given: dict[str, Any], version: str) -> None:
    results = [{"Class": "os-pkgs", "Packages": [{"Name": "bash", **given}]}]
    (package,) = contents({**REPORT, "Results": results}, "nova").packages
    assert (package.version, package.source) == (version, "bash")


def test_a_hole_is_taken_as_trivy_writes_it() -> None:
    written = {
        **HOLE,
        "PkgIdentifier": {"PURL": "pkg:pypi/requests@2.0", "UID": "1a"},
        "FixedVersion": "2.1, 3.0",
        "Status": "fixed",
        "Layer": {"Digest": "sha256:0", "DiffID": FIRST},
        "Title": "a hole",
        "VendorSeverity": {"nvd": 3},
        "PublishedDate": "2026-01-01T00:00:00Z",
    }
    (hole,) = vulnerabilities(with_result(Vulnerabilities=[written, written]), (), "nova")
    told = (hole.fixed, hole.status, hole.published, hole.purl, hole.layer)
    assert told == ("2.1, 3.0", "fixed", "2026-01-01T00:00:00Z", "pkg:pypi/requests@2.0", FIRST)
    assert vulnerabilities({"Results": [{"Class": "config", "Vulnerabilities": [written]}]}, (), "nova") == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {**HOLE, "Severity": "terrible"},
        {**HOLE, "PkgIdentifier": 1},
        {**HOLE, "VulnerabilityID": None},
        {**HOLE, "FixedVersion": ["3.0"]},
        {**HOLE, "FixedVersion": 3.0},
        {**HOLE, "PublishedDate": 5},
    ],
)
def test_holes_of_another_shape_are_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(FailedError, match="report of nova cannot be used"):
        vulnerabilities(with_result(Vulnerabilities=[HOLE, wrong]), (), "nova")


@pytest.mark.parametrize(
    "wrong",
    [
        {"Class": "config"},
        {"Class": "config", "Target": "x", "Misconfigurations": [{"ID": "DS-0002"}]},
        {"Class": "config", "Target": "x", "Misconfigurations": [{**BROKEN, "Severity": "terrible"}]},
        {"Class": "config", "Target": "x", "Misconfigurations": [{**BROKEN, "Title": 5}]},
    ],
)
def test_misconfigurations_of_another_shape_are_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(FailedError, match="report of x cannot be used"):
        misconfigurations({"Results": [wrong]}, "x")
