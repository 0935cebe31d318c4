"""``roadstead serve``: one process that does everything, until it is told to stop."""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from roadstead.app import process, state
from roadstead.app.core import Core
from roadstead.errors import StartError
from roadstead.kit import tasks
from roadstead.peers.database.client import Database
from roadstead.serve.app import build
from roadstead.serve.borders import Token
from roadstead.serve.calls import Services
from roadstead.serve.server import Listen, Listening, serve_api
from roadstead.settings.schema import Settings

log = structlog.get_logger()
SOCKET_PATH_BYTES = 107


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What the command line says."""

    state: Path
    socket: Path
    port: int | None
    """Loopback port; None: only the local socket."""
    engines: tuple[Path, ...] = ()


async def run_server(options: ServeOptions, settings: Settings, ready: Callable[[Listening], None]) -> None:
    """Serve until SIGINT or SIGTERM; ``ready`` is called once clients can connect.

    Raises `StartError` when it cannot begin: the state folder, its lock, the database, the socket or the port.
    """
    if len(bytes(options.socket)) > SOCKET_PATH_BYTES:
        raise StartError("socket-unusable", path=options.socket, reason="its name is too long for a socket")
    if warning := process.raise_file_limit():
        log.warning(warning)
    with state.held(options.state) as folder:
        database = await Database.open(folder / "roadstead.db", folder / "secret.key")
        try:
            await _serve(Core(settings, database, options.engines), options, settings, ready)
        finally:
            await database.close()


async def _serve(core: Core, options: ServeOptions, settings: Settings, ready: Callable[[Listening], None]) -> None:
    pauses = process.Pauses()
    services = Services(
        core.commands,
        core.store,
        core.feed,
        lambda: {**core.statistics(), "garbage": pauses.statistics()},
        engine_socket=settings.link.engine_socket,
    )
    app = build(services, Token(state.token(options.state), options.state / "token"))
    listen = Listen(options.socket, options.port, settings.server.shutdown_seconds)
    async with asyncio.TaskGroup() as group:
        work = [tasks.spawn(group, core.run(), "core")]
        await core.commands.pools.wait_started()
        work.append(tasks.spawn(group, serve_api(app, listen, ready), "api"))
        if settings.runtime.gc:
            work.append(tasks.spawn(group, process.tend_garbage(lambda: core.links.statistics()["live"]), "garbage"))
        await _stop_signal()
        await tasks.stop(*work)
    pauses.close()


async def _stop_signal() -> None:
    """Wait for SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
