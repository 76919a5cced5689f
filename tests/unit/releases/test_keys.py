# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from releases import keys
from releases.keys import KmsSigner
from stackway.errors import FailedError, RefusedError, StackwayError, UnavailableError, WrongInputError
from tests.fakes.releases import new_signer

P256 = ec.generate_private_key(ec.SECP256R1())
OTHERS: dict[str, Any] = {
    "secp384r1": ec.generate_private_key(ec.SECP384R1()),
    "secp256k1": ec.generate_private_key(ec.SECP256K1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
    "RSA": rsa.generate_private_key(65537, 2048),
}
DER, PKCS8 = Encoding.DER, PrivateFormat.PKCS8
# The head of a SubjectPublicKeyInfo for a compressed point on P-256.
COMPRESSED = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretch passwords less: a file carries its own parameters, so what reads it is the same."""
    monkeypatch.setitem(keys._SCRYPT, "N", 2)


def plain(key: Any) -> bytes:
    return bytes(key.private_bytes(DER, PKCS8, NoEncryption()))


def sealed(tmp_path: Path, content: bytes, password: bytes = b"word") -> Path:
    path = tmp_path / "team.key"
    path.write_text(keys.seal(content, password), encoding="utf-8")
    path.chmod(0o600)
    return path


def rewritten(text: str, change: Callable[[Any], Any]) -> str:
    """Return a sealed key whose JSON was changed."""
    lines = text.splitlines()
    content = json.loads(base64.b64decode("".join(lines[1:-1])))
    change(content)
    return "\n".join([lines[0], base64.b64encode(json.dumps(content).encode()).decode(), lines[-1]])


def test_a_new_pair_signs_what_its_public_key_accepts(tmp_path: Path) -> None:
    public = keys.generate(tmp_path / "team.key", b"word")
    signer = keys.load_signer(tmp_path / "team.key", b"word")
    assert (signer.public, signer.public.name, public.name) == (public, "team.key", "team.pub")
    assert signer.sign(b"text") == signer.sign(b"text")
    assert public.accepts(signer.sign(b"text"), b"text")
    assert not public.accepts(signer.sign(b"text"), b"Text")
    assert (tmp_path / "team.key").stat().st_mode & 0o777 == 0o600


def test_a_key_file_has_the_fields_that_cosign_reads(tmp_path: Path) -> None:
    keys.generate(tmp_path / "team.key", b"word")
    lines = (tmp_path / "team.key").read_text(encoding="utf-8").splitlines()
    content = json.loads(base64.b64decode("".join(lines[1:-1])))
    assert lines[0] == "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----"
    assert content["kdf"]["name"] == "scrypt"
    assert content["kdf"]["params"] == {"N": 65536, "r": 8, "p": 1}
    assert len(base64.b64decode(content["kdf"]["salt"])) == 32
    assert content["cipher"]["name"] == "nacl/secretbox"
    assert len(base64.b64decode(content["cipher"]["nonce"])) == 24


@pytest.mark.usefixtures("cheap")
def test_keys_under_cosigns_old_name_are_read() -> None:
    text = keys.seal(b"content", b"word").replace("SIGSTORE", "COSIGN")
    assert keys.unseal(text, b"word", "old.key") == b"content"


def test_the_hint_is_the_digest_that_other_tools_compute() -> None:
    public = new_signer().public
    assert base64.b64decode(public.hint).hex() == public.id.removeprefix("sha256:")


@given(st.binary(max_size=300), st.binary(max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.usefixtures("cheap")
def test_what_is_sealed_comes_out_with_the_password_alone(content: bytes, password: bytes) -> None:
    text = keys.seal(content, password)
    assert keys.unseal(text, password, "a.key") == content
    with pytest.raises(WrongInputError, match="the password does not open this key"):
        keys.unseal(text, password + b"x", "a.key")


@pytest.mark.parametrize("name", OTHERS)
def test_public_keys_of_another_kind_are_refused_by_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "other.pub"
    path.write_bytes(OTHERS[name].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(WrongInputError, match=r"other\.pub cannot be used as a key") as caught:
        keys.load_public(path)
    assert name in caught.value.details
    assert "P-256" in caught.value.details


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.usefixtures("cheap")
def test_private_keys_of_another_kind_are_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(WrongInputError, match=r"team\.key cannot be used as a key") as caught:
        keys.load_signer(sealed(tmp_path, plain(OTHERS[name])), b"word")
    assert name in caught.value.details


@pytest.mark.parametrize(
    "content",
    [b"", b"no key", P256.private_bytes(DER, PKCS8, BestAvailableEncryption(b"once more"))],
    ids=["nothing", "text", "a key with a password of its own"],
)
@pytest.mark.usefixtures("cheap")
def test_what_is_sealed_and_no_plain_key_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(WrongInputError, match="cannot be used") as caught:
        keys.load_signer(sealed(tmp_path, content), b"word")
    assert "no plain private key" in caught.value.details


@pytest.mark.parametrize("encryption", [NoEncryption(), BestAvailableEncryption(b"word")], ids=["open", "encrypted"])
def test_private_keys_in_openssls_format_are_refused_with_a_hint(tmp_path: Path, encryption: Any) -> None:
    path = tmp_path / "open.key"
    path.write_bytes(P256.private_bytes(Encoding.PEM, PKCS8, encryption))
    path.chmod(0o600)
    with pytest.raises(WrongInputError, match="cannot be used as a key") as caught:
        keys.load_signer(path, b"word")
    assert "not a private key in cosign's format" in caught.value.details
    assert "release keygen" in caught.value.resolution
    with pytest.raises(WrongInputError, match="cannot be used as a key"):
        keys.load_public(path)


def test_one_key_in_two_spellings_is_one_key(tmp_path: Path) -> None:
    point = P256.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    body = base64.b64encode(COMPRESSED + point).decode()
    path = tmp_path / "short.pub"
    path.write_text(f"A key.\n-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n", encoding="utf-8")
    assert {keys.load_public(path), keys.public_of(P256, "long.pub")} == {keys.public_of(P256, "any name")}


@dataclass(frozen=True)
class Change:
    about: str
    to: Callable[[Any], Any]
    told: str


def params(**given: Any) -> Callable[[Any], Any]:
    return lambda content: content["kdf"]["params"].update(given)


def cut(part: str, name: str) -> Callable[[Any], Any]:
    return lambda content: content[part].update({name: content[part][name][:8]})


CHANGES = [
    Change("more memory than a file may ask for", params(N=1 << 40), "sealed by"),
    Change("more work than a file may ask for", params(p=1 << 30), "sealed by"),
    Change("endless work", params(N=float("inf")), "OverflowError"),
    Change("a number with too many digits", params(N="9" * 5000), "ValueError"),
    Change("no power of two", params(N=3), "ValueError"),
    Change("less than nothing", params(r=-1), "OverflowError"),
    Change("no parameters", lambda content: content["kdf"].pop("params"), "KeyError"),
    Change("no number", params(N=None), "TypeError"),
    Change("another kdf", lambda content: content["kdf"].update(name="pbkdf2"), "pbkdf2"),
    Change("another cipher", lambda content: content["cipher"].update(name="xor"), "xor"),
    Change("a very long name", lambda content: content["cipher"].update(name="x" * 9999), "sealed by"),
    Change("a short nonce", cut("cipher", "nonce"), "cut off"),
    Change("no content", lambda content: content.update(ciphertext=""), "cut off"),
    Change("salt of another type", lambda content: content["kdf"].update(salt=7), "TypeError"),
    Change("half of it missing", lambda content: content.pop("cipher"), "KeyError"),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: str(change.about))
@pytest.mark.usefixtures("cheap")
def test_a_private_key_file_that_was_changed_is_refused(change: Change) -> None:
    text = rewritten(keys.seal(b"content", b"word"), change.to)
    with pytest.raises(WrongInputError, match="cannot be used as a key") as caught:
        keys.unseal(text, b"word", "team.key")
    assert change.told in caught.value.details
    assert len(caught.value.details) < 300


@pytest.mark.usefixtures("cheap")
def test_changed_content_is_told_as_a_wrong_password() -> None:
    text = rewritten(
        keys.seal(b"content", b"word"), lambda content: content.update(ciphertext=base64.b64encode(bytes(40)).decode())
    )
    with pytest.raises(WrongInputError, match="the password does not open this key") as caught:
        keys.unseal(text, b"word", "team.key")
    assert (caught.value.details, "--password-file" in caught.value.resolution) == ("team.key", True)


@given(st.binary(max_size=200), st.sampled_from(["", *(f"-----BEGIN {label}-----\n" for label in keys.PRIVATE_LABELS)]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_bytes_as_key_files_raise_only_our_errors(tmp_path: Path, content: bytes, head: str) -> None:
    path = tmp_path / "random.key"
    path.unlink(missing_ok=True)
    path.write_bytes(head.encode() + content + head.replace("BEGIN", "END").encode())
    path.chmod(0o600)
    for read in (keys.load_public, lambda path: keys.load_signer(path, b"")):
        with pytest.raises(StackwayError) as caught:
            read(path)
        assert "random.key" in caught.value.details
        assert caught.value.resolution


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["kdf", "cipher", "name", "params", "salt", "N"]), inner, max_size=4)
        ),
    )
)
def test_any_json_in_a_private_key_raises_only_our_errors(content: Any) -> None:
    body = base64.b64encode(json.dumps(content).encode()).decode()
    label = keys.PRIVATE_LABELS[0]
    with pytest.raises(StackwayError):
        keys.unseal(f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n", b"", "a.key")


def test_a_private_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    keys.generate(tmp_path / "team.key", b"")
    (tmp_path / "team.key").chmod(0o640)
    with pytest.raises(RefusedError, match="others may read this private key") as caught:
        keys.load_signer(tmp_path / "team.key", b"")
    assert caught.value.details.endswith("team.key: mode 0640")
    assert "chmod 600" in caught.value.resolution


@pytest.mark.parametrize("name", ["team.key", "team.pub"])
def test_a_new_pair_overwrites_neither_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine", encoding="utf-8")
    with pytest.raises(WrongInputError, match=f"there is a file {name} already"):
        keys.generate(tmp_path / "team.key", b"")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text(encoding="utf-8") == "mine"


def test_a_new_pair_never_has_one_name_for_both(tmp_path: Path) -> None:
    with pytest.raises(WrongInputError, match="would have the name of the public one"):
        keys.generate(tmp_path / "team.pub", b"")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("cheap")
def test_a_development_key_says_so_in_both_files(tmp_path: Path) -> None:
    keys.generate(tmp_path / "dev.key", b"", development=True)
    keys.generate(tmp_path / "team.key", b"")
    assert keys.is_development(tmp_path / "dev.pub")
    assert keys.load_signer(tmp_path / "dev.key", b"").is_development
    assert not keys.load_signer(tmp_path / "team.key", b"").is_development


@pytest.mark.parametrize("make", [Path.exists, Path.mkdir, lambda path: path.write_bytes(b"\xff")])
def test_a_key_that_cannot_be_read_is_told_with_its_path(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    path = tmp_path / "team.pub"
    make(path)
    with pytest.raises(WrongInputError, match="cannot read the public key") as caught:
        keys.load_public(path)
    assert str(path) in caught.value.details


@pytest.mark.parametrize("signature", [b"", b"\x30", b"\x30\x06\x02\x01\x00\x02\x01\x00", bytes(2000)])
def test_what_is_no_signature_is_not_accepted(signature: bytes) -> None:
    assert not new_signer().public.accepts(signature, b"text")


def test_private_keys_and_public_bytes_show_in_no_message() -> None:
    signer = new_signer("team")
    assert "EllipticCurve" not in repr(signer)
    assert "BEGIN" not in repr(signer)


@dataclass(frozen=True)
class Service:
    """A key service by the interface of securesystemslib; without a key it denies."""

    key: Any = None

    def sign(self, content: bytes) -> Any:
        if self.key is None:
            raise PermissionError("denied by policy 7")
        return SimpleNamespace(signature=self.key.sign(content).hex())


def test_a_key_service_signs_like_a_file() -> None:
    file = new_signer("team")
    signer = KmsSigner(file.public, is_development=False, _signer=Service(file))
    assert file.public.accepts(signer.sign(b"text"), b"text")


def test_a_key_service_that_denies_is_told() -> None:
    signer = KmsSigner(new_signer("team").public, is_development=False, _signer=Service())
    with pytest.raises(FailedError, match="the key service did not sign") as caught:
        signer.sign(b"text")
    assert caught.value.details == "key team.pub: PermissionError: denied by policy 7"


def test_a_key_service_with_another_key_signs_nothing() -> None:
    signer = KmsSigner(new_signer("team").public, is_development=False, _signer=Service(new_signer()))
    with pytest.raises(FailedError, match="signs with another key than the public one") as caught:
        signer.sign(b"text")
    assert "team.pub" in caught.value.details


def test_a_key_service_that_cannot_be_reached_says_what_to_install() -> None:
    with pytest.raises(UnavailableError) as caught:
        keys.load_kms("nosuch:key", replace(new_signer("team").public))
    assert "securesystemslib" in caught.value.brief + caught.value.resolution
