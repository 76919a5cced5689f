# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Reads `images/` and overlays into resolved specs. Checks that what names another thing names one that is there."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel

from buildkit.merge import Layers
from buildkit.models import Base, Series, Service
from stackway.documents import Document, load_document, parse_model
from stackway.errors import Problem, WrongInputError
from stackway.spelling import nearest

FOLDER = "images"
OVERLAYS = "overlays"
RESERVED = {"bases", "series", "constraints", "schema", "shared"}
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Resolved(Generic[Model]):
    """A spec after merging, with the document that remembers where each value was written."""

    spec: Model
    document: Document
    folder: Path


@dataclass(frozen=True)
class Catalog:
    """All specs of a checkout, resolved. `services` is keyed by (name, series)."""

    root: Path
    overlay: str
    bases: dict[str, Resolved[Base]]
    series: dict[str, Resolved[Series]]
    services: dict[tuple[str, str], Resolved[Service]]

    def service(self, name: str, series: str) -> Service:
        """Return one service's spec. Raises WrongInputError with the nearest name when it is not there."""
        return self.resolved(name, series).spec

    def resolved(self, name: str, series: str) -> Resolved[Service]:
        """Return one service's spec with the place of each value. Raises as `service` does."""
        found = self.services.get((name, series))
        if found is None:
            raise _unknown("image", f"{name}:{series}", [":".join(key) for key in self.services])
        return found

    def base_of(self, service: Service) -> Base:
        """Return the base that a service stands on: its own, else its series'."""
        name = service.base or self.series[service.series].spec.base
        return self.bases[name].spec

    def keep_tests(self, service: Service) -> frozenset[str]:
        """Return the distributions that keep the tests they carry in a service's image."""
        series = self.series.get(service.series)
        return frozenset(series.spec.keep_tests) if series else frozenset()

    def members(self, series: str) -> list[Service]:
        """Return the images of an OpenStack series, infrastructure included, in the order of their names."""
        if series not in self.series:
            raise _unknown("series", series, list(self.series))
        infrastructure = self.series[series].spec.infrastructure
        found = [
            item.spec for (name, own), item in self.services.items() if own == series or infrastructure.get(name) == own
        ]
        return sorted(found, key=lambda service: service.name)

    def siblings(self, service: Service) -> list[Service]:
        """Return the Python images of the same series: those that share layers with `service`, itself included."""
        found = [item.spec for item in self.services.values() if item.spec.series == service.series]
        return sorted((item for item in found if item.layout == "python"), key=lambda item: item.name)

    def select(self, words: Iterable[str], series: str | None = None) -> list[Service]:
        """Return the images that `words` name (`keystone`, `keystone:2026.1`; none means all), in a stable order.

        Raises WrongInputError for a word that names nothing.
        """
        pool = self.members(series) if series else [self.services[key].spec for key in sorted(self.services)]
        chosen = dict.fromkeys(words)
        known = dict.fromkeys([service.image for service in pool] + [service.name for service in pool])
        for word in chosen:
            if word not in known:
                raise _unknown("image", word, list(known))
        return [item for item in pool if item.name in chosen or item.image in chosen] if chosen else pool


def _unknown(kind: str, word: str, known: list[str]) -> WrongInputError:
    near = nearest(word, known)
    return WrongInputError(
        f"there is no {kind} {word!r}",
        details=f"known: {', '.join(sorted(set(known)))}",
        resolution=f"Did you mean {near!r}?" if near else "`release spec list` names all of them.",
    )


def load_catalog(root: Path, overlay: str = "") -> Catalog:
    """Read all specs below `root`/images, with the site overlay over them.

    Raises WrongInputError that lists every problem of every file.
    """
    if not (root / FOLDER).is_dir():
        raise WrongInputError(
            f"there is no folder {FOLDER!r} here",
            details=str(root.absolute()),
            resolution="Run in a checkout, or say where it is: `release --root DIR …`.",
        )
    if overlay and not (root / OVERLAYS / overlay).is_dir():
        known = sorted(path.name for path in (root / OVERLAYS).glob("*") if path.is_dir())
        raise WrongInputError(
            f"there is no overlay {overlay!r}",
            details=f"there are: {', '.join(known) or 'none'}",
            resolution=f"Make the folder {OVERLAYS}/{overlay}, or name one that is there.",
        )
    reader = _Reader(root, overlay)
    catalog = Catalog(root, overlay, reader.named("bases", Base), reader.named("series", Series), reader.services())
    problems = [*reader.problems, *_check(catalog)] if not reader.problems else reader.problems
    if problems:
        raise WrongInputError.from_problems("the specs cannot be used", problems)
    return catalog


class _Reader:
    """Reads folder by folder; an unusable file becomes problems and the rest is still read."""

    def __init__(self, root: Path, overlay: str) -> None:
        self.root = root
        self.layers = [root / FOLDER, *([root / OVERLAYS / overlay] if overlay else [])]
        self.problems: list[Problem] = []
        self._documents: dict[Path, Document] = {}
        self._lowest: dict[Path, Layers] = {}

    def named(self, folder: str, model: type[Model]) -> dict[str, Resolved[Model]]:
        """Return the specs in one file each, keyed by file name."""
        found = {}
        for name in sorted({path.stem for layer in self.layers for path in (layer / folder).glob("*.yaml")}):
            resolved = self._resolve(model, [layer / folder / f"{name}.yaml" for layer in self.layers])
            if resolved:
                self._same(resolved, "name", name)
                found[name] = resolved
        return found

    def services(self) -> dict[tuple[str, str], Resolved[Service]]:
        """Return every service in every series that has a file for it."""
        found = {}
        for folder in self._folders():
            series_names = {path.stem for layer in self.layers for path in (layer / folder).glob("[0-9]*.yaml")}
            for series in sorted(series_names):
                files = [layer / folder / name for layer in self.layers for name in ("service.yaml", f"{series}.yaml")]
                resolved = self._resolve(Service, files)
                if resolved:
                    self._same(resolved, "name", folder)
                    self._same(resolved, "series", series)
                    found[folder, series] = resolved
        return found

    def _folders(self) -> Iterator[str]:
        names = {path.name for layer in self.layers for path in layer.iterdir() if path.is_dir()}
        yield from sorted(names - RESERVED)

    def _resolve(self, model: type[Model], files: list[Path]) -> Resolved[Model] | None:
        present = [path for path in files if path.exists()]
        try:
            document = self._merge(present)
            name = document.places[()].file
            return Resolved(parse_model(model, document, f"{name} cannot be used"), document, present[0].parent)
        except WrongInputError as error:
            self.problems += error.problems or [Problem(f"{error.brief}: {error.details}")]
            return None

    def _merge(self, paths: list[Path]) -> Document:
        """Return the files as one document; what all series of a service share is merged once."""
        documents = [self._load(path) for path in paths]
        if paths[0] not in self._lowest:
            self._lowest[paths[0]] = Layers().under(documents[0])
        layers = self._lowest[paths[0]]
        for document in documents[1:]:
            layers = layers.under(document)
        return layers.merged()

    def _load(self, path: Path) -> Document:
        """Return a file's document; what all series of a service share is read once."""
        if path not in self._documents:
            self._documents[path] = load_document(path, str(path.relative_to(self.root)))
        return self._documents[path]

    def _same(self, resolved: Resolved[Model], key: str, expected: str) -> None:
        given = getattr(resolved.spec, key)
        if given != expected:
            self.problems.append(
                Problem(
                    f"{key} is {given!r}, but the file is {expected!r}'s",
                    resolved.document.place((key,)),
                    "Make both the same.",
                )
            )


def _check(catalog: Catalog) -> Iterator[Problem]:
    for series in catalog.series.values():
        yield from _refers(series.document, ("base",), series.spec.base, catalog.bases)
        for name, own in series.spec.infrastructure.items():
            if (name, own) not in catalog.services:
                place = series.document.place(("infrastructure", name))
                yield Problem(f"infrastructure names {name}:{own}, which is not there", place)
    for (name, own), service in catalog.services.items():
        if service.spec.base:
            yield from _refers(service.document, ("base",), service.spec.base, catalog.bases)
        if own not in catalog.series and (service.spec.layout == "python" or not service.spec.base):
            yield Problem(
                f"{name} has no {'constraints' if service.spec.base else 'base'}: {own!r} is no series in images/series",
                service.document.place(("series",)),
                "Add the series; a service with `layout: system` may give its own `base` instead.",
            )
        peers = {other for other, series in catalog.services if series == own}
        for index, other in enumerate(service.spec.upgrade.after):
            yield from _refers(service.document, ("upgrade", "after", index), other, peers)
    yield from _cycles(catalog)


def _refers(document: Document, path: tuple[str | int, ...], name: str, known: Iterable[str]) -> Iterator[Problem]:
    names = sorted(known)
    if name not in names:
        near = nearest(name, names)
        yield Problem(
            f"{path[0]} names {name!r}, which is not there",
            document.place(path),
            f"Did you mean {near!r}?" if near else f"There are: {', '.join(names) or 'none'}",
        )


def _cycles(catalog: Catalog) -> Iterator[Problem]:
    """Yield one problem for each series whose upgrade order goes round in a circle."""
    for series in sorted({own for _, own in catalog.services}):
        waiting = {
            name: set(item.spec.upgrade.after) for (name, own), item in catalog.services.items() if own == series
        }
        while ready := [name for name, after in waiting.items() if not after & waiting.keys()]:
            for name in ready:
                del waiting[name]
        if waiting:
            first = min(waiting)
            place = catalog.services[first, series].document.place(("upgrade", "after"))
            yield Problem(f"the upgrade order of {series} goes round in a circle: {', '.join(sorted(waiting))}", place)
