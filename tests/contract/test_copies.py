"""Copies of managed VMs carry what was published of their original: it is wiped or replaced, never shown as theirs."""

from __future__ import annotations

from pathlib import Path

from roadstead.lab.pool.moving import bring
from roadstead.lab.pool.server import LabPool
from roadstead.model.config_keys import DOCKER_INFO, DOCKER_PS, DOCKER_VERSION, MONITOR, PUBLISHED_KEYS
from tests.contract.world import World, world
from tests.contract.xapi_pools import address, signed_in


def _published(one: World, name: str) -> set[str]:
    """What the pool shows of a VM's containers to its clients."""
    vms = [vm for _, vm in one.pool.core.database.all("VM") if vm["name_label"] == name]
    return set(vms[0]["other_config"]) & set(PUBLISHED_KEYS)


async def test_a_vm_made_from_a_template_of_a_managed_vm_shows_nothing(tmp_path: Path) -> None:
    """It is off, and enabled as its original was; the template itself is shown by nobody and left alone."""
    async with world(tmp_path, vms=1) as one, signed_in(address(one.pool)) as xe:
        await one.until(lambda: _published(one, "vm-1") == set(PUBLISHED_KEYS), "published")
        snapshot = await xe.call("VM.snapshot", one.pool.find("vm-1"), "snapshot")
        template = await xe.call("VM.clone", snapshot, "template")
        made = await xe.call("VM.clone", template, "made")
        assert _published(one, "made") == set(PUBLISHED_KEYS)
        await xe.call("VM.provision", made)
        await one.until(lambda: not _published(one, "made"), "wiped")
        assert one.vm("made").enabled
        assert _published(one, "vm-1") == _published(one, "template") == set(PUBLISHED_KEYS)


async def test_an_off_clone_and_an_import_show_nothing(tmp_path: Path) -> None:
    """Enabled or not, whichever pool they came from."""
    values = dict.fromkeys((DOCKER_PS, DOCKER_INFO, DOCKER_VERSION), "<docker_ps/>")
    async with (
        world(tmp_path / "one", vms=1) as one,
        LabPool(tmp_path / "two", hosts=1, port=0, seed=1) as second,
        signed_in(address(one.pool)) as xe,
    ):
        second.add_bare_vms("came", "foreign")
        for name, config in (("came", values | {MONITOR: "True"}), ("foreign", values)):
            second.core.database.write("VM", second.find(name), "other_config", config)
            await bring(one.pool, second, name)
        await one.pool.stop_vm("vm-1")
        names = ("came", "foreign", "vm-1")
        await one.until(lambda: not any(_published(one, name) for name in names), "wiped")
        one.pool.core.database.write("VM", one.pool.find("came"), "other_config", values | {MONITOR: "True"})
        await xe.call("VM.clone", one.pool.find("came"), "clone")
        await one.until(lambda: any(vm.name == "clone" for vm in one.vms()), "seen")
        await one.until(lambda: not _published(one, "clone") | _published(one, "came"), "wiped again")
