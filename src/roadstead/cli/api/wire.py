"""HTTP/1.1 as far as a client of our own server needs it: one request on one connection, its answer read as it comes.

The standard library's client reads heads with a parser for e-mail and brings TLS along: that is 16 ms of imports, a
tenth of the time that `roadstead ps` has for 20,000 rows. httptools, which the server uses too, is there at once.
"""

import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from urllib.parse import urlencode

import httptools

PIECE_BYTES = 2**18
FOREIGN = "surrogateescape"
"""Bytes of the command line that are no text are asked for as they are; nothing is called so."""
HEAD_BYTES = 2**16
"""The largest head of an answer that is still believed."""


class NotHttp(Exception):
    """What came is no answer."""


class Exchange:
    """A request that was sent on a connected socket, and the answer to it.

    Reading raises `NotHttp`, and `OSError`: the connection broke, was silent too long, or ended before the answer did.
    """

    def __init__(self, connection: socket.socket, head: bytes, body: bytes = b"") -> None:
        self._connection = connection
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._framed = False
        self._ended = False
        self._status = 0
        connection.sendall(head + body)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def cut(self) -> None:
        """End the connection, which a thread may be reading."""
        with suppress(OSError):  # the server ended it already
            self._connection.shutdown(socket.SHUT_RDWR)

    def status(self) -> int:
        """Wait for the head of the answer and return its status."""
        read = 0
        while not self._status:
            read += self._read()
            if read > HEAD_BYTES and not self._status:
                raise NotHttp
        return self._status

    def pieces(self) -> Iterator[bytes]:
        """Yield the body as it comes."""
        self.status()
        while True:
            held, self._pieces = self._pieces, []
            yield from held
            if self._ended:
                return
            self._read()

    def body(self) -> bytes:
        """Return the whole body."""
        return b"".join(self.pieces())

    def lines(self, limit: int) -> Iterator[bytes]:
        """Yield the body's lines, each with its end. Raises `NotHttp` at one of more than ``limit`` bytes."""
        left = b""
        for piece in self.pieces():
            *whole, left = (left + piece).split(b"\n")
            yield from (line + b"\n" for line in whole)
            if len(left) > limit:
                raise NotHttp
        if left:
            yield left

    def on_header(self, name: bytes, _value: bytes) -> None:
        """Note whether the answer says where it ends; called by httptools."""
        self._framed |= name.lower() in {b"content-length", b"transfer-encoding"}

    def on_headers_complete(self) -> None:
        """Note the status; called by httptools."""
        self._status = self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body; called by httptools."""
        self._pieces.append(data)

    def on_message_complete(self) -> None:
        """Note the end of the answer; called by httptools."""
        self._ended = True

    def _read(self) -> int:
        data = self._connection.recv(PIECE_BYTES)
        if not data:
            if self._status and not self._framed:
                self._ended = True
                return 0
            raise ConnectionResetError("the connection ended before the answer did")
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise NotHttp from error
        return len(data)


def head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """Return the head of a request."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def target(path: str, query: Mapping[str, str | int | list[str] | None] | None) -> str:
    """Return ``path`` with ``query`` behind it: a value may be a list, and None leaves it out."""
    if not query:
        return path
    given = {key: value for key, value in query.items() if value is not None}
    return f"{path}?{urlencode(given, doseq=True, errors=FOREIGN)}" if given else path


def unix(path: str, seconds: float) -> socket.socket:
    """Connect to a Unix socket. Raises `OSError`."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.settimeout(seconds)
        made.connect(path)
    except OSError:
        made.close()
        raise
    return made


def tcp(host: str, port: int, seconds: float) -> socket.socket:
    """Connect to a port. Raises `OSError`."""
    return socket.create_connection((host, port), seconds)
