"""Host keys of simulated guests, thousands of them, from one secret in one file; and what was done in those that began
as nobody had prepared them.

Each key is derived from the secret and the guest's number, so a restarted lab shows the same keys without storing each.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

import asyncssh
import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

RSA_BITS = 2048
SHARED_NUMBER = 0
"""The number whose keys guests show that share a key."""


class Prepared(msgspec.Struct):
    """What was done in a guest that nobody had prepared."""

    lines: dict[str, str] = {}
    """Of `authorized_keys`, by the base64 of their keys."""
    joined: bool = False
    """Whether its user was let to the engine's socket."""


class KeyFile(msgspec.Struct):
    """What the file holds."""

    secret: str
    generations: dict[str, int] = {}
    """How often each guest (by number) got a new key."""
    prepared: dict[str, Prepared] = {}
    """By the numbers of the guests that began as nobody had prepared them."""


def load(path: Path) -> KeyFile:
    """Read the file, or make it (mode 0600)."""
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=KeyFile)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = KeyFile(secrets.token_hex(32))
    save(path, made)
    return made


def save(path: Path, content: KeyFile) -> None:
    """Write the file whole or not at all."""
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(content))
    new.replace(path)


def _seed(secret: str, number: int, generation: int, kind: str) -> bytes:
    return hmac.digest(secret.encode(), f"{kind}/{number}/{generation}".encode(), hashlib.sha256)


def _import(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> asyncssh.SSHKey:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return asyncssh.import_private_key(pem)


def ed25519_key(secret: str, number: int, generation: int) -> asyncssh.SSHKey:
    """The usual host key of a guest."""
    return _import(ed25519.Ed25519PrivateKey.from_private_bytes(_seed(secret, number, generation, "ed25519")))


def ecdsa_key(secret: str, number: int, generation: int) -> asyncssh.SSHKey:
    """A key on the curve P-256."""
    scalar = int.from_bytes(_seed(secret, number, generation, "ecdsa")) >> 1
    return _import(ec.derive_private_key(scalar, ec.SECP256R1()))


def rsa_key() -> asyncssh.SSHKey:
    """A new RSA key; it takes long enough to be made off the event loop."""
    return asyncssh.generate_private_key("ssh-rsa", key_size=RSA_BITS)


def authority_secret(secret: str, number: int) -> int:
    """The private number of the CA of a guest that is reached over TLS."""
    return int.from_bytes(_seed(secret, number, 0, "authority")) >> 1
