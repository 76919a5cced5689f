# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""An environment's objects as YAML files: which there are, what they are called, and what of them is secret. Pure.

Folders are numbered by the wave in which their stage can begin, so names sort as things are applied.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import yaml

from pipeline.deployment import SCALER, marked
from pipeline.manifests.credentials import Credentials
from pipeline.manifests.objects import Object
from pipeline.manifests.render import Rendered, Stage

README, INDEX = "README.md", "index.txt"
_STEP = 10
_PRIVATE, _OPEN = 0o600, 0o644
# A revision like 12345678e9 is a text for PyYAML, which leaves it bare, and a number for kubectl.
_NUMERIC = re.compile(r"[-+]?(?:(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?|0o[0-7]+)", re.ASCII)

# These end a line too; only between such quotes they are kept.
_BREAKS = re.compile(r"[\x85\u2028\u2029]")


class Secrecy(StrEnum):
    """What is written of Secrets."""

    LEFT_OUT = "left out"
    PLACEHOLDERS = "placeholders"
    VALUES = "values"


@dataclass(frozen=True)
class Sheet:
    """One file: its path in the folder, its text, and who may read it."""

    path: str
    text: str
    mode: int = _OPEN


@dataclass(frozen=True)
class Sheets:
    """The files of an environment, and the Secrets that are not among them: the cluster must have those."""

    sheets: tuple[Sheet, ...]
    left_out: tuple[str, ...]


def placeholders(names: Iterable[str]) -> Credentials:
    """Return credentials that are none: each says what it stands for."""
    return Credentials({name: f"<{name} from Secret credentials>" for name in names})


def sheets(rendered: Rendered, secrecy: Secrecy, keys: Iterable[Object] = ()) -> Sheets:
    """Return the files of rendered objects. `keys` are Secrets that were drawn once; they are written with values only."""
    waves = _waves(rendered.stages)
    scaled = {item["spec"]["scaleTargetRef"]["name"] for item in rendered.objects if item["kind"] == SCALER}
    # The hash is that of the whole object, as `release deploy` applies it; keys it applies as they were drawn.
    placed = [
        (stage.name, _shown(marked(item), scaled, secrecy)) for stage in rendered.stages for item in stage.objects
    ]
    placed += [("foundation", item) for item in keys]
    left_out = [str(item["metadata"]["name"]) for _, item in placed if _stays_out(item, secrecy)]
    found = [
        _sheet(f"{(waves[stage] + 1) * _STEP:03d}-{stage.replace(' ', '-')}", item)
        for stage, item in placed
        if not _stays_out(item, secrecy)
    ]
    return Sheets(tuple(sorted(found, key=lambda sheet: sheet.path)), tuple(sorted(left_out)))


def _stays_out(item: Object, secrecy: Secrecy) -> bool:
    """Tell whether an object is not written: a placeholder must never take the place of what was drawn once."""
    if item["kind"] != "Secret" or secrecy is Secrecy.VALUES:
        return False
    return secrecy is Secrecy.LEFT_OUT or not item.get("immutable")


def _waves(stages: Iterable[Stage]) -> Mapping[str, int]:
    """Return for each stage how many others, one after the other, must be ready before it."""
    found: dict[str, int] = {}
    waiting = list(stages)
    while waiting:
        ready = [stage for stage in waiting if set(stage.after) <= found.keys()]
        found |= {stage.name: 1 + max((found[name] for name in stage.after), default=-1) for stage in ready}
        waiting = [stage for stage in waiting if stage.name not in found]
    return found


def _shown(item: Object, scaled: set[str], secrecy: Secrecy) -> Object:
    """Return an object as it is written: an autoscaler's workload says no number, a placeholder can be read."""
    if item["kind"] == "Deployment" and item["metadata"]["name"] in scaled:
        return {**item, "spec": {key: value for key, value in item["spec"].items() if key != "replicas"}}
    if item["kind"] == "Secret" and secrecy is Secrecy.PLACEHOLDERS:
        texts = {key: base64.b64decode(value).decode() for key, value in item["data"].items()}
        return {**{key: value for key, value in item.items() if key != "data"}, "stringData": texts}
    return item


def _sheet(folder: str, item: Object) -> Sheet:
    name = f"{item['kind'].lower()}-{item['metadata']['name']}.yaml"
    is_secret = item["kind"] == "Secret" and "data" in item
    return Sheet(f"{folder}/{name}", to_yaml(item), _PRIVATE if is_secret else _OPEN)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such, so that a difference shows the line that differs; and numbers' texts quoted."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=_style(value))


def _style(value: str) -> str | None:
    if _BREAKS.search(value):
        return '"'
    return "|" if "\n" in value else "'" if _NUMERIC.fullmatch(value) else None


_Dumper.add_representer(str, _text)


def to_yaml(item: Object) -> str:
    """Return an object as YAML: equal objects, equal text."""
    head = {key: item[key] for key in ("apiVersion", "kind", "metadata")}
    text: Any = yaml.dump({**head, **item}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return str(text)


def readme(environment: str, release: str, secrecy: Secrecy, left_out: Iterable[str]) -> str:
    """Return what a person who finds the folder should know."""
    return "\n".join([*_head(environment, release), "", *_about_secrets(secrecy, list(left_out))]) + "\n"


def _head(environment: str, release: str) -> Iterator[str]:
    yield f"# {environment}: release {release}"
    yield ""
    yield f"Written by `release render {environment}`; write it again rather than change it by hand."
    yield ""
    yield "Folders with a lower number must be ready before those with a higher one: `release deploy` waits for each,"
    yield "and so must whatever applies these files. `kubectl diff -R -f .` shows what a cluster has otherwise."


_ABOUT = {
    Secrecy.VALUES: (
        "**The Secrets hold real values.** Whoever can read these files can do everything in this cloud:",
        "do not commit them.",
    ),
    Secrecy.PLACEHOLDERS: (
        "**The Secrets hold placeholders**, `<NAME from Secret credentials>`: nothing works with these files until",
        "something of yours puts values there. Names that end with a hash are those of the placeholders, not those",
        "of a cluster.",
    ),
    Secrecy.LEFT_OUT: ("Secrets are not written. The names of all other objects fit those that the cluster has.",),
}


def _about_secrets(secrecy: Secrecy, left_out: list[str]) -> Iterator[str]:
    yield from _ABOUT[secrecy]
    if left_out:
        yield ""
        yield "Not written; the cluster must have them (`release deploy` makes them):"
        yield ""
        yield from (f"- Secret `{name}`" for name in left_out)
