"""Which guests are kept: from the newest inventory, each by itself, and none longer than wanted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import pytest
import structlog

from roadstead.act.guests.guest import Opened
from roadstead.act.guests.links import HELD_SECONDS, Links
from roadstead.errors import LinkError
from roadstead.kit import clocks, tasks
from roadstead.lab.guests.containers import CATALOGUE
from roadstead.model import Gone, HostId, PowerState, Seen, VmId
from roadstead.model.config_keys import TLS_SECRETS
from roadstead.plan.addresses import Rules
from tests.unit.fakes import records
from tests.unit.fakes.roads import Road, World
from tests.unit.fakes.ways import keep_virtual_time

pytestmark = pytest.mark.looptime
SOON = 0.5
POLITE = 6.0
"""So long a guest is left alone at most, before it is called anew."""
OPENED_UNDER = ["xscontainer-username", "xscontainer-mode", "roadstead-ssh-port", "roadstead-engine-socket"]


@pytest.fixture(autouse=True)
def _virtual_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of day is the loop's."""
    keep_virtual_time(monkeypatch)


class Site:
    """An inventory whose VMs each have a road, and the links that follow it."""

    def __init__(self) -> None:
        self.world = World()
        self.roads: dict[VmId, Road] = {}
        self.links = Links(self.world.store, self._open, self.world.services)
        self.world.followers.append(self.links.consider)

    async def _open(self, vm: VmId) -> Opened:
        return await self.road(vm).open()

    def road(self, vm: str = records.VM) -> Road:
        """The road to a VM."""
        return self.roads.setdefault(VmId(vm), Road())

    def see(self, id: str = records.VM, **fields: Any) -> None:
        """The pool says this of a VM."""
        self.world.tell([Seen(records.vm(id, **fields))])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the links; at the end none is open."""
        async with asyncio.TaskGroup() as group:
            task = tasks.spawn(group, self.links.run(), "links")
            await asyncio.sleep(SOON)
            yield
            await tasks.stop(task)
        assert all(not link.is_open for road in self.roads.values() for link in road.links)


async def test_a_guest_that_does_not_answer_is_told_before_it_is_lost() -> None:
    """Asked once and silent since: live still, and in doubt since it was last heard; heard again, without a problem."""
    site = Site()
    async with site.running():
        link = site.road().link
        link.asks_after = 15.0
        link.heard = heard = clocks.now()
        await asyncio.sleep(19)
        assert site.world.words() == ["connecting", "live"]
        await asyncio.sleep(7)
        assert site.world.words() == ["connecting", "live", "live no-answer"]
        problem = site.world.link().problem
        assert problem is not None and problem.since == heard and "60 s" in problem.remedy
        assert {one.stale for one in site.world.containers()} == {False}
        link.heard = clocks.now()
        await asyncio.sleep(6)
        assert site.world.words() == ["connecting", "live", "live no-answer", "live"]
        link.asks_after = 0.0
        await asyncio.sleep(500)
        assert site.world.words()[-1] == "live"


async def test_vms_that_are_known_at_the_start_are_kept() -> None:
    """Those that run and are enabled; the others are called by nobody."""
    site = Site()
    site.see("off", power=PowerState.HALTED)
    site.see("unmanaged", settings={})
    async with site.running():
        assert set(site.roads) == {records.VM}
        assert site.world.words() == ["connecting", "live"]
        assert site.world.words(VmId("off")) == ["off"]
        assert site.world.words(VmId("unmanaged")) == []
        assert site.links.statistics() == {"guests": 1, "live": 1}


@pytest.mark.parametrize(
    "before", [{"settings": {}}, {"power": PowerState.HALTED}, None], ids=["enabled", "started", "new"]
)
async def test_a_vm_that_is_to_be_kept_is_called_at_once(before: dict[str, Any] | None) -> None:
    """When it is enabled, started, or comes into being."""
    site = Site()
    async with site.running():
        if before is not None:
            site.see("web", **before)
        await asyncio.sleep(10)
        site.see("web")
        await asyncio.sleep(SOON)
        assert site.world.words(VmId("web"))[-2:] == ["connecting", "live"]
        assert len(site.world.containers(VmId("web"))) == 3


@pytest.mark.parametrize("power", [PowerState.HALTED, PowerState.PAUSED, PowerState.SUSPENDED], ids=str)
async def test_a_vm_that_stops_running_is_off(power: PowerState) -> None:
    """No problem and no message: its containers stay, stale, as of when it was last heard; its link is closed."""
    site = Site()
    async with site.running():
        await asyncio.sleep(100)
        heard = site.road().link.heard
        site.see(power=power, host=None)
        assert site.world.words() == ["connecting", "live", "off"]
        assert {(one.stale, one.problem, one.as_of) for one in site.world.containers()} == {(True, "", heard)}
        await asyncio.sleep(1000)
        assert not site.road().link.is_open
        assert len(site.road().signed_in) == 1
        assert site.world.words()[-1] == "off"


async def test_a_vm_that_was_broken_and_is_switched_off_was_last_known_before_it_broke() -> None:
    """The time of the containers stays that of the outage."""
    site = Site()
    async with site.running():
        await asyncio.sleep(100)
        heard = site.road().link.heard
        site.road().cut()
        await asyncio.sleep(100)
        site.see(power=PowerState.HALTED)
        assert {(one.stale, one.problem, one.as_of) for one in site.world.containers()} == {(True, "", heard)}


async def test_a_vm_that_is_disabled_loses_everything() -> None:
    """Containers, link and engine go; nobody is called any more."""
    site = Site()
    async with site.running():
        site.see(settings={})
        assert site.world.containers() == []
        vm = site.world.store.vms[records.VM]
        assert (vm.link, vm.engine) == (None, None)
        await asyncio.sleep(1000)
        assert len(site.road().signed_in) == 1
        assert site.world.store.vms[records.VM].link is None


@pytest.mark.parametrize("kind", ["vm", "pool"])
async def test_a_vm_that_is_gone_is_let_go(kind: str) -> None:
    """Also with its whole pool."""
    site = Site()
    async with site.running():
        site.world.tell([Gone(kind, records.VM if kind == "vm" else records.POOL)])
        await asyncio.sleep(100)
        assert not site.road().link.is_open
        assert site.links.statistics() == {"guests": 0, "live": 0}
        assert site.links.engine(records.VM) is None


async def test_a_vm_that_is_restarted_is_kept_anew() -> None:
    """Off and on again: a new link, current containers."""
    site = Site()
    async with site.running():
        site.see(power=PowerState.HALTED)
        site.see(power=PowerState.RUNNING)
        await asyncio.sleep(SOON)
        assert site.world.words()[-3:] == ["off", "connecting", "live"]
        assert [link.is_open for link in site.road().links] == [False, True]
        assert {one.stale for one in site.world.containers()} == {False}


# ---- what changes while a guest is kept


@pytest.mark.parametrize("key", OPENED_UNDER)
async def test_settings_under_which_a_link_was_opened_open_it_anew(key: str) -> None:
    """Another user, port, socket or mode counts from the next sign-in on, so that comes at once."""
    site = Site()
    async with site.running():
        await asyncio.sleep(10)
        site.see(settings=records.MANAGED | {key: "other"})
        await asyncio.sleep(SOON)
        assert [link.is_open for link in site.road().links] == [False, True]
        assert site.world.words()[-1] == "live"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"addresses": ("192.0.2.99",)}, id="address"),
        pytest.param({"addresses": ()}, id="no-address"),
        pytest.param({"host": HostId("host-2")}, id="migrated"),
        pytest.param({"name": "new"}, id="renamed"),
        pytest.param({"tags": ("a",)}, id="tagged"),
        pytest.param({"settings": records.MANAGED | {records.HOST_KEY: "AAAA"}}, id="pinned"),
        pytest.param({"settings": records.MANAGED | dict.fromkeys(TLS_SECRETS, "uuid")}, id="made-ready-for-tls"),
    ],
)
async def test_a_link_that_lives_is_kept(change: dict[str, Any]) -> None:
    """Temporary addresses come and go, VMs migrate: a link that works is proof enough. What is written for another
    kind of link is none of its business.
    """
    site = Site()
    async with site.running():
        site.see(**change)
        await asyncio.sleep(100)
        assert len(site.road().signed_in) == 1
        assert site.road().link.is_open


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"addresses": ("192.0.2.99",)}, id="address"),
        pytest.param({"settings": records.MANAGED | {"roadstead-address": "192.0.2.7"}}, id="given-address"),
        pytest.param({"settings": records.MANAGED | {records.HOST_KEY: "AAAA"}}, id="pinned"),
        pytest.param({"host": HostId("host-2")}, id="migrated"),
    ],
)
async def test_what_may_help_a_broken_guest_has_it_tried_soon(change: dict[str, Any]) -> None:
    """A new address need not wait for the end of a long delay."""
    site = Site()
    site.road().error = LinkError("host-key-changed")
    async with site.running():
        await asyncio.sleep(4000)
        tried = len(site.road().signed_in)
        site.see(**change)
        await asyncio.sleep(SOON)
        assert len(site.road().signed_in) == tried + 1


async def test_what_cannot_help_tries_nothing() -> None:
    """A broken guest that is renamed is called no sooner."""
    site = Site()
    site.road().error = LinkError("host-key-changed")
    async with site.running():
        await asyncio.sleep(4000)
        tried = len(site.road().signed_in)
        for name in ("a", "b", "c"):
            site.see(name=name)
            await asyncio.sleep(1)
        assert len(site.road().signed_in) == tried


async def test_addresses_that_change_all_the_time_are_tried_politely() -> None:
    """A guest that announces a new address each second is called at most every five."""
    site = Site()
    site.road().error = LinkError("refused")
    async with site.running():
        for number in range(200):
            site.see(addresses=(f"192.0.2.{number}",))
            await asyncio.sleep(1)
        assert min(site.road().gaps) >= 5 - 1e-6


# ---- commands


async def test_somebody_who_looks_has_a_broken_guest_tried_at_once() -> None:
    """One that is live is left alone; one that is not kept is nobody's."""
    site = Site()
    async with site.running():
        site.links.try_now(records.VM)
        await asyncio.sleep(100)
        assert len(site.road().signed_in) == 1
        site.road().error = LinkError("key-rejected")
        site.road().link.close()
        await asyncio.sleep(1)
        tried = len(site.road().signed_in)
        site.links.try_now(records.VM)
        await asyncio.sleep(0.01)
        assert len(site.road().signed_in) == tried + 1
        site.links.try_now(VmId("nobody"))


async def test_a_try_is_waited_for_where_there_is_one() -> None:
    """A guest that is live, and one that nobody keeps, are told of as they are."""
    site = Site()
    async with site.running():
        await asyncio.sleep(10)
        assert await site.links.tried(records.VM, 0.0)
        assert await site.links.tried(VmId("nobody"), 0.0)
        site.road().error = LinkError("refused")
        site.road().cut()
        await asyncio.sleep(1)
        tried = len(site.road().signed_in)
        assert not await site.links.tried(records.VM, 0.0)
        assert await site.links.tried(records.VM, 6.0)
        assert len(site.road().signed_in) > tried


async def test_a_reconnect_asked_for_is_made() -> None:
    """A pin that somebody changed counts for links that live, too."""
    site = Site()
    async with site.running():
        await asyncio.sleep(10)
        site.links.reconnect(records.VM)
        site.links.reconnect(VmId("nobody"))
        await asyncio.sleep(SOON)
        assert len(site.road().links) == 2


async def test_the_engine_of_a_live_guest_only_is_given_away() -> None:
    """Who would act on another is told why he cannot."""
    site = Site()
    async with site.running():
        assert site.links.engine(records.VM) is not None
        assert site.links.heard(records.VM) == site.road().link.heard
        site.road().cut()
        await asyncio.sleep(0.01)
        assert site.links.engine(records.VM) is None
        assert site.links.statistics() == {"guests": 1, "live": 0}
        assert site.links.heard(VmId("nobody")) is None


# ---- each by itself


async def test_a_guest_that_hangs_holds_up_nobody() -> None:
    """While one sign-in never ends, others come, work and go."""
    site = Site()

    async def hang() -> Opened:
        await asyncio.Event().wait()
        raise AssertionError

    site.road("hanging").open = hang  # type: ignore[method-assign]
    async with site.running():
        for name in ("hanging", "a", "b"):
            site.see(name)
        await asyncio.sleep(SOON)
        assert site.links.statistics() == {"guests": 4, "live": 3}
        site.see("hanging", settings={})
        assert site.links.statistics() == {"guests": 3, "live": 3}


async def test_nothing_is_kept_before_and_after_the_time() -> None:
    """A word that comes while everything ends starts nothing."""
    site = Site()
    site.links.consider(records.VM)
    assert site.links.statistics()["guests"] == 0
    async with site.running():
        pass
    site.see("late")
    assert VmId("late") not in site.roads


@pytest.mark.parametrize(
    ("only", "is_kept"),
    [pytest.param("192.0.2.0/24", True, id="allowed"), pytest.param("203.0.113.0/24", False, id="barred")],
)
async def test_a_link_to_an_address_that_is_barred_now_ends(only: str, *, is_kept: bool) -> None:
    """What the operator forbids holds at once, also for links that are open; others of the pool are left alone."""
    site = Site()
    async with site.running():
        link = site.road().link
        site.links.rules_changed(records.POOL, Rules(only=(ip_network(only),)))
        assert link.is_open is is_kept


async def test_a_mistake_that_one_guest_brings_to_light_ends_no_other() -> None:
    """The others stay live and are changed as ever; of guests that bring up the same one, the first is logged."""
    site = Site()
    site.see("vm-2")
    site.see("vm-3")
    for vm in ("vm-2", "vm-3"):
        site.road(vm).mistake = ZeroDivisionError()
    with structlog.testing.capture_logs() as logs:
        async with site.running():
            site.road().engine.create("new", CATALOGUE[0])
            await asyncio.sleep(600)
            assert "new" in {one.name for one in site.world.containers()}
            assert site.world.words() == ["connecting", "live"]
            assert {site.world.words(VmId(vm))[-1] for vm in ("vm-2", "vm-3")} == {"broken internal"}
    assert len([entry for entry in logs if entry["log_level"] == "error"]) == 1


@pytest.mark.parametrize("then", ["seen", "resumed", "never told"])
async def test_an_end_that_was_written_holds_before_it_is_seen(then: str) -> None:
    """Nothing calls the guest meanwhile, also who wants it called anew; but a pool that says otherwise is heard."""
    site = Site()
    site.see()
    async with site.running():
        assert (len(site.road().links), site.road().link.is_open) == (1, True)
        site.links.end(VmId(records.VM))
        site.links.reconnect(VmId(records.VM))
        site.links.try_now(VmId(records.VM))
        site.see(addresses=("192.0.2.7",))
        await asyncio.sleep(POLITE)
        assert [link.is_open for link in site.road().links] == [False]
        if then == "seen":
            site.see(settings={})
            site.see()
        elif then == "resumed":
            site.links.resume(VmId(records.VM))
        else:
            await asyncio.sleep(HELD_SECONDS + site.world.services.settings.link.keepalive_seconds)
        await asyncio.sleep(POLITE)
        assert [link.is_open for link in site.road().links] == [False, True]


async def test_an_end_that_is_seen_already_holds_nothing() -> None:
    """Its event was faster than the answer to the write."""
    site = Site()
    site.see()
    async with site.running():
        site.see(settings={})
        site.links.end(VmId(records.VM))
        site.see()
        await asyncio.sleep(POLITE)
        assert [link.is_open for link in site.road().links] == [False, True]
