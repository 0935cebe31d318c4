"""``roadstead serve``: one process that does everything, until it is told to stop."""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from roadstead.act.plugin.access import PluginDoor
from roadstead.app import process, state
from roadstead.app.certificate import certificate
from roadstead.app.core import Core
from roadstead.errors import StartError
from roadstead.kit import tasks
from roadstead.peers.database.client import Database
from roadstead.serve import plugin
from roadstead.serve.app import build
from roadstead.serve.borders import Token
from roadstead.serve.calls import Services
from roadstead.serve.server import Listen, Listening, serve_api
from roadstead.serve.tls import SecureListen, bound, serve_secure
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
    plugin_listen: str = ""
    """Where plugins of pools are listened for, as ``ADDRESS:PORT``; empty: nowhere."""


async def run_server(options: ServeOptions, settings: Settings, ready: Callable[[Listening], None]) -> None:
    """Serve until SIGINT or SIGTERM; ``ready`` is called once clients can connect.

    Raises `StartError` when it cannot begin: the state folder, its lock, the database, the socket or the port.
    """
    if len(bytes(options.socket)) > SOCKET_PATH_BYTES:
        raise StartError("socket-unusable", path=options.socket, reason="its name is too long for a socket")
    if warning := process.raise_file_limit():
        log.warning(warning)
    with state.Newborn(options.state) as newborn, state.held(options.state) as folder:
        plugins = await asyncio.to_thread(_plugins, options, settings)

        def begun(listening: Listening) -> None:
            newborn.lives()
            ready(listening)

        try:
            await _run(folder, options, settings, plugins, begun)
        finally:
            if plugins is not None:
                plugins.listen.socket.close()


@dataclass(frozen=True, slots=True)
class _Plugins:
    """What plugins of pools are listened for with, and what the pools are told of it."""

    listen: SecureListen
    door: PluginDoor


def _plugins(options: ServeOptions, settings: Settings) -> _Plugins | None:
    """Bind what plugins connect to, if anything; blocks."""
    if not options.plugin_listen:
        return None
    path, fingerprint = certificate(options.state)
    socket = bound(options.plugin_listen)
    address, port = socket.getsockname()[:2]
    return _Plugins(
        SecureListen(socket, path, settings.server.shutdown_seconds), PluginDoor(address, port, fingerprint)
    )


async def _run(
    folder: Path,
    options: ServeOptions,
    settings: Settings,
    plugins: _Plugins | None,
    ready: Callable[[Listening], None],
) -> None:
    database = await Database.open(folder / "roadstead.db", folder / "secret.key")
    try:
        core = Core(settings, database, options.engines, plugins.door if plugins is not None else None)
        try:
            await _serve(core, options, settings, plugins, ready)
        finally:
            await core.commands.audit.close()
    finally:
        await database.close()


async def _serve(
    core: Core,
    options: ServeOptions,
    settings: Settings,
    plugins: _Plugins | None,
    ready: Callable[[Listening], None],
) -> None:
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
        if plugins is not None:
            work.append(tasks.spawn(group, serve_secure(plugin.build(core.commands), plugins.listen), "plugin"))
            log.info("listening for plugins", address=plugins.door.shown, fingerprint=plugins.door.fingerprint)
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
