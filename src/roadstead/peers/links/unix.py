"""The link to an engine on this machine: a unix socket, opened anew for each stream."""

import asyncio
import getpass
from typing import cast

from roadstead.errors import EngineError, LinkError
from roadstead.kit import clocks
from roadstead.kit.streams import Receiver, Stream

CONNECT_SECONDS = 5.0
"""Connecting to a unix socket takes no time, unless its owner no longer accepts."""


class UnixStream(asyncio.Protocol):
    """One connection to the socket: asyncio's protocol on one side, a `Stream` on the other."""

    __slots__ = ("_link", "_receiver", "_transport")

    _transport: asyncio.Transport

    def __init__(self, receiver: Receiver, link: "UnixLink") -> None:
        self._receiver: Receiver | None = receiver
        self._link = link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast("asyncio.Transport", transport)
        self._link.streams.add(self)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        self._link.heard = clocks.now()
        if self._receiver is not None:
            self._receiver.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        self._link.streams.discard(self)
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.stream_ended(exc)

    def write(self, data: bytes) -> None:
        """See `Stream`."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def pause_reading(self) -> None:
        """See `Stream`."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """See `Stream`."""
        self._transport.resume_reading()

    def abort(self) -> None:
        """See `Stream`."""
        self._transport.abort()


class UnixLink:
    """A `Link` to the socket at a path. It has no connection of its own, so it ends only when it is closed."""

    relay = "unix"
    idle_seconds = 0.0

    def __init__(self, path: str) -> None:
        self.address = path
        self.is_open = True
        """Whether `close` was not called."""
        self.streams: set[UnixStream] = set()
        self.heard = clocks.now()
        """When the engine last said something."""
        self.asks_after = 0.0

    async def open(self, receiver: Receiver) -> Stream:
        """Connect once more.

        Raises `EngineError` ``no-engine-socket``, ``engine-socket-denied``, ``engine-down`` or ``engine-timed-out``,
        and `LinkError` ``link-lost`` after `close`.
        """
        if not self.is_open:
            raise LinkError("link-lost")
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                loop = asyncio.get_running_loop()
                _, stream = await loop.create_unix_connection(lambda: UnixStream(receiver, self), self.address)
        except TimeoutError as error:
            raise EngineError("engine-timed-out", seconds=f"{CONNECT_SECONDS:g}") from error
        except OSError as error:
            raise _fault(error, self.address) from error
        return stream

    def close(self) -> None:
        """End the link and its streams."""
        self.is_open = False
        for stream in tuple(self.streams):
            stream.abort()


class _Nobody:
    """The receiver of a stream that is opened only to see whether that works."""

    def data_received(self, data: bytes) -> None:
        """Ignore it."""

    def stream_ended(self, error: Exception | None) -> None:
        """Ignore it."""


async def open_unix(path: str) -> UnixLink:
    """Return the link to the engine's socket at ``path``, after it let us in once.

    Raises `EngineError` as `UnixLink.open` does.
    """
    link = UnixLink(path)
    probe = await link.open(_Nobody())
    probe.abort()
    return link


def _fault(error: OSError, path: str) -> EngineError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return EngineError("no-engine-socket", socket=path)
    if isinstance(error, PermissionError):
        return EngineError("engine-socket-denied", socket=path, user=getpass.getuser())
    return EngineError("engine-down")
