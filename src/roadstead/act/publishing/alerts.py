"""Keeps the alerts of one pool's VMs as they should be: XAPI messages, which every client of the pool shows.

What the pool holds it says itself, so it makes no difference who raised an alert: an earlier run of ours, another
instance, or the old pack. Of several about one VM the first one stays. One that somebody removed by hand has been read:
the same is not said again until the VM was seen meanwhile.
"""

from collections.abc import Mapping
from datetime import timedelta

from roadstead.act.publishing import writing
from roadstead.errors import NotFoundError
from roadstead.kit import clocks
from roadstead.kit.workers import Workers
from roadstead.model import PoolId, Snapshot, VmId
from roadstead.peers.xapi.client import XapiClient
from roadstead.peers.xapi.messages import CANNOT_MONITOR
from roadstead.plan import alerts
from roadstead.settings.schema import AlertSettings

WORKERS = 2


class Alerts:
    """The alerts of ``pool``. What it holds is told to `held`."""

    def __init__(self, pool: PoolId, snapshot: Snapshot, client: XapiClient, settings: AlertSettings) -> None:
        self._pool = pool
        self._snapshot = snapshot
        self._client = client
        self._after = timedelta(seconds=settings.after_seconds)
        self._held: dict[VmId, dict[str, str]] = {}
        """The bodies of each VM's alerts by their references."""
        self._is_paused = False
        self._untold: set[str] = set()
        """Those of ours that the pool has not told of yet: what it tells may be older than they are."""
        self._read: dict[VmId, str] = {}
        """The codes of alerts that somebody removed."""
        common = writing.of_pool()
        self._workers: Workers[VmId] = Workers("alerts", self._work, count=WORKERS, pace=writing.of_vm, common=common)

    async def run(self) -> None:
        """Raise and clear until cancelled."""
        await self._workers.run()

    def consider(self, vm: VmId) -> None:
        """Something about ``vm`` changed; never waits."""
        self._workers.add(vm)

    def held(self, vm: VmId, bodies: Mapping[str, str]) -> None:
        """The pool holds these alerts about ``vm``: their bodies by their references."""
        known = self._held.pop(vm, {})
        held = {ref: body for ref, body in known.items() if ref in self._untold} | dict(bodies)
        self._untold -= bodies.keys()
        if held:
            self._held[vm] = held
        elif known:
            self._read[vm] = alerts.code_of(known[min(known)])
        self.consider(vm)

    def pause(self, *, paused: bool = True) -> None:
        """Raise and clear nothing from now on, or (not ``paused``) go on; what was begun ends (see `wait_still`)."""
        self._is_paused = paused
        for vm in () if paused else list(self._snapshot.vms):
            self.consider(vm)

    async def wait_still(self) -> None:
        """Wait until nothing is being written: until then `ours` does not hold what is on its way."""
        await self._workers.wait_still()

    def ours(self) -> list[VmId]:
        """The VMs about which the pool holds alerts of ours; those of the old pack name no code."""
        return [vm for vm, held in self._held.items() if any(map(alerts.code_of, held.values()))]

    async def wipe(self, vm: VmId) -> None:
        """Take away our alerts about ``vm``. Raises `PoolError`."""
        while (
            ref := next((ref for ref, body in self._held.get(vm, {}).items() if alerts.code_of(body)), None)
        ) is not None:
            await self._clear(vm, ref)

    def answers(self) -> None:
        """The pool is there (again), and tells next what it holds of every VM: what failed is tried at once."""
        self._held.clear()  # what is missing now may have been lost with the pool's master: nobody removed it
        self._untold.clear()
        self._workers.hurry()

    async def _work(self, vm_id: VmId) -> None:
        if self._is_paused:
            return
        now = clocks.now()
        vm = self._snapshot.vms.get(vm_id)
        aimed = alerts.aim(vm if vm is not None and vm.pool == self._pool else None, self._after, now)
        if aimed.again is not None:
            self._workers.later(vm_id, (aimed.again - now).total_seconds())
        if aimed.alert is None and not aimed.is_open:
            self._read.pop(vm_id, None)
        try:
            while (ref := _surplus(self._held.get(vm_id, {}), aimed)) is not None:
                await self._clear(vm_id, ref)
            is_said = _first(self._held.get(vm_id, {}), aimed) is not None
            if aimed.alert is not None and not is_said and not self._has_been_read(vm_id, aimed):
                await self._raise(vm_id, aimed.alert)
        except NotFoundError:
            return  # the VM is gone, which will be told

    def _has_been_read(self, vm: VmId, aimed: alerts.Aim) -> bool:
        """Whether somebody removed this alert; as long as the reason changes, any."""
        read = self._read.get(vm)
        return read is not None and (aimed.is_open or aimed.alert is None or read == aimed.alert.code)

    async def _raise(self, vm: VmId, alert: alerts.Alert) -> None:
        ref = await self._client.raise_message(CANNOT_MONITOR, vm, alert.body)
        self._workers.worked()
        self._read.pop(vm, None)
        held = self._held.setdefault(vm, {})
        if ref not in held:
            held[ref] = alert.body
            self._untold.add(ref)

    async def _clear(self, vm: VmId, ref: str) -> None:
        # Before the pool tells that it is gone: else somebody else would seem to have removed it.
        body = self._forget(vm, ref)
        try:
            await self._client.destroy_message(ref)
        except BaseException:
            self._held.setdefault(vm, {})[ref] = body
            raise
        self._workers.worked()

    def _forget(self, vm: VmId, ref: str) -> str:
        held = self._held[vm]
        body = held.pop(ref)
        self._untold.discard(ref)
        if not held:
            del self._held[vm]
        return body


def _surplus(held: Mapping[str, str], aimed: alerts.Aim) -> str | None:
    """Return an alert that is to go; asked anew each time, as what is held changes while one is cleared."""
    stays = _first(held, aimed)
    return next((ref for ref in held if ref != stays), None)


def _first(held: Mapping[str, str], aimed: alerts.Aim) -> str | None:
    """Return which of the alerts that are there stays: one that says what is to be said."""
    fitting = [
        ref
        for ref, body in held.items()
        if aimed.is_open or (aimed.alert is not None and alerts.code_of(body) == aimed.alert.code)
    ]
    return min(fitting, default=None)
