"""What a handler is given: the services of this server, and who asks."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Final

from roadstead.act.audit import Actor
from roadstead.act.commands import Commands
from roadstead.errors import DeniedError
from roadstead.inventory.feed import Feed
from roadstead.inventory.store import Store

VERSION: Final = version("roadstead")
PERMISSIONS: Final = ("view", "inspect-secrets", "logs", "control", "administer")
"""What a route may ask for: to read, to read what may hold secrets, to read what containers write, to act on
containers, to change pools and VMs.
"""
CALLER: Final = "roadstead.caller"
"""Where a request's scope holds its `Caller`."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, from which address (empty: the local socket), and what they may."""

    name: str
    origin: str = ""
    permissions: frozenset[str] = frozenset(PERMISSIONS)

    @property
    def actor(self) -> Actor:
        """The caller as the audit knows it."""
        return Actor(self.name, self.origin)

    def demand(self, permission: str) -> None:
        """Raise `DeniedError` ``permission-needed`` unless the caller has ``permission``."""
        if permission not in self.permissions:
            raise DeniedError("permission-needed", permission=permission)


class Readers:
    """The open streams, so that a stopping server can end them at once; those of changes are counted."""

    def __init__(self) -> None:
        self.stopping = False
        self._limits: set[asyncio.Timeout] = set()
        self.count = 0

    async def wait(self, news: Callable[[], Awaitable[None]], seconds: float) -> None:
        """Wait for ``news``, until ``seconds`` have passed, or until the server stops."""
        if self.stopping:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds) as limit:
                self._limits.add(limit)
                try:
                    await news()
                finally:
                    self._limits.discard(limit)

    def stop(self) -> None:
        """Let every wait end now, and every later one at once."""
        self.stopping = True
        now = asyncio.get_running_loop().time()
        for limit in self._limits:
            limit.reschedule(now)


@dataclass(frozen=True, slots=True)
class Services:
    """What the API stands on."""

    commands: Commands
    store: Store
    feed: Feed
    statistics: Callable[[], Mapping[str, Mapping[str, int]]]
    """How much of everything there is, part by part."""
    engine_socket: str
    """The engine's socket in a VM that names none: it stands in the pool key's line."""
    began: float = field(default_factory=time.monotonic)
    readers: Readers = field(default_factory=Readers)


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as handlers see it."""

    services: Services
    caller: Caller

    @property
    def store(self) -> Store:
        """The inventory."""
        return self.services.store

    @property
    def commands(self) -> Commands:
        """What can be done."""
        return self.services.commands
