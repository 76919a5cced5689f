# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The facts that a promotion rests on, as they are written into its signed record. Pure shapes; decides nothing.

Times are UTC in ISO 8601; a record is named by the digest of its signed bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Candidate:
    """The release that is to be promoted, as far as gates ask: `back` maps services to what their way back takes."""

    version: str
    digest: str
    series: str
    slurp: bool
    upgrades_from: tuple[str, ...]
    back: Mapping[str, str]


@dataclass(frozen=True)
class Present:
    """The release that is there now."""

    version: str
    digest: str
    series: str


@dataclass(frozen=True)
class Sight:
    """An observation of the source's pin: when, whether healthy, and the record that says so."""

    at: str
    healthy: bool
    record: str


@dataclass(frozen=True)
class Source:
    """The environment that the release comes from: its newest record, its pin, and what was seen of it since it came."""

    name: str
    head: str
    version: int
    pinned: str
    sights: tuple[Sight, ...] = ()


@dataclass(frozen=True)
class Approval:
    """A person's agreement: whose key, when, and the record that says so."""

    key: str
    at: str
    record: str


@dataclass(frozen=True)
class Ancestor:
    """An environment that the release was in, and the record by which it got there; an empty one when it never did."""

    environment: str
    record: str


@dataclass(frozen=True)
class ImageVerdict:
    """What today's database says of an image: `counts` maps outcomes to findings, `failed` names those that stop it."""

    image: str
    digest: str
    report: str
    counts: Mapping[str, int]
    failed: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class ScanFacts:
    """The scan of the day: rules and database by digest, when the database was made (UTC), and the images' verdicts."""

    policy: str
    rules: str
    database: str
    updated: str
    images: tuple[ImageVerdict, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Facts:
    """All that a decision rests on. `gates` is what the environment asked for then; `head` its newest record."""

    environment: str
    at: str
    gates: Mapping[str, Any]
    candidate: Candidate
    present: Present | None
    head: str
    source: Source | None = None
    approvals: tuple[Approval, ...] = ()
    ancestors: tuple[Ancestor, ...] = ()
    scan: ScanFacts | None = None
