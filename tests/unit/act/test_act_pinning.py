"""Writing pins: what a sign-in proved is put into the pool, what vanishes is put back, what others change is heeded."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Self, cast

import pytest

from roadstead.act.audit import Audit
from roadstead.act.guests.links import Links
from roadstead.act.guests.pinning import RETRY_SECONDS, PinWriter
from roadstead.act.guests.ssh_ways import SshWays
from roadstead.act.guests.vms import Vms
from roadstead.act.memory import Memories, Met
from roadstead.act.pools.pool import PoolKeeper
from roadstead.act.pools.pools import Pools
from roadstead.errors import NotFoundError, PoolError
from roadstead.inventory.store import Store
from roadstead.kit import tasks
from roadstead.model import Gone, LinkState, Pool, PoolId, Seen, VmId
from roadstead.peers.database.client import Database
from roadstead.settings.schema import AuditSettings
from tests.unit.fakes import records
from tests.unit.fakes.databases import FakeDatabase

pytestmark = pytest.mark.looptime
KEY, OTHER = "AAAA", "BBBB"
ONE = records.VM
SOON = 0.2
WRITE_SECONDS = 0.05


class Desk:
    """An inventory whose pool takes pins, and the writer that follows it."""

    def __init__(self) -> None:
        self.store = Store()
        self.memories = Memories(cast("Database", FakeDatabase()))
        self.written: list[tuple[float, str, str | None]] = []
        self.reconnected: list[str] = []
        self.error: PoolError | NotFoundError | None = None
        self.is_live = True
        self.echoes = True
        """What was written comes back as an event of the pool."""
        keepers: Mapping[PoolId, PoolKeeper] = {records.POOL: cast("PoolKeeper", self)}
        self.writer = PinWriter(self.store, keepers, self.memories, self.reconnected.append)

    @property
    def record(self) -> Pool:
        """See `PoolKeeper`."""
        return records.pool(live=self.is_live)

    @property
    def config(self) -> Self:
        """See `PoolKeeper`."""
        return self

    async def set(self, vm: VmId, name: str, key: str | None) -> None:
        """See `PoolConfig`."""
        assert name == records.HOST_KEY
        self.written.append((asyncio.get_running_loop().time(), vm, key))
        await asyncio.sleep(WRITE_SECONDS)
        if self.error is not None:
            raise type(self.error)(self.error.code)
        if self.echoes:
            asyncio.get_running_loop().call_later(WRITE_SECONDS, self.see, vm, key)

    def see(self, vm: str = ONE, pin: str | None = None, state: LinkState | None = LinkState.LIVE) -> None:
        """The pool shows this VM with this pin, and its link stands so."""
        settings = records.MANAGED | ({records.HOST_KEY: pin} if pin else {})
        self.store.apply(Seen(records.vm(vm, settings=settings)))
        if state is not None:
            self.store.apply(Seen(records.link(vm, state)))
        self.writer.consider(VmId(vm))

    def sign_in(self, vm: str = ONE, key: str = KEY) -> None:
        """The guest was reached under this key."""
        self.memories.met(VmId(vm), Met(records.POOL, key))
        self.writer.signed_in(VmId(vm))

    @property
    def pins(self) -> list[tuple[str, str | None]]:
        """What was written, without its times."""
        return [(vm, key) for _, vm, key in self.written]

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Let the writer work."""
        async with asyncio.TaskGroup() as group:
            task = tasks.spawn(group, self.writer.run(), "pins")
            await asyncio.sleep(0)
            yield
            await tasks.stop(task)


class Doors:
    """What the commands ask of pools, links and ways; whoever is to be called anew is not."""

    def __init__(self, desk: Desk) -> None:
        self.keeper = lambda _: desk
        self.reconnect = self.try_now = lambda _: None
        self.shown: dict[VmId, str] = {}


async def test_a_first_contact_is_written() -> None:
    """Once, and what comes back from the pool is no reason to write it again."""
    desk = Desk()
    async with desk.working():
        desk.see(state=None)
        desk.sign_in()
        desk.see()
        await asyncio.sleep(100)
        assert desk.pins == [(ONE, KEY)]
        assert desk.store.vms[ONE].settings[records.HOST_KEY] == KEY
        assert desk.reconnected == []


@pytest.mark.parametrize("seconds", [0.0, WRITE_SECONDS / 2, WRITE_SECONDS * 1.5], ids=["before", "amid", "after"])
async def test_what_is_forgotten_is_not_written_afterwards(seconds: float) -> None:
    """Wherever the writing of a first contact's pin is when the operator has it forgotten."""
    desk = Desk()
    audit = Audit(cast("Database", FakeDatabase()), AuditSettings())
    doors = cast("Pools", Doors(desk)), cast("Links", Doors(desk)), cast("SshWays", Doors(desk))
    vms = Vms(desk.store, *doors, desk.memories, audit)
    async with desk.working(), asyncio.TaskGroup() as group:
        desk.see(state=None)
        if seconds:
            desk.sign_in()
            await asyncio.sleep(seconds)
        forgetting = tasks.spawn(group, vms.forget_host_key(ONE), "forget")
        if not seconds:  # it was reached just before it is called anew
            await asyncio.sleep(WRITE_SECONDS / 2)
            desk.sign_in()
        await forgetting
        await asyncio.sleep(100)
        assert desk.pins[-1] == (ONE, None)
        assert records.HOST_KEY not in desk.store.vms[ONE].settings
        assert desk.memories.of(desk.store.vms[ONE]).last is None


async def test_a_sign_in_under_the_pinned_key_writes_nothing() -> None:
    """Reconnects cost the pool nothing."""
    desk = Desk()
    async with desk.working():
        desk.see(pin=KEY)
        for _ in range(5):
            desk.sign_in()
            await asyncio.sleep(1)
        assert desk.pins == []


async def test_a_sign_in_replaces_another_pin() -> None:
    """The operator confirmed it, or the pin was a copy: the handshake was held to that, not to what the pool shows."""
    desk = Desk()
    async with desk.working():
        desk.see(pin=OTHER)
        desk.sign_in(key=KEY)
        desk.see(pin=OTHER)
        await asyncio.sleep(100)
        assert desk.pins == [(ONE, KEY)]
        assert desk.reconnected == []


async def test_a_pin_that_vanishes_is_put_back() -> None:
    """A reverted snapshot, a failover, a hand on the key: the guest still shows it, so it is known."""
    desk = Desk()
    async with desk.working():
        desk.sign_in()
        desk.see(pin=KEY)
        await asyncio.sleep(SOON)
        desk.see(pin=None)
        await asyncio.sleep(100)
        assert desk.pins == [(ONE, KEY)]
        desk.see(pin=None)
        await asyncio.sleep(100)
        assert desk.pins == [(ONE, KEY), (ONE, KEY)]


@pytest.mark.parametrize("state", [LinkState.BROKEN, LinkState.CONNECTING, LinkState.OFF, None], ids=str)
async def test_a_pin_is_not_put_back_while_nobody_sees_the_guest(state: LinkState | None) -> None:
    """It may show another key by now; that is judged at the next handshake."""
    desk = Desk()
    async with desk.working():
        desk.memories.met(ONE, Met(records.POOL, KEY))
        desk.see(pin=None, state=state)
        await asyncio.sleep(100)
        assert desk.pins == []


async def test_a_pin_that_somebody_changed_is_heeded() -> None:
    """The guest is called anew under it; it is not overwritten."""
    desk = Desk()
    async with desk.working():
        desk.sign_in()
        desk.see(pin=KEY)
        await asyncio.sleep(SOON)
        desk.see(pin=OTHER)
        await asyncio.sleep(100)
        assert desk.reconnected == [ONE]
        assert desk.pins == []


async def test_what_we_wrote_is_given_time_to_come_back() -> None:
    """The old pin that is still shown meanwhile is no change by somebody else."""
    desk = Desk()
    desk.echoes = False
    async with desk.working():
        desk.see(pin=OTHER)
        desk.sign_in()
        await asyncio.sleep(SOON)
        desk.see(pin=OTHER)
        await asyncio.sleep(SOON)
        assert desk.reconnected == []
        desk.see(pin=KEY)
        desk.see(pin=OTHER)
        assert desk.reconnected == [ONE]


async def test_a_vm_without_a_memory_is_left_alone() -> None:
    """Its operator said that the key be forgotten."""
    desk = Desk()
    async with desk.working():
        desk.see(pin=OTHER)
        desk.see(pin=None)
        await asyncio.sleep(100)
        assert (desk.pins, desk.reconnected) == ([], [])


async def test_a_pool_that_fails_is_asked_again() -> None:
    """Until it takes the pin."""
    desk = Desk()
    desk.error = PoolError("pool-timed-out")
    async with desk.working():
        desk.see(state=None)
        desk.sign_in()
        await asyncio.sleep(10 * RETRY_SECONDS)
        assert 9 <= len(desk.pins) <= 11
        desk.error = None
        await asyncio.sleep(RETRY_SECONDS + 1)
        assert desk.store.vms[ONE].settings[records.HOST_KEY] == KEY
        tried = len(desk.pins)
        await asyncio.sleep(1000)
        assert len(desk.pins) == tried


async def test_an_account_that_may_not_write_is_not_asked_again() -> None:
    """Thousands of VMs would ask for ever; the next sign-in asks once more."""
    desk = Desk()
    desk.error = PoolError("pool-not-permitted")
    async with desk.working():
        desk.see(pin=OTHER)
        desk.sign_in()
        desk.see(pin=OTHER)
        await asyncio.sleep(10_000)
        assert len(desk.pins) == 1
        desk.see(pin=OTHER)
        assert desk.reconnected == []
        desk.sign_in()
        await asyncio.sleep(SOON)
        assert len(desk.pins) == 2


@pytest.mark.parametrize("gone", ["here", "in-the-pool"])
async def test_a_vm_that_is_gone_is_nobodys(gone: str) -> None:
    """Whoever notices first; the worker goes on with the others."""
    desk = Desk()
    desk.error = NotFoundError("no-such-vm") if gone == "in-the-pool" else None
    async with desk.working():
        desk.see(state=None)
        desk.sign_in()
        if gone == "here":
            desk.store.apply(Gone("vm", ONE))
        await asyncio.sleep(100)
        assert len(desk.pins) == (gone == "in-the-pool")
        desk.error = None
        desk.see("another", state=None)
        desk.sign_in("another")
        await asyncio.sleep(SOON)
        assert desk.pins[-1] == ("another", KEY)


async def test_a_vm_of_no_pool_has_no_pin_to_write() -> None:
    """An engine of this machine, or a pool that was just removed."""
    desk = Desk()
    async with desk.working():
        desk.store.apply(Seen(records.vm("local-1", pool=PoolId("local"))))
        desk.sign_in("local-1")
        await asyncio.sleep(SOON)
        assert desk.pins == []


async def test_a_fleet_is_written_side_by_side_but_bounded() -> None:
    """Several at once, so that a thousand first contacts take seconds, and never the same VM twice at once."""
    desk = Desk()
    async with desk.working():
        for number in range(80):
            desk.see(f"vm-{number}", state=None)
            desk.sign_in(f"vm-{number}")
        await asyncio.sleep(100)
        assert len(desk.pins) == len(set(desk.pins)) == 80
        moments = [at for at, _, _ in desk.written]
        assert max(moments.count(at) for at in set(moments)) == 8


async def test_a_pool_that_is_lost_is_not_waited_for() -> None:
    """Its pins are written when it is back; a worker that waited for it would hold up the pins of other pools."""
    desk = Desk()
    async with desk.working():
        desk.is_live = False
        desk.see(state=None)
        desk.sign_in()
        await asyncio.sleep(4 * RETRY_SECONDS)
        assert desk.pins == []
        desk.is_live = True
        await asyncio.sleep(2 * RETRY_SECONDS)
        assert desk.pins == [(ONE, KEY)]
