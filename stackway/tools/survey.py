# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Looks at the machine: which programs are there in which version, and what could bring the others. Changes nothing."""

import importlib
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from stackway import process
from stackway.errors import StackwayError, WrongInputError
from stackway.tools.choice import Findings, Sighting, Status, ToolPlan, plan_tool
from stackway.tools.kits import Health, examine, kit_of
from stackway.tools.pinfile import load_catalogue
from stackway.tools.pins import CachedWay, Catalogue, DebianWay, GoWay, PathWay, PythonWay, Tool, WheelWay

SITE_FILE = "STACKWAY_TOOLS"
FORCE = "STACKWAY_TOOL_"
_ASK_SECONDS = 30.0
# The last two are where network plugins are, which nobody calls by hand.
_SYSTEM_FOLDERS = tuple(
    Path(name) for name in ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/lib/cni", "/opt/cni/bin")
)
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_CANDIDATE = re.compile(r"^\s*Candidate: (\d\S*)$", re.MULTILINE)


@dataclass(frozen=True)
class Bench:
    """What tools are planned with: the pins, the cache they are installed in, and the environment variables."""

    catalogue: Catalogue
    cache: Path
    environment: Mapping[str, str] = field(hash=False)


def open_bench(cache: Path) -> Bench:
    """Return the bench of this process. Raises WrongInputError when the site's own file cannot be used."""
    site = os.environ.get(SITE_FILE)
    return Bench(load_catalogue(Path(site) if site else None), cache, os.environ)


def plan(bench: Bench, tool: Tool, *, thorough: bool = False) -> ToolPlan:
    """Return what to do about `tool`. Not thorough: a tool that is there is planned without a look at the other ways."""
    findings = _look(bench, tool)
    quick = plan_tool(tool, findings)
    if quick.status is Status.PRESENT and not thorough:
        return quick
    offered = {} if quick.status is Status.PRESENT else _candidates(tool)
    return plan_tool(tool, replace(findings, clients=_clients(bench, tool), candidates=offered))


def machine_platform() -> str:
    """Return the machine's platform as container tools write it, for example `linux/amd64`."""
    machine = platform.machine()
    return f"{platform.system().lower()}/{_ARCHITECTURES.get(machine, machine)}"


def ask(tool: Tool, path: Path) -> Sighting:
    """Return what the program at `path` says about itself."""
    command = process.Command(
        (str(path), *tool.ask.arguments), {"LC_ALL": "C", "GOTOOLCHAIN": "local"}, timeout=_ASK_SECONDS
    )
    try:
        completed = process.run(command, check=False)
    except (StackwayError, OSError) as error:
        return Sighting(path, None, str(error))
    output = f"{completed.stdout}\n{completed.stderr}"
    found = re.search(tool.ask.pattern, output) if completed.code == 0 else None
    return Sighting(path, found.group(1) if found else None, output)


def _look(bench: Bench, tool: Tool) -> Findings:
    ways = tool.ways
    health = {way: _health(bench, tool, way) for way in ways if isinstance(way, CachedWay)}
    return Findings(
        platform=machine_platform(),
        is_root=os.geteuid() == 0,
        clients=frozenset(),
        on_path=next((_on_path(tool, way) for way in ways if isinstance(way, PathWay)), None),
        in_python=next((_in_python(tool, way) for way in ways if isinstance(way, PythonWay)), None),
        in_cache={way: path for way, (path, state) in health.items() if state is Health.INTACT},
        damaged=frozenset(way for way, (_, state) in health.items() if state is Health.DAMAGED),
        forced=_forced(bench, tool),
    )


def _health(bench: Bench, tool: Tool, way: CachedWay) -> tuple[Path, Health]:
    kit = kit_of(bench.catalogue, tool, way)
    directory, program = kit.directory(bench.cache), kit.programs[tool.name]
    return directory / program, examine(directory, program)


def _forced(bench: Bench, tool: Tool) -> str:
    variable = FORCE + tool.name.upper().replace("-", "_")
    kind = bench.environment.get(variable, "")
    known = [way.kind for way in tool.ways]
    if kind and kind not in known:
        raise WrongInputError(
            f"{tool.name} has no way {kind!r}",
            details=f"{variable}={kind}",
            resolution=f"Set it to one of {', '.join(known)}, or unset it.",
        )
    return kind


def _on_path(tool: Tool, way: PathWay) -> Sighting | None:
    name = way.program or tool.name
    found = process.find(name)
    places = [found] if found else [folder / name for folder in _SYSTEM_FOLDERS]
    return next((ask(tool, place) for place in places if os.access(place, os.X_OK)), None)


def _in_python(tool: Tool, way: PythonWay) -> Sighting | None:
    try:
        path = Path(getattr(importlib.import_module(way.module), way.function)())
    except (ImportError, AttributeError, FileNotFoundError):
        return None
    return ask(tool, path)


def _clients(bench: Bench, tool: Tool) -> frozenset[str]:
    needed = {WheelWay: "uv", GoWay: "go", DebianWay: "apt-get"}
    names = {needed[type(way)] for way in tool.ways if type(way) in needed}
    usable = (Status.PRESENT, Status.INSTALL)
    return frozenset(name for name in names if plan(bench, bench.catalogue.tool(name)).status in usable)


def _candidates(tool: Tool) -> dict[str, str]:
    found = {}
    for package in [way.package for way in tool.ways if isinstance(way, DebianWay)]:
        if candidate := debian_candidate(package):
            found[package] = candidate
    return found


def debian_candidate(package: str) -> str:
    """Return the version of `package` that apt would install, nothing when apt does not know it (yet)."""
    if process.find("apt-cache") is None:
        return ""
    command = process.Command(("apt-cache", "policy", package), {"LC_ALL": "C"}, timeout=_ASK_SECONDS)
    found = _CANDIDATE.search(process.run(command, check=False).stdout)
    return found.group(1) if found else ""
