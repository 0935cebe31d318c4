"""The CD with a VM's certificates in its drive: it is there for the length of a block, and afterwards nowhere.

What is on it is a private key. So it is overwritten before it is destroyed, whatever happened meanwhile: the pool's
storage may keep the blocks of a destroyed disk. A CD that somebody else had in the drive is put back.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from roadstead.act.pools import storages
from roadstead.errors import ConflictError, PoolError
from roadstead.kit import clocks, tasks
from roadstead.model import PowerState
from roadstead.peers.xapi.disks import Disks
from roadstead.peers.xapi.messages.disks import Device, Disk, Machine, Storage
from roadstead.plan import config_drives, tls_disks

log = structlog.get_logger()

WRITE_SECONDS = 60.0
REMOVE_SECONDS = 30.0
"""Limit on taking it away; who is told to stop waits for that."""
RETRY_SECONDS = 1.0
SPARE = timedelta(minutes=10)
"""So long after its time a CD whose maker died may be destroyed by whoever finds it."""


class Placing(NamedTuple):
    """Where a CD goes: into which storage (uuid; empty: the pool's default), and what may be done to the VM for it."""

    storage: str = ""
    eject: bool = False
    """Whether a CD that is in the drive may be taken out meanwhile."""
    add_drive: bool = False
    """Whether a VM without a CD drive may be given one."""


class TlsDisks:
    """The CDs of one pool."""

    def __init__(self, disks: Disks) -> None:
        self._disks = disks

    @asynccontextmanager
    async def inserted(self, vm: str, image: bytes, placing: Placing, seconds: float) -> AsyncIterator[None]:
        """Keep ``image`` in the CD drive of the VM (uuid) for the length of the block, which takes ``seconds`` at most.

        Raises `ConflictError` ``cd-drive-full``, ``cd-drive-missing``, ``cd-drive-not-added``, ``storage-…``;
        `NotFoundError` and `PoolError`, ``cd-not-inserted`` among them. Then nothing was changed.
        """
        machine = await self._disks.machine(vm)
        storage = await self._disks.storage(placing.storage or await self._disks.default_storage())
        until = clocks.now() + timedelta(seconds=seconds) + SPARE
        visit = _Visit(self._disks, machine, storage)
        try:
            await visit.begin(image, placing, until)
            yield
        finally:
            await tasks.unbroken(visit.end(), f"removal of a CD from {machine.name}", seconds=REMOVE_SECONDS)

    async def check(self, vm: str, placing: Placing) -> None:
        """Raise what `inserted` would raise because of drive or storage, as far as that is known before."""
        await _drive(self._disks, await self._disks.machine(vm), placing)
        storages.host_of(await self._disks.storage(placing.storage or await self._disks.default_storage()))

    async def sweep(self) -> None:
        """Destroy what others left behind, once its time has passed."""
        for ref in await self._disks.named(tls_disks.NAME):
            disk = await self._disks.disk_at(ref)
            if disk is not None and tls_disks.is_left_behind(disk, clocks.now()):
                await _destroy(self._disks, disk)
                log.info("left CD with certificates destroyed", disk=disk.uuid)


class _Visit:
    """One CD on its way into a VM and out again."""

    def __init__(self, disks: Disks, machine: Machine, storage: Storage) -> None:
        self._disks = disks
        self._machine = machine
        self._storage = storage
        self._host = storages.host_of(storage)
        # By this it is found again also when the answer with its reference got lost.
        self._token = secrets.token_hex(8)
        self._is_asked = False
        """Whether the pool was asked for a disk, so that there may be one."""
        self._disk = ""
        self._drive = ""
        self._former: Disk | None = None

    async def begin(self, image: bytes, placing: Placing, until: datetime) -> None:
        """Write the CD and put it into the drive."""
        drive = await _drive(self._disks, self._machine, placing)
        if drive is not None:
            self._drive, self._former = drive.ref, drive.disk
        await self._fill(image, until)
        try:
            if not self._drive:
                self._drive = await self._disks.add_drive(self._machine.ref)
            if self._former is not None:
                await self._disks.eject(self._drive)
            await self._disks.insert(self._drive, self._disk)
        except PoolError as error:
            raise self._not_inserted(error) from error

    async def end(self) -> None:
        """Take the CD out, overwrite and destroy it; what fails is told to the log, and done by the next sweep."""
        try:
            async with asyncio.timeout(REMOVE_SECONDS):
                await self._until_ended()
        except TimeoutError:
            log.warning("CD with certificates left", vm=self._machine.uuid, disk=self._disk)

    async def _fill(self, image: bytes, until: datetime) -> None:
        size = config_drives.size_of(image)
        marks = tls_disks.marks(until, self._token)
        self._is_asked = True
        try:
            self._disk = await self._disks.create(self._storage.ref, tls_disks.NAME, size, marks)
        except PoolError as error:
            self._is_asked = "xapi" not in error.fields
            raise storages.fault(error, self._storage, size) from error
        try:
            await self._disks.write(self._disk, image.ljust(size, b"\0"), self._host, WRITE_SECONDS)
        except PoolError as error:
            raise self._not_inserted(error) from error

    def _not_inserted(self, error: PoolError) -> PoolError:
        if error.code not in {"pool-call-failed", "pool-answer-invalid"}:
            return error
        return PoolError("cd-not-inserted", vm=self._machine.name, reason=error.fields["reason"])

    async def _until_ended(self) -> None:
        while True:
            if await self._is_ended():
                return
            await asyncio.sleep(RETRY_SECONDS)

    async def _is_ended(self) -> bool:
        """Undo everything once; return False when that failed, as a transfer that was cut short holds the disk for a
        moment, and a session may have to be opened again.
        """
        try:
            await self._clear_drive()
            for disk in await self._ours():
                await _destroy(self._disks, disk, self._host)
            await self._restore_drive()
        except PoolError as error:
            log.info("CD with certificates not removed yet", vm=self._machine.uuid, problem=str(error))
            return False
        return True

    async def _ours(self) -> list[Disk]:
        if not self._is_asked:
            return []
        refs = [self._disk] if self._disk else await self._disks.named(tls_disks.NAME)
        found = [await self._disks.disk_at(ref) for ref in refs]
        return [disk for disk in found if disk is not None and disk.marks.get(tls_disks.TOKEN_MARK) == self._token]

    async def _clear_drive(self) -> None:
        """Take our CD out, unless somebody did."""
        device = await self._disks.device(self._drive) if self._drive else None
        if device is not None and device.disk is not None and device.disk.ref == self._disk:
            await self._disks.eject(self._drive)

    async def _restore_drive(self) -> None:
        """Let the drive be as it was, unless somebody put a CD in meanwhile."""
        device = await self._disks.device(self._drive) if self._drive else None
        if device is None or device.disk is not None:
            return
        if self._former is not None and await self._disks.disk(self._former.uuid) is not None:
            await self._disks.insert(self._drive, self._former.ref)


async def _drive(disks: Disks, machine: Machine, placing: Placing) -> Device | None:
    """Return the drive of the VM for a CD; None where it may be given one. Raises `ConflictError` ``cd-drive-…``."""
    drive = tls_disks.drive(await disks.devices(machine))
    if drive is not None:
        if drive.disk is not None and not placing.eject:
            raise ConflictError("cd-drive-full", vm=machine.name, disk=drive.disk.name)
        return drive
    if not placing.add_drive:
        raise ConflictError("cd-drive-missing", vm=machine.name)
    if machine.power != PowerState.HALTED:
        raise ConflictError("cd-drive-not-added", vm=machine.name, state=machine.power.lower())
    return None


async def _destroy(disks: Disks, disk: Disk, host: str | None = None) -> None:
    """Overwrite a disk as far as that goes, and destroy it."""
    try:
        seeing = host if host is not None else await disks.host_of(disk)
        if seeing is not None:
            await disks.write(disk.ref, bytes(disk.size), seeing, WRITE_SECONDS)
    except PoolError as error:
        log.warning("CD with certificates not overwritten", disk=disk.uuid, problem=str(error))
    await disks.destroy(disk.ref)
