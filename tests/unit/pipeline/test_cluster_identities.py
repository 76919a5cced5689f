# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Who is who in a local cluster, and when certificates must be made anew."""

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pipeline.cluster.certificates import make_certificates, need_renewal
from pipeline.cluster.identities import AUTHORITIES, LIFE_DAYS, RENEW_DAYS, Identity, identities, with_kubeconfig
from pipeline.cluster.layout import Addresses

NOW = datetime(2026, 5, 1, tzinfo=UTC)
WANTED = identities(Addresses(IPv4Network("10.214.0.0/16")))
OTHERS = identities(Addresses(IPv4Network("10.217.0.0/16")))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cluster") / "keys"
    make_certificates(folder, WANTED, NOW)
    return folder


def certificate(folder: Path, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes())


def test_only_the_administrator_may_do_everything() -> None:
    assert [identity.name for identity in WANTED if "system:masters" in identity.groups] == ["admin"]


def test_no_two_share_a_name_and_who_needs_a_kubeconfig_has_a_certificate() -> None:
    names = [identity.name for identity in WANTED]
    assert len(names) == len(set(names))
    assert set(with_kubeconfig()) <= set(names)


def test_private_keys_are_for_their_owner_only(keys: Path) -> None:
    assert keys.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in keys.glob("*.key")} == {0o600}
    assert len(list(keys.glob("*.key"))) == len(WANTED) + len(AUTHORITIES) + 1


@pytest.mark.parametrize("identity", WANTED, ids=lambda identity: identity.name)
def test_certificate_says_who_it_is_and_what_for(keys: Path, identity: Identity) -> None:
    found = certificate(keys, identity.name)
    found.verify_directly_issued_by(certificate(keys, identity.authority))
    assert [item.value for item in found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [identity.user]
    groups = found.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert tuple(item.value for item in groups) == identity.groups
    uses = set(found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert (ExtendedKeyUsageOID.SERVER_AUTH in uses, ExtendedKeyUsageOID.CLIENT_AUTH in uses) == (
        bool(identity.hosts),
        identity.is_client,
    )


def test_authorities_sign_but_nobody_below_them(keys: Path) -> None:
    limits = {
        name: certificate(keys, name).extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        for name in (*AUTHORITIES, *(identity.name for identity in WANTED))
    }
    assert {name for name, signs in limits.items() if signs} == set(AUTHORITIES)


@pytest.mark.parametrize(
    ("wanted", "days", "reason"),
    [
        (WANTED, 0, ""),
        (WANTED, LIFE_DAYS - RENEW_DAYS - 1, ""),
        (WANTED, LIFE_DAYS - RENEW_DAYS + 1, "they end on 2028-04-30"),
        (WANTED, LIFE_DAYS + 1, "they end on 2028-04-30"),
        (OTHERS, 0, "the addresses are others"),
        ((*WANTED, Identity("new", "new")), 0, "the one of new cannot be read"),
    ],
    ids=["good", "good for long enough", "end soon", "have ended", "other addresses", "one more"],
)
def test_certificates_are_made_anew_when_needed(
    keys: Path, wanted: tuple[Identity, ...], days: int, reason: str
) -> None:
    assert need_renewal(keys, wanted, NOW + timedelta(days=days)) == reason


def test_without_a_folder_there_are_none(tmp_path: Path) -> None:
    assert need_renewal(tmp_path / "keys", WANTED, NOW) == "there are none"


def test_a_damaged_one_is_named(tmp_path: Path) -> None:
    make_certificates(tmp_path / "keys", WANTED[:2], NOW)
    (tmp_path / "keys" / f"{WANTED[1].name}.crt").write_text("-----BEGIN")
    assert need_renewal(tmp_path / "keys", WANTED[:2], NOW) == f"the one of {WANTED[1].name} cannot be read"
