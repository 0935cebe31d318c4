"""A whole engine that says something hostile in one of its answers, met by the client and the watcher as in earnest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress

import msgspec

from roadstead.errors import PeerError
from roadstead.inventory.store import Store
from roadstead.model import Fact, LogWish, Seen
from roadstead.peers.engine.client import EngineClient
from roadstead.settings.schema import EngineSettings
from roadstead.watch.guest import GuestWatcher
from tests.unit.fakes import records
from tests.unit.peers_engine.pretender import Pretender, entry
from tests.unit.peers_engine.scripted import End, Piece, answer, chunked

FIRST = entry(0)["Id"]
_ABOUT_FIRST = (f"/containers/{FIRST}/top", f"/containers/{FIRST}/stats", f"/containers/{FIRST}/logs")
PATHS = ("/_ping", "/version", "/info", "/containers/json", "/events", *_ABOUT_FIRST, "/nothing")
SETTINGS = EngineSettings(answer_bytes=2**18, answer_seconds=2.0, containers=100, kept_bytes=2**20)


class Hostile(Pretender):
    """Says what it is told at one path, then hangs up; everything else is in order."""

    def __init__(self, path: str, said: bytes) -> None:
        super().__init__()
        self.answers[path] = said

    def _answers_to(self, number: int, text: str) -> Sequence[Piece]:
        said = super()._answers_to(number, text)
        return [*said, End()] if any(piece in self.answers.values() for piece in said) else said


class Inventory:
    """Takes what the watcher finds, as the real one does."""

    def __init__(self) -> None:
        self.store = Store()
        self.store.apply(Seen(records.vm()), Seen(records.link()))

    def listed(self, facts: Sequence[Fact], hidden: int, total: int) -> None:
        """See `watch.guest.Listener`."""
        assert 0 <= hidden <= total
        self.changed(facts)

    def changed(self, facts: Sequence[Fact]) -> None:
        """See `watch.guest.Listener`."""
        self.store.apply(*facts)


def met(data: bytes) -> None:
    """The first byte chooses where it is said, the second how it is framed."""
    place, framing, said = data[:1], data[1:2], data[2:]
    path = PATHS[sum(place) % len(PATHS)]
    framed = (said, answer(said), answer(said, 500), chunked(said) if said else b"")[sum(framing) % 4]
    asyncio.run(_meet(Hostile(path, framed)))


async def _meet(engine: Hostile) -> None:
    inventory = Inventory()
    client = engine.client(SETTINGS)
    await _ours(GuestWatcher(client, records.vm().id, inventory, SETTINGS).run())
    for asking in (
        client.top(FIRST),
        client.sample(FIRST),
        client.inspect(FIRST),
        _logs(client),
        client.act("stop", FIRST),
    ):
        await _ours(asking)
    client.close()
    for vm in inventory.store.vms:
        found = list(inventory.store.containers_of(vm).values())
        assert len(found) <= SETTINGS.containers
        msgspec.json.encode(found)


async def _logs(client: EngineClient) -> None:
    stream = await client.logs(FIRST, LogWish())
    try:
        while not stream.is_ended:
            await stream.wait()
            stream.take()
    finally:
        stream.close()


async def _ours(asking: Awaitable[object]) -> None:
    with suppress(PeerError):
        await asking
