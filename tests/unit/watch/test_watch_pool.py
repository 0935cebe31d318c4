"""Following a pool: everything once, then its events, and never a question more than needed."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from msgspec import structs

from roadstead.errors import PoolError
from roadstead.inventory.store import Store
from roadstead.kit import tasks
from roadstead.model import Fact, Gone, Host, Listed, Pool, PoolId, Seen, Vm, VmId
from roadstead.peers.xapi.client import XapiClient
from roadstead.peers.xapi.messages import CANNOT_MONITOR, EventBatch, digest
from roadstead.settings.schema import PoolSettings
from roadstead.watch.pool import PoolWatcher
from tests.unit.fakes import records
from tests.unit.fakes.xapi import FakeXapi, host_fields, metrics_fields, small_pool, vm_fields

pytestmark = pytest.mark.looptime
SETTINGS = PoolSettings()
STORED = records.pool(name="stored name", url="https://10.0.0.1")
ONE = VmId("vm-1")


class Listener:
    """Keeps an inventory of what it is told, and when it was told what."""

    def __init__(self) -> None:
        self.store = Store()
        self.told: list[tuple[float, str, list[Fact]]] = []
        self.pool: Pool | None = None
        self.answers = 0
        self.hosts: list[Host] = []
        self.held: dict[VmId, dict[str, str]] = {}
        self.alerts: dict[VmId, dict[str, str]] = {}

    def heard(self) -> None:
        self.answers += 1

    def listed(self, facts: Sequence[Fact], pool: Pool, hosts: Sequence[Host]) -> None:
        self._note("listed", facts, pool, hosts)

    async def changed(self, facts: Sequence[Fact], pool: Pool, hosts: Sequence[Host]) -> None:
        self._note("changed", facts, pool, hosts)

    def published(self, digests: Mapping[VmId, Mapping[str, str]]) -> None:
        self.held |= {vm: dict(held) for vm, held in digests.items()}

    def alerted(self, bodies: Mapping[VmId, Mapping[str, str]]) -> None:
        self.alerts |= {vm: dict(held) for vm, held in bodies.items()}

    async def certified(self) -> None:
        if self.words[-1] != (_now(), "listed"):  # as after each listing
            self.told.append((_now(), "certified", []))

    def _note(self, word: str, facts: Sequence[Fact], pool: Pool, hosts: Sequence[Host]) -> None:
        self.told.append((_now(), word, list(facts)))
        self.pool, self.hosts = pool, list(hosts)
        self.store.apply(*facts)

    @property
    def words(self) -> list[tuple[float, str]]:
        """When it was told, and whether it was a listing."""
        return [(at, word) for at, word, _ in self.told]

    def vm(self) -> Vm:
        """The first VM."""
        return self.store.vms[ONE]


def _now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def _watching(xapi: FakeXapi) -> AsyncIterator[Listener]:
    listener = Listener()
    watcher = PoolWatcher(cast("XapiClient", xapi), STORED, listener, SETTINGS)
    async with asyncio.TaskGroup() as group:
        task = tasks.spawn(group, watcher.run(), "watcher")
        await asyncio.sleep(0.001)
        yield listener
        await tasks.stop(task)


async def test_the_first_answer_is_a_complete_listing() -> None:
    """It is told as one, after sign-in, with everything that exists and the word that nothing else does."""
    xapi = small_pool(vms=3)
    async with _watching(xapi) as listener:
        ((_, word, facts),) = listener.told
        assert word == "listed"
        assert [type(fact) for fact in facts[-2:]] == [Listed, Listed]
        assert sorted(listener.store.vms) == ["vm-1", "vm-2", "vm-3"]
        assert listener.pool is not None
        assert listener.store.pools == {listener.pool.id: listener.pool}
        assert [host.address for host in listener.hosts] == ["10.0.0.1"]
    assert xapi.calls[:2] == ["open", "events"]


async def test_a_change_is_told_at_once() -> None:
    """The pool's answer ends the waiting."""
    xapi = small_pool()
    async with _watching(xapi) as listener:
        await asyncio.sleep(10)
        xapi.change("vm", "ref:vm-1", name_label="new")
        await asyncio.sleep(0.001)
        assert listener.vm().name == "new"
        assert [word for _, word in listener.words] == ["listed", "changed"]


async def test_silence_costs_one_call_in_half_a_minute() -> None:
    """Records are never asked for again and again, and nothing is told when nothing happens."""
    xapi = small_pool()
    async with _watching(xapi) as listener:
        xapi.calls.clear()
        await asyncio.sleep(3600)
        assert xapi.calls == ["events"] * 120
        assert len(listener.told) == 1


@pytest.mark.parametrize(
    ("cls", "ref", "gone"),
    [("vm", "ref:vm-2", "vm-2"), ("host", "ref:host-2", "host-2"), ("vm_guest_metrics", "ref:metrics-2", None)],
)
async def test_a_deletion_that_got_lost_is_found_by_its_count(cls: str, ref: str, gone: str | None) -> None:
    """The next answer's numbers differ: that class, and only that, is listed again, once."""
    xapi = small_pool(vms=2)
    xapi.put("host", "ref:host-2", host_fields(2))
    async with _watching(xapi) as listener:
        xapi.drop(cls, ref, silently=True)
        await asyncio.sleep(120)
        assert [call for call in xapi.calls if call.startswith("list_all")] == [f"list_all {cls}"]
        facts = [fact for _, _, facts in listener.told[1:] for fact in facts]
        assert (Gone(cls, gone, PoolId("pool-1")) in facts) if gone else (facts == [])


async def test_many_deletions_at_once_are_all_found() -> None:
    """Some of 600 deletions are told, the rest is found."""
    xapi = small_pool(vms=600)
    async with _watching(xapi) as listener:
        for number in range(1, 600):
            xapi.drop("vm", f"ref:vm-{number}", silently=number > 200)
        await asyncio.sleep(60)
        assert list(listener.store.vms) == ["vm-600"]


async def test_an_update_of_a_key_in_two_steps_is_told_once() -> None:
    """Removed and added half a second later: readers never see the VM unmanaged."""
    xapi = small_pool()
    async with _watching(xapi) as listener:
        xapi.change("vm", "ref:vm-1", other_config={})
        await asyncio.sleep(0.5)
        assert listener.vm().enabled
        xapi.change("vm", "ref:vm-1", other_config={"xscontainer-monitor": "True", "roadstead-address": "192.0.2.9"})
        await asyncio.sleep(60)
        changed = [fact for _, _, facts in listener.told[1:] for fact in facts if isinstance(fact, Seen)]
        assert all(fact.record.enabled for fact in changed if isinstance(fact.record, Vm))
        assert listener.vm().settings["roadstead-address"] == "192.0.2.9"


async def test_a_key_that_is_gone_is_told_after_its_grace_although_nothing_happens() -> None:
    """The watcher does not let the pool keep it waiting for longer than that."""
    xapi = small_pool()
    async with _watching(xapi) as listener:
        await asyncio.sleep(10)
        xapi.change("vm", "ref:vm-1", other_config={})
        await asyncio.sleep(1.9)
        assert listener.vm().enabled
        await asyncio.sleep(0.2)
        assert not listener.vm().enabled
        xapi.calls.clear()
        await asyncio.sleep(300)
        assert len(xapi.calls) == 10


class RestlessXapi(FakeXapi):
    """A pool that answers every question for events at once, and whose numbers never agree."""

    async def events(self, classes: Iterable[str], token: str, *, seconds: float | None = None) -> EventBatch:
        """Answer at once."""
        batch = await super().events(classes, token, seconds=0.0)
        return structs.replace(batch, counts={**batch.counts, "vm": 77})


async def test_a_restless_pool_costs_no_more_than_a_busy_one() -> None:
    """At most 20 calls a second, and a listing of the class in 5 s."""
    xapi = RestlessXapi(objects=small_pool().objects)
    async with _watching(xapi):
        xapi.calls.clear()
        await asyncio.sleep(60)
        assert 1000 < xapi.calls.count("events") <= 1201
        assert 11 <= xapi.calls.count("list_all vm") <= 13


async def test_a_class_that_may_not_be_listed_yet_is_listed_when_it_may() -> None:
    """Also when nothing else happens meanwhile."""
    xapi = small_pool(vms=3)
    async with _watching(xapi) as listener:
        await asyncio.sleep(10)
        for number in (1, 2):
            xapi.drop("vm", f"ref:vm-{number}", silently=True)
            xapi.change("host", "ref:host-1", name_label=f"new {number}")
            await asyncio.sleep(1)
        assert xapi.calls.count("list_all vm") == 1
        await asyncio.sleep(4.1)
        assert xapi.calls.count("list_all vm") == 2
        assert list(listener.store.vms) == ["vm-3"]


async def test_an_answer_without_a_pool_is_none() -> None:
    """The supervisor is told."""
    xapi = small_pool()
    del xapi.objects["pool"]
    with pytest.raises(PoolError, match="it has no pool"):
        await PoolWatcher(cast("XapiClient", xapi), STORED, Listener(), SETTINGS).run()


@pytest.mark.parametrize("method", ["open", "events", "list_all"])
async def test_what_the_pool_refuses_ends_the_watch(method: str) -> None:
    """The supervisor is told; nothing is tried again in here."""
    xapi = small_pool(vms=2)
    xapi.fail(method, "pool-session-lost")
    if method == "list_all":
        asyncio.get_running_loop().call_later(1, lambda: xapi.drop("vm", "ref:vm-2", silently=True))
    watcher = PoolWatcher(cast("XapiClient", xapi), STORED, Listener(), SETTINGS)
    with pytest.raises(PoolError, match="ended our session"):
        async with asyncio.timeout(120):
            await watcher.run()


async def test_a_session_that_is_lost_while_waiting_ends_the_watch_at_once() -> None:
    """What was told before stays told."""
    xapi, listener = small_pool(), Listener()
    watcher = PoolWatcher(cast("XapiClient", xapi), STORED, listener, SETTINGS)
    asyncio.get_running_loop().call_at(7, xapi.fail, "events", "pool-session-lost")
    with pytest.raises(PoolError):
        await watcher.run()
    assert _now() == 7
    assert len(listener.told) == 1


async def test_a_new_watcher_begins_with_a_listing_that_repairs() -> None:
    """What went while nobody listened goes with the next listing."""
    xapi, listener = small_pool(vms=2), Listener()
    for _ in range(2):
        watcher = PoolWatcher(cast("XapiClient", xapi), STORED, listener, SETTINGS)
        xapi.fail("events", None)
        asyncio.get_running_loop().call_later(5, xapi.fail, "events", "pool-unreachable")
        with pytest.raises(PoolError):
            await watcher.run()
        if "ref:vm-2" in xapi.objects["vm"]:
            xapi.drop("vm", "ref:vm-2")
            xapi.put("vm", "ref:vm-3", vm_fields(3))
            xapi.put("vm_guest_metrics", "ref:metrics-3", metrics_fields("192.0.2.3"))
    assert sorted(listener.store.vms) == ["vm-1", "vm-3"]
    assert [word for _, word in listener.words] == ["listed", "listed"]


async def test_the_listener_is_given_time() -> None:
    """While it stores what it learned, events wait in the pool; none is lost."""
    xapi = small_pool()

    class Slow(Listener):
        async def changed(self, facts: Sequence[Fact], pool: Pool, hosts: Sequence[Host]) -> None:
            await asyncio.sleep(60)
            await super().changed(facts, pool, hosts)

    listener: Any = Slow()
    watcher = PoolWatcher(cast("XapiClient", xapi), STORED, listener, SETTINGS)
    async with asyncio.TaskGroup() as group:
        task = tasks.spawn(group, watcher.run(), "watcher")
        for name in ("a", "b", "c"):
            await asyncio.sleep(1)
            xapi.change("vm", "ref:vm-1", name_label=name)
        await asyncio.sleep(300)
        await tasks.stop(task)
    assert listener.vm().name == "c"
    assert len(listener.told) == 3


async def test_what_the_pool_publishes_is_told_by_digests() -> None:
    """At first, whenever somebody changes it, when it goes; and nothing of it when something else changes."""
    xapi = small_pool()
    shown = {"xscontainer-monitor": "True", "docker_ps": "<docker_ps/>", "docker_else": "x"}
    xapi.change("vm", "ref:vm-1", other_config=shown)
    async with _watching(xapi) as listener:
        assert listener.held == {VmId("vm-1"): {"docker_ps": digest("<docker_ps/>")}}

        listener.held.clear()
        xapi.change("vm", "ref:vm-1", name_label="renamed")
        await asyncio.sleep(1)
        assert listener.held == {}

        xapi.change("vm", "ref:vm-1", other_config=shown | {"docker_ps": "other"})
        await asyncio.sleep(1)
        assert listener.held == {VmId("vm-1"): {"docker_ps": digest("other")}}

        xapi.change("vm", "ref:vm-1", other_config={})
        await asyncio.sleep(1)
        assert listener.held == {VmId("vm-1"): {}}


async def test_alerts_of_the_pool_are_told_whoever_raised_them() -> None:
    """Those with the historic title; all there are about a VM, when one comes or goes."""
    xapi = small_pool()
    ours = {"name": CANNOT_MONITOR, "cls": "VM", "obj_uuid": "vm-1", "body": "why"}
    xapi.put("message", "ref:1", ours)
    xapi.put("message", "ref:2", ours | {"name": "VM_STARTED"})
    async with _watching(xapi) as listener:
        assert listener.alerts == {VmId("vm-1"): {"ref:1": "why"}}

        xapi.put("message", "ref:3", ours | {"body": "again"})
        await asyncio.sleep(1)
        assert listener.alerts == {VmId("vm-1"): {"ref:1": "why", "ref:3": "again"}}

        xapi.drop("message", "ref:1")
        await asyncio.sleep(1)
        assert listener.alerts == {VmId("vm-1"): {"ref:3": "again"}}


async def test_of_every_vm_of_a_listing_is_told_what_the_pool_holds() -> None:
    """Also nothing: a pool that was lost and found may have lost what it held, and nobody else would say so."""
    xapi, listener = small_pool(vms=2), Listener()
    for _ in range(2):
        listener.held, listener.alerts = {}, {}
        watcher = PoolWatcher(cast("XapiClient", xapi), STORED, listener, SETTINGS)
        asyncio.get_running_loop().call_later(5, xapi.fail, "events", "pool-unreachable")
        with pytest.raises(PoolError):
            await watcher.run()
        xapi.fail("events", None)
        assert listener.held == listener.alerts == {VmId("vm-1"): {}, VmId("vm-2"): {}}
