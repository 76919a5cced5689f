# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The lines of a checkout that an image was made from, and whether they still are what the release was made from. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel

from buildkit.catalog import FOLDER, Catalog
from buildkit.lockfiles import base_path, image_path, layers_path
from buildkit.models import Base, Series, Service
from buildkit.provenance import Difference, differences
from releases import bundle
from releases.release import ReleaseContent, ReleaseImage
from stackway.documents import Document, KeyPath
from stackway.errors import Position
from stackway.files import digest_bytes, digest_json

_SHOWN = 8
_STAGES = ("os", "interpreter", "backends")


@dataclass(frozen=True)
class Sources:
    """A checkout: its specs, and its templates and locks by the names that releases give them, with their places."""

    catalog: Catalog
    texts: Mapping[str, str] = field(repr=False)
    places: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Source:
    """A file or a line of it; `state` is `holds`, or `differs` when the release was made from another."""

    kind: str
    name: str
    digest: str
    note: str
    state: str


def source_nodes(
    content: ReleaseContent, image: ReleaseImage, process: str, sources: Sources | None
) -> Iterator[Source]:
    """Yield what an image was made from: lines of specs, templates and locks."""
    specs = content.data(bundle.SPECS)
    service = Service.model_validate(specs["services"][image.name])
    series = Series.model_validate(specs["series"])
    base = Base.model_validate(specs["bases"][service.base or series.base])
    if sources is None:
        yield Source("spec", f"{image.name}:{image.series}", "", "no checkout here has its lines", "unknown")
        return
    yield from _spec(service, process, sources.catalog)
    yield from _whole("series", series, sources.catalog.series.get(series.name), ("name",))
    if image.series == series.name:
        yield _constraints(series, sources)
    yield from _whole("base", base, sources.catalog.bases.get(base.name), ("name",))
    yield from _templates(content, service, sources)
    yield from _locks(content, service, base, sources)


def _spec(service: Service, process: str, catalog: Catalog) -> Iterator[Source]:
    resolved = catalog.services.get((service.name, service.series))
    if resolved is None:
        yield Source("spec", f"{service.name}:{service.series}", "", "this checkout has no such image", "differs")
        return
    paths: list[KeyPath] = [("version",), ("packages",)]
    if process in service.processes:
        found = [key for key in resolved.document.places if key[:2] == ("processes", process)]
        lines = sorted({(resolved.document.place(key).file, resolved.document.place(key).line) for key in found})
        for file in sorted({file for file, _ in lines}):
            own = [line for name, line in lines if name == file]
            span = f"{min(own)}" if len(own) == 1 else f"{min(own)}-{max(own)}"
            yield Source(
                "line", f"{file}:{span}", digest_json(_data(service.processes[process])), f"process {process}", "holds"
            )
    for path in paths:
        place = resolved.document.place(path)
        told = (
            service.version if path == ("version",) else ", ".join(service.packages.python or service.packages.system)
        )
        yield Source("line", str(place), "", f"{path[0]}: {told}", "holds")
    yield from _changed(service, resolved.spec, resolved.document)


def _whole(kind: str, was: BaseModel, resolved: Any, first: KeyPath) -> Iterator[Source]:
    """Yield the file of a series or base, and the lines in which it differs now."""
    if resolved is None:
        yield Source(kind, str(getattr(was, "name", "")), "", "this checkout has it no more", "differs")
        return
    place = resolved.document.place(first)
    yield Source("line", str(place), digest_json(_data(was)), kind, "holds")
    yield from _changed(was, resolved.spec, resolved.document)


def _changed(was: BaseModel, now: BaseModel, document: Document) -> Iterator[Source]:
    """Yield the values that are other in the checkout than in the release, with the line that says so now."""
    found = _differences(was, now)
    for item in found[:_SHOWN]:
        place = document.place(tuple(item.path.split(".")))
        note = f"{item.path}: the release has {_cut(item.before)}, this checkout {_cut(item.after)}"
        yield Source("line", str(place), "", note, "differs")
    if len(found) > _SHOWN:
        yield Source("spec", f"{len(found) - _SHOWN} more values", "", "are other in this checkout", "differs")


def _differences(was: BaseModel, now: BaseModel) -> list[Difference]:
    place: dict[KeyPath, Position] = {(): Position("")}
    return differences(Document(_data(was), place), Document(_data(now), place))


def _data(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True)


def _cut(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"  # noqa: PLR2004 - a width


def _templates(content: ReleaseContent, service: Service, sources: Sources) -> Iterator[Source]:
    texts: Mapping[str, str] = content.data(bundle.CONFIGURATION)["templates"]
    for name in sorted({item.template for item in service.config.values() if item.render == "deployment"}):
        for full in (f"{service.name}/{name}", f"shared/{name}"):
            if full in texts:
                yield _text(texts[full], sources.texts.get(full), sources.places.get(full, full))
                break


def _locks(content: ReleaseContent, service: Service, base: Base, sources: Sources) -> Iterator[Source]:
    texts: Mapping[str, str] = content.data(bundle.LOCKS)
    paths = [image_path(service, kind) for kind in ("python", "system")]
    paths += [layers_path(service.series)] if service.layout == "python" else []
    paths += [base_path(base, stage) for stage in (_STAGES if service.layout == "python" else _STAGES[:1])]
    for path in paths:
        if path in texts:
            yield _text(texts[path], sources.texts.get(path), sources.places.get(path, f"{FOLDER}/{path}"))


def _constraints(series: Series, sources: Sources) -> Source:
    given, path = series.constraints, f"constraints/{series.constraints.file}"
    found = _file(given.digest, sources.texts.get(path), sources.places.get(path, f"{FOLDER}/{path}"))
    note = f"OpenStack's upper constraints at commit {given.commit}"
    return replace(found, note=f"{note}; {found.note}" if found.note else note)


def _text(was: str, now: str | None, place: str) -> Source:
    return _file(digest_bytes(was.encode()), now, place)


def _file(digest: str, now: str | None, place: str) -> Source:
    """Return a file that had this digest, and whether it still has."""
    if now is None:
        return Source("file", place, digest, "this checkout has it no more", "differs")
    own = digest_bytes(now.encode())
    note = "" if own == digest else f"in this checkout it is {own[:19]} now"
    return Source("file", place, digest, note, "holds" if own == digest else "differs")
