# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import pytest

from buildkit.scan.origin import LockLine, Origin, Sources, origins
from buildkit.scan.report import Layer, Package, PackageKind, ScanReport, Secret, Severity
from tests.fakes.scanned import report

BASE, SHARED, FILES = (f"sha256:{digit * 64}" for digit in "123")
PYTHON = "images/nova/2026.1.python.lock"
SITE = "opt/venv/lib/python3.13/site-packages"
SOURCES = Sources(
    "images/series/2026.1.yaml",
    (
        ("the system of base trixie", PackageKind.DEBIAN, (LockLine("libssl3t64", "images/bases/trixie.os.lock:24"),)),
        (
            "Python packages of 7 images",
            PackageKind.PYTHON,
            tuple(
                LockLine(name, f"{PYTHON}:{number}")
                for number, name in enumerate(("nova", "pymysql", "requests", "setuptools", "oslo-config"), 4)
            ),
        ),
    ),
    {"pymysql": "images/series/2026.1.yaml:17", "nova": "images/nova/service.yaml:10"},
    {"setuptools": "images/series/2026.1.yaml:25"},
    ("nova", "images/nova/2026.1.yaml:5"),
    {"/etc/nova/api-paste.ini": "images/nova/service.yaml:20"},
    "images/nova (as rendered)",
)


def package(name: str, layer: str, *, kind: PackageKind = PackageKind.PYTHON, path: str = "") -> Package:
    return Package(kind, name, "1.0", "", name, layer, path)


def found(*packages: Package, secrets: tuple[str, ...] = ()) -> dict[str, Origin]:
    layers = (Layer(BASE, "COPY / /"), Layer(SHARED, "COPY /tree/ /"), Layer(FILES, "ADD files/nova.tar /"))
    planted = tuple(Secret(path, 1, "rule", Severity.CRITICAL, "a key", FILES) for path in secrets)
    content: ScanReport = replace(report("nova:2026.1"), layers=layers, packages=packages, secrets=planted)
    return origins(SOURCES, content)


@pytest.mark.parametrize(
    ("key", "place", "remedy"),
    [
        (
            "debian libssl3t64",
            "images/bases/trixie.os.lock:24",
            "`release spec lock --upgrade` takes what Debian has now",
        ),
        (
            "python nova",
            f"images/nova/service.yaml:10 ({PYTHON}:4)",
            "Raise `version` in images/nova/2026.1.yaml:5 to 9.1, then `release spec lock`.",
        ),
        ("python setuptools", f"{PYTHON}:7", "Raise the override in images/series/2026.1.yaml:25 to 9.1, then"),
        (
            "python requests",
            f"{PYTHON}:6",
            'Add to `overrides` in images/series/2026.1.yaml: `requests: {version: "9.1", owner: …, reason: …, expires: …}`',
        ),
    ],
)
def test_a_package_is_led_back_to_its_lines_and_told_how_to_mend(key: str, place: str, remedy: str) -> None:
    origin = found()[key]
    assert origin.place == place
    assert remedy in origin.remedy("9.1")


def test_without_a_fix_nothing_is_promised() -> None:
    assert found()["python requests"].remedy("").startswith("There is no fix yet.")
    assert Origin().remedy("9.1") == "Install 9.1."


def test_a_package_is_found_under_any_spelling() -> None:
    assert found(package("oslo.config", SHARED))["python oslo.config"].place == f"{PYTHON}:8"


def test_what_another_package_brings_along_is_led_back_to_that_one() -> None:
    inside = package("zipp", SHARED, path=f"{SITE}/setuptools/_vendor/zipp-3.19.2.dist-info/METADATA")
    origin = found(inside)["python zipp 1.0"]
    assert origin.place == f"{PYTHON}:7, inside setuptools"
    assert origin.remedy("9.1").startswith("setuptools brings it along; a later setuptools is needed.")
    assert "9.1" not in origin.remedy("9.1")


def test_a_copy_inside_another_package_is_not_taken_for_the_one_that_is_locked() -> None:
    own = package("requests", SHARED, path=f"{SITE}/requests-2.0.dist-info/METADATA")
    copy = replace(own, version="0.9", path=f"{SITE}/setuptools/_vendor/requests-0.9.dist-info/METADATA")
    origin = found(own, copy)
    assert origin["python requests"].place == f"{PYTHON}:6"
    assert origin["python requests 0.9"].place == f"{PYTHON}:7, inside setuptools"
    assert "python requests 1.0" not in origin


def test_a_secret_in_a_package_of_an_unknown_layer_still_has_its_owner() -> None:
    path = f"/{SITE}/requests/key.pem"
    secret = Secret(path, 1, "rule", Severity.CRITICAL, "a key", "sha256:unheard")
    content = replace(report("nova:2026.1"), packages=(package("requests", SHARED),), secrets=(secret,))
    assert origins(SOURCES, content)[f"file {path}"] == Origin("the package requests", "", "")


def test_what_came_by_no_lock_has_no_origin() -> None:
    stray = package("stray", SHARED, path=f"{SITE}/stray-1.0.dist-info/METADATA")
    carried = package("zipp", SHARED, path=f"{SITE}/unheard/_vendor/zipp-3.19.2.dist-info/METADATA")
    assert [key for key in found(stray, carried) if "stray" in key or "zipp" in key] == []


def test_layers_are_named_after_most_of_their_packages() -> None:
    packages = (
        package("libssl3t64", BASE, kind=PackageKind.DEBIAN),
        package("nova", SHARED),
        package("requests", SHARED),
        package("libssl3t64", SHARED, kind=PackageKind.DEBIAN),
    )
    origin = found(*packages)
    assert origin[f"layer {BASE}"].layer == "layer 1: the system of base trixie"
    assert origin[f"layer {SHARED}"].layer == "layer 2: Python packages of 7 images"
    assert origin[f"layer {FILES}"].layer == "layer 3: ADD files/nova.tar /"


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/etc/nova/api-paste.ini", "images/nova/service.yaml:20"),
        (f"/{SITE}/requests/data.txt", "the package requests"),
        (f"/{SITE}/oslo_config-10.3.0.dist-info/x", "the package oslo.config"),
        (f"/{SITE}/six.py", "the package six"),
        (f"/{SITE}/unheard/x", ""),
        ("/etc/passwd", ""),
    ],
)
def test_a_secret_is_led_back_to_what_brought_its_file(path: str, place: str) -> None:
    packages = (package(name, SHARED) for name in ("requests", "oslo.config", "six"))
    origin = found(*packages, secrets=(path,))[f"file {path}"]
    assert (origin.place, origin.layer) == (place, "layer 3: ADD files/nova.tar /")


def test_dockerfile_has_an_origin() -> None:
    assert found()["Dockerfile"].place == "images/nova (as rendered)"
