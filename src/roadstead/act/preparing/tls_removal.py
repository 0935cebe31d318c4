"""How a CD with certificates goes, whoever made it: out of every drive, overwritten, destroyed.

What is on it is a private key, and a pool's storage may keep the blocks of a destroyed disk. A disk that is in the
drive of a running VM can be neither overwritten nor destroyed.
"""

import asyncio

import structlog

from roadstead.errors import PoolError
from roadstead.peers.xapi.disks import Disks
from roadstead.peers.xapi.messages.disks import Disk
from roadstead.plan import tls_disks

log = structlog.get_logger()

WRITE_SECONDS = 60.0
OVERWRITE_SECONDS = 15.0
"""So long it is tried to overwrite a CD before it is destroyed as it is: the key in a drive would be worse."""
RETRY_SECONDS = 1.0


async def remove(disks: Disks, disk: Disk) -> None:
    """Take a CD that was left behind out of all drives, put back what it took the place of, and destroy it.

    Raises `PoolError` when it stays.
    """
    drives = await take_out(disks, disk)
    try:
        for drive in drives:
            await put_back(disks, drive, await former(disks, disk))
    except PoolError as error:
        log.warning("CD not put back", disk=disk.marks[tls_disks.FORMER_MARK], problem=str(error))
    await overwrite(disks, disk, await disks.host_of(disk))
    await disks.destroy(disk.ref)
    log.info("left CD with certificates destroyed", disk=disk.uuid)


async def take_out(disks: Disks, disk: Disk) -> list[str]:
    """Eject a CD from all drives that it is in; return them. Raises `PoolError`."""
    found = [await disks.device(ref) for ref in disk.devices]
    drives = [each.ref for each in found if each and each.is_cd_drive and each.disk and each.disk.ref == disk.ref]
    for drive in drives:
        await disks.eject(drive)
    return drives


async def former(disks: Disks, disk: Disk) -> Disk | None:
    """Return the CD that this one took the place of, if there was one and it still is there. Raises `PoolError`."""
    uuid = disk.marks.get(tls_disks.FORMER_MARK, "")
    return await disks.disk(uuid) if uuid else None


async def put_back(disks: Disks, drive: str, theirs: Disk | None) -> None:
    """Let a CD be in a drive again, unless it is gone, or somebody put another one in. Raises `PoolError`."""
    device = await disks.device(drive) if theirs is not None else None
    if theirs is None or device is None or device.disk is not None:
        return
    if await disks.disk(theirs.uuid) is not None:
        await disks.insert(drive, theirs.ref)


async def overwrite(disks: Disks, disk: Disk, host: str | None) -> bool:
    """Overwrite a disk by a host that sees it; return whether that worked, after several tries."""
    if host is None:
        log.warning("CD with certificates not overwritten, as no host sees its storage", disk=disk.uuid)
        return False
    try:
        async with asyncio.timeout(OVERWRITE_SECONDS):
            await _until_overwritten(disks, disk, host)
    except TimeoutError:
        log.warning("CD with certificates not overwritten", disk=disk.uuid)
        return False
    return True


async def _until_overwritten(disks: Disks, disk: Disk, host: str) -> None:
    while True:
        if await _is_overwritten(disks, disk, host):
            return
        await asyncio.sleep(RETRY_SECONDS)


async def _is_overwritten(disks: Disks, disk: Disk, host: str) -> bool:
    try:
        await disks.write(disk.ref, bytes(disk.size), host, WRITE_SECONDS)
    except PoolError as error:
        log.info("CD with certificates not overwritten yet", disk=disk.uuid, problem=str(error))
        return False
    return True
