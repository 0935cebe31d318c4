"""Which pool key opens which VM, as far as it was seen from here: known at once, kept in the database in batches.

A key opens a VM until its line was taken out there: whether the VM is managed, off, in another pool by now or gone
makes no difference, nor whether the pool still has the key, of which there may be a copy. So what is known outlives
the VM, and a pool that was removed; but not for ever, for clones that come and go would add up: of a VM that has been
in no pool for long it is forgotten.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from roadstead.kit import clocks
from roadstead.model import PoolId, VmId
from roadstead.peers.database.client import Database


@dataclass(frozen=True, slots=True)
class Opening:
    """That a key (its fingerprint) of ``pool`` opens ``vm``."""

    pool: PoolId
    vm: VmId
    key: str


class KeyedVms:
    """What is known of all pools' keys. ``opens`` and ``closes`` never wait; `flush` writes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[VmId, frozenset[Opening]] = {}
        self._new: dict[Opening, bool] = {}
        """What is not in the database yet: whether the key opens the VM now."""
        self._gone: dict[VmId, datetime] = {}
        """Since when these VMs have been in no pool."""

    async def load(self) -> None:
        """Read what was kept."""
        for row in await self._database.keyed_vms():
            self._add(Opening(row.pool, row.vm, row.key))
            if row.gone is not None:
                self._gone[row.vm] = row.gone

    def of(self, vm: VmId) -> frozenset[Opening]:
        """What opens ``vm``."""
        return self._known.get(vm, frozenset())

    def by_pool(self, pool: PoolId) -> Mapping[VmId, frozenset[str]]:
        """The VMs that keys of ``pool`` open, each with the fingerprints of these keys."""
        found = {vm: frozenset(each.key for each in known if each.pool == pool) for vm, known in self._known.items()}
        return {vm: keys for vm, keys in found.items() if keys}

    def opens(self, opening: Opening) -> bool:
        """The key was seen to open the VM; return whether that is news."""
        if opening in self.of(opening.vm):
            return False
        self._add(opening)
        self._new[opening] = True
        return True

    def closes(self, opening: Opening) -> bool:
        """The key opens the VM no more; return whether that is news."""
        known = self.of(opening.vm)
        if opening not in known:
            return False
        self._known[opening.vm] = known - {opening}
        if not self._known[opening.vm]:
            del self._known[opening.vm]
            self._gone.pop(opening.vm, None)
        self._new[opening] = False
        return True

    def gone(self, vm: VmId) -> datetime | None:
        """Since when ``vm`` was seen to be in no pool."""
        return self._gone.get(vm)

    async def settle(self, living: Container[VmId], kept: timedelta) -> bool:
        """The pools, all of which are seen now, have the VMs ``living``. What opens one that has been gone for
        as long as ``kept`` is forgotten; return whether that is news. Raises `PeerError` ``state-unusable``.
        """
        now = clocks.now()
        gone = {vm for vm in self._known if vm not in living}
        for vms, since in ((gone - self._gone.keys(), now), (self._gone.keys() - gone, None)):
            if vms:
                await self._database.mark_keyed_vms(sorted(vms), since)
        self._gone = {vm: self._gone.get(vm, now) for vm in gone}
        old = [opening for vm, since in self._gone.items() if now >= since + kept for opening in self.of(vm)]
        for opening in old:
            self.closes(opening)
        return bool(old)

    async def flush(self) -> None:
        """Write what is new. Raises `PeerError` ``state-unusable``; nothing is forgotten then."""
        batch = dict(self._new)
        for pool in {opening.pool for opening in batch}:
            mine = [(opening, opens) for opening, opens in batch.items() if opening.pool == pool]
            await self._database.remember_keyed_vms(pool, [(each.vm, each.key) for each, opens in mine if opens])
            await self._database.forget_keyed_vms(pool, [(each.vm, each.key) for each, opens in mine if not opens])
        self._new = {opening: opens for opening, opens in self._new.items() if batch.get(opening) is not opens}

    def _add(self, opening: Opening) -> None:
        self._known[opening.vm] = self.of(opening.vm) | {opening}
