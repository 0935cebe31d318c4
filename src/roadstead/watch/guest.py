"""Follows one guest's engine: one listing, then its events, each answered by reading that container again.

Events only say *which* container; what is told to the inventory is always what the engine answered when asked. The
first event is acted on at once; those that arrive during that read cause exactly one more. A slow full pass repairs
what was missed, and an engine that says more than we take is listed again instead of followed.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from msgspec.structs import replace

from roadstead.kit import clocks
from roadstead.model import Container, ContainerId, Engine, Fact, Gone, Listed, Scope, Seen, VmId, container_id
from roadstead.peers.engine.client import EngineClient, EventStream, Listing
from roadstead.peers.engine.messages import EngineEvent
from roadstead.settings.schema import EngineSettings

REREAD_LIMIT = 100
"""More containers than this that changed at once are cheaper to list than to name."""
STARTS = frozenset({"start", "restart"})


class Listener(Protocol):
    """Who is told what a guest's watcher finds."""

    def listed(self, facts: Sequence[Fact], hidden: int, total: int) -> None:
        """A complete listing: the guest is live from now on; ``hidden`` of its ``total`` containers are not shown."""

    def changed(self, facts: Sequence[Fact]) -> None:
        """What one or more containers are now."""


class GuestWatcher:
    """Watches the engine of one VM until its link or its engine fails."""

    def __init__(self, engine: EngineClient, vm: VmId, listener: Listener, settings: EngineSettings) -> None:
        self._engine = engine
        self._vm = vm
        self._listener = listener
        self._settings = settings
        self._started: dict[str, datetime] = {}
        self._last_listing = 0.0

    async def run(self) -> None:
        """Watch until cancelled. Raises `LinkError` or `EngineError` when the guest can no longer be followed."""
        hello = await self._engine.hello()
        async with self._engine.events(hello.date) as events:
            await self._list(hello.engine)
            while True:
                await self._follow(events)

    async def _follow(self, events: EventStream) -> None:
        """One turn: wait for events, or for the time of the full pass, and bring the inventory up to date."""
        loop = asyncio.get_running_loop()
        batch = await events.take(self._last_listing + self._settings.full_pass_seconds - loop.time())
        if events.overflowed:
            await self._pause_until(self._last_listing + self._settings.relist_seconds)
            events.forget()
            await self._list(None)
        elif batch:
            self._note_starts(batch)
            await self._read_again(dict.fromkeys(event.engine_id for event in batch))
        elif loop.time() >= self._last_listing + self._settings.full_pass_seconds:
            await self._list(None)

    async def _read_again(self, engine_ids: Iterable[str]) -> None:
        asked = list(engine_ids)
        if len(asked) > REREAD_LIMIT:
            await self._list(None)
            return
        found = {container.engine_id: container for container in await self._engine.containers_by_id(asked)}
        facts: list[Fact] = []
        for engine_id in asked:
            container = found.get(engine_id)
            if container is None:
                self._started.pop(engine_id, None)
                facts.append(Gone("container", container_id(self._vm, engine_id)))
            else:
                facts.append(Seen(self._dated(container)))
        self._listener.changed(facts)

    async def _list(self, engine: Engine | None) -> None:
        listing = await self._engine.containers()
        self._last_listing = asyncio.get_running_loop().time()
        kept = self._bounded(listing)
        ids = frozenset[str](container.id for container in kept)
        self._started = {id: at for id, at in self._started.items() if ContainerId(container_id(self._vm, id)) in ids}
        facts: list[Fact] = [Seen(engine)] if engine is not None else []
        facts += [Seen(self._dated(container)) for container in kept]
        facts.append(Listed(Scope("container", self._vm), ids))
        self._listener.listed(facts, listing.total - len(kept), listing.total)

    def _bounded(self, listing: Listing) -> Sequence[Container]:
        """Return as many of the listing's containers as one guest may keep in the inventory."""
        room = self._settings.kept_bytes
        kept = []
        for container in listing.containers:
            room -= weight(container)
            if room < 0:
                break
            kept.append(container)
        return kept

    def _note_starts(self, events: Iterable[EngineEvent]) -> None:
        for event in events:
            if event.action in STARTS and (at := clocks.at(event.time_nano / 1e9)):
                self._started[event.engine_id] = at

    def _dated(self, container: Container) -> Container:
        """Return ``container`` with the exact time of its start, where its event told it."""
        at = self._started.get(container.engine_id)
        return container if at is None or container.started is None else replace(container, started=at)

    async def _pause_until(self, when: float) -> None:
        await asyncio.sleep(max(0.0, when - asyncio.get_running_loop().time()))


def weight(container: Container) -> int:
    """Return about how many bytes of memory ``container`` takes."""
    texts = (container.name, container.image, container.command, container.status)
    labels = sum(len(key) + len(value) + 128 for key, value in container.labels.items())
    return 900 + sum(map(len, texts)) + labels + 120 * len(container.ports)
