# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Reads where, in specs and locks, the things in an image are asked for and pinned. Touches nothing."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from buildkit.catalog import Catalog
from buildkit.lockfiles import ImageLocks, base_path, find, image_path
from buildkit.models import Base, Service
from buildkit.scan.origin import LockLine, Sources
from buildkit.scan.report import PackageKind
from stackway.documents import Document

_FEW = 3

if TYPE_CHECKING:
    from pathlib import Path


def sources_of(catalog: Catalog, service: Service, locks: ImageLocks) -> Sources:
    """Return the places of what one image is made from."""
    base = catalog.base_of(service)
    document = catalog.services[service.name, service.series].document
    series = catalog.series.get(service.series)
    overrides = _overrides(document, service.overrides)
    asked = {**_asked(document, ("packages", "python"), service.packages.python)}
    asked |= _asked(document, ("packages", "system"), service.packages.system)
    if series:
        overrides = {**_overrides(series.document, series.spec.overrides), **overrides}
        asked = {**_asked(series.document, ("packages",), series.spec.packages), **asked}
    return Sources(
        str(series.document.place(())).rpartition(":")[0] if series else "",
        tuple(_locks(catalog, service, base, locks)),
        asked,
        overrides,
        (str(canonicalize_name(service.distribution or "")), str(document.place(("version",)))),
        _files(document, service),
        f"{_folder(catalog, service)} (`release spec render {service.image}` shows it)",
    )


def _folder(catalog: Catalog, service: Service) -> str:
    return str(catalog.services[service.name, service.series].folder.relative_to(catalog.root))


def _asked(document: Document, path: tuple[str, ...], names: Iterable[str]) -> dict[str, str]:
    return {
        str(canonicalize_name(name.partition("[")[0])): str(document.place((*path, index)))
        for index, name in enumerate(names)
    }


def _overrides(document: Document, names: Iterable[str]) -> dict[str, str]:
    return {str(canonicalize_name(name)): str(document.place(("overrides", name, "version"))) for name in names}


def _files(document: Document, service: Service) -> dict[str, str]:
    """Return path in the image → the spec line that has it made."""
    return {
        file.path: str(document.place(("config", name, "path")))
        for name, file in service.config.items()
        if file.render == "image"
    }


def _locks(
    catalog: Catalog, service: Service, base: Base, locks: ImageLocks
) -> Iterable[tuple[str, PackageKind, tuple[LockLine, ...]]]:
    yield f"the system of base {base.name}", PackageKind.DEBIAN, _lines(catalog, base_path(base, "os"))
    if service.layout == "python":
        interpreter = _lines(catalog, base_path(base, "interpreter"))
        yield f"Python of base {base.name}", PackageKind.DEBIAN, interpreter
    if locks.system.packages:
        yield f"system packages of {service.name}", PackageKind.DEBIAN, _lines(catalog, image_path(service, "system"))
    if service.layout == "python":
        yield from _python(service, locks, _lines(catalog, image_path(service, "python")))


def _python(
    service: Service, locks: ImageLocks, lines: tuple[LockLine, ...]
) -> Iterable[tuple[str, PackageKind, tuple[LockLine, ...]]]:
    """Yield the Python packages by layer: those that services share, and the rest."""
    shared: Mapping[str, str] = {
        str(canonicalize_name(pin.name)): f"Python packages of {_some(layer.images)}"
        for layer in locks.layers
        if service.name in layer.images
        for pin in layer.pins
    }
    groups: dict[str, list[LockLine]] = {}
    for line in lines:
        words = shared.get(str(canonicalize_name(line.name)), f"Python packages of {service.name} alone")
        groups.setdefault(words, []).append(line)
    for words, members in groups.items():
        yield words, PackageKind.PYTHON, tuple(members)


def _some(names: Sequence[str]) -> str:
    """Return the names when they are few, else how many they are."""
    return ", ".join(names) if len(names) <= _FEW else f"{len(names)} images"


def _lines(catalog: Catalog, path: str) -> tuple[LockLine, ...]:
    """Return the packages of a lock, each with its line."""
    found: Path = find(catalog, path)
    name = str(found.relative_to(catalog.root))
    return tuple(
        LockLine(line.replace("==", " ", 1).split()[0], f"{name}:{number}")
        for number, line in enumerate(found.read_text(encoding="utf-8").splitlines(), 1)
        if line.strip() and not line.startswith("#")
    )
