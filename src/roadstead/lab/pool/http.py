"""HTTP as a pool's host speaks it, exactly: its limits, headers and error pages, and faults on request.

A library's server would add headers, chunk answers and forgive what a real host refuses; and a lab must be able to
fall silent or talk nonsense in the middle of a connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import html
import ssl
import urllib.parse
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from roadstead.kit import tasks

HEAD_BYTES = 1024
"""Request line and headers together may not be longer."""

HEAD_BYTES_ANSWERED = 1100
"""From here on a host answers 431; between the two it closes the connection without a word."""

BODY_BYTES = 300 * 1024
CONNECTIONS = 800
IDLE_S = 3600.0
BODY_S = 60.0
WRITE_BYTES = 256 * 1024
"""A long answer is written in pieces of this size, so that other connections get their turn."""

_BUFFER_BYTES = 64 * 1024
_PAGES = {
    302: ("Found", ""),
    401: ("Unauthorised", "<html><body><h1>401 Unauthorised</h1>Please sign in and try again.</body></html>"),
    403: ("Forbidden", "<html><body><h1>403 Forbidden</h1>Your role does not permit this.</body></html>"),
    404: ("Not Found", "<html><body><h1>404 Not Found</h1><hr><address>Xapi Server</address></body></html>"),
    431: ("Request Header Fields Too Large", ""),
}
_TROUBLE = (
    "<html><body><h1>HTTP 500 internal server error</h1>An unexpected error occurred; please wait a while and try"
    " again. If the problem persists, please contact your support representative.<h1> Additional information </h1>"
)
_FROM_ANYWHERE = "access-control-allow-origin: *\r\naccess-control-allow-headers: X-Requested-With\r\n"


class Mood(enum.Enum):
    """How a host behaves towards its clients."""

    WELL = "well"
    CLOSES = "closes"
    """Accepts a connection and ends it, as a host whose XAPI is starting."""
    SILENT = "silent"
    """Reads requests and never answers."""
    GARBAGE = "garbage"
    """Answers with what is neither JSON nor XML."""
    FAILS = "fails"
    """Answers every request with HTTP status 500."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request; of the body only a POST's is read before it is answered."""

    verb: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        """The path without the query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The query by name."""
        return dict(urllib.parse.parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies by name."""
        pairs = (pair.strip().partition("=") for pair in self.headers.get("cookie", "").split(";"))
        return {name: urllib.parse.unquote(value) for name, _, value in pairs}


@dataclass(frozen=True, slots=True)
class Stream:
    """A connection whose handler reads the body and writes the answer by itself."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Write all of it, piece by piece."""
        view = memoryview(data)
        for start in range(0, len(view), WRITE_BYTES):
            self.writer.write(view[start : start + WRITE_BYTES])
            await self.writer.drain()


@dataclass(frozen=True, slots=True)
class Answer:
    """A good answer to a POST."""

    content_type: str
    body: bytes


class TroubleError(Exception):
    """The request ends in "500 internal server error"; the text is the exception that the page shows."""


Answerer = Callable[[Asked], Awaitable[Answer]]
Handler = Callable[[Asked, Stream], Awaitable[bytes]]
"""Answers a request by itself and returns what is sent last; the connection is closed then."""


class Closing(Exception):
    """The connection is to be closed after `last` has been sent."""

    def __init__(self, last: bytes = b"") -> None:
        super().__init__()
        self.last = last


class HostServer:
    """One host's HTTPS port, or its Unix socket.  Owned by a task group that outlives it."""

    def __init__(
        self,
        group: asyncio.TaskGroup,
        context: ssl.SSLContext | None,
        answer: Answerer,
        handlers: Mapping[tuple[str, str], Handler],
    ) -> None:
        self.mood = Mood.WELL
        self._handlers = handlers
        self._group = group
        self._context = context
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def is_listening(self) -> bool:
        """Whether it accepts connections."""
        return self._server is not None

    async def listen(self, address: str, port: int) -> int:
        """Accept connections at `address`; returns the port (for 0 a free one).  OSError when that cannot be."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._protocol, address, port, ssl=self._context, backlog=1024)
        self._server = server
        return int(server.sockets[0].getsockname()[1])

    async def listen_unix(self, path: Path) -> None:
        """Accept connections at a Unix socket, whose folder decides who may connect."""
        self._server = await asyncio.get_running_loop().create_unix_server(self._protocol, path, backlog=1024)

    async def close(self) -> None:
        """Refuse connections and end those that are open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.drop()

    async def drop(self) -> None:
        """End all connections at once, without a word."""
        for writer in self._connections.values():
            writer.transport.abort()
        await tasks.stop(*self._connections)

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        reader = asyncio.StreamReader(limit=_BUFFER_BYTES)
        return _Protocol(reader, self._begin)

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mood is Mood.CLOSES or self._server is None or len(self._connections) >= CONNECTIONS:
            writer.transport.abort()
            return
        task = tasks.spawn(self._group, self._converse(reader, writer), f"pool connection {len(self._connections)}")
        self._connections[task] = writer
        task.add_done_callback(self._connections.pop)
        protocol = writer.transport.get_protocol()
        if isinstance(protocol, _Protocol):
            protocol.when_lost(task.cancel)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, EOFError, TimeoutError):
                await self._exchange(reader, writer)
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = Stream(reader, writer)
        try:
            while True:
                await stream.send(await self._reply(await _read_request(reader), stream))
        except Closing as closing:
            await stream.send(closing.last)

    async def _reply(self, asked: Asked, stream: Stream) -> bytes:
        if self.mood is Mood.SILENT:
            await asyncio.sleep(IDLE_S)
        if self.mood is Mood.GARBAGE:
            return _good("application/json", b'{"jsonrpc":"2.0","result":\x00\xff<not xapi>')
        if self.mood is Mood.FAILS:
            raise Closing(_trouble("Failure"))
        if asked.verb == "OPTIONS":
            return f"HTTP/1.1 200 OK\r\n{_FROM_ANYWHERE}access-control-allow-methods: PUT\r\n{_length(0)}\r\n".encode()
        handler = self._handlers.get((asked.verb, asked.path))
        if asked.verb != "POST" and handler is None:
            raise Closing(page(404))
        try:
            if handler is not None:
                raise Closing(await handler(asked, stream))
            answer = await self._answer(asked)
        except TroubleError as trouble:
            raise Closing(_trouble(str(trouble))) from trouble
        return _good(answer.content_type, answer.body)


class _Protocol(asyncio.StreamReaderProtocol):
    """A stream that tells when the client has gone, so that nobody waits for events on its behalf."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        begin: Callable[[asyncio.StreamReader, asyncio.StreamWriter], None],
    ) -> None:
        super().__init__(reader, begin)
        self._lost: Callable[[], object] | None = None

    def when_lost(self, tell: Callable[[], object]) -> None:
        self._lost = tell

    def eof_received(self) -> bool:
        super().eof_received()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._lost is not None:
            self._lost()


async def _read_request(reader: asyncio.StreamReader) -> Asked:
    async with asyncio.timeout(IDLE_S):
        head = await _read_head(reader)
    lines = head.decode("latin-1").split("\r\n")
    verb, _, rest = lines[0].partition(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    target = rest.split(" ")[0]
    if verb != "POST":
        return Asked(verb, target, headers)
    length = headers.get("content-length", "")
    if not length.isdecimal():
        raise Closing(_trouble('Failure("We require a content-length: HTTP header")'))
    if int(length) > BODY_BYTES:
        raise Closing(_trouble("Http_svr.Client_requested_size_over_limit"))
    async with asyncio.timeout(BODY_S):
        return Asked(verb, target, headers, await reader.readexactly(int(length)))


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise Closing(page(431)) from error
    if len(head) > HEAD_BYTES:
        raise Closing(page(431) if len(head) > HEAD_BYTES_ANSWERED else b"")
    return head


def _length(length: int) -> str:
    return f"content-length: {length}\r\nconnection: keep-alive\r\ncache-control: no-cache, no-store\r\n"


def _good(content_type: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\n{_length(len(body))}content-type: {content_type}\r\n{_FROM_ANYWHERE}\r\n"
    return head.encode() + body


def page(status: int, *headers: str, version: str = "1.1") -> bytes:
    """A whole answer that says why there is no other; the connection is closed after it."""
    reason, text = _PAGES[status]
    return _closing(f"HTTP/{version} {status} {reason}", text, headers)


def _trouble(exception: str) -> bytes:
    text = html.escape(exception).replace("&#x27;", "&apos;")
    return _closing("HTTP/1.1 500 Internal Server Error", f"{_TROUBLE}{text}</body></html>")


def _closing(status: str, text: str, headers: Iterable[str] = ()) -> bytes:
    body = text.encode()
    more = "".join(f"{header}\r\n" for header in headers)
    head = (
        f"{status}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n"
        f"cache-control: no-cache, no-store\r\n{more}content-type: text/html\r\n\r\n"
    )
    return head.encode() + body
