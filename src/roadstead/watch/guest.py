"""Follows one guest's engine: one listing, then its events, each answered by reading that container again.

Events only say *which* container; what is told to the inventory is always what the engine answered when asked. The
first event is acted on at once; those that arrive during that read cause exactly one more, and so does an answer that
contradicts its event or does not last (`doubts`). A slow full pass repairs what was missed, and an engine that says
more than we take is listed again instead of followed.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from msgspec.structs import replace

from roadstead.kit import clocks
from roadstead.model import Container, Engine, Fact, Gone, Listed, Scope, Seen, VmId, container_id, weight
from roadstead.peers.engine.client import EngineClient
from roadstead.peers.engine.events import EventStream
from roadstead.peers.engine.messages.events import EngineEvent, Flood
from roadstead.settings.schema import EngineSettings
from roadstead.watch.doubts import Doubts

REREAD_LIMIT = 100
"""More containers than this that changed at once are cheaper to list than to name."""
STARTS = frozenset({"start", "restart"})
READING_TIME = timedelta(seconds=2)
"""How old an engine's answer may be when we date it."""


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
        self._doubts = Doubts()
        self._started: dict[str, datetime] = {}
        self._last_listing = 0.0
        self._heard = 0.0
        """When the engine said something last."""
        self._room = settings.kept_bytes
        """How much may still be read of single containers before all are listed again."""
        self._shown: frozenset[str] | None = None
        """The ids in the last listing when it was cut short: what was left out does not come in by its events."""

    async def run(self) -> None:
        """Watch until cancelled. Raises `LinkError` or `EngineError` when the guest can no longer be followed."""
        hello = await self._engine.hello()
        async with self._engine.events(hello.date) as events:
            await self._list(hello.engine)
            while True:
                await self._follow(events)

    async def _follow(self, events: EventStream) -> None:
        """One turn: wait for events, or until something is due without them, and bring the inventory up to date."""
        full_pass = self._last_listing + self._settings.full_pass_seconds
        idle = self._heard + self._settings.idle_seconds
        until = min(full_pass, idle, _now() + self._doubts.seconds(_now()))
        batch = await events.take(until - _now())
        if isinstance(batch, Flood) or self._room < 0:
            await events.rest(max(0.0, self._last_listing + self._settings.relist_seconds - _now()))
            await self._list(None)
            return
        # A timer may go off a moment early.
        now = _now() if batch or self._engine.is_doubted else max(_now(), until)
        if self._engine.is_doubted or (not batch and now >= idle):
            await self._engine.ping()
            self._heard = _now()
        lagging = self._doubts.note(batch, now)
        self._note_starts(batch)
        asked = list(dict.fromkeys([*(event.engine_id for event in batch), *self._doubts.due(max(now, _now()))]))
        if now >= full_pass:
            await self._list(None)
        elif asked:
            # Of several the first would hold up the others.
            await self._read_again(asked, lagging.pop() if len(lagging) == 1 else None)

    async def _read_again(self, asked: Sequence[str], settling: str | None) -> None:
        if len(asked) > REREAD_LIMIT:
            await self._list(None)
            return
        found = await self._engine.containers_by_id(asked, settling)
        self._heard = _now()
        facts: list[Fact] = []
        for engine_id in asked:
            container = found.get(engine_id)
            if not self._doubts.settle(engine_id, container, _now()):
                continue
            if container is None:
                self._started.pop(engine_id, None)
                facts.append(Gone("container", container_id(self._vm, engine_id)))
            elif self._shown is None or container.id in self._shown:
                self._room -= weight(container)
                facts.append(Seen(self._dated(container)))
        self._doubts.wait_longer()
        if facts:
            self._listener.changed(facts)

    async def _list(self, engine: Engine | None) -> None:
        listing = await self._engine.containers()
        self._last_listing = self._heard = _now()
        self._room = self._settings.kept_bytes
        self._doubts.settle_all({container.engine_id: container for container in listing.containers}, _now())
        self._doubts.wait_longer()
        ids = frozenset[str](container.id for container in listing.containers)
        self._shown = ids if listing.hidden else None
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
        """Return ``container`` with the time of its start as its event told it, or as it was first worked out.

        What is worked out anew from each ``Up 3 hours`` would differ each time. A known time is given up when it does
        not fit such a phrase, which may stand for nearly twice as long: then we missed a start.
        """
        if container.started is None:
            self._started.pop(container.engine_id, None)
            return container
        known = self._started.setdefault(container.engine_id, container.started)
        if abs(known - container.started) > container.as_of - container.started + READING_TIME:
            known = self._started[container.engine_id] = container.started
        return replace(container, started=known)


def _now() -> float:
    return asyncio.get_running_loop().time()
