# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Writes a small vulnerability database in Trivy's own format (schema 2), so that tests know what is to be found.

A real file, no fake: bbolt pages (https://github.com/etcd-io/bbolt, `internal/common/page.go`), one leaf for each bucket.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from stackway import clock

_PAGE = 4096
_BUCKET, _META, _LEAF, _FREELIST = 0x01, 0x04, 0x02, 0x10
_MAGIC, _VERSION = 0xED0CDAED, 2
_PYPI = "pip::GitHub Security Advisory Pip"
_SEVERITIES = ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")

Tree = Mapping[bytes, "bytes | Tree"]


@dataclass(frozen=True)
class Advisory:
    """One hole: `package` is of `source`, a Debian release (`debian 13`) or `pypi`; no `fixed` means that there is no fix."""

    id: str
    package: str
    source: str = "pypi"
    fixed: str = ""
    severity: str = "HIGH"
    title: str = "a hole"
    published: str = "2026-01-01T00:00:00Z"
    vulnerable: str = ""


@dataclass
class Database:
    """A database with these advisories, of this age."""

    advisories: list[Advisory] = field(default_factory=list)
    updated: datetime = field(default_factory=lambda: clock.now().replace(microsecond=0))

    def write(self, folder: Path) -> Path:
        """Write `trivy.db` and `metadata.json` into `folder`; return it."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "trivy.db").write_bytes(bolt(self._tree()))
        (folder / "metadata.json").write_text(
            json.dumps(
                {
                    "Version": 2,
                    "NextUpdate": stamp(self.updated + timedelta(hours=6)),
                    "UpdatedAt": stamp(self.updated),
                    "DownloadedAt": stamp(self.updated),
                }
            )
        )
        return folder

    def _tree(self) -> Tree:
        tree: dict[str, Any] = {"data-source": {}, "vulnerability": {}}
        for item in self.advisories:
            bucket = _PYPI if item.source == "pypi" else item.source
            kind = {"ID": "ghsa" if item.source == "pypi" else "debian", "Name": bucket, "URL": "https://example.org/"}
            tree["data-source"][bucket] = kind
            tree.setdefault(bucket, {}).setdefault(item.package, {})[item.id] = self._advisory(item)
            tree["vulnerability"][item.id] = {
                "Title": item.title,
                "Severity": item.severity,
                "VendorSeverity": {"nvd": _SEVERITIES.index(item.severity)},
                "PublishedDate": item.published,
            }
        return encode(tree)

    @staticmethod
    def _advisory(item: Advisory) -> dict[str, Any]:
        if item.source == "pypi":
            versions = {"VulnerableVersions": [item.vulnerable or (f"< {item.fixed}" if item.fixed else ">= 0")]}
            return {"PatchedVersions": [item.fixed], **versions} if item.fixed else versions
        return {"FixedVersion": item.fixed} if item.fixed else {"Status": 2}


def stamp(moment: datetime) -> str:
    """Return a moment as Trivy writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def encode(tree: Mapping[str, Any]) -> Tree:
    """Return a tree of text as a tree of bytes: at the top two levels buckets, below JSON values where no bucket is."""
    found: dict[bytes, bytes | Tree] = {}
    for name, entries in tree.items():
        flat = name in {"data-source", "vulnerability"}
        found[name.encode()] = {
            key.encode(): dump(value) if flat else {leaf.encode(): dump(item) for leaf, item in value.items()}
            for key, value in entries.items()
        }
    return found


def dump(value: Any) -> bytes:
    """Return a value as JSON."""
    return json.dumps(value, sort_keys=True).encode()


def bolt(tree: Tree) -> bytes:
    """Return a bbolt file with these buckets."""
    writer = _Writer()
    root = writer.bucket(tree)
    return writer.file(root)


class _Writer:
    def __init__(self) -> None:
        self.pages: list[bytes] = []

    def bucket(self, tree: Tree) -> int:
        """Write a bucket and those in it; return its page."""
        entries = []
        for key in sorted(tree):
            value = tree[key]
            if isinstance(value, bytes):
                entries.append((0, key, value))
            else:
                entries.append((_BUCKET, key, struct.pack("<QQ", self.bucket(value), 0)))
        return self._leaf(entries)

    def _leaf(self, entries: list[tuple[int, bytes, bytes]]) -> int:
        elements, data, offset = b"", b"", 16 * len(entries)
        for index, (flags, key, value) in enumerate(entries):
            elements += struct.pack("<IIII", flags, offset + len(data) - 16 * index, len(key), len(value))
            data += key + value
        number = 3 + len(self.pages)
        size = 16 + len(elements) + len(data)
        more = (size - 1) // _PAGE
        page = struct.pack("<QHHI", number, _LEAF, len(entries), more) + elements + data
        padded = page.ljust((more + 1) * _PAGE, b"\0")
        self.pages += [padded[start : start + _PAGE] for start in range(0, len(padded), _PAGE)]
        return number

    def file(self, root: int) -> bytes:
        freelist = struct.pack("<QHHI", 2, _FREELIST, 0, 0).ljust(_PAGE, b"\0")
        return b"".join([*(self._meta(number, root) for number in (0, 1)), freelist, *self.pages])

    def _meta(self, number: int, root: int) -> bytes:
        after = 3 + len(self.pages)
        meta = struct.pack("<IIIIQQQQQ", _MAGIC, _VERSION, _PAGE, 0, root, 0, 2, after, number)
        header = struct.pack("<QHHI", number, _META, 0, 0)
        return (header + meta + struct.pack("<Q", fnv(meta))).ljust(_PAGE, b"\0")


def fnv(data: bytes) -> int:
    """Return the FNV-1a hash of 64 bits."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value
