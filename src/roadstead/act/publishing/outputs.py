"""What Roadstead keeps in a pool for the pool's other clients: what they show of containers, and alerts about VMs."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from msgspec import Struct

from roadstead.act.pool_database.config import PoolConfig
from roadstead.act.publishing.alerts import Alerts
from roadstead.act.publishing.publishing import Publisher
from roadstead.errors import PoolError
from roadstead.kit import tasks
from roadstead.model import PoolId, Snapshot, VmId
from roadstead.peers.xapi.client import XapiClient
from roadstead.plan.publishing import Choice
from roadstead.settings.schema import Settings


@dataclass(frozen=True, slots=True)
class PoolDoor:
    """The pool whose outputs are made, and how it is written to."""

    id: PoolId
    client: XapiClient
    config: PoolConfig


MakeOutputs = Callable[[PoolDoor, Callable[[], Choice]], "Outputs"]


WIPERS = 4


class Wiped(Struct, frozen=True, kw_only=True):
    """What became of what was published in a pool: of how many VMs it was taken away, of how many it is ``left`` as far
    as is known, and the ``reason`` for that; ``plugin`` is why the pool still tells its plugin to call here, empty when
    it does not.
    """

    vms: int = 0
    left: int = 0
    reason: str = ""
    plugin: str = ""


class Outputs:
    """The outputs of one pool; ``choice`` is asked each time what is to be published."""

    def __init__(self, snapshot: Snapshot, settings: Settings, pool: PoolDoor, choice: Callable[[], Choice]) -> None:
        self._publisher = Publisher(pool.id, snapshot, pool.config, settings.publish, choice)
        self._alerts = Alerts(pool.id, snapshot, pool.client, settings.alert)

    @property
    def writes(self) -> int:
        """How many writes published something of a VM, since the pool was connected."""
        return self._publisher.writes

    async def run(self) -> None:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as group:
            tasks.spawn(group, self._publisher.run(), "publisher")
            tasks.spawn(group, self._alerts.run(), "alerts")

    async def wipe(self, seconds: float) -> "Wiped":
        """Take away from the pool what was published there, and our alerts, and write nothing any more (see `resume`).
        What that takes longer than ``seconds`` for, or what the pool refuses, stays, and is counted.
        """
        self._publisher.pause()
        self._alerts.pause()
        before, reason = len(self._ours()), ""
        try:
            async with asyncio.timeout(seconds):
                await self._publisher.wait_still()
                await self._alerts.wait_still()
                before = len(self._ours())
                await self._wipe_all()
        except TimeoutError:
            reason = f"it takes longer than {seconds:g} s"
        except PoolError as error:
            reason = error.clause
        left = len(self._ours())
        return Wiped(vms=max(before - left, 0), left=left, reason=reason if left else "")

    def resume(self) -> None:
        """Write again after all."""
        self._publisher.pause(paused=False)
        self._alerts.pause(paused=False)

    def ours(self) -> int:
        """Of how many VMs something of ours stands in the pool, as far as we know."""
        return len(self._ours())

    def _ours(self) -> set[VmId]:
        return {*self._publisher.ours(), *self._alerts.ours()}

    async def _wipe_all(self) -> None:
        """Side by side, until nothing is left or the first refusal."""
        waiting, errors = sorted(self._ours()), list[PoolError]()

        async def work() -> None:
            while waiting and not errors:
                vm = waiting.pop()
                try:
                    await self._publisher.wipe(vm)
                    await self._alerts.wipe(vm)
                except PoolError as error:
                    errors.append(error)

        async with asyncio.TaskGroup() as group:
            for number in range(WIPERS):
                tasks.spawn(group, work(), f"wiper {number}")
        if errors:
            raise errors[0]

    def consider(self, vm: VmId) -> None:
        """``vm`` changed; never waits."""
        self._publisher.consider(vm)
        self._alerts.consider(vm)

    def consider_containers(self, vm: VmId) -> None:
        """A container of ``vm`` changed; never waits."""
        self._publisher.consider(vm)

    def left(self, vm: VmId) -> None:
        """``vm`` is not in this pool any more: what was noted of it goes, and alerts about it; never waits."""
        self._publisher.left(vm)
        self._alerts.consider(vm)

    def answers(self) -> None:
        """The pool is there (again); what it holds of each VM is told next. Never waits."""
        self._publisher.answers()
        self._alerts.answers()

    def published(self, digests: Mapping[VmId, Mapping[str, str]]) -> None:
        """The pool holds these published values of VMs, by their digests."""
        for vm, held in digests.items():
            self._publisher.held(vm, held)

    def alerted(self, bodies: Mapping[VmId, Mapping[str, str]]) -> None:
        """The pool holds these alerts about VMs: their bodies by their references."""
        for vm, held in bodies.items():
            self._alerts.held(vm, held)
