"""What Roadstead keeps in a pool for the pool's other clients: what they show of containers, and alerts about VMs."""

import asyncio
from collections.abc import Callable, Mapping

from roadstead.act.alerts import Alerts
from roadstead.act.config import PoolConfig
from roadstead.act.publishing import Publisher
from roadstead.kit import tasks
from roadstead.model import Snapshot, VmId
from roadstead.peers.xapi.client import XapiClient
from roadstead.plan.publishing import Choice
from roadstead.settings.schema import Settings

MakeOutputs = Callable[[XapiClient, PoolConfig, Callable[[], Choice]], "Outputs"]


class Outputs:
    """The outputs of one pool; ``choice`` is asked each time what is to be published."""

    def __init__(
        self,
        snapshot: Snapshot,
        settings: Settings,
        client: XapiClient,
        config: PoolConfig,
        choice: Callable[[], Choice],
    ) -> None:
        self._publisher = Publisher(snapshot, config, settings.publish, choice)
        self._alerts = Alerts(snapshot, client, settings.alert)

    @property
    def writes(self) -> int:
        """How many writes published something of a VM, since the pool was connected."""
        return self._publisher.writes

    async def run(self) -> None:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as group:
            tasks.spawn(group, self._publisher.run(), "publisher")
            tasks.spawn(group, self._alerts.run(), "alerts")

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

    def published(self, digests: Mapping[VmId, Mapping[str, str]], *, complete: bool = False) -> None:
        """The pool holds these published values of VMs, by their digests; when that is ``complete``, no others."""
        for vm in self._publisher.known - digests.keys() if complete else ():
            self._publisher.held(vm, {})
        for vm, held in digests.items():
            self._publisher.held(vm, held)

    def alerted(self, bodies: Mapping[VmId, Mapping[str, str]], *, complete: bool = False) -> None:
        """The pool holds these alerts about VMs: their bodies by their references; when that is ``complete``, no
        others.
        """
        for vm in self._alerts.known - bodies.keys() if complete else ():
            self._alerts.held(vm, {})
        for vm, held in bodies.items():
            self._alerts.held(vm, held)
