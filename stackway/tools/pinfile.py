# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Reads `tools.toml` strictly into pins: what is unknown, misspelt or contradicts itself is named with file and line."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from stackway.documents import Document, KeyPath, parse_model
from stackway.errors import Position, Problem, WrongInputError
from stackway.tools.pins import (
    Ask,
    Catalogue,
    DebianWay,
    DownloadWay,
    GoModule,
    GoWay,
    PathWay,
    Purpose,
    PythonWay,
    Tool,
    Way,
    WheelWay,
)

OWN_FILE = Path(__file__).parent / "tools.toml"
_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.-]+)\s*\]\]?")
_KEY = re.compile(r'\s*("?)([^"=\s]+)\1\s*=')


def _specifier(text: str) -> str:
    try:
        SpecifierSet(text)
    except InvalidSpecifier as error:
        raise ValueError(f"{text!r} is not a version specifier such as '>=1.1,<2'") from error
    return text


def _one_group(text: str) -> str:
    try:
        groups = re.compile(text).groups
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    if groups != 1:
        raise ValueError(f"the pattern must have one group, which is the version; it has {groups}")
    return text


def _inside(text: str) -> str:
    if text.startswith("/") or ".." in text.split("/"):
        raise ValueError("a member must be a relative path without `..`")
    return text


def _pattern(pattern: str) -> StringConstraints:
    return StringConstraints(strict=True, pattern=re.compile(pattern))


Line = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=300)]
Name = Annotated[str, _pattern(r"\A[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")]
Sha256 = Annotated[str, _pattern(r"\A[0-9a-f]{64}\Z")]
Member = Annotated[Line, AfterValidator(_inside)]
Number = Annotated[str, _pattern(r"\A[0-9]+(\.[0-9]+)*\Z")]
# Credentials for a server belong into the user's netrc file, not here: addresses are shown in plans and errors.
Url = Annotated[str, _pattern(r"\A(https?|file)://[^\s@]+\Z")]
Bare = Annotated[str, _pattern(r"\A[A-Za-z0-9._/+-]+\Z")]
_PINNED = "linux/amd64"


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Path(_Shape):
    kind: Literal["path"]
    program: Name | Literal[""] = ""


class _Python(_Shape):
    kind: Literal["python"]
    module: Annotated[str, _pattern(r"\A[a-z_][a-z0-9_.]*\Z")]
    function: Annotated[str, _pattern(r"\A[a-z_][a-z0-9_]*\Z")]


class _Wheel(_Shape):
    kind: Literal["wheel"]
    distribution: Name
    version: Number
    sha256: Sha256
    program: Member
    platform: Line = _PINNED
    takes: Line


class _Debian(_Shape):
    kind: Literal["debian"]
    package: Annotated[str, _pattern(r"\A[a-z0-9][a-z0-9+.-]+\Z")]
    minimum: Number
    takes: Line


class _Go(_Shape):
    kind: Literal["go"]
    module: Name
    package: Annotated[str, _pattern(r"\A[a-z0-9.-]+(/[A-Za-z0-9._-]+)+\Z")]


class _Download(_Shape):
    kind: Literal["download"]
    url: Url
    sha256: Sha256
    size: Annotated[int, Field(strict=True, gt=0)]
    member: Member | Literal[""] = ""
    platform: Line = _PINNED
    takes: Line


_AnyWay = Annotated[_Path | _Python | _Wheel | _Debian | _Go | _Download, Field(discriminator="kind")]


class _Ask(_Shape):
    arguments: tuple[Line, ...]
    pattern: Annotated[Line, AfterValidator(_one_group)]
    prints: str = ""
    otherwise: str = ""


class _Refused(_Shape):
    versions: tuple[Number, ...] = ()
    reason: str = ""


class _Tool(_Shape):
    purpose: Line
    needed_for: tuple[Purpose, ...] = Field(alias="for")
    version: Number
    accept: Annotated[Line, AfterValidator(_specifier)]
    ask: _Ask
    needs: tuple[Name, ...] = ()
    optional: bool = Field(default=False, strict=True)
    refused: _Refused = _Refused()
    ways: Annotated[tuple[_AnyWay, ...], Field(min_length=1)]


class _Module(_Shape):
    version: Number
    takes: Line
    variables: dict[Bare, Bare] = {}


class _File(_Shape):
    modules: dict[Name, _Module] = {}
    tools: dict[Name, _Tool] = {}


_WAYS: dict[str, type[Way]] = {way.kind: way for way in (PathWay, PythonWay, WheelWay, DebianWay, GoWay, DownloadWay)}


def load_catalogue(site: Path | None = None) -> Catalogue:
    """Return our pins, with those of the file `site` in place of ours. Raises WrongInputError with file and line."""
    catalogue = parse_catalogue(OWN_FILE.read_text(encoding="utf-8"), OWN_FILE.name)
    if site is None:
        return catalogue
    try:
        text = site.read_text(encoding="utf-8")
    except OSError as error:
        raise WrongInputError(
            f"cannot read {site.name}", details=str(error), resolution="Correct or unset STACKWAY_TOOLS."
        ) from error
    return parse_catalogue(text, str(site), base=catalogue)


def parse_catalogue(text: str, name: str, *, base: Catalogue | None = None) -> Catalogue:
    """Return the pins in `text`, on top of `base`. Raises WrongInputError that names every problem found."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise WrongInputError(
            f"{name} is not TOML", details=f"{name}: {error}", resolution="Mend the line named above."
        ) from error
    document = Document(data, {(): Position(name), **dict(_places(text, name))})
    brief = f"{name} cannot be used"
    file = parse_model(_File, document, brief)
    modules = {key: GoModule(key, **dict(module)) for key, module in file.modules.items()}
    base = base or Catalogue({}, {})
    modules = {**base.modules, **modules}
    tools = {key: _tool(key, tool, modules) for key, tool in file.tools.items()}
    catalogue = Catalogue({**base.tools, **tools}, modules)
    if problems := list(_contradictions(catalogue, tools, document)):
        raise WrongInputError.from_problems(brief, problems)
    return catalogue


def _tool(name: str, tool: _Tool, modules: Mapping[str, GoModule]) -> Tool:
    return Tool(
        name=name,
        purpose=tool.purpose,
        needed_for=tool.needed_for,
        version=tool.version,
        accept=tool.accept,
        ask=Ask(**dict(tool.ask)),
        ways=tuple(_way(way, modules) for way in tool.ways),
        needs=tool.needs,
        optional=tool.optional,
        refused=tool.refused.versions,
        refused_because=tool.refused.reason,
    )


def _way(way: _AnyWay, modules: Mapping[str, GoModule]) -> Way:
    if isinstance(way, _Go):
        module = modules.get(way.module)
        return GoWay(way.module, way.package, module.takes if module else "")
    return _WAYS[way.kind](**way.model_dump(exclude={"kind"}))


def _contradictions(catalogue: Catalogue, tools: dict[str, Tool], document: Document) -> Iterator[Problem]:
    for name, tool in tools.items():
        place = document.place(("tools", name))
        if reason := tool.objection(tool.version, tool.ask.prints):
            yield Problem(f"{name}: its own version cannot be used: {reason}", place)
        for needed in tool.needs:
            if needed not in catalogue.tools:
                yield Problem(f"{name} needs {needed!r}, which is no tool", place)
        if _goes_round(catalogue, name):
            yield Problem(f"{name} needs itself, by way of {', '.join(tool.needs)}", place)
        for index, way in enumerate(tool.ways):
            if isinstance(way, GoWay) and way.module not in catalogue.modules:
                yield Problem(
                    f"{name} comes from the Go module {way.module!r}, which is not described",
                    document.place(("tools", name, "ways", index)),
                )


def _goes_round(catalogue: Catalogue, name: str) -> bool:
    reached: set[str] = set()
    ahead = [name]
    while ahead:
        tool = catalogue.tools.get(ahead.pop())
        fresh = set(tool.needs) - reached if tool else set()
        reached |= fresh
        ahead += fresh
    return name in reached


def _places(text: str, name: str) -> Iterator[tuple[KeyPath, Position]]:
    """Yield the place of each table and key; a table of an array is counted by its index."""
    table: KeyPath = ()
    counts: dict[KeyPath, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = tuple(header.group(2).split("."))
            if header.group(1) == "[[":
                index = counts.get(table, 0)
                counts[table] = index + 1
                table = (*table, index)
            yield table, Position(name, number)
        elif key := _KEY.match(line):
            yield (*table, key.group(2)), Position(name, number)
