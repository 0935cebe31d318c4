"""Certificates of a guest whose engine listens with TLS: a CA of its own, the engine's certificate, and the client's.

They are as new guests are given them, or as the old pack made them (`Form.HISTORIC`): it called ``openssl`` without
naming extensions, so its CA has no key usage and what it signed has no key identifiers.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID = dt.timedelta(days=730)
BEFORE = dt.timedelta(minutes=10)
"""How long ago a certificate began to be valid: clocks of guests differ."""
_USAGES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
_NOTHING = {**dict.fromkeys(_USAGES, False), "encipher_only": False, "decipher_only": False}
_Extension = tuple[x509.ExtensionType, bool]


class Form(Enum):
    """Who made the certificates."""

    TODAY = "today"
    HISTORIC = "historic"


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, both PEM."""

    certificate: str
    key: str = field(repr=False)


@dataclass(frozen=True)
class TlsKeys:
    """What reaches an engine over TLS: the CA that its certificate is verified by, and what the client shows."""

    authority: str
    client: Pair


class Authority:
    """A guest's CA. The same ``secret`` gives the same one again, after a restart of the lab, say."""

    def __init__(self, name: str, secret: int | None = None, form: Form = Form.TODAY) -> None:
        self._form = form
        self._key = _key() if secret is None else ec.derive_private_key(secret, ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} CA")])
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        extensions: list[_Extension] = [(x509.BasicConstraints(True, 0), True), (identifier, False)]
        if form is Form.TODAY:
            usage = x509.KeyUsage(**_NOTHING, key_cert_sign=True, crl_sign=True)
            extensions.append((usage, True))
        self.certificate = self._signed(self._name, self._key, extensions, VALID)

    def server(self, addresses: Sequence[str], lasts: dt.timedelta = VALID) -> Pair:
        """The engine's certificate, for these addresses; one that ``lasts`` less than no time has expired."""
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(each)) for each in addresses])
        return self._leaf("engine", [(names, False)], ExtendedKeyUsageOID.SERVER_AUTH, lasts)

    def client(self, lasts: dt.timedelta = VALID) -> Pair:
        """The certificate that a client shows."""
        return self._leaf("client", [], ExtendedKeyUsageOID.CLIENT_AUTH, lasts)

    def keys(self) -> TlsKeys:
        """What a client of the guest is given."""
        return TlsKeys(self.certificate, self.client())

    def _leaf(self, name: str, extensions: list[_Extension], use: x509.ObjectIdentifier, lasts: dt.timedelta) -> Pair:
        key = _key()
        extensions = [*extensions, (x509.ExtendedKeyUsage([use]), False)]
        if self._form is Form.TODAY:
            extensions += [
                (x509.BasicConstraints(False, None), True),
                (x509.KeyUsage(**{**_NOTHING, "digital_signature": True}, key_cert_sign=False, crl_sign=False), True),
                (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
                (x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False),
            ]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Pair(self._signed(subject, key, extensions, lasts), pem.decode("ascii"))

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        extensions: Sequence[_Extension],
        lasts: dt.timedelta,
    ) -> str:
        end = dt.datetime.now(dt.UTC) + lasts
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(end, dt.datetime.now(dt.UTC)) - BEFORE)
            .not_valid_after(end)
        )
        for extension, is_critical in extensions:
            builder = builder.add_extension(extension, is_critical)
        made = builder.sign(self._key, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())
