"""HTTP/1.1 as an engine serves it, over any byte stream: keep-alive, pipelining, chunked answers that never end.

It has no task: bytes come in by calls and go out through an `Outlet`, so an open stream costs one small object.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import NamedTuple, Protocol
from urllib.parse import parse_qsl, unquote

import httptools

PIPELINE_BOUND = 64
"""Requests that may wait on one stream; a client that sends more is cut off."""
BODY_BOUND_BYTES = 1024 * 1024
SMALL_ANSWER_BYTES = 2048
"""Go's server gives a length up to this size and chunks larger answers."""
BODILESS = frozenset((HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED))

Header = tuple[str, str]
BAD_REQUEST = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request"
)


class Outlet(Protocol):
    """Where answers go: an asyncio transport or an SSH channel."""

    def write(self, data: bytes, /) -> None:
        """Send, or keep until it can be sent."""

    def close(self) -> None:
        """End the stream after what was written."""


class Request(NamedTuple):
    """One request, without its headers: an engine needs none of them."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes
    is_chunkable: bool
    """False for HTTP/1.0, where an answer without a length ends with the connection."""
    keep_alive: bool


class Reply:
    """The answer to one request; sent whole, or opened and written piece by piece."""

    __slots__ = ("_is_chunked", "_is_open", "_stream", "on_lost", "request")

    def __init__(self, stream: HttpStream, request: Request) -> None:
        self.request = request
        self._stream = stream
        self._is_open = True
        self._is_chunked = False
        self.on_lost: Callable[[], None] | None = None
        """Called when the client goes before the answer is complete."""

    @property
    def is_open(self) -> bool:
        """Whether anything more can be sent."""
        return self._is_open

    @property
    def is_slow(self) -> bool:
        """Whether the client does not read what it was sent."""
        return self._stream.is_paused

    def send(self, status: int, headers: Sequence[Header], body: bytes = b"") -> None:
        """The whole answer."""
        if not self._is_open:
            return
        length: Sequence[Header] = () if status in BODILESS else (("Content-Length", str(len(body))),)
        if len(body) > SMALL_ANSWER_BYTES and self.request.is_chunkable:
            length = (("Transfer-Encoding", "chunked"),)
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        head = self._head(status, (*headers, *length))
        self._stream.write(head if self.request.method == "HEAD" else head + body)
        self.finish()

    def open(self, headers: Sequence[Header], on_lost: Callable[[], None]) -> None:
        """Begin an answer without an end; `on_lost` is called when the client goes."""
        self.on_lost = on_lost
        self._is_chunked = self.request.is_chunkable
        coding: Sequence[Header] = (("Transfer-Encoding", "chunked"),) if self._is_chunked else ()
        self._stream.write(self._head(HTTPStatus.OK, (*headers, *coding)))

    def write(self, data: bytes) -> None:
        """A piece of an open answer."""
        if self._is_open:
            self._stream.write(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)

    def end(self) -> None:
        """The open answer is complete."""
        if self._is_open:
            if self.on_lost is not None:
                self.on_lost()
            if self._is_chunked:
                self._stream.write(b"0\r\n\r\n")
            self.finish()

    def write_raw(self, data: bytes) -> None:
        """Bytes that need not be HTTP."""
        if self._is_open:
            self._stream.write(data)

    def pump(self, source: Iterator[bytes], seconds: float, *, close: bool) -> None:
        """Send `source` raw, one piece every `seconds`, never faster than the client reads; then finish or `close`."""
        self._stream.pump(_Pump(self, source, seconds, close=close))

    def cut(self) -> None:
        """Drop the connection in the middle of the answer."""
        if self._is_open:
            self._is_open = False
            self._stream.close()

    def finish(self) -> None:
        """The answer is complete: the next request of the stream may be answered."""
        self._is_open = False
        self._stream.answered(keep_alive=self.request.keep_alive)

    def lost(self) -> None:
        """The client is gone."""
        self._is_open = False
        if self.on_lost is not None:
            self.on_lost()

    def _head(self, status: int, headers: Sequence[Header]) -> bytes:
        protocol = "1.1" if self.request.is_chunkable else "1.0"
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        return f"HTTP/{protocol} {int(status)} {HTTPStatus(status).phrase}\r\n{lines}\r\n".encode()


class _Pump:
    """A source of bytes that is sent as the client takes it."""

    __slots__ = ("close", "reply", "seconds", "source", "timer")

    def __init__(self, reply: Reply, source: Iterator[bytes], seconds: float, *, close: bool) -> None:
        self.reply = reply
        self.source = source
        self.seconds = seconds
        self.close = close
        self.timer: asyncio.TimerHandle | None = None

    def step(self) -> None:
        """Send the next piece and come again, unless the client does not read: then `resume` calls."""
        self.timer = None
        if not self.reply.is_open or self.reply.is_slow:
            return
        piece = next(self.source, None)
        if piece is not None:
            self.reply.write_raw(piece)
            self.timer = asyncio.get_running_loop().call_later(self.seconds, self.step)
        elif self.close:
            self.reply.cut()
        else:
            self.reply.finish()

    def resume(self) -> None:
        """The client reads again."""
        if self.timer is None:
            self.step()

    def stop(self) -> None:
        """The client is gone."""
        if self.timer is not None:
            self.timer.cancel()


class HttpStream:
    """One byte stream from a client."""

    __slots__ = (
        "_body",
        "_outlet",
        "_parser",
        "_pump",
        "_reply",
        "_serve",
        "_url",
        "_waiting",
        "is_closed",
        "is_paused",
    )

    def __init__(self, serve: Callable[[Reply], None], outlet: Outlet) -> None:
        self._serve = serve
        self._outlet = outlet
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._body = b""
        self._waiting: deque[Request] | None = None
        self._reply: Reply | None = None
        self._pump: _Pump | None = None
        self.is_paused = False
        self.is_closed = False

    # What the stream's owner calls

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return
        except httptools.HttpParserError:
            self.write(BAD_REQUEST)
            self.close()

    def connection_lost(self) -> None:
        """The client is gone: forget what it wanted.  A half-closed stream counts as gone, as with Go's server."""
        self.is_closed = True
        if self._pump is not None:
            self._pump.stop()
        if self._reply is not None:
            self._reply.lost()
            self._reply = None
        self._waiting = None

    def pause_writing(self) -> None:
        """The client does not read."""
        self.is_paused = True

    def resume_writing(self) -> None:
        """The client reads again."""
        self.is_paused = False
        if self._pump is not None:
            self._pump.resume()

    # What an answer calls

    def write(self, data: bytes) -> None:
        """Send, unless the client is gone."""
        if self.is_closed:
            return
        try:
            self._outlet.write(data)
        except BrokenPipeError:
            # The client closed its channel in this very turn of the loop; that we are told comes in the next one.
            self.connection_lost()

    def close(self) -> None:
        """End the stream."""
        if not self.is_closed:
            self.connection_lost()
            self._outlet.close()

    def answered(self, *, keep_alive: bool) -> None:
        """The current answer is complete."""
        self._reply = self._pump = None
        if not keep_alive:
            self.close()
        elif self._waiting:
            self._answer(self._waiting.popleft())

    def pump(self, pump: _Pump) -> None:
        """Let `pump` send."""
        self._pump = pump
        pump.step()

    # What the parser calls

    def on_message_begin(self) -> None:
        """A request begins."""
        self._url = self._body = b""

    def on_url(self, url: bytes) -> None:
        """A piece of the request's target."""
        self._url += url

    def on_body(self, body: bytes) -> None:
        """A piece of the request's body."""
        self._body += body
        if len(self._body) > BODY_BOUND_BYTES:
            self.close()

    def on_message_complete(self) -> None:
        """A request is complete."""
        path, _, query = self._url.decode("latin-1").partition("?")
        request = Request(
            self._parser.get_method().decode("ascii"),
            unquote(path),
            dict(parse_qsl(query, keep_blank_values=True)),
            self._body,
            self._parser.get_http_version() != "1.0",
            self._parser.should_keep_alive(),
        )
        if self._reply is None:
            self._answer(request)
        else:
            self._wait(request)

    def _wait(self, request: Request) -> None:
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(request)
        if len(self._waiting) > PIPELINE_BOUND:
            self.close()

    def _answer(self, request: Request) -> None:
        if not self.is_closed:
            self._reply = Reply(self, request)
            self._serve(self._reply)
