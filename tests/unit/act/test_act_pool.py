"""Keeping one pool: lost and found again, what is stored of it, and what is written to it."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest

from roadstead.act.pools.pool import PoolEvents, PoolKeeper
from roadstead.act.publishing.outputs import Outputs, PoolDoor
from roadstead.errors import InputError
from roadstead.inventory.store import Store
from roadstead.kit import tasks
from roadstead.model import Fact, Pool, PoolId, Seen, VmId
from roadstead.peers.xapi.client import XapiClient
from roadstead.peers.xapi.trust import PoolAddress
from roadstead.plan.publishing import Choice
from roadstead.settings.schema import PoolSettings, Settings
from tests.unit.fakes import records
from tests.unit.fakes.ways import keep_virtual_time
from tests.unit.fakes.xapi import POOL_REF, FakeXapi, host_fields, metrics_fields, small_pool, vm_fields

pytestmark = pytest.mark.looptime
DAY_SECONDS = 86_400.0
SOON = 0.01


@pytest.fixture(autouse=True)
def _virtual_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of day is the loop's."""
    keep_virtual_time(monkeypatch)


class Owner:
    """Whom a keeper tells: an inventory, and what is stored."""

    def __init__(self) -> None:
        self.store = Store()
        self.pools: list[Pool] = []
        self.adopted: list[tuple[PoolId, dict[VmId, str]]] = []
        self.learned_of: list[tuple[str, tuple[str, ...]]] = []
        self.events = PoolEvents(self.tell, self.adopt, self.learned, self.outputs)

    def tell(self, facts: Sequence[Fact]) -> None:
        """See `PoolEvents`."""
        self.pools += [fact.record for fact in facts if isinstance(fact, Seen) and isinstance(fact.record, Pool)]
        self.store.apply(*facts)

    def adopt(self, pool: PoolId, pins: Mapping[VmId, str]) -> None:
        """See `PoolEvents`."""
        assert VmId("vm-1") not in self.store.vms or self.adopted, "pins are adopted before the listing is told"
        self.adopted.append((pool, dict(pins)))

    def outputs(self, pool: PoolDoor) -> Outputs:
        """See `PoolEvents`."""
        return Outputs(self.store, Settings(), pool, Choice)

    def learned(self, pool: PoolId, name: str, address: PoolAddress) -> None:
        """See `PoolEvents`."""
        assert pool == records.POOL
        self.learned_of.append((name, address.members))

    @property
    def words(self) -> list[str]:
        """How the pool stood each time it was told: live, its problem, or neither."""
        return ["live" if pool.live else pool.problem.code if pool.problem else "unknown" for pool in self.pools]


class SilentXapi(FakeXapi):
    """A pool that does not answer."""

    async def open(self) -> None:
        """Never end."""
        await asyncio.Event().wait()


@asynccontextmanager
async def _kept(xapi: FakeXapi, owner: Owner) -> AsyncIterator[PoolKeeper]:
    stored = records.pool(name="stored name", url="https://10.0.0.1")
    keeper = PoolKeeper(stored, cast("XapiClient", xapi), owner.events, PoolSettings())
    async with asyncio.TaskGroup() as group:
        task = tasks.spawn(group, keeper.run(), "pool")
        await asyncio.sleep(SOON)
        yield keeper
        await tasks.stop(task)


def _now() -> float:
    return asyncio.get_running_loop().time()


# ---- the ordinary life


async def test_a_pool_is_shown_as_stored_until_it_answers() -> None:
    """Then as it is: live, with its own name, hosts and VMs."""
    xapi, owner = small_pool(), Owner()
    async with _kept(xapi, owner) as keeper:
        assert owner.words == ["unknown", "live"]
        assert owner.pools[0].name == "stored name"
        assert (keeper.record.name, keeper.record.live) == ("lab", True)
        assert keeper.host_addresses == {"10.0.0.1"}
        assert set(owner.store.vms) == {"vm-1"}


async def test_the_end_signs_out() -> None:
    """No session is left in the pool."""
    xapi, owner = small_pool(), Owner()
    async with _kept(xapi, owner):
        assert xapi.is_open
    assert xapi.calls[-1] == "close"
    assert not xapi.is_open


async def test_pins_are_adopted_before_anybody_acts_on_the_listing() -> None:
    """All that VMs of the pool have remembered, by VM."""
    xapi, owner = small_pool(vms=2), Owner()
    xapi.change("vm", "ref:vm-2", other_config={"xscontainer-monitor": "True", records.HOST_KEY: "AAAA"})
    async with _kept(xapi, owner):
        assert owner.adopted == [(records.POOL, {"vm-2": "AAAA"})]


async def test_what_is_known_of_the_members_is_stored() -> None:
    """At each sign-in, and when the pool's name or its hosts' addresses change; not for anything else."""
    xapi, owner = small_pool(), Owner()
    async with _kept(xapi, owner):
        xapi.change("vm", "ref:vm-1", name_label="new")
        xapi.change("host", "ref:host-1", name_label="new")
        await asyncio.sleep(100)
        assert owner.learned_of == [("lab", ("10.0.0.1",))]
        xapi.put("host", "ref:host-2", host_fields(2))
        await asyncio.sleep(1)
        xapi.change("pool", POOL_REF, name_label="renamed")
        await asyncio.sleep(1)
        assert owner.learned_of[1:] == [("lab", ("10.0.0.1", "10.0.0.2")), ("renamed", ("10.0.0.1", "10.0.0.2"))]


async def test_a_host_with_another_certificate_is_learned_of() -> None:
    """Members renew their certificates while we watch: the next master must not be a stranger."""
    xapi, owner = small_pool(), Owner()
    async with _kept(xapi, owner):
        xapi.put("certificate", "ref:certificate", {"uuid": "c", "type": "host", "host": "ref:host-1"})
        await asyncio.sleep(1)
        assert len(owner.learned_of) == 2


# ---- another pool


@pytest.mark.parametrize("mends", [False, True], ids=["stays", "comes-back"])
async def test_a_pool_with_another_id_is_another_pool(*, mends: bool) -> None:
    """Installed anew, or its host joined another one: nothing of it is told or stored, and what was known stays."""
    xapi, owner = small_pool(), Owner()
    async with _kept(xapi, owner) as keeper:
        learned, before = len(owner.learned_of), dict(owner.store.vms)
        xapi.change("vm", "ref:vm-1", name_label="another's")
        xapi.change("pool", POOL_REF, uuid="pool-2", name_label="another")
        await asyncio.sleep(100)
        assert keeper.record.problem is not None
        assert (keeper.id, keeper.record.id) == (records.POOL, records.POOL)
        assert (keeper.record.name, keeper.record.problem.code) == ("lab", "pool-other-answers")
        assert (set(owner.store.pools), owner.store.vms) == ({records.POOL}, before)
        assert len(owner.learned_of) == learned
        if mends:
            xapi.change("pool", POOL_REF, uuid="pool-1")
            await asyncio.sleep(61)
            assert keeper.record.live


async def test_a_pool_that_breaks_right_after_each_listing_is_listed_ever_more_seldom() -> None:
    """Delays are short again only when it stayed live for a while."""
    xapi, owner = small_pool(), Owner()
    async with _kept(xapi, owner):
        for _ in range(600):
            xapi.fail("events", "pool-session-lost")
            await asyncio.sleep(0.5)
            xapi.fail("events", None)
            await asyncio.sleep(0.5)
        assert owner.words.count("live") < 20
        xapi.calls.clear()
        await asyncio.sleep(300)
        xapi.fail("events", "pool-session-lost")
        await asyncio.sleep(0.01)
        xapi.fail("events", None)
        await asyncio.sleep(1.1)
        assert owner.words[-1] == "live"


async def test_what_makes_no_sense_is_that_pools_problem() -> None:
    """An address, a CA file that cannot be used: it is told, and nothing else suffers."""
    xapi, owner = small_pool(), Owner()
    xapi.failing["open"] = InputError("field-invalid", field="ca_file", reason="it holds no certificate")
    async with _kept(xapi, owner) as keeper:
        assert keeper.record.problem is not None
        assert keeper.record.problem.code == "pool-unusable"
        assert "it holds no certificate" in keeper.record.problem.cause


# ---- losing it


async def test_a_lost_pool_is_said_once_with_its_time() -> None:
    """A day without the pool: one word when it begins, one when it ends, a try at least every minute."""
    xapi, owner = small_pool(), Owner()
    async with _kept(xapi, owner) as keeper:
        await asyncio.sleep(100)
        xapi.calls.clear()
        xapi.fail("events", "pool-session-lost")
        xapi.fail("open", "pool-unreachable")
        await asyncio.sleep(DAY_SECONDS)
        assert owner.words == ["unknown", "live", "pool-session-lost", "pool-unreachable"]
        last_answer = keeper.record.as_of
        assert records.at(100 - PoolSettings().event_seconds) <= last_answer < records.at(100 + SOON)
        assert keeper.record.problem is not None
        assert xapi.calls.count("open") > DAY_SECONDS / 61
        assert xapi.calls.count("open") < DAY_SECONDS / 44
        xapi.fail("events", None)
        xapi.fail("open", None)
        await asyncio.sleep(61)
        assert owner.words[4:] == ["live"]
        assert keeper.record.problem is None


async def test_what_happened_meanwhile_is_known_after_an_outage() -> None:
    """VMs that came, changed and went while nobody listened; and those that stayed are no news."""
    xapi, owner = small_pool(vms=3), Owner()
    async with _kept(xapi, owner):
        xapi.fail("events", "pool-session-lost")
        await asyncio.sleep(1)
        xapi.drop("vm", "ref:vm-1")
        xapi.change("vm", "ref:vm-2", name_label="new")
        xapi.put("vm_guest_metrics", "ref:metrics-4", metrics_fields("192.0.2.4"))
        xapi.put("vm", "ref:vm-4", vm_fields(4))
        before = owner.store.number
        xapi.fail("events", None)
        await asyncio.sleep(61)
        assert sorted(owner.store.vms) == ["vm-2", "vm-3", "vm-4"]
        assert owner.store.vms[VmId("vm-2")].name == "new"
        assert owner.store.number - before == 4


async def test_while_a_pool_is_away_its_vms_stay() -> None:
    """Their guests are reached without it."""
    xapi, owner = small_pool(), Owner()
    async with _kept(xapi, owner) as keeper:
        xapi.fail("events", "pool-unreachable")
        await asyncio.sleep(1000)
        assert set(owner.store.vms) == {"vm-1"}
        assert keeper.host_addresses == {"10.0.0.1"}


async def test_somebody_may_have_a_lost_pool_tried_at_once() -> None:
    """Instead of waiting for the end of a delay."""
    xapi, owner = small_pool(), Owner()
    xapi.fail("open", "pool-unreachable")
    async with _kept(xapi, owner) as keeper:
        await asyncio.sleep(1000)
        xapi.fail("open", None)
        keeper.try_now()
        await asyncio.sleep(SOON)
        assert keeper.record.live


async def test_members_that_could_not_be_learned_are_learned_later() -> None:
    """A failure in between costs a try, not the knowledge."""
    xapi, owner = small_pool(), Owner()
    xapi.fail("learn_members", "pool-timed-out")
    async with _kept(xapi, owner):
        await asyncio.sleep(100)
        assert owner.learned_of == []
        xapi.fail("learn_members", None)
        await asyncio.sleep(61)
        assert owner.learned_of == [("lab", ("10.0.0.1",))]


# ---- the first try


@pytest.mark.parametrize("code", [None, "pool-sign-in-failed"], ids=["answers", "refuses"])
async def test_the_first_try_can_be_waited_for(code: str | None) -> None:
    """Whichever way it ends."""
    xapi, owner = small_pool(), Owner()
    if code:
        xapi.fail("open", code)
    async with _kept(xapi, owner) as keeper, asyncio.timeout(10):
        pool = await keeper.wait_settled()
        assert pool.live is (code is None)


async def test_nobody_waits_for_a_first_try_that_never_ends() -> None:
    """A pool that is removed in the middle of it lets go whoever waits."""
    xapi, owner = SilentXapi(), Owner()
    async with asyncio.TaskGroup() as group:
        async with _kept(xapi, owner) as keeper:
            waiter = group.create_task(keeper.wait_settled())
            await asyncio.sleep(1)
            assert not waiter.done()
        async with asyncio.timeout(10):
            assert not (await waiter).live


# ---- writing


async def test_a_pin_is_written_seen_and_made_durable() -> None:
    """What is written comes back as an event, and survives a failover soon afterwards."""
    xapi, owner = small_pool(), Owner()
    async with _kept(xapi, owner) as keeper:
        await keeper.config.set(VmId("vm-1"), records.HOST_KEY, "AAAA")
        assert owner.store.vms[VmId("vm-1")].settings.get(records.HOST_KEY) is None
        await asyncio.sleep(0.1)
        assert owner.store.vms[VmId("vm-1")].settings[records.HOST_KEY] == "AAAA"
        await asyncio.sleep(3)
        assert xapi.calls.count("sync_database") == 1
