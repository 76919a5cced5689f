# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Writes the first files of a new service, from the templates in `images/shared/new`. Overwrites nothing."""

from dataclasses import asdict, dataclass
from pathlib import Path

from buildkit.catalog import FOLDER, RESERVED, Catalog
from buildkit.configuration import SHARED, TemplateLibrary
from buildkit.merge import merge
from buildkit.models import Service
from stackway.documents import parse_document, parse_model
from stackway.errors import WrongInputError
from stackway.files import write_atomic


@dataclass(frozen=True)
class NewService:
    """What a person says of a service that is not there yet."""

    name: str
    series: str
    distribution: str
    version: str


def scaffold(catalog: Catalog, wanted: NewService) -> list[Path]:
    """Write the files and return their paths. Raises WrongInputError for one that is there already or cannot be."""
    folder = catalog.root / FOLDER / wanted.name
    if wanted.name in RESERVED:
        raise WrongInputError(f"no service can be called {wanted.name!r}", details=f"{folder} holds something else")
    if (wanted.name, wanted.series) in catalog.services:
        raise WrongInputError(f"{wanted.name} is there already in {wanted.series}", details=str(folder))
    if wanted.series not in catalog.series:
        known = ", ".join(sorted(catalog.series))
        raise WrongInputError(f"there is no series {wanted.series!r}", resolution=f"There are: {known}.")
    written = []
    for path, text in _texts(catalog, wanted).items():
        if not (folder / path).exists():
            write_atomic(folder / path, text.encode())
            written.append(folder / path)
    return written


def _texts(catalog: Catalog, wanted: NewService) -> dict[str, str]:
    source = catalog.root / FOLDER / "shared/new"
    found = {f"{SHARED}/{path.name}": path for path in source.glob("*.j2")}
    texts = {name: path.read_text(encoding="utf-8") for name, path in found.items()}
    templates = TemplateLibrary(texts, {name: str(path) for name, path in found.items()}).of(wanted.name)
    names = {
        "service.yaml.j2": "service.yaml",
        "series.yaml.j2": f"{wanted.series}.yaml",
        "configuration.j2": f"templates/{wanted.name}.conf.j2",
    }
    rendered = {target: templates.render(name, asdict(wanted)) for name, target in names.items()}
    # What would break out of the template, lie elsewhere, or be an unusable spec is refused before anything is written.
    documents = [parse_document(text.encode(), name) for name, text in rendered.items() if name.endswith(".yaml")]
    parse_model(Service, merge(documents), f"{wanted.name!r} cannot be written as a service")
    return rendered
