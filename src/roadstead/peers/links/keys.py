"""The pool's SSH key: made and loaded once, off the event loop, because RSA-4096 is slow in both."""

import asyncio
import threading

import asyncssh
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from roadstead.errors import LinkError

KEY_BITS = 4096
PUBLIC_EXPONENT = 65537
COMMENT = "xscontainer"
"""As the old pack's keys have it; operators find the line in ``authorized_keys`` by it."""

PoolKey = asyncssh.SSHKey
"""A private key that opens guests."""

_switch = threading.Lock()


async def load_pool_key(pem: str) -> asyncssh.SSHKey:
    """Return the private key that ``pem`` (OpenSSH or PEM, without a passphrase) holds; below 1 ms.

    Raises `LinkError` ``pool-key-missing``.
    """
    try:
        return await asyncio.to_thread(load_checked, pem)
    except (asyncssh.KeyImportError, ValueError) as error:
        raise LinkError("pool-key-missing") from error


async def generate_pool_key() -> tuple[str, str]:
    """Return a new key: its private half in OpenSSH's format, and its public line for ``authorized_keys``."""
    return await asyncio.to_thread(_generate)


def load_checked(pem: str) -> asyncssh.SSHKey:
    """Return a private key that we wrote ourselves. Raises as asyncssh does.

    Validating an RSA-4096 key takes 0.3 s of CPU, and nobody but us wrote this one; the switch is process-wide.
    """
    with _switch:
        asyncssh.set_default_skip_rsa_key_validation(True)
        try:
            return asyncssh.import_private_key(pem)
        finally:
            asyncssh.set_default_skip_rsa_key_validation(False)


def _generate() -> tuple[str, str]:
    key = rsa.generate_private_key(public_exponent=PUBLIC_EXPONENT, key_size=KEY_BITS)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode("ascii"), f"{public.decode('ascii')} {COMMENT}"
