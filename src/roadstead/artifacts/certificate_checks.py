"""Checks of certificates that were made elsewhere, before anything is done with them: each fault gets its words.

OpenSSL would find most of these faults, too, but only in a handshake, and then says little of which file is wrong.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID

from roadstead.kit import certificates

LONGEST_CHAIN = 5
E = TypeVar("E", bound=x509.ExtensionType)
_WEAK = frozenset({"md5", "sha1"})


class Given(NamedTuple):
    """Three files with PEM text."""

    client_cert: str
    client_key: str
    ca_cert: str


class Fault(NamedTuple):
    """What is wrong with which of the files."""

    field: str
    """``client_cert``, ``client_key`` or ``ca_cert``."""
    reason: str


def faults(given: Given, now: datetime, *, is_legacy: bool) -> list[Fault]:
    """Return everything that is wrong with ``given``; ``is_legacy``: without key usage, as the old pack made them."""
    found = []
    try:
        chain = _certificates(given.client_cert)
    except ValueError as error:
        found.append(Fault("client_cert", str(error)))
        chain = []
    try:
        authorities = _certificates(given.ca_cert)
    except ValueError as error:
        found.append(Fault("ca_cert", str(error)))
        authorities = []
    if chain:
        found += [Fault("client_cert", reason) for reason in _of_client(chain[0], now, is_legacy=is_legacy)]
    for each in authorities:
        found += [Fault("ca_cert", reason) for reason in _of_authority(each, now, is_legacy=is_legacy)]
    if chain and authorities and not _is_signed(chain, authorities):
        found.append(Fault("client_cert", "none of the CA certificates signed it"))
    reason = _of_key(given.client_key, chain[0] if chain else None)
    return [*found, Fault("client_key", reason)] if reason else found


def _certificates(pem: str) -> list[x509.Certificate]:
    if "PRIVATE KEY" in pem:
        raise ValueError("it holds a private key, which does not belong there")
    try:
        return certificates.read_pem(pem.encode())
    except certificates.UnreadableError:
        raise ValueError("it holds no certificate in PEM that can be read") from None


def _of_key(pem: str, certificate: x509.Certificate | None) -> str:
    try:
        key = certificates.read_key(pem.encode())
    except certificates.EncryptedError:
        return "the key is encrypted; engines and Roadstead take none with a passphrase"
    except certificates.UnreadableError:
        return "it holds no private key in PEM that can be read"
    if certificate is not None and not certificates.belong(key, certificate):
        return "it does not belong to the certificate"
    return ""


def _of_client(certificate: x509.Certificate, now: datetime, *, is_legacy: bool) -> Iterator[str]:
    yield from _dates(certificate, now)
    yield from _signature(certificate)
    use = _extension(certificate, x509.ExtendedKeyUsage)
    if use is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in use:
        yield "it is not for clients: its extended key usage lacks clientAuth"
    if use is None and not is_legacy:
        yield "it has no extended key usage (clientAuth)"
    usage = _extension(certificate, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        yield "its key usage lacks digitalSignature"
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        yield "it is that of a CA"


def _of_authority(certificate: x509.Certificate, now: datetime, *, is_legacy: bool) -> Iterator[str]:
    yield from _dates(certificate, now)
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        yield "it is not that of a CA (basic constraints)"
    usage = _extension(certificate, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        yield "its key usage lacks keyCertSign"
    if is_legacy:
        return
    if usage is None:
        yield "it has no key usage (keyCertSign); if the old pack made it, say that legacy certificates are taken"
    if _extension(certificate, x509.SubjectKeyIdentifier) is None:
        yield "it has no subject key identifier"


def _dates(certificate: x509.Certificate, now: datetime) -> Iterator[str]:
    if now >= certificate.not_valid_after_utc:
        yield f"it expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if now < certificate.not_valid_before_utc:
        yield f"it is valid only from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on"


def _signature(certificate: x509.Certificate) -> Iterator[str]:
    try:
        algorithm = certificates.asked(lambda: certificate.signature_hash_algorithm)
    except certificates.UnreadableError:
        yield "it is signed in a way that is not known"
        return
    if algorithm is not None and algorithm.name in _WEAK:
        yield f"it is signed with {algorithm.name}"


def _is_signed(chain: list[x509.Certificate], authorities: list[x509.Certificate]) -> bool:
    """Whether a chain leads from the first certificate to one of the authorities."""
    current, between = chain[0], chain[1:]
    for _ in range(LONGEST_CHAIN):
        if any(_signed_by(current, authority) for authority in authorities):
            return True
        following = next((each for each in between if _signed_by(current, each)), None)
        if following is None:
            return False
        current = following
    return False


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificates.asked(lambda: certificate.verify_directly_issued_by(issuer))
    except (certificates.UnreadableError, InvalidSignature):
        return False
    return True


def _extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    try:
        return certificates.asked(lambda: certificate.extensions).get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, certificates.UnreadableError):
        return None
