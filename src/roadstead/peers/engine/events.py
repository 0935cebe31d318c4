"""The stream of events: read as fast as it comes, without ever holding more than a bounded number of them."""

import asyncio

from roadstead.errors import EngineError
from roadstead.kit.streams import Link, Stream
from roadstead.kit.waiter import Waiter
from roadstead.peers.engine.http import FINAL, Reader, end_of
from roadstead.peers.engine.messages.events import EngineEvent, Flood, Splitter, read_event
from roadstead.peers.engine.messages.guarded import invalid
from roadstead.peers.engine.messages.versions import refusal
from roadstead.settings.schema import EngineSettings

WINDOW_SECONDS = 1.0
"""Over which events and their bytes are counted."""
WAITING_EVENTS = 4096
"""How many events may wait for a reader that is busy."""
REFUSAL_BYTES = 4096


class EventStream:
    """The receiver of ``GET /events``, and an iterator over what changed.

    What is more in a second than the settings allow, in events or in bytes, is dropped, and the engine is made to wait;
    the iterator then gives a `Flood`, and another for each time it is asked after more were dropped, so that whoever
    lists again on each misses nothing. Lines without an event no engine sends: as many of them in a second as there may
    be events end the stream. It ends by raising `EngineError` or `LinkError`: an engine never ends it by itself.
    """

    __slots__ = (
        "_blank",
        "_body",
        "_bytes",
        "_count",
        "_dropped",
        "_error",
        "_interrupted",
        "_link",
        "_pause",
        "_reader",
        "_refused",
        "_settings",
        "_splitter",
        "_stream",
        "_waiter",
        "_waiting",
        "_window",
    )

    def __init__(self, link: Link, settings: EngineSettings) -> None:
        self._link = link
        self._settings = settings
        self._reader = Reader(settings.header_bytes, self._take)
        self._splitter = Splitter(settings.event_bytes)
        self._stream: Stream | None = None
        # Taken all at once, as a rule. A deque takes 760 bytes when it is empty.
        self._waiting: list[EngineEvent] = []
        self._waiter = Waiter()
        self._body = bytearray()
        self._refused = b""
        self._error: Exception | None = None
        """What ended it: a `PeerError`, or a mistake of ours."""
        self._interrupted = False
        self._dropped = 0
        self._bytes = 0
        self._count = 0
        self._blank = 0
        """How many lines without an event there were before this second."""
        self._window = 0.0
        self._pause: asyncio.TimerHandle | None = None

    async def open(self, data: bytes) -> None:
        """Send the request ``data`` and wait until the head of the answer is there.

        Raises `LinkError`, and `EngineError`: what the engine refuses, or ``engine-timed-out``.
        """
        seconds = self._settings.answer_seconds
        try:
            async with asyncio.timeout(seconds):
                self._stream = await self._link.open(self)
                self._stream.write(data)
                while not self._answered and self._error is None:
                    await self._waiter.wait()
        except TimeoutError as error:
            raise EngineError("engine-timed-out", seconds=f"{seconds:g}") from error
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End the stream."""
        if self._pause is not None:
            self._pause.cancel()
        if self._stream is not None:
            self._stream.abort()

    def __aiter__(self) -> "EventStream":
        return self

    async def __anext__(self) -> EngineEvent | Flood:
        while True:
            if self._dropped:
                flood, self._dropped = Flood(self._dropped), 0
                return flood
            if self._waiting:
                return self._waiting.pop(0)
            if self._error is not None:
                raise self._error
            await self._waiter.wait()

    async def take(self, seconds: float) -> list[EngineEvent] | Flood:
        """Wait up to ``seconds`` and return all events that have come by then: none, some, or a `Flood`."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                while not (self._interrupted or self._dropped or self._waiting or self._error is not None):
                    await self._waiter.wait()
        except TimeoutError:
            return []
        self._interrupted = False
        if self._error is not None and not (self._dropped or self._waiting):
            raise self._error
        events, self._waiting = self._waiting, []
        if self._dropped:
            flood, self._dropped = Flood(self._dropped), 0
            return flood
        return events

    def interrupt(self) -> None:
        """End a `take` that waits: there is something else to be done."""
        self._interrupted = True
        self._waiter.wake()

    async def rest(self, seconds: float) -> None:
        """Let ``seconds`` pass, whatever happens; raises, as soon as it ends, what ended the stream."""
        try:
            async with asyncio.timeout(seconds):
                while self._error is None:
                    await self._waiter.wait()
        except TimeoutError:
            return
        raise self._error

    def data_received(self, data: bytes) -> None:
        """Take what the engine says."""
        if self._error is not None:
            return
        try:
            self._reader.feed(data)
            self._split()
        except Exception as error:  # noqa: BLE001 - raised to whoever reads the events: callbacks have nobody to tell
            self._fail(error)
            return
        if self._answered:
            # Nobody asks for them any more, and they would stay as long as the stream: a kilobyte for each guest.
            self._reader.headers.clear()
        if self._reader.complete:
            self._fail(self._end(None))
        elif self._waiter.is_waiting and (self._waiting or self._dropped or self._answered):
            self._waiter.wake()

    def stream_ended(self, error: Exception | None) -> None:
        """Note that there will be no more events."""
        if self._error is None:
            self._fail(self._end(error))

    @property
    def _answered(self) -> bool:
        return self._reader.status == FINAL

    def _end(self, error: Exception | None) -> Exception:
        if self._reader.status in {0, FINAL}:
            return end_of(self._link, error)
        return refusal(self._reader.status, self._refused)

    def _take(self, data: bytes) -> None:
        """Take a piece of the body; httptools calls it, for pieces that the guest chooses as small as it likes."""
        if self._answered:
            self._body += data
        else:
            self._refused = (self._refused + data)[:REFUSAL_BYTES]

    def _split(self) -> None:
        """Read what has come of the body."""
        body, self._body = bytes(self._body), bytearray()
        if not body:
            return
        self._count_bytes(len(body))
        for value in self._splitter.feed(body):
            self._value(value)
        if self._splitter.blank - self._blank > self._settings.events_per_second:
            raise invalid("it sends lines and no events")

    def _value(self, value: bytes) -> None:
        """Count one more event, whatever it is about, and keep it unless there are too many."""
        self._count += 1
        if self._is_too_much():
            self._dropped += 1
            return
        event = read_event(value, self._settings.json_depth)
        if event is None:
            return
        if len(self._waiting) >= WAITING_EVENTS:
            self._dropped += 1
        else:
            self._waiting.append(event)

    def _count_bytes(self, size: int) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._window >= WINDOW_SECONDS:
            self._window, self._count, self._bytes, self._blank = now, 0, 0, self._splitter.blank
        self._bytes += size
        self._is_too_much()

    def _is_too_much(self) -> bool:
        """Whether there are too many events or bytes in this second; then the engine has to wait for the next one."""
        settings = self._settings
        if self._count <= settings.events_per_second and self._bytes <= settings.event_bytes_per_second:
            return False
        if self._pause is None and self._stream is not None:
            self._stream.pause_reading()
            self._pause = asyncio.get_running_loop().call_at(self._window + WINDOW_SECONDS, self._resume)
        return True

    def _resume(self) -> None:
        self._pause = None
        if self._stream is not None:
            self._stream.resume_reading()

    def _fail(self, error: Exception) -> None:
        self._error = error
        self.close()
        self._waiter.wake()
