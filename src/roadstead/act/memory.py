"""What we remember of VMs beside the pool: last pins and which VMs a pool key opens (kept in the database), consents,
last winners and relays (kept here).

All reading is from memory, so that planning never waits; what is to be kept is written in batches, because a fleet that
is met for the first time would otherwise wait for thousands of single writes.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass
from datetime import timedelta

from roadstead.act.keys.keyed import KeyedVms, Opening
from roadstead.kit.batches import Batches
from roadstead.kit.outages import LoggedOutage
from roadstead.kit.turns import Turns
from roadstead.model import PoolId, Vm, VmId, config_keys
from roadstead.peers.database.client import Database
from roadstead.peers.links.relays import KnownRelay
from roadstead.plan.access import Access
from roadstead.plan.pins import Memory

BATCH_SECONDS = 0.25
RETRY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Met:
    """A VM was reached: under which host key (base64 blob), with which pool key (its fingerprint), and which ones it
    had refused before.
    """

    pool: PoolId
    host_key: str
    pool_key: str = ""
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Expected:
    """The operator said which host ``key`` (``<type> <fingerprint>``) a VM of ``pool`` must show."""

    pool: PoolId
    key: str


@dataclass(frozen=True, slots=True)
class Under:
    """What decides which relay a guest has for us: who signs in with which key of ours (its fingerprint), to which host
    key (base64 blob) at which port, and for what.
    """

    access: Access
    host_key: str
    pool_key: str


class Memories:
    """Last pins, keyed VMs, consents, winners and relays of all VMs."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._last: dict[VmId, Met] = {}
        self.keyed = KeyedVms(database)
        """Which pool key opens which VM; who says otherwise calls `keep_soon`."""
        self._expected: dict[VmId, Expected] = {}
        self._settled: set[VmId] = set()
        """VMs of which the database may still say what they must show."""
        self._keeping = asyncio.Lock()
        self._consents: dict[VmId, str] = {}
        self._accepted: set[VmId] = set()
        self._forgotten: dict[VmId, frozenset[str]] = {}
        self._contacts: dict[VmId, int] = {}
        self.turns: Turns[VmId] = Turns()
        """Whoever makes a pool hold a VM's pin, or none, and whoever has it forgotten, does so one after the other."""
        self._winners: dict[VmId, str] = {}
        self._relays: dict[VmId, tuple[Under, KnownRelay]] = {}
        self._adopted: set[PoolId] = set()
        self._unwritten: dict[VmId, Met] = {}
        outage = LoggedOutage("keep the pins of VMs")
        self._batches = Batches(self.flush, delay=BATCH_SECONDS, retry=RETRY_SECONDS, report=outage)

    async def load(self) -> None:
        """Read what was kept, once, at the start; the pools of the database were adopted by an earlier run."""
        self._last = {pin.vm: Met(pin.pool, pin.key) for pin in await self._database.pins()}
        self._expected = {key.vm: Expected(key.pool, key.key) for key in await self._database.expected_keys()}
        self._adopted = {pool.id for pool in await self._database.pools()}
        await self.keyed.load()

    async def run(self) -> None:
        """Write what is to be kept, in batches, until cancelled; then write what is left."""
        try:
            await self._batches.run()
        finally:
            await self.flush()

    async def flush(self) -> None:
        """Write what is to be kept now. Raises `PeerError` ``state-unusable``; nothing is forgotten then."""
        await self._write_pins()
        await self._forget_settled()
        await self.keyed.flush()

    def keep_soon(self) -> None:
        """Something is to be written."""
        self._batches.add()

    def of(self, vm: Vm) -> Memory:
        """What planning is told of ``vm``."""
        last, expected = self._last.get(vm.id), self._expected.get(vm.id)
        return Memory(
            last=last.host_key if last else None,
            pool_known=vm.pool in self._adopted,
            is_anothers=last is None and self._is_remembered(vm.settings.get(config_keys.HOST_KEY)),
            forgotten=self._forgotten.get(vm.id, frozenset()),
            expected=expected.key if expected else None,
            consent=self._consents.get(vm.id),
            address_accepted=vm.id in self._accepted,
        )

    def adopt(self, pool: PoolId, pins: Mapping[VmId, str]) -> None:
        """A pool is listed: the first time its pins are taken as they stand. From then on a pin that comes with a new
        VM may be a copy.
        """
        if pool in self._adopted:
            return
        self._adopted.add(pool)
        for vm, key in pins.items():
            self._keep(vm, Met(pool, key))

    def forget_pool(self, pool: PoolId) -> None:
        """The pool was removed: when it is added again, its pins are taken as they then stand."""
        self._adopted.discard(pool)
        self._last = {vm: met for vm, met in self._last.items() if met.pool != pool}
        self._unwritten = {vm: met for vm, met in self._unwritten.items() if met.pool != pool}
        self._expected = {vm: said for vm, said in self._expected.items() if said.pool != pool}

    def let_go(self, vm: VmId) -> None:
        """``vm`` is gone: what holds for its next contact ends. Its pin stays for now, for copies may carry it."""
        for held in (self._consents, self._forgotten, self._winners, self._relays, self._contacts):
            held.pop(vm, None)
        self._accepted.discard(vm)

    def left_in(self, pool: PoolId, living: Container[VmId]) -> dict[VmId, str]:
        """The VMs of which something is kept here although they are none of the ``living``, with the last host key
        (base64 blob, may be empty) of each, as far as that was in ``pool``.
        """
        said = {vm: "" for vm, expected in self._expected.items() if expected.pool == pool and vm not in living}
        return said | {vm: met.host_key for vm, met in self._last.items() if met.pool == pool and vm not in living}

    async def settle_keyed(self, living: Container[VmId], days: float) -> None:
        """All pools are seen now, and have the VMs ``living``: forget what opens VMs that have been in none
        for ``days``.

        Raises `PeerError` ``state-unusable``.
        """
        if await self.keyed.settle(living, timedelta(days=days)):
            self.keep_soon()

    async def forget_vms(self, vms: Collection[VmId]) -> None:
        """These VMs are gone for good. That a pool key opens them stays known for longer: it does, wherever they are.

        Raises `PeerError` ``state-unusable``; nothing is forgotten then.
        """
        if not vms:
            return
        await self.flush()
        async with self._keeping:
            await self._database.forget_vms(vms)
            for vm in vms:
                self._last.pop(vm, None)
                self._expected.pop(vm, None)
                self._unwritten.pop(vm, None)

    def contact(self, vm: VmId) -> int:
        """Which contact with ``vm`` a sign-in belongs to that begins now: whatever changes what ``vm`` must show makes
        the next one another.
        """
        return self._contacts.get(vm, 0)

    def met(self, vm: VmId, met: Met) -> None:
        """``vm`` was reached: that settles whatever was open about its host key."""
        self._settle(vm)
        last = self._last.get(vm)
        if last is None or last.host_key != met.host_key:
            self._keep(vm, met)
        news = [self.keyed.closes(Opening(met.pool, vm, key)) for key in met.refused]
        if met.pool_key:
            news.append(self.keyed.opens(Opening(met.pool, vm, met.pool_key)))
        if any(news):
            self.keep_soon()

    async def forget_pin(self, vm: VmId, pin: str | None) -> None:
        """The next contact with ``vm`` is a first contact, also while its pool still shows ``pin``, or the key that we
        remembered, which may have been on its way there. Raises `PeerError` ``state-unusable``.
        """
        async with self._keeping:  # else a batch that is being written would bring it back
            self._settle(vm)
            self._contacts[vm] = self.contact(vm) + 1
            self._unwritten.pop(vm, None)
            last = self._last.pop(vm, None)
            known = frozenset(filter(None, (pin, last.host_key if last else None)))
            if known:
                self._forgotten[vm] = known
            if last is not None:
                await self._database.forget_pin(vm)

    async def expect(self, pool: PoolId, vm: VmId, key: str, blob: str | None) -> None:
        """The operator says that ``vm`` must show ``key`` (``<type> <fingerprint>``, the type may be empty) from the
        next contact on; ``blob`` is the whole key, when that was given: it is what the VM was last known by, then.

        Raises `PeerError` ``state-unusable``; then nothing has changed.
        """
        async with self._keeping:
            await self._database.expect_key(pool, vm, key)
            self._settle(vm)
            self._settled.discard(vm)
            self._contacts[vm] = self.contact(vm) + 1
            self._expected[vm] = Expected(pool, key)
        if blob is not None:
            self._keep(vm, Met(pool, blob))

    def consent(self, vm: VmId, key: str) -> None:
        """The operator accepts ``key`` (``<type> <fingerprint>``) for the next contact with ``vm``, whatever was said
        before.
        """
        self._expect_no_more(vm)
        self._consents[vm] = key

    def accept_address(self, vm: VmId) -> None:
        """The operator lets ``vm`` be called at an address that another VM announces, too, until it is reached."""
        self._accepted.add(vm)

    def winner(self, vm: VmId) -> str | None:
        """The address under which ``vm`` was reached last."""
        return self._winners.get(vm)

    def note_winner(self, vm: VmId, address: str) -> None:
        """``vm`` was reached under ``address``."""
        self._winners[vm] = address

    def relay(self, vm: VmId, under: Under) -> KnownRelay:
        """What is known of the relay of ``vm``, for its links to read and keep up to date; what was found ``under``
        anything else is forgotten.
        """
        known = self._relays.get(vm)
        if known is None or known[0] != under:
            known = self._relays[vm] = under, KnownRelay()
        return known[1]

    def forget_relay(self, vm: VmId) -> None:
        """``vm`` is reached in another way now."""
        self._relays.pop(vm, None)

    def _is_remembered(self, key: str | None) -> bool:
        return bool(key) and any(met.host_key == key for met in self._last.values())

    async def _write_pins(self) -> None:
        async with self._keeping:
            batch = dict(self._unwritten)
            pins: defaultdict[PoolId, dict[VmId, str]] = defaultdict(dict)
            for vm, met in batch.items():
                pins[met.pool][vm] = met.host_key
            for pool in pins:
                await self._database.remember_pins(pool, pins[pool])
            self._unwritten = {vm: met for vm, met in self._unwritten.items() if batch.get(vm) is not met}

    async def _forget_settled(self) -> None:
        async with self._keeping:
            if settled := set(self._settled):
                await self._database.forget_expected_keys(settled)
                self._settled -= settled

    def _expect_no_more(self, vm: VmId) -> None:
        if self._expected.pop(vm, None) is not None:
            self._settled.add(vm)
            self._batches.add()

    def _settle(self, vm: VmId) -> None:
        """What the operator said about ``vm`` has had its effect."""
        self._expect_no_more(vm)
        self._consents.pop(vm, None)
        self._accepted.discard(vm)
        self._forgotten.pop(vm, None)

    def _keep(self, vm: VmId, met: Met) -> None:
        self._last[vm] = met
        self._unwritten[vm] = met
        self.keep_soon()
