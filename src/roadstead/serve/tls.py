"""Listening with TLS on a network: who has not yet shown a handshake is bounded in number and in time, too.

uvicorn counts a connection once its handshake is over, and asyncio lets that take a minute. So connections are taken
here, counted, and handed to uvicorn's protocol when they are secure.
"""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from roadstead.errors import StartError
from roadstead.kit import tasks
from roadstead.kit.mistakes import Mistakes
from roadstead.serve.server import BACKLOG, BoundedProtocol, LoopServer, configured, served

CONNECTIONS = 256
"""How many connections may be open; more are closed at once."""
SHARE = 64
"""How many of them one source may have, so that it keeps no other out (see `source_of`)."""
HANDSHAKE_SECONDS = 10.0
GOODBYE_SECONDS = 5.0
"""How long the end of a connection may take."""
IDLE_SECONDS = 5
"""How long a connection may be silent between two requests."""
PAUSE_SECONDS = 0.2
"""How long none is taken after that failed."""
LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class SecureListen:
    """A socket that is bound, the file with certificate and key, and how long a stopping server waits."""

    socket: socket.socket
    certificate: Path
    shutdown_seconds: float = 5.0


async def serve_secure(app: ASGIApp, listen: SecureListen, ready: Callable[[], None] = lambda: None) -> None:
    """Serve ``app`` until cancelled, then end: answers within their time. ``ready`` is called once it is served."""
    context = await asyncio.to_thread(_context, listen.certificate)
    config = configured(app, listen.shutdown_seconds, timeout_keep_alive=IDLE_SECONDS)
    config.load()
    server = LoopServer(config, ready)
    try:
        async with asyncio.TaskGroup() as group:
            door = _Door(server, context, group)
            accepting = tasks.spawn(group, door.accept(listen.socket), "connections of plugins")

            def stop() -> None:
                for task in (accepting, *door.handshakes):
                    task.cancel()

            await served(server, [], stop)
    finally:
        listen.socket.close()


def bound(where: str) -> socket.socket:
    """Return a socket that is bound to ``where``, written ``ADDRESS:PORT``. Raises `StartError`."""
    address, port = _parsed(where)
    made = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_STREAM)  # noqa: PLR2004
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((str(address), port))
        made.listen(BACKLOG)
        made.setblocking(False)
    except OSError as error:
        made.close()
        reason = "another program listens there"
        if error.errno != errno.EADDRINUSE:
            reason = os.strerror(error.errno or 0).lower()
        raise StartError("plugin-listen-unusable", address=where, reason=reason) from error
    return made


def _parsed(where: str) -> tuple[Any, int]:
    host, _, digits = where.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        address = ip_address(bare)
    except ValueError:
        address = None
    is_bracketed = bare != host
    is_port = digits.isascii() and digits.isdigit() and int(digits) <= LAST_PORT
    if address is None or not is_port or is_bracketed != isinstance(address, IPv6Address):
        reason = "it is not of the form ADDRESS:PORT, with an IPv6 address in brackets"
        raise StartError("plugin-listen-unusable", address=where, reason=reason)
    return address, int(digits)


def _context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.load_cert_chain(certificate)
    return context


def source_of(host: str) -> str:
    """Return what counts as one source: an address; of IPv6 the network of 64 bits, since that is given out whole."""
    address = ip_address(host.partition("%")[0])
    if address.version == 4:  # noqa: PLR2004
        return host
    return str(address.ipv4_mapped or ip_network((address, 64), strict=False))


class _Door:
    """Takes the connections that come, as many as may be open, and secures them."""

    def __init__(self, server: LoopServer, context: ssl.SSLContext, group: asyncio.TaskGroup) -> None:
        self._server = server
        self._context = context
        self._group = group
        self.handshakes: dict[asyncio.Task[None], str] = {}
        """Those that are under way, and their sources."""

    async def accept(self, listening: socket.socket) -> None:
        """Take connections until cancelled."""
        mistakes = Mistakes()
        while True:
            try:
                came, address = await asyncio.get_running_loop().sock_accept(listening)
            except OSError:  # it was gone at once, or no more files can be open
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            source, taken = source_of(address[0]), self._sources()
            if len(taken) >= CONNECTIONS or taken.count(source) >= SHARE:
                came.close()
                continue
            task = tasks.spawn(self._group, self._secure(came, mistakes), "handshake of a plugin")
            self.handshakes[task] = source
            task.add_done_callback(self.handshakes.pop)

    def _sources(self) -> list[str]:
        """Return the source of each connection."""
        clients = (getattr(protocol, "client", None) for protocol in self._server.server_state.connections)
        return [*self.handshakes.values(), *(source_of(client[0]) if client else "" for client in clients)]

    async def _secure(self, came: socket.socket, mistakes: Mistakes) -> None:
        with mistakes.borne("handshake of a plugin"):
            await self._shake_hands(came)

    async def _shake_hands(self, came: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol,
                came,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=GOODBYE_SECONDS,
            )
        except OSError as error:  # no TLS, too old a TLS, too slow, or gone
            error.__traceback__ = None  # its frames hold what holds it
            came.close()
        except BaseException:
            came.close()
            raise

    def _protocol(self) -> "_SecureProtocol":
        return _SecureProtocol(self._server.config, self._server.server_state, {})


class _SecureProtocol(BoundedProtocol):
    """A connection that leaves no cycle of references behind when it ends: each holds a quarter of a megabyte for TLS,
    and old garbage is collected seldom (see `app.process`).
    """

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        super().connection_lost(exc)
        self.cycle = None  # type: ignore[assignment] # its task, if it still runs, has it
