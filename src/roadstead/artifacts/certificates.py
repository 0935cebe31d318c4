"""Certificates for one VM whose engine listens with TLS: a CA of its own, the engine's certificate, and ours for it.

The CA signs these two and is then no more: its key never leaves `make`, so nobody can sign a third one, and a renewal
makes all of them anew. The extensions are those that OpenSSL's ``-x509_strict``, Python's strict mode and Docker want
(RFC 5280, 4.2.1); keys are RSA unless told otherwise, for the old engines of Windows Server 2016.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

MOST_DAYS = 730
"""The longest that certificates of a VM are valid."""
BEFORE = timedelta(minutes=10)
"""How long ago they began to be valid: clocks of guests differ."""
LOOPBACK = "127.0.0.1"
"""Also in the engine's certificate, so that its own machine reaches it."""
AUTHORITY, CLIENT = "CA of ", "Roadstead"
"""What our CAs are called, before the VM's name, and what we are."""
RSA_BITS, RSA_EXPONENT = 3072, 65537

KeyKind = Literal["rsa", "ec"]
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
_Extension = tuple[x509.ExtensionType, bool]
_NO_USAGE = dict.fromkeys(
    (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ),
    False,
)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its private key, both PEM."""

    certificate: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Certificates:
    """What one VM is given; all of it ends at ``until``."""

    authority: str
    """The certificate of the CA, PEM; there is no key for it any more."""
    server: Pair
    client: Pair
    until: datetime


def make(name: str, addresses: Sequence[str], days: int, kind: KeyKind = "rsa") -> Certificates:
    """Make the certificates of the VM ``name`` for an engine at ``addresses`` (literal IP addresses), valid for
    ``days`` (1 to `MOST_DAYS`). Takes a second or more of computing.
    """
    begin = datetime.now(UTC).replace(microsecond=0) - BEFORE
    signing = _Signing(_new_key(kind), begin, begin + timedelta(days=days))
    authority = signing.authority(_named(f"{AUTHORITY}{name}"))
    return Certificates(
        authority=authority,
        server=signing.leaf(_named(name), _new_key(kind), ExtendedKeyUsageOID.SERVER_AUTH, [_alternatives(addresses)]),
        client=signing.leaf(_named(CLIENT), _new_key(kind), ExtendedKeyUsageOID.CLIENT_AUTH, []),
        until=signing.end,
    )


def is_ours(client: x509.Certificate) -> bool:
    """Whether `make` made this certificate of a client, by what it calls itself and its CA."""
    names = [name.rfc4514_string() for name in (client.subject, client.issuer)]
    return names[0] == f"CN={CLIENT}" and names[1].startswith(f"CN={AUTHORITY}")


class _Signing:
    """The CA while it signs."""

    def __init__(self, key: PrivateKey, begin: datetime, end: datetime) -> None:
        self._key = key
        self._begin = begin
        self.end = end
        self._issuer = x509.Name([])

    def authority(self, name: x509.Name) -> str:
        """Return the CA's own certificate."""
        self._issuer = name
        usage = x509.KeyUsage(**{**_NO_USAGE, "key_cert_sign": True, "crl_sign": True})
        extensions: list[_Extension] = [(x509.BasicConstraints(ca=True, path_length=0), True), (usage, True)]
        return self._signed(name, self._key, extensions)

    def leaf(
        self, name: x509.Name, key: PrivateKey, use: x509.ObjectIdentifier, extensions: Sequence[_Extension]
    ) -> Pair:
        """Return a certificate for ``use`` with its key."""
        is_rsa = isinstance(key, rsa.RSAPrivateKey)
        usage = x509.KeyUsage(**{**_NO_USAGE, "digital_signature": True, "key_encipherment": is_rsa})
        made = self._signed(
            name,
            key,
            [
                (x509.BasicConstraints(ca=False, path_length=None), True),
                (usage, True),
                (x509.ExtendedKeyUsage([use]), False),
                (x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False),
                *extensions,
            ],
        )
        return Pair(made, _pem(key))

    def _signed(self, name: x509.Name, key: PrivateKey, extensions: Sequence[_Extension]) -> str:
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._begin)
            .not_valid_after(self.end)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        for extension, is_critical in extensions:
            builder = builder.add_extension(extension, is_critical)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode("ascii")


def _new_key(kind: KeyKind) -> PrivateKey:
    if kind == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(RSA_EXPONENT, RSA_BITS)


def _pem(key: PrivateKey) -> str:
    """Unencrypted, as engines take it: PKCS#1 for RSA, PKCS#8 for the others."""
    is_rsa = isinstance(key, rsa.RSAPrivateKey)
    form = serialization.PrivateFormat.TraditionalOpenSSL if is_rsa else serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode("ascii")


def _named(name: str) -> x509.Name:
    """A subject; a common name holds 64 characters (RFC 5280, ub-common-name), and names of VMs any."""
    shown = "".join(letter for letter in name if letter.isprintable())[:64].strip()
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, shown or "VM")])


def _alternatives(addresses: Sequence[str]) -> _Extension:
    unique = dict.fromkeys(ipaddress.ip_address(address) for address in (*addresses, LOOPBACK))
    return x509.SubjectAlternativeName([x509.IPAddress(address) for address in unique]), False
