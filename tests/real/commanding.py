"""The command line in a process of its own, against the API of a core that a test has: for what people see and type."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from roadstead.app.core import Core
from roadstead.kit import tasks
from roadstead.serve.app import build
from roadstead.serve.calls import Services
from roadstead.serve.server import Listen, serve_api

PASSWORD = "correct horse: 'battery' staple"
"""What is typed when a password is asked for; with what shells would stumble over."""


@asynccontextmanager
async def commanding(core: Core, folder: Path) -> AsyncIterator[Callable[..., Awaitable[tuple[int, str, str]]]]:
    """The API on a socket, and the command line that asks it: it returns the exit code and what was printed."""
    socket = folder / "run" / "s.sock"
    services = Services(core.commands, core.store, core.feed, core.statistics, engine_socket="/var/run/docker.sock")
    ready = asyncio.Event()

    async def ask(*words: str) -> tuple[int, str, str]:
        program = [sys.executable, "-c", "from roadstead.cli.main import run; run()", "--server", f"unix:{socket}"]
        process = await asyncio.create_subprocess_exec(*program, *words, stdin=PIPE, stdout=PIPE, stderr=PIPE)
        printed, told = await process.communicate(f"{PASSWORD}\n".encode())
        return process.returncode or 0, printed.decode(), told.decode()

    async with asyncio.TaskGroup() as group:
        listen = Listen(socket, None, shutdown_seconds=1.0)
        server = tasks.spawn(group, serve_api(build(services), listen, lambda _: ready.set()), "api")
        await ready.wait()
        try:
            yield ask
        finally:
            await tasks.stop(server)
