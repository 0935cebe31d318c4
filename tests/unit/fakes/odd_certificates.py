"""Certificates of a version that X.509 has none of: OpenSSL takes them, `cryptography` does not."""

from __future__ import annotations

import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

_VERSION = bytes.fromhex("a003020102")
"""``[0] EXPLICIT INTEGER 2``, which is version 3 (RFC 5280, 4.1)."""
_ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
_SEQUENCE, _BIT_STRING = 0x30, 0x03


def of_version(pem: str, number: int, signer: ec.EllipticCurvePrivateKey) -> str:
    """Return a certificate once more, as of the version ``number`` + 1 and signed anew by ``signer``."""
    certificate = x509.load_pem_x509_certificate(pem.encode())
    said = certificate.tbs_certificate_bytes.replace(_VERSION, _VERSION[:-1] + bytes([number]), 1)
    signature = signer.sign(said, ec.ECDSA(hashes.SHA256()))
    der = _told(_SEQUENCE, said + _ECDSA_SHA256 + _told(_BIT_STRING, b"\x00" + signature))
    return ssl.DER_cert_to_PEM_cert(der)


def _told(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 0x80 else bytes([0x82]) + size.to_bytes(2, "big")
    return bytes([tag]) + length + content
