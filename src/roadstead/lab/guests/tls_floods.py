"""What an engine may say over TLS without saying any data: messages that OpenSSL's own API has no call for.

They are sealed here with the keys of a real handshake, which OpenSSL tells in the format of NSS key logs. Key schedule,
records and messages are those of RFC 8446 (sections 4.6, 5.2, 7.1 to 7.3) and, for TLS 1.2, of RFC 5246 (5, 6.2.3.3,
6.3, 7.4.1.1), RFC 5288 (3) and RFC 7905 (2).
"""

from __future__ import annotations

import hmac
import os
import ssl
import struct
import weakref
from collections.abc import Callable, Iterator

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

HANDSHAKE, DATA = 22, 23
"""Types of content."""
HELLO_REQUEST, NEW_TICKET, KEY_UPDATE = 0, 4, 24
"""Types of handshake messages."""
SERVER_SECRET, MASTER_SECRET = "SERVER_TRAFFIC_SECRET_0", "CLIENT_RANDOM"
RANDOM = slice(11, 43)
"""Where each side's random number stands in its first record: after the heads of record and message, and a version."""
TAG_BYTES = 16
REQUESTS_AT_ONCE = 500
TICKETS_IN_A_RECORD = 250
UPDATES_AT_ONCE = 20_000
UPDATES_IN_A_TURN = 500
"""How many are sealed before other guests of this process have their turn."""


class KeyLog:
    """Where OpenSSL writes down the secrets of the connections of one context."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._file = os.memfd_create("keys", os.MFD_CLOEXEC)
        weakref.finalize(self, os.close, self._file)
        context.keylog_filename = f"/proc/self/fd/{self._file}"
        context.num_tickets = 0  # so that the first record after the handshake is ours

    def secret(self, random: bytes) -> bytes:
        """The secret from which an engine's keys come, in the connection whose client said ``random``: its own with
        TLS 1.3, the master secret with TLS 1.2.
        """
        for line in os.pread(self._file, os.fstat(self._file).st_size, 0).decode("ascii").splitlines():
            label, _, rest = line.partition(" ")
            if label in {SERVER_SECRET, MASTER_SECRET} and rest.startswith(random.hex()):
                return bytes.fromhex(rest.split()[1])
        raise KeyError(random)


class Sealer:
    """An engine's side of a connection of TLS 1.3 that has sent nothing after its handshake."""

    def __init__(self, secret: bytes, cipher: str) -> None:
        self._hash = SHA384() if cipher.endswith("SHA384") else SHA256()
        self._seals = ChaCha20Poly1305 if "CHACHA20" in cipher else AESGCM
        self._key_bytes = 16 if "AES_128" in cipher else 32
        self._take(secret)

    def seal(self, kind: int, content: bytes) -> bytes:
        """A record that holds this."""
        plain = content + bytes([kind])
        head = struct.pack(">BHH", DATA, 0x0303, len(plain) + TAG_BYTES)
        nonce = (int.from_bytes(self._iv, "big") ^ self._count).to_bytes(12, "big")
        self._count += 1
        return head + self._cipher.encrypt(nonce, plain, head)

    def update(self, *, asks: bool) -> bytes:
        """Go on with new keys; the record that says so, and that ``asks`` the other side to do the same."""
        record = self.seal(HANDSHAKE, _message(KEY_UPDATE, bytes([asks])))
        self._take(self._expand(b"traffic upd", self._hash.digest_size))
        return record

    def _take(self, secret: bytes) -> None:
        self._secret = secret
        self._cipher = self._seals(self._expand(b"key", self._key_bytes))
        self._iv = self._expand(b"iv", 12)
        self._count = 0

    def _expand(self, label: bytes, length: int) -> bytes:
        name = b"tls13 " + label
        info = struct.pack(">HB", length, len(name)) + name + b"\x00"
        return HKDFExpand(self._hash, length, info).derive(self._secret)


class OldSealer:
    """An engine's side of a connection of TLS 1.2 that has sent nothing after its handshake."""

    def __init__(self, secret: bytes, cipher: str, randoms: bytes) -> None:
        """``randoms`` are what server and client said, in this order."""
        is_chacha = "CHACHA20" in cipher
        key_bytes, iv_bytes = 16 if "AES128" in cipher else 32, 12 if is_chacha else 4
        digest = "sha384" if cipher.endswith("SHA384") else "sha256"
        keys = _expanded(secret, b"key expansion" + randoms, 2 * (key_bytes + iv_bytes), digest)
        key, self._iv = keys[key_bytes : 2 * key_bytes], keys[-iv_bytes:]
        self._cipher = ChaCha20Poly1305(key) if is_chacha else AESGCM(key)
        self._count = 1
        """How many records it sent under these keys: the end of its handshake."""

    def seal(self, kind: int, content: bytes) -> bytes:
        """A record that holds this."""
        count, self._count = struct.pack(">Q", self._count), self._count + 1
        bound = count + struct.pack(">BHH", kind, 0x0303, len(content))
        if len(self._iv) == 4:  # noqa: PLR2004 - AES-GCM's: the rest of the nonce goes along
            sealed = count + self._cipher.encrypt(self._iv + count, content, bound)
        else:
            nonce = int.from_bytes(self._iv, "big") ^ int.from_bytes(count, "big")
            sealed = self._cipher.encrypt(nonce.to_bytes(12, "big"), content, bound)
        return struct.pack(">BHH", kind, 0x0303, len(sealed)) + sealed


def _expanded(secret: bytes, seed: bytes, length: int, digest: str) -> bytes:
    """The pseudorandom function of TLS 1.2."""
    found, link = b"", seed
    while len(found) < length:
        link = hmac.digest(secret, link, digest)
        found += hmac.digest(secret, link + seed, digest)
    return found[:length]


def _message(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def _tickets(sealer: Sealer) -> Iterator[bytes]:
    # Lifetime, a number that hides its age, a nonce of one byte, a ticket of eight, no extensions.
    ticket = _message(NEW_TICKET, struct.pack(">II", 7200, 0) + b"\x01\x00" + b"\x00\x08" + b"roadster" + b"\x00\x00")
    while True:
        yield sealer.seal(HANDSHAKE, TICKETS_IN_A_RECORD * ticket)


def _updates(sealer: Sealer, *, asks: bool) -> Iterator[bytes]:
    # A key costs us more than who hears of it, so many are made before they are said.
    while True:
        records: list[bytes] = []
        while len(records) < UPDATES_AT_ONCE:
            records += [sealer.update(asks=asks) for _ in range(UPDATES_IN_A_TURN)]
            yield b""
        yield b"".join(records)


def _empty(sealer: Sealer) -> Iterator[bytes]:
    while True:
        yield sealer.seal(DATA, b"")


def hello_requests(sealer: OldSealer) -> Iterator[bytes]:
    """Wishes to begin anew, without end."""
    while True:
        yield b"".join(sealer.seal(HANDSHAKE, _message(HELLO_REQUEST, b"")) for _ in range(REQUESTS_AT_ONCE))


OLD_FLOOD = "tls-hello-requests"
"""The misbehaviour that does so."""
FLOODS: dict[str, Callable[[Sealer], Iterator[bytes]]] = {
    "tls-tickets": _tickets,
    "tls-key-updates": lambda sealer: _updates(sealer, asks=False),
    "tls-key-requests": lambda sealer: _updates(sealer, asks=True),
    "tls-empty-records": _empty,
}
"""What is said with TLS 1.3, by the misbehaviour that does so: without end."""
