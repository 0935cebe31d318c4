"""The listener of a server for the plugins of its pools, and a client of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from roadstead.act.plugin.access import PluginDoor
from roadstead.act.pool_database.secrets import PoolSecrets
from roadstead.app.certificate import certificate
from roadstead.app.core import Core
from roadstead.kit import tasks
from roadstead.model import PoolId
from roadstead.model.config_keys import PLUGIN_TOKEN_SECRET
from roadstead.serve import plugin
from roadstead.serve.tls import SecureListen, bound, serve_secure
from tests.contract.world import World, world

Serve = Callable[[Core], AbstractAsyncContextManager[None]]


class Plugin:
    """A client of the listener, which compares the certificate as the plugin does."""

    def __init__(self, one: World, door: PluginDoor, http: aiohttp.ClientSession) -> None:
        self.one = one
        self.door = door
        self.token = ""
        self._http = http

    async def enable(self) -> None:
        """Let the pool's plugin call, and take what it would find in the pool."""
        await self.one.core.commands.plugin_access.enable(self.one.pool_id, None)
        self.token = await self.kept(self.one.pool_id)

    async def kept(self, pool: PoolId) -> str:
        """The token that a pool keeps."""
        secrets = PoolSecrets(self.one.core.commands.pools.keeper(pool).client, pool)
        return await secrets.value((await secrets.names())[PLUGIN_TOKEN_SECRET]) or ""

    async def send(self, body: Any, method: str = "POST", path: str = plugin.PATH, token: str | None = None) -> Any:
        """Send bytes, or JSON, and return status and decoded answer."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        known = aiohttp.Fingerprint(bytes.fromhex(self.door.fingerprint))
        headers = {"Authorization": f"Bearer {self.token if token is None else token}"}
        url = f"https://{self.door.shown}{path}"
        async with self._http.request(method, url, data=data, headers=headers, ssl=known) as answer:
            return answer.status, await answer.json(content_type=None)

    async def call(self, function: str, **arguments: str) -> str:
        """Call a function that must succeed; return its value."""
        status, answer = await self.send({"function": function, "arguments": arguments})
        assert status == 200, answer
        assert answer.keys() == {"value"}
        value: str = answer["value"]
        return value

    async def refused(self, function: str, **arguments: str) -> tuple[int, str]:
        """Call a function that must fail; return status and code."""
        status, answer = await self.send({"function": function, "arguments": arguments})
        assert {"title", "detail", "remedy"} <= answer.keys(), answer
        assert status == answer["status"]
        return status, answer["code"]


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[tuple[PluginDoor, Serve]]:
    """Where a server listens for plugins, and what serves there."""
    path, fingerprint = await asyncio.to_thread(certificate, folder)
    listening = bound("127.0.0.1:0")
    address, port = listening.getsockname()

    @asynccontextmanager
    async def served(core: Core) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            app = plugin.build(core.commands)
            server = tasks.spawn(group, serve_secure(app, SecureListen(listening, path, 1.0)), "plugin")
            try:
                yield
            finally:
                await tasks.stop(server)

    yield PluginDoor(address, port, fingerprint), served


@asynccontextmanager
async def plugged(folder: Path, **made: Any) -> AsyncIterator[Plugin]:
    """A world whose pool's plugin may call."""
    async with (
        opened(folder) as (door, served),
        world(folder, door=door, **made) as one,
        served(one.core),
        aiohttp.ClientSession() as http,
    ):
        client = Plugin(one, door, http)
        await client.enable()
        yield client
