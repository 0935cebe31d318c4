"""The CD with a VM's certificates in its drive: it is there for the length of a block, and afterwards nowhere.

What is on it is a private key. So it is overwritten before it is destroyed, whatever happened meanwhile: the pool's
storage may keep the blocks of a destroyed disk. A CD that somebody else had in the drive is put back.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from roadstead.act.pools import storages
from roadstead.act.preparing import tls_removal
from roadstead.errors import ConflictError, PoolError
from roadstead.kit import clocks, tasks
from roadstead.model import PowerState
from roadstead.peers.xapi.disks import Disks
from roadstead.peers.xapi.messages.disks import Device, Disk, Machine, Storage
from roadstead.plan import config_drives, tls_disks

log = structlog.get_logger()

REMOVE_SECONDS = 30.0
"""Limit on taking it away."""
END_SECONDS = 40.0
"""The same for who is told to stop, and waits for that: what it ends with must have its time, too."""
SPARE = timedelta(minutes=10)
"""So long after its time a CD may be destroyed by whoever finds it, whatever else it says."""
HELD = timedelta(minutes=5)
"""So long after it last said so the maker of a CD counts as alive: clocks may differ by minutes, a pool be away."""
RENEW_AFTER = timedelta(minutes=1)
"""How often it says so."""


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
    async def inserted(
        self, vm: str, image: bytes, placing: Placing, seconds: float, report: Callable[[PoolError], None]
    ) -> AsyncIterator["Visit"]:
        """Keep ``image`` in the CD drive of the VM (uuid) for the length of the block, which takes ``seconds`` at most.
        ``report`` is told when the CD did not go as it should: ``cd-left``, ``cd-not-overwritten``.

        Raises `ConflictError` ``cd-drive-full``, ``cd-drive-missing``, ``cd-drive-not-added``, ``storage-…``;
        `NotFoundError` and `PoolError`, ``cd-not-inserted`` among them. Then nothing was changed.
        """
        machine = await self._disks.machine(vm)
        storage = await self._disks.storage(placing.storage or await self._disks.default_storage())
        until = clocks.now() + timedelta(seconds=seconds) + SPARE
        visit = Visit(self._disks, machine, storage, report)
        try:
            await visit.begin(image, placing, until)
            yield visit
        finally:
            await tasks.unbroken(visit.end(), f"removal of a CD from {machine.name}", seconds=END_SECONDS)

    async def check(self, vm: str, placing: Placing) -> None:
        """Raise what `inserted` would raise because of drive or storage, as far as that is known before."""
        await _drive(self._disks, await self._disks.machine(vm), placing)
        storages.host_of(await self._disks.storage(placing.storage or await self._disks.default_storage()))

    async def sweep(self, spared: Collection[str]) -> None:
        """Destroy what was left behind, once its maker no longer looks after it; one that cannot go holds up no other.
        Of this process are ``spared`` (their tokens), which a pool that was away could not be told of.

        Raises `PoolError` when the pool does not say which there are.
        """
        for ref in await self._disks.named(tls_disks.NAME):
            try:
                disk = await self._disks.disk_at(ref)
                if disk is None or disk.marks.get(tls_disks.TOKEN_MARK) in spared:
                    continue
                if tls_disks.is_left_behind(disk, clocks.now()):
                    await tls_removal.remove(self._disks, disk)
            except PoolError as error:
                log.warning("left CD with certificates not removed", disk=ref, problem=str(error))


class Visit:
    """One CD on its way into a VM and out again."""

    def __init__(self, disks: Disks, machine: Machine, storage: Storage, report: Callable[[PoolError], None]) -> None:
        self._disks = disks
        self._machine = machine
        self._storage = storage
        self._report = report
        self._host = storages.host_of(storage)
        # By this it is found again also when the answer with its reference got lost.
        self.token = secrets.token_hex(8)
        self._is_asked = False
        """Whether the pool was asked for a disk, so that there may be one."""
        self._disk = ""
        self._drive = ""
        self._former: Disk | None = None
        self._renewed = clocks.now()
        self._overwritten: dict[str, bool] = {}
        """The disks that went, or are going, and whether each was overwritten."""
        self._problem = "the pool did not answer"

    async def renew(self) -> None:
        """Say in the pool that somebody looks after the CD, when that was said some time ago."""
        now = clocks.now()
        if now < self._renewed + RENEW_AFTER:
            return
        try:
            await self._disks.mark(self._disk, tls_disks.HELD_MARK, tls_disks.stamp(now + HELD))
            self._renewed = now
        except PoolError as error:  # the next try is near
            log.info("CD with certificates not marked anew", vm=self._machine.uuid, problem=str(error))

    async def begin(self, image: bytes, placing: Placing, until: datetime) -> None:
        """Write the CD and put it into the drive."""
        drive = await _drive(self._disks, self._machine, placing)
        theirs = None
        try:
            if drive is not None:
                self._drive, theirs = drive.ref, await self._cleared(drive)
            await self._fill(image, until)
            if not self._drive:
                self._drive = await self._disks.add_drive(self._machine.ref)
            if theirs is not None:
                await self._disks.eject(self._drive)
            await self._disks.insert(self._drive, self._disk)
        except PoolError as error:
            raise self._not_inserted(error) from error

    async def end(self) -> None:
        """Take the CD out, overwrite and destroy it; what fails is reported, and done by the sweeps that follow."""
        try:
            async with asyncio.timeout(REMOVE_SECONDS):
                await self._until_ended()
        except TimeoutError:
            log.warning("CD with certificates left", vm=self._machine.uuid, disk=self._disk)
            self._report(PoolError("cd-left", vm=self._machine.name, reason=self._problem))
        else:
            if not all(self._overwritten.values()):
                self._report(PoolError("cd-not-overwritten", vm=self._machine.name))

    async def _cleared(self, drive: Device) -> Disk | None:
        """Return the CD that is to be ejected, and to come back. One with former certificates goes for good, in
        whosever name it was made: this command is the newer one. What that took the place of is to come back then.
        """
        found = drive.disk
        if found is None or not tls_disks.is_such(found):
            self._former = found
            return found
        self._former = await tls_removal.former(self._disks, found)
        await tls_removal.take_out(self._disks, found)
        await self._destroy(found, await self._disks.host_of(found))
        return None

    async def _destroy(self, disk: Disk, host: str | None) -> None:
        if not self._overwritten.get(disk.ref):
            self._overwritten[disk.ref] = await tls_removal.overwrite(self._disks, disk, host)
        await self._disks.destroy(disk.ref)

    async def _fill(self, image: bytes, until: datetime) -> None:
        size = config_drives.size_of(image)
        former = self._former.uuid if self._former is not None else ""
        self._renewed = clocks.now()
        marks = tls_disks.marks(until, self._renewed + HELD, self.token, former)
        self._is_asked = True
        try:
            self._disk = await self._disks.create(self._storage.ref, tls_disks.NAME, size, marks)
        except PoolError as error:
            self._is_asked = "xapi" not in error.fields
            raise storages.fault(error, self._storage, size) from error
        await self._disks.write(self._disk, image.ljust(size, b"\0"), self._host, tls_removal.WRITE_SECONDS)

    def _not_inserted(self, error: PoolError) -> PoolError:
        if error.code not in {"pool-call-failed", "pool-answer-invalid"}:
            return error
        return PoolError("cd-not-inserted", vm=self._machine.name, reason=error.fields["reason"])

    async def _until_ended(self) -> None:
        while True:
            if await self._is_ended():
                return
            await asyncio.sleep(tls_removal.RETRY_SECONDS)

    async def _is_ended(self) -> bool:
        """Undo everything once; return False when that failed, as a transfer that was cut short holds the disk for a
        moment, and a session may have to be opened again.
        """
        try:
            for disk in await self._ours():
                await tls_removal.take_out(self._disks, disk)
                await self._destroy(disk, self._host)
            if self._drive:
                await tls_removal.put_back(self._disks, self._drive, self._former)
        except PoolError as error:
            self._problem = error.clause
            log.info("CD with certificates not removed yet", vm=self._machine.uuid, problem=str(error))
            return False
        return True

    async def _ours(self) -> list[Disk]:
        if not self._is_asked:
            return []
        refs = [self._disk] if self._disk else await self._disks.named(tls_disks.NAME)
        found = [await self._disks.disk_at(ref) for ref in refs]
        return [disk for disk in found if disk is not None and disk.marks.get(tls_disks.TOKEN_MARK) == self.token]


async def _drive(disks: Disks, machine: Machine, placing: Placing) -> Device | None:
    """Return the drive of the VM for a CD; None where it may be given one. Raises `ConflictError` ``cd-drive-…``."""
    drive = tls_disks.drive(await disks.devices(machine))
    if drive is not None:
        if drive.disk is not None and not tls_disks.is_such(drive.disk) and not placing.eject:
            raise ConflictError("cd-drive-full", vm=machine.name, disk=drive.disk.name)
        return drive
    if not placing.add_drive:
        raise ConflictError("cd-drive-missing", vm=machine.name)
    if machine.power != PowerState.HALTED:
        raise ConflictError("cd-drive-not-added", vm=machine.name, state=machine.power.lower())
    return None
