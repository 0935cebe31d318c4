"""A link in memory whose engine says what a test wrote down, in pieces that the test chose."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from roadstead.errors import LinkError
from roadstead.kit import clocks
from roadstead.kit.streams import Receiver


class End:
    """In a script: the engine closes the stream."""


class Lost:
    """In a script: the link is lost."""


Piece = bytes | End | Lost
Script = Callable[[bytes], Sequence[Piece]]
"""What the engine says to a request."""


@dataclass
class ScriptedStream:
    """One stream; each request is answered by the script, piece by piece, one turn of the loop each."""

    link: ScriptedLink
    receiver: Receiver
    number: int
    paused: bool = False
    ended: bool = False
    delivered: int = 0
    """How many bytes the receiver was given."""
    requests: list[bytes] = field(default_factory=list)

    def write(self, data: bytes) -> None:
        if self.ended:
            return
        self.requests.append(data)
        self.say(*self.link.script(self.number, data))

    def say(self, *pieces: Piece) -> None:
        """Say something, asked or not."""
        self.link.queue(self, pieces)

    def deliver(self, piece: Piece) -> None:
        """Give one piece to the receiver."""
        if self.ended:
            return
        if isinstance(piece, bytes):
            self.delivered += len(piece)
            self.receiver.data_received(piece)
        elif isinstance(piece, Lost):
            self.link.close()
        else:
            self.end(None)

    def end(self, error: Exception | None) -> None:
        """End the stream once."""
        if not self.ended:
            self.ended = True
            self.receiver.stream_ended(error)

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False
        self.link.wake()

    def abort(self) -> None:
        asyncio.get_running_loop().call_soon(self.end, None)


class ScriptedLink:
    """A link whose streams follow ``script(number of the stream, request)``."""

    address = "scripted"
    relay = "scripted"
    heard = clocks.now()
    asks_after = 0.0
    idle_seconds = 0.0

    def __init__(self, script: Callable[[int, bytes], Sequence[Piece]]) -> None:
        self.script = script
        self.streams: list[ScriptedStream] = []
        self.is_open = True
        self.opens_after = 0.0
        self._waiting: list[tuple[ScriptedStream, Piece]] = []
        self.is_busy = False

    async def open(self, receiver: Receiver) -> ScriptedStream:
        if not self.is_open:
            raise LinkError("link-lost")
        await asyncio.sleep(self.opens_after)
        self.streams.append(ScriptedStream(self, receiver, len(self.streams)))
        return self.streams[-1]

    def close(self) -> None:
        self.is_open = False
        for stream in self.streams:
            stream.end(LinkError("link-lost"))

    def queue(self, stream: ScriptedStream, pieces: Sequence[Piece]) -> None:
        """Deliver ``pieces`` in order, as long as the receiver takes them."""
        self._waiting.extend((stream, piece) for piece in pieces)
        self.wake()

    def wake(self) -> None:
        """Go on delivering, if there is something for somebody who takes it."""
        if not self.is_busy:
            self.is_busy = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        ready = next((index for index, (stream, _) in enumerate(self._waiting) if not stream.paused), None)
        self.is_busy = ready is not None
        if ready is not None:
            stream, piece = self._waiting.pop(ready)
            stream.deliver(piece)
            asyncio.get_running_loop().call_soon(self._next)


def same(*pieces: Piece) -> ScriptedLink:
    """A link whose engine answers every request with these pieces."""
    return ScriptedLink(lambda _number, _request: pieces)


def answer(body: bytes, status: int = 200, *headers: str) -> bytes:
    """A whole answer with a length."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(*chunks: bytes) -> bytes:
    """A whole answer in chunks."""
    parts = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + parts + b"0\r\n\r\n"


def pieces(data: bytes, size: int) -> list[bytes]:
    """``data`` in pieces of ``size`` bytes."""
    return [data[start : start + size] for start in range(0, len(data), size)]
