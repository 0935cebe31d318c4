"""What is asked and refused before anybody signs in to a guest that is to be prepared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from roadstead.act.guests.sign_ins import SignIns
from roadstead.act.preparing.conversation import Action, Answers
from roadstead.errors import RoadsteadError
from roadstead.lab.pool.driver import NewVm
from roadstead.model import LinkState, VmId, config_keys
from tests.contract.world import QUICK, World, world


async def _refused(one: World, **said: Any) -> str:
    with pytest.raises(RoadsteadError) as caught:
        await one.core.commands.preparing.step(one.vm("vm-1").id, Answers(**said))
    return caught.value.code


async def test_a_vm_that_cannot_be_called_is_refused(tmp_path: Path) -> None:
    """Off, or without an address that may be used; nothing changes."""
    async with world(tmp_path, vms=2) as one:
        await one.until(lambda: config_keys.HOST_KEY in one.vm("vm-1").settings, "pinned")
        before = one.vm("vm-1").settings
        one.pool.set_addresses("vm-1", ())
        await one.until(lambda: not one.vm("vm-1").addresses, "no address")
        assert await _refused(one) in {"no-address", "no-address-yet"}
        one.pool.set_addresses("vm-1", ("169.254.1.1",))
        await one.until(lambda: one.vm("vm-1").addresses == ("169.254.1.1",), "a bad address")
        assert await _refused(one) == "address-not-allowed"
        await one.pool.stop_vm("vm-1")
        await one.until(lambda: not one.vm("vm-1").running, "off")
        assert await _refused(one) == "vm-off"
        assert await _refused(one, action=Action.UNPREPARE) == "unprepare-needs-running"
        assert one.vm("vm-1").settings == before


async def test_a_vm_without_guest_tools_is_told_from_one_without_an_address(tmp_path: Path) -> None:
    """And is left as it was; an address that is set for it is as good as one that is announced."""
    async with world(tmp_path, vms=1, settings=QUICK) as one:
        (right,) = one.guest("vm-1").addresses[:1]
        one.pool.set_addresses("vm-1", ())
        metrics = str(one.pool.core.vm(one.pool.find("vm-1"))["guest_metrics"])
        silent: dict[str, object] = {"os_version": {}, "PV_drivers_version": {}, "networks": {}, "other": {}}
        one.pool.core.database.update("VM_guest_metrics", metrics, silent)
        one.guest("vm-1").cut()
        await one.until_problem("vm-1", "no-guest-tools")
        before = one.vm("vm-1").settings
        assert await _refused(one) == "no-guest-tools"
        assert one.vm("vm-1").settings == before
        vm = one.vm("vm-1")
        await one.core.commands.pools.keeper(vm.pool).config.set(vm.id, config_keys.ADDRESS, right)
        await one.until(lambda: config_keys.ADDRESS in one.vm("vm-1").settings, "it is set")
        assert (await one.core.commands.preparing.step(vm.id, Answers())).question == "sign-in"


async def test_a_known_host_key_is_no_question_and_another_one_is(tmp_path: Path) -> None:
    """What is remembered is told beside what is shown; of the answer only the fingerprint counts."""
    async with world(tmp_path, vms=1) as one:
        preparing, vm = one.core.commands.preparing, one.vm("vm-1").id
        asked = await preparing.step(vm, Answers())
        assert (asked.question, asked.user) == ("sign-in", one.guest("vm-1").user)
        await one.pool.new_host_key("vm-1")
        one.guest("vm-1").cut()
        await one.until_problem("vm-1", "host-key-changed")
        again = await preparing.step(vm, Answers())
        assert (again.question, again.remembered) == ("host-key", asked.host_key.split()[1])
        assert again.host_key != asked.host_key
        assert (await preparing.step(vm, Answers(host_key=again.host_key))).question == "sign-in"
        assert await _refused(one, host_key=asked.host_key) == "guest-host-key-differs"
        assert one.vm("vm-1").link.state is LinkState.BROKEN  # type: ignore[union-attr]


@pytest.mark.parametrize("action", ["prepare", "unprepare"])
async def test_the_operators_sign_in_counts_among_the_guests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    """Also one that fails: the guest holds each against our address, whoever made it."""
    began: list[VmId] = []
    async with world(tmp_path, vms=1) as one:
        await one.until(lambda: config_keys.HOST_KEY in one.vm("vm-1").settings, "pinned")
        monkeypatch.setattr(SignIns, "begins", lambda _, vm: began.append(vm))
        assert await _refused(one, action=action, password="guess") == "guest-sign-in-failed"
        assert began == [one.vm("vm-1").id]


async def test_where_nothing_is_to_be_taken_back_nobody_signs_in(tmp_path: Path) -> None:
    """A VM that is disabled, with no key known to be in it, is unprepared; who names its host key has it looked at."""
    async with world(tmp_path, vms=1) as one:
        await one.pool.make_vm(NewVm("new", 1, enabled=False))
        await one.until(lambda: any(vm.name == "new" and vm.addresses for vm in one.vms()), "it is seen")
        preparing, new = one.core.commands.preparing, one.vm("new").id
        told = await preparing.step(new, Answers(action=Action.UNPREPARE))
        assert (told.state, told.done[0][:14]) == ("unprepared", "it is disabled")
        shown = (await preparing.step(new, Answers())).host_key
        asked = await preparing.step(new, Answers(action=Action.UNPREPARE, host_key=shown))
        assert (asked.state, asked.question) == ("asks", "sign-in")
        await one.core.commands.vms.disable(one.vm("vm-1").id)
        await one.until(lambda: not one.vm("vm-1").enabled, "disabled")
        asked = await preparing.step(one.vm("vm-1").id, Answers(action=Action.UNPREPARE))
        assert asked.question == "sign-in"  # its key is still in the guest


@pytest.mark.parametrize(("action", "advice"), [("prepare", "--mode tls"), ("unprepare", "`roadstead disable vm-1`")])
async def test_a_guest_that_is_not_there_is_told_with_what_helps(tmp_path: Path, action: str, advice: str) -> None:
    """Windows is a matter of preparing; whoever takes that back may leave the VM alone."""
    async with world(tmp_path, vms=1) as one:
        await one.until(lambda: config_keys.HOST_KEY in one.vm("vm-1").settings, "pinned")
        nobodys = one.vm("vm-1").addresses[0].rpartition(".")[0] + ".254"
        one.pool.set_addresses("vm-1", (nobodys,))
        await one.until(lambda: one.vm("vm-1").addresses == (nobodys,), "moved")
        with pytest.raises(RoadsteadError) as caught:
            await one.core.commands.preparing.step(one.vm("vm-1").id, Answers(action=Action(action)))
        assert (caught.value.code, advice in caught.value.remedy) == ("guest-unreachable", True)
