"""The certificate that pools' plugins are shown: made at the first start with a plugin listener, the same ever after.

The pools name its fingerprint, so nobody needs to vouch for it, and it must not end by itself. Certificate and key
stand in one file, so that the two always belong together.
"""

import os
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from roadstead.errors import StartError
from roadstead.kit import certificates

FOLDER = "tls"
FILE = "plugin.pem"
LIFETIME = timedelta(days=100 * 365)
CLOCKS_DIFFER = timedelta(days=2)
"""It begins in the past: clocks of hosts may be slow."""


def certificate(state: Path) -> tuple[Path, str]:
    """Return the file with certificate and key, made on first need (0600), and the SHA-256 of the certificate.

    Raises `StartError` ``plugin-certificate-unusable``; blocks.
    """
    path = state / FOLDER / FILE
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if not path.exists():
            _write(path, _made())
        path.chmod(0o600)
        return path, _fingerprint(path.read_bytes())
    except OSError as error:
        raise _unusable(path, os.strerror(error.errno or 0).lower()) from error
    except ValueError as error:
        raise _unusable(path, "it does not hold a certificate and its key") from error


def _fingerprint(pem: bytes) -> str:
    shown, key = certificates.read_pem(pem)[0], certificates.read_key(pem)
    if not certificates.belong(key, shown):
        raise ValueError("the two do not belong together")
    return shown.fingerprint(hashes.SHA256()).hex()


def _made() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Roadstead")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCKS_DIFFER)
        .not_valid_after(now + LIFETIME)
        .sign(key, hashes.SHA256())
    )
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + made.public_bytes(Encoding.PEM)


def _write(path: Path, content: bytes) -> None:
    """Write it whole or not at all."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


def _unusable(path: Path, reason: str) -> StartError:
    return StartError("plugin-certificate-unusable", path=path, reason=reason)
