"""Which plugins may call: what one pool does slowly is no other pool's trouble."""

import asyncio
from typing import Any, cast

import pytest

from roadstead.act.audit import Audit
from roadstead.act.plugin.access import PluginAccess, PluginDoor
from roadstead.act.pools.pools import Pools
from roadstead.kit import tasks
from roadstead.model import PoolId
from roadstead.model.config_keys import PLUGIN_TOKEN_SECRET
from roadstead.peers.database.client import Database
from roadstead.settings.schema import AuditSettings
from tests.unit.fakes.databases import FakeDatabase
from tests.unit.fakes.xapi import POOL_REF, FakeXapi, small_pool

pytestmark = pytest.mark.looptime
SLOW, QUICK = PoolId("slow"), PoolId("quick")
SHORT = 60.0


class SlowPool(FakeXapi):
    """A pool that lets one wait for each change."""

    async def set_pool_key(self, key: str, value: str | None) -> None:
        await asyncio.sleep(10 * SHORT)
        await super().set_pool_key(key, value)


class Keeper:
    """What is asked of a pool's keeper, and of the pools for one."""

    def __init__(self, pool: PoolId, client: FakeXapi) -> None:
        self.id, self.client = pool, client


class Keepers:
    """Two pools."""

    def __init__(self) -> None:
        slow = SlowPool(objects=small_pool().objects)
        self.kept = {SLOW: Keeper(SLOW, slow), QUICK: Keeper(QUICK, small_pool())}

    def keeper(self, pool: PoolId) -> Any:
        """See `Pools`."""
        return self.kept[pool]


async def test_a_slow_pool_holds_up_no_other() -> None:
    """Its token is on the way while another pool gets one; of two commands about one pool the second waits."""
    pools, database = Keepers(), cast("Database", FakeDatabase())
    door = PluginDoor("192.0.2.1", 8421, "0" * 64)
    access = PluginAccess(database, cast("Pools", pools), door, Audit(database, AuditSettings()))
    async with asyncio.TaskGroup() as group:
        slow = [tasks.spawn(group, access.enable(SLOW, None), f"enable {number}") for number in range(2)]
        await asyncio.sleep(1)
        async with asyncio.timeout(SHORT):
            assert (await access.enable(QUICK, None)).state == "on"
        assert not any(task.done() for task in slow)
    assert PLUGIN_TOKEN_SECRET in pools.kept[SLOW].client.objects["pool"][POOL_REF]["other_config"]
    assert len(pools.kept[SLOW].client.secrets) == 1


@pytest.mark.parametrize(
    ("listen", "url", "hint"),
    [
        ("127.0.0.1", None, "loopback"),
        ("::1", None, "loopback"),
        ("192.0.2.1", "https://localhost:8421", "loopback"),
        ("192.0.2.1", None, ""),
        ("192.0.2.1", "https://known:8421", ""),
        ("192.0.2.1", "https://unknown:8421", "the name unknown has no address here"),
    ],
)
async def test_an_address_that_no_host_may_reach_is_hinted_at(listen: str, url: str | None, hint: str) -> None:
    """It is done all the same: what the hosts can reach, only they know."""

    async def has_address(name: str) -> bool:
        return name == "known"

    pools, database = Keepers(), cast("Database", FakeDatabase())
    audit, door = Audit(database, AuditSettings()), PluginDoor(listen, 8421, "0" * 64)
    access = PluginAccess(database, cast("Pools", pools), door, audit, has_address)
    told = await access.enable(QUICK, url)
    assert told.state == "on"
    assert hint in told.hint and bool(hint) == bool(told.hint)
