"""What a TLS link shows and what it trusts: our certificate with its key, and the CA of one VM.

All three are PEM text from secrets of the pool. The `ssl` module takes a certificate with its key from files only, and
a key must not stand on a disk in the clear. So both are written to an anonymous file (memfd_create(2), Linux): it is
memory, no file system has a name for it, and it ends with its descriptor. Encrypting the key for a file on disk would
be the other way, but it costs a key derivation for each connection and leaves files behind when the process is killed.

A context takes 22 KB, a third of what an idle guest may cost, and is needed for a handshake only. It is therefore made
for each one, while connections are born from a bare context that all of a kind share (`Credentials.secure`).
"""

import os
import ssl
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from roadstead.errors import LinkError
from roadstead.kit import certificates, clocks
from roadstead.model import config_keys

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: authenticated encryption and forward secrecy. TLS 1.3 has no others."""


class Whose(StrEnum):
    """Whose certificate it is, as it is told to people."""

    OURS = "Roadstead for this VM"
    ENGINE = "the VM's engine"
    AUTHORITY = "the VM's own CA"


@dataclass(frozen=True, slots=True)
class Expiry:
    """When a certificate ends, and whose it is."""

    at: datetime
    whose: Whose

    def fault(self, code: str) -> LinkError:
        """Return the error ``code`` that tells of it."""
        return LinkError(code, whose=self.whose, when=f"{self.at:%Y-%m-%d}")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What was read of one VM's secrets. ``is_legacy``: certificates without key usage and key identifiers are taken,
    as the old pack made them; everything else of them is verified all the same.
    """

    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)
    authority: str = field(repr=False)
    is_legacy: bool
    expiry: Expiry
    """What ends first of our certificate and the CA."""

    def secure(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, address: str) -> ssl.SSLObject:
        """Return a connection to ``address`` before its handshake, which verifies the far end against the CA and the
        address; `release` it afterwards.
        """
        made = _BARE[self.is_legacy].wrap_bio(incoming, outgoing, server_hostname=address)
        made.context = self.context()
        return made

    def release(self, secured: ssl.SSLObject) -> None:
        """The handshake is over: let go of what only it needed."""
        secured.context = _BARE[self.is_legacy]

    def context(self) -> ssl.SSLContext:
        """Return what one handshake needs: a millisecond's work."""
        made = _bare(is_strict=not self.is_legacy)
        made.load_verify_locations(cadata=self.authority)
        _load(made, self.certificate + b"\n" + self.key)
        return made


def credentials(certificate: bytes, key: bytes, authority: bytes, *, is_legacy: bool) -> Credentials:
    """Return what a link needs of three secrets (PEM). Blocks for some milliseconds.

    Raises `LinkError` ``secret-unusable`` (naming the VM's key), ``secrets-mixed`` where key and certificate are of
    different pairs, or ``tls-expired`` for what is ours.
    """
    expiry = first_end(certificate, authority)
    theirs = _certificates(authority, config_keys.TLS_CA_CERT)
    _check_key(key)
    if expiry.at <= clocks.now():
        raise expiry.fault("tls-expired")
    made = Credentials(certificate, key, _pem(theirs), is_legacy, expiry)
    try:
        made.context()
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise LinkError("secrets-mixed") from error
        raise _unusable(config_keys.TLS_CLIENT_KEY, "OpenSSL does not take it") from error
    return made


def first_end(certificate: bytes, authority: bytes) -> Expiry:
    """Return what ends first of our certificate and its CA (PEM). Raises `LinkError` ``secret-unusable``."""
    ends = [Expiry(_certificates(certificate, config_keys.TLS_CLIENT_CERT)[0].not_valid_after_utc, Whose.OURS)]
    theirs = _certificates(authority, config_keys.TLS_CA_CERT)
    ends += [Expiry(each.not_valid_after_utc, Whose.AUTHORITY) for each in theirs]
    return min(ends, key=lambda each: each.at)


def expiry_of(certificate: bytes, address: str) -> Expiry:
    """Return when the certificate (DER) ends that the far end showed at ``address``.

    Raises `LinkError` ``tls-untrusted``: OpenSSL takes some that cannot be read here.
    """
    try:
        return Expiry(certificates.read_der(certificate).not_valid_after_utc, Whose.ENGINE)
    except certificates.UnreadableError as error:
        raise LinkError("tls-untrusted", addresses=address, reason="it cannot be read") from error


def addresses_in(certificate: bytes) -> tuple[str, ...]:
    """Return the IP addresses that a certificate (DER) is for; none where that cannot be read."""
    try:
        shown = certificates.asked(lambda: certificates.read_der(certificate).extensions)
        names = shown.get_extension_for_class(x509.SubjectAlternativeName).value
    except (certificates.UnreadableError, x509.ExtensionNotFound):
        return ()
    found = names.get_values_for_type(x509.IPAddress)
    return tuple(str(each) for each in found if isinstance(each, (IPv4Address, IPv6Address)))


def _certificates(pem: bytes, key: str) -> list[x509.Certificate]:
    try:
        return certificates.read_pem(pem)
    except certificates.UnreadableError as error:
        raise _unusable(key, "it holds no certificate that can be read") from error


def _check_key(pem: bytes) -> None:
    try:
        certificates.read_key(pem, is_checked=False)  # a bad key of ours harms nobody else
    except certificates.EncryptedError as error:
        raise _unusable(config_keys.TLS_CLIENT_KEY, "the private key is encrypted") from error
    except certificates.UnreadableError as error:
        raise _unusable(config_keys.TLS_CLIENT_KEY, "it holds no private key that can be read") from error


def _unusable(key: str, reason: str) -> LinkError:
    return LinkError("secret-unusable", key=key, reason=reason)


def _pem(authorities: list[x509.Certificate]) -> str:
    return "".join(each.public_bytes(serialization.Encoding.PEM).decode("ascii") for each in authorities)


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    descriptor = os.memfd_create("roadstead", os.MFD_CLOEXEC)
    os.set_blocking(descriptor, False)
    try:
        os.write(descriptor, pem)  # memory takes all at once
        # An encrypted key would make OpenSSL ask at the terminal, if it were given no passphrase.
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password="")
    finally:
        os.close(descriptor)


def _bare(*, is_strict: bool) -> ssl.SSLContext:
    """Return a context that trusts nobody yet."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers(CIPHERS)
    made.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    made.hostname_checks_common_name = False
    # Said in either case: what Python sets by itself differs between its versions.
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if is_strict:
        made.verify_flags |= ssl.VERIFY_X509_STRICT
    return made


_BARE = {is_legacy: _bare(is_strict=not is_legacy) for is_legacy in (False, True)}
"""Of these connections are born. They hold neither key nor CA, so with them alone no handshake succeeds."""
