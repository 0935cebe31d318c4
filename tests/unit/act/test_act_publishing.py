"""Publishing: what changed, no more, no oftener than a pool can bear, and right again whoever changed it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import cast

import pytest

from roadstead.act.pool_database.config import PoolConfig
from roadstead.act.publishing.publishing import Publisher
from roadstead.errors import NotFoundError, PoolError
from roadstead.inventory.store import Store
from roadstead.kit import tasks
from roadstead.model import Gone, LinkState, PowerState, Seen, VmId, config_keys
from roadstead.peers.xapi.messages import digest
from roadstead.plan.publishing import Choice
from roadstead.settings.schema import PublishSettings
from tests.unit.fakes import records
from tests.unit.fakes.ways import keep_virtual_time

pytestmark = pytest.mark.looptime


@pytest.fixture(autouse=True)
def _virtual_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of day is the loop's."""
    keep_virtual_time(monkeypatch)


class Pool:
    """A pool that says what it holds, as its events do, and the publisher that writes into it."""

    def __init__(self, vms: int = 1, choice: Choice | None = None, **settings: float) -> None:
        self.store = Store()
        self.choice = choice or Choice()
        self.values: dict[VmId, dict[str, str]] = {}
        self.writes: list[tuple[float, VmId, set[str]]] = []
        self.failure: Exception | None = None
        self.seconds = 0.003
        """How long a write takes."""
        config = cast("PoolConfig", self)
        self.asked = 0
        """How many writes were tried."""
        self.publisher = Publisher(records.POOL, self.store, config, PublishSettings(**settings), lambda: self.choice)
        for number in range(1, vms + 1):
            self.seen(Seen(records.vm(f"vm-{number}")), vm=f"vm-{number}")

    async def publish(self, vm: VmId, changes: Mapping[str, str | None]) -> None:
        """See `PoolConfig`."""
        self.asked += 1
        await asyncio.sleep(self.seconds)
        if self.failure is not None:
            raise self.failure
        self.writes.append((_now(), vm, set(changes)))
        held = self.values.setdefault(vm, {})
        for key, value in changes.items():
            held.pop(key, None)
            if value is not None:
                held[key] = value
        asyncio.get_running_loop().call_later(0.05, self.echo, vm)

    def echo(self, vm: VmId) -> None:
        """The pool tells what it holds."""
        self.publisher.held(vm, {key: digest(value) for key, value in self.values.get(vm, {}).items()})

    def seen(self, *facts: Seen | Gone, vm: str = "vm-1") -> None:
        """Something became known."""
        self.store.apply(*facts)
        self.publisher.consider(VmId(vm))

    def live(self, vm: str = "vm-1", containers: int = 1) -> None:
        """A VM is heard, and has these containers."""
        self.seen(Seen(records.link(vm)), Seen(records.engine(vm)), vm=vm)
        self.seen(*(Seen(records.container(number, vm)) for number in range(1, containers + 1)), vm=vm)

    def shown(self, vm: str = "vm-1") -> str:
        """What the clients see."""
        return self.values.get(VmId(vm), {}).get(config_keys.DOCKER_PS, "")

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """While the publisher works."""
        async with asyncio.TaskGroup() as group:
            task = tasks.spawn(group, self.publisher.run(), "publisher")
            yield
            await tasks.stop(task)


def _now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_change_is_published_at_once() -> None:
    """The first one; all three values, and then only what differs."""
    pool = Pool()
    async with pool.kept():
        pool.live()
        await asyncio.sleep(1)
        assert "<names>container-1</names>" in pool.shown()
        assert [keys for _, _, keys in pool.writes] == [set(config_keys.PUBLISHED_KEYS)]

        await asyncio.sleep(10)
        pool.seen(Seen(records.container(1, name="renamed")))
        await asyncio.sleep(1)
        assert "<names>renamed</names>" in pool.shown()
        assert [keys for _, _, keys in pool.writes[1:]] == [{config_keys.DOCKER_PS}]


async def test_what_is_published_already_is_not_written() -> None:
    """After a restart the pool holds what the last run wrote; time alone changes nothing."""
    pool = Pool()
    async with pool.kept():
        pool.live()
        await asyncio.sleep(1)
    again = Pool()
    again.values = pool.values
    async with again.kept():
        again.echo(VmId("vm-1"))
        again.live()
        await asyncio.sleep(100)
        again.seen(Seen(records.container(1, status="Up 9 minutes", as_of=records.at(500))))
        await asyncio.sleep(100)
        assert again.writes == []


async def test_a_storm_in_one_vm_is_one_write_in_two_seconds() -> None:
    """However many events there are, and the last state is the one that stays."""
    pool = Pool()
    async with pool.kept():
        pool.live()
        for number in range(1000):
            pool.seen(Seen(records.container(1, name=f"name-{number}")))
            await asyncio.sleep(0.01)
        await asyncio.sleep(5)
        assert len(pool.writes) <= 7
        assert "<names>name-999</names>" in pool.shown()


async def test_a_storm_in_all_vms_is_bounded_for_the_pool() -> None:
    """Twenty writes a second, and every VM gets its turn."""
    pool = Pool(vms=300)
    async with pool.kept():
        for number in range(1, 301):
            pool.live(f"vm-{number}")
        await asyncio.sleep(16)
        assert {vm for _, vm, _ in pool.writes} == set(pool.store.vms)
        times = [at for at, _, _ in pool.writes]
        assert all(later - earlier > 0.99 for earlier, later in zip(times, times[21:], strict=False))


async def test_a_pool_that_is_slow_gets_its_pauses() -> None:
    """However long a write takes, the next one to that VM begins two seconds after its end."""
    pool = Pool()
    pool.seconds = 3.0
    async with pool.kept():
        pool.live()
        for number in range(300):
            pool.seen(Seen(records.container(1, name=f"name-{number}")))
            await asyncio.sleep(0.1)
        await asyncio.sleep(10)
        times = [at for at, _, _ in pool.writes]
        assert len(times) > 5
        assert all(later - earlier >= 5.0 for earlier, later in pairwise(times))
        assert pool.publisher.writes == len(times)
        assert "<names>name-299</names>" in pool.shown()


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(Seen(records.vm(settings={})), id="disabled"),
        pytest.param(Seen(records.vm(power=PowerState.HALTED)), id="off"),
    ],
)
async def test_what_ends_is_wiped(end: Seen) -> None:
    """At once: no key stays, not even an empty one."""
    pool = Pool()
    async with pool.kept():
        pool.live()
        await asyncio.sleep(3)
        pool.seen(end)
        await asyncio.sleep(1)
        assert pool.values[VmId("vm-1")] == {}


async def test_a_lost_vm_is_wiped_after_a_minute() -> None:
    """Not before: a link that breaks for a moment is nothing for other clients to see."""
    pool = Pool()
    async with pool.kept():
        pool.live()
        await asyncio.sleep(3)
        pool.seen(Seen(records.link(state=LinkState.BROKEN, heard=records.at(_now()))))
        await asyncio.sleep(58)
        assert pool.shown()
        await asyncio.sleep(4)
        assert pool.values[VmId("vm-1")] == {}


async def test_what_somebody_else_changed_is_put_right() -> None:
    """A client that removed a value, a clone that brought another VM's."""
    pool = Pool()
    async with pool.kept():
        pool.live()
        await asyncio.sleep(5)
        right = pool.shown()
        pool.values[VmId("vm-1")] = {config_keys.DOCKER_PS: "<docker_ps/>"}
        pool.echo(VmId("vm-1"))
        await asyncio.sleep(3)
        assert pool.shown() == right

        pool.seen(Seen(records.vm("clone", settings={})), vm="clone")
        pool.values[VmId("clone")] = {config_keys.DOCKER_PS: right}
        pool.echo(VmId("clone"))
        await asyncio.sleep(3)
        assert pool.values[VmId("clone")] == {}


async def test_a_write_that_fails_is_made_again() -> None:
    """When the pool can take it; one that it does not permit, or whose VM is gone, is not."""
    pool = Pool()
    async with pool.kept():
        pool.failure = PoolError("pool-unreachable", pool="lab")
        pool.live()
        await asyncio.sleep(5)
        pool.failure = None
        await asyncio.sleep(20)
        assert "container-1" in pool.shown()

        for failure in (NotFoundError("no-such-vm", name="vm-1"), PoolError("pool-not-permitted")):
            pool.failure = failure
            pool.seen(Seen(records.container(1, name=f"renamed {failure.code}")))
            await asyncio.sleep(60)
            pool.failure = None
            await asyncio.sleep(60)
            assert "renamed" not in pool.shown()


async def test_a_choice_is_followed() -> None:
    """Where publishing is switched off, what was published goes."""
    pool = Pool()
    async with pool.kept():
        pool.live()
        await asyncio.sleep(5)
        pool.choice = Choice(on=False)
        pool.publisher.consider(VmId("vm-1"))
        await asyncio.sleep(1)
        assert pool.values[VmId("vm-1")] == {}


async def test_what_a_vm_makes_impossible_is_tried_ever_more_seldom() -> None:
    """In three hours of failing some twenty tries, though its containers change all the time; others are written."""
    pool = Pool(vms=2)
    async with pool.kept():
        pool.failure = PoolError("pool-call-failed", pool="lab")
        pool.live()
        for number in range(1080):
            pool.seen(Seen(records.container(1, name=f"name-{number}")))
            await asyncio.sleep(10)
        assert 15 < pool.asked < 30
        pool.failure = None
        pool.live("vm-2")
        await asyncio.sleep(1)
        assert pool.shown("vm-2")
        await asyncio.sleep(600)
        assert "name-1079" in pool.shown()


async def test_a_role_that_does_not_suffice_is_one_problem() -> None:
    """Not a thousand tries; it is over once a write works, at the latest ten minutes after it could."""
    pool = Pool(vms=300)
    async with pool.kept():
        pool.failure = PoolError("pool-not-permitted", call="VM.add_to_other_config")
        for number in range(1, 301):
            pool.live(f"vm-{number}")
        await asyncio.sleep(500)
        assert pool.asked <= 4
        pool.failure = None
        await asyncio.sleep(200)
        assert all(pool.shown(vm) for vm in pool.store.vms)


async def test_a_pool_that_is_there_again_is_written_to_at_once() -> None:
    """Also what was tried in vain, and what it lost meanwhile."""
    pool = Pool()
    async with pool.kept():
        pool.live()
        await asyncio.sleep(5)
        pool.failure = PoolError("pool-unreachable", pool="lab")
        pool.seen(Seen(records.container(1, name="renamed")))
        await asyncio.sleep(1000)
        pool.failure = None
        pool.values.clear()
        pool.publisher.answers()
        pool.echo(VmId("vm-1"))
        await asyncio.sleep(1)
        assert "renamed" in pool.shown()
        assert set(pool.values[VmId("vm-1")]) == set(config_keys.PUBLISHED_KEYS)


async def test_a_vm_of_another_pool_is_not_ours_to_write() -> None:
    """It moved there; what our pool still holds under its id goes with its record."""
    pool = Pool()
    async with pool.kept():
        pool.live()
        await asyncio.sleep(5)
        writes = len(pool.writes)
        pool.store.apply(Seen(records.vm("vm-1", pool="elsewhere")))
        pool.store.apply(Gone("vm", "vm-1", records.POOL))
        pool.publisher.consider(VmId("vm-1"))
        pool.publisher.held(VmId("vm-1"), {})
        await asyncio.sleep(10)
        assert len(pool.writes) == writes
