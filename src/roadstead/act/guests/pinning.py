"""Writes the host keys that guests were reached under into their pools, and puts back those that vanish there.

What is to be written `plan.pins` decides, each time from what the pool holds now.
"""

from collections.abc import Callable, Mapping

from roadstead.act.memory import Memories
from roadstead.act.pools.pool import PoolKeeper
from roadstead.errors import NotFoundError, PoolError
from roadstead.kit.backoff import Backoff
from roadstead.kit.workers import Workers
from roadstead.model import LinkState, PoolId, Snapshot, VmId, config_keys
from roadstead.plan import pins

WORKERS = 8
RETRY_SECONDS = 15.0


class PinWriter:
    """Keeps the pools' pins as they should be. ``reconnect`` calls a guest anew."""

    def __init__(
        self,
        snapshot: Snapshot,
        keepers: Mapping[PoolId, PoolKeeper],
        memories: Memories,
        reconnect: Callable[[VmId], None],
    ) -> None:
        self._snapshot = snapshot
        self._keepers = keepers
        self._memories = memories
        self._reconnect = reconnect
        self._workers: Workers[VmId] = Workers("pin writer", self._work, count=WORKERS, pace=_pace)
        self._signed_in: set[VmId] = set()
        self._written: dict[VmId, str] = {}

    async def run(self) -> None:
        """Write until cancelled."""
        await self._workers.run()

    def signed_in(self, vm: VmId) -> None:
        """``vm`` was reached: the pool is to hold the key that we remember now, whatever it holds."""
        self._signed_in.add(vm)
        self._workers.add(vm)

    def consider(self, vm_id: VmId) -> None:
        """``vm_id`` changed: its pin may have vanished, or may have been changed by somebody else."""
        vm = self._snapshot.vms.get(vm_id)
        if vm is None or vm_id in self._signed_in or vm.link is None or vm.link.state is not LinkState.LIVE:
            return
        memory = self._memories.of(vm)
        amends = pins.amends(vm, memory, signed_in=False)
        if amends is pins.Amends.NOTHING:
            self._written.pop(vm_id, None)
        elif self._written.get(vm_id) == memory.last:
            return  # what we wrote has not come back to us yet
        elif amends is pins.Amends.WRITE:
            self._workers.add(vm_id)
        else:
            self._reconnect(vm_id)

    def consider_pool(self, pool: PoolId) -> None:
        """``pool`` changed: it may take now what it did not before."""
        record = self._snapshot.pools.get(pool)
        if record is not None and record.live and record.problem is None:
            for vm in self._signed_in:
                if vm in self._snapshot.vms and self._snapshot.vms[vm].pool == pool:
                    self._workers.add(vm)

    def forget(self, vm: VmId) -> None:
        """``vm`` is gone."""
        self._signed_in.discard(vm)
        self._written.pop(vm, None)

    async def _work(self, vm: VmId) -> None:
        try:
            await self._write(vm)
        except NotFoundError:
            self._signed_in.discard(vm)
        except PoolError as error:
            if error.code != "pool-not-permitted":
                raise

    async def _write(self, vm_id: VmId) -> None:
        async with self._memories.turns.of(vm_id):
            await self._write_at_turn(vm_id)
        self._signed_in.discard(vm_id)

    async def _write_at_turn(self, vm_id: VmId) -> None:
        vm = self._snapshot.vms.get(vm_id)
        keeper = self._keepers.get(vm.pool) if vm is not None else None
        if vm is not None and keeper is not None:
            memory = self._memories.of(vm)
            amends = pins.amends(vm, memory, signed_in=vm_id in self._signed_in)
            if amends is pins.Amends.WRITE and memory.last is not None:
                if not keeper.record.live:  # who waited for it would hold up the pins of other pools
                    raise PoolError("pool-unreachable", pool=vm.pool_name)
                await keeper.config.set(vm_id, config_keys.HOST_KEY, memory.last)
                self._written[vm_id] = memory.last


def _pace() -> Backoff:
    return Backoff(RETRY_SECONDS, RETRY_SECONDS, jitter=0.0)
