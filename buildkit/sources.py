# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Reads the texts that images are made from: templates, the example environment, and our own recipes."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import FileSystemBytecodeCache

from buildkit.catalog import FOLDER, OVERLAYS, Catalog
from buildkit.configuration import SHARED, TemplateLibrary
from stackway.documents import load_document

_SUFFIX = ".j2"


def load_templates(catalog: Catalog, cache: Path | None = None) -> TemplateLibrary:
    """Return all templates: shared ones, each service's own, and an overlay's in place of either.

    `cache` is a folder for compiled templates.
    """
    layers = [catalog.root / FOLDER]
    if catalog.overlay:
        layers.append(catalog.root / OVERLAYS / catalog.overlay)
    texts: dict[str, str] = {}
    places: dict[str, str] = {}
    for layer in layers:
        for folder in (layer / SHARED / "dockerfiles", layer / SHARED / "templates", *layer.glob("*/templates")):
            owner = SHARED if folder.parent.name == SHARED else folder.parent.name
            for path in sorted(folder.glob(f"*{_SUFFIX}")):
                texts[f"{owner}/{path.name}"] = path.read_text(encoding="utf-8")
                places[f"{owner}/{path.name}"] = str(path.relative_to(catalog.root))
    if cache:
        cache.mkdir(parents=True, exist_ok=True)
    return TemplateLibrary(texts, places, FileSystemBytecodeCache(str(cache)) if cache else None)


def load_example(catalog: Catalog) -> Mapping[str, Any]:
    """Return the example environment with which deployment templates are rendered for the smoke checks."""
    path = catalog.root / FOLDER / "shared/example.yaml"
    return load_document(path, str(path.relative_to(catalog.root))).data


def load_recipes() -> dict[str, str]:
    """Return name → text of the programs that run inside the builder."""
    folder = files("buildkit") / "recipes"
    return {
        item.name: item.read_text(encoding="utf-8") for item in folder.iterdir() if item.name.endswith((".sh", ".py"))
    }


def write_texts(folder: Path, texts: Mapping[str, str]) -> None:
    """Write texts for people to look at: below `folder`, each under its name."""
    files = {name.lstrip("/"): text for name, text in texts.items()}
    # Each folder is made once, the outer before the inner one: there are as many as files, and making one is as slow.
    folder.mkdir(parents=True, exist_ok=True)
    for inner in sorted({name[:end] for name in files for end, letter in enumerate(name) if letter == "/"}):
        (folder / inner).mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_bytes(text.encode())
