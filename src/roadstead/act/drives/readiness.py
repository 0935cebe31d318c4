"""Whether a VM that is enabled was made ready for it: by a config drive, or by a person.

The pool's key must be in the guest, and nothing but a sign-in can show that it is. What can be told beforehand is told
when somebody enables a VM of which nothing says so.
"""

import asyncio

import structlog

from roadstead.act.drives.config_drives import ConfigDrives
from roadstead.act.memory import Memories
from roadstead.errors import ConflictError, RoadsteadError
from roadstead.inventory import views
from roadstead.model import LOCAL_POOL, LinkState, Vm
from roadstead.plan.access import is_ssh, is_tls

log = structlog.get_logger()
ASK_SECONDS = 5.0
"""Limit on asking the pool: who enables a VM does not wait longer for a warning."""


class Readiness:
    """What is known of VMs that nobody prepared."""

    def __init__(self, drives: ConfigDrives, memories: Memories) -> None:
        self._drives = drives
        self._memories = memories

    async def doubt(self, vm: Vm, mode: str | None = None) -> RoadsteadError | None:
        """Return what stands against enabling a VM in ``mode``, or in the one that it has; None where something speaks
        for it, or nothing can be told. Over TLS no key of the pool's is needed, and a VM that is live so shows none.
        """
        if vm.pool == LOCAL_POOL or is_tls(vm, mode):
            return None
        opened = any(opening.pool == vm.pool for opening in self._memories.keyed.of(vm.id))
        if opened or (is_ssh(vm) and views.vm_state(vm) is LinkState.LIVE):
            return None
        try:
            async with asyncio.timeout(ASK_SECONDS):
                has_drive = await self._drives.has_one(vm.pool, vm.id)
        except (RoadsteadError, TimeoutError) as error:
            log.info("config drive not looked for", vm=vm.id, problem=getattr(error, "code", "timed out"))
            return None
        return None if has_drive else ConflictError("vm-not-prepared", vm=vm.name)
