"""How the command line talks to a server: HTTP/1.1 over the local socket, or over loopback with the token.

msgspec is imported while the server works on its answer, so that a list of 20,000 containers does not wait for it.
"""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from roadstead.cli.api import wire
from roadstead.errors import InputError, ServerError
from roadstead.settings import places

PREFIX = "/api/v1"
CONFIRM = "confirm"
"""In the query of what cannot be undone: the id of what it is done to."""
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 180.0
"""The slowest answers are to `pool add`, which signs in and waits for the first listing."""
SILENCE_SECONDS = 45.0
"""A stream of changes says something every 15 s; after three times that the server is gone."""
EVENT_BYTES = 4 * 2**20
"""The longest line of a stream of changes that is still believed."""
OK, BAD_REQUEST = 200, 400
LOOPBACK = {"127.0.0.1", "localhost", "::1"}

T = TypeVar("T")
Query = dict[str, str | int | list[str] | None]


class Refused(Exception):
    """The server's answer was a problem document (RFC 9457): our stable code, cause, remedy and candidates."""

    def __init__(self, status: int, document: dict[str, Any]) -> None:
        super().__init__(status)
        self.status = status
        self.code = str(document.get("code", ""))
        self.cause = str(document.get("detail") or document.get("title") or f"The server answered {status}.")
        self.remedy = str(document.get("remedy") or "")
        fields = document.get("fields")
        self.fields: dict[str, Any] = fields if isinstance(fields, dict) else {}
        self.candidates = _texts(document.get("candidates"))
        self.suggestions = _texts(document.get("suggestions"))


class AddressInvalid(ValueError):
    """``--server`` is neither ``unix:PATH`` nor ``http://`` on loopback; the text says what is wrong."""


@dataclass(frozen=True)
class Server:
    """Where the server is: a socket's path, or host and port with the file of the token."""

    path: str = ""
    host: str = ""
    port: int = places.DEFAULT_PORT
    token_file: Path | None = None

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path else f"http://{self.authority}"

    @property
    def authority(self) -> str:
        """Host and port as they stand in an address."""
        if self.path:
            return "localhost"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def server_at(address: str | None, token_file: Path | None = None) -> Server:
    """Read ``--server``: None is the default socket. Raises `AddressInvalid`.

    Only loopback is taken for ``http://``: the token would cross a network in clear.
    """
    if not address:
        return Server(path=str(places.socket_path()))
    if address.startswith("unix:"):
        return _unix(address.removeprefix("unix:").removeprefix("//"))
    if address.startswith("/"):
        return _unix(address)
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise AddressInvalid(f"{address!r} is no address") from None
    if parts.scheme != "http" or host is None:
        raise AddressInvalid("write it as unix:PATH or http://127.0.0.1:PORT")
    if host not in LOOPBACK:
        raise AddressInvalid("over http:// only this machine can be reached (127.0.0.1, localhost, [::1])")
    return Server(host=host, port=port or places.DEFAULT_PORT, token_file=token_file or places.state_folder() / "token")


def _unix(path: str) -> Server:
    if not path:
        raise AddressInvalid("unix: needs the path of a socket")
    return Server(path=path)


class Waiting:
    """A request that is on its way; whoever sent it may do something useful before reading the answer."""

    def __init__(self, server: Server, exchange: wire.Exchange) -> None:
        self.server = server
        self._exchange = exchange

    def raw(self) -> bytes:
        """Return the answer's body as it came. Raises `Refused`, `ServerError`."""
        with _Mapped(self.server), closing(self._exchange):
            status, body = self._exchange.status(), self._exchange.body()
        return _accepted(status, body, self.server)

    def read(self, shape: type[T]) -> T:
        """Return the answer decoded into ``shape``. Raises `Refused`, `ServerError`."""
        return decoded(self.raw(), shape, self.server)

    def records(self, shape: type[T]) -> Iterator[T]:
        """Yield what the lines of an answer hold, each decoded into ``shape`` when it comes: one at least.

        Raises `Refused`, `ServerError`.
        """
        import msgspec

        line = None
        for line in self.lines():
            try:
                yield msgspec.json.decode(line, type=shape)
            except msgspec.DecodeError as error:
                raise ServerError("server-answer-invalid", address=self.server) from error
        if line is None:
            raise ServerError("server-answer-invalid", address=self.server)

    def cut(self) -> None:
        """End the connection; a thread that reads the answer is told `ServerError`."""
        self._exchange.cut()

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of an answer that has no end, until the server ends it after all."""
        with _Mapped(self.server), closing(self._exchange):
            if (status := self._exchange.status()) != OK:
                _accepted(status, self._exchange.body(), self.server)
            yield from self._exchange.lines(EVENT_BYTES)


class Client:
    """Requests to one server, each on a connection of its own: a kept one may be closed while a person thinks.

    Every method raises `Refused` (the server said no) or `ServerError` (nobody there, or no Roadstead server).
    """

    def __init__(self, server: Server, answer_seconds: float = ANSWER_SECONDS) -> None:
        self.server = server
        self._answer_seconds = answer_seconds

    def ask(self, path: str, query: Query | None = None) -> Waiting:
        """Send a GET and return before the answer is read; a query's value may be a list, None leaves it out."""
        return self._sent("GET", path, query, None)

    def get(self, shape: type[T], path: str, query: Query | None = None) -> T:
        """GET ``path``, decoded into ``shape``."""
        return self.ask(path, query).read(shape)

    def post(self, shape: type[T], path: str, body: dict[str, Any] | None = None, *, confirm: str | None = None) -> T:
        """POST ``body`` as JSON, the answer decoded into ``shape``; ``confirm`` names what a yes was said to."""
        return self._sent("POST", path, {CONFIRM: confirm}, body or {}).read(shape)

    def text(self, path: str, body: dict[str, Any]) -> bytes:
        """POST ``body`` as JSON; the answer is a text and comes as it is."""
        return self._sent("POST", path, None, body).raw()

    def begin(self, path: str, body: dict[str, Any] | None = None) -> Waiting:
        """POST ``body`` as JSON to ``path`` and return before the answer is read."""
        return self._sent("POST", path, None, body or {})

    def patch(self, shape: type[T], path: str, body: dict[str, Any]) -> T:
        """PATCH with ``body`` as JSON, the answer decoded into ``shape``."""
        return self._sent("PATCH", path, None, body).read(shape)

    def delete(self, path: str, *, confirm: str | None = None) -> bytes:
        """DELETE ``path`` and return what the server says to it; ``confirm`` is as for `post`."""
        return self._sent("DELETE", path, {CONFIRM: confirm}, None).raw()

    def remove(self, shape: type[T], path: str, query: Query | None = None, *, confirm: str | None = None) -> T:
        """DELETE ``path``, the answer decoded into ``shape``; ``confirm`` is as for `post`."""
        return self._sent("DELETE", path, {**(query or {}), CONFIRM: confirm}, None).read(shape)

    def _sent(self, method: str, path: str, query: Query | None, body: dict[str, Any] | None) -> Waiting:
        content = b"" if body is None else json.dumps(body).encode()
        head = wire.head(method, wire.target(PREFIX + path, query), self._headers(content))
        with _Mapped(self.server):
            connection = self._connection()
            connection.settimeout(self._answer_seconds)
            return Waiting(self.server, wire.Exchange(connection, head, content))

    def _connection(self) -> socket:
        if self.server.path:
            return wire.unix(self.server.path, CONNECT_SECONDS)
        return wire.tcp(self.server.host, self.server.port, CONNECT_SECONDS)

    def _headers(self, content: bytes) -> dict[str, str]:
        headers = {"Host": self.server.authority, "Connection": "close"}
        if content:
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
        if self.server.token_file is not None:
            headers["Authorization"] = f"Bearer {_token(self.server.token_file)}"
        return headers


class _Mapped:
    """Turns what `wire` and the socket raise into our errors, in this one place."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, PermissionError):
            raise ServerError("server-socket-denied", address=self._server) from error
        if isinstance(error, OSError):
            raise ServerError("server-gone", address=self._server) from error
        if isinstance(error, wire.NotHttp):
            raise ServerError("server-answer-invalid", address=self._server) from error


def decoded(body: bytes, shape: type[T], server: Server) -> T:
    """Return an answer's ``body`` decoded into ``shape``. Raises `ServerError` when it is none of it."""
    import msgspec

    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.DecodeError as error:
        raise ServerError("server-answer-invalid", address=server) from error


def _accepted(status: int, body: bytes, server: Server) -> bytes:
    if status < BAD_REQUEST:
        return body
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ServerError("server-answer-invalid", address=server)
    raise Refused(status, document)


def _texts(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []


def _token(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no token"
        raise InputError("file-unreadable", path=path, reason=reason) from error


def part(name: str) -> str:
    """Return ``name`` as one part of a path, whatever characters it has. Raises `InputError` for an empty one."""
    return quote(given(name), safe="", errors=wire.FOREIGN)


def given(name: str) -> str:
    """Return ``name``, which the server is to resolve. Raises `InputError` for an empty one."""
    if not name.strip():
        raise InputError("field-invalid", field="NAME", reason="it is empty")
    return name
