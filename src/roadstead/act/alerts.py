"""Keeps the alerts of one pool's VMs as they should be: XAPI messages, which every client of the pool shows.

What the pool holds it says itself, so it makes no difference who raised an alert: an earlier run of ours, another
instance, or the old pack. Of several about one VM the first one stays.
"""

import asyncio
from collections.abc import Mapping
from datetime import timedelta

from roadstead.errors import NotFoundError, PoolError
from roadstead.kit import clocks
from roadstead.kit.workers import Workers
from roadstead.model import Snapshot, VmId
from roadstead.peers.xapi.client import XapiClient
from roadstead.peers.xapi.messages import CANNOT_MONITOR
from roadstead.plan import alerts
from roadstead.settings.schema import AlertSettings

WORKERS = 2
RETRY_SECONDS = 30.0


class Alerts:
    """The alerts of one pool. What the pool holds is told to `held`."""

    def __init__(self, snapshot: Snapshot, client: XapiClient, settings: AlertSettings) -> None:
        self._snapshot = snapshot
        self._client = client
        self._after = timedelta(seconds=settings.after_seconds)
        self._held: dict[VmId, dict[str, str]] = {}
        """The bodies of each VM's alerts by their references."""
        self._is_paused = False
        self._workers: Workers[VmId] = Workers("alerts", self._work, count=WORKERS, retry=RETRY_SECONDS)

    @property
    def known(self) -> set[VmId]:
        """The VMs about which there are alerts, as far as we know."""
        return set(self._held)

    async def run(self) -> None:
        """Raise and clear until cancelled."""
        await self._workers.run()

    def consider(self, vm: VmId) -> None:
        """Something about ``vm`` changed; never waits."""
        self._workers.add(vm)

    def held(self, vm: VmId, bodies: Mapping[str, str]) -> None:
        """The pool holds these alerts about ``vm``: their bodies by their references."""
        if bodies:
            self._held[vm] = dict(bodies)
        else:
            self._held.pop(vm, None)
        self.consider(vm)

    def pause(self, *, paused: bool = True) -> None:
        """Raise and clear nothing from now on, or (``paused`` is false) go on."""
        self._is_paused = paused
        for vm in () if paused else list(self._snapshot.vms):
            self.consider(vm)

    def ours(self) -> list[VmId]:
        """The VMs about which the pool holds alerts of ours; those of the old pack name no code."""
        return [vm for vm, held in self._held.items() if any(map(alerts.code_of, held.values()))]

    async def wipe(self, vm: VmId) -> None:
        """Take away our alerts about ``vm``. Raises `PoolError`."""
        held = self._held.get(vm, {})
        for ref in [ref for ref, body in held.items() if alerts.code_of(body)]:
            await self._client.destroy_message(ref)
            held.pop(ref, None)

    async def _work(self, vm: VmId) -> None:
        if self._is_paused:
            return
        now = clocks.now()
        aimed = alerts.aim(self._snapshot.vms.get(vm), self._after, now)
        if aimed.again is not None:
            asyncio.get_running_loop().call_later((aimed.again - now).total_seconds(), self._workers.add, vm)
        held = self._held.get(vm, {})
        stays = _first(held, aimed)
        try:
            for ref in [ref for ref in held if ref != stays]:
                await self._client.destroy_message(ref)
                held.pop(ref, None)
            if aimed.alert is not None and stays is None:
                ref = await self._client.raise_message(CANNOT_MONITOR, vm, aimed.alert.body)
                self._held.setdefault(vm, {})[ref] = aimed.alert.body
        except NotFoundError:
            return  # the VM is gone, which will be told
        except PoolError as error:
            if error.code != "pool-not-permitted":
                raise


def _first(held: Mapping[str, str], aimed: alerts.Aim) -> str | None:
    """Return which of the alerts that are there stays: one that says what is to be said."""
    fitting = [
        ref
        for ref, body in held.items()
        if aimed.is_open or (aimed.alert is not None and alerts.code_of(body) == aimed.alert.code)
    ]
    return min(fitting, default=None)
