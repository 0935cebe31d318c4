"""Writes into a pool what its clients show of the containers: what changed, no more, and never more than it can bear.

A write wakes every client of the pool and carries the VM's whole record to each. So of all that happens in a VM within
a few seconds one write is made, a pool gets a bounded number of them in a second, and what the pool holds already is
not written again. What that is, it says itself: so what a clone brought along, another client changed, or a failover
lost is put right like anything else.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta

from roadstead.act.pool_database.config import PoolConfig
from roadstead.act.publishing import writing
from roadstead.artifacts import published
from roadstead.errors import NotFoundError
from roadstead.kit import clocks
from roadstead.kit.rates import Rate
from roadstead.kit.workers import Workers
from roadstead.model import PoolId, Snapshot, Vm, VmId, config_keys
from roadstead.peers.xapi.messages import digest
from roadstead.plan.publishing import Choice, What, aim
from roadstead.settings.schema import PublishSettings

WORKERS = 4
Values = Mapping[str, str | None]
"""What each of the keys is to be; None is absent."""


class Publisher:
    """Publishes the VMs of ``pool``. What it holds is told to `held`; ``choice`` is asked each time."""

    def __init__(
        self,
        pool: PoolId,
        snapshot: Snapshot,
        config: PoolConfig,
        settings: PublishSettings,
        choice: Callable[[], Choice],
    ) -> None:
        self._pool = pool
        self._snapshot = snapshot
        self._config = config
        self._settings = settings
        self._choice = choice
        self._rate = Rate(settings.pool_writes_per_second)
        common = writing.of_pool()
        self._workers: Workers[VmId] = Workers(
            "publisher", self._work, count=WORKERS, pace=writing.of_vm, common=common
        )
        self._held: dict[VmId, Mapping[str, str]] = {}
        """Digests of what stands in the pool, as it said last (the watcher's own map) or as we wrote since."""
        self._resting: set[VmId] = set()
        """VMs that were written to a moment ago, and are looked at again when they may be written to again."""
        self.writes = 0
        self._is_paused = False

    async def run(self) -> None:
        """Publish until cancelled."""
        await self._workers.run()

    def consider(self, vm: VmId) -> None:
        """Something about ``vm`` or its containers changed; never waits."""
        if vm not in self._resting:
            self._workers.add(vm)

    def held(self, vm: VmId, digests: Mapping[str, str]) -> None:
        """The pool holds these values of ``vm``, by their digests."""
        if digests:
            self._held[vm] = digests
        else:
            self._held.pop(vm, None)
        self.consider(vm)

    def pause(self, *, paused: bool = True) -> None:
        """Publish nothing from now on, or (``paused`` is false) go on; what was begun ends (see `wait_still`)."""
        self._is_paused = paused
        for vm in () if paused else list(self._snapshot.vms):
            self.consider(vm)

    async def wait_still(self) -> None:
        """Wait until nothing is being written: until then `ours` does not hold what is on its way."""
        await self._workers.wait_still()

    def ours(self) -> list[VmId]:
        """The VMs of which the pool holds something that is ours to take away."""
        vms, choice = self._snapshot.vms, self._choice()
        return [vm for vm in self._held if self._held[vm] and (choice.on or (vm in vms and vms[vm].enabled))]

    async def wipe(self, vm: VmId) -> None:
        """Take away what is published of ``vm``. Raises `PoolError`."""
        await self._rate.wait()
        with suppress(NotFoundError):
            await self._config.publish(vm, dict.fromkeys(self._held.get(vm, {})))
        self._held.pop(vm, None)

    def left(self, vm: VmId) -> None:
        """``vm`` is not in the pool any more."""
        self._held.pop(vm, None)

    def answers(self) -> None:
        """The pool is there (again): what failed is tried at once."""
        self._workers.hurry()

    async def _work(self, vm: VmId) -> None:
        if vm in self._resting or not self._changes(vm):
            return
        await self._rate.wait()
        changes = self._changes(vm)
        if not changes:
            return
        try:
            await self._config.publish(vm, changes)
        except NotFoundError:
            return  # it is gone, which will be told
        self.writes += 1
        self._workers.worked()
        self._wrote(vm, changes)
        # From its end: a pool that is slow to write must not be written to without a pause.
        self._rest(vm)

    def _rest(self, vm: VmId) -> None:
        self._resting.add(vm)
        asyncio.get_running_loop().call_later(self._settings.vm_seconds, self._wake, vm)

    def _wake(self, vm: VmId) -> None:
        self._resting.discard(vm)
        self._workers.add(vm)

    def _wrote(self, vm: VmId, changes: Values) -> None:
        held = self._held.get(vm, {})
        held = {key: kept for key, kept in held.items() if key not in changes}
        self._held[vm] = held | {key: digest(value) for key, value in changes.items() if value is not None}

    def _changes(self, vm_id: VmId) -> dict[str, str | None]:
        """Return what is to be written of a VM now."""
        if self._is_paused:
            return {}
        vm = self._snapshot.vms.get(vm_id)
        if vm is None or vm.pool != self._pool:
            self._held.pop(vm_id, None)
            return {}
        held = self._held.get(vm_id, {})
        return {key: value for key, value in self._wanted(vm).items() if (value and digest(value)) != held.get(key)}

    def _wanted(self, vm: Vm) -> Values:
        now = clocks.now()
        aimed = aim(vm, self._choice(), timedelta(seconds=self._settings.lost_seconds), now)
        if aimed.again is not None:
            self._workers.later(vm.id, (aimed.again - now).total_seconds())
        match aimed.what:
            case What.AS_IT_IS:
                return {}
            case What.NOTHING:
                return dict.fromkeys(config_keys.PUBLISHED_KEYS)
            case What.CURRENT:
                return self._values(vm)

    def _values(self, vm: Vm) -> Values:
        containers = self._snapshot.containers_of(vm.id).values()
        values = {config_keys.DOCKER_PS: published.docker_ps(containers, self._settings.value_bytes)}
        if vm.engine is not None:
            values[config_keys.DOCKER_INFO] = published.docker_info(vm.engine)
            values[config_keys.DOCKER_VERSION] = published.docker_version(vm.engine)
        return values
