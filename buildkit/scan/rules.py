# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Reads policies and exceptions from `policies/`. Strict: what the scanner would silently ignore is an error here."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from pathlib import Path

from buildkit.scan.policy import Exemptions, Policy, Rules, conflicts
from stackway.documents import Document, load_document, parse_model
from stackway.errors import Position, Problem, WrongInputError
from stackway.files import digest_json
from stackway.spelling import nearest

FOLDER = "policies"
EXCEPTIONS = "exceptions.yaml"


def policy_names(root: Path) -> list[str]:
    """Return the policies of a checkout."""
    return sorted(path.stem for path in (root / FOLDER).glob("*.yaml") if path.name != EXCEPTIONS)


def load_rules(root: Path, name: str, now: datetime, images: Collection[str] = ()) -> Rules:
    """Return a policy and its exceptions; when `images` are given, exceptions may name no other.

    Raises WrongInputError with file and line for what cannot be used. That
    includes an exception whose day has come: it is a decision that somebody has to make again.
    """
    known = policy_names(root)
    if name not in known:
        near = nearest(name, known)
        raise WrongInputError(
            f"there is no policy {name!r}",
            details=f"there are: {', '.join(known) or f'none in {FOLDER}/'}",
            resolution=f"Did you mean {near!r}?" if near else f"Write {FOLDER}/{name}.yaml.",
        )
    file = f"{FOLDER}/{name}.yaml"
    document = load_document(root / file, file)
    policy = parse_model(Policy, document, f"{file} cannot be used")
    if policy.name != name:
        problem = Problem(f"name is {policy.name!r}, but the file is {name!r}'s", document.place(("name",)))
        raise WrongInputError.from_problems(f"{file} cannot be used", [problem])
    given, source = load_exemptions(root, now)
    if images and (problems := _unknown_images(given, source, images)):
        raise WrongInputError.from_problems(f"{FOLDER}/{EXCEPTIONS} cannot be used", problems)
    placed = tuple(
        (item, str(source.place(("exceptions", index, "id"))))
        for index, item in enumerate(given.exceptions)
        if not item.policies or name in item.policies
    )
    digest = digest_json(
        [policy.model_dump(mode="json", by_alias=True), [item.model_dump(mode="json") for item, _ in placed]]
    )
    return Rules(policy, placed, digest)


def load_exemptions(root: Path, now: datetime) -> tuple[Exemptions, Document]:
    """Return the file of exceptions; one that is not there has none."""
    path, name = root / FOLDER / EXCEPTIONS, f"{FOLDER}/{EXCEPTIONS}"
    if not path.exists():
        return Exemptions(exceptions=()), Document({}, {(): Position(name)})
    document = load_document(path, name)
    given = parse_model(Exemptions, document, f"{name} cannot be used")
    if problems := [*conflicts(given, document, now), *_unknown_policies(root, given, document)]:
        raise WrongInputError.from_problems(f"{name} cannot be used", problems)
    return given, document


def _unknown(what: str, named: Iterable[tuple[Sequence[str], Position]], known: Sequence[str]) -> list[Problem]:
    """Return a problem for each name that is not `known`: such an exception would protect nothing, silently."""
    return [
        Problem(
            f"there is no {what} {name!r}", place, f"Did you mean {near!r}?" if (near := nearest(name, known)) else ""
        )
        for names, place in named
        for name in names
        if name not in known
    ]


def _unknown_policies(root: Path, given: Exemptions, document: Document) -> list[Problem]:
    places = (document.place(("exceptions", index, "policies")) for index in range(len(given.exceptions)))
    return _unknown(
        "policy", zip((item.policies for item in given.exceptions), places, strict=True), policy_names(root)
    )


def _unknown_images(given: Exemptions, document: Document, images: Collection[str]) -> list[Problem]:
    places = (document.place(("exceptions", index, "images")) for index in range(len(given.exceptions)))
    known = sorted({*images, *(image.partition(":")[0] for image in images)})
    return _unknown("image", zip((item.images for item in given.exceptions), places, strict=True), known)
