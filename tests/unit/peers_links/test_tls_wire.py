"""A wire with TLS: what waits to be sent is sent in pieces, and waiting for a socket can be given up at any moment."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any, cast

import pytest

from roadstead.peers.links.credentials import Credentials
from roadstead.peers.links.tls_wire import RECORD_BYTES, Wire, _ready

SENT_AT_ONCE = 1000
FRAME_BYTES = 100
"""More than what TLS puts around the data of a record."""


class Plain:
    """In the place of OpenSSL: says what it is given, as it is."""

    def __init__(self, outgoing: ssl.MemoryBIO) -> None:
        self.outgoing = outgoing

    def secure(self, _incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, _address: str) -> Plain:
        """See `Credentials`."""
        return Plain(outgoing)

    def write(self, data: bytes) -> None:
        """See `ssl.SSLObject`."""
        self.outgoing.write(data)


class Slow:
    """A socket that takes a little at once, and now and then nothing."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.offered: list[int] = []

    def send(self, data: bytes) -> int:
        """See `socket`."""
        self.offered.append(len(data))
        if not len(self.offered) % 7:
            raise BlockingIOError
        self.data += data[:SENT_AT_ONCE]
        return min(len(data), SENT_AT_ONCE)

    def close(self) -> None:
        """See `socket`."""


def test_what_waits_is_sent_in_order_and_in_pieces() -> None:
    """Also while more is written: never more than a record is offered at once, so nothing is copied again and again."""
    sock = Slow()
    wire = Wire(cast("socket.socket", sock), cast("Credentials", Plain(ssl.MemoryBIO())), "192.0.2.1")
    said = bytes(range(256)) * 256
    wire.write(said)
    assert wire.unsent == len(said)
    assert not wire.send()
    assert wire.unsent == len(said) - len(sock.data)
    wire.write(b"the end")
    while not wire.send():
        pass

    assert bytes(sock.data) == said + b"the end"
    assert (wire.unsent, max(sock.offered) <= RECORD_BYTES + FRAME_BYTES) == (0, True)


@pytest.mark.parametrize("side", ["reader", "writer"])
async def test_who_gives_up_in_the_moment_of_success_has_given_up(side: str) -> None:
    """Without a complaint to the loop."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        add: Any = getattr(loop, f"add_{side}")
        remove: Any = getattr(loop, f"remove_{side}")
        async with asyncio.TaskGroup() as group:
            task = group.create_task(_ready(ours, add, remove))
            await asyncio.sleep(0)
            theirs.send(b"now")
            # In the next turn, which begins with a look at the sockets.
            loop.call_soon(task.cancel)
        assert task.cancelled()
        assert not remove(ours)
