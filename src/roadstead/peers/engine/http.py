"""One small HTTP/1.1 client over a `Stream`, because every general one costs many times as much per answer.

It speaks to a guest, so it trusts nothing: headers, body and time are bounded, redirects are never followed, and
whatever is odd (an upgrade that nobody asked for, bytes after the answer) ends the stream. It never half-closes,
because engines cancel a request whose sending side ended, and never waits for the end of a stream where the answer
has framing, because relays linger.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import httptools
from msgspec import Struct

from roadstead.errors import EngineError, LinkError, PeerError
from roadstead.kit.gates import Budget
from roadstead.kit.mistakes import Mistake
from roadstead.kit.streams import Link, Stream
from roadstead.kit.waiter import Waiter
from roadstead.peers.engine.messages.guarded import invalid
from roadstead.settings.schema import EngineSettings

FREE_BYTES = 2**16
"""What an answer may bring before it asks the process's budget for room."""
FRAMES = 2
"""How many times the bound on headers may come that is no body, beyond what the body outweighs: headers, and chunks
smaller than what announces them, as no engine sends them. A long body in the smallest ones would take seconds to read.
"""
PLAIN = "identity"
"""The one content coding that is taken: what is compressed small may be of any size."""
UNRELAYED = "no-relay"
"""What a stream ends with when the command that stands in for it ended unheard: asked once more, the link may know
another.
"""
NOTHING = 204
NOT_MODIFIED = 304
FINAL = 200
"""Statuses below it (1xx) announce the one that counts."""


class Answer(Struct, gc=False):
    """A whole answer. ``cut`` tells that its body went over the bound; then ``body`` is empty."""

    status: int
    headers: dict[str, str]
    """Names in lower case; of repeated ones the last."""
    body: bytes
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one answer."""

    header_bytes: int
    body_bytes: int
    seconds: float
    stall_seconds: float
    """How long a body that holds some of the budget may bring nothing."""


def request(method: str, path: str) -> bytes:
    """Return the bytes of a request without a body."""
    length = "Content-Length: 0\r\n" if method == "POST" else ""
    return f"{method} {path} HTTP/1.1\r\nHost: engine\r\n{length}\r\n".encode("ascii")


class Reader:
    """Reads one answer: its head into `status` and `headers`, its body piece by piece to ``take``.

    Answers to requests that were sent before it are passed over, ``skip`` of them, as long as they are small. Chunks
    may be small without end only where ``has_crumbs`` says so: then their reader bounds what comes, frames and all. The
    callbacks named ``on_…`` are httptools'. They only note what is wrong; `feed` says it.
    """

    __slots__ = (
        "_barren",
        "_bound",
        "_framing",
        "_has_crumbs",
        "_parser",
        "_skip",
        "_skipped",
        "_take",
        "complete",
        "fault",
        "headers",
        "keep_alive",
        "status",
    )

    def __init__(
        self, header_bytes: int, take: Callable[[bytes], None], skip: int = 0, *, has_crumbs: bool = False
    ) -> None:
        self._has_crumbs = has_crumbs
        self._parser = httptools.HttpResponseParser(self)
        self._take = take
        self._bound = header_bytes
        self._barren = 0
        self._framing = 0
        self._skip = skip
        self._skipped = 0
        self.status = 0
        self.headers: dict[str, str] = {}
        self.complete = False
        self.keep_alive = False
        self.fault = ""

    def feed(self, data: bytes) -> None:
        """Read some bytes. Raises `EngineError` ``engine-answer-invalid``."""
        # In pieces no larger than the bound, so that a head can be told from the body that came with it.
        for start in range(0, len(data), self._bound):
            self._feed(data[start : start + self._bound])

    def _feed(self, data: bytes) -> None:
        self._barren += len(data)
        self._framing = max(self._framing, 0) + len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as error:
            raise invalid("it switched protocols unasked") from error
        except httptools.HttpParserCallbackError as error:  # our own: the engine has no part in it
            raise error.__context__ or error from None
        except httptools.HttpParserError as error:
            raise invalid("it is not HTTP") from error
        if self._barren > self._bound and not self.complete:
            raise invalid("its headers are too large")
        if self._framing > FRAMES * self._bound and not self._has_crumbs:
            raise invalid("it comes in too small pieces")
        if self.fault:
            raise invalid(self.fault)

    @property
    def ends_with_stream(self) -> bool:
        """Whether the body has no framing, so that only the end of the stream ends it (HTTP/1.0)."""
        framed = {"content-length", "transfer-encoding"} & self.headers.keys()
        return bool(self.status) and not framed and not self._skip

    def on_message_begin(self) -> None:
        """Note that an answer begins."""
        if self.complete:
            self.fault = "it answered twice"

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Keep the status, unless it only announces another."""
        status = self._parser.get_status_code()
        if status < FINAL:
            self.headers.clear()
            return
        if self._barren > 2 * self._bound:
            self.fault = "its headers are too large"
        if self.headers.get("content-encoding", PLAIN).lower() != PLAIN:
            self.fault = "it is compressed, which nobody asked for"
        self._barren = 0
        self.status = status

    def on_body(self, data: bytes) -> None:
        """Hand a piece of the body on."""
        self._barren = 0
        # Each piece costs us the same however small it is; one that is larger than its frame makes up for another.
        self._framing -= 2 * len(data)
        if not self._skip:
            self._take(data)
            return
        self._skipped += len(data)
        if self._skipped > FREE_BYTES:
            self.fault = "it is too large to be passed over"

    def on_message_complete(self) -> None:
        """Note that the answer is whole."""
        if self.status and self._skip:
            self._skip -= 1
            self.status = 0
            self.headers = {}
        elif self.status:
            self.complete = True
            self.keep_alive = self._parser.should_keep_alive()


class Exchange:
    """One request on its way: collects the body until the answer is whole, too large, or broken."""

    __slots__ = ("_body", "_limit", "_room", "_stream", "_waiter", "cut", "error", "reader", "received", "size")

    def __init__(self, stream: Stream, limits: Limits, skip: int = 0) -> None:
        self.reader = Reader(limits.header_bytes, self._take, skip)
        self.cut = False
        self.error: Exception | None = None
        """What broke it: a `PeerError`, or a mistake of ours."""
        self.received = 0
        """How many bytes came."""
        self.size = 0
        """How many of them are the body's."""
        self._stream = stream
        self._limit = limits.body_bytes
        self._room = min(FREE_BYTES, limits.body_bytes)
        # One buffer, not a list of pieces: a guest chooses how small they are, and each would cost 50 bytes more.
        self._body = bytearray()
        self._waiter = Waiter()

    def is_over(self) -> bool:
        """Whether nothing more is to be waited for."""
        return self.reader.complete or self.cut or self.error is not None

    def answer(self) -> Answer:
        """Return the answer, once it `is_over`. Raises what broke it."""
        if self.error is not None:
            raise self.error
        return Answer(self.reader.status, self.reader.headers, bytes(self._body), self.cut)

    async def wait(self) -> None:
        """Wait until it `is_over`, or until it wants more room for its body."""
        if not self.is_over() and self.size <= self._room:
            await self._waiter.wait()

    def go_on(self, room: int) -> None:
        """Read on: there is ``room`` for the body."""
        self._room = room
        self._stream.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Take some of the answer."""
        self.received += len(data)
        if self.cut:
            # Who says too much goes on doing so until the end of the stream reaches it.
            return
        if self.is_over():
            self.error = self.error or invalid("it goes on after its end")
            return
        try:
            self.reader.feed(data)
        except Exception as error:  # noqa: BLE001 - raised to whoever waits: callbacks have nobody to tell
            self.error = error
        if self.is_over():
            self._waiter.wake()
        elif self.size > self._room:
            self._stream.pause_reading()
            self._waiter.wake()

    def stream_ended(self, link: Link, error: Exception | None) -> None:
        """The stream over ``link`` ended."""
        if self.is_over():
            return
        self.error = end_of_body(self.reader, link, error)
        self._waiter.wake()

    def _take(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self._limit:
            self.cut = True
            self._body = bytearray()
        else:
            self._body += data


class Channel:
    """A stream to the engine on which one request follows the other."""

    __slots__ = ("_exchange", "_link", "_stream", "ended", "used")

    _stream: Stream

    def __init__(self, link: Link) -> None:
        self._link = link
        self._exchange: Exchange | None = None
        self.ended = False
        self.used = False

    @classmethod
    async def opened(cls, link: Link, seconds: float) -> "Channel":
        """Open a stream over ``link``. Raises what the link says, or `EngineError` ``engine-timed-out``."""
        channel = cls(link)
        try:
            async with asyncio.timeout(seconds):
                channel._stream = await link.open(channel)
        except TimeoutError as error:
            raise EngineError("engine-timed-out", seconds=f"{seconds:g}") from error
        return channel

    async def ask(self, data: bytes, limits: Limits, budget: Budget, skip: int = 0) -> Answer | None:
        """Send the request ``data`` and wait for its answer; None when it did not reach the engine, and another stream
        may: the engine had closed this one before, or what relays it turned out not to be there (any more). Of several
        requests in ``data`` the first ``skip`` answers are passed over.

        Raises `EngineError` and `LinkError`; afterwards the channel has ended.
        """
        exchange = self._exchange = Exchange(self._stream, limits, skip)
        reused, self.used = self.used, True
        try:
            self._stream.write(data)
            await self._wait(exchange, limits, budget)
            answer = exchange.answer()
        except PeerError as error:
            was_closed = exchange.error is not None and not exchange.received
            self.abort()
            if was_closed and self._link.is_open and (reused or error.code == UNRELAYED):
                return None
            raise
        except BaseException:
            self.abort()
            raise
        finally:
            self._exchange = None
        if answer.cut or not exchange.reader.keep_alive:
            self.abort()
        return answer

    async def _wait(self, exchange: Exchange, limits: Limits, budget: Budget) -> None:
        """Read on, with as much room as the body needs by and by. Waiting for room is not the engine's time."""
        left = limits.seconds
        with budget.share() as share:
            while True:
                left = await self._read(exchange, left, limits.stall_seconds if share.held else left)
                if exchange.is_over():
                    return
                await share.grow(2 * exchange.size)
                exchange.go_on(limits.body_bytes if share.is_whole else share.held)

    async def _read(self, exchange: Exchange, left: float, patience: float) -> float:
        """Read until the answer is there or wants room, and return what is then left of the time."""
        loop = asyncio.get_running_loop()
        end = loop.time() + left
        while True:
            received = exchange.received
            try:
                async with asyncio.timeout(min(patience, end - loop.time())):
                    await exchange.wait()
                return end - loop.time()
            except TimeoutError as error:
                if exchange.received == received or loop.time() >= end:
                    raise EngineError("engine-timed-out", seconds=f"{min(patience, left):g}") from error

    def abort(self) -> None:
        """End the stream at once."""
        self.ended = True
        self._stream.abort()

    def data_received(self, data: bytes) -> None:
        """Take what the engine says; what nobody asked for ends the stream."""
        if self._exchange is None:
            self.abort()
        else:
            self._exchange.data_received(data)

    def stream_ended(self, error: Exception | None) -> None:
        """Note that the stream is gone."""
        self.ended = True
        if self._exchange is not None:
            self._exchange.stream_ended(self._link, error)


def end_of(link: Link, error: Exception | None) -> Exception:
    """Return what the end of a stream means: the link was lost, the engine hung up, or we made a mistake."""
    if isinstance(error, PeerError | Mistake):
        return error
    return EngineError("engine-down") if link.is_open else LinkError("link-lost")


def end_of_body(reader: Reader, link: Link, error: Exception | None) -> Exception | None:
    """Return what the end of a stream means for the body that ``reader`` reads: as `end_of`, or None when it ends so.
    Only an engine that hangs up ends one; a link that is lost cuts it.
    """
    reader.complete |= reader.ends_with_stream and error is None and link.is_open
    return None if reader.complete else end_of(link, error)


class Http:
    """Requests to one engine: reads that answer at once share a kept channel, the rest get channels of their own."""

    def __init__(self, link: Link, settings: EngineSettings, budget: Budget) -> None:
        self._link = link
        self._settings = settings
        self._budget = budget
        self._turn = asyncio.Lock()
        self._kept: Channel | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._quick = self._limits(settings.answer_seconds, settings.answer_bytes)

    async def get(self, path: str, seconds: float | None = None) -> Answer:
        """Read ``path`` on the kept channel, in turn; opened anew when the engine closed it meanwhile.

        It may take ``seconds`` (None: the usual time). When it takes longer, the channel ends with it.
        """
        limits = self._quick if seconds is None else self._limits(seconds, self._quick.body_bytes)
        return await self._get(request("GET", path), limits)

    async def get_after(self, first: str, path: str, seconds: float) -> Answer | None:
        """Read ``path`` once ``first`` was answered, both sent in one go; None when that was not done in ``seconds``,
        or not well: then nothing was learned.
        """
        limits = self._limits(seconds, self._quick.body_bytes)
        try:
            async with asyncio.timeout(seconds):
                return await self._get(request("GET", first) + request("GET", path), limits, skip=1)
        except (EngineError, TimeoutError):
            return None

    async def _get(self, data: bytes, limits: Limits, skip: int = 0) -> Answer:
        async with self._turn:
            self._stop_idling()
            try:
                return await self._on_kept(data, limits, skip)
            finally:
                self._begin_idling()

    async def _on_kept(self, data: bytes, limits: Limits, skip: int) -> Answer:
        """Read on the kept channel, else on a new one; what is read may be asked for again."""
        if self._kept is not None and not self._kept.ended:
            answer = await self._kept.ask(data, limits, self._budget, skip)
            if answer is not None:
                return answer
        for _ in range(2):
            self._kept = await self._opened()
            answer = await self._kept.ask(data, limits, self._budget, skip)
            if answer is not None:
                return answer
        raise EngineError(UNRELAYED)

    def _begin_idling(self) -> None:
        """Give the kept channel up when nobody uses it for as long as the link says."""
        if self._kept is not None and self._link.idle_seconds:
            self._idle = asyncio.get_running_loop().call_later(self._link.idle_seconds, self._kept.abort)

    def _stop_idling(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    async def alone(self, method: str, path: str, seconds: float) -> Answer:
        """Make a request that may take up to ``seconds`` on a channel of its own."""
        channel = await self._opened()
        try:
            limits = self._limits(seconds, self._quick.body_bytes)
            answer = await channel.ask(request(method, path), limits, self._budget)
            if answer is None:
                raise EngineError(UNRELAYED)
            return answer
        finally:
            channel.abort()

    def close(self) -> None:
        """End the kept channel."""
        self._stop_idling()
        if self._kept is not None:
            self._kept.abort()

    async def _opened(self) -> Channel:
        return await Channel.opened(self._link, self._settings.answer_seconds)

    def _limits(self, seconds: float, body_bytes: int) -> Limits:
        return Limits(self._settings.header_bytes, body_bytes, seconds, self._settings.stall_seconds)
