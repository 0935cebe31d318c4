"""Writing keys of a pool's VMs: in the order in which they were asked for, and so that they survive a failover."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from roadstead.act.pool_database.config import PoolConfig
from roadstead.errors import NotFoundError, PoolError
from roadstead.kit import tasks
from roadstead.model import VmId
from roadstead.model.config_keys import HOST_KEY, SSH_PORT
from roadstead.peers.xapi.client import XapiClient
from tests.unit.fakes.xapi import FakeXapi, small_pool

pytestmark = pytest.mark.looptime
DAY_SECONDS = 86_400.0
RETRY_SECONDS = 60.0
ONE, TWO = VmId("vm-1"), VmId("vm-2")


@asynccontextmanager
async def _writing(client: object) -> AsyncIterator[PoolConfig]:
    config = PoolConfig(cast("XapiClient", client), RETRY_SECONDS)
    async with asyncio.TaskGroup() as group:
        task = tasks.spawn(group, config.run(), "sync")
        yield config
        await tasks.stop(task)


class Slow:
    """A client that notes when each write begins and ends; the first one takes longest."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, str, str | None]] = []
        self._seconds = 3.0

    async def set_vm_key(self, uuid: str, _key: str, value: str | None) -> None:
        """See `XapiClient`."""
        self.notes.append(("begins", uuid, value))
        self._seconds -= 1.0
        await asyncio.sleep(self._seconds)
        self.notes.append(("ends", uuid, value))

    async def add_vm_key(self, uuid: str, _key: str, value: str) -> bool:
        """See `XapiClient`."""
        await self.set_vm_key(uuid, _key, value)
        return False


async def test_what_is_offered_takes_its_turn() -> None:
    """After a write that was asked for before, so that it finds what that wrote."""
    slow = Slow()
    async with _writing(slow) as config, asyncio.TaskGroup() as group:
        group.create_task(config.set(ONE, "key", "True"))
        group.create_task(config.offer(ONE, "key", "False"))
    assert slow.notes == [(what, ONE, value) for value in ("True", "False") for what in ("begins", "ends")]


async def test_writes_to_one_vm_take_turns() -> None:
    """Who enables a VM and disables it at once has it disabled, whichever write takes longer."""
    slow = Slow()
    async with _writing(slow) as config, asyncio.TaskGroup() as group:
        for value in ("True", "False"):
            group.create_task(config.set(ONE, "key", value))
    assert slow.notes == [(what, ONE, value) for value in ("True", "False") for what in ("begins", "ends")]


async def test_a_slow_write_holds_up_no_other_vm() -> None:
    """A turn is a VM's own."""
    slow = Slow()
    async with _writing(slow) as config, asyncio.TaskGroup() as group:
        for vm in (ONE, TWO):
            group.create_task(config.set(vm, "key", "value"))
    assert [(what, vm) for what, vm, _ in slow.notes] == [
        ("begins", ONE),
        ("begins", TWO),
        ("ends", TWO),
        ("ends", ONE),
    ]


async def test_a_write_that_failed_lets_the_next_one_in() -> None:
    """The turn ends with it."""
    xapi = small_pool()
    async with _writing(xapi) as config:
        xapi.fail("set_vm_key", "pool-timed-out")
        with pytest.raises(PoolError):
            await config.set(ONE, HOST_KEY, "AAAA")
        xapi.fail("set_vm_key", None)
        await config.set(ONE, HOST_KEY, "BBBB")
    assert _config(xapi)[HOST_KEY] == "BBBB"


async def test_what_is_written_is_made_durable() -> None:
    """The pool's database is synchronised soon afterwards."""
    xapi = small_pool()
    async with _writing(xapi) as config:
        await config.set(ONE, HOST_KEY, "AAAA")
        assert _config(xapi)[HOST_KEY] == "AAAA"
        assert "sync_database" not in xapi.calls
        await asyncio.sleep(3)
        assert xapi.calls.count("sync_database") == 1


async def test_what_is_offered_takes_the_place_of_nothing() -> None:
    """It is made durable where it was added, and else changes nothing."""
    xapi = small_pool()
    async with _writing(xapi) as config:
        for value in ("22", "2222"):
            await config.offer(ONE, SSH_PORT, value)
            await asyncio.sleep(100)
        assert _config(xapi)[SSH_PORT] == "22"
        assert xapi.calls.count("sync_database") == 1


async def test_writes_share_one_synchronisation() -> None:
    """A fleet that is met for the first time does not copy the pool's database a thousand times."""
    xapi = small_pool(vms=100)
    async with _writing(xapi) as config:
        for number in range(1, 101):
            await config.set(VmId(f"vm-{number}"), SSH_PORT, "22")
        await asyncio.sleep(100)
        assert xapi.calls.count("sync_database") == 1


async def test_a_synchronisation_that_fails_is_made_later() -> None:
    """Politely, until it works."""
    xapi = small_pool()
    async with _writing(xapi) as config:
        xapi.fail("sync_database", "pool-timed-out")
        await config.set(ONE, HOST_KEY, "AAAA")
        await asyncio.sleep(600)
        tried = xapi.calls.count("sync_database")
        assert 5 <= tried <= 11
        xapi.fail("sync_database", None)
        await asyncio.sleep(DAY_SECONDS)
        assert xapi.calls.count("sync_database") == tried + 1


async def test_an_account_that_may_not_synchronise_is_not_asked_again() -> None:
    """The pool flushes by itself every few minutes."""
    xapi = small_pool()
    async with _writing(xapi) as config:
        xapi.fail("sync_database", "pool-not-permitted")
        await config.set(ONE, HOST_KEY, "AAAA")
        await asyncio.sleep(DAY_SECONDS)
        assert xapi.calls.count("sync_database") == 1


async def test_what_cannot_be_written_is_said_to_who_asked() -> None:
    """An unknown VM, a pool that refuses; then there is nothing to make durable."""
    xapi = small_pool()
    async with _writing(xapi) as config:
        with pytest.raises(NotFoundError):
            await config.set(VmId("nobody"), "a", "b")
        xapi.fail("set_vm_key", "pool-not-permitted")
        with pytest.raises(PoolError):
            await config.set(ONE, HOST_KEY, "AAAA")
        await asyncio.sleep(100)
        assert "sync_database" not in xapi.calls


def _config(xapi: FakeXapi) -> dict[str, str]:
    [config] = [vm["other_config"] for vm in xapi.objects["vm"].values() if vm["uuid"] == ONE]
    return dict(config)
