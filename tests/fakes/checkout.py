# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A small complete checkout: two bases, two series, two Python services, one system service, templates, and made-up locks.

The specs are plain data, to be changed file by file; the Dockerfile templates are the real ones.
"""

import json
import shutil
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from buildkit.catalog import Catalog, load_catalog
from buildkit.checkout import Checkout
from buildkit.layering import layers_text, partition
from buildkit.lockfiles import base_path, image_path, layers_path
from buildkit.locks import Pin, PythonLock, SystemLock, SystemPackage
from buildkit.models import Base, Service
from buildkit.questions import (
    SystemQuestion,
    backends_question,
    interpreter_question,
    os_question,
    python_question,
    system_question,
)
from stackway.console import SilentReporter
from stackway.files import digest_bytes
from stackway.settings import load_settings

REPOSITORY = Path(__file__).parents[2]
EPOCH = "1700000000"
API = "stackway/v1"


def _base(name: str, distribution: str, python: str) -> dict[str, Any]:
    return {
        "apiVersion": API,
        "kind": "Base",
        "name": name,
        "distribution": distribution,
        "suite": name,
        "python": python,
        "platform": "x86_64-manylinux_2_28",
        "usrMerge": False,
        "operatingSystem": ["usr-is-merged"],
        "interpreter": ["python3"],
        "backends": {"setuptools": "80.9.0"},
    }


def _series(name: str, base: str, earlier: str) -> dict[str, Any]:
    return {
        "apiVersion": API,
        "kind": "Series",
        "name": name,
        "codename": "Example",
        "base": base,
        "slurp": True,
        "released": "2026-04-01",
        "endOfLife": "2027-10-27",
        "upgradesFrom": [earlier],
        "constraints": {"file": f"{name}.txt", "commit": "0" * 40, "digest": digest_bytes(name.encode())},
        "packages": ["pyuwsgi"],
        "overrides": {
            "pyuwsgi": {"version": "2.0.30", "owner": "Tests", "reason": "an example", "expires": "2999-12-31"}
        },
        "infrastructure": {"memcached": "1.6"},
    }


def _python_service(name: str, port: int) -> dict[str, Any]:
    return {
        "apiVersion": API,
        "kind": "Service",
        "name": name,
        "summary": f"{name} of the tests",
        "distribution": name,
        "packages": {"python": [name]},
        "environment": {"EXAMPLE": "a value"},
        "labels": {"org.example.team": "identity"},
        "config": {"conf": {"template": f"{name}.conf.j2", "path": f"/etc/{name}/{name}.conf"}},
        "directories": [f"/var/lib/{name}"],
        "volumes": {"tmp": {"path": "/tmp", "from": "memory", "size": "64Mi"}},
        "settings": {"debug": False, "api_processes": 1, "api_threads": 4},
        "processes": {"api": {"wsgi": f"{name}.wsgi:application", "port": port}},
        "checks": {"smoke": {"imports": [f"{name}.wsgi"], "commands": [[f"{name}-manage", "--version"]]}},
    }


SPECS: Mapping[str, Mapping[str, Any]] = {
    "images/bases/bookworm.yaml": _base("bookworm", "Debian 12", "3.11"),
    "images/bases/trixie.yaml": _base("trixie", "Debian 13", "3.13"),
    "images/series/2025.1.yaml": _series("2025.1", "bookworm", "2024.1"),
    "images/series/2026.1.yaml": _series("2026.1", "trixie", "2025.1"),
    "images/keystone/service.yaml": _python_service("keystone", 5000),
    "images/keystone/2025.1.yaml": {"series": "2025.1", "version": "27.0.0"},
    "images/keystone/2026.1.yaml": {"series": "2026.1", "version": "29.0.2"},
    "images/glance/service.yaml": {**_python_service("glance", 9292), "upgrade": {"after": ["keystone"]}},
    "images/glance/2026.1.yaml": {"series": "2026.1", "version": "32.0.0"},
    "images/memcached/service.yaml": {
        "apiVersion": API,
        "kind": "Service",
        "name": "memcached",
        "summary": "memcached of the tests",
        "role": "infrastructure",
        "layout": "system",
        "base": "trixie",
        "packages": {"system": ["memcached"]},
        "processes": {"server": {"command": ["memcached", "--port=11211"], "port": 11211}},
    },
    "images/memcached/1.6.yaml": {"series": "1.6", "version": "1.6.38"},
}
TEXTS: Mapping[str, str] = {
    "images/keystone/templates/keystone.conf.j2": "[DEFAULT]\ndebug = {{ settings.debug | lower }}\n",
    "images/glance/templates/glance.conf.j2": "[database]\nconnection = {{ database.glance }}\n",
    "images/shared/example.yaml": "database: {glance: sqlite://}\n",
}
DISTRIBUTIONS = ("certifi", "requests")


class FakeCheckout:
    """A checkout below `root`. `write` changes a file, `lock` makes the locks answer the specs as they then are."""

    def __init__(self, root: Path) -> None:
        self.root = root
        files: dict[str, Mapping[str, Any] | str] = {**SPECS, **TEXTS}
        for path, content in files.items():
            self.write(path, content)
        for folder in ("dockerfiles", "templates", "new"):
            shutil.copytree(REPOSITORY / "images/shared" / folder, root / "images/shared" / folder)

    def write(self, path: str, content: Mapping[str, Any] | str) -> None:
        """Write a file; a mapping becomes JSON, which is YAML in which each text is quoted and has a line of its own."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content if isinstance(content, str) else json.dumps(content, indent=1, ensure_ascii=False))

    def change(self, path: str, **values: Any) -> None:
        """Write one of SPECS again with other values at its top; None takes one away."""
        changed = {**deepcopy(dict(SPECS[path])), **values}
        self.write(path, {key: value for key, value in changed.items() if value is not None})

    def catalog(self, overlay: str = "") -> Catalog:
        """Return the specs, read."""
        return load_catalog(self.root, overlay)

    def open(self, overlay: str = "") -> Checkout:
        """Return the checkout as commands see it; its cache lies below `root` too."""
        settings = load_settings(self.root, {"cache": str(self.root / "cache")})
        return Checkout(self.catalog(overlay), settings, SilentReporter())

    def lock(self) -> None:
        """Write every lock. Packages have the names that were asked for, and digests made of them."""
        catalog = self.catalog()
        texts: dict[str, str] = {}
        for base in catalog.bases.values():
            texts |= base_locks(base.spec)
        for item in catalog.services.values():
            texts |= image_locks(catalog, item.spec)
        for series in catalog.series:
            texts[layers_path(series)] = layers_text(series, partition(python_locks(catalog, series)))
        for path, text in texts.items():
            self.write(f"images/{path}", text)


def base_locks(base: Base) -> dict[str, str]:
    pins = tuple(pin(name, version) for name, version in base.backends.items())
    backends = PythonLock(pins, backends_question(base).header)
    return {
        base_path(base, "os"): system_lock(os_question(base)).to_text(),
        base_path(base, "interpreter"): system_lock(interpreter_question(base)).to_text(),
        base_path(base, "backends"): backends.to_text(),
    }


def image_locks(catalog: Catalog, service: Service) -> dict[str, str]:
    texts = {}
    if service.layout == "system" or service.packages.system:
        lock = system_lock(system_question(service, catalog.base_of(service)))
        texts[image_path(service, "system")] = lock.to_text()
    if service.layout == "python":
        texts[image_path(service, "python")] = fake_python_lock(catalog, service).to_text()
    return texts


def python_locks(catalog: Catalog, series: str) -> dict[str, PythonLock]:
    members = [service for service in catalog.members(series) if service.layout == "python"]
    return {service.name: fake_python_lock(catalog, service) for service in members}


def system_lock(question: SystemQuestion) -> SystemLock:
    return SystemLock(tuple(map(package, question.packages)), {**question.header, "epoch": EPOCH})


def fake_python_lock(catalog: Catalog, service: Service) -> PythonLock:
    series = catalog.series[service.series].spec
    question = python_question(service, series, catalog.base_of(service))
    asked = {**dict.fromkeys(DISTRIBUTIONS, "1.0"), **question.requirements}
    return PythonLock(tuple(pin(name, version or "1.0") for name, version in asked.items()), question.header)


def package(name: str) -> SystemPackage:
    """Return a Debian package that nobody has."""
    return SystemPackage(name, "1.0-1", "amd64", digest_bytes(name.encode()), 1000, "debian", f"pool/{name}.deb")


def pin(name: str, version: str) -> Pin:
    """Return a wheel that nobody has."""
    filename = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    return Pin(name, version, digest_bytes(filename.encode()), filename, 1000)
