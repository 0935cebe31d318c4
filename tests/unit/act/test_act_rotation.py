"""Rotations of several pools: side by side, whichever of them is slow, and nothing is kept of one that is over."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import asyncssh
import pytest

from roadstead.act.audit import Audit
from roadstead.act.guests.links import Links
from roadstead.act.guests.ssh_ways import SshWays
from roadstead.act.keys.pair import PoolKeys
from roadstead.act.memory import Memories
from roadstead.act.pools.pools import Pools
from roadstead.act.rotation import Rotations
from roadstead.artifacts import key_lines
from roadstead.inventory.store import Store
from roadstead.kit import tasks
from roadstead.model import Pool, PoolId, Seen, VmId
from roadstead.model.config_keys import FORMER_PRIVATE_KEY_SECRET, PRIVATE_KEY_SECRET
from roadstead.peers.database.client import Database
from roadstead.peers.links import keys
from roadstead.peers.links.ssh import SshLink
from roadstead.peers.xapi.client import Secret, XapiClient
from roadstead.settings.schema import Settings
from tests.unit.fakes import records
from tests.unit.fakes.databases import FakeDatabase
from tests.unit.fakes.xapi import POOL_REF, FakeXapi, small_pool

pytestmark = pytest.mark.looptime
SLOW, QUICK = PoolId("slow"), PoolId("quick")
CALL_SECONDS, SHORT = 3600.0, 60.0


@cache
def _pem(number: int) -> str:
    del number
    return asyncssh.generate_private_key("ssh-rsa", key_size=1024).export_private_key().decode()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """New pairs are made at once."""

    async def generate() -> tuple[str, str]:
        pem = _pem(2)
        return pem, asyncssh.import_private_key(pem).export_public_key().decode()

    monkeypatch.setattr(keys, "generate_pool_key", generate)


class StoredPool(FakeXapi):
    """A pool with a key, of which an answer may take long."""

    seconds = 0.0

    @classmethod
    def made(cls) -> StoredPool:
        """A pool whose pair the old pack made."""
        xapi = cls(objects=small_pool(0).objects)
        xapi.secrets["private"] = Secret(uuid="private", value=_pem(1), marks={})
        xapi.change("pool", POOL_REF, other_config={PRIVATE_KEY_SECRET: "private"})
        return xapi

    async def pool(self) -> tuple[str, dict[str, Any]]:
        await asyncio.sleep(self.seconds)
        return await super().pool()

    def names(self) -> dict[str, str]:
        """What its ``other_config`` holds."""
        return dict(self.objects["pool"][POOL_REF]["other_config"])


@dataclass
class Keeper:
    """What rotations ask of a pool's keeper."""

    id: PoolId
    client: StoredPool = field(default_factory=StoredPool.made)

    def __post_init__(self) -> None:
        self.keys = PoolKeys(cast("XapiClient", self.client), self.id)
        self.record = Pool(id=self.id, name=self.id, url="https://x.invalid", live=True, as_of=records.START)


class Guest:
    """A link over which the line cannot be changed."""

    async def run(self, command: str, seconds: float) -> bytes:
        """Run a command of ours."""
        assert command and seconds
        return f"\n{key_lines.MARK}{key_lines.Answer.OWNER}\n".encode()

    def close(self) -> None:
        """End it."""


class Desk:
    """Two pools, what is known of their VMs, and who looks after their keys."""

    def __init__(self) -> None:
        self.keepers = {name: Keeper(name) for name in (SLOW, QUICK)}
        self.store = Store()
        self.store.apply(*(Seen(keeper.record) for keeper in self.keepers.values()))
        database = cast("Database", FakeDatabase())
        self.memories, settings = Memories(database), Settings()
        self.audit = Audit(database, settings.audit)
        parts = cast("Pools", self), cast("Links", self), cast("SshWays", self)
        self.rotations = Rotations(self.store, *parts, self.memories, self.audit, settings)
        self.link: Guest | None = None

    def keeper(self, pool: PoolId) -> Keeper:
        """See `Pools`."""
        return self.keepers[pool]

    def way(self, vm: VmId) -> Guest | None:
        """See `Links`."""
        del vm
        return self.link

    async def verify(self, vm: VmId, link: object, key: object) -> SshLink:
        """See `SshWays`."""
        del vm, link, key
        raise records.link_error("key-rejected")

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """While they are looked after."""
        async with asyncio.TaskGroup() as group:
            task = tasks.spawn(group, self.rotations.run(), "rotations")
            yield
            await tasks.stop(task)


async def test_a_slow_pool_holds_up_no_other() -> None:
    """Neither its looks nor a command about it: the other's rotation begins and ends meanwhile."""
    desk = Desk()
    slow, other = desk.keepers[SLOW].client, desk.keepers[QUICK].client
    async with asyncio.TaskGroup() as group, desk.working():
        await asyncio.sleep(1)
        slow.seconds = CALL_SECONDS
        begun = tasks.spawn(group, desk.rotations.begin(SLOW), "begin")
        await asyncio.sleep(SHORT)
        await desk.rotations.begin(QUICK)
        assert FORMER_PRIVATE_KEY_SECRET in other.names()
        await asyncio.sleep(SHORT)
        assert FORMER_PRIVATE_KEY_SECRET not in other.names()
        assert not begun.done()
        await tasks.stop(begun)


async def test_nothing_is_kept_of_a_rotation_that_another_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """No link that is closed, and nothing of a VM that needed preparing; while it lasts a closed link is not held."""
    monkeypatch.setattr("roadstead.act.rotation.SshLink", Guest)
    desk = Desk()
    xapi = desk.keepers[QUICK].client
    desk.store.apply(Seen(records.vm(pool=QUICK)), Seen(records.link()))
    async with desk.working():
        desk.link = Guest()
        await desk.rotations.begin(QUICK)
        await asyncio.sleep(SHORT)
        (told,) = (await desk.rotations.state(QUICK)).vms
        assert told.state == "needs-preparing"
        desk.link = None
        gc.collect()
        assert not [one for one in gc.get_objects() if isinstance(one, Guest)]
        names = xapi.names()
        xapi.change("pool", POOL_REF, other_config={PRIVATE_KEY_SECRET: names[PRIVATE_KEY_SECRET]})
        await asyncio.sleep(SHORT)
        xapi.change("pool", POOL_REF, other_config=names)
        await asyncio.sleep(SHORT)
        (told,) = (await desk.rotations.state(QUICK)).vms
        assert told.state == "waiting"
