"""Which host key a VM must show, said before Roadstead has ever spoken with it: it is held to that alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadstead.lab.pool.server import LabPool
from roadstead.model import VmId
from roadstead.model.config_keys import HOST_KEY, MONITOR
from roadstead.peers.links.messages import fingerprint
from roadstead.settings.schema import AlertSettings
from tests.contract.world import QUICK, World, add, kept, lab, running

OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3vh1mF6n3Rr7iHcZ0m0u3nq3Vf8xk3f7j4mI2aVb0Q"
HASTY = QUICK.model_copy(update={"alert": AlertSettings(after_seconds=0.0)})
"""A message is raised at once."""


async def _disabled(one: World) -> VmId:
    """The VM, seen and not managed."""
    await one.until(lambda: any(vm.name == "vm-1" for vm in one.vms()), "seen")
    return one.vm("vm-1").id


def _disable(pool: LabPool) -> None:
    ref = pool.find("vm-1")
    config = dict(pool.core.database.get("VM", ref)["other_config"])
    config.pop(MONITOR, None)
    pool.core.database.write("VM", ref, "other_config", config)


@pytest.mark.parametrize("how", ["whole key", "fingerprint"])
async def test_a_vm_is_held_to_it_from_the_first_contact_on(tmp_path: Path, how: str) -> None:
    """Said while the VM is not enabled, kept over a restart; another key is refused before the sign-in, here and in the
    pool's message; the right one is taken and pinned.
    """
    async with lab(tmp_path, ["vm-1"]) as (pool, maker), kept(tmp_path) as database:
        _disable(pool)
        async with running(HASTY, database) as core:
            one = World(pool, maker, core, database)
            await add(one)
            vm = await _disabled(one)
            keys = await core.commands.vms.expect_host_key(vm, OTHER if how == "whole key" else _print(OTHER))
            assert keys.state == "expected"
        async with running(HASTY, database) as core:
            one = World(pool, maker, core, database)
            vm = await _disabled(one)
            await core.commands.vms.enable(vm)
            await one.until_problem("vm-1", "host-key-not-as-said")
            await _check_what_is_told(one, vm)
            line = one.guest("vm-1").host_key()
            await core.commands.vms.expect_host_key(vm, line if how == "whole key" else _print(line))
            await one.until_live("vm-1")
            await one.until(lambda: one.vm("vm-1").settings.get(HOST_KEY) == line.split()[1], "pinned")
            await one.until(lambda: not _bodies(pool), "the message is gone")
        assert await database.expected_keys() == ()


async def _check_what_is_told(one: World, vm: VmId) -> None:
    shown, said = _print(one.guest("vm-1").host_key()), _print(OTHER)
    keys = one.core.commands.vms.host_keys(vm)
    assert keys.shown is not None
    assert keys.expected is not None
    assert (keys.shown.fingerprint, keys.expected.fingerprint) == (shown, said)
    await one.until(lambda: _bodies(one.pool), "a message")
    body = _bodies(one.pool)[0]
    assert shown in body
    assert said in body
    assert "ssh-keygen -lf" in body
    assert "roadstead hostkey forget vm-1" in body


def _bodies(pool: LabPool) -> list[str]:
    return [str(message["body"]) for _, message in pool.core.database.all("message")]


def _print(line: str) -> str:
    return fingerprint(line.split()[1])


async def test_a_known_vm_that_is_installed_anew_is_taken_with_its_new_key(tmp_path: Path) -> None:
    """Said before the reinstallation, so nobody has to wait and confirm."""
    async with lab(tmp_path, ["vm-1"]) as (pool, maker), kept(tmp_path) as database, running(QUICK, database) as core:
        one = World(pool, maker, core, database)
        await add(one)
        await one.until_live("vm-1")
        vm, old = one.vm("vm-1").id, one.guest("vm-1").host_key()
        await one.guest("vm-1").new_host_key()
        new = one.guest("vm-1").host_key()
        await core.commands.vms.expect_host_key(vm, _print(new))
        await one.until_live("vm-1")
        await one.until(lambda: one.vm("vm-1").settings.get(HOST_KEY) == new.split()[1] != old.split()[1], "pinned")
        assert core.commands.vms.host_keys(vm).state == "pinned"
