"""Listening: uvicorn in our own loop, on the local socket and on loopback, and an end that keeps nobody waiting."""

import asyncio
import contextlib
import errno
import logging
import os
import socket
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from roadstead.errors import StartError

LOOPBACK = "127.0.0.1"
HEADER_BYTES = 64 * 2**10
"""The largest head of a request."""
HEADER_SECONDS = 10.0
"""How long a head may take to arrive."""
IDLE_SECONDS = 75
"""How long a kept connection may be silent between two requests."""
CONNECTIONS = 4096
"""How many connections may be open."""
BACKLOG = 1024


class Listening(NamedTuple):
    """Where the server really listens."""

    socket: Path
    port: int | None


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the server shall listen. ``port`` 0 takes any, None none."""

    socket: Path
    port: int | None = None
    shutdown_seconds: float = 5.0
    """How long a stopping server waits for answers that are under way."""


async def serve_api(app: FastAPI, listen: Listen, ready: Callable[[Listening], None] | None = None) -> None:
    """Serve ``app`` until cancelled, then end: streams at once, other answers within their time.

    ``ready`` is called once connections are taken. Raises `StartError` ``port-taken``, ``socket-taken`` or
    ``socket-unusable`` before anything is served.
    """
    local = await asyncio.to_thread(_local_socket, listen)
    try:
        loopback = loopback_socket(listen.port) if listen.port is not None else None
        sockets = [local] if loopback is None else [local, loopback]
        port = loopback.getsockname()[1] if loopback is not None else None
        config = configured(app, listen.shutdown_seconds)
        server = LoopServer(config, lambda: ready(Listening(listen.socket, port)) if ready is not None else None)
        await served(server, sockets, app.state.services.readers.stop)
    finally:
        local.close()
        await asyncio.to_thread(listen.socket.unlink, missing_ok=True)


def configured(app: ASGIApp, shutdown_seconds: float, **more: Any) -> uvicorn.Config:
    """Return how uvicorn serves ``app``: within bounds, without a word in the log."""
    # What goes wrong in an answer is logged where it is answered; uvicorn's lines would only repeat it.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    settings: dict[str, Any] = {"limit_concurrency": CONNECTIONS, "timeout_keep_alive": IDLE_SECONDS, **more}
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=shutdown_seconds,  # type: ignore[arg-type]
        **settings,
    )


async def served(server: "LoopServer", sockets: list[socket.socket], stop: Callable[[], None]) -> None:
    """Serve until cancelled; then call ``stop``, and end within the time that is configured."""
    try:
        await server.serve(sockets)
    except asyncio.CancelledError:
        if server.started:
            stop()
            await server.shutdown(sockets)
        raise
    finally:
        for each in sockets:
            each.close()


class LoopServer(uvicorn.Server):
    """uvicorn without its signal handlers: the process belongs to somebody else."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections; called by uvicorn."""
        await super().startup(sockets)
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none; called by uvicorn."""
        yield


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with bounds on the head of a request, which httptools does not have."""

    _head_bytes = 0
    _head_limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Called by asyncio."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_limit is not None and self._head_bytes > HEADER_BYTES:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """Called by httptools."""
        super().on_message_begin()
        if self._head_limit is None:
            self._expect_head()

    def on_headers_complete(self) -> None:
        """Called by httptools."""
        self._head_arrived()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        self._head_arrived()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._head_bytes = 0
        self._head_limit = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def _head_arrived(self) -> None:
        if self._head_limit is not None:
            self._head_limit.cancel()
            self._head_limit = None


# ---- sockets


def loopback_socket(port: int, option: str = "--port") -> socket.socket:
    """Bind ``port`` of 127.0.0.1. Raises `StartError` ``port-taken``, naming the ``option`` that chooses another."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((LOOPBACK, port))
        made.setblocking(False)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise StartError("port-taken", address=f"{LOOPBACK}:{port}", option=option) from error
        raise StartError("socket-unusable", path=f"{LOOPBACK}:{port}", reason=error.strerror) from error
    return made


def _local_socket(listen: Listen) -> socket.socket:
    """Bind the local socket: in a folder that is closed to others, its file closed to others before it is heard."""
    path = listen.socket
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _clear(path)
        made.bind(str(path))
        path.chmod(0o600)
        made.setblocking(False)
    except OSError as error:
        made.close()
        reason = error.strerror or str(error)
        raise StartError("socket-unusable", path=path, reason=reason) from error
    except StartError:
        made.close()
        raise
    return made


def _clear(path: Path) -> None:
    """Remove the socket of a server that is no more. Raises `StartError` when one answers, or it is no socket."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise StartError("socket-unusable", path=path, reason="something else is in its place")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        if probe.connect_ex(os.fspath(path)) != errno.ECONNREFUSED:
            raise StartError("socket-taken", path=path)
    path.unlink()
