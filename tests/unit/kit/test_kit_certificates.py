"""Certificates and keys that others made: read, or refused with one error, whatever is wrong with them."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from roadstead.kit.certificates import EncryptedError, UnreadableError, asked, belong, read_der, read_key, read_pem
from tests.unit.fakes.odd_certificates import of_version

KEY = ec.derive_private_key(7, ec.SECP256R1())
DATES = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
_BUILDER = x509.CertificateBuilder(_NAME, _NAME, KEY.public_key(), 1, *DATES)
PEM = _BUILDER.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
DER = ssl.PEM_cert_to_DER_cert(PEM)


def _key(encryption: serialization.KeySerializationEncryption) -> bytes:
    return KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def test_what_is_in_order_is_read() -> None:
    """With its dates, and its key belongs to it."""
    (certificate,) = read_pem(PEM.encode())
    assert certificate == read_der(DER)
    assert certificate.not_valid_after_utc == datetime(2027, 1, 1, tzinfo=UTC)
    assert belong(read_key(_key(serialization.NoEncryption())), certificate)
    assert not belong(ec.generate_private_key(ec.SECP256R1()), certificate)


@pytest.mark.parametrize("number", [1, 3, 7, 255])
def test_a_version_that_there_is_none_of_is_refused(number: int) -> None:
    """In either form, by the one error."""
    odd = of_version(PEM, number, KEY)
    with pytest.raises(UnreadableError):
        read_pem(odd.encode())
    with pytest.raises(UnreadableError):
        read_der(ssl.PEM_cert_to_DER_cert(odd))


@pytest.mark.parametrize("data", [b"", DER[:-1], DER + b"x", b"\x30\x80"])
def test_what_is_no_certificate_is_refused(data: bytes) -> None:
    """Neither cut, nor with something behind it."""
    with pytest.raises(UnreadableError):
        read_der(data)


def test_a_key_type_that_nobody_knows_belongs_to_nothing() -> None:
    """Nor can it be asked for: that raises the one error."""
    unknown = read_der(DER.replace(bytes.fromhex("2a8648ce3d0201"), bytes.fromhex("2a8648ce3d0205")))
    assert not belong(KEY, unknown)
    with pytest.raises(UnreadableError):
        asked(unknown.public_key)


def test_a_key_with_a_passphrase_is_told_apart() -> None:
    """It is no broken one."""
    with pytest.raises(EncryptedError):
        read_key(_key(serialization.BestAvailableEncryption(b"x")))
    with pytest.raises(UnreadableError) as caught:
        read_key(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    assert not isinstance(caught.value, EncryptedError)
