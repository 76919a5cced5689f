# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""`release spec lock`: resolves what is missing or out of date, shows what would change, writes it on request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from buildkit.catalog import FOLDER, OVERLAYS, Catalog
from buildkit.fetch import ArtifactCache, fetch_python, fetch_system
from buildkit.layering import Layer, keep, layers_text, parse_layers, partition
from buildkit.lockfiles import base_path, find, image_path, layers_path
from buildkit.locks import (
    Change,
    Pin,
    PythonLock,
    SystemLock,
    diff_versions,
    parse_constraints,
    parse_python_lock,
    parse_system_lock,
)
from buildkit.mirrors import debian_mirrors
from buildkit.models import Base, Series, Service
from buildkit.questions import (
    PythonQuestion,
    SystemQuestion,
    backends_question,
    interpreter_question,
    os_question,
    python_question,
    system_question,
)
from buildkit.resolve import Apt, Suite, resolve_python
from stackway import clock
from stackway.console import Reporter
from stackway.errors import Problem, WrongInputError
from stackway.files import digest_bytes, write_atomic
from stackway.settings import Settings

_DAY = 86400


@dataclass(frozen=True)
class LockChange:
    """A lock file that would be written: its path, its content, and what changes in words (empty: nothing but notes)."""

    path: Path
    text: str
    changes: tuple[Change, ...]
    is_new: bool


@dataclass(frozen=True)
class LockRun:
    """What a run of locking works with; `upgrade` asks the archives again even where a lock still answers its spec."""

    catalog: Catalog
    settings: Settings
    reporter: Reporter
    upgrade: bool = False
    relayer: bool = False

    @property
    def cache(self) -> ArtifactCache:
        """The artifact cache."""
        return ArtifactCache(self.settings.cache_path / "artifacts")

    def path(self, name: str) -> Path:
        """Return where a lock is written: into the overlay when there is one."""
        folder = Path(OVERLAYS) / self.catalog.overlay if self.catalog.overlay else Path(FOLDER)
        return self.catalog.root / folder / name


def write_locks(changes: Sequence[LockChange]) -> None:
    """Write the lock files that were shown."""
    for change in changes:
        write_atomic(change.path, change.text.encode())


def plan_locks(run: LockRun, services: Sequence[Service]) -> list[LockChange]:
    """Return the lock files that would be written for `services`, their bases and the layers of their series.

    Raises FailedError or UnavailableError when the archives have no answer, WrongInputError for a distribution that
    neither the constraints nor an override pin.
    """
    locker = _Locker(run)
    for base in {run.catalog.base_of(service).name: run.catalog.base_of(service) for service in services}.values():
        locker.base(base)
    for service in services:
        locker.image(service)
    if locker.floating:
        raise WrongInputError.from_problems("the images need versions that nobody has chosen", locker.floating)
    for series in sorted({service.series for service in services if service.layout == "python"}):
        locker.layers(series)
    return locker.changes


class _Locker:
    def __init__(self, run: LockRun) -> None:
        self.run = run
        self.changes: list[LockChange] = []
        self.floating: set[Problem] = set()
        self._apt: dict[str, Apt] = {}
        self._python: dict[str, PythonLock] = {}
        self._constraints: dict[str, dict[str, str]] = {}

    def base(self, base: Base) -> None:
        """Lock a base's stages."""
        os = self._system(base_path(base, "os"), os_question(base), ())
        self._system(base_path(base, "interpreter"), interpreter_question(base), (os,))
        self._distributions(base_path(base, "backends"), backends_question(base), dict(base.backends))

    def image(self, service: Service) -> None:
        """Lock an image's packages."""
        base = self.run.catalog.base_of(service)
        if service.layout == "system" or service.packages.system:
            names = ("os", "interpreter") if service.layout == "python" else ("os",)
            below = tuple(self._current_system(base_path(base, name)) for name in names)
            self._system(image_path(service, "system"), system_question(service, base), below)
        if service.layout == "python":
            series = self.run.catalog.series[service.series].spec
            question = python_question(service, series, base)
            constraints = self._constraints_of(series, base)
            lock = self._distributions(image_path(service, "python"), question, constraints)
            self._note_floating(service, lock, {**constraints, **question.pinned})

    def layers(self, series: str) -> None:
        """Record the layers of a series: cut anew for a whole upgrade, else only who stands on which."""
        locks = {service.name: self._current_python(service) for service in self._siblings(series)}
        path = find(self.run.catalog, layers_path(series))
        recorded = parse_layers(path.read_text(encoding="utf-8"), path.name) if path.exists() else ()
        layers = keep(recorded, locks) if recorded and not self._recuts(series) else partition(locks)
        text = layers_text(series, layers)
        if not path.exists() or text != path.read_text(encoding="utf-8"):
            self.changes.append(
                LockChange(self.run.path(layers_path(series)), text, _layer_changes(recorded, layers), not recorded)
            )

    def _recuts(self, series: str) -> bool:
        """Tell whether the layers are cut anew: on request, or when a whole series is upgraded."""
        whole = all(service.image in self._python for service in self._siblings(series))
        return self.run.relayer or (self.run.upgrade and whole)

    def _siblings(self, series: str) -> list[Service]:
        catalog = self.run.catalog
        found = [
            item.spec for (_, own), item in catalog.services.items() if own == series and item.spec.layout == "python"
        ]
        return [
            service
            for service in found
            if service.image in self._python or find(catalog, image_path(service, "python")).exists()
        ]

    def _system(self, name: str, question: SystemQuestion, below: Sequence[SystemLock]) -> SystemLock:
        path = find(self.run.catalog, name)
        current = parse_system_lock(path.read_text(encoding="utf-8"), path.name) if path.exists() else None
        if current and not self.run.upgrade and current.header.get("input") == question.header["input"]:
            return current
        self.run.reporter.task(name, f"asking {question.suite} for {len(question.packages)} packages")
        lock = self._suite(question.suite).resolve(question.packages, below, question.header)
        fetch_system(lock.packages, self.run.cache, self.run.settings, self.run.reporter)
        epoch = str(int(clock.now().timestamp()) // _DAY * _DAY)
        if current and current.packages == lock.packages:
            epoch = current.header.get("epoch", epoch)
        lock = replace(lock, header={**lock.header, "epoch": epoch})
        versions = {item.name: item.version for item in current.packages} if current else {}
        self._note(name, lock.to_text(), diff_versions(versions, {item.name: item.version for item in lock.packages}))
        return lock

    def _distributions(self, name: str, question: PythonQuestion, constraints: Mapping[str, str]) -> PythonLock:
        path = find(self.run.catalog, name)
        current = parse_python_lock(path.read_text(encoding="utf-8"), path.name) if path.exists() else None
        if current and not self.run.upgrade and current.header.get("input") == question.header["input"]:
            return current
        self.run.reporter.task(
            name, f"asking the index for {len(question.requirements)} distributions and what they need"
        )
        pinned = {**constraints, **question.pinned}
        lock = resolve_python(question.requirements, pinned, question.python, question.header)
        fetch_python(lock.pins, self.run.cache, question.python, self.run.reporter)
        lock = replace(lock, pins=tuple(self._sized(pin) for pin in lock.pins))
        before = {pin.name: pin.version for pin in current.pins} if current else {}
        self._note(name, lock.to_text(), diff_versions(before, {pin.name: pin.version for pin in lock.pins}))
        self._python[_image_of(name)] = lock
        return lock

    def _sized(self, pin: Pin) -> Pin:
        """Return the pin with its file's size: not every index tells it."""
        return replace(pin, size=self.run.cache.path(pin.digest).stat().st_size)

    def _note(self, name: str, text: str, changes: Sequence[Change]) -> None:
        path = self.run.path(name)
        self.run.reporter.finish(name, f"{len(changes)} changes")
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            self.changes.append(LockChange(path, text, tuple(changes), not path.exists()))

    def _current_system(self, name: str) -> SystemLock:
        for change in reversed(self.changes):
            if change.path == self.run.path(name):
                return parse_system_lock(change.text, name)
        return parse_system_lock(find(self.run.catalog, name).read_text(encoding="utf-8"), name)

    def _current_python(self, service: Service) -> PythonLock:
        name = image_path(service, "python")
        if service.image in self._python:
            return self._python[service.image]
        return parse_python_lock(find(self.run.catalog, name).read_text(encoding="utf-8"), name)

    def _suite(self, name: str) -> Apt:
        if name not in self._apt:
            apt = Apt(self.run.settings.cache_path / "apt", Suite(name, debian_mirrors(self.run.settings)))
            self.run.reporter.task(f"suite {name}", "fetching the package lists")
            apt.update()
            self.run.reporter.finish(f"suite {name}", "package lists are here")
            self._apt[name] = apt
        return self._apt[name]

    def _constraints_of(self, series: Series, base: Base) -> dict[str, str]:
        if series.name not in self._constraints:
            path = self.run.catalog.root / FOLDER / "constraints" / series.constraints.file
            text = read_constraints(path, series.constraints.digest)
            self._constraints[series.name] = parse_constraints(text, base.python)
        return self._constraints[series.name]

    def _note_floating(self, service: Service, lock: PythonLock, known: Mapping[str, str]) -> None:
        """Note versions that nobody chose: a lock must not depend on the day it was made."""
        place = self.run.catalog.services[service.name, service.series].document.place(("packages", "python"))
        hint = "Add it to `overrides` with version, owner, reason and expiry."
        floating = (pin for pin in lock.pins if pin.name not in known)
        found = (Problem(f"{pin.name} (now {pin.version}) is not in the constraints", place, hint) for pin in floating)
        self.floating.update(found)


def read_constraints(path: Path, digest: str) -> str:
    """Return the text of a constraints file. Raises WrongInputError when it is not the one that the series names."""
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise WrongInputError("the constraints file is not there", details=str(path)) from error
    found = digest_bytes(content)
    if found != digest:
        raise WrongInputError(
            "the constraints file is not the one that the series names",
            details=f"{path}: {found}\nnamed: {digest}",
            resolution="Restore the file, or write its commit and digest into the series when the change is meant.",
        )
    return content.decode()


def _image_of(name: str) -> str:
    folder, _, file = name.partition("/")
    return f"{folder}:{file.removesuffix('.python.lock')}"


def _layer_changes(before: Sequence[Layer], after: Sequence[Layer]) -> tuple[Change, ...]:
    def shape(layers: Sequence[Layer]) -> dict[str, str]:
        return {
            f"layer {layer.name}": f"{len(layer.pins)} distributions for {len(layer.images)} images" for layer in layers
        }

    return tuple(diff_versions(shape(before), shape(after)))
