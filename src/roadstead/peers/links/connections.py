"""One SSH connection, before it is known what it is for: what it takes part in, and its handshake.

Nothing of the operator's own takes part: no configuration files, no agent, no default keys, no passwords. TCP_QUICKACK
is set on every read, because sshd leaves Nagle's algorithm on for a connection that only forwards, and our kernel's
delayed acknowledgement would then add 40 ms to every list.
"""

import asyncio
import socket
import time
from collections.abc import Sequence
from typing import Any

import asyncssh
from asyncssh.constants import MSG_IGNORE
from asyncssh.packet import SSHPacketLogger

from roadstead.errors import LinkError
from roadstead.peers.links import faults
from roadstead.peers.links.hostkeys import HostKeyJudge, OfferedKey
from roadstead.peers.links.messages import Overheard
from roadstead.peers.links.pacing import Pace

EXCHANGES = (
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group14-sha256",
)
CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes128-ctr",
    "aes256-ctr",
)
"""The fastest first: OpenSSH's own order begins with chacha20, which costs us twice as much."""
MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512")
SIGNATURES = ("rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519", "ecdsa-sha2-nistp256")
"""What our own key may sign with; never SHA-1."""
_RSA_SIGNATURES = frozenset({b"rsa-sha2-256", b"rsa-sha2-512"})
CLIENT_VERSION = "Roadstead"
REKEY_SECONDS = 10.0
"""How soon after a key exchange the next one may come: each costs us milliseconds of the loop, and a guest may ask for
any number of them. OpenSSH asks after a gigabyte, we after an hour.
"""
HANDSHAKE_BYTES = 2**18
"""What a guest may say before it lets us in: a handshake with three host keys takes 5 KiB."""
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)
FIXED: dict[str, Any] = {
    "config": None,
    "tunnel": None,
    "proxy_command": None,
    "agent_path": None,
    "agent_identities": None,
    "agent_forwarding": False,
    "pkcs11_provider": None,
    "client_keys": None,  # the judge offers ours one by one, so that we know which one was taken
    "client_certs": [],
    "client_host_keysign": False,
    "gss_host": None,
    "gss_auth": False,
    "gss_kex": False,
    "password": None,
    "preferred_auth": ["publickey"],
    "host_based_auth": False,
    "kbdint_auth": False,
    "password_auth": False,
    "x11_forwarding": False,
    "x509_trusted_certs": None,
    "x509_trusted_cert_paths": [],
    "known_hosts": ([], [], []),
    "client_version": CLIENT_VERSION,
    "kex_algs": list(EXCHANGES),
    "encryption_algs": list(CIPHERS),
    "mac_algs": list(MACS),
    "signature_algs": list(SIGNATURES),
    "compression_algs": None,
    "env": None,
    "send_env": None,
    "login_timeout": 0,
}
"""What is the same for every server that is called. The limit on the sign-in is ours, so that it can name the step."""


class FloodError(asyncssh.ProtocolError):
    """A server says so much, for so long, that its connection is ended (`pacing`)."""

    def __init__(self) -> None:
        super().__init__("it says too much")


class GuestConnection(asyncssh.SSHClientConnection):
    """asyncssh's connection, which hurries the guest on and notes when it was heard and what it said in the clear."""

    heard = 0.0
    """When, by the clock that nobody sets."""
    overheard: Overheard | None = None
    _exchanged = float("-inf")
    """When keys were exchanged last, in the loop's time."""
    _pace: Pace | None = None
    _socket: socket.socket | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._socket = transport.get_extra_info("socket")
        self._pace = Pace(super().data_received, self._end_babble)
        super().connection_made(transport)

    def was_offered(self, keys: Sequence[OfferedKey]) -> bool:
        """Whether the server was asked to take one of ``keys``: without its word that it takes SHA-2 signatures
        (``server-sig-algs``, RFC 8308) asyncssh offers no RSA key.
        """
        return not _RSA_SIGNATURES.isdisjoint(self._server_sig_algs) or any(
            key.get_algorithm() != "ssh-rsa" for key in keys
        )

    def send_newkeys(self, k: bytes, h: bytes) -> None:
        """Called by asyncssh when a key exchange is done."""
        now = self._loop.time()
        if now - self._exchanged < REKEY_SECONDS:
            raise asyncssh.ProtocolError("it exchanges keys too often")
        self._exchanged = now
        super().send_newkeys(k, h)

    def send_packet(self, pkttype: int, *args: bytes, handler: SSHPacketLogger | None = None) -> None:
        """Send a packet, without the ignored one that asyncssh puts before each.

        That hides what follows from those who can predict a CBC cipher's next block. None of `CIPHERS` is of that
        kind, and it costs a system call on each side and wakes the guest twice.
        """
        if pkttype != MSG_IGNORE:
            super().send_packet(pkttype, *args, handler=handler)

    def data_received(self, data: bytes, datatype: int | None = None) -> None:
        """Called by asyncio."""
        self.heard = time.monotonic()
        if _QUICKACK is not None and self._socket is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        if self.overheard is not None:
            self.overheard.feed(data)
            if self.overheard.received > HANDSHAKE_BYTES:
                self.connection_lost(asyncssh.ProtocolError("it says too much before the sign-in"))
                return
        if self._pace is not None and self._transport is not None:
            self._pace.take(data, self._transport)

    def _end_babble(self) -> None:
        self.connection_lost(FloodError())


def prepared(options: asyncssh.SSHClientConnectionOptions) -> tuple[GuestConnection, asyncio.Future[None]]:
    """Return a connection that is not connected yet, and what will tell that it is signed in, for `shake_hands`."""
    loop = asyncio.get_running_loop()
    options.waiter = signed_in = loop.create_future()
    connection = GuestConnection(loop, options, wait="auth")
    connection.overheard = Overheard()
    return connection, signed_in


async def shake_hands(
    connection: GuestConnection, signed_in: asyncio.Future[None], sock: socket.socket, seconds: float
) -> None:
    """Take a `prepared` connection through handshake and sign-in; where that fails (with what asyncssh raises, or
    `TimeoutError`), it is ended.
    """
    try:
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().create_connection(lambda: connection, sock=sock)
            await signed_in
    except BaseException:
        connection.abort()
        raise


def handshake_fault(
    error: Exception, connection: GuestConnection, judge: HostKeyJudge, user: str, address: str
) -> LinkError:
    """Return the error for what `shake_hands` raised; who has no keys to offer signs in by password."""
    if judge.fault is not None:
        return judge.fault
    overheard = connection.overheard or Overheard()
    if isinstance(error, TimeoutError):
        return faults.timed_out(faults.SIGNING_IN if overheard.banner else faults.GREETING, address)
    offered = not judge.keys or connection.was_offered(judge.keys)
    return faults.login_fault(error, overheard, judge.types(), user, offered=offered)
