"""What we remember of VMs beside the pool: last pins (kept in the database), consents and last winners (kept here).

The database is only written; all reading is from memory, so that planning never waits.
"""

from collections.abc import Mapping

from roadstead.model import PoolId, Vm, VmId
from roadstead.peers.database.client import Database
from roadstead.plan.pins import Memory


class Memories:
    """Last pins, consents and winners of all VMs."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._last: dict[VmId, str] = {}
        self._consents: dict[VmId, str] = {}
        self._winners: dict[VmId, str] = {}
        self._adopted: set[PoolId] = set()

    async def load(self) -> None:
        """Read the last pins once, at the start; the pools of the database were adopted by an earlier run."""
        self._last = {pin.vm: pin.key for pin in await self._database.pins()}
        self._adopted = {pool.id for pool in await self._database.pools()}

    def of(self, vm: Vm) -> Memory:
        """What planning is told of ``vm``."""
        return Memory(
            last=self._last.get(vm.id), pool_known=vm.pool in self._adopted, consent=self._consents.get(vm.id)
        )

    async def adopt(self, pool: PoolId, pins: Mapping[VmId, str]) -> None:
        """A pool is listed for the first time: its pins are taken as they stand. From then on a pin that comes with a
        new VM may be a copy.
        """
        if pool in self._adopted:
            return
        self._adopted.add(pool)
        self._last.update(pins)
        for vm, key in pins.items():
            await self._database.remember_pin(vm, pool, key)

    def forget_pool(self, pool: PoolId) -> None:
        """The pool was removed: when it is added again, its pins are taken as they then stand."""
        self._adopted.discard(pool)

    async def remember_pin(self, vm: VmId, pool: PoolId, key: str) -> None:
        """``vm`` was reached under the host key ``key``: that settles whatever was open about it."""
        self._consents.pop(vm, None)
        if self._last.get(vm) != key:
            self._last[vm] = key
            await self._database.remember_pin(vm, pool, key)

    async def forget_pin(self, vm: VmId) -> None:
        """The next contact with ``vm`` is a first contact."""
        self._consents.pop(vm, None)
        if self._last.pop(vm, None) is not None:
            await self._database.forget_pin(vm)

    def consent(self, vm: VmId, key: str) -> None:
        """The operator accepts ``key`` (or `plan.pins.ANY_KEY`) for the next contact with ``vm``."""
        self._consents[vm] = key

    def winner(self, vm: VmId) -> str | None:
        """The address under which ``vm`` was reached last."""
        return self._winners.get(vm)

    def note_winner(self, vm: VmId, address: str) -> None:
        """``vm`` was reached under ``address``."""
        self._winners[vm] = address
