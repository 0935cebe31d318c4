"""X.509 certificates and private keys that others made, read with one error for all that may be wrong with them.

`cryptography` reads a part of them only when it is asked for, and much of what it raises then is no `ValueError`.
"""

from collections.abc import Callable
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

T = TypeVar("T")
_RAISED = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    InternalError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


class UnreadableError(ValueError):
    """It is not what it should be; the text says no more than that, since what it holds may be a secret."""


class EncryptedError(UnreadableError):
    """A private key can be read only with its passphrase."""


def read_pem(pem: bytes) -> list[x509.Certificate]:
    """Return the certificates in ``pem``, at least one; their dates can be read. Raises `UnreadableError`."""
    return asked(lambda: [_dated(each) for each in x509.load_pem_x509_certificates(pem)])


def read_der(der: bytes) -> x509.Certificate:
    """Return one certificate; its dates can be read. Raises `UnreadableError`."""
    return asked(lambda: _dated(x509.load_der_x509_certificate(der)))


def read_key(pem: bytes, *, is_checked: bool = True) -> PrivateKeyTypes:
    """Return the private key in ``pem``. Unless ``is_checked``, primes of RSA are taken for what they should be: to
    find that out takes a third of a second.

    Raises `UnreadableError`; `EncryptedError` where it wants a passphrase.
    """
    try:
        return asked(
            lambda: serialization.load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=not is_checked)
        )
    except UnreadableError as error:
        # cryptography's word for a passphrase that is not there.
        raise (EncryptedError() if isinstance(error.__cause__, TypeError) else error) from error.__cause__


def belong(key: PrivateKeyTypes, certificate: x509.Certificate) -> bool:
    """Whether ``key`` is that of the certificate."""
    try:
        return asked(lambda: key.public_key() == certificate.public_key())
    except UnreadableError:
        return False


def asked(question: Callable[[], T]) -> T:
    """Return what ``question`` asks of a certificate or a key. Raises `UnreadableError` where it has no answer."""
    try:
        return question()
    except _RAISED as error:
        raise UnreadableError("it cannot be read") from error


def _dated(certificate: x509.Certificate) -> x509.Certificate:
    for date in (certificate.not_valid_before_utc, certificate.not_valid_after_utc):
        f"{date:%Y-%m-%d}"
    return certificate
