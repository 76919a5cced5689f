# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Brings the outside programs: finds each, or installs it into the user cache, whole or not at all. Decides nothing."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from stackway import clock
from stackway.console import Reporter
from stackway.errors import FailedError, StackwayError, UnavailableError
from stackway.files import disk_errors, scratch_directory
from stackway.tools import installers
from stackway.tools.choice import Offer, Status, ToolPlan
from stackway.tools.kits import kit_of, seal
from stackway.tools.pins import CachedWay, DebianWay, DownloadWay, GoWay, Tool, Way, WheelWay
from stackway.tools.survey import Bench, ask, debian_candidate, open_bench, plan


def provide(name: str, cache: Path, reporter: Reporter) -> Path:
    """Return the program of the tool `name`, installed into `cache` first where needed, as is all that it needs.

    Raises WrongInputError for an unknown tool, UnavailableError when no way is open, FailedError when one fails, and
    RefusedError when a source gives other bytes than those pinned.
    """
    return provide_all((name,), cache, reporter)[name]


def provide_all(names: Sequence[str], cache: Path, reporter: Reporter) -> dict[str, Path]:
    """Return the programs of all these tools and of what they need, by name. Raises what `provide` raises."""
    bench = open_bench(cache.absolute())
    return {tool.name: _provide(bench, tool, reporter) for tool in bench.catalogue.with_needs(tuple(names))}


def _provide(bench: Bench, tool: Tool, reporter: Reporter) -> Path:
    found = plan(bench, tool)
    if found.path:
        return found.path
    way = _installable(found).way
    shared = kit_of(bench.catalogue, tool, way).folder if isinstance(way, CachedWay) else "apt-get"
    with _only_one(bench.cache, shared, reporter):
        # Another run may have installed it while this one waited.
        found = plan(bench, tool)
        return found.path or _install(bench, tool, _installable(found), reporter)


def _installable(found: ToolPlan) -> Offer:
    if found.chosen is None or found.status is not Status.INSTALL:
        raise _cannot(found)
    return found.chosen


def _install(bench: Bench, tool: Tool, offer: Offer, reporter: Reporter) -> Path:
    label = f"{tool.name} {tool.version}"
    reporter.say(f"getting {label}: {offer.reason}")
    started = clock.monotonic()
    try:
        if isinstance(offer.way, CachedWay):
            path = _install_kit(bench, tool, offer.way, reporter)
        else:
            path = _install_package(bench, tool, offer.way, reporter)
    except BaseException:
        reporter.finish(label, "not installed", good=False)
        raise
    reporter.finish(label, f"installed in {clock.monotonic() - started:.1f} s")
    return path


def _install_kit(bench: Bench, tool: Tool, way: CachedWay, reporter: Reporter) -> Path:
    kit = kit_of(bench.catalogue, tool, way)
    place = kit.directory(bench.cache)
    _sweep(place)
    with disk_errors(f"{tool.name} was not installed"), scratch_directory(place.parent, f".{place.name}.") as scratch:
        job = installers.Job(f"{tool.name} {tool.version}", scratch / "kit", scratch, reporter)
        _fill(bench, way, job, kit.programs[tool.name])
        for name, program in kit.programs.items():
            _check(bench.catalogue.tool(name), job.target / program)
        seal(job.target, kit)
        _put(job.target, place, scratch)
    return place / kit.programs[tool.name]


def _fill(bench: Bench, way: CachedWay, job: installers.Job, program: str) -> None:
    match way:
        case WheelWay():
            installers.fetch_wheel(way, job, _provide(bench, bench.catalogue.tool("uv"), job.reporter))
        case GoWay():
            go = _provide(bench, bench.catalogue.tool("go"), job.reporter)
            module = bench.catalogue.modules[way.module]
            installers.compile_module(module, bench.catalogue.packages(way.module), job, go)
        case DownloadWay():
            installers.fetch_download(way, job, program)


def _install_package(bench: Bench, tool: Tool, way: Way, reporter: Reporter) -> Path:
    if isinstance(way, DebianWay):
        label = f"{tool.name} {tool.version}"
        installers.install_package(way, label, reporter, known=bool(debian_candidate(way.package)))
    found = plan(bench, tool)
    if found.path is None:
        raise _cannot(found)
    return found.path


def _check(tool: Tool, program: Path) -> None:
    sighting = ask(tool, program)
    if objection := tool.objection(sighting.version, sighting.output):
        raise FailedError(
            f"the {tool.name} that was installed cannot be used: {objection}",
            details=f"{program.name} {' '.join(tool.ask.arguments)}\n{sighting.output.strip()}",
            resolution="The pin in tools.toml and what it points to do not agree; nothing was kept.",
        )


def _put(made: Path, place: Path, scratch: Path) -> None:
    if place.exists():
        place.replace(scratch / "old")
    made.replace(place)


def _sweep(place: Path) -> None:
    """Remove what a killed run left; nobody else works on this kit while its lock is held."""
    for leftover in place.parent.glob(f".{place.name}.*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)


@contextmanager
def _only_one(cache: Path, what: str, reporter: Reporter) -> Iterator[None]:
    folder = cache / "tools" / ".locks"
    try:
        with disk_errors("the cache cannot be used"):
            folder.mkdir(parents=True, exist_ok=True)
    except PermissionError as error:
        raise FailedError(
            "the cache cannot be written",
            details=str(error),
            resolution="Mend its owner, or name another folder by `cache` in stackway.toml or STACKWAY_CACHE.",
        ) from error
    lock = FileLock(folder / f"{what}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        reporter.say(f"another run is installing {what}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _cannot(found: ToolPlan) -> StackwayError:
    tool = found.tool
    if found.command:
        resolution = f"Run `{found.command}`, then the same command again."
    else:
        resolution = f"Put {tool.name} {tool.accept} on PATH, or mend one of the ways above."
    return UnavailableError(
        f"{tool.name}, which {tool.purpose}, is not here and cannot be installed",
        details="\n".join(f"{offer.way.kind}: {offer.reason}" for offer in found.offers),
        resolution=resolution,
    )
