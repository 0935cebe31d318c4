"""Follows one pool: everything once, then its events (``event.from`` with tokens), never by asking again and again.

After every new session the token is empty and everything is listed: a token from the future (a pool whose master was
lost goes back in its numbering) is accepted by XAPI and then waits for ever. Deletions can be lost without a word when
many happen between two calls; the numbers of objects that each answer carries tell, and that class is listed again.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from roadstead.model import Fact, Host, Pool
from roadstead.peers.xapi.client import XapiClient
from roadstead.peers.xapi.messages import EventBatch
from roadstead.settings.schema import PoolSettings
from roadstead.watch.book import CLASSES, Book

SHORTEST_WAIT_SECONDS = 0.05
CERTIFICATE = "certificate"
"""The class whose events say that a host has another certificate: members may renew theirs while we watch."""


class Listener(Protocol):
    """Who is told what a pool's watcher finds."""

    def heard(self) -> None:
        """The pool answered, whether something changed or not."""

    async def listed(self, facts: Sequence[Fact], pool: Pool, hosts: Sequence[Host]) -> None:
        """A complete listing: the pool is live from now on."""

    async def changed(self, facts: Sequence[Fact], pool: Pool, hosts: Sequence[Host]) -> None:
        """What changed since."""

    async def certified(self) -> None:
        """Certificates of hosts changed since the listing."""


class PoolWatcher:
    """Watches the pool behind ``client`` until its session or its connection is lost."""

    def __init__(self, client: XapiClient, url: str, listener: Listener, settings: PoolSettings) -> None:
        self._client = client
        self._listener = listener
        self._settings = settings
        self._book = Book(url, settings.absence_seconds)

    async def run(self) -> None:
        """Watch until cancelled. Raises `PoolError` when the pool can no longer be followed."""
        await self._client.open()
        classes = (*CLASSES, CERTIFICATE)
        batch = await self._client.events(classes, "")
        facts = await self._taken(batch)
        if (pool := self._book.pool) is not None:
            await self._listener.listed([*facts, *self._book.listing()], pool, list(self._book.hosts))
        while True:
            batch = await self._client.events(classes, batch.token, seconds=self._patience())
            await self._tell([*await self._taken(batch), *self._book.due(_now())])
            if any(event.cls == CERTIFICATE for event in batch.events):
                await self._listener.certified()

    async def _taken(self, batch: EventBatch) -> list[Fact]:
        self._listener.heard()
        facts = self._book.take(batch.events, _now())
        for name in self._book.lost(batch.counts):
            facts += self._book.relist(name, await self._client.list_all(name), _now())
        return facts

    async def _tell(self, facts: Sequence[Fact]) -> None:
        pool = self._book.pool
        if facts and pool is not None:
            await self._listener.changed(facts, pool, list(self._book.hosts))

    def _patience(self) -> float:
        """How long the pool may keep us waiting: until a vanished key counts as gone, at most the setting."""
        due = self._book.next_due()
        wait = self._settings.event_seconds
        return wait if due is None else min(wait, max(SHORTEST_WAIT_SECONDS, due - _now()))


def _now() -> float:
    return asyncio.get_running_loop().time()
