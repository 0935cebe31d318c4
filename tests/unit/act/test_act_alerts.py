"""Alerts: one for each VM that is out of sight, whoever raised it, gone when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from roadstead.act.publishing.alerts import Alerts
from roadstead.errors import PoolError
from roadstead.inventory.store import Store
from roadstead.kit import tasks
from roadstead.model import Fact, Gone, LinkState, PowerState, Seen, VmId
from roadstead.peers.xapi.client import XapiClient
from roadstead.settings.schema import AlertSettings
from tests.unit.fakes import records
from tests.unit.fakes.ways import keep_virtual_time

pytestmark = pytest.mark.looptime
VM = VmId("vm-1")


@pytest.fixture(autouse=True)
def _virtual_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of day is the loop's."""
    keep_virtual_time(monkeypatch)


class Pool:
    """A pool's messages, and who keeps them."""

    def __init__(self) -> None:
        self.store = Store()
        self.messages: dict[str, str] = {}
        self.raised = 0
        self.asked = 0
        self.failure: PoolError | None = None
        self.lost = records.at(0)
        self.alerts = Alerts(records.POOL, self.store, cast("XapiClient", self), AlertSettings())
        self.told(Seen(records.vm()))

    async def raise_message(self, title: str, vm: str, body: str) -> str:
        """See `XapiClient`."""
        self.asked += 1
        await asyncio.sleep(0.003)
        assert (title, vm) == ("Container Management cannot monitor VM", "vm-1")
        if self.failure is not None:
            raise self.failure
        self.raised += 1
        self.messages[f"ref:{self.raised}"] = body
        asyncio.get_running_loop().call_later(0.05, self.echo)
        return f"ref:{self.raised}"

    async def destroy_message(self, ref: str) -> None:
        """See `XapiClient`."""
        await asyncio.sleep(0.003)
        self.messages.pop(ref, None)
        asyncio.get_running_loop().call_later(0.05, self.echo)

    def echo(self) -> None:
        """The pool tells which messages there are."""
        self.alerts.held(VM, self.messages)

    def told(self, *facts: Fact) -> None:
        """Something became known."""
        self.store.apply(*facts)
        self.alerts.consider(VM)

    def broken(self, code: str = "refused", since: float | None = None) -> None:
        """The VM is lost, or still is; for this reason since then."""
        vm = self.store.vms[VM]
        if vm.link is None or vm.link.state is not LinkState.BROKEN:
            self.lost = records.at(_now())
        problem = records.problem(code, records.at(_now() if since is None else since))
        self.told(Seen(records.link(state=LinkState.BROKEN, problem=problem, since=self.lost)))

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """While alerts are kept."""
        async with asyncio.TaskGroup() as group:
            task = tasks.spawn(group, self.alerts.run(), "alerts")
            yield
            await tasks.stop(task)


def _now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_vm_that_stays_lost_gets_one_message() -> None:
    """After two minutes, one, and no other while it lasts."""
    pool = Pool()
    async with pool.kept():
        pool.broken()
        await asyncio.sleep(119)
        assert pool.messages == {}
        await asyncio.sleep(2)
        assert len(pool.messages) == 1
        for _ in range(5):
            pool.broken(since=0)
            await asyncio.sleep(60)
        assert pool.raised == 1


async def test_a_short_outage_raises_nothing() -> None:
    """A guest that restarts its engine."""
    pool = Pool()
    async with pool.kept():
        pool.broken()
        await asyncio.sleep(60)
        pool.told(Seen(records.link()))
        await asyncio.sleep(600)
        assert pool.raised == 0


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(Seen(records.link()), id="recovered"),
        pytest.param(Seen(records.vm(power=PowerState.HALTED)), id="stopped"),
        pytest.param(Seen(records.vm(settings={})), id="disabled"),
        pytest.param(Gone("vm", "vm-1"), id="deleted"),
    ],
)
async def test_it_goes_when_it_is_over(end: Fact) -> None:
    """At once, also when an earlier run or another instance raised it."""
    raised = Pool()
    async with raised.kept():
        raised.broken()
        await asyncio.sleep(200)
    pool = Pool()
    pool.messages = dict(raised.messages)
    async with pool.kept():
        pool.echo()
        pool.broken()
        await asyncio.sleep(300)
        assert (len(pool.messages), pool.raised) == (1, 0)
        pool.told(end)
        await asyncio.sleep(1)
        assert pool.messages == {}


async def test_of_several_messages_the_first_one_stays() -> None:
    """Two instances that raised one each come to the same."""
    pool = Pool()
    async with pool.kept():
        pool.broken()
        await asyncio.sleep(130)
        (body,) = pool.messages.values()
        pool.messages |= {"ref:9": body, "ref:8": "of the old pack"}
        pool.echo()
        await asyncio.sleep(1)
        assert pool.messages == {"ref:1": body}


async def test_another_cause_is_told_anew() -> None:
    """The old message is no longer true."""
    pool = Pool()
    async with pool.kept():
        pool.broken("refused")
        await asyncio.sleep(130)
        pool.broken("key-rejected", since=0)
        await asyncio.sleep(1)
        (body,) = pool.messages.values()
        assert body.endswith("(key-rejected)")


async def test_a_cause_that_changes_all_the_time_is_told_once() -> None:
    """It would never stand long enough by itself; and one message is not exchanged for another each time."""
    pool = Pool()
    async with pool.kept():
        for attempt in range(20):
            pool.broken("refused" if attempt % 2 else "timed-out")
            await asyncio.sleep(50)
            assert pool.raised == (attempt * 50 >= 100)
        pool.messages.clear()
        pool.echo()
        for attempt in range(4):
            pool.broken("refused" if attempt % 2 else "timed-out")
            await asyncio.sleep(50)
        assert (pool.messages, pool.raised) == ({}, 1)


async def test_a_pool_that_takes_none_now_is_tried_again() -> None:
    """It was restarting."""
    pool = Pool()
    async with pool.kept():
        pool.failure = PoolError("pool-unreachable", pool="lab")
        pool.broken()
        await asyncio.sleep(140)
        pool.failure = None
        await asyncio.sleep(60)
        assert pool.raised == 1


async def test_what_somebody_removed_is_not_said_again() -> None:
    """He has read it. Another cause is said, and so is the same one after the VM was seen meanwhile."""
    pool = Pool()
    async with pool.kept():
        pool.broken()
        await asyncio.sleep(130)
        pool.messages.clear()
        pool.echo()
        pool.broken(since=0)
        await asyncio.sleep(600)
        assert (pool.messages, pool.raised) == ({}, 1)

        pool.broken("key-rejected", since=0)
        await asyncio.sleep(1)
        assert pool.raised == 2
        pool.told(Seen(records.link()))
        await asyncio.sleep(1)
        pool.broken()
        await asyncio.sleep(130)
        assert (len(pool.messages), pool.raised) == (1, 3)


async def test_what_the_pool_lost_is_said_again() -> None:
    """A new master does not have the files of the old one; nobody removed anything."""
    pool = Pool()
    async with pool.kept():
        pool.broken()
        await asyncio.sleep(130)
        pool.messages.clear()
        pool.alerts.answers()
        pool.echo()
        await asyncio.sleep(1)
        assert (len(pool.messages), pool.raised) == (1, 2)


async def test_what_the_pool_told_before_it_had_ours_hides_it_not() -> None:
    """What it tells may be older than our message: it is neither raised twice nor taken for removed."""
    pool = Pool()
    async with pool.kept():
        pool.broken()
        await asyncio.sleep(120.01)
        assert pool.raised == 1
        pool.alerts.held(VM, {})
        await asyncio.sleep(60)
        assert (len(pool.messages), pool.raised) == (1, 1)
        pool.told(Seen(records.link()))
        await asyncio.sleep(1)
        assert pool.messages == {}


async def test_a_role_that_does_not_suffice_is_one_problem() -> None:
    """It is asked again after ten minutes, not every time the VM is tried, and said until it works."""
    pool = Pool()
    async with pool.kept():
        pool.failure = PoolError("pool-not-permitted", call="message.create")
        pool.broken()
        for _ in range(25):
            await asyncio.sleep(20)
            pool.broken(since=0)
        assert pool.asked == 1
        pool.failure = None
        await asyncio.sleep(600)
        assert pool.raised == 1


async def test_a_vm_that_moved_to_another_pool_leaves_no_message() -> None:
    """The pool where it was clears up; the other one tells what is to be told."""
    pool = Pool()
    async with pool.kept():
        pool.broken()
        await asyncio.sleep(130)
        pool.store.apply(Seen(records.vm(pool="elsewhere")))
        pool.told(Gone("vm", VM, records.POOL))
        await asyncio.sleep(1)
        assert pool.messages == {}


@pytest.mark.parametrize("disturb", ["dismissed", "listed anew", "wiped"])
async def test_alerts_that_change_while_one_is_cleared(disturb: str) -> None:
    """Somebody dismisses them all, the pool is listed anew, or everything is wiped: nothing falls over."""
    pool = Pool()
    pool.messages = {f"ref:old-{number}": "from the old pack" for number in range(4)}
    pool.broken()
    async with pool.kept():
        pool.echo()
        await asyncio.sleep(0.004)  # one of them stays; the second of the others is being cleared
        if disturb == "dismissed":
            pool.messages = {}
            pool.echo()
        elif disturb == "listed anew":
            pool.alerts.answers()
            pool.echo()
        else:
            await pool.alerts.wipe(VM)
        await asyncio.sleep(30)
        pool.told(Seen(records.link()))
        await asyncio.sleep(30)
        assert pool.messages == {}
