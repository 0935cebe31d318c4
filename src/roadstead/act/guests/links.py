"""Holds one keeper for each guest that is to be connected, and lets it go when it no longer is."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from roadstead.act.guests.guest import Guest, Opened, Services
from roadstead.kit import clocks, tasks
from roadstead.kit.streams import Link as Way
from roadstead.model import Link, LinkState, PoolId, Problem, Seen, Snapshot, Vm, VmId, config_keys
from roadstead.peers.engine.client import EngineClient
from roadstead.peers.links.credentials import Expiry
from roadstead.plan.access import flaw, opened_under
from roadstead.plan.addresses import Rules, refusal
from roadstead.plan.links import wanted_state

HELD_SECONDS = 10.0
"""How long an end that we wrote into a pool holds before it is seen there: events come in a second, or are listed anew
when the pool was lost; somebody else may have written otherwise meanwhile, which then counts.
"""
LOOKED_AT_ONCE = 500
"""Then the loop has its turn."""
OpenWay = Callable[[VmId], Awaitable[Opened]]


class Links:
    """The guests' keepers. `consider` is called for every VM that changed; it never waits."""

    def __init__(self, snapshot: Snapshot, open_way: OpenWay, services: Services) -> None:
        self._snapshot = snapshot
        self._open_way = open_way
        self._services = services
        self._guests: dict[VmId, Guest] = {}
        self._tasks: dict[VmId, asyncio.Task[None]] = {}
        self._owner = tasks.Owner(services.mistakes)
        self._seen: dict[VmId, tuple[object, ...]] = {}
        self._held: dict[VmId, float] = {}
        """VMs whose end was written into their pools and is not seen there yet, and until when that holds."""

    async def run(self) -> None:
        """Own the keepers' tasks until cancelled."""
        await self._owner.run(self._look_after_them())

    async def _look_after_them(self) -> None:
        """Begin with those that there are, then look now and then which guests do not answer."""
        for vm in list(self._snapshot.vms):
            with self._services.mistakes.borne(f"guest {vm}"):
                self.consider(vm)
        while True:
            await asyncio.sleep(self._services.settings.link.keepalive_seconds / 3)
            for vm in [vm for vm, until in self._held.items() if _now() >= until]:
                self.resume(vm)
            for at, guest in enumerate(list(self._guests.values())):
                with self._services.mistakes.borne(f"guest {guest.vm}"):
                    guest.listen(clocks.now())
                if at % LOOKED_AT_ONCE == LOOKED_AT_ONCE - 1:
                    await asyncio.sleep(0)

    def consider(self, vm_id: VmId) -> None:
        """``vm_id`` changed: start, keep, refresh or end its keeper, as the newest snapshot wants it."""
        if not self._owner.is_running:
            return
        vm = self._snapshot.vms.get(vm_id)
        state = wanted_state(vm)
        if state is LinkState.CONNECTING and vm is not None:
            if vm_id not in self._held:
                self._keep(vm)
        else:
            self._held.pop(vm_id, None)
            heard = self._end(vm_id)
            if state is LinkState.OFF:  # an SSH server that has ended holds nothing against us any more
                self._services.sign_ins.forget(vm_id)
            if vm is not None:
                self._say(vm, state, heard)

    def end(self, vm_id: VmId) -> None:
        """Its pool was told that ``vm_id`` is managed no more: its link ends now, and none is opened while the pool's
        own word is on its way.
        """
        self._held[vm_id] = _now() + HELD_SECONDS
        self._end(vm_id)
        self.consider(vm_id)

    def resume(self, vm_id: VmId) -> None:
        """What the pool says of ``vm_id`` counts again, as it was told otherwise."""
        if self._held.pop(vm_id, None) is not None:
            self.consider(vm_id)

    def engine(self, vm: VmId) -> EngineClient | None:
        """The engine of a guest that is live, or None."""
        guest = self._guests.get(vm)
        return guest.engine if guest is not None else None

    def way(self, vm: VmId) -> Way | None:
        """The way to a guest while it is open, whether its engine answers or not; None otherwise."""
        guest = self._guests.get(vm)
        return guest.way if guest is not None else None

    def heard(self, vm: VmId) -> datetime | None:
        """When a guest was last heard, as far as is known."""
        guest = self._guests.get(vm)
        return guest.last_heard() if guest is not None else None

    def until(self, vm: VmId) -> str:
        """When the first certificate of the link to a guest ends, and whose that is; empty where there is none."""
        expiry = self.expiry(vm)
        return f"{expiry.at:%Y-%m-%d} ({expiry.whose})" if expiry is not None else ""

    def expiry(self, vm: VmId) -> Expiry | None:
        """The same as a record, or None."""
        guest = self._guests.get(vm)
        return guest.expiry if guest is not None else None

    def try_now(self, vm: VmId) -> None:
        """Try a guest that is not live at once: somebody is looking."""
        self._try(vm, politely=False)

    def try_soon(self, vm: VmId) -> None:
        """Try a guest that is not live as soon as is polite: something changed that may help."""
        self._try(vm, politely=True)

    async def tried(self, vm: VmId, seconds: float) -> bool:
        """Try a guest that is not live as soon as is polite, and wait for what comes of it; return False when that
        takes longer than ``seconds``. Of any other VM there is nothing to wait for.
        """
        guest = self._guests.get(vm)
        return guest is None or guest.engine is not None or await guest.tried(seconds)

    def _try(self, vm: VmId, *, politely: bool) -> None:
        guest = self._guests.get(vm)
        if guest is not None and guest.engine is None:
            guest.try_now(politely=politely)

    def reconnect(self, vm: VmId) -> None:
        """Open the link to a guest anew: what it was opened under no longer holds."""
        guest = self._guests.get(vm)
        if guest is not None:
            guest.reconnect()

    def rules_changed(self, pool: PoolId, rules: Rules) -> None:
        """Other addresses of the pool's guests are allowed now: links to barred ones end, lost guests are tried."""
        for vm in [vm for vm in self._snapshot.vms.values() if vm.pool == pool and vm.link is not None]:
            if vm.link is not None and vm.link.address and refusal(vm.link.address, rules) is not None:
                self.reconnect(vm.id)
            else:
                self.try_soon(vm.id)

    def statistics(self) -> Mapping[str, int]:
        """How many keepers there are, and how many of their guests are live."""
        live = sum(guest.engine is not None for guest in self._guests.values())
        return {"guests": len(self._guests), "live": live}

    def _keep(self, vm: Vm) -> None:
        known, now = self._seen.get(vm.id), _circumstances(vm)
        self._seen[vm.id] = now
        guest = self._guests.get(vm.id)
        if guest is None:
            self._start(vm.id)
        elif known is not None and known[0] != now[0]:
            guest.reconnect()
        elif known != now and guest.engine is None:
            guest.try_now()

    def _start(self, vm: VmId) -> None:
        guest = Guest(vm, lambda: self._open_way(vm), self._services)
        self._guests[vm] = guest
        self._tasks[vm] = self._owner.start(guest.run, f"guest {vm}", guest.failed)

    def _end(self, vm: VmId) -> datetime | None:
        """End a guest's keeper; return when the guest was last heard."""
        self._seen.pop(vm, None)
        guest = self._guests.pop(vm, None)
        if guest is None:
            return None
        heard = guest.last_heard()
        guest.close()
        self._tasks.pop(vm).cancel()
        return heard

    def _say(self, vm: Vm, state: LinkState, heard: datetime | None) -> None:
        """Tell how a VM stands that has no keeper."""
        link, problem = vm.link, self._flaw(vm) if state is LinkState.UNMANAGED else None
        known = (link.state, link.problem) if link is not None else (LinkState.UNMANAGED, None)
        if known[0] is state and _cause(known[1]) == _cause(problem):
            return
        if heard is None and link is not None:
            heard = link.heard
        self._services.tell([Seen(Link(vm=vm.id, state=state, since=clocks.now(), heard=heard, problem=problem))])

    def _flaw(self, vm: Vm) -> Problem | None:
        error = flaw(vm)
        if error is None:
            return None
        return Problem.of(error.about(**self._services.names(vm.id)), clocks.now())


def _now() -> float:
    return asyncio.get_running_loop().time()


def _cause(problem: Problem | None) -> str:
    return problem.cause if problem is not None else ""


def _circumstances(vm: Vm) -> tuple[object, ...]:
    """What matters for a link: first what it was opened under (the key is the pool's), then what may help one that does
    not come up.
    """
    may_help = tuple(vm.settings.get(key) for key in (config_keys.ADDRESS, config_keys.HOST_KEY))
    return (vm.pool, opened_under(vm)), may_help, vm.addresses, vm.host
