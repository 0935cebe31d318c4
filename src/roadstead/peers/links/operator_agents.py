"""The operator's SSH agent, as far as a sign-in needs it: public keys, and somebody who has data signed with one.

Nothing of the agent is here: `OperatorAgent` offers its keys to the one server that is called, in the handshake, and
asks for a signature of each at most once, whatever that server says.
"""

import base64
from collections.abc import Awaitable, Callable, Sequence

import asyncssh

from roadstead.peers.links.messages import key_type

KEYS = 5
"""How many keys are offered: OpenSSH ends a connection at the sixth failure (``MaxAuthTries``), and a guest may count
each of them as a guess.
"""
SIGN_SECONDS = 30.0
"""How long a signature may take: a person may have to allow it, or to touch a token."""
TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
"""The types of keys that are offered; RSA signs with SHA-2 or not at all."""

Sign = Callable[[bytes, bytes, int], Awaitable[bytes]]
"""Has data signed: the key's blob, the data, the agent's flags. Raises `ValueError` with why it is not."""


class OperatorAgent(asyncssh.SSHAgentClient):
    """asyncssh's client of an agent, which opens none: signatures come from ``sign``."""

    def __init__(self, keys: Sequence[str], sign: Sign) -> None:
        super().__init__("")
        self.keys = tuple(key for key in keys if key_type(key) in TYPES)[:KEYS]
        """Base64 of their blobs."""
        self.refusal = ""
        """Why a signature was not given, the last time."""
        self._sign = sign
        self._unsigned = set[bytes]()

    def pairs(self) -> tuple[asyncssh.SSHKeyPair, ...]:
        """Return the keys for one sign-in."""
        self.refusal = ""
        blobs = {key: base64.b64decode(key) for key in self.keys}
        self._unsigned = set(blobs.values())
        return tuple(
            asyncssh.SSHAgentKeyPair(self, str(key_type(key)).encode(), one, b"") for key, one in blobs.items()
        )

    async def sign(self, key_blob: bytes, data: bytes, flags: int = 0) -> bytes:
        """Called by asyncssh, which offers the next key after a `ValueError`."""
        if key_blob not in self._unsigned:
            raise ValueError("a signature of this key was asked for already")
        self._unsigned.discard(key_blob)
        try:
            return await self._sign(key_blob, data, flags)
        except ValueError as error:
            self.refusal = str(error)
            raise
