"""The guest agent's files for a config drive: read anew from the pool's guest tools ISO, or kept from the VM's drive.

Neither is asked for what else stands on it. The ISO of 30 to 500 MB is never held in memory: it goes into a file that
has no name, of which only what is looked at is read.
"""

import asyncio
import mmap
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO, NamedTuple

import structlog

from roadstead.artifacts import guest_agent
from roadstead.artifacts.config_drive import NO_FILES
from roadstead.errors import ConflictError, InputError, NotFoundError, PoolError
from roadstead.kit.gates import Gate
from roadstead.peers.xapi.disks import Disks
from roadstead.peers.xapi.messages.disks import Disk
from roadstead.plan import config_drives as plan
from roadstead.plan.config_drives import Former

log = structlog.get_logger()
TOOLS_SECONDS = 60.0
"""Limit on reading a tools ISO."""
KEPT_SECONDS = 15.0
"""Limit on reading the agent's files from the drive that a VM has; without an answer the new one has none."""
NOT_KEPT = (
    "the present drive could not be read, so what it may have of the guest agent is not kept: `--agent` takes the files"
    " from the pool's guest tools again"
)


class Agent(NamedTuple):
    """The files, by their paths on a drive, and what is to be told of them."""

    files: Mapping[str, bytes] = NO_FILES
    warnings: tuple[str, ...] = ()


class GuestAgents:
    """Reads the files; of all pools one tools ISO at a time."""

    def __init__(self) -> None:
        self._turns = Gate(1)

    async def files(self, disks: Disks, wanted: str, former: Sequence[Former]) -> Agent:
        """Return the files that are ``wanted`` (of `plan.AGENTS`) for a VM that has the ``former`` drives.

        Raises `NotFoundError` ``tools-iso-missing``, `InputError` ``tools-iso-…``, `ConflictError` ``storage-unseen``,
        `PoolError`. What cannot be kept hinders no drive.
        """
        if wanted == plan.AGENT_OF_TOOLS:
            async with self._turns():
                return Agent(await self._of_tools(disks))
        if wanted == plan.AGENT_KEPT and former:
            return await self._kept(disks, former[0].disk)
        return Agent()

    @staticmethod
    async def _of_tools(disks: Disks) -> Mapping[str, bytes]:
        found = await disks.tools()
        if not found:
            raise NotFoundError("tools-iso-missing")
        disk = found[0]
        if not 0 < disk.size <= plan.TOOLS_BYTES:
            raise InputError("tools-iso-too-large", disk=disk.uuid, size=disk.size, limit=plan.TOOLS_BYTES)
        host = await disks.host_of(disk)
        if host is None:
            raise ConflictError("storage-unseen", storage=(await disks.storage_of(disk)).name)
        with tempfile.TemporaryFile() as file:
            await disks.copy(disk, host, file, TOOLS_SECONDS)
            return await asyncio.to_thread(_taken, file, disk.uuid)

    @staticmethod
    async def _kept(disks: Disks, disk: Disk) -> Agent:
        try:
            async with asyncio.timeout(KEPT_SECONDS):
                host = await disks.host_of(disk) if plan.is_drive(disk) else None
                if host is None:
                    return Agent(warnings=(NOT_KEPT,))
                content = await disks.read(disk, host, KEPT_SECONDS)
                return Agent(await asyncio.to_thread(guest_agent.on_drive, content, disk.uuid))
        except (PoolError, InputError, TimeoutError) as error:
            log.warning("guest agent not kept", disk=disk.uuid, problem=str(error))
            return Agent(warnings=(NOT_KEPT,))


def _taken(file: IO[bytes], disk: str) -> Mapping[str, bytes]:
    file.flush()
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image:
        return guest_agent.in_tools(image, disk)
