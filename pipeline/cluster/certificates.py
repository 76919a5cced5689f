# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Makes the keys and certificates of the cluster, and says when they must be made anew. Trusts nobody else's."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pipeline.cluster.identities import AUTHORITIES, LIFE_DAYS, RENEW_DAYS, TOKEN_KEY, Identity
from stackway.files import write_atomic


@dataclass(frozen=True)
class Authority:
    """A key that signs, and its certificate."""

    key: EllipticCurvePrivateKey
    certificate: x509.Certificate


def make_certificates(folder: Path, wanted: Sequence[Identity], now: datetime) -> None:
    """Write all authorities, certificates and keys into `folder`; private keys may be read by their owner only."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    authorities = {name: _authority(title, now) for name, title in AUTHORITIES.items()}
    for name, authority in authorities.items():
        _write(folder, name, authority.key, authority.certificate)
    for identity in wanted:
        key = generate_private_key(SECP256R1())
        _write(folder, identity.name, key, _certify(identity, key, authorities[identity.authority], now))
    token = generate_private_key(SECP256R1())
    write_atomic(folder / f"{TOKEN_KEY}.key", _private(token), mode=0o600)
    public = token.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    write_atomic(folder / f"{TOKEN_KEY}.pub", public)


def need_renewal(folder: Path, wanted: Sequence[Identity], now: datetime) -> str:
    """Return why the certificates in `folder` must be made (again), nothing when they need not."""
    for identity in wanted:
        try:
            certificate = x509.load_pem_x509_certificate((folder / f"{identity.name}.crt").read_bytes())
        except (OSError, ValueError):
            return "there are none" if not folder.is_dir() else f"the one of {identity.name} cannot be read"
        if certificate.not_valid_after_utc - now < timedelta(days=RENEW_DAYS):
            return f"they end on {certificate.not_valid_after_utc:%Y-%m-%d}"
        if set(_hosts(certificate)) != set(identity.hosts):
            return "the addresses are others"
    return ""


def _authority(title: str, now: datetime) -> Authority:
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
    builder = _builder(name, name, key, now).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return Authority(key, _usage(builder, signs_certificates=True).sign(key, hashes.SHA256()))


def _certify(identity: Identity, key: EllipticCurvePrivateKey, authority: Authority, now: datetime) -> x509.Certificate:
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in identity.groups]
    subject = x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, identity.user)])
    builder = _builder(subject, authority.certificate.subject, key, now)
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH] if identity.is_client else []
    uses += [ExtendedKeyUsageOID.SERVER_AUTH] if identity.hosts else []
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = builder.add_extension(identifier, critical=False)
    if identity.hosts:
        names = [_general_name(host) for host in identity.hosts]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return _usage(builder, signs_certificates=False).sign(authority.key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, now: datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    # The clock of a machine may be set back a little after its start.
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=LIFE_DAYS))
    builder = builder.serial_number(x509.random_serial_number())
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _usage(builder: x509.CertificateBuilder, *, signs_certificates: bool) -> x509.CertificateBuilder:
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
    return builder.add_extension(usage, critical=True)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _hosts(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in names]


def _write(folder: Path, name: str, key: EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    write_atomic(folder / f"{name}.key", _private(key), mode=0o600)
    write_atomic(folder / f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM))


def _private(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
