# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Keys in cosign's own file format: made, read, used. A private key never leaves this module but as a signature.

Public key: PEM `PUBLIC KEY`, ECDSA P-256. Private key: PEM `ENCRYPTED SIGSTORE PRIVATE KEY` around JSON: scrypt (N 65536,
r 8, p 1), NaCl secretbox, PKCS#8 inside. Source: sigstore/cosign, pkg/cosign/keys.go, and go-securesystemslib/encrypted.
"""

import base64
import binascii
import json
import os
import stat
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from stackway.errors import FailedError, RefusedError, UnavailableError, WrongInputError
from stackway.files import disk_errors, write_atomic

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

PRIVATE_LABELS = ("ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY")
KMS_SCHEMES = ("awskms:", "gcpkms:", "azurekms:", "hv:", "hsm:", "file2:", "envvar:")
_SCRYPT = {"N": 65536, "r": 8, "p": 1}
# What a file may ask of this machine before its password is known to be right.
_SCRYPT_MAX = 1 << 20
_KEY_MAX = 64 << 10
_KEYGEN_HINT = "`release keygen NAME` makes a pair."


@dataclass(frozen=True, order=True)
class PublicKey:
    """A public key by its identifier, with the name that messages call it."""

    id: str
    name: str = field(compare=False)
    pem: str = field(compare=False, repr=False)

    @property
    def hint(self) -> str:
        """What bundles carry to say which key may be meant: base64 of the SHA-256 of the key; proves nothing."""
        return base64.b64encode(bytes.fromhex(self.id.removeprefix("sha256:"))).decode()

    def accepts(self, signature: bytes, content: bytes) -> bool:
        """Tell whether `signature` (ASN.1 DER) is this key's over `content`."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        try:
            _load_public(self.pem, self.name).verify(signature, content, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


class Signer(Protocol):
    """What can sign: a key file, or a key in somebody's keeping."""

    @property
    def public(self) -> PublicKey:
        """The key by which others check."""

    @property
    def is_development(self) -> bool:
        """Whether it is a development key; then every signature says so."""

    def sign(self, content: bytes) -> bytes:
        """Return the signature (ASN.1 DER) over `content`."""


@dataclass(frozen=True)
class FileSigner:
    """A private key that was read from a file. Equal content gives equal signatures (RFC 6979)."""

    public: PublicKey
    is_development: bool
    _key: "ec.EllipticCurvePrivateKey" = field(repr=False)

    def sign(self, content: bytes) -> bytes:
        """Return the signature (ASN.1 DER) over `content`."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        return self._key.sign(content, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


@dataclass(frozen=True)
class KmsSigner:
    """A key that a key management service, token or vault keeps, reached through securesystemslib."""

    public: PublicKey
    is_development: bool
    _signer: Any = field(repr=False)

    def sign(self, content: bytes) -> bytes:
        """Return the signature (ASN.1 DER) over `content`. Raises FailedError when the service does not."""
        try:
            signature = bytes.fromhex(self._signer.sign(content).signature)
        except Exception as error:  # each service's library has errors of its own
            raise FailedError(
                "the key service did not sign",
                details=f"key {self.public.name}: {type(error).__name__}: {error}",
                resolution="Check the service and your rights to use this key; nothing was signed.",
            ) from error
        if not self.public.accepts(signature, content):
            raise FailedError(
                "the key service signs with another key than the public one that was given",
                details=f"key {self.public.name}: {self.public.id}",
                resolution="Give the public key that belongs to the key in the service; nothing was written.",
            )
        return signature


def generate(private: Path, password: bytes, *, development: bool = False) -> PublicKey:
    """Make a pair: `private` (mode 0600) and the public key beside it (`.pub`). Overwrites nothing.

    Raises WrongInputError when one of the files is there.
    """
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    target = private.with_suffix(".pub")
    if target == private:
        raise WrongInputError(
            "the private key would have the name of the public one",
            details=str(private),
            resolution="Choose a name that does not end with .pub.",
        )
    for path in (private, target):
        if path.exists():
            raise WrongInputError(
                f"there is a file {path.name} already", details=str(path), resolution="Choose another name for the key."
            )
    key = ec.generate_private_key(ec.SECP256R1())
    plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    label = "development key, for this machine only\n" if development else ""
    write_atomic(private, (label + seal(plain, password)).encode(), mode=0o600)
    write_atomic(target, (label + _public_pem(key.public_key())).encode())
    return load_public(target)


def seal(plain: bytes, password: bytes) -> str:
    """Return a private key (PKCS#8 DER) as PEM that only the password opens."""
    from nacl.secret import SecretBox

    salt = os.urandom(32)
    sealed = SecretBox(_stretch(password, salt, _SCRYPT)).encrypt(plain, os.urandom(SecretBox.NONCE_SIZE))
    content = {
        "kdf": {"name": "scrypt", "params": _SCRYPT, "salt": _b64(salt)},
        "cipher": {"name": "nacl/secretbox", "nonce": _b64(sealed.nonce)},
        "ciphertext": _b64(sealed.ciphertext),
    }
    body = base64.encodebytes(json.dumps(content, separators=(",", ":")).encode()).decode().replace("\n", "")
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    return "\n".join([f"-----BEGIN {PRIVATE_LABELS[0]}-----", *lines, f"-----END {PRIVATE_LABELS[0]}-----", ""])


def load_signer(path: Path, password: bytes) -> FileSigner:
    """Read a private key. Raises RefusedError when others may read the file, WrongInputError for any that cannot be used."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    text = _read(path, "private key")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise RefusedError(
            "others may read this private key",
            details=f"{path}: mode {stat.S_IMODE(path.stat().st_mode):04o}",
            resolution=f"`chmod 600 {path}`; when somebody may have read it, make a new key and revoke this one.",
        )
    plain = unseal(text, password, str(path))
    try:
        key = load_der_private_key(plain, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _unusable(path, f"what is sealed in it is no plain private key ({type(error).__name__})") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise _unusable(path, _other_kind(key))
    return FileSigner(public_of(key, path.name), _is_development(text), key)


def public_of(key: "ec.EllipticCurvePrivateKey", name: str) -> PublicKey:
    """Return the public half of a private key."""
    return _public(_public_pem(key.public_key()), name)


def unseal(text: str, password: bytes, name: str) -> bytes:
    """Return what is in a sealed private key (PKCS#8 DER). Raises WrongInputError for a wrong password or damage."""
    from nacl.exceptions import CryptoError
    from nacl.secret import SecretBox

    try:
        content = json.loads(_pem_body(text))
        params = {item: int(content["kdf"]["params"][item]) for item in _SCRYPT}
        salt, nonce = (base64.b64decode(content[part][item]) for part, item in (("kdf", "salt"), ("cipher", "nonce")))
        sealed = base64.b64decode(content["ciphertext"])
        names = content["kdf"]["name"], content["cipher"]["name"]
        if names != ("scrypt", "nacl/secretbox") or params["N"] * params["r"] * params["p"] > _SCRYPT_MAX:
            raise _unusable(Path(name), f"it is sealed by {names} with {params}"[:200])
        # The library would call this a wrong password.
        if len(nonce) != SecretBox.NONCE_SIZE or len(sealed) < SecretBox.MACBYTES:
            raise _unusable(Path(name), "what is sealed in it is cut off")
        return SecretBox(_stretch(password, salt, params)).decrypt(sealed, nonce)
    except CryptoError as error:
        raise WrongInputError(
            "the password does not open this key",
            details=name,
            resolution="Give the right one: at the prompt, with --password-file FILE or --password-fd N.",
        ) from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise _unusable(Path(name), f"it is not a private key in cosign's format ({type(error).__name__})") from error


def load_public(path: Path) -> PublicKey:
    """Read a public key. Raises WrongInputError for any that is not ECDSA P-256 in PEM."""
    return _public(_read(path, "public key"), path.name)


def load_kms(uri: str, public: PublicKey) -> KmsSigner:
    """Return the key that `uri` names in somebody's keeping. Raises UnavailableError when the extra `kms` is not installed."""
    from importlib import import_module

    try:
        library: Any = import_module("securesystemslib.signer")
    except ImportError as error:
        raise UnavailableError(
            "keys in a key service need securesystemslib",
            details=str(error),
            resolution="Install it: `pip install 'stackway[kms]'`, with the extra of your service (awskms, gcpkms, hsm, …).",
        ) from error
    key = library.SSlibKey(public.id, "ecdsa", "ecdsa-sha2-nistp256", {"public": public.pem})
    try:
        return KmsSigner(public, is_development=False, _signer=library.Signer.from_priv_key_uri(uri, key))
    except Exception as error:  # each service's library has errors of its own
        raise UnavailableError(
            "this key cannot be reached",
            details=f"{uri}: {type(error).__name__}: {error}",
            resolution="Check the address, the service's extra of securesystemslib, and your credentials for it.",
        ) from error


def is_development(path: Path) -> bool:
    """Tell whether a key file says of itself that it is a development key."""
    return _is_development(_read(path, "key"))


def _is_development(text: str) -> bool:
    return text.partition("-----BEGIN")[0].startswith("development key")


def _public(text: str, name: str) -> PublicKey:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from stackway.files import digest_bytes

    key = _load_public(text, name)
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(digest_bytes(der), name, _public_pem(key))


@lru_cache(maxsize=256)
def _load_public(text: str, name: str) -> "ec.EllipticCurvePublicKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(text[max(0, text.find("-----BEGIN")) :].encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _unusable(Path(name), "it is not a public key in PEM") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise _unusable(Path(name), _other_kind(key))
    return key


def _other_kind(key: object) -> str:
    """Return what a key is that is not of our kind: an elliptic curve by its name, others by their class."""
    curve = getattr(getattr(key, "curve", None), "name", "")
    found = f"the curve {curve}" if curve else type(key).__name__.removesuffix("PublicKey").removesuffix("PrivateKey")
    return f"it is not an ECDSA key on the curve P-256 but one of {found.removeprefix('_')}"


def _public_pem(key: "ec.EllipticCurvePublicKey") -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _stretch(password: bytes, salt: bytes, params: dict[str, int]) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt, 32, params["N"], params["r"], params["p"]).derive(password)


def _pem_body(text: str) -> bytes:
    for label in PRIVATE_LABELS:
        begin, end = f"-----BEGIN {label}-----", f"-----END {label}-----"
        if begin in text and end in text:
            try:
                return base64.b64decode(text.partition(begin)[2].partition(end)[0], validate=False)
            except binascii.Error as error:
                raise ValueError(str(error)) from error
    raise ValueError("no such PEM block")


def _read(path: Path, what: str) -> str:
    try:
        with disk_errors(f"cannot read {path.name}"), path.open("rb") as file:
            return file.read(_KEY_MAX).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise WrongInputError(f"cannot read the {what}", details=f"{path}: {error}", resolution=_KEYGEN_HINT) from error


def _unusable(path: Path, why: str) -> WrongInputError:
    return WrongInputError(f"{path.name} cannot be used as a key", details=f"{path}: {why}", resolution=_KEYGEN_HINT)


def _b64(content: bytes) -> str:
    return base64.b64encode(content).decode()
