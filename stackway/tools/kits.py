# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Installed programs in the cache: where they are, what they come from, and whether somebody changed them since.

A kit is a folder with the programs that come in one go. It is whole or not there, and its name holds a digest of its
recipe, so two checkouts with different pins share one cache without disturbing each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from stackway.errors import WrongInputError
from stackway.files import digest_file, digest_json, read_json, write_json
from stackway.tools.pins import CachedWay, Catalogue, DownloadWay, GoWay, Tool, WheelWay

MANIFEST = "stackway-kit.json"
_SCHEMA = 1


class Health(StrEnum):
    """What a look at an installed program says."""

    ABSENT = "absent"
    INTACT = "intact"
    DAMAGED = "damaged"


@dataclass(frozen=True)
class Kit:
    """What one installation brings: its name, version, recipe digest, and the program of each tool (relative paths)."""

    name: str
    version: str
    recipe: str
    programs: Mapping[str, str] = field(hash=False)

    @property
    def folder(self) -> str:
        """The folder's name."""
        return f"{self.name}-{self.version}-{self.recipe.removeprefix('sha256:')[:12]}"

    def directory(self, cache: Path) -> Path:
        """Where the kit is in `cache`."""
        return cache / "tools" / self.folder


def kit_of(catalogue: Catalogue, tool: Tool, way: CachedWay) -> Kit:
    """Return the kit that holds `tool` when it comes by `way`."""
    match way:
        case WheelWay():
            recipe = [way.distribution, way.version, way.sha256, way.program, way.platform]
            return Kit(tool.name, way.version, digest_json(recipe), {tool.name: way.program})
        case DownloadWay():
            recipe = [way.sha256, way.member, way.platform]
            return Kit(tool.name, tool.version, digest_json(recipe), {tool.name: f"bin/{tool.name}"})
        case GoWay():
            return _compiled_kit(catalogue, way)


def _compiled_kit(catalogue: Catalogue, way: GoWay) -> Kit:
    module = catalogue.modules[way.module]
    sources = {path.name: digest_file(path) for path in module.files}
    recipe = digest_json([sources, catalogue.packages(module.name), dict(module.variables)])
    programs = {
        tool.name: f"bin/{other.program}"
        for tool in catalogue.tools.values()
        for other in tool.ways
        if isinstance(other, GoWay) and other.module == module.name
    }
    return Kit(module.name, module.version, recipe, programs)


def seal(directory: Path, kit: Kit) -> None:
    """Write the kit's manifest: the checksum, size and time of each program. The last step of an installation."""
    programs = {path: _facts(directory / path) for path in kit.programs.values()}
    write_json(directory / MANIFEST, {"schema": _SCHEMA, "kit": kit.name, "recipe": kit.recipe, "programs": programs})


def examine(directory: Path, program: str) -> Health:
    """Return how an installed program is: by size and time when these are as recorded, else by its checksum."""
    if not directory.is_dir():
        return Health.ABSENT
    recorded = _recorded(directory, program)
    path = directory / program
    if not recorded or not path.is_file():
        return Health.DAMAGED
    status = path.stat()
    if recorded.get("size") == status.st_size and recorded.get("mtimeNs") == status.st_mtime_ns:
        return Health.INTACT
    return Health.INTACT if recorded.get("digest") == digest_file(path) else Health.DAMAGED


def _facts(path: Path) -> dict[str, str | int]:
    status = path.stat()
    return {"digest": digest_file(path), "size": status.st_size, "mtimeNs": status.st_mtime_ns}


def _recorded(directory: Path, program: str) -> Mapping[str, Any]:
    try:
        manifest = read_json(directory / MANIFEST)
    except (OSError, WrongInputError):
        return {}
    programs = manifest.get("programs") if isinstance(manifest, dict) else None
    recorded = programs.get(program) if isinstance(programs, dict) else None
    return recorded if isinstance(recorded, dict) else {}
