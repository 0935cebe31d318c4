"""Checks of certificates that were made elsewhere, before anything is done with them: each fault gets its words.

OpenSSL would find most of these faults, too, but only in a handshake, and then says little of which file is wrong.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from roadstead.kit import certificates

LONGEST_CHAIN = 5
LEAST_RSA_BITS = 2048
E = TypeVar("E", bound=x509.ExtensionType)
_WEAK = frozenset({"md5", "sha1"})


class Given(NamedTuple):
    """Three files with PEM text."""

    client_cert: str
    client_key: str
    ca_cert: str


class Fault(NamedTuple):
    """What is wrong with which of the files."""

    code: str
    """Of the table of errors: by it faults are told apart by programs."""
    field: str
    """``client_cert``, ``client_key`` or ``ca_cert``."""
    reason: str


def faults(given: Given, now: datetime, *, is_legacy: bool) -> list[Fault]:
    """Return everything that is wrong with ``given``; ``is_legacy``: without key usage, as the old pack made them."""
    found: list[Fault] = []
    chain = _read("client_cert", given.client_cert, found)
    authorities = _read("ca_cert", given.ca_cert, found)
    if chain:
        found += _of_client(chain[0], now, is_legacy=is_legacy)
    for each in authorities:
        found += _of_authority("ca_cert", each, now, is_legacy=is_legacy)
    if chain and authorities:
        found += _of_chain(chain, authorities, now, is_legacy=is_legacy)
    return [*found, *_of_key(given.client_key, chain[0] if chain else None)]


def _read(field: str, pem: str, found: list[Fault]) -> list[x509.Certificate]:
    """Return the certificates of a file; none when it is at fault, which is added to what was ``found``."""
    if "PRIVATE KEY" in pem:
        found.append(Fault("certificate-with-key", field, "it holds a private key, which does not belong there"))
        return []
    try:
        return certificates.read_pem(pem.encode())
    except certificates.UnreadableError:
        found.append(Fault("certificate-unreadable", field, "it holds no certificate in PEM that can be read"))
        return []


def _of_key(pem: str, certificate: x509.Certificate | None) -> Iterator[Fault]:
    try:
        key = certificates.read_key(pem.encode())
    except certificates.EncryptedError:
        reason = "the key is encrypted; engines and Roadstead take none with a passphrase"
        yield Fault("client-key-encrypted", "client_key", reason)
        return
    except certificates.UnreadableError:
        yield Fault("client-key-unreadable", "client_key", "it holds no private key in PEM that can be read")
        return
    if certificate is not None and not certificates.belong(key, certificate):
        yield Fault("client-key-differs", "client_key", "it does not belong to the certificate")


def _of_client(certificate: x509.Certificate, now: datetime, *, is_legacy: bool) -> Iterator[Fault]:
    field, misused = "client_cert", "certificate-not-for-clients"
    yield from _dates(field, certificate, now)
    yield from _strength(field, certificate)
    use = _value(certificate, x509.ExtendedKeyUsage)
    if use is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in use:
        yield Fault(misused, field, "it is not for clients: its extended key usage lacks clientAuth")
    if use is None and not is_legacy:
        yield Fault("certificate-usage-missing", field, "it has no extended key usage (clientAuth)")
    usage = _value(certificate, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        yield Fault(misused, field, "its key usage lacks digitalSignature")
    constraints = _value(certificate, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        yield Fault(misused, field, "it is that of a CA")


def _of_authority(field: str, certificate: x509.Certificate, now: datetime, *, is_legacy: bool) -> Iterator[Fault]:
    """Yield what is wrong with the certificate of a CA; strict verification (RFC 5280, 4.2.1) takes fewer of them."""
    unfit = "certificate-not-of-a-ca"
    yield from _dates(field, certificate, now)
    yield from _strength(field, certificate)
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.value.ca:
        yield Fault(unfit, field, "it is not that of a CA (basic constraints)")
    usage = _value(certificate, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        yield Fault(unfit, field, "its key usage lacks keyCertSign")
    if is_legacy:
        return
    if constraints is not None and constraints.value.ca and not constraints.critical:
        yield Fault(unfit, field, "its basic constraints are not critical")
    missing = "certificate-usage-missing"
    if usage is None:
        reason = "it has no key usage (keyCertSign); if the old pack made it, say that legacy certificates are taken"
        yield Fault(missing, field, reason)
    if _value(certificate, x509.SubjectKeyIdentifier) is None:
        yield Fault(missing, field, "it has no subject key identifier")


def _of_chain(
    chain: list[x509.Certificate], authorities: list[x509.Certificate], now: datetime, *, is_legacy: bool
) -> Iterator[Fault]:
    """Yield what is wrong between the client's certificate and the CA that vouches for it."""
    above = _chain_above(chain[0], chain[1:], authorities)
    if not above:
        yield Fault("certificate-not-signed", "client_cert", "none of the CA certificates signed it")
    for below, each in enumerate(above):
        between = [] if each is above[-1] else _of_authority("client_cert", each, now, is_legacy=is_legacy)
        for fault in between:
            yield fault._replace(reason=f"of the one in between ({_name(each)}): {fault.reason}")
        constraints = _value(each, x509.BasicConstraints)
        if constraints is not None and constraints.path_length is not None and constraints.path_length < below:
            reason = f"{_name(each)} allows no chain that long (path length {constraints.path_length})"
            yield Fault("certificate-not-signed", "client_cert", reason)


def _dates(field: str, certificate: x509.Certificate, now: datetime) -> Iterator[Fault]:
    if now >= certificate.not_valid_after_utc:
        yield Fault("certificate-expired", field, f"it expired on {certificate.not_valid_after_utc:%Y-%m-%d}")
    if now < certificate.not_valid_before_utc:
        begin = f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M}"
        yield Fault("certificate-not-yet-valid", field, f"it is valid only from {begin} UTC on")


def _strength(field: str, certificate: x509.Certificate) -> Iterator[Fault]:
    """Yield what OpenSSL takes for too weak at its level 2 (SSL_CTX_set_security_level(3)): that of Debian."""
    weak = "certificate-too-weak"
    try:
        algorithm = certificates.asked(lambda: certificate.signature_hash_algorithm)
        key = certificates.asked(certificate.public_key)
    except certificates.UnreadableError:
        yield Fault(weak, field, "it is signed in a way, or for a kind of key, that is not known")
        return
    if algorithm is not None and algorithm.name in _WEAK:
        yield Fault(weak, field, f"it is signed with {algorithm.name}")
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < LEAST_RSA_BITS:
        yield Fault(weak, field, f"its key has {key.key_size} bits")


def _chain_above(
    leaf: x509.Certificate, between: list[x509.Certificate], authorities: list[x509.Certificate]
) -> list[x509.Certificate]:
    """Return who vouches for ``leaf``, one for the other, up to one of the ``authorities``; nobody when none does."""
    above: list[x509.Certificate] = []
    current = leaf
    for _ in range(LONGEST_CHAIN):
        last = next((each for each in authorities if _signed_by(current, each)), None)
        if last is not None:
            return [*above, last]
        following = next((each for each in between if each not in above and _signed_by(current, each)), None)
        if following is None:
            return []
        above.append(following)
        current = following
    return []


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificates.asked(lambda: certificate.verify_directly_issued_by(issuer))
    except (certificates.UnreadableError, InvalidSignature):
        return False
    return True


def _name(certificate: x509.Certificate) -> str:
    try:
        return certificates.asked(certificate.subject.rfc4514_string)
    except certificates.UnreadableError:
        return "without a name that can be read"


def _value(certificate: x509.Certificate, kind: type[E]) -> E | None:
    found = _extension(certificate, kind)
    return found.value if found is not None else None


def _extension(certificate: x509.Certificate, kind: type[E]) -> x509.Extension[E] | None:
    try:
        return certificates.asked(lambda: certificate.extensions).get_extension_for_class(kind)
    except (x509.ExtensionNotFound, certificates.UnreadableError):
        return None
