# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Strict YAML: plain data in which each value remembers its file and line. Knows nothing of what the data means.

No anchors, no tags, no duplicate keys; `true`, `null` and numbers as in YAML 1.2, so `no`, `on` and `1:30` are text.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from stackway.errors import Position, Problem, WrongInputError
from stackway.spelling import nearest

if TYPE_CHECKING:
    from pydantic import BaseModel

KeyPath = tuple[str | int, ...]
Model = TypeVar("Model", bound="BaseModel")

MAX_BYTES = 1 << 20
MAX_DEPTH = 40
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]{1,30}|[0-9]{1,30}(\.[0-9]{0,30})?)([eE][-+]?[0-9]{1,2})?\Z")
# What must reach no file we write: C0 and C1 controls but tab and newline, DEL, separators, bidi overrides, noncharacters.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]")
_WANTED = {
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}
_VALUES = (yaml.ScalarEvent, yaml.CollectionStartEvent)
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Document:
    """A file's data with the place of each value; `places[()]` is the document's own."""

    data: Mapping[str, Any]
    places: Mapping[KeyPath, Position]

    def place(self, path: KeyPath) -> Position:
        """Return the place of the value at `path`, or of the nearest one above it that was written."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places[path]


def load_document(path: Path, name: str | None = None) -> Document:
    """Read one YAML file; `name` is what messages call it. Raises WrongInputError with file and line."""
    name = name or str(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WrongInputError(
            f"cannot read {name}", details=str(error), resolution="Check the path and its permissions."
        ) from error
    return parse_document(content, name)


def parse_document(content: bytes, name: str) -> Document:
    """Return the document in `content`. Raises WrongInputError that names every problem found."""
    if len(content) > MAX_BYTES:
        raise _refused(Problem(f"the file is {len(content)} bytes long, {MAX_BYTES} are allowed", Position(name)))
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise _refused(Problem(f"not UTF-8 at byte {error.start}", Position(name))) from error
    if found := _CONTROL.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise _refused(Problem(f"control character U+{ord(found.group()):04X}", Position(name, line)))
    reader = _Reader(name, text)
    try:
        data = reader.document()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise _refused(Problem(f"not YAML: {error.problem}", Position(name, line))) from error
    if reader.problems:
        raise WrongInputError.from_problems(f"{name} cannot be used", reader.problems)
    return Document(data, reader.places)


def _refused(problem: Problem) -> WrongInputError:
    name = problem.position.file if problem.position else "the file"
    return WrongInputError.from_problems(f"{name} cannot be used", [problem])


class _Reader:
    """Turns YAML events into data, so that nothing is built from what is refused: an alias bomb never gets to expand.

    Collects what is wrong with values; anchors, aliases, tags and boundless depth end the reading at once.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.places: dict[KeyPath, Position] = {(): Position(name, 1)}
        self.problems: list[Problem] = []
        self._read: Callable[[], Any] = _LOADER(text).get_event

    def document(self) -> dict[str, Any]:
        """Return the data of the one document there is."""
        while isinstance(event := self._next(), yaml.StreamStartEvent | yaml.DocumentStartEvent):
            pass
        if not isinstance(event, yaml.MappingStartEvent):
            raise _refused(Problem("the document is not a mapping (`key: value` lines)", Position(self.name, 1)))
        data = self._mapping(())
        self._next()
        if not isinstance(event := self._next(), yaml.StreamEndEvent):
            line = event.start_mark.line + 1
            raise _refused(Problem("not YAML: but found another document", Position(self.name, line)))
        return data

    def _next(self) -> Any:
        event = self._read()
        if isinstance(event, yaml.AliasEvent) or (isinstance(event, _VALUES) and (event.anchor or event.tag)):
            self._refuse_machinery(event)
        return event

    def _refuse_machinery(self, event: Any) -> None:
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            hint = "Write the value out; overlays and the series file are the ways to share values."
            raise _refused(Problem("anchors and aliases are not allowed", self._place(event), hint))
        hint = "Write plain data; nothing here needs a tag."
        raise _refused(Problem(f"the tag {event.tag!r} is not allowed", self._place(event), hint))

    def _place(self, event: Any) -> Position:
        return Position(self.name, event.start_mark.line + 1)

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        found: dict[str, Any] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            place = self._place(event)
            if not isinstance(event, yaml.ScalarEvent):
                self.problems.append(Problem("a key must be a plain word", place))
                self._value(event, path)
                self._value(self._next(), path)
                continue
            self._refuse_controls(event)
            key = event.value
            here = (*path, key)
            if key in found:
                hint = f"The first is on line {lines[key]}; keep one."
                self.problems.append(Problem(f"the key {key!r} is given twice", place, hint))
                self._value(self._next(), here)
                continue
            lines[key] = place.line
            self.places[here] = place
            found[key] = self._value(self._next(), here)
        return found

    def _value(self, event: Any, path: KeyPath) -> Any:
        if isinstance(event, yaml.ScalarEvent):
            if not event.style:
                return _resolve(event.value)
            self._refuse_controls(event)
            return event.value
        if len(path) >= MAX_DEPTH:
            raise _refused(Problem(f"nested deeper than {MAX_DEPTH} levels", self._place(event)))
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        items: list[Any] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            here = (*path, len(items))
            self.places[here] = self._place(event)
            items.append(self._value(event, here))
        return items

    def _refuse_controls(self, event: Any) -> None:
        """Refuse what double quotes can spell: an escape is not seen in the file's own text."""
        if event.style == '"' and (found := _CONTROL.search(event.value)):
            message = f"control character U+{ord(found.group()):04X}, written as an escape"
            self.problems.append(Problem(message, self._place(event)))


def _resolve(text: str) -> Any:
    """Return a plain scalar's value by YAML 1.2's core schema, without its octal, hexadecimal and boundless numbers."""
    if text in {"", "~", "null", "Null", "NULL"}:
        return None
    if text in {"true", "True", "TRUE", "false", "False", "FALSE"}:
        return text.lower() == "true"
    if _INT.match(text):
        return int(text)
    if _FLOAT.match(text):
        return float(text)
    return text


def parse_model(model: type[Model], document: Document, brief: str) -> Model:
    """Return `document` as a `model`. Raises WrongInputError that names file:line and the nearest right key."""
    from pydantic import ValidationError

    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        problems = _explain(model, document, [dict(item) for item in error.errors(include_url=False)])
        raise WrongInputError.from_problems(brief, problems) from error


def _explain(model: "type[BaseModel]", document: Document, items: list[dict[str, Any]]) -> list[Problem]:
    """Return one problem for each place; where a value may be of several kinds, pydantic complains once for each."""
    found: dict[KeyPath, list[dict[str, Any]]] = {}
    for item in items:
        path = tuple(part for part in item["loc"] if part != "[key]")
        found.setdefault(path[:-1] if _ends_with_choice(path, item, document) else path, []).append(item)
    return [_problem(model, document, path, given) for path, given in found.items()]


def _ends_with_choice(path: KeyPath, item: Mapping[str, Any], document: Document) -> bool:
    """Tell whether the last part of `path` is pydantic's name for one kind of value, and no key that was written."""
    if item["type"] == "missing" or not path or isinstance(path[-1], int):
        return False
    value: Any = document.data
    try:
        for part in path[:-1]:
            value = value[part]
    except (LookupError, TypeError):
        return False
    return not (isinstance(value, Mapping) and path[-1] in value)


def _problem(model: "type[BaseModel]", document: Document, path: KeyPath, items: list[dict[str, Any]]) -> Problem:
    place = document.place(path)
    label = ".".join(str(part) for part in path) or "the document"
    item = next((item for item in items if item["type"] == "value_error"), items[0])
    given = item["input"]
    match item["type"]:
        case "extra_forbidden":
            near = nearest(str(path[-1]), _fields(model, path[:-1]))
            return Problem(f"unknown key {label!r}", place, f"Did you mean {near!r}?" if near else "")
        case "missing":
            return Problem(f"{label!r} is missing", document.place(path[:-1]))
        case kind if kind in _WANTED:
            wanted = " or ".join(dict.fromkeys(_WANTED[item["type"]] for item in items if item["type"] in _WANTED))
            hint = "Write it in quotes." if wanted == "text" and _is_scalar(given) else ""
            return Problem(f"{label!r} must be {wanted}, not {_kind(given)}", place, hint)
        case _:
            return Problem(f"{label!r}: {item['msg'].removeprefix('Value error, ')}", place)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, int | float | bool)


def _kind(value: Any) -> str:
    names = {
        dict: "a mapping",
        list: "a list",
        int: "a number",
        float: "a number",
        bool: "true or false",
        str: "text",
        type(None): "nothing",
    }
    return names.get(type(value), type(value).__name__)


def _fields(model: "type[BaseModel]", path: KeyPath) -> list[str]:
    """Return the keys allowed at `path`, by following the model's generated schema."""
    schema: Any = model.model_json_schema(by_alias=True)
    definitions = schema.get("$defs", {})
    for part in path:
        schema = _follow(schema, definitions)
        if isinstance(part, int):
            schema = schema.get("items", {})
        else:
            named = list(schema.get("patternProperties", {}).values())
            others = named[0] if named else schema.get("additionalProperties") or {}
            schema = schema.get("properties", {}).get(part, others)
    return sorted(_follow(schema, definitions).get("properties", {}))


def _follow(schema: Any, definitions: Mapping[str, Any]) -> dict[str, Any]:
    while isinstance(schema, dict):
        if "$ref" in schema:
            schema = definitions[schema["$ref"].rsplit("/", 1)[-1]]
        elif "anyOf" in schema:
            schema = next((option for option in schema["anyOf"] if option.get("type") != "null"), {})
        else:
            return schema
    return {}
