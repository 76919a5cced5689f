# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Reads and adds to the records of environments. Each is a bundle that refers to its release, tagged `channel-ENV-NUMBER`.

A record is there when its tag is: one write. What this checkout has seen is kept in `channels/ENV.json` below its state.
"""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from buildkit.complaints import NotThereError, WrongContentError
from buildkit.registry import Manifest
from releases import records
from releases.keyring import Place
from releases.keys import Signer
from releases.records import MOVES, Chain, Entry, Record, Seen
from releases.release import REPOSITORY, told
from releases.repository import ReleaseStore, Repository
from releases.sign import write, write_bundle
from releases.signatures import read_bundle_manifest, read_descriptor
from releases.statements import (
    Envelope,
    NotSignedError,
    Statement,
    make_bundle,
    read_bundle,
    read_statement,
    sign_envelope,
)
from stackway.errors import RefusedError
from stackway.files import read_json, write_json

_RECORD_MAX = 8 << 20


class OvertakenError(RefusedError):
    """Somebody else wrote a record meanwhile."""


class Channels:
    """The records of all environments in one place, as one checkout sees them."""

    def __init__(self, store: ReleaseStore, state: Path) -> None:
        self.store = store
        self.folder = state / "channels"

    def read(self, place: Place, *, any_head: bool = False) -> Chain:
        """Return the records of an environment, checked against each other, its keys, and what was seen before.

        Raises a ChannelError. With `any_head` the newest may be signed by a key that no longer counts.
        """
        name, keyring = place.spec.name, place.keyring
        newest = self._newest(name)
        signed = [self._record(name, number, newest) for number in range(1, newest + 1)]
        chain = records.link(name, signed, keyring, any_head=any_head)
        records.check_seen(chain, self._seen(name), keyring.revoked)
        self._remember(chain)
        return chain

    def append(self, place: Place, record: Record, signer: Signer) -> Entry:
        """Sign a record and add it. Raises OvertakenError when the environment has got another one with its number."""
        repository, statement = self.store.repository(REPOSITORY), record.statement()
        name = _tag(record.environment, record.version)
        with self.store.writing():
            if repository.manifest_digest(name) is not None:
                raise self._overtaken(record)
            if record.kind in MOVES:
                write(repository, statement, signer)
            bundle = make_bundle(sign_envelope(statement, signer), signer.public)
            write_bundle(repository, statement, bundle, name)
        # A registry cannot be held: of two that write at once the later wins, and the other must know.
        entries = self.read(place).entries[record.version - 1 :]
        if not entries or entries[0].digest != statement.digest:
            raise self._overtaken(record)
        return entries[0]

    def _newest(self, name: str) -> int:
        numbers = [int(found[1]) for tag in self.store.repository(REPOSITORY).tags() if (found := _number(name, tag))]
        return max(numbers, default=0)

    def _record(self, name: str, number: int, newest: int) -> tuple[tuple[Envelope, ...], Statement]:
        repository, tag = self.store.repository(REPOSITORY), _tag(name, number)
        if repository.manifest_digest(tag) is None:
            raise records.BrokenChainError(
                f"a record of {name} is missing",
                details=f"{self.store.address}: there is no {tag}, and there is {_tag(name, newest)}",
                resolution="Somebody removed the one or made up the other. Bring the store back from a copy that is whole.",
            )
        try:
            envelope = read_bundle(_bundle(repository, repository.manifest(tag)))
            return (envelope,), read_statement(envelope.payload)
        except (NotSignedError, NotThereError, WrongContentError) as error:
            raise records.ForeignRecordError(
                f"a record of {name} is none",
                details=told(f"{self.store.address}: {tag}: {error.brief}: {error.details}".removesuffix(": ")),
                resolution=_WHOLE,
            ) from error

    def _seen(self, name: str) -> Seen | None:
        path = self.folder / f"{name}.json"
        if not path.exists():
            return None
        try:
            content = read_json(path)
            return _read_seen(content)
        except (KeyError, TypeError, ValueError) as error:
            raise RefusedError(
                f"what was seen of {name} cannot be read",
                details=f"{path}: {error}",
                resolution="It protects from old records: look at `release history`, then remove the file to begin anew.",
            ) from error

    def _remember(self, chain: Chain) -> None:
        seen = records.seen_of(chain)
        if seen and self._seen(chain.environment) != seen:
            write_json(self.folder / f"{chain.environment}.json", asdict(seen))

    def _overtaken(self, record: Record) -> OvertakenError:
        return OvertakenError(
            f"somebody else wrote record {record.version} of {record.environment} meanwhile",
            details=f"{self.store.address}: {_tag(record.environment, record.version)}",
            resolution=f"Yours does not count. Look at `release history {record.environment}`, and run the command again.",
        )


_WHOLE = "Somebody put it there. Bring the store back from a copy that is whole."


def _bundle(repository: Repository, manifest: Manifest) -> bytes:
    subject = read_descriptor(manifest.data().get("subject"))
    blob = read_bundle_manifest(manifest, subject.digest) if subject else None
    if blob is None:
        raise WrongContentError(f"{manifest.digest} is no bundle")
    return repository.read(blob, _RECORD_MAX)


def _read_seen(content: Any) -> Seen:
    version, signers = int(content["version"]), tuple(str(item) for item in content["signers"])
    if version < 1:
        raise ValueError(f"no record has the number {version}")
    return Seen(
        version, str(content["digest"]), signers, tuple(_read_seen(item) for item in content.get("earlier", ()))
    )


def _tag(name: str, number: int) -> str:
    return f"channel-{name}-{number}"


def _number(name: str, tag: str) -> re.Match[str] | None:
    return re.fullmatch(rf"channel-{re.escape(name)}-([1-9][0-9]{{0,8}})", tag)
