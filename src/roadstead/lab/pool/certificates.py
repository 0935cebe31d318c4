"""Self-signed server certificates of the hosts, kept in files so that fingerprints survive a restart of the lab."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from roadstead.lab.pool.values import Date

_VALID = dt.timedelta(days=3650)
_STAMP = "%Y%m%dT%H:%M:%SZ"


def make(file: Path, name: str, address: str) -> None:
    """Write a new key and certificate for a host."""
    # A real host has an RSA key; a lab is started often, and this one is made a thousand times faster.
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    alternatives = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address(address))]
    begin = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + _VALID)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    partial = file.with_suffix(".new")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(private + certificate.public_bytes(serialization.Encoding.PEM))
    partial.replace(file)


def read(file: Path) -> bytes:
    """The certificate of a file that `make` wrote, in DER."""
    return x509.load_pem_x509_certificate(file.read_bytes()).public_bytes(serialization.Encoding.DER)


def pem(certificate: bytes) -> str:
    """A certificate (DER) as PEM."""
    return ssl.DER_cert_to_PEM_cert(certificate)


def context(file: Path) -> ssl.SSLContext:
    """TLS as a host speaks it: 1.2 only.  A later `load_cert_chain` counts for new connections."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = made.maximum_version = ssl.TLSVersion.TLSv1_2
    made.load_cert_chain(file)
    return made


def fingerprint(certificate: bytes, algorithm: hashes.HashAlgorithm | None = None) -> str:
    """The certificate's digest (SHA-256) as XAPI writes it: pairs of digits with colons between."""
    digest = hashes.Hash(algorithm or hashes.SHA256())
    digest.update(certificate)
    return digest.finalize().hex(":")


def fields(certificate: bytes) -> dict[str, object]:
    """What the pool's database says of a certificate."""
    loaded = x509.load_der_x509_certificate(certificate)
    return {
        "not_before": Date(loaded.not_valid_before_utc.strftime(_STAMP)),
        "not_after": Date(loaded.not_valid_after_utc.strftime(_STAMP)),
        "fingerprint": fingerprint(certificate),
        "fingerprint_sha256": fingerprint(certificate),
        "fingerprint_sha1": fingerprint(certificate, hashes.SHA1()),  # noqa: S303 - a field that XAPI has
    }
