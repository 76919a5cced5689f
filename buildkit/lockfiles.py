# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Where locks lie, and whether they answer what the specs ask today. Reads them; `buildkit.locking` writes them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from buildkit.catalog import FOLDER, OVERLAYS, Catalog
from buildkit.layering import Layer, parse_layers
from buildkit.locks import PythonLock, SystemLock, parse_python_lock, parse_system_lock
from buildkit.models import Base, Service
from buildkit.questions import (
    backends_question,
    interpreter_question,
    os_question,
    python_question,
    system_question,
)
from stackway.errors import Position, Problem, WrongInputError


@dataclass(frozen=True)
class BaseLocks:
    """A base's three locks; `epoch` (seconds) is later than every file of its packages."""

    os: SystemLock
    interpreter: SystemLock
    backends: PythonLock
    epoch: int


@dataclass(frozen=True)
class ImageLocks:
    """What is locked for one image; `layers` are those its series has recorded."""

    base: BaseLocks
    system: SystemLock
    python: PythonLock
    layers: tuple[Layer, ...]


def base_path(base: Base, stage: str) -> str:
    """Return the path of a base's lock below the folder of specs."""
    return f"bases/{base.name}.{stage}.lock"


def image_path(service: Service, kind: str) -> str:
    """Return the path of an image's lock (`python` or `system`) below the folder of specs."""
    return f"{service.name}/{service.series}.{kind}.lock"


def layers_path(series: str) -> str:
    """Return the path of a series' recorded layers below the folder of specs."""
    return f"series/{series}.layers.lock"


def find(catalog: Catalog, path: str) -> Path:
    """Return where a lock is read from: the overlay's when it has one."""
    return catalog.root / _below_root(catalog, path)


def _below_root(catalog: Catalog, path: str) -> str:
    if catalog.overlay:
        own = f"{OVERLAYS}/{catalog.overlay}/{path}"
        if (catalog.root / own).exists():
            return own
    return f"{FOLDER}/{path}"


class LockReader:
    """Reads each lock once and collects what is missing or out of date."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._bases: dict[str, BaseLocks] = {}
        self._layers: dict[str, tuple[Layer, ...]] = {}
        self.problems: list[Problem] = []

    def image(self, service: Service) -> ImageLocks:
        """Return the locks of one image."""
        base = self._catalog.base_of(service)
        system, python = SystemLock(()), PythonLock(())
        if service.layout == "system" or service.packages.system:
            system = self._system(image_path(service, "system"), system_question(service, base).header["input"])
        if service.layout == "python":
            series = self._catalog.series[service.series].spec
            question = python_question(service, series, base)
            python = self._python(image_path(service, "python"), question.header["input"])
        return ImageLocks(self.base(base), system, python, self.layers(service.series))

    def base(self, base: Base) -> BaseLocks:
        """Return the locks of a base."""
        if base.name not in self._bases:
            os = self._system(base_path(base, "os"), os_question(base).header["input"])
            interpreter = self._system(base_path(base, "interpreter"), interpreter_question(base).header["input"])
            backends = self._python(base_path(base, "backends"), backends_question(base).header["input"])
            self._bases[base.name] = BaseLocks(os, interpreter, backends, self._epoch(base, os))
        return self._bases[base.name]

    def _epoch(self, base: Base, lock: SystemLock) -> int:
        text = lock.header.get("epoch", "0")
        if not text.isdecimal():
            self._problem(base_path(base, "os"), f"its epoch is no number of seconds: {text!r}")
            return 0
        return int(text)

    def layers(self, series: str) -> tuple[Layer, ...]:
        """Return the recorded layers of a series; none when it has no Python images."""
        if series not in self._layers:
            name = self._name(layers_path(series))
            path = self._catalog.root / name
            self._layers[series] = parse_layers(path.read_text(encoding="utf-8"), name) if path.exists() else ()
        return self._layers[series]

    def _system(self, path: str, expected: str) -> SystemLock:
        text = self._read(path)
        lock = parse_system_lock(text, self._name(path)) if text is not None else SystemLock((), {"input": expected})
        self._compare(path, lock.header.get("input"), expected)
        return lock

    def _python(self, path: str, expected: str) -> PythonLock:
        text = self._read(path)
        lock = parse_python_lock(text, self._name(path)) if text is not None else PythonLock((), {"input": expected})
        self._compare(path, lock.header.get("input"), expected)
        return lock

    def _read(self, path: str) -> str | None:
        try:
            return find(self._catalog, path).read_text(encoding="utf-8")
        except FileNotFoundError:
            self._problem(path, "there is no such lock")
            return None

    def _compare(self, path: str, found: str | None, expected: str) -> None:
        if found != expected:
            self._problem(
                path, "the lock does not match its spec: packages, versions or constraints have changed since"
            )

    def _problem(self, path: str, message: str) -> None:
        self.problems.append(Problem(message, Position(self._name(path))))

    def _name(self, path: str) -> str:
        return _below_root(self._catalog, path)


def load_locks(catalog: Catalog, services: Iterable[Service]) -> dict[str, ImageLocks]:
    """Return image → locks. Raises WrongInputError that names every lock which is missing or does not match its spec."""
    reader = LockReader(catalog)
    found = {service.image: reader.image(service) for service in services}
    if reader.problems:
        raise WrongInputError.from_problems(
            "the locks do not match the specs",
            reader.problems,
            "Run `release spec lock`, read the changes, and commit them.",
        )
    return found
