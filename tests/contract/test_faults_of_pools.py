"""What an operator sees when pools fail: a problem on the pool, guests that stay live, and recovery to the truth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from roadstead.act.pools.trials import PoolChange
from roadstead.errors import RoadsteadError
from roadstead.lab.pool.http import Mood
from roadstead.lab.pool.server import LabPool
from roadstead.model.config_keys import HOST_KEY
from roadstead.peers.database.client import StoredPool
from roadstead.peers.xapi.client import XapiClient
from tests.contract.world import ADMITTED, PATIENCE_SECONDS, QUICK, World, add, kept, lab, running, world
from tests.contract.xapi_pools import address, signed_in

MONITOR = "xscontainer-monitor"
SETTINGS = QUICK.model_copy(
    update={"pool": QUICK.pool.model_copy(update={"event_seconds": 0.4, "call_seconds": 1.5, "list_seconds": 3.0})}
)
"""A pool that falls silent is found out after about two seconds."""
UNHURRIED = SETTINGS.model_copy(update={"pool": SETTINGS.pool.model_copy(update={"absence_seconds": 30.0})})

Step = Callable[[LabPool], Awaitable[None]]


async def _refuses(pool: LabPool) -> None:
    for host in (1, 2):
        await pool.kill_host(host)


async def _answers_again(pool: LabPool) -> None:
    for host in (1, 2):
        await pool.revive_host(host)
    pool.set_mood(Mood.WELL)


def _in_mood(mood: Mood) -> Step:
    async def begin(pool: LabPool) -> None:
        pool.set_mood(mood)
        await pool.drop_connections()

    return begin


OUTAGES: dict[str, tuple[Step, str]] = {
    "refuses": (_refuses, "pool-unreachable"),
    "closes": (_in_mood(Mood.CLOSES), "pool-unreachable"),
    "silent": (_in_mood(Mood.SILENT), "pool-timed-out"),
    "garbage": (_in_mood(Mood.GARBAGE), "pool-answer-invalid"),
    "fails": (_in_mood(Mood.FAILS), "pool-answer-invalid"),
}


@pytest.mark.parametrize("outage", sorted(OUTAGES))
async def test_a_pool_that_is_lost_disturbs_no_guest(tmp_path: Path, outage: str) -> None:
    """While a pool is lost its guests stay live and current; what changed in it meanwhile is there afterwards."""
    begin, code = OUTAGES[outage]
    async with world(tmp_path, settings=SETTINGS) as one:
        since = one.since()
        await begin(one.pool)
        await _until_pool_problem(one, code)
        one.pool.rename_vm("vm-2", "renamed")
        one.change("vm-1")
        await one.until(lambda: one.agrees("vm-1"), "guests stay current")
        assert one.is_live("vm-2")
        await _answers_again(one.pool)
        await _until_pool_live(one)
        await one.until_true()
        assert one.vm("renamed").name == "renamed"
        assert one.since() == since


async def _lost_master(pool: LabPool) -> None:
    await _write_in_vain(pool)
    await pool.move_master(2, lost=True, behind=1000)


async def _crash(pool: LabPool) -> None:
    await _write_in_vain(pool)
    await pool.restart(crash=True)


async def _write_in_vain(pool: LabPool) -> None:
    """What is written now is lost; the pool will count from a lower number afterwards."""
    await pool.save()
    vm = pool.uuid_of("vm-2")
    for number in range(20):
        pool.rename_vm(vm, f"lost-{number}")


async def _session_ended(pool: LabPool) -> None:
    pool.end_sessions()


SHOCKS: dict[str, Step] = {
    "session-ended": _session_ended,
    "connections-dropped": lambda pool: pool.drop_connections(),
    "restarted": lambda pool: pool.restart(),
    "restarted-slowly": lambda pool: pool.restart(down_s=0.5),
    "crashed": _crash,
    "master-moved": lambda pool: pool.move_master(2),
    "master-moved-slowly": lambda pool: pool.move_master(2, down_s=0.5),
    "master-lost": _lost_master,
}


@pytest.mark.parametrize("shock", sorted(SHOCKS))
async def test_a_pool_that_comes_back_is_listed_anew(tmp_path: Path, shock: str) -> None:
    """Whatever ended the session, changes are seen again afterwards, also when events count from a lower number."""
    async with world(tmp_path, settings=SETTINGS) as one:
        since = one.since()
        await SHOCKS[shock](one.pool)
        one.pool.rename_vm(one.vm("vm-1").id, "after")
        await one.until(lambda: any(vm.name == "after" for vm in one.vms()), "events come again")
        await one.until_true()
        assert one.seen_pool().live
        assert one.since() == since
        for vm in one.vms():
            pin = one.core.commands.vms.host_keys(vm.id).pinned
            assert pin is not None
        await one.until(lambda: all(HOST_KEY in _config(one, vm.id) for vm in one.vms()), "pins are in the pool")


async def test_a_master_that_is_lost_twice_is_found_again(tmp_path: Path) -> None:
    """The pool is followed from host to host, by what its members say, also back to where it was."""
    async with world(tmp_path, hosts=3, settings=SETTINGS) as one:
        for host in (3, 1, 2):
            await one.pool.save()
            await one.pool.move_master(host, lost=True)
            one.pool.rename_vm("vm-1", "seen")
            await one.until(lambda: any(vm.name == "seen" for vm in one.vms()), f"host {host} is followed")
            one.pool.rename_vm("seen", "vm-1")
            await one.until(lambda: any(vm.name == "vm-1" for vm in one.vms()), f"host {host} is followed")
            for other in {1, 2, 3} - {host}:
                await one.pool.revive_host(other)


async def test_deletions_that_the_pool_forgot_are_found(tmp_path: Path) -> None:
    """VMs that went without an event are gone here, too: the numbers of objects tell."""
    async with world(tmp_path, vms=3, settings=SETTINGS) as one:
        gone = [one.vm(name).id for name in ("vm-2", "vm-3")]
        for name in ("vm-2", "vm-3"):
            await one.pool.stop_vm(name)
        for name in ("vm-2", "vm-3"):
            await one.pool.destroy_vm(name)
            one.pool.lose_deletions("VM")
            one.pool.lose_deletions("VM_guest_metrics")
        await one.until(lambda: not any(vm in one.core.store.vms for vm in gone), "they are gone")
        await one.until_true()
        assert one.is_live("vm-1")


async def test_a_renewed_certificate_is_refused_until_confirmed(tmp_path: Path) -> None:
    """Nothing is sent to a master with another certificate; its guests stay live, and its new fingerprint heals it."""
    async with world(tmp_path, hosts=1, settings=SETTINGS) as one:
        since, trusted = one.since(), one.pool.fingerprint
        await one.pool.change_certificate(1, announced=False)
        await _until_pool_problem(one, "pool-certificate-changed")
        problem = one.seen_pool().problem
        assert problem is not None
        assert one.pool.fingerprint.upper() in problem.remedy
        assert trusted.upper() in problem.cause
        assert len(one.pool.core.sessions) <= 1
        one.change("vm-1")
        await one.until(lambda: one.agrees("vm-1"), "guests stay current")
        await one.core.commands.pools.change(one.pool_id, PoolChange(fingerprint=one.pool.fingerprint))
        await _until_pool_live(one)
        await one.until_true()
        assert one.since() == since


async def test_a_member_may_renew_its_certificate(tmp_path: Path) -> None:
    """A member's new certificate, told by the pool over the trusted connection, is good when it becomes the master."""
    async with world(tmp_path, settings=SETTINGS) as one:
        await one.pool.change_certificate(2)
        renewed = _digits(one.pool.fingerprints[1])
        await _until_stored(one, lambda stored: renewed in stored.fingerprints.values())
        await one.pool.move_master(2)
        one.pool.rename_vm("vm-1", "moved")
        await one.until(lambda: any(vm.name == "moved" for vm in one.vms()), "the new master is followed")


async def test_a_changed_password_waits_for_the_operator(tmp_path: Path) -> None:
    """The old password is refused with one problem; the new one heals, a wrong one changes nothing."""
    async with world(tmp_path, settings=SETTINGS) as one:
        since = one.since()
        one.pool.core.password = "another"
        one.pool.end_sessions()
        await _until_pool_problem(one, "pool-sign-in-failed")
        pools = one.core.commands.pools
        with pytest.raises(RoadsteadError) as wrong:
            await pools.change(one.pool_id, PoolChange(password="guessed"))
        assert wrong.value.code == "pool-sign-in-failed"
        assert pools.stored(one.pool_id).password == one.pool.password
        assert (await pools.change(one.pool_id, PoolChange(password="another"))).live
        await one.until_true()
        assert one.since() == since
        assert [each.password for each in await one.database.pools()] == ["another"]


async def test_a_broken_pool_disturbs_no_other(tmp_path: Path) -> None:
    """Of two pools one is lost: the other one is followed, its guests too, and nothing of it is said to be wrong."""
    async with _two_worlds(tmp_path) as (one, other):
        since = other.since()
        await _refuses(one.pool)
        await _until_pool_problem(one, "pool-unreachable")
        other.change("other-1")
        other.pool.rename_vm("other-1", "renamed")
        await other.until(lambda: any(vm.name == "renamed" for vm in other.vms()), "the other is followed")
        await other.until_true()
        assert other.seen_pool().live
        assert other.seen_pool().problem is None
        assert other.since() == since
        await one.core.commands.pools.remove(one.pool_id)
        await other.until_true()
        assert set(one.core.store.pools) == {other.pool_id}
        assert other.since() == since


MISTAKES: dict[str, tuple[dict[str, object], str]] = {
    "no url": ({"url": None}, "field-invalid"),
    "no password": ({"password": ""}, "field-invalid"),
    "a url that is none": ({"url": "pool one"}, "address-invalid"),
    "plain http": ({"url": "http://127.88.0.1"}, "address-invalid"),
    "nobody there": ({"url": "https://127.88.0.77:9"}, "pool-unreachable"),
    "an unknown name": ({"url": "https://no-such-host.invalid"}, "pool-unreachable"),
    "wrong password": ({"password": "guessed"}, "pool-sign-in-failed"),
    "unknown user": ({"user": "nobody"}, "pool-sign-in-failed"),
    "no fingerprint": ({"fingerprint": None}, "fingerprint-needed"),
    "wrong fingerprint": ({"fingerprint": "00" * 32}, "pool-certificate-changed"),
    "half a fingerprint": ({"fingerprint": "00:11"}, "fingerprint-invalid"),
    "a CA file that is none": ({"fingerprint": None, "ca_pem": "hello"}, "field-invalid"),
    "another CA": ({"fingerprint": None, "ca_pem": "another"}, "pool-certificate-untrusted"),
    "no network": ({"admit": ("10.0.0.1/8",)}, "network-invalid"),
}


@pytest.mark.parametrize("mistake", sorted(MISTAKES))
async def test_a_pool_that_cannot_be_added_leaves_nothing(tmp_path: Path, mistake: str) -> None:
    """A wrong address, password or certificate is one error with its code; nothing is kept, in the pool neither."""
    given, code = MISTAKES[mistake]
    if given.get("ca_pem") == "another":
        given = {**given, "ca_pem": await _foreign_certificate(tmp_path)}
    async with lab(tmp_path, [], hosts=1) as (pool, _), kept(tmp_path) as database, running(SETTINGS, database) as core:
        sessions = len(pool.core.sessions)
        with pytest.raises(RoadsteadError) as raised:
            await core.commands.pools.add(PoolChange(**{**_right(pool), **given}))  # type: ignore[arg-type]
        assert raised.value.code == code
        assert pool.password not in str(raised.value)
        assert not core.store.pools
        assert not core.commands.pools.keepers
        assert await database.pools() == ()
        assert len(pool.core.sessions) == sessions


async def test_a_pool_that_is_known_is_not_added_again(tmp_path: Path) -> None:
    """The same pool, also by another address, is a conflict that leaves the known one alone."""
    async with world(tmp_path, vms=1, settings=SETTINGS) as one:
        since, before = one.since(), await one.database.pools()
        with pytest.raises(RoadsteadError) as raised:
            await add(one)
        assert raised.value.code == "pool-exists"
        assert await one.database.pools() == before
        assert one.since() == since
        assert one.seen_pool().live


async def test_a_member_as_the_address_names_its_master(tmp_path: Path) -> None:
    """A member sends us to the master: nobody vouched for that one, so it is named and nothing is sent to it."""
    async with lab(tmp_path, []) as (pool, _), kept(tmp_path) as database, running(SETTINGS, database) as core:
        with pytest.raises(RoadsteadError) as raised:
            await core.commands.pools.add(
                PoolChange(**{**_right(pool), "url": pool.urls[1], "fingerprint": pool.fingerprints[1]})  # type: ignore[arg-type]
            )
        assert raised.value.code == "pool-member"
        assert pool.url.removeprefix("https://") in raised.value.remedy
        assert await database.pools() == ()


async def test_a_removed_pool_is_gone_at_once(tmp_path: Path) -> None:
    """Removing a pool that is live ends its session and its guests' links; added again, it is as it was."""
    async with world(tmp_path, settings=SETTINGS) as one:
        await one.core.commands.pools.remove(one.pool_id)
        assert not one.core.store.pools
        assert not one.core.store.vms
        assert not list(one.core.store.containers())
        assert await one.database.pools() == ()
        assert len(one.pool.core.sessions) == 0
        await one.until(lambda: not _connections(one), "the links are closed")
        await add(one)
        await one.until_live("vm-1", "vm-2")
        await one.until_true()


async def test_a_removed_pool_may_be_out_of_reach(tmp_path: Path) -> None:
    """A pool that fell silent can be removed without waiting for it."""
    async with world(tmp_path, vms=1, settings=SETTINGS) as one:
        one.pool.set_mood(Mood.SILENT)
        await one.core.commands.pools.remove(one.pool_id)
        assert not one.core.store.pools
        await one.until(lambda: not _connections(one), "the links are closed")
        one.pool.set_mood(Mood.WELL)


# ---- what others do in the pool


async def test_another_client_disables_and_enables(tmp_path: Path) -> None:
    """What `xe` writes counts as what we write: the containers go with the link, and come back."""
    async with world(tmp_path, settings=SETTINGS) as one, _xe(one) as xe:
        vm = one.vm("vm-1").id
        await xe.set_vm_key(vm, MONITOR, "False")
        await one.until(lambda: not one.containers("vm-1"), "the containers are gone")
        await one.until(lambda: not one.guest("vm-1").statistics()["connections"], "the link is closed")
        assert one.vm("vm-1").link is None
        await xe.set_vm_key(vm, MONITOR, "True")
        await one.until_live("vm-1")
        await xe.set_vm_key(vm, MONITOR, None)
        await one.until(lambda: not one.containers("vm-1"), "an absent key counts after the grace")
        assert one.is_live("vm-2")


async def test_an_update_of_a_key_is_no_disturbance(tmp_path: Path) -> None:
    """A key that is removed and added again within the grace was never away, although readers see the gap."""
    async with world(tmp_path, settings=UNHURRIED) as one, _xe(one) as xe:
        since = one.since()
        for name in ("in the gap", "after it"):
            value = None if name == "in the gap" else "True"
            await xe.set_vm_key(one.vm("vm-1").id, MONITOR, value)
            one.pool.rename_vm(one.vms()[1].id, name)
            await one.until(lambda name=name: any(vm.name == name for vm in one.vms()), name)  # type: ignore[misc]
            assert one.vm("vm-1").enabled
            assert one.is_live("vm-1")
        assert one.since() == since


async def test_a_clone_is_not_taken_for_its_original(tmp_path: Path) -> None:
    """A clone brings its original's pin along: it is met anew, gets a pin of its own, and the original keeps its."""
    async with world(tmp_path, vms=1, settings=SETTINGS) as one, _xe(one) as xe:
        await one.until(lambda: HOST_KEY in one.vm("vm-1").settings, "pinned")
        pin = one.vm("vm-1").settings[HOST_KEY]
        await one.pool.stop_vm("vm-1")
        await xe.call("VM.clone", one.pool.find("vm-1"), "copy")
        await one.pool.start_vm("vm-1")
        await one.pool.start_vm("copy")
        await one.until_live("vm-1", "copy")
        await one.until(lambda: one.vm("copy").settings.get(HOST_KEY) not in {None, pin}, "a pin of its own")
        assert one.vm("vm-1").settings[HOST_KEY] == pin
        await one.until_true()


async def test_names_and_tags_follow_the_pool(tmp_path: Path) -> None:
    """Renamed VMs, hosts and pools and changed tags are shown at once, in the containers too; links stay."""
    async with world(tmp_path, vms=1, settings=SETTINGS) as one, _xe(one) as xe:
        since, vm = one.since(), one.vm("vm-1").id
        await xe.call("VM.set_name_label", one.pool.find(vm), "mail")
        await one.until(lambda: _vm_names(one) == {"mail"}, "VM renamed")
        await xe.call("VM.add_tags", one.pool.find(vm), "blue")
        await one.until(lambda: one.vm("mail").tags == ("blue",), "tagged")
        await xe.call("VM.remove_tags", one.pool.find(vm), "blue")
        await one.until(lambda: one.vm("mail").tags == (), "not tagged")
        await xe.call("pool.set_name_label", one.pool.core.pool, "harbour")
        await one.until(lambda: one.vm("mail").pool_name == "harbour", "pool renamed")
        assert one.seen_pool().name == "harbour"
        for host in (1, 2):
            await xe.call("host.set_name_label", one.pool.host_ref(host), f"quay-{host}")
        await one.until(lambda: one.vm("mail").host_name.startswith("quay-"), "host renamed")
        assert one.since() == since
        await _until_stored(one, lambda stored: stored.name == "harbour")


async def test_addresses_count_at_the_next_need(tmp_path: Path) -> None:
    """A living link stays when its address is no longer announced; a broken one is tried when addresses change."""
    async with world(tmp_path, vms=1, settings=SETTINGS) as one:
        since, right = one.since(), one.guest("vm-1").addresses
        one.pool.set_addresses("vm-1", ("127.89.99.99",))
        await one.until(lambda: one.vm("vm-1").addresses == ("127.89.99.99",), "another address is announced")
        one.change("vm-1")
        await one.until(lambda: one.agrees("vm-1"), "the link lives")
        assert one.since() == since
        one.guest("vm-1").cut()
        await one.until_problem("vm-1", "refused")
        one.pool.set_addresses("vm-1", ())
        await one.until_problem("vm-1", "no-address")
        assert one.vm("vm-1").has_tools
        metrics = str(one.pool.core.vm(one.pool.find("vm-1"))["guest_metrics"])
        silent: dict[str, object] = {"os_version": {}, "PV_drivers_version": {}, "networks": {}, "other": {}}
        one.pool.core.database.update("VM_guest_metrics", metrics, silent)
        await one.until(lambda: not one.vm("vm-1").has_tools, "its guest tools are gone")
        await one.until_problem("vm-1", "no-guest-tools")
        one.pool.set_addresses("vm-1", right)
        await one.until_live("vm-1")


async def test_a_pool_is_found_again_after_a_restart(tmp_path: Path) -> None:
    """A new Roadstead on the same state folder signs in by itself, and finds pins and guests as they were."""
    async with lab(tmp_path, ["vm-1"]) as (pool, maker), kept(tmp_path) as database:
        async with running(SETTINGS, database) as core:
            one = World(pool, maker, core, database)
            await add(one)
            await one.until_live("vm-1")
            await one.until(lambda: HOST_KEY in one.vm("vm-1").settings, "pinned")
            pin = one.vm("vm-1").settings[HOST_KEY]
        assert len(pool.core.sessions) == 0
        async with running(SETTINGS, database) as core:
            again = World(pool, maker, core, database)
            await again.until(again.vms, "listed")
            await again.until_live("vm-1")
            assert again.vm("vm-1").settings[HOST_KEY] == pin


# ---- pieces


@asynccontextmanager
async def _xe(one: World) -> AsyncIterator[XapiClient]:
    """Another client of the pool."""
    async with signed_in(address(one.pool)) as client:
        yield client


@asynccontextmanager
async def _two_worlds(folder: Path) -> AsyncIterator[tuple[World, World]]:
    async with (
        world(folder / "one", settings=SETTINGS) as one,
        lab(folder / "other", ["other-1"], seed=1) as (pool, maker),
    ):
        other = World(pool, maker, one.core, one.database)
        await add(other)
        await other.until_live("other-1")
        yield one, other


def _right(pool: LabPool) -> dict[str, object]:
    return {
        "url": pool.url,
        "user": pool.user,
        "password": pool.password,
        "fingerprint": pool.fingerprint,
        "admit": ADMITTED,
    }


async def _foreign_certificate(folder: Path) -> str:
    async with LabPool(folder / "foreign", hosts=1) as other:
        return await asyncio.to_thread(other.folder.certificate(1).read_text)


async def _until_pool_problem(one: World, code: str) -> None:
    def has_it() -> bool:
        problem = one.seen_pool().problem
        return problem is not None and problem.code == code and not one.seen_pool().live

    await one.until(has_it, f"the pool has the problem {code}")


async def _until_pool_live(one: World) -> None:
    await one.until(lambda: one.seen_pool().live and one.seen_pool().problem is None, "the pool is live")


async def _until_stored(one: World, is_so: Callable[[StoredPool], bool]) -> None:
    """Wait until what a restart would know of the pool is so."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_so((await one.database.pools())[0]):
            await asyncio.sleep(0.02)


def _config(one: World, vm: str) -> dict[str, str]:
    config: dict[str, str] = one.pool.core.vm(one.pool.find(vm))["other_config"]
    return config


def _vm_names(one: World) -> set[str]:
    return {each.vm_name for each in one.core.store.containers()}


def _connections(one: World) -> int:
    return sum(guest.statistics()["connections"] for guest in one.maker.guests.values())


def _digits(fingerprint: str) -> str:
    return fingerprint.replace(":", "").lower()
