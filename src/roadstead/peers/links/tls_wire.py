"""A socket with TLS on it, of which OpenSSL gets no more at once than we read: a piece for each turn of the loop.

OpenSSL on the socket itself would read on and on: whatever is no data (new keys and tickets of TLS 1.3, a wish to
begin anew of TLS 1.2) it takes in without returning, so an engine that sends nothing else would stop the loop of all
guests. Therefore what comes is read here and passes through memory.

That memory grows with the largest piece and never shrinks, so pieces are small; OpenSSL's own buffers (16 KiB each
way) it lets go of by itself whenever they are empty.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from roadstead.errors import LinkError
from roadstead.peers.links.credentials import Credentials

RECORD_BYTES = 2**14
"""The most that one record of TLS holds: a read of that size leaves nothing of it behind in OpenSSL."""
HANDSHAKE_PIECE_BYTES = 2**9
"""How much of a handshake is read at once: a stream of events may never hear a larger piece than that, so its memory
stays as small.
"""
HANDSHAKE_BYTES = 2**17
"""What an engine may say in a handshake: a usual one takes 4 KiB, and OpenSSL takes 100 KiB of certificates."""
PLAIN = b"HTTP/"
"""What an engine without TLS begins to say when it is greeted with TLS."""


class Wire:
    """One connection to an engine at ``address``, which is closed by whoever has it."""

    __slots__ = ("_outgoing", "_unsent", "address", "incoming", "sock", "tls")

    def __init__(self, sock: socket.socket, credentials: Credentials, address: str) -> None:
        self.sock = sock
        self.address = address
        self.incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        """The first: what was heard, until OpenSSL is asked for what it says."""
        self.tls = credentials.secure(self.incoming, self._outgoing, address)
        self._unsent: list[memoryview] = []
        # A deque takes 760 bytes when it is empty, for each of thousands of connections.

    @property
    def answers(self) -> int:
        """How many bytes OpenSSL said by itself since `write` or `send`."""
        return self._outgoing.pending

    @property
    def unsent(self) -> int:
        """How many bytes wait to be sent."""
        return sum(map(len, self._unsent)) + self._outgoing.pending

    def write(self, data: bytes) -> None:
        """Let ``data`` wait to be sent. Raises `ssl.SSLError`."""
        for start in range(0, len(data), RECORD_BYTES):
            self.tls.write(data[start : start + RECORD_BYTES])
            self._take_said()

    def send(self) -> bool:
        """Send what waits as far as the socket takes it; return whether that was all. Raises `OSError`."""
        self._take_said()
        try:
            while self._unsent:
                piece = self._unsent[0]
                sent = self.sock.send(piece)
                if sent < len(piece):
                    self._unsent[0] = piece[sent:]
                else:
                    del self._unsent[0]
        except BlockingIOError:
            return False
        return True

    def _take_said(self) -> None:
        """Have what OpenSSL says wait, too. Nothing that waits is copied again, however much there is."""
        if said := self._outgoing.read():
            self._unsent.append(memoryview(said))

    async def shake_hands(self) -> None:
        """Wait for the handshake. Raises `OSError`, and `LinkError` ``plain-http-engine`` or ``tls-floods``."""
        loop = asyncio.get_running_loop()
        heard = 0
        while not self._is_greeted():
            while not self.send():
                await _ready(self.sock, loop.add_writer, loop.remove_writer)
            await _ready(self.sock, loop.add_reader, loop.remove_reader)
            with suppress(BlockingIOError):
                data = self.sock.recv(HANDSHAKE_PIECE_BYTES)
                if not data:
                    raise ConnectionAbortedError
                if not heard and data.startswith(PLAIN):
                    raise LinkError("plain-http-engine", addresses=self.address, port=self.sock.getpeername()[1])
                heard += len(data)
                if heard > HANDSHAKE_BYTES:
                    raise LinkError("tls-floods")
                self.incoming.write(data)
        while not self.send():
            await _ready(self.sock, loop.add_writer, loop.remove_writer)

    def _is_greeted(self) -> bool:
        """Go on with the handshake; return whether it is done. Raises `ssl.SSLError`."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError:
            # The alert says what we did not like.
            with suppress(OSError):
                self.send()
            raise
        return True

    def close(self) -> None:
        """Close the socket, without a farewell."""
        self._unsent.clear()
        self.sock.close()


async def _ready(sock: socket.socket, add: Callable[..., None], remove: Callable[[socket.socket], object]) -> None:
    """Wait until ``sock`` is ready for what ``add`` watches."""
    ready = asyncio.Event()
    # Not a future, which refuses its result when it was cancelled in the same turn of the loop.
    add(sock, ready.set)
    try:
        await ready.wait()
    finally:
        remove(sock)
