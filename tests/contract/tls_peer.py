"""An engine's end of a TLS connection in the hands of a test: OpenSSL on a blocking socket, in a thread of its own.

What it says is said in one go, and when, so that a test decides what our end finds in its socket at which moment.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from roadstead.kit import tasks
from roadstead.lab.guests import tlsd
from roadstead.lab.guests.certificates import Authority
from roadstead.lab.guests.tls_floods import RANDOM, KeyLog, Sealer
from roadstead.peers.links.tls import TlsLink, TlsTarget, open_tls
from tests.contract.links_contract import FAST, gates, shown

HERE = "127.0.0.1"
OURS = Authority("ours")
SECONDS = 10.0
"""Limit on each wait of a peer: what never comes fails a test."""
ALERT = 21
"""The type of content."""


class Peer:
    """One connection that was made to us, its handshake done."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, keys: KeyLog) -> None:
        random = sock.recv(RANDOM.stop, socket.MSG_PEEK | socket.MSG_WAITALL)[RANDOM]
        self.raw = socket.socket(fileno=os.dup(sock.fileno()))
        """The same socket, below TLS."""
        self.raw.settimeout(SECONDS)
        self.tls = context.wrap_socket(sock, server_side=True)
        cipher = self.tls.cipher()
        assert cipher is not None
        self._sealer = Sealer(keys.secret(random), cipher[0])

    def say(self, data: bytes) -> None:
        """Say some data, in a record of its own where it is not larger than one."""
        self.tls.sendall(data)

    def answers(self, data: bytes) -> None:
        """Wait for the end of a request's head, and say ``data``."""
        heard = b""
        while not heard.endswith(b"\r\n\r\n"):
            heard += self.tls.recv(1)
        self.say(data)

    def alert(self, level: int, number: int) -> None:
        """Say an alert (RFC 8446, 6), instead of the first data."""
        self.raw.sendall(self._sealer.seal(ALERT, bytes([level, number])))

    def ask_for_new_keys(self) -> None:
        """Go on with other keys and ask for the same, instead of the first data."""
        self.raw.sendall(self._sealer.update(asks=True))

    def hears(self, size: int) -> bytes:
        """Wait for so many bytes of data, or for the end."""
        data = bytearray()
        while len(data) < size and (piece := self.tls.recv(size - len(data))):
            data += piece
        return bytes(data)

    def hears_something(self) -> bool:
        """Wait for anything at all, data or not; whether it came in time."""
        return bool(select.select([self.raw], [], [], SECONDS)[0]) and bool(self.raw.recv(1))

    def hears_the_end(self) -> bool:
        """Wait until the far end has closed, with or without a farewell."""
        try:
            while self.raw.recv(2**16):
                pass
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
        return True

    def says_goodbye(self) -> None:
        """End the data as TLS does (``close_notify``), and the connection."""
        self.tls.settimeout(0)
        with suppress(ssl.SSLWantReadError):  # the answer to it
            self.tls.unwrap()
        self.close()

    def cuts_a_record(self, data: bytes) -> None:
        """Say the beginning of a record, and close."""
        record = self._sealer.seal(23, data)
        self.raw.sendall(record[: len(record) // 2])
        self.close()

    def resets(self) -> None:
        """End the connection with a reset."""
        self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """End the connection without a word."""
        self.tls.close()
        self.raw.close()


class Listener:
    """Where such connections are made. Blocking: its calls belong in threads."""

    def __init__(self) -> None:
        self._context = tlsd.context(OURS.certificate, OURS.server([HERE]))
        self._keys = KeyLog(self._context)
        self._sock = socket.create_server((HERE, 0))
        self._sock.settimeout(SECONDS)
        self._peers: list[Peer] = []
        self.target = TlsTarget(self._sock.getsockname()[1], (HERE,))

    def accept(self) -> Peer:
        """Wait for the next connection, and for its handshake."""
        sock, _ = self._sock.accept()
        sock.settimeout(SECONDS)
        self._peers.append(Peer(sock, self._context, self._keys))
        return self._peers[-1]

    def close(self) -> None:
        """End all."""
        for peer in self._peers:
            peer.close()
        self._sock.close()


class Far:
    """A link, and the far ends of its connections."""

    def __init__(self, link: TlsLink, listener: Listener, first: Peer) -> None:
        self.link = link
        self._listener = listener
        self.peer = first
        """Of the first stream that is opened."""

    def accept(self) -> Peer:
        """The far end of one more; blocks."""
        return self._listener.accept()


@asynccontextmanager
async def far() -> AsyncIterator[Far]:
    """A link to an engine that is in the hands of the test."""
    listener = await asyncio.to_thread(Listener)
    try:
        async with asyncio.TaskGroup() as group:
            accepting = tasks.spawn(group, asyncio.to_thread(listener.accept), "far end")
            link = await open_tls(listener.target, await shown(OURS), settings=FAST, gates=gates())
        try:
            yield Far(link, listener, accepting.result())
        finally:
            link.close()
    finally:
        await asyncio.to_thread(listener.close)
