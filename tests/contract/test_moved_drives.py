"""Config drives as guests read them: a VM made with one needs only enabling, one that moved here gets our key by it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from roadstead.act.drives.vm_drives import Order
from roadstead.errors import ConflictError, InputError
from roadstead.lab.pool import moving
from roadstead.lab.pool.server import LabPool
from roadstead.model.config_keys import HOST_KEY, MONITOR
from tests.contract.plugged import plugged
from tests.contract.test_config_drive_commands import SETTINGS, Done, Operator, operator
from tests.contract.world import World, add, lab, world


async def boot(pool: LabPool, name: str) -> None:
    """Shut a VM down if it runs, and start it; return when it has booted."""
    ref = pool.find(name)
    if pool.core.vm(ref)["power_state"] == "Running":
        await pool.stop_vm(name)
    await pool.start_vm(name)
    await pool.machines.booted(ref)


def close(one: World, name: str) -> None:
    """Let the guest of a VM know no key, as an image that nobody has prepared."""
    guest = one.guest(name)
    guest._removed |= guest.lot.keys  # noqa: SLF001 - what the lab opens at its start is closed
    guest.cut()


async def unknown(one: World, name: str) -> None:
    """Let nothing be known of a VM: not enabled, no host key, no key of ours in it."""
    await one.core.commands.vms.disable(one.vm(name).id)
    await one.core.commands.vms.forget_host_key(one.vm(name).id)
    await one.until(lambda: not one.vm(name).enabled and HOST_KEY not in one.vm(name).settings, "it is unknown")
    close(one, name)
    for opening in one.core.commands.readiness._memories.keyed.of(one.vm(name).id):  # noqa: SLF001
        one.core.commands.readiness._memories.keyed.closes(opening)  # noqa: SLF001


@pytest.mark.limit(60)
@pytest.mark.parametrize(
    ("profile", "applies"), [("cloud-config", "once"), ("flatcar", "each-boot"), ("ignition", "first-boot")]
)
async def test_a_vm_made_with_the_default_drive_needs_only_enabling(tmp_path: Path, profile: str, applies: str) -> None:
    """The drive, a boot, `enable`: no sign-in of an operator, no warning."""
    async with world(tmp_path, vms=1, settings=SETTINGS) as one:
        await unknown(one, "vm-1")
        await one.pool.stop_vm("vm-1")
        await one.until(lambda: not one.vm("vm-1").running, "it is off")
        made = await one.core.commands.drives.create(one.vm("vm-1"), Order(profile=profile))
        assert made.applies == applies
        await boot(one.pool, "vm-1")
        await one.until(lambda: one.vm("vm-1").running, "it runs")
        assert await one.core.commands.readiness.doubt(one.vm("vm-1")) is None
        await one.core.commands.vms.enable(one.vm("vm-1").id)
        await one.until_live("vm-1")


@pytest.mark.limit(60)
async def test_enabling_a_vm_that_nothing_speaks_for_warns(tmp_path: Path) -> None:
    """At the command line, and as a message in the pool for XenCenter; it is enabled all the same."""
    async with plugged(tmp_path, vms=1, settings=SETTINGS) as client:
        one = client.one
        await unknown(one, "vm-1")
        doubt = await one.core.commands.readiness.doubt(one.vm("vm-1"))
        assert doubt is not None and doubt.code == "vm-not-prepared"
        assert await client.call("register", vmuuid=one.vm("vm-1").id) == "TrueNone"
        bodies = [str(message["body"]) for _, message in one.pool.core.database.all("message")]
        assert any("was not prepared" in body for body in bodies)
        await one.until(lambda: one.vm("vm-1").enabled, "it is enabled")


@pytest.mark.limit(90)
async def test_the_warning_at_the_command_line(tmp_path: Path) -> None:
    """`enable` tells it, and the way out."""
    async with operator(tmp_path) as me:
        await unknown(me.one, "vm-1")
        done = await me.run("enable", "vm-1", command="")
        assert done.code == 0 and "roadstead prepare vm-1" in done.out + done.err


@asynccontextmanager
async def moved(folder: Path, profile: str) -> AsyncIterator[tuple[Operator, World]]:
    """A VM with a drive that came here from another pool, whose key its guest lets in."""
    async with (
        lab(folder / "a", ["vm-z", "vm-a"], seed=1, key=1) as (former, maker),
        operator(folder) as me,
    ):
        one = me.one
        await add(one, former)
        at_home = World(former, maker, one.core, one.database)
        await at_home.until_live("vm-a")
        await one.core.commands.drives.create(at_home.vm("vm-a"), Order(profile=profile))
        await boot(former, "vm-a")
        await at_home.until_live("vm-a")
        one.pool.machines.elsewhere = maker
        await moving.bring(one.pool, former, "vm-a")
        await one.until(lambda: any(vm.name == "vm-a" for vm in one.vms()), "it came")
        await one.until_problem("vm-a", "key-of-another-pool")
        yield me, at_home


def instance(me: Operator) -> str:
    """The instance id on the drive."""
    return str(json.loads(me.on_drive("meta_data.json"))["uuid"])


@pytest.mark.limit(120)
async def test_flatcar_takes_a_rebuilt_drive_at_its_next_boot(tmp_path: Path) -> None:
    """`why` names the command; it needs no new instance, and the pin stays."""
    async with moved(tmp_path, "flatcar") as (me, _):
        one = me.one
        link = one.vm("vm-a").link
        assert link and link.problem and "roadstead config-drive rebuild vm-a" in link.problem.remedy
        shown = await me.run("show", "vm-a")
        assert "another pool's key" in shown.out
        pin, known = one.vm("vm-a").settings[HOST_KEY], instance(me)
        looked = await me.run("rebuild", "vm-a", "--preview")
        assert "which has another pool's key" in looked.out and me.counted() == (1, 1), looked
        nobody = await me.run("rebuild", "vm-a")
        assert (nobody.code, nobody.out) == (2, "") and "--yes" in nobody.err
        bare = await me.run("rebuild", "vm-1", "--yes")
        assert "`roadstead config-drive create vm-1`" in bare.out + bare.err
        done: Done = await me.run("rebuild", "vm-a", "--yes")
        assert (done.code, "next boot" in done.out) == (0, True), done.err
        assert instance(me) == known
        await boot(one.pool, "vm-a")
        await one.until(lambda: one.is_live("vm-a"), "it is live by the drive")
        assert one.vm("vm-a").settings[HOST_KEY] == pin


@pytest.mark.limit(120)
async def test_cloud_init_needs_to_be_re_provisioned(tmp_path: Path) -> None:
    """A rebuilt drive alone is passed over, which is told with the way out; as a new instance the guest has new host
    keys, the pin is gone, and it is managed. A later drive keeps the instance.
    """
    async with moved(tmp_path, "cloud-config") as (me, _):
        one = me.one
        known = instance(me)
        assert known != one.vm("vm-a").id, "cloud-init would never look at another drive"
        done = await me.run("rebuild", "vm-a", "--yes")
        assert done.code == 0 and "--re-provision" in done.err, done.err
        await boot(one.pool, "vm-a")
        await one.until_problem("vm-a", "key-of-another-pool")
        assert instance(me) == known
        old = one.vm("vm-a").settings[HOST_KEY]
        with pytest.raises(ConflictError, match="makes new ones"):
            await one.core.commands.drives.create(one.vm("vm-a"), Order(provision_again=True))
        await one.pool.stop_vm("vm-a")
        await one.until(lambda: not one.vm("vm-a").running, "it is off")
        looked = await me.run("create", "vm-a", "--profile", "cloud-config", "--re-provision", "--preview")
        assert "Re-provisioning" in looked.out and "host key" in looked.out, looked.err
        again = await me.run("rebuild", "vm-a", "--re-provision", "--yes")
        assert (again.code, "forgotten" in again.out) == (0, True), again.err
        fresh = instance(me)
        assert fresh != known
        assert fresh in looked.out, "what is shown is what is made"
        await one.until(lambda: HOST_KEY not in one.vm("vm-a").settings, "the pin is gone")
        noted = [entry.what for entry in await one.core.commands.audit.recent(3)]
        assert noted[:2] == ["hostkey forget", "config-drive create"]
        await boot(one.pool, "vm-a")
        await one.until(lambda: one.is_live("vm-a"), "it is live by the drive")
        await one.until(lambda: HOST_KEY in one.vm("vm-a").settings, "it is pinned anew")
        assert one.vm("vm-a").settings[HOST_KEY] != old
        with pytest.raises(ConflictError, match="makes new ones"):
            await one.core.commands.drives.create(one.vm("vm-a"), Order(provision_again=True))
        await one.core.commands.drives.create(one.vm("vm-a"), Order(profile="cloud-config"))
        assert instance(me) == fresh, "else the next boot would be a first one again"


@pytest.mark.limit(60)
async def test_a_suspicious_host_key_is_not_trusted_by_a_new_drive(tmp_path: Path) -> None:
    """While a guest runs under a key that is not the remembered one the pin is not forgotten, and no drive is made."""
    async with world(tmp_path, vms=1, settings=SETTINGS) as one:
        await one.until(lambda: HOST_KEY in one.vm("vm-1").settings, "it is pinned")
        pin = one.vm("vm-1").settings[HOST_KEY]
        await one.pool.new_host_key("vm-1")
        one.guest("vm-1").cut()
        await one.until_problem("vm-1", "host-key-changed")
        with pytest.raises(ConflictError) as caught:
            await one.core.commands.drives.create(one.vm("vm-1"), Order(provision_again=True))
        assert caught.value.code == "provisioning-needs-off"
        assert one.vm("vm-1").settings[HOST_KEY] == pin
        assert not one.pool.core.database.table("VDI").rows


@pytest.mark.limit(60)
async def test_what_reads_no_second_drive_is_not_re_provisioned(tmp_path: Path) -> None:
    """Ignition reads at the first boot only, Flatcar each time: nothing is changed."""
    async with world(tmp_path, vms=1, settings=SETTINGS) as one:
        for profile in ("ignition", "flatcar", "coreos"):
            with pytest.raises(InputError) as caught:
                await one.core.commands.drives.create(one.vm("vm-1"), Order(profile=profile, provision_again=True))
            assert caught.value.code == "provisioning-not-repeated"
        assert not one.pool.core.database.table("VDI").rows
        assert one.vm("vm-1").settings[MONITOR]
