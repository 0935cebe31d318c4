"""What we remember of VMs beside the pool: last pins (kept in the database), consents and last winners (kept here).

The database is only written; all reading is from memory, so that planning never waits.
"""

from collections.abc import Iterable

from roadstead.model import PoolId, VmId
from roadstead.peers.database.client import Database
from roadstead.plan.pins import Memory


class Memories:
    """Last pins, consents and winners of all VMs."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._last: dict[VmId, str] = {}
        self._consents: dict[VmId, str] = {}
        self._winners: dict[VmId, str] = {}
        self._newcomers: set[VmId] = set()

    async def load(self) -> None:
        """Read the last pins once, at the start."""
        self._last = {pin.vm: pin.key for pin in await self._database.pins()}

    def of(self, vm: VmId) -> Memory:
        """What planning is told of ``vm``."""
        return Memory(self._last.get(vm), pool_known=vm in self._newcomers, consent=self._consents.get(vm))

    def note_newcomers(self, vms: Iterable[VmId]) -> None:
        """These VMs came into a pool that we know already: a pin that one brings along may be a copy."""
        self._newcomers.update(vms)

    async def remember_pin(self, vm: VmId, pool: PoolId, key: str) -> None:
        """``vm`` was reached under the host key ``key``: that settles whatever was open about it."""
        self._consents.pop(vm, None)
        self._newcomers.discard(vm)
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
