"""The body of an answer that has no end, or none that matters: read piece by piece as somebody takes it.

Who does not take it makes the engine wait: what is kept here is bounded, whatever the engine has to say.
"""

import asyncio

from roadstead.errors import EngineError
from roadstead.kit.streams import Link, Stream
from roadstead.kit.waiter import Waiter
from roadstead.peers.engine.http import FINAL, Reader, end_of_body
from roadstead.peers.engine.messages.versions import refusal
from roadstead.settings.schema import EngineSettings

WAITING_BYTES = 2**15
"""How much may wait before the engine has to."""
REFUSAL_BYTES = 4096


class BodyStream:
    """The receiver of one answer on a channel of its own. Whoever opens it closes it."""

    def __init__(self, link: Link, settings: EngineSettings) -> None:
        self._link = link
        self._settings = settings
        self._reader = Reader(settings.header_bytes, self._take_in, has_crumbs=True)
        self._stream: Stream | None = None
        self._waiting = bytearray()
        self._is_paused = False
        self._error: Exception | None = None
        """What broke it off: a `PeerError`, or a mistake of ours."""
        self._waiter = Waiter()
        self.received = 0
        """How many bytes came, with all that frames them."""

    async def open(self, data: bytes) -> dict[str, str]:
        """Send the request ``data``, wait for the head of the answer and return its headers.

        Raises `LinkError`, and `EngineError`: ``engine-refused`` with the engine's words and the status, or
        ``engine-timed-out``.
        """
        seconds = self._settings.answer_seconds
        try:
            async with asyncio.timeout(seconds):
                self._stream = await self._link.open(self)
                self._stream.write(data)
                while not (self._reader.status == FINAL or self._is_over):
                    await self._waiter.wait()
        except TimeoutError as error:
            raise EngineError("engine-timed-out", seconds=f"{seconds:g}") from error
        if self._error is not None:
            raise self._error
        if self._reader.status != FINAL:
            raise refusal(self._reader.status, bytes(self._waiting))
        return self._reader.headers

    def close(self) -> None:
        """End the stream."""
        if self._stream is not None:
            self._stream.abort()

    @property
    def is_ended(self) -> bool:
        """Whether everything was taken, and nothing more will come."""
        return not self._waiting and self._is_over

    async def wait(self) -> None:
        """Wait until there is something to take, or nothing more will come."""
        while not self._waiting and not self._is_over:
            await self._waiter.wait()

    def take(self, most: int) -> bytes:
        """Return what has come, at most so many bytes; nothing when there is nothing now.

        Raises what broke the answer off, after all that came before was taken.
        """
        taken = bytes(self._waiting[:most])
        del self._waiting[:most]
        if self._is_paused and len(self._waiting) < WAITING_BYTES and self._stream is not None:
            self._is_paused = False
            self._stream.resume_reading()
        if not taken and self._error is not None:
            raise self._error
        return taken

    def data_received(self, data: bytes) -> None:
        """Take what the engine says."""
        if not self._is_over:
            self.received += len(data)
            self._read(data)
            self._waiter.wake()

    def stream_ended(self, error: Exception | None) -> None:
        """The stream ended."""
        if not self._is_over:
            self._error = end_of_body(self._reader, self._link, error)
        self._waiter.wake()

    @property
    def _is_over(self) -> bool:
        return self._reader.complete or self._error is not None

    def _read(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
        except Exception as error:  # noqa: BLE001 - raised to whoever takes it: callbacks have nobody to tell
            self._error = error
        if self._is_over:
            self.close()
        elif len(self._waiting) >= WAITING_BYTES and not self._is_paused and self._stream is not None:
            self._is_paused = True
            self._stream.pause_reading()

    def _take_in(self, data: bytes) -> None:
        """Keep a piece of the body; of a refusal its beginning."""
        if self._reader.status == FINAL:
            self._waiting += data
        else:
            self._waiting += data[: max(0, REFUSAL_BYTES - len(self._waiting))]
