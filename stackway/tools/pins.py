# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What `tools.toml` says: the pinned programs and the ways to get them. Looks at no machine and starts nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from stackway.errors import WrongInputError
from stackway.spelling import nearest


class Purpose(StrEnum):
    """What a tool is needed for; `release doctor` answers for each of them."""

    BUILD = "build"
    LOCK = "lock"
    LINT = "lint"
    SCAN = "scan"
    RUN = "run"
    CLUSTER = "cluster"
    TESTS = "tests"


@dataclass(frozen=True)
class PathWay:
    """Take the program from PATH when its version is accepted; `program` is its name there when not the tool's."""

    kind: ClassVar[str] = "path"
    program: str = ""


@dataclass(frozen=True)
class PythonWay:
    """Ask a Python package of this environment where its program is."""

    kind: ClassVar[str] = "python"
    module: str
    function: str


@dataclass(frozen=True)
class WheelWay:
    """Take the member `program` out of one wheel, which has this checksum (64 hex digits)."""

    kind: ClassVar[str] = "wheel"
    distribution: str
    version: str
    sha256: str
    program: str
    platform: str
    takes: str


@dataclass(frozen=True)
class DebianWay:
    """Install a Debian package of at least the version `minimum`, which takes root."""

    kind: ClassVar[str] = "debian"
    package: str
    minimum: str
    takes: str


@dataclass(frozen=True)
class GoWay:
    """Compile `package` in a Go module folder of ours, whose go.sum pins every source."""

    kind: ClassVar[str] = "go"
    module: str
    package: str
    takes: str

    @property
    def program(self) -> str:
        """The file name that the Go command gives the program."""
        return self.package.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class DownloadWay:
    """Fetch one file of `size` bytes and this checksum; with a `member`, it is a tar archive that holds the program."""

    kind: ClassVar[str] = "download"
    url: str
    sha256: str
    size: int
    member: str
    platform: str
    takes: str


# The ways that put something into the cache, and all of them.
CachedWay = WheelWay | GoWay | DownloadWay
Way = PathWay | PythonWay | DebianWay | CachedWay


@dataclass(frozen=True)
class Ask:
    """How a program tells its version: arguments, pattern with one group, and what it must print beside (or `otherwise`)."""

    arguments: tuple[str, ...]
    pattern: str
    prints: str = ""
    otherwise: str = ""


@dataclass(frozen=True)
class Tool:
    """One outside program. `refused` versions are never used, whatever `accept` says."""

    name: str
    purpose: str
    needed_for: tuple[Purpose, ...]
    version: str
    accept: str
    ask: Ask
    ways: tuple[Way, ...]
    needs: tuple[str, ...] = ()
    optional: bool = False
    refused: tuple[str, ...] = ()
    refused_because: str = ""

    def refuses(self, version: str) -> bool:
        """Return whether `version` is one that is never used."""
        return _upstream(version) in self.refused

    def objection(self, version: str | None, output: str) -> str:
        """Return why a program that says this about itself may not be used, or nothing when it may."""
        if version is None:
            return "it does not tell its version"
        if self.refuses(version):
            return f"version {version} is never used: {self.refused_because}"
        if not _contains(self.accept, version):
            return f"version {version} is not {self.accept}"
        return "" if self.ask.prints in output else self.ask.otherwise


@dataclass(frozen=True)
class GoModule:
    """A Go module folder of ours: what is set at link time, and how long a first compilation usually takes.

    It holds go.mod and go.sum, and the source of a program where nobody else publishes the one we need.
    """

    name: str
    version: str
    takes: str
    variables: Mapping[str, str] = field(hash=False)

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return Path(__file__).parent / "go" / self.name

    @property
    def files(self) -> tuple[Path, ...]:
        """All that the Go command needs of the folder."""
        return (self.folder / "go.mod", self.folder / "go.sum", *sorted(self.folder.glob("*.go")))


@dataclass(frozen=True)
class Catalogue:
    """All pinned tools and the Go modules that some of them come from."""

    tools: Mapping[str, Tool]
    modules: Mapping[str, GoModule]

    def tool(self, name: str) -> Tool:
        """Return the tool of that name. Raises WrongInputError with the nearest right name."""
        if name in self.tools:
            return self.tools[name]
        near = nearest(name, list(self.tools))
        raise WrongInputError(
            f"no tool is called {name!r}",
            details=f"known: {', '.join(self.tools)}",
            resolution=f"Did you mean {near!r}?" if near else "Name one of the known tools.",
        )

    def with_needs(self, names: tuple[str, ...]) -> tuple[Tool, ...]:
        """Return the tools of these names and all that they need, each after what it needs, none twice."""
        ordered: dict[str, Tool] = {}
        for name in names:
            tool = self.tool(name)
            ordered |= {needed.name: needed for needed in self.with_needs(tool.needs)}
            ordered[name] = tool
        return tuple(ordered.values())

    def needed_for(self, purpose: Purpose) -> tuple[Tool, ...]:
        """Return every tool that cannot be missing for `purpose`, each after what it needs."""
        names = [tool.name for tool in self.tools.values() if purpose in tool.needed_for and not tool.optional]
        return self.with_needs(tuple(names))

    def packages(self, module: str) -> tuple[str, ...]:
        """Return the packages that are compiled together in one of our Go modules."""
        ways = [way for tool in self.tools.values() for way in tool.ways]
        return tuple(sorted({way.package for way in ways if isinstance(way, GoWay) and way.module == module}))


def _upstream(version: str) -> str:
    try:
        return Version(version).base_version
    except InvalidVersion:
        return version


def _contains(accept: str, version: str) -> bool:
    try:
        Version(version)
    except InvalidVersion:
        return False
    return SpecifierSet(accept).contains(version, prereleases=False)
