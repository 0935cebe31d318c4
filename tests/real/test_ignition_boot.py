"""A guest of the Ignition family (Fedora CoreOS, Flatcar) takes the pool's key from its drive: Debian's Ignition
applies what is there to a real guest, as it does in the initramfs of a first boot, and the VM is managed once it
is enabled.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from roadstead.artifacts import config_drive, drive_templates
from roadstead.artifacts.config_drive import Guest
from roadstead.lab.guests.real import RealGuest
from roadstead.model import config_keys
from tests.contract.cloud_inits import FOLDER
from tests.contract.world import CALM, World, add, kept, lab, running

IGNITION = FOLDER / "usr" / "lib" / "dracut" / "modules.d" / "30ignition" / "ignition"
FRAGMENT = ".ssh/authorized_keys.d/ignition"
"""Where Ignition puts keys; the SSH servers of its systems read it."""
VM = "vm-1"
FETCHED = "/run/ignition-fetched.json"
HOOK = "run/is-live-image"
"""What its systems answer; here it has been installed."""
UNLABELLED = "failed to handle relabeling: failed to open /etc/selinux/config"
"""How it ends, all being done, where there is no SELinux as on all of its systems."""
PROGRAM, CONFIG, LOG = "run/first-boot", "run/config.ign", "run/first-boot.log"

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not IGNITION.exists(), reason="./scripts/setup could not fetch Debian's ignition"),
]


async def _first_boot(guest: RealGuest, user_data: str) -> None:
    """Apply a config to the guest, as its first boot does, and have its SSH server read where keys are put."""
    root = guest.machine.root
    shutil.copy(IGNITION, root / PROGRAM)
    (root / CONFIG).write_text(user_data)
    (root / HOOK).write_text("#!/bin/sh\nexit 1\n")
    (root / HOOK).chmod(0o755)
    for stage in ("fetch-offline", "fetch", "files"):
        words = f"--log-to-stdout --platform=file --root=/ --stage={stage} --config-cache={FETCHED}"
        boot = f"PATH=/run:$PATH IGNITION_CONFIG_FILE=/{CONFIG} /{PROGRAM} {words} >/{LOG} 2>&1"
        await guest.inside("sh", "-c", f"{boot} || tail -n 1 /{LOG} | grep -q '{UNLABELLED}'")
    await guest.start_sshd(f"AuthorizedKeysFile {FRAGMENT}")


@pytest.fixture
async def unbooted(real_guest: RealGuest) -> AsyncIterator[RealGuest]:
    """A guest in which nothing is left of its first boot afterwards."""
    etc, home = real_guest.machine.root / "etc", real_guest.machine.root / "run/home/core"
    name = (etc / "hostname").read_text()
    yield real_guest
    (etc / "hostname").write_text(name)
    shutil.rmtree(home / Path(FRAGMENT).parent, ignore_errors=True)
    for left in etc.glob("**/*ignition*"):
        left.unlink()


async def test_a_first_boot_lets_the_pool_in(unbooted: RealGuest, tmp_path: Path) -> None:
    """From nothing but the drive: no key is in the guest before, and enabling it is all that is done after."""
    await unbooted.authorize(())
    async with (
        lab(tmp_path, [], 0, hosts=1) as (pool, maker),
        kept(tmp_path) as database,
        running(CALM, database) as core,
    ):
        one = World(pool, maker, core, database)
        await add(one)
        await pool.create_vm(VM, addresses=unbooted.addresses, user=unbooted.user, enabled=False)
        await one.until(lambda: any(vm.name == VM for vm in one.vms()), "the VM is seen")
        public = (await core.commands.pools.key(one.pool_id)).public
        guest = Guest(str(one.vm(VM).id), "web1", public)
        drive = config_drive.prepare(drive_templates.PROFILES[drive_templates.IGNITION], guest, "ignition")
        await _first_boot(unbooted, drive.user_data)

        pool.set_key(VM, config_keys.MONITOR, config_keys.ENABLED)
        await one.until(lambda: one.is_live(VM) and len(one.containers(VM)) > 1, "it is managed")
        assert public.split()[1] in (unbooted.machine.root / "run/home/core" / FRAGMENT).read_text()
