"""Certificates of a client under a CA, with others in between or without, of which each part can be made wrong."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from roadstead.artifacts.certificate_checks import Given

SIGNS, SIGNS_CERTIFICATES = "digital_signature", "key_cert_sign"
_OTHERS = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign")
_USAGES = (SIGNS, SIGNS_CERTIFICATES, *_OTHERS, "encipher_only", "decipher_only")
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def new_key() -> PrivateKey:
    """A key of today."""
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class Part:
    """One certificate as it is to be made; what is None is left out."""

    name: str
    is_authority: bool = True
    path_length: int | None = None
    is_critical: bool = True
    usage: str | None = SIGNS_CERTIFICATES
    use: x509.ObjectIdentifier | None = None
    is_identified: bool = True
    days: tuple[int, int] = (-1, 30)
    key: PrivateKey = field(default_factory=new_key)

    @property
    def subject(self) -> x509.Name:
        """What it is called."""
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])

    def signed_by(self, issuer: Part) -> str:
        """The certificate, PEM."""
        now = dt.datetime.now(dt.UTC)
        begin, end = (now + dt.timedelta(days=each) for each in self.days)
        length = self.path_length if self.is_authority else None
        builder = x509.CertificateBuilder(
            issuer.subject, self.subject, self.key.public_key(), x509.random_serial_number(), begin, end
        ).add_extension(x509.BasicConstraints(self.is_authority, length), self.is_critical)
        if self.usage is not None:
            usage = x509.KeyUsage(**{each: each == self.usage for each in _USAGES})
            builder = builder.add_extension(usage, critical=True)
        if self.use is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([self.use]), critical=False)
        if self.is_identified:
            identifier = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
            builder = builder.add_extension(identifier, critical=False)
        of_issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
        made = builder.add_extension(of_issuer, critical=False).sign(issuer.key, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM).decode("ascii")


ROOT, BETWEEN = Part("root"), Part("between")
CLIENT = Part("client", is_authority=False, usage=SIGNS, use=ExtendedKeyUsageOID.CLIENT_AUTH)


def given(root: Part = ROOT, between: Sequence[Part] = (), client: Part = CLIENT) -> Given:
    """What somebody names who has these: the client's certificate with those between, lowest first, its key, the CA."""
    line = [client, *between, root]
    chain = "".join(each.signed_by(above) for each, above in pairwise(line))
    kind = serialization.PrivateFormat.PKCS8
    key = client.key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption())
    return Given(chain, key.decode("ascii"), root.signed_by(root))
