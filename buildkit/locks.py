# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Lock files: exact Debian packages and exact Python distributions, each with its hash. Pure; resolves and fetches nothing.

A lock names the digest of the question it answers (`input`), so a spec that asks for something else is noticed.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from stackway.errors import Position, Problem, WrongInputError
from stackway.files import digest_json

_SEPARATORS = re.compile(r"[-_.]+")
_HEADER = re.compile(r"# ([a-z-]+): (.*)")
_SYSTEM = re.compile(r"(\S+) (\S+) (\S+) (sha256:[0-9a-f]{64}) ([0-9]+) (debian|security) (\S+)")
_PYTHON = re.compile(r"([A-Za-z0-9._-]+)==(\S+) --hash=(sha256:[0-9a-f]{64})  # (\S+) ([0-9]+)")


@dataclass(frozen=True)
class Artifact:
    """A file to be fetched: what to call it, its digest, and its size in bytes."""

    name: str
    digest: str
    size: int


@dataclass(frozen=True)
class SystemPackage:
    """One Debian package; `archive` is `debian` or `security`, `path` its place below that archive's address."""

    name: str
    version: str
    architecture: str
    digest: str
    size: int
    archive: str
    path: str

    @property
    def artifact(self) -> Artifact:
        """The .deb file."""
        return Artifact(f"{self.name} {self.version}", self.digest, self.size)


@dataclass(frozen=True)
class Pin:
    """One Python distribution as the one file that is installed."""

    name: str
    version: str
    digest: str
    filename: str
    size: int

    @property
    def artifact(self) -> Artifact:
        """The wheel or source file."""
        return Artifact(self.filename, self.digest, self.size)

    @property
    def requirement(self) -> str:
        """The line that installs exactly this file."""
        return f"{self.name}=={self.version} --hash={self.digest}"


@dataclass(frozen=True)
class SystemLock:
    """Debian packages of one stage, in the order in which they are unpacked."""

    packages: tuple[SystemPackage, ...]
    header: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        """The package names."""
        return frozenset(package.name for package in self.packages)

    def to_text(self) -> str:
        """Return the lock file's content."""
        rows = [
            f"{p.name} {p.version} {p.architecture} {p.digest} {p.size} {p.archive} {p.path}" for p in self.packages
        ]
        return _to_text("Debian packages, in unpack order", self.header, rows)


@dataclass(frozen=True)
class PythonLock:
    """The whole Python environment of one image; also a requirements file that uv and pip read."""

    pins: tuple[Pin, ...]
    header: Mapping[str, str] = field(default_factory=dict)

    @property
    def by_name(self) -> dict[str, Pin]:
        """Normalised name → pin."""
        return {normal_name(pin.name): pin for pin in self.pins}

    def to_text(self) -> str:
        """Return the lock file's content."""
        rows = [
            f"{pin.requirement}  # {pin.filename} {pin.size}" for pin in sorted(self.pins, key=lambda pin: pin.name)
        ]
        return _to_text("Python distributions", self.header, rows)


def _to_text(title: str, header: Mapping[str, str], rows: Iterable[str]) -> str:
    lines = [f"# {title}. Written by `release spec lock`; do not edit."]
    lines += [f"# {key}: {value}" for key, value in header.items()]
    return "\n".join([*lines, *rows]) + "\n"


def normal_name(name: str) -> str:
    """Return a distribution's name as indexes compare it (PEP 503). `packaging` does the same, but takes long to import."""
    return _SEPARATORS.sub("-", name).lower()


def input_digest(question: Mapping[str, object]) -> str:
    """Return the digest of what a lock was asked for; order of keys does not matter."""
    return digest_json(question)


def parse_system_lock(text: str, name: str) -> SystemLock:
    """Return the lock in `text`. Raises WrongInputError with file and line for a line it cannot read."""
    header, rows = _split(text)
    packages = []
    for line, row in rows:
        found = _SYSTEM.fullmatch(row)
        if not found:
            raise _unreadable(name, line, "name version architecture sha256 size archive path")
        package, version, architecture, digest, size, archive, path = found.groups()
        packages.append(SystemPackage(package, version, architecture, digest, int(size), archive, path))
    return SystemLock(tuple(packages), header)


def parse_python_lock(text: str, name: str) -> PythonLock:
    """Return the lock in `text`. Raises WrongInputError with file and line for a line it cannot read."""
    header, rows = _split(text)
    return PythonLock(parse_pins(rows, name), header)


def parse_pins(rows: Iterable[tuple[int, str]], name: str) -> tuple[Pin, ...]:
    """Return the pins in numbered lines of the file `name`. Raises as `parse_python_lock` does."""
    pins = []
    for line, row in rows:
        if (pin := _parse_pin(row)) is None:
            raise _unreadable(name, line, "name==version --hash=sha256:…  # file size")
        pins.append(pin)
    return tuple(pins)


@lru_cache(maxsize=1 << 14)
def _parse_pin(row: str) -> Pin | None:
    """Return the pin in a line; the services of a series share most of their lines."""
    found = _PYTHON.fullmatch(row)
    if not found:
        return None
    distribution, version, digest, filename, size = found.groups()
    return Pin(distribution, version, digest, filename, int(size))


def _split(text: str) -> tuple[dict[str, str], list[tuple[int, str]]]:
    lines = text.splitlines()
    headers = [found for line in lines if line[:1] == "#" and (found := _HEADER.fullmatch(line))]
    return {found.group(1): found.group(2) for found in headers}, content_lines(lines)


def content_lines(lines: Iterable[str], first: int = 1) -> list[tuple[int, str]]:
    """Return the lines that are neither blank nor a comment, with their numbers from `first` on."""
    return [(number, line) for number, line in enumerate(lines, first) if line[:1] != "#" and line.strip()]


def _unreadable(name: str, line: int, shape: str) -> WrongInputError:
    problem = Problem(f"the line is not of the form `{shape}`", Position(name, line))
    return WrongInputError.from_problems(
        f"{name} cannot be used", [problem], "Locks are written by `release spec lock`; restore the file or lock again."
    )


def parse_constraints(text: str, python: str) -> dict[str, str]:
    """Return normalised name → version of an upper-constraints file, for one Python version (`3.13`)."""
    from packaging.markers import Marker

    found: dict[str, str] = {}
    environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    for row in text.splitlines():
        line = row.split("#", 1)[0].strip()
        if not line:
            continue
        requirement, _, marker = line.partition(";")
        name, separator, version = requirement.strip().partition("===")
        if separator and (not marker.strip() or Marker(marker.strip()).evaluate({**environment})):
            found[normal_name(name.strip())] = version.strip()
    return found


@dataclass(frozen=True)
class Change:
    """One difference between two locks; an empty version means that it is not there."""

    name: str
    before: str
    after: str

    def __str__(self) -> str:
        if not self.before:
            return f"{self.name} {self.after} is new"
        if not self.after:
            return f"{self.name} {self.before} is gone"
        return f"{self.name} {self.before} \N{RIGHTWARDS ARROW} {self.after}"


def diff_versions(before: Mapping[str, str], after: Mapping[str, str]) -> list[Change]:
    """Return what differs between two name → version maps, in the order of the names."""
    names = sorted({*before, *after})
    return [Change(n, before.get(n, ""), after.get(n, "")) for n in names if before.get(n) != after.get(n)]
