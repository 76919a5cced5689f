# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Keys in somebody else's keeping, by the one kind that needs no service: a plain key file behind securesystemslib."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from releases import keys
from releases.keys import KmsSigner, PublicKey
from releases.verify import verify
from stackway.errors import FailedError, UnavailableError
from tests.fakes.releases import FakeReleases, keyring, new_release

# Older parts of securesystemslib's cryptography say that others of its parts will go.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def pair(folder: Path, name: str) -> PublicKey:
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / f"{name}.pem").write_bytes(private)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pub").write_bytes(public)
    return keys.load_public(folder / f"{name}.pub")


def test_release_signed_by_a_key_service_verifies(tmp_path: Path) -> None:
    signer = keys.load_kms(f"file2:{tmp_path}/a.pem", pair(tmp_path, "a"))
    store: Any = FakeReleases()
    new_release(store, "2026.1.0", signer)  # type: ignore[arg-type]
    assert verify(store, "2026.1.0", keyring(signer)).signers == (signer.public,)  # type: ignore[arg-type]


@pytest.mark.parametrize("uri", ["nosuch:key", "awskms:alias/release", "file2:/nowhere.pem"])
def test_service_that_is_not_there_is_told_with_its_address(uri: str, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be reached") as caught:
        keys.load_kms(uri, pair(tmp_path, "a"))
    assert caught.value.details.startswith(uri)


def test_public_key_of_another_pair_is_refused(tmp_path: Path) -> None:
    pair(tmp_path, "a")
    with pytest.raises(UnavailableError, match="cannot be reached"):
        keys.load_kms(f"file2:{tmp_path}/a.pem", pair(tmp_path, "b"))


def test_service_that_signs_with_another_key_writes_nothing(tmp_path: Path) -> None:
    signer = keys.load_kms(f"file2:{tmp_path}/a.pem", pair(tmp_path, "a"))
    turned = KmsSigner(pair(tmp_path, "b"), is_development=False, _signer=signer._signer)
    with pytest.raises(FailedError, match="signs with another key"):
        turned.sign(b"content")
