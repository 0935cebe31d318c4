"""A pool's key is replaced: what becomes of every kind of guest, whoever is interrupted, and of VMs that moved."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path

import asyncssh
import pytest

from roadstead.act.rotation import RotatedVm, Rotation
from roadstead.errors import ConflictError
from roadstead.lab.guests.guest import SimulatedGuest
from roadstead.lab.pool import moving
from roadstead.lab.pool.mishaps import Mishap
from roadstead.model.config_keys import FORMER_PRIVATE_KEY_SECRET, PRIVATE_KEY_SECRET, PUBLIC_KEY_SECRET
from roadstead.peers.links import keys
from tests.contract.world import QUICK, World, add, kept, lab, running, world

LOOKS, LOOK_SECONDS = 240, 0.05
"""How often a test looks how far a rotation is: that is no fact of the inventory."""
pytestmark = pytest.mark.usefixtures("small_keys")


@pytest.fixture
def small_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody measures the strength of the second key here, and a large one takes seconds."""
    monkeypatch.setattr(keys, "KEY_BITS", 2048)


async def _told(one: World) -> Rotation:
    return await one.core.commands.rotations.state(one.pool_id)


async def _states(one: World) -> dict[str, str]:
    return {vm.name: vm.state for vm in (await _told(one)).vms}


async def _until_states(one: World, **states: str) -> list[RotatedVm]:
    """Wait until these VMs (``vm_1=…``) are so far; return all."""
    wanted = {name.replace("_", "-"): state for name, state in states.items()}
    found = await _states(one)
    for _ in range(LOOKS):
        if wanted.items() <= found.items():
            break
        await asyncio.sleep(LOOK_SECONDS)
        found = await _states(one)
    assert wanted.items() <= found.items(), (found, one)
    return (await _told(one)).vms


async def _until_retired(one: World) -> None:
    for _ in range(LOOKS):
        if (await _told(one)).state == "none":
            break
        await asyncio.sleep(LOOK_SECONDS)
    assert (await _told(one)).state == "none", await _told(one)
    assert FORMER_PRIVATE_KEY_SECRET not in _config(one)


def _config(one: World) -> dict[str, str]:
    return dict(one.pool.core.database.get("pool", one.pool.core.pool)["other_config"])


def _secrets(one: World) -> set[str]:
    return {str(record["uuid"]) for _, record in one.pool.core.database.all("secret")}


def _keyed(one: World) -> dict[str, int]:
    keyed = one.core.commands.pools.keyed(one.pool_id)
    return {vm.name: len(keyed.get(vm.id, ())) for vm in one.vms()}


async def test_a_rotation_waits_for_every_kind_of_guest(tmp_path: Path) -> None:
    """One that may run commands is changed over, one that may not needs preparing, one that is off or cannot be reached
    follows; nobody's link ends, and the old key goes with the last that needs it.
    """
    async with world(tmp_path, vms=4) as one:
        before, since = _config(one), one.vm("vm-1").link
        pool_keys = one.core.commands.pools.keepers[one.pool_id].keys
        former = (await pool_keys.pair()).public
        await one.guest("vm-2").misbehave("command-forced")
        await one.pool.stop_vm("vm-3")
        await one.guest("vm-4").misbehave("close-before-banner")
        await one.until(lambda: one.problem("vm-4") == "ssh-refuses-us" and not one.vm("vm-3").running)
        told = await one.core.commands.rotations.begin(one.pool_id)
        assert told.old_fingerprint and told.old_fingerprint != told.fingerprint

        vms = await _until_states(one, vm_1="done", vm_2="needs-preparing", vm_3="off", vm_4="unreachable")
        assert {vm.name for vm in vms if vm.needs_old} == {"vm-2", "vm-3", "vm-4"}
        assert next(vm.reason for vm in vms if vm.name == "vm-2") == "its key may run no command"
        assert next(vm.reason for vm in vms if vm.name == "vm-4") == "ssh-refuses-us"
        assert _config(one)[FORMER_PRIVATE_KEY_SECRET] == before[PRIVATE_KEY_SECRET]
        assert one.vm("vm-1").link == since
        await one.until(lambda: _keyed(one)["vm-1"] == 1, "the old line is gone")
        assert (await pool_keys.pair()).former.split()[1] == former.split()[1]
        assert not _admits(one.guest("vm-1"), former)
        assert _admits(one.guest("vm-2"), former)

        await one.pool.start_vm("vm-3")
        await one.guest("vm-4").misbehave()
        await _until_states(one, vm_2="needs-preparing", vm_3="done", vm_4="done")
        await one.until_live("vm-2")
        await one.guest("vm-2").admit((await pool_keys.pair()).public)
        await _until_retired(one)
        assert not {before[PRIVATE_KEY_SECRET], before[PUBLIC_KEY_SECRET]} & _secrets(one)
        assert {_config(one)[PRIVATE_KEY_SECRET], _config(one)[PUBLIC_KEY_SECRET]} <= _secrets(one)
        assert _keyed(one) == {"vm-1": 1, "vm-2": 2, "vm-3": 1, "vm-4": 1}, "the old line is still in vm-2"
        for number in range(1, 5):
            one.guest(f"vm-{number}").cut()
        await one.until_live("vm-1", "vm-2", "vm-3", "vm-4")


async def test_a_vm_that_is_not_managed_any_more_stays_known_by_the_retired_key(tmp_path: Path) -> None:
    """Its line was not changed, so whoever has a copy of the old key still gets in there: nobody may forget that."""
    async with world(tmp_path, vms=2) as one:
        old = (await one.core.commands.pools.key(one.pool_id)).fingerprint
        await one.core.commands.vms.disable(one.vm("vm-2").id)
        await one.until(lambda: not one.vm("vm-2").enabled)
        await one.core.commands.rotations.begin(one.pool_id)
        await _until_retired(one)
        keyed = one.core.commands.pools.keyed(one.pool_id)
        assert keyed[one.vm("vm-2").id] == {old}
        assert old not in keyed[one.vm("vm-1").id]
        for vm in ("vm-1", "vm-2"):
            await one.core.commands.pools.forget_retired(one.pool_id, one.vm(vm).id)
        assert _keyed(one) == {"vm-1": 1, "vm-2": 0}, "what opens now stays known"


async def test_a_guest_that_takes_no_key_is_not_told_as_changed_over(tmp_path: Path) -> None:
    """Though the new key opened it once: it may have been installed anew since."""
    async with world(tmp_path, vms=2) as one:
        await one.guest("vm-2").misbehave("command-forced")
        await one.core.commands.rotations.begin(one.pool_id)
        await _until_states(one, vm_1="done", vm_2="needs-preparing")
        await one.guest("vm-1").misbehave("key-rejected")
        one.guest("vm-1").cut()
        await one.until_problem("vm-1", "key-rejected")
        told = {vm.name: vm for vm in await _until_states(one, vm_1="needs-preparing")}
        assert (told["vm-1"].reason, told["vm-1"].needs_old) == ("key-rejected", False)


def _admits(guest: SimulatedGuest, public: str) -> bool:
    return guest.admits(guest.user, asyncssh.import_public_key(public).public_data)


async def _refused(call: Awaitable[object]) -> str:
    with pytest.raises(ConflictError) as caught:
        await call
    return caught.value.code


async def test_the_old_key_is_dropped_only_for_the_vms_that_were_named(tmp_path: Path) -> None:
    """Whoever drops it says which VMs are lost; these are then told to refuse the key, the others go on."""
    async with world(tmp_path, vms=2) as one:
        rotations = one.core.commands.rotations
        assert await _refused(rotations.drop(one.pool_id, [])) == "no-rotation"
        await one.guest("vm-2").misbehave("command-forced")
        await rotations.begin(one.pool_id)
        await _until_states(one, vm_1="done", vm_2="needs-preparing")
        assert await _refused(rotations.drop(one.pool_id, [one.vm("vm-1").id])) == "rotation-moved"
        told = await rotations.drop(one.pool_id, [one.vm("vm-2").id])
        assert (told.state, told.vms) == ("none", [])
        await one.until_problem("vm-2", "key-rejected")
        assert one.is_live("vm-1")
        assert _keyed(one) == {"vm-1": 1, "vm-2": 1}, "the old line is still in vm-2"
        audited = {(entry.what, entry.result) for entry in await one.core.commands.audit.recent(50)}
        assert {("pool key rotate", "done"), ("pool key changed over", "done")} <= audited
        assert {("pool key rotate --drop", "failed"), ("pool key rotate --drop", "done")} <= audited


async def test_a_guest_whose_file_cannot_be_written_needs_preparing(tmp_path: Path) -> None:
    """Its line may run commands, and nothing can be changed: it goes on with the old key, and the reason is told."""
    async with world(tmp_path, vms=1) as one:
        await one.guest("vm-1").misbehave("keys-unwritable")
        await one.core.commands.rotations.begin(one.pool_id)
        (told,) = await _until_states(one, vm_1="needs-preparing")
        assert told.needs_old
        assert told.reason
        await one.until_live("vm-1")


async def test_a_line_that_is_not_found_is_not_taken_for_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may stand where the user cannot read just now: it goes at another look, or the VM stays told as one of it."""
    async with world(tmp_path, vms=1) as one:
        guest, removals = one.guest("vm-1"), list[bytes]()
        change = guest.change_keys

        def hidden_once(old: bytes, new: bytes, *, is_removal: bool) -> bool:
            removals.extend([old] * is_removal)
            return len(removals) != 1 and change(old, new, is_removal=is_removal)

        monkeypatch.setattr(guest, "change_keys", hidden_once)
        former = (await one.core.commands.pools.key(one.pool_id)).public
        await one.core.commands.rotations.begin(one.pool_id)
        await _until_retired(one)
        assert removals
        assert _admits(guest, former) == (_keyed(one)["vm-1"] > 1)


async def test_a_pool_that_lets_no_key_go_is_asked_again_and_the_audit_stays_small(tmp_path: Path) -> None:
    """Our own tries in vain are not noted: they would push out what people did."""
    tries = 5
    async with world(tmp_path, vms=1) as one:
        for _ in range(tries):
            one.pool.core.mishaps.prepare("secret.destroy", Mishap.REFUSED)
        await one.core.commands.rotations.begin(one.pool_id)
        await _until_retired(one)
        assert one.pool.core.mishaps.outstanding == []
        retired = [entry for entry in await one.core.commands.audit.recent(50) if entry.what == "pool key retire"]
        assert [entry.result for entry in retired] == ["done"]


@pytest.mark.parametrize("cut", ["before the new line", "after the new line", "after the old line"])
async def test_another_server_ends_what_one_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: str) -> None:
    """A server that dies while it changes a guest over leaves it open for one of the keys; the next one goes on."""
    async with lab(tmp_path, ["vm-1"]) as (pool, maker), kept(tmp_path / "one") as database:
        async with running(QUICK, database) as core:
            one = World(pool, maker, core, database)
            await add(one)
            await one.until_live("vm-1")
            guest, ended = one.guest("vm-1"), []
            change = guest.change_keys

            def interrupted(old: bytes, new: bytes, *, is_removal: bool) -> bool:
                ended.append(is_removal)
                is_done = cut != "before the new line" and change(old, new, is_removal=is_removal)
                if is_removal or not cut.endswith("old line"):
                    guest.cut()
                    guest.faults = frozenset({"close-before-banner"})
                return is_done

            monkeypatch.setattr(guest, "change_keys", interrupted)
            await one.core.commands.rotations.begin(one.pool_id)
            await one.until(lambda: ended and ended[-1] == cut.endswith("old line"), "it is in the middle")
        monkeypatch.undo()
        monkeypatch.setattr(keys, "KEY_BITS", 2048)
        await guest.misbehave()
        async with kept(tmp_path / "two") as other, running(QUICK, other) as core:
            one = World(pool, maker, core, other)
            await add(one)
            await one.until_live("vm-1")
            await _until_retired(one)
            guest.cut()
            await one.until_live("vm-1")


async def test_a_vm_of_another_pool_is_told_apart(tmp_path: Path) -> None:
    """A VM that was migrated here holds its former pool's key: that is said, with that pool's name,
    and is over when the VM was prepared. Its former pool's key is still known to open it.
    """
    async with (
        lab(tmp_path / "a", ["vm-a"], seed=1, key=1) as (former, old_maker),
        world(tmp_path / "b", vms=1) as one,
    ):
        await add(one, former)
        at_home = World(former, old_maker, one.core, one.database)
        await at_home.until_live("vm-a")
        one.pool.machines.elsewhere = old_maker
        await moving.bring(one.pool, former, "vm-a")
        await one.until(lambda: any(vm.name == "vm-a" for vm in one.vms()), "it came")
        await one.until_problem("vm-a", "key-of-another-pool")
        problem = one.vm("vm-a").link.problem  # type: ignore[union-attr]
        assert at_home.seen_pool().name in problem.cause  # type: ignore[union-attr]
        keyed = one.core.commands.pools.keyed(at_home.pool_id)
        assert one.vm("vm-a").id in keyed
        await one.pool.admit("vm-a", one.pool.machines.public_keys()[0])
        await one.until(lambda: one.is_live("vm-a"), "prepared")
        assert one.vm("vm-a").id in one.core.commands.pools.keyed(one.pool_id)
