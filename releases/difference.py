# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What differs between two releases: images, packages, holes, configuration, what runs, and cards. Pure."""

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import unquote

from releases import bundle
from releases.release import ReleaseContent
from stackway.console import Table

_PURL = re.compile(r"pkg:(?P<kind>pypi|deb/debian)/(?P<name>[^@]+)@(?P<version>.+)\Z")
_NOTHING = "-"
_LONGEST = 60


@dataclass(frozen=True, order=True)
class Change:
    """One thing that differs: where, what, and its value on both sides; `-` where it is not there."""

    where: str
    what: str
    before: str
    after: str


@dataclass(frozen=True)
class ReleaseDifference:
    """All that differs between two releases."""

    before: str
    after: str
    images: tuple[Change, ...]
    packages: tuple[Change, ...]
    holes: tuple[Change, ...]
    configuration: tuple[Change, ...]
    manifests: tuple[Change, ...]
    cards: tuple[Change, ...]
    templates: Mapping[str, str]

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs."""
        return not any((self.images, self.packages, self.holes, self.configuration, self.manifests, self.cards))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {"apiVersion": "stackway/v1", "kind": "ReleaseDifference", **asdict(self)}

    def tables(self) -> list[tuple[str, Table]]:
        """Return a titled table for each part that differs."""
        parts = ("images", "packages", "holes", "configuration", "manifests", "cards")
        return [(name, _table(getattr(self, name))) for name in parts if getattr(self, name)]


def compare(before: ReleaseContent, after: ReleaseContent) -> ReleaseDifference:
    """Return what differs from `before` to `after`."""
    return ReleaseDifference(
        str(before.version),
        str(after.version),
        _changes(_images(before), _images(after)),
        _changes(_packages(before), _packages(after)),
        _changes(_holes(before), _holes(after)),
        _changes(_configuration(before), _configuration(after)),
        _changes(_workloads(before), _workloads(after)),
        _changes(_cards(before), _cards(after)),
        dict(_texts(before, after)),
    )


Values = dict[tuple[str, str], str]


def _changes(before: Values, after: Values) -> tuple[Change, ...]:
    keys = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
    rows = [(*key, before.get(key, _NOTHING), after.get(key, _NOTHING)) for key in keys]
    return tuple(Change(*(_utf8(text) for text in row)) for row in rows)


def _images(content: ReleaseContent) -> Values:
    found: Values = {}
    for image in content.images:
        found[image.name, "version"] = image.version
        found[image.name, "digest"] = image.manifest.digest
    return found


def _packages(content: ReleaseContent) -> Values:
    """Return image, package → version, from what each image was made of."""
    found: Values = {}
    for image in content.images:
        made = content.data(f"images/{image.name}/provenance.json")["buildDefinition"]["resolvedDependencies"]
        for row in made:
            if purl := _PURL.match(row.get("uri", "")):
                kind = "python" if purl["kind"] == "pypi" else "debian"
                found[image.name, f"{unquote(purl['name'])} ({kind})"] = unquote(purl["version"])
    return found


def _holes(content: ReleaseContent) -> Values:
    """Return image, hole in package → severity. An image that was not scanned says so, lest it look clean."""
    found: Values = {}
    for image in content.images:
        if not image.scanned:
            # By digest: of two images that nobody scanned nobody knows that they are alike.
            found[image.name, "scan"] = f"was not scanned ({image.manifest.digest[:19]})"
            continue
        for row in content.data(f"images/{image.name}/scan.json")["vulnerabilities"]:
            fixed = f", fixed in {row['fixed']}" if row["fixed"] else ""
            found[image.name, f"{row['id']} in {row['package']}"] = f"{row['severity']}{fixed}"
    return found


def _configuration(content: ReleaseContent) -> Values:
    data, found = content.data(bundle.CONFIGURATION), dict[tuple[str, str], str]()
    for service, schema in data["settings"].items():
        for name, row in schema["properties"].items():
            found[service, name] = str(row["default"])
    for name, text in data["templates"].items():
        folder, _, file = name.partition("/")
        found[folder, file] = f"{len(text.splitlines())} lines, {_short_digest(text)}"
    return found


def _workloads(content: ReleaseContent) -> Values:
    """Return workload, value's path → value; the image's digest is among the images' differences."""
    found: Values = {}
    for row in content.data(bundle.MANIFESTS):
        where = f"{row['service']}-{row['process']}"
        rest = {key: value for key, value in row.items() if key not in {"service", "process", "image"}}
        found |= {(where, path): value for path, value in _leaves(rest, "")}
    return found


def _cards(content: ReleaseContent) -> Values:
    found: Values = {}
    for row in content.data(bundle.CARDS):
        for name in ("from", "back", "records", "phases", "notes"):
            found[row["service"], name] = _text(row[name])
    return found


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, child in value.items():
            yield from _leaves(child, f"{path}.{key}" if path else str(key))
    else:
        yield path, _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


def _utf8(text: str) -> str:
    """Return text that can be written: nobody has verified the release, and JSON can spell half a character."""
    return text.encode(errors="backslashreplace").decode()


def _texts(before: ReleaseContent, after: ReleaseContent) -> Iterator[tuple[str, str]]:
    """Yield template → unified difference, for those that differ."""
    old, new = (content.data(bundle.CONFIGURATION)["templates"] for content in (before, after))
    for name in sorted({*old, *new}):
        earlier, later = (texts.get(name, "").splitlines() for texts in (old, new))
        if earlier != later:
            lines = difflib.unified_diff(earlier, later, str(before.version), str(after.version), lineterm="")
            yield _utf8(name), _utf8("\n".join(lines))


def _short_digest(text: str) -> str:
    from stackway.files import digest_bytes

    return digest_bytes(text.encode(errors="backslashreplace"))[:19]


def _table(changes: tuple[Change, ...]) -> Table:
    rows = [(item.where, item.what, _shorten(item.before), _shorten(item.after)) for item in changes]
    return Table(("WHERE", "WHAT", "BEFORE", "AFTER"), rows)


def _shorten(text: str) -> str:
    if text.startswith("sha256:"):
        return text[:19]
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}\N{HORIZONTAL ELLIPSIS}"
