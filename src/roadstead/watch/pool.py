"""Follows one pool: everything once, then its events (``event.from`` with tokens), never by asking again and again.

After every new session the token is empty and everything is listed: a token from the future (a pool whose master was
lost goes back in its numbering) is accepted by XAPI and then waits for ever. Deletions can be lost without a word when
many happen between two calls; the numbers of objects that each answer carries tell, and that class is listed again.

A pool that answers at once for ever, or whose numbers never agree, costs no more than a busy one: calls and listings
have a least distance.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from roadstead.errors import PoolError
from roadstead.model import Fact, Host, Pool, VmId
from roadstead.peers.xapi.client import XapiClient
from roadstead.peers.xapi.messages import EventBatch
from roadstead.settings.schema import PoolSettings
from roadstead.watch.book import CLASSES, Book

SHORTEST_WAIT_SECONDS = 0.05
"""How long the pool is given at least, and how far two calls are apart: XAPI answers 20 times a second at most."""
CERTIFICATE = "certificate"
"""The class whose events say that a host has another certificate: members may renew theirs while we watch."""


class Listener(Protocol):
    """Who is told what a pool's watcher finds."""

    def heard(self) -> None:
        """The pool answered, whether something changed or not."""

    def listed(self, facts: Sequence[Fact], pool: Pool, hosts: Sequence[Host]) -> None:
        """A complete listing: the pool is live from now on. What it holds of every VM is told next."""

    async def changed(self, facts: Sequence[Fact], pool: Pool, hosts: Sequence[Host]) -> None:
        """What changed since."""

    def published(self, digests: Mapping[VmId, Mapping[str, str]]) -> None:
        """The pool holds other published values (by digests) of these VMs than before, or than nothing is known of;
        told after facts about them.
        """

    def alerted(self, bodies: Mapping[VmId, Mapping[str, str]]) -> None:
        """The pool holds other alerts about these VMs than before, or than nothing is known of: all their bodies by
        their references.
        """

    async def certified(self) -> None:
        """Certificates of hosts are to be read: after a listing, and when some changed since."""


class PoolWatcher:
    """Watches the pool behind ``client`` until its session or its connection is lost. ``stored`` is what was known of
    the pool before: another one is not followed.
    """

    def __init__(self, client: XapiClient, stored: Pool, listener: Listener, settings: PoolSettings) -> None:
        self._client = client
        self._stored = stored
        self._listener = listener
        self._settings = settings
        self._book = Book(stored, settings.absence_seconds, settings.objects)
        self._asked = -SHORTEST_WAIT_SECONDS
        self._relists: dict[str, float] = {}
        """When each class may be listed again (the loop's clock)."""
        self._postponed: list[str] = []
        """Classes whose numbers differ, to be listed when they may."""

    async def run(self) -> None:
        """Watch until cancelled. Raises `PoolError` when the pool can no longer be followed."""
        await self._client.open()
        batch = await self._events("", self._settings.event_seconds)
        facts = await self._taken(batch)
        pool = self._book.pool
        if pool is None:
            fields = {"address": self._stored.url, "pool": self._stored.name}
            raise PoolError("pool-answer-invalid", **fields, reason="it has no pool")
        self._listener.listed([*facts, *self._book.listing()], pool, list(self._book.hosts))
        self._tell_written()
        await self._listener.certified()
        while True:
            batch = await self._events(batch.token, self._patience())
            await self._tell([*await self._taken(batch), *self._book.due(_now())])
            self._tell_written()
            if any(event.cls == CERTIFICATE for event in batch.events):
                await self._listener.certified()

    async def _events(self, token: str, seconds: float) -> EventBatch:
        await asyncio.sleep(self._asked + SHORTEST_WAIT_SECONDS - _now())
        self._asked = _now()
        return await self._client.events((*CLASSES, CERTIFICATE), token, seconds=seconds)

    async def _taken(self, batch: EventBatch) -> list[Fact]:
        self._listener.heard()
        facts = self._book.take(batch.events, _now())
        lost = self._book.lost(batch.counts)
        self._postponed = [name for name in lost if self._relists.get(name, 0.0) > _now()]
        for name in lost:
            if name not in self._postponed:
                self._relists[name] = _now() + self._settings.relist_seconds
                facts += self._book.relist(name, await self._client.list_all(name), _now())
        return facts

    async def _tell(self, facts: Sequence[Fact]) -> None:
        pool = self._book.pool
        if facts and pool is not None:
            await self._listener.changed(facts, pool, list(self._book.hosts))

    def _tell_written(self) -> None:
        """Tell what the pool holds of what we, or others like us, write into it."""
        self._listener.published(self._book.published())
        self._listener.alerted(self._book.alerts())

    def _patience(self) -> float:
        """How long the pool may keep us waiting: until a vanished key counts as gone, or until a class may be listed
        whose numbers differed; at most the setting.
        """
        due = [self._relists[name] for name in self._postponed]
        if (absence := self._book.next_due()) is not None:
            due.append(absence)
        wait = self._settings.event_seconds
        return min([wait, *(max(SHORTEST_WAIT_SECONDS, when - _now()) for when in due)])


def _now() -> float:
    return asyncio.get_running_loop().time()
