"""What is remembered of VMs: at once for planning, in batches for the database, never lost by one that fails."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import cast

import pytest

from roadstead.act.memory import RETRY_SECONDS, Memories, Met, Under
from roadstead.errors import PeerError
from roadstead.kit import tasks
from roadstead.model import PoolId, VmId
from roadstead.peers.database.client import Database, KeyedVm, Pin
from roadstead.peers.links.messages import Relay
from roadstead.plan.access import Access
from roadstead.plan.pins import Memory
from tests.unit.fakes import records
from tests.unit.fakes.databases import FakeDatabase, stored_pool

pytestmark = pytest.mark.looptime
KEY, OTHER = "AAAA", "BBBB"
ONE = records.VM


@pytest.fixture
def database() -> FakeDatabase:
    """An empty database."""
    return FakeDatabase()


def _memories(database: FakeDatabase) -> Memories:
    return Memories(cast("Database", database))


@asynccontextmanager
async def _running(database: FakeDatabase) -> AsyncIterator[Memories]:
    memories = _memories(database)
    await memories.load()
    async with asyncio.TaskGroup() as group:
        task = tasks.spawn(group, memories.run(), "memories")
        await asyncio.sleep(0)
        yield memories
        await tasks.stop(task)


def _kept(database: FakeDatabase) -> dict[str, str]:
    return {vm: pin.key for vm, pin in database.last.items()}


def _said(database: FakeDatabase) -> dict[str, str]:
    return {vm: pin.key for vm, pin in database.expected.items()}


# ---- remembering


async def test_nothing_is_known_of_a_stranger(database: FakeDatabase) -> None:
    """Neither a pin nor its pool, nor an address that worked."""
    memories = _memories(database)
    assert memories.of(records.vm()) == Memory()
    assert memories.winner(ONE) is None


async def test_what_was_kept_is_known_after_a_start(database: FakeDatabase) -> None:
    """Pins, the pools that were adopted, and whom each key opens."""
    database.stored[records.POOL] = stored_pool()
    database.last[ONE] = Pin(ONE, records.POOL, KEY, records.START)
    database.keyed[records.POOL, ONE, "SHA256:k"] = KeyedVm(records.POOL, ONE, "SHA256:k", records.START)
    async with _running(database) as memories:
        assert memories.of(records.vm()) == Memory(last=KEY, pool_known=True)
        assert memories.keyed.by_pool(records.POOL) == {ONE: {"SHA256:k"}}
        memories.met(ONE, Met(records.POOL, KEY, "SHA256:k"))
        await asyncio.sleep(100)
        assert database.writes == []


async def test_a_meeting_is_known_at_once_and_kept_soon(database: FakeDatabase) -> None:
    """Planning never waits for the disk."""
    async with _running(database) as memories:
        memories.met(ONE, Met(records.POOL, KEY, "SHA256:k"))
        assert memories.of(records.vm()).last == KEY
        assert memories.keyed.by_pool(records.POOL) == {ONE: {"SHA256:k"}}
        assert _kept(database) == {}
        await asyncio.sleep(1)
        assert _kept(database) == {ONE: KEY}
        assert list(database.keyed) == [(records.POOL, ONE, "SHA256:k")]
        assert memories.keyed.by_pool(records.POOL) == {ONE: {"SHA256:k"}}
        assert memories.keyed.by_pool(PoolId("pool-2")) == {}


async def test_a_fleet_is_kept_in_few_writes(database: FakeDatabase) -> None:
    """Thousands that are met within a second cost a handful of writes, one for each pool and batch."""
    async with _running(database) as memories:
        for number in range(5000):
            memories.met(VmId(f"vm-{number}"), Met(PoolId(f"pool-{number % 2}"), KEY))
            if number % 1000 == 0:
                await asyncio.sleep(0.2)
        await asyncio.sleep(5)
        assert len(database.last) == 5000
        assert len(database.writes) <= 10


async def test_meeting_again_under_the_same_key_writes_nothing(database: FakeDatabase) -> None:
    """Reconnects cost the disk nothing; another key of the pool or the VM does."""
    async with _running(database) as memories:
        for _ in range(10):
            memories.met(ONE, Met(records.POOL, KEY, "SHA256:k"))
            await asyncio.sleep(1)
        assert len(database.writes) == 1
        memories.met(ONE, Met(records.POOL, OTHER, "SHA256:k"))
        await asyncio.sleep(1)
        assert _kept(database) == {ONE: OTHER}
        memories.met(ONE, Met(records.POOL, OTHER, "SHA256:new"))
        await asyncio.sleep(1)
        assert len(database.keyed) == 2


# ---- failing


async def test_a_failing_database_loses_nothing(database: FakeDatabase) -> None:
    """What could not be written is written when it works again, the newest of each VM; planning noticed nothing."""
    async with _running(database) as memories:
        database.is_broken = True
        memories.met(ONE, Met(records.POOL, KEY, "SHA256:k"))
        await asyncio.sleep(100)
        memories.met(VmId("vm-2"), Met(records.POOL, KEY))
        memories.met(ONE, Met(records.POOL, OTHER, "SHA256:k"))
        assert memories.of(records.vm()).last == OTHER
        await asyncio.sleep(100)
        assert _kept(database) == {}
        database.is_broken = False
        await asyncio.sleep(RETRY_SECONDS + 1)
        assert _kept(database) == {ONE: OTHER, "vm-2": KEY}
        assert list(database.keyed) == [(records.POOL, ONE, "SHA256:k")]


async def test_what_is_met_during_a_write_is_written_next(database: FakeDatabase) -> None:
    """No meeting falls between two batches."""
    async with _running(database) as memories:
        memories.met(ONE, Met(records.POOL, KEY))
        await asyncio.sleep(0.255)
        memories.met(ONE, Met(records.POOL, OTHER))
        await asyncio.sleep(1)
        assert _kept(database) == {ONE: OTHER}
        assert len(database.writes) == 2


async def test_the_end_writes_what_is_left(database: FakeDatabase) -> None:
    """Also what was learned in the last moment."""
    async with _running(database) as memories:
        memories.met(ONE, Met(records.POOL, KEY))
    assert _kept(database) == {ONE: KEY}


async def test_an_end_that_cannot_write_says_so(database: FakeDatabase) -> None:
    """The one moment in which something may be lost is not passed over."""
    memories = _memories(database)

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            task = tasks.spawn(group, memories.run(), "memories")
            await asyncio.sleep(0)
            memories.met(ONE, Met(records.POOL, KEY))
            database.is_broken = True
            await tasks.stop(task)

    with pytest.raises(ExceptionGroup) as caught:
        await run()
    assert caught.group_contains(PeerError, match="disk is full")


# ---- adopting and forgetting


async def test_the_pins_of_a_new_pool_are_taken_as_they_stand(database: FakeDatabase) -> None:
    """Once, with its first listing; later ones say nothing new."""
    async with _running(database) as memories:
        assert not memories.of(records.vm()).pool_known
        memories.adopt(records.POOL, {ONE: KEY, VmId("vm-2"): KEY})
        assert memories.of(records.vm()) == Memory(last=KEY, pool_known=True)
        memories.adopt(records.POOL, {ONE: OTHER, VmId("vm-3"): OTHER})
        assert memories.of(records.vm()).last == KEY
        assert memories.of(records.vm("vm-3")) == Memory(last=None, pool_known=True)
        await asyncio.sleep(1)
        assert _kept(database) == {ONE: KEY, "vm-2": KEY}


async def test_a_pool_that_was_removed_is_strange_again(database: FakeDatabase) -> None:
    """Its pins are forgotten, in memory as in the database, also those not yet written; those of others stay."""
    async with _running(database) as memories:
        memories.adopt(records.POOL, {ONE: KEY, VmId("vm-2"): KEY})
        memories.adopt(PoolId("pool-2"), {VmId("other"): OTHER})
        await asyncio.sleep(1)
        memories.met(VmId("vm-3"), Met(records.POOL, KEY))
        await database.remove_pool(records.POOL)
        memories.forget_pool(records.POOL)
        assert memories.of(records.vm()) == Memory()
        assert memories.of(records.vm("vm-3")) == Memory()
        assert memories.of(records.vm("other", pool=PoolId("pool-2"))) == Memory(last=OTHER, pool_known=True)
        memories.adopt(records.POOL, {ONE: OTHER})
        assert memories.of(records.vm()).last == OTHER
        assert memories.of(records.vm("vm-2")).last is None
        await asyncio.sleep(1)
        assert _kept(database) == {"other": OTHER, ONE: OTHER}


async def test_a_forgotten_pin_makes_the_next_contact_a_first_one(database: FakeDatabase) -> None:
    """Here and in the database, also when it was not yet written."""
    async with _running(database) as memories:
        memories.met(ONE, Met(records.POOL, KEY))
        await asyncio.sleep(1)
        memories.met(VmId("vm-2"), Met(records.POOL, KEY))
        await memories.forget_pin(ONE, KEY)
        await memories.forget_pin(VmId("vm-2"), None)
        await memories.forget_pin(VmId("nobody"), None)
        await asyncio.sleep(1)
        assert memories.of(records.vm()) == Memory(forgotten=frozenset({KEY}))
        assert _kept(database) == {}
        memories.met(ONE, Met(records.POOL, OTHER))
        assert memories.of(records.vm()) == Memory(last=OTHER)


async def test_what_is_on_its_way_is_forgotten_too(database: FakeDatabase) -> None:
    """A pin that the database is just being told, and the pool may be, without showing it yet."""
    memories = _memories(database)
    memories.met(ONE, Met(records.POOL, KEY))
    async with asyncio.TaskGroup() as group:
        tasks.spawn(group, memories.flush(), "flush")
        await asyncio.sleep(0)
        await memories.forget_pin(ONE, None)
    assert _kept(database) == {}
    assert memories.of(records.vm()) == Memory(forgotten=frozenset({KEY}))


async def test_a_pin_is_known_for_anothers(database: FakeDatabase) -> None:
    """Of a VM that was never met, also when the other one is gone from the inventory."""
    memories = _memories(database)
    memories.met(VmId("other"), Met(records.POOL, KEY))
    pinned = records.vm(settings=records.MANAGED | {records.HOST_KEY: KEY})
    assert memories.of(pinned).is_anothers
    assert not memories.of(records.vm(settings=records.MANAGED | {records.HOST_KEY: OTHER})).is_anothers
    memories.met(ONE, Met(records.POOL, KEY))
    assert not memories.of(pinned).is_anothers


async def test_a_consent_holds_until_the_next_contact(database: FakeDatabase) -> None:
    """And is used up by it."""
    memories = _memories(database)
    memories.consent(ONE, "ssh-rsa SHA256:abc")
    memories.accept_address(ONE)
    assert memories.of(records.vm()) == Memory(consent="ssh-rsa SHA256:abc", address_accepted=True)
    assert memories.of(records.vm("vm-2")) == Memory()
    memories.met(ONE, Met(records.POOL, KEY))
    assert memories.of(records.vm()) == Memory(last=KEY)


async def test_forgetting_a_pin_takes_a_consent_back(database: FakeDatabase) -> None:
    """It was about the key that is no longer remembered."""
    memories = _memories(database)
    memories.consent(ONE, "ssh-rsa SHA256:abc")
    memories.accept_address(ONE)
    await memories.forget_pin(ONE, None)
    assert memories.of(records.vm()) == Memory()


async def test_the_last_winner_is_remembered(database: FakeDatabase) -> None:
    """The address that answered is tried first next time."""
    memories = _memories(database)
    memories.note_winner(ONE, "192.0.2.1")
    memories.note_winner(ONE, "192.0.2.2")
    assert memories.winner(ONE) == "192.0.2.2"


ACCESS = Access(user="core", port=22, socket="/var/run/docker.sock", address=None)
UNDER = Under(ACCESS, host_key=KEY, pool_key="SHA256:one")


@pytest.mark.parametrize(
    "other",
    [
        replace(UNDER, host_key=OTHER),
        replace(UNDER, pool_key="SHA256:two"),
        *(
            replace(UNDER, access=replace(ACCESS, **change))
            for change in ({"user": "root"}, {"port": 2222}, {"socket": "/run/podman/podman.sock"}, {"sudo": True})
        ),
    ],
    ids=["host key", "key of ours", "user", "port", "socket", "sudo"],
)
async def test_a_relay_is_remembered_for_what_it_was_found_under(database: FakeDatabase, other: Under) -> None:
    """Anything else may leave another one, and what was known before is not believed later either."""
    memories = _memories(database)
    memories.relay(ONE, UNDER).relay = Relay.SOCAT
    assert memories.relay(ONE, replace(UNDER)).relay is Relay.SOCAT
    assert memories.relay(VmId("another"), UNDER).relay is None
    assert memories.relay(ONE, other).relay is None
    assert memories.relay(ONE, UNDER).relay is None


async def test_a_relay_is_forgotten_with_its_vm_or_its_way(database: FakeDatabase) -> None:
    """When the VM is gone, and when it is reached over TLS."""
    memories = _memories(database)
    for forget in (memories.let_go, memories.forget_relay):
        memories.relay(ONE, UNDER).relay = Relay.SOCAT
        forget(ONE)
        assert memories.relay(ONE, UNDER).relay is None


# ---- what a VM must show


async def test_what_was_said_beforehand_survives_a_start_and_ends_with_the_contact(database: FakeDatabase) -> None:
    """From then on the pin says it."""
    await _memories(database).expect(records.POOL, ONE, "ssh-rsa SHA256:said", None)
    async with _running(database) as memories:
        assert memories.of(records.vm()) == Memory(expected="ssh-rsa SHA256:said")
        memories.met(ONE, Met(records.POOL, KEY))
        assert memories.of(records.vm()) == Memory(last=KEY)
        await asyncio.sleep(1)
        assert database.expected == {}


async def test_a_whole_key_is_what_the_vm_was_last_known_by(database: FakeDatabase) -> None:
    """So one that vanishes from the pool, or that another VM has too, is no stranger's."""
    async with _running(database) as memories:
        memories.met(ONE, Met(records.POOL, OTHER))
        await memories.expect(records.POOL, ONE, "ssh-rsa SHA256:said", KEY)
        assert memories.of(records.vm()) == Memory(last=KEY, expected="ssh-rsa SHA256:said")
        await asyncio.sleep(1)
        assert (_kept(database), _said(database)) == ({ONE: KEY}, {ONE: "ssh-rsa SHA256:said"})


@pytest.mark.parametrize("how", ["consent", "forget", "expect"])
async def test_the_last_word_counts(database: FakeDatabase, how: str) -> None:
    """Another key that was confirmed, or forgetting, takes back what was said, here and in the database."""
    async with _running(database) as memories:
        await memories.expect(records.POOL, ONE, " SHA256:said", None)
        match how:
            case "consent":
                memories.consent(ONE, "ssh-rsa SHA256:shown")
            case "forget":
                await memories.forget_pin(ONE, None)
            case _:
                memories.met(ONE, Met(records.POOL, KEY))
                await memories.expect(records.POOL, ONE, " SHA256:new", None)
        await asyncio.sleep(1)
        assert _said(database) == ({ONE: " SHA256:new"} if how == "expect" else {})
        memory = memories.of(records.vm())
        assert memory.expected == _said(database).get(ONE)
        assert memory.consent == ("ssh-rsa SHA256:shown" if how == "consent" else None)


async def test_what_cannot_be_kept_is_not_promised(database: FakeDatabase) -> None:
    """The operator is told, and nothing has changed."""
    database.is_broken = True
    memories = _memories(database)
    with pytest.raises(PeerError):
        await memories.expect(records.POOL, ONE, " SHA256:said", None)
    assert memories.of(records.vm()) == Memory()
