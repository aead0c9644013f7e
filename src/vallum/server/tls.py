"""Certificates: a local CA and a server certificate where none are given, renewed before they end.

The CA signs for this installation only; whoever holds `ca.key` can be this server to those who trust
the CA. Keys are readable by their owner only, and are never printed.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vallum.kernel import Clock, SettingsError

__all__ = ["Certificate", "certificate", "own_names"]

_CA_DAYS: Final = 3650
_DAYS: Final = 397  # what browsers take at most
_RENEW: Final = timedelta(days=30)
_SKEW: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Certificate:
    """Files in PEM. `ca`: what clients are to trust, None where the certificate was given."""

    cert: Path
    key: Path
    ca: Path | None


def own_names() -> tuple[str, ...]:
    """The names and addresses a server on this machine is reached by."""
    return tuple(dict.fromkeys(("localhost", "127.0.0.1", "::1", socket.gethostname().lower())))


def certificate(folder: Path, names: Iterable[str], clock: Clock) -> Certificate:
    """The certificate for these names, made or renewed in that folder where it is needed.

    Raises: SettingsError, OSError.
    """
    wanted = tuple(dict.fromkeys(name for name in names if name and "*" not in name.removeprefix("*.")))
    _private_folder(folder)
    files = Certificate(folder / "server.pem", folder / "server.key", folder / "ca.pem")
    authority, signer = _authority(folder, clock)
    if not _serves(files, wanted, authority, clock):
        _issue(files, wanted, authority, signer, clock)
    return files


def _private_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = folder.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise SettingsError(
            "others may write to the folder of the keys",
            where=str(folder),
            fix="make it yours alone: chmod 700",
        )


def _authority(folder: Path, clock: Clock) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """The CA of the folder, made where it is missing or ends before what it would sign."""
    cert_file, key_file = folder / "ca.pem", folder / "ca.key"
    now = clock.now()
    if cert_file.exists() and key_file.exists():
        cert = x509.load_pem_x509_certificate(cert_file.read_bytes())
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
        if isinstance(key, ec.EllipticCurvePrivateKey) and cert.not_valid_after_utc > now + timedelta(
            days=_DAYS
        ):
            return cert, key
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Vallum"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Vallum CA of {socket.gethostname()}"[:64]),
        ]
    )
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=_CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(key_file, _pem(key), 0o600)
    _write(cert_file, cert.public_bytes(serialization.Encoding.PEM), 0o644)
    return cert, key


def _serves(files: Certificate, names: tuple[str, ...], authority: x509.Certificate, clock: Clock) -> bool:
    """Whether the certificate there is for these names, of this CA, and lasts."""
    if not (files.cert.exists() and files.key.exists()):
        return False
    cert = x509.load_pem_x509_certificate(files.cert.read_bytes())
    try:
        cert.verify_directly_issued_by(authority)
    except Exception:
        return False
    held = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    known = set(held.get_values_for_type(x509.DNSName))
    known |= {str(a) for a in held.get_values_for_type(x509.IPAddress)}
    return set(names) <= known and cert.not_valid_after_utc > clock.now() + _RENEW


def _issue(
    files: Certificate,
    names: tuple[str, ...],
    authority: x509.Certificate,
    signer: ec.EllipticCurvePrivateKey,
    clock: Clock,
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    now = clock.now()
    issuer_id = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    cert = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False
        )
        .sign(signer, hashes.SHA256())
    )
    chain = cert.public_bytes(serialization.Encoding.PEM) + authority.public_bytes(serialization.Encoding.PEM)
    _write(files.key, _pem(key), 0o600)
    _write(files.cert, chain, 0o644)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name.encode("idna").decode() if not name.startswith("*.") else name)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    """Written aside and renamed, so that no reader finds half of it, nor a key others may read."""
    aside = path.with_suffix(path.suffix + ".new")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)
    aside.rename(path)
