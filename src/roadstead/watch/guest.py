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
from roadstead.model import Container, Engine, Fact, Gone, Listed, Scope, Seen, VmId, container_id
from roadstead.peers.engine.client import EngineClient
from roadstead.peers.engine.events import EventStream
from roadstead.peers.engine.messages.events import EngineEvent, Flood
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
        batch = await events.take(self._last_listing + self._settings.full_pass_seconds - _now())
        if isinstance(batch, Flood):
            await asyncio.sleep(max(0.0, self._last_listing + self._settings.relist_seconds - _now()))
            await self._list(None)
        elif batch:
            self._note_starts(batch)
            await self._read_again(list(dict.fromkeys(event.engine_id for event in batch)))
        elif _now() >= self._last_listing + self._settings.full_pass_seconds:
            await self._list(None)

    async def _read_again(self, asked: Sequence[str]) -> None:
        if len(asked) > REREAD_LIMIT:
            await self._list(None)
            return
        found = await self._engine.containers_by_id(asked)
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
        self._last_listing = _now()
        ids = frozenset[str](container.id for container in listing.containers)
        self._started = {id: at for id, at in self._started.items() if container_id(self._vm, id) in ids}
        facts: list[Fact] = [Seen(engine)] if engine is not None else []
        facts += [Seen(self._dated(container)) for container in listing.containers]
        facts.append(Listed(Scope("container", self._vm), ids))
        self._listener.listed(facts, listing.hidden, listing.total)

    def _note_starts(self, events: Iterable[EngineEvent]) -> None:
        for event in events:
            if event.action in STARTS and (at := clocks.at(event.time_nano / 1e9)):
                self._started[event.engine_id] = at

    def _dated(self, container: Container) -> Container:
        """Return ``container`` with the exact time of its start, where its event told it."""
        at = self._started.get(container.engine_id)
        return container if at is None or container.started is None else replace(container, started=at)


def _now() -> float:
    return asyncio.get_running_loop().time()
