# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Stock cosign in two versions, always offline: nothing outside is reached, and nothing of this machine's user is read.

Each call returns what cosign said and its exit code: 0 good, 10 no signature found, 12 none matches, 1 anything else (and
all that is wrong with a bundle).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from stackway import process
from stackway.process import Command, Completed
from tests.integration.runtime import programs, short_folder

Version = Literal[2, 3]
PASSWORD = "only for tests"
_OURS = ("COSIGN_", "SIGSTORE_", "TUF_", "REKOR_", "FULCIO_")
# What would reach outside fails at once, and says so; loopback never goes through a proxy.
_NOWHERE = "http://127.0.0.1:9"
_ROOT, _CONFIG = "trusted-root.json", "signing-config.json"
_FILES = {
    _ROOT: '{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}',
    _CONFIG: '{"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json", "rekorTlogConfig": {}, "tsaConfig": {}}',
}
_REGISTRY = ("--allow-http-registry",)


@dataclass(frozen=True)
class KeyPair:
    """A private key in cosign's own format, its public key, and the password that is given when it signs."""

    private: Path
    public: Path
    password: str = PASSWORD


@dataclass(frozen=True)
class Predicate:
    """What is attested: the type's URI (or one of cosign's short names) and the file that holds it."""

    kind: str
    file: Path


def generate_key_pair(version: Version, folder: Path, name: str = "cosign") -> KeyPair:
    """Make a key pair in `folder`."""
    return _key_pair(version, ("generate-key-pair",), folder / name)


def import_key_pair(version: Version, pem: Path, target: Path) -> KeyPair:
    """Turn a plain private key (PEM) into cosign's format: `target` is the path of both files without their suffix."""
    return _key_pair(version, ("import-key-pair", *_key(pem)), target)


def sign(
    version: Version,
    pair: KeyPair,
    reference: str,
    annotations: Mapping[str, str] | None = None,
    *,
    bundle: bool = True,
) -> Completed:
    """Sign an image: 2.5 always under the tag `.sig`, 3 as a bundle, or under the tag when `bundle` is off."""
    options = (*_writing(version, bundle=bundle and version != 2), *_annotated(annotations))
    return _run(version, ("sign", *_key(pair.private), *options, *_REGISTRY, reference), pair.password)


def verify(
    version: Version,
    public: Path,
    reference: str,
    annotations: Mapping[str, str] | None = None,
    *,
    bundle: bool = True,
) -> Completed:
    """Verify an image: 2.5 sees the tag `.sig` only, 3 sees it when there is no bundle or `bundle` is off."""
    options = (*_reading(version, bundle=bundle and version != 2), *_annotated(annotations))
    return _run(version, ("verify", *_key(public), *options, *_REGISTRY, reference))


def attest(version: Version, pair: KeyPair, reference: str, predicate: Predicate, *, bundle: bool = True) -> Completed:
    """Attach a signed statement about an image, as a bundle or under the tag `.att`."""
    what = ("--type", predicate.kind, "--predicate", str(predicate.file.absolute()))
    options = (*_writing(version, bundle=bundle), *what)
    return _run(version, ("attest", *_key(pair.private), *options, *_REGISTRY, reference), pair.password)


def verify_attestation(
    version: Version, public: Path, reference: str, predicate_type: str, *, bundle: bool = True
) -> Completed:
    """Verify a statement about an image, in its bundles or under the tag `.att`; 3 looks there too if no bundle is found."""
    options = ("--type", predicate_type, *_reading(version, bundle=bundle))
    return _run(version, ("verify-attestation", *_key(public), *options, *_REGISTRY, reference))


def sign_blob(version: Version, pair: KeyPair, blob: Path, bundle: Path) -> Completed:
    """Sign a file and write the signature's bundle."""
    options = (*_writing(version, bundle=True), "--bundle", str(bundle.absolute()))
    return _run(version, ("sign-blob", *_key(pair.private), *options, str(blob.absolute())), pair.password)


def verify_blob(version: Version, public: Path, blob: Path, bundle: Path) -> Completed:
    """Verify a file by the bundle of its signature."""
    options = (*_reading(version, bundle=True), "--bundle", str(bundle.absolute()))
    return _run(version, ("verify-blob", *_key(public), *options, str(blob.absolute())))


def _key(path: Path) -> tuple[str, ...]:
    return ("--key", str(path.absolute()))


def _annotated(annotations: Mapping[str, str] | None) -> tuple[str, ...]:
    return tuple(part for name, value in (annotations or {}).items() for part in ("-a", f"{name}={value}"))


def _form(version: Version, *, bundle: bool) -> tuple[str, ...]:
    if version == 2:
        return ("--new-bundle-format",) if bundle else ()
    return () if bundle else ("--new-bundle-format=false",)


def _writing(version: Version, *, bundle: bool) -> tuple[str, ...]:
    """Return the form that is written, and what keeps it out of public logs."""
    if version == 2:
        no_log: tuple[str, ...] = ("--tlog-upload=false",)
    elif bundle:
        no_log = ("--signing-config", _CONFIG, "--trusted-root", _ROOT)
    else:
        no_log = ("--use-signing-config=false", "--tlog-upload=false")
    return ("--yes", *_form(version, bundle=bundle), *no_log)


def _reading(version: Version, *, bundle: bool) -> tuple[str, ...]:
    """Return the form that is looked for, and what spares the public logs."""
    trust = ("--trusted-root", _ROOT) if version == 2 and bundle else ()
    return ("--insecure-ignore-tlog", *_form(version, bundle=bundle), *trust)


def _key_pair(version: Version, command: tuple[str, ...], target: Path) -> KeyPair:
    completed = _run(version, (*command, "--output-key-prefix", str(target.absolute())), PASSWORD)
    assert completed.code == 0, completed.tail()
    return KeyPair(target.with_name(f"{target.name}.key"), target.with_name(f"{target.name}.pub"))


@cache
def _program(version: Version) -> Path:
    name = f"cosign{version}"
    return programs(name)[name]


def _run(version: Version, arguments: tuple[str, ...], password: str = "") -> Completed:
    with short_folder() as home:
        for name, content in _FILES.items():
            (home / name).write_text(content)
        environment = {"HOME": str(home), "DOCKER_CONFIG": str(home), "COSIGN_PASSWORD": password}
        environment |= {"HTTP_PROXY": _NOWHERE, "HTTPS_PROXY": _NOWHERE, "NO_PROXY": ""}
        leaks = [name for name in os.environ if name.startswith(_OURS) and name not in environment]
        without = [part for name in leaks for part in ("-u", name)]
        command = ("env", *without, str(_program(version)), *arguments)
        return process.run(Command(command, environment, home, timeout=60), check=False)
