# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The one merge mechanism for series files and site overlays. Pure; keeps the file and line of each surviving value.

Mappings merge key by key, everything else is replaced. `key+: [...]` appends to a list of the layer below,
`key-: [...]` takes away from it, and `key: null` removes the key.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stackway.documents import Document, KeyPath
from stackway.errors import Position, Problem, WrongInputError


@dataclass(frozen=True)
class Layers:
    """What some documents give together. It never changes, so several documents may be laid over the same layers."""

    data: Mapping[str, Any] = field(default_factory=dict)
    places: Mapping[KeyPath, Position] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def under(self, document: Document) -> "Layers":
        """Return these layers with `document` over them."""
        merger = _Merger({**self.places})
        merger.places.setdefault((), document.places[()])
        data = merger.mapping(self.data, document, document.data, ())
        return Layers(data, merger.places, (*self.problems, *merger.problems))

    def merged(self) -> Document:
        """Return them as one document. Raises WrongInputError for an amendment that fits nothing."""
        if self.problems:
            raise WrongInputError.from_problems("the files cannot be merged", self.problems)
        return Document(self.data, self.places)


def merge(documents: Sequence[Document]) -> Document:
    """Return one document; later ones win. Raises WrongInputError for an amendment that fits nothing."""
    layers = Layers()
    for document in documents:
        layers = layers.under(document)
    return layers.merged()


class _Merger:
    def __init__(self, places: dict[KeyPath, Position]) -> None:
        self.places = places
        self.problems: list[Problem] = []

    def mapping(
        self, below: Mapping[str, Any], document: Document, above: Mapping[str, Any], path: KeyPath
    ) -> dict[str, Any]:
        merged = dict(below)
        for key, value in above.items():
            here = (*path, key)
            if key[-1:] in {"+", "-"} and isinstance(value, list):
                self._amend(merged, document, here, value)
            elif value is None:
                self._forget(here, merged.pop(key, None))
            elif isinstance(value, dict) and isinstance(merged.get(key), dict):
                merged[key] = self.mapping(merged[key], document, value, here)
            else:
                if key in merged:
                    self._forget(here, merged[key])
                merged[key] = self._take(document, value, here)
        return merged

    def _take(self, document: Document, value: Any, path: KeyPath) -> Any:
        """Return `value` as it is in `document`, with its places; mappings pass through `mapping` for their amendments."""
        self.places[path] = document.place(path)
        if isinstance(value, dict):
            return self.mapping({}, document, value, path)
        if isinstance(value, list):
            for index, item in enumerate(value):
                self._record(document, item, (*path, index), (*path, index))
        return value

    def _amend(self, merged: dict[str, Any], document: Document, here: KeyPath, items: list[Any]) -> None:
        marked = str(here[-1])
        key, path = marked[:-1], (*here[:-1], marked[:-1])
        below = merged.get(key, [])
        if not isinstance(below, list):
            hint = f"Only a list can be amended; write `{key}:` to replace it."
            self.problems.append(Problem(f"{marked!r} amends {key!r}, which is no list", document.place(here), hint))
            return
        if marked.endswith("+"):
            for offset, item in enumerate(items):
                self._record(document, item, (*here, offset), (*path, len(below) + offset))
            merged[key] = [*below, *items]
            self.places.setdefault(path, document.place(here))
            return
        for offset, item in enumerate(items):
            if item not in below:
                self.problems.append(
                    Problem(f"{item!r} is not in {key!r}, so it cannot be taken away", document.place((*here, offset)))
                )
        kept = [index for index, item in enumerate(below) if item not in items]
        places = [{p: self.places[p] for p in self.places if p[: len(path) + 1] == (*path, index)} for index in kept]
        for index, item in enumerate(below):
            self._forget((*path, index), item)
        for new_index, found in enumerate(places):
            for old_path, place in found.items():
                self.places[(*path, new_index, *old_path[len(path) + 1 :])] = place
        merged[key] = [below[index] for index in kept]

    def _record(self, document: Document, value: Any, source: KeyPath, target: KeyPath) -> None:
        self.places[target] = document.place(source)
        for key, child in _children(value):
            self._record(document, child, (*source, key), (*target, key))

    def _forget(self, path: KeyPath, value: Any) -> None:
        """Forget the places of a value that goes, and of all that is in it."""
        self.places.pop(path, None)
        for key, child in _children(value):
            self._forget((*path, key), child)


def _children(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)
