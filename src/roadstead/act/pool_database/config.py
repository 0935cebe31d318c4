"""The one writer of a pool's ``other_config``: whatever Roadstead changes of a VM there goes through here.

Of two writes to one VM the one that was asked for later is made later; XAPI would mix them, since a change of a key is
a removal and an addition. What was written is made to survive a failover, in batches.
"""

from collections.abc import Mapping

from roadstead.act.pool_database.syncing import synchronise
from roadstead.kit.batches import Batches
from roadstead.kit.turns import Turns
from roadstead.model import VmId
from roadstead.peers.xapi.client import XapiClient

SYNC_DELAY_SECONDS = 2.0
"""How long writes that must survive a failover are collected before the pool's database is synchronised."""


class PoolConfig:
    """Writes keys of one pool; ``retry_seconds`` after a synchronisation that failed it is made again."""

    def __init__(self, client: XapiClient, retry_seconds: float) -> None:
        self._client = client
        self._turns: Turns[VmId] = Turns()
        self._syncs = Batches(self._sync, delay=SYNC_DELAY_SECONDS, retry=retry_seconds)

    async def set(self, vm: VmId, key: str, value: str | None) -> None:
        """Make ``key`` of the VM be ``value``, or absent; it survives a failover from shortly afterwards.

        Raises `PoolError`, or `NotFoundError` ``no-such-vm``.
        """
        async with self._turns.of(vm):
            await self._client.set_vm_key(vm, key, value)
        self._syncs.add()

    async def offer(self, vm: VmId, key: str, value: str) -> None:
        """Make ``key`` of the VM be ``value`` unless it is there; otherwise as `set`."""
        async with self._turns.of(vm):
            is_added = await self._client.add_vm_key(vm, key, value)
        if is_added:
            self._syncs.add()

    async def publish(self, vm: VmId, changes: Mapping[str, str | None]) -> None:
        """Make each key of the VM be its value, or absent. What is derived need not survive a failover.

        Raises `PoolError`, or `NotFoundError` ``no-such-vm``.
        """
        async with self._turns.of(vm):
            await self._client.replace_vm_keys(vm, changes)

    async def run(self) -> None:
        """Synchronise the pool's database after each batch of writes, until cancelled."""
        await self._syncs.run()

    async def _sync(self) -> None:
        await synchronise(self._client)
