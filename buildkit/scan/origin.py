# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Where things in an image come from: the lock line that pins a package, the spec line that asks for it, its layer. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from packaging.utils import canonicalize_name

from buildkit.scan.report import Package, PackageKind, ScanReport


@dataclass(frozen=True)
class Origin:
    """What brought a thing: `place` (`file:line`) asks for it or pins it; `layer` says in words where it is.

    `advice` says how another version is asked for, with `{version}` where that goes.
    """

    place: str = ""
    layer: str = ""
    advice: str = ""

    def remedy(self, fixed: str) -> str:
        """Return what to do about a hole, given the version without it, if there is one."""
        if not fixed:
            return "There is no fix yet. Wait, use another package, or let somebody answer for it by an exception."
        # Debian and the index list one fixed version for each branch they look after.
        return self.advice.replace("{version}", fixed) or f"Install {fixed}."


@dataclass(frozen=True)
class LockLine:
    """A package in a lock, and the lock's place: `images/nova/2026.1.python.lock:12`."""

    name: str
    place: str


@dataclass(frozen=True)
class Sources:
    """What an image is made from, each with its place.

    `locks` are in the order of their layers, each with words for its layer; `asked` are the spec lines that name a
    package; `overrides` those that set its version; `own` is the service's own distribution and where its version is;
    `files` are paths in the image.
    """

    series_file: str
    locks: tuple[tuple[str, PackageKind, tuple[LockLine, ...]], ...]
    asked: Mapping[str, str]
    overrides: Mapping[str, str]
    own: tuple[str, str]
    files: Mapping[str, str]
    dockerfile: str


def origins(sources: Sources, report: ScanReport) -> dict[str, Origin]:
    """Return the origin of each package (`python requests`), secret (`file etc/x`), layer (by digest), and the Dockerfile."""
    found: dict[str, Origin] = {"Dockerfile": Origin(sources.dockerfile, "", "")}
    for words, kind, lines in sources.locks:
        for line in lines:
            found[f"{kind} {line.name}"] = _package(sources, kind, line, words)
    for package in report.packages:
        found |= dict(_same(package, found))
    names = layer_names(report, found)
    found |= {f"layer {digest}": Origin("", words, "") for digest, words in names.items()}
    for secret in report.secrets:
        found[f"file {secret.path}"] = _file(sources, report, secret.path, names.get(secret.layer, ""))
    return found


def _same(package: Package, known: Mapping[str, Origin]) -> Iterator[tuple[str, Origin]]:
    """Yield the origin of a package that locks spell differently or, by its version, of one that another brings along."""
    key, carrier = f"{package.kind} {package.name}", _carrier(package)
    if carrier and (origin := known.get(f"{package.kind} {carrier}")):
        advice = f"{carrier} brings it along; a later {carrier} is needed. {origin.advice}".replace(
            "{version}", "that version"
        )
        place = f"{origin.place}, inside {carrier}"
        yield f"{key} {package.version}", replace(origin, place=place, advice=advice)
    elif not carrier and (origin := known.get(f"{package.kind} {canonicalize_name(package.name)}")):
        yield key, origin


def _carrier(package: Package) -> str:
    """Return the package in whose folder this one lies; nothing when it stands by itself."""
    parts = package.path.split("/")
    if "site-packages" not in parts[:-1]:
        return ""
    top = canonicalize_name(parts[parts.index("site-packages") + 1].partition("-")[0].removesuffix(".py"))
    return "" if top == canonicalize_name(package.name) else top


def layer_names(report: ScanReport, known: Mapping[str, Origin]) -> dict[str, str]:
    """Return layer → its number, and what most of its packages are or, when it has none, the instruction that made it."""
    inside: dict[str, Counter[str]] = {}
    for package in report.packages:
        origin = known.get(f"{package.kind} {package.name}")
        if origin and origin.layer:
            inside.setdefault(package.layer, Counter())[origin.layer] += 1
    found = {}
    for number, layer in enumerate(report.layers, 1):
        words = inside[layer.digest].most_common(1)[0][0] if layer.digest in inside else layer.made_by
        found[layer.digest] = f"layer {number}: {words}"
    return found


def _package(sources: Sources, kind: PackageKind, line: LockLine, words: str) -> Origin:
    name = canonicalize_name(line.name)
    place = sources.asked.get(name, "")
    shown = f"{place} ({line.place})" if place else line.place
    if kind is PackageKind.DEBIAN:
        advice = f"`release spec lock --upgrade` takes what Debian has now; {line.name} is to be {{version}} or later."
    elif name == sources.own[0]:
        advice = f"Raise `version` in {sources.own[1]} to {{version}}, then `release spec lock`."
    elif name in sources.overrides:
        advice = f"Raise the override in {sources.overrides[name]} to {{version}}, then `release spec lock`."
    else:
        entry = f"`{name}: " + '{version: "{version}", owner: …, reason: …, expires: …}`'
        advice = (
            f"The constraints hold it. Add to `overrides` in {sources.series_file}: {entry}, then `release spec lock`."
        )
    return Origin(shown, words, advice)


def _file(sources: Sources, report: ScanReport, path: str, layer: str) -> Origin:
    """Return the origin of a file: the spec line that has it made, or the package that it belongs to."""
    absolute = f"/{path.lstrip('/')}"
    if place := sources.files.get(absolute):
        return Origin(place, layer, "")
    owner = next(_owners(absolute, report), "")
    return Origin(owner, layer, "")


def _owners(path: str, report: ScanReport) -> Iterator[str]:
    """Yield the Python packages whose folder a file lies in."""
    parts = path.split("/")
    if "site-packages" not in parts:
        return
    folder = parts[parts.index("site-packages") + 1]
    yield from _named(folder, (package.name for package in report.packages if package.kind is PackageKind.PYTHON))


def _named(folder: str, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if canonicalize_name(name) == canonicalize_name(folder.partition("-")[0].removesuffix(".py")):
            yield f"the package {name}"
