# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""An environment with its keys, by their part in it. Pure; `releases.environments` reads them."""

from dataclasses import dataclass

from releases.environment import Environment
from releases.keys import PublicKey
from stackway.documents import Document


@dataclass(frozen=True)
class Keyring:
    """The keys of an environment by their part in it. No revoked key is in any other part."""

    release: tuple[PublicKey, ...]
    threshold: int
    promoters: tuple[PublicKey, ...]
    observers: tuple[PublicKey, ...]
    former: tuple[PublicKey, ...]
    approvers: tuple[PublicKey, ...]
    revoked: dict[PublicKey, str]
    allow_development: bool = False


@dataclass(frozen=True)
class Place:
    """An environment as it was read, with its keys."""

    spec: Environment
    document: Document
    keyring: Keyring
