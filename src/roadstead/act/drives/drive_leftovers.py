"""Ends what was broken off in the middle of making a config drive: by a crash, or by a pool that fell silent.

Until a drive is in its place its disk has a name of its own, so that a pool can be asked for just these, and a mark
that says for which VM it is and since when. One that is older than any making can be is removed, unless it is what its
VM sees by now; then the rest is done. Nothing but what carries name and mark is touched.
"""

from datetime import datetime, timedelta

import structlog

from roadstead.errors import NotFoundError, PoolError
from roadstead.kit import clocks
from roadstead.peers.xapi.client import XapiClient
from roadstead.peers.xapi.disks import Disks
from roadstead.peers.xapi.messages.disks import Device, Disk
from roadstead.plan import config_drives as plan

log = structlog.get_logger()

NAME = "Automatic Config Drive"
"""How the disk of a drive that is in its place is called; clients know it by its mark."""


async def sweep(client: XapiClient) -> timedelta | None:
    """End what was broken off in a pool; return in how long there may be more, None if nothing is being made.

    What the pool refuses is told to the log, and stays till the next time. Raises `PoolError` if it cannot be asked.
    """
    return await _Sweep(Disks(client), clocks.now()).run()


class _Sweep:
    """One look at the unfinished drives of a pool, at the time ``now``."""

    def __init__(self, disks: Disks, now: datetime) -> None:
        self._disks = disks
        self._now = now

    async def run(self) -> timedelta | None:
        ages = [await self._see(ref) for ref in await self._disks.named(plan.UNFINISHED)]
        young = [age for age in ages if age is not None and age < plan.UNFINISHED_AGE]
        return plan.UNFINISHED_AGE - max(young) if young else None

    async def _see(self, ref: str) -> timedelta | None:
        """End one drive if it is due; return its age, None for what is not ours or gone."""
        disk = await self._disks.disk_at(ref)
        begun = plan.begun(disk) if disk is not None else None
        if disk is None or begun is None:
            return None
        age = self._now - begun.at
        if age >= plan.UNFINISHED_AGE:
            try:
                await self._end(disk, begun.vm)
            except PoolError as error:
                log.warning("unfinished config drive left", vm=begun.vm, disk=disk.uuid, problem=str(error))
        return age

    async def _end(self, disk: Disk, vm: str) -> None:
        devices = await self._devices(vm)
        fate = plan.fate(disk, devices)
        if fate is plan.Fate.LEFT:
            return
        if fate is plan.Fate.REMOVED:
            await self._disks.discard(disk.ref)
        else:
            await self._disks.rename(disk.ref, NAME)
            await self._remove_others(disk, devices)
        log.info("unfinished config drive", vm=vm, disk=disk.uuid, fate=fate.value)

    async def _devices(self, vm: str) -> list[Device]:
        try:
            return await self._disks.devices(await self._disks.machine(vm))
        except NotFoundError:
            return []

    async def _remove_others(self, disk: Disk, devices: list[Device]) -> None:
        """Remove the VM's former drives, as was to be done next; none that may be being made now."""
        for each in plan.former(devices):
            if each.disk.ref == disk.ref or plan.is_being_made(each.disk, self._now):
                continue
            if each.disk_goes:
                await self._disks.discard(each.disk.ref)
            else:
                await self._disks.hide(each.device.ref)
