# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Draws credentials and keys by chance: the one module that does. They go into the cluster and nowhere else."""

import base64
import os
import secrets
from collections.abc import Iterable, Mapping

_BYTES = 24


def draw_credentials(names: Iterable[str], known: Mapping[str, str]) -> dict[str, str]:
    """Return a password for each name; those that are known stay as they are."""
    return {name: known.get(name) or secrets.token_urlsafe(_BYTES) for name in sorted({*names, *known})}


def draw_fernet_keys() -> dict[str, str]:
    """Return a new repository of fernet keys: the key that signs (1), and the one that will (0)."""
    return {name: base64.urlsafe_b64encode(os.urandom(32)).decode() for name in ("0", "1")}
