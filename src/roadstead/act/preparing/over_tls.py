"""Prepares VMs whose engine is reached over TLS: certificates are made, brought on a CD, tried, and then stored.

The order is what makes it safe to break off anywhere. Until the engine has shown over a real connection that it uses
the new certificates, they are in this process's memory and on the CD only, and the VM is managed as it was. The CD
goes whatever happens (`tls_disks`). The wait between is a person's, who runs the script in the VM, so it is long, and
goes on without the client that asked for it.
"""

import asyncio
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import structlog
from msgspec import Struct

from roadstead.act.audit import Audit
from roadstead.act.firewall import Firewall
from roadstead.act.guests.known import known
from roadstead.act.guests.links import Links
from roadstead.act.pools.pool import PoolKeeper
from roadstead.act.pools.pools import Pools
from roadstead.act.preparing.tls_disks import Placing, TlsDisks, Visit
from roadstead.act.preparing.tls_storing import store
from roadstead.act.preparing.tls_trials import TlsTrials
from roadstead.artifacts import certificate_checks, certificates, tls_disk
from roadstead.artifacts.certificate_checks import Fault, Given
from roadstead.errors import ConflictError, InputError, LinkError, NotFoundError, PeerError, PoolError, RoadsteadError
from roadstead.kit import clocks, tasks
from roadstead.model import LOCAL_POOL, Snapshot, Vm, VmId, canonical
from roadstead.peers.links.credentials import Credentials, credentials
from roadstead.peers.xapi.disks import Disks
from roadstead.plan.access import tls_access_of
from roadstead.settings.schema import Settings

log = structlog.get_logger()

MAKING, WAITING, STORING, DONE, FAILED = "making", "waiting", "storing", "done", "failed"
"""What a preparation goes through."""
MOST_ADDRESSES = 32
SWEEP_SECONDS = 60.0
"""How often it is looked for CDs that somebody left behind: one call to each pool."""
SWEEP_LIMIT_SECONDS = 300.0
"""Limit on one look into one pool."""


class Wish(Struct, frozen=True, kw_only=True):
    """What certificates are asked for; without addresses those that the VM announces."""

    addresses: Sequence[str] = ()
    sources: Sequence[str] = ()
    """Networks from which the VM's firewall lets connections to the engine in; without any those of management."""
    days: int | None = None
    with_client_key: bool = False
    placing: Placing = Placing()


class TlsPreparation(Struct, frozen=True, kw_only=True):
    """How the new certificates of a VM stand."""

    vm: VmId
    name: str
    state: str
    """``none``, ``making``, ``waiting`` (for the VM's engine to use them), ``storing``, ``done`` or ``failed``."""
    addresses: list[str]
    """For which addresses they are; of a VM without any under way those that it would be made for."""
    sources: list[str] = []
    """From where the VM's firewall lets connections to the engine in; with none from everywhere, as nothing is known of
    management."""
    until: datetime | None = None
    """When the certificates end."""
    last: str = ""
    """What the last try to reach the engine with them said, or why they failed."""
    code: str = ""
    """The code of the error behind ``last``."""
    preparation: str = ""
    """By this word one preparation of a VM is told from the next."""


@dataclass(slots=True)
class _Work:
    """A preparation that is under way, or was last."""

    vm: Vm
    addresses: tuple[str, ...]
    sources: tuple[str, ...] = ()
    state: str = MAKING
    until: datetime | None = None
    error: RoadsteadError | None = None
    cd: Visit | None = None
    left: PoolError | None = None
    """What is left of the CD that went."""
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the CD is in the drive, or nothing came of it."""
    task: asyncio.Task[None] | None = None
    id: str = field(default_factory=partial(secrets.token_hex, 8))

    @property
    def is_under_way(self) -> bool:
        return self.task is not None and not self.task.done()

    def report(self, error: PoolError) -> None:
        """Take in what is left of the CD."""
        self.left = error

    def shown(self) -> TlsPreparation:
        return TlsPreparation(
            vm=self.vm.id,
            name=self.vm.name,
            state=self.state,
            addresses=list(self.addresses),
            sources=list(self.sources),
            until=self.until,
            last=self._said(),
            code=next((error.code for error in (self.left, self.error) if error is not None), ""),
            preparation=self.id,
        )

    def _said(self) -> str:
        """While it waits the remedy of an error is always the same: to run the script."""
        if self.state in {DONE, FAILED}:
            return " ".join(str(error) for error in (self.left, self.error) if error is not None)
        return self.error.cause if self.error is not None else ""


class TlsPreparations:
    """The preparations of all VMs. Commands raise `NotFoundError` ``no-such-vm`` and `PeerError`."""

    def __init__(
        self,
        snapshot: Snapshot,
        pools: Pools,
        links: Links,
        trials: TlsTrials,
        firewall: Firewall,
        audit: Audit,
        settings: Settings,
    ) -> None:
        self._snapshot = snapshot
        self._pools = pools
        self._links = links
        self._trials = trials
        self._firewall = firewall
        self._audit = audit
        self._settings = settings
        self._works: dict[VmId, _Work] = {}
        self._owner = tasks.Owner()

    async def run(self) -> None:
        """Own the preparations' tasks, and destroy what died ones left behind, until cancelled."""
        await self._owner.run(self._sweeping())

    async def _sweeping(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            with self._owner.mistakes.borne("look for left CDs"):
                await self.sweep()

    async def sweep(self) -> None:
        """Destroy CDs in all pools that nobody looks after any more."""
        spared = {work.cd.token for work in self._works.values() if work.cd is not None and work.is_under_way}
        live = [keeper for keeper in self._pools.keepers.values() if keeper.record.live]
        await asyncio.gather(*(_sweep(keeper, spared) for keeper in live))

    # ---- commands

    def state(self, vm_id: VmId) -> TlsPreparation:
        """Tell how the new certificates of a VM stand."""
        work = self._works.get(vm_id)
        if work is not None:
            return work.shown()
        vm = known(self._snapshot, vm_id)
        return TlsPreparation(vm=vm.id, name=vm.name, state="none", addresses=list(self._announced(vm)))

    async def make(self, vm_id: VmId, wish: Wish) -> TlsPreparation:
        """Make certificates for a VM and give it the CD with them; return when it is in the drive.

        Raises `InputError` (what was asked), `ConflictError` (the drive, the storage) and `PoolError`; nothing was
        changed then.
        """
        work = self._begun(vm_id, wish)
        with self._audit.of("certificates make", vm_id):
            await work.settled.wait()
            if work.error is not None and work.state == FAILED:
                del self._works[vm_id]
                raise work.left or work.error
        return work.shown()

    async def followed(self, vm_id: VmId, preparation: str) -> TlsPreparation | None:
        """Tell how this preparation stands, or without a name for it the one that is under way, once the CD is in the
        drive; None when there is no such one. Raises what made it fail.
        """
        work = self._works.get(vm_id)
        if work is None or not (work.id == preparation if preparation else work.is_under_way):
            return None
        await work.settled.wait()
        if work.error is not None and work.state == FAILED:
            raise work.left or work.error
        return work.shown()

    async def bring(self, vm_id: VmId, given: Given, *, is_legacy: bool) -> TlsPreparation:
        """Store certificates that were made elsewhere, once they are checked and the engine was reached with them.

        Raises `InputError` with the code of what is wrong, ``certificate-unfit`` where that are several things, and
        `LinkError`; nothing was changed then.
        """
        keeper = self._keeper(known(self._snapshot, vm_id))
        with self._audit.of("certificates import", vm_id):
            async with keeper.preparing.of(vm_id):
                vm = known(self._snapshot, vm_id)
                self._must_be_free(vm)
                found = await asyncio.to_thread(certificate_checks.faults, given, clocks.now(), is_legacy=is_legacy)
                if found:
                    raise _unfit(found)
                shown = await _credentials(given, is_legacy=is_legacy)
                proof = await self._trials.tried(vm, keeper, shown)
                await store(keeper, vm, given, is_legacy=is_legacy)
        self._links.try_now(vm_id)
        return TlsPreparation(vm=vm.id, name=vm.name, state=DONE, addresses=list(proof.addresses), until=proof.until)

    async def cancel(self, vm_id: VmId) -> TlsPreparation:
        """End a preparation that is under way; return when the CD is gone.

        Raises `NotFoundError` ``no-certificates-under-way``, and `PoolError` ``cd-left``, ``cd-not-overwritten``: it is
        ended then, too.
        """
        vm, work = known(self._snapshot, vm_id), self._works.get(vm_id)
        if work is None or work.task is None or not work.is_under_way:
            raise NotFoundError("no-certificates-under-way", vm=vm.name)
        with self._audit.of("certificates cancel", vm_id):
            await tasks.stop(work.task)
            self._works.pop(vm_id, None)
            if work.left is not None:
                raise work.left
        return self.state(vm_id)

    def addresses(self, vm: Vm, keeper: PoolKeeper, given: Sequence[str]) -> tuple[str, ...]:
        """Return for which addresses a certificate is to be; one for others only would be refused for ever.

        Raises `InputError`, `ConflictError` ``tls-address-elsewhere``, and `LinkError` as `TlsTrials.addresses` does.
        """
        said = checked_addresses(given)
        if said and not vm.running:  # where it will be called is not known yet
            return said
        called = self._trials.addresses(vm, keeper)
        if said and not set(said) & set(called):
            raise ConflictError("tls-address-elsewhere", vm=vm.name, said=", ".join(said), called=", ".join(called))
        return said or called

    # ---- one preparation

    def _begun(self, vm_id: VmId, wish: Wish) -> _Work:
        """Start a preparation, which goes on when whoever asked for it no longer waits."""
        vm = known(self._snapshot, vm_id)
        keeper = self._keeper(vm)
        self._must_be_free(vm)
        self._owner.must_run()
        port = tls_access_of(vm).port
        work = self._works[vm_id] = _Work(vm, self.addresses(vm, keeper, wish.addresses))
        work.task = self._owner.start(
            partial(self._prepare, work, keeper, wish, port), f"certificates of {vm_id}", partial(self._failed, work)
        )
        return work

    async def _prepare(self, work: _Work, keeper: PoolKeeper, wish: Wish, port: int) -> None:
        try:
            await self._prepared(work, keeper, wish, port)
            work.state, work.error = DONE, None
        except asyncio.CancelledError:
            work.settled.set()
            raise
        work.settled.set()
        self._links.try_now(work.vm.id)

    def _failed(self, work: _Work, error: RoadsteadError) -> None:
        work.state, work.error = FAILED, error
        log.warning("certificates not put to use", vm=work.vm.id, problem=error.code)
        work.settled.set()
        self._links.try_now(work.vm.id)

    async def _prepared(self, work: _Work, keeper: PoolKeeper, wish: Wish, port: int) -> None:
        settings, vm = self._settings.certificate, work.vm
        days = wish.days if wish.days is not None else settings.days
        made = await asyncio.to_thread(certificates.make, vm.name, work.addresses, days, settings.key)
        work.until = made.until
        usual = self._settings.link.from_networks
        work.sources = tuple(wish.sources) or usual or tuple(map(str, await self._firewall.callers(vm)))
        image = await asyncio.to_thread(tls_disk.image, made, port, work.sources, with_client_key=wish.with_client_key)
        given = Given(made.client.certificate, made.client.key, made.authority)
        shown = await _credentials(given, is_legacy=False)
        disks = TlsDisks(Disks(keeper.client))
        async with disks.inserted(vm.id, image, wish.placing, settings.wait_seconds, work.report) as cd:
            work.state, work.cd = WAITING, cd
            work.settled.set()
            await self._wait_until_used(work, keeper, shown, cd)
            work.state = STORING
            await self._store(keeper, vm.id, given)

    async def _store(self, keeper: PoolKeeper, vm_id: VmId, given: Given) -> None:
        async with keeper.preparing.of(vm_id):
            vm = known(self._snapshot, vm_id)
            try:
                with self._audit.of("certificates store", vm_id):
                    await store(keeper, vm, given, is_legacy=False)
            except PoolError as error:
                raise LinkError("certificates-not-stored", vm=vm.name, reason=error.clause) from error

    async def _wait_until_used(self, work: _Work, keeper: PoolKeeper, shown: Credentials, cd: Visit) -> None:
        """Try until the engine is reached with ``shown``. Raises `ConflictError` ``certificates-not-used``."""
        settings = self._settings.certificate
        try:
            async with asyncio.timeout(settings.wait_seconds):
                while not await self._is_used(work, keeper, shown):
                    await cd.renew()
                    await asyncio.sleep(settings.try_seconds)
        except TimeoutError as error:
            last = work.error.clause if work.error is not None else "it was not reached"
            seconds = round(settings.wait_seconds)
            raise ConflictError("certificates-not-used", vm=work.vm.name, seconds=seconds, last=last) from error

    async def _is_used(self, work: _Work, keeper: PoolKeeper, shown: Credentials) -> bool:
        try:
            await self._trials.tried(known(self._snapshot, work.vm.id), keeper, shown)
        except PeerError as error:
            work.error = error
            return False
        return True

    # ---- pieces

    def _must_be_free(self, vm: Vm) -> None:
        work = self._works.get(vm.id)
        if work is not None and work.is_under_way:
            raise ConflictError("certificates-busy", vm=vm.name)

    def _keeper(self, vm: Vm) -> PoolKeeper:
        if vm.pool == LOCAL_POOL:
            raise ConflictError("vm-not-in-a-pool", vm=vm.name)
        return self._pools.keeper(vm.pool)

    def _announced(self, vm: Vm) -> tuple[str, ...]:
        """The addresses at which we would call ``vm``; none while that is not known, or not allowed."""
        keeper = self._pools.keepers.get(vm.pool)
        if keeper is None:
            return ()
        try:
            return self._trials.addresses(vm, keeper)
        except PeerError:
            return ()


def checked_addresses(given: Sequence[str]) -> tuple[str, ...]:
    """Return the addresses that were said, each once. Raises `InputError`."""
    if len(given) > MOST_ADDRESSES:
        raise InputError("field-invalid", field="addresses", reason=f"at most {MOST_ADDRESSES} are possible")
    found = []
    for text in given:
        address = canonical(text)
        if address is None:
            raise InputError("field-invalid", field="addresses", reason=f"{text} is no literal IP address")
        found.append(address)
    return tuple(dict.fromkeys(found))


def _unfit(found: Sequence[Fault]) -> InputError:
    """Return what tells of all faults at once."""
    told = "; ".join(f"{fault.field.replace('_', '-')}: {fault.reason}" for fault in found)
    codes = dict.fromkeys(fault.code for fault in found)
    code = next(iter(codes)) if len(codes) == 1 else "certificate-unfit"
    return InputError(code, faults=told, codes=", ".join(codes))


async def _sweep(keeper: PoolKeeper, spared: Collection[str]) -> None:
    try:
        async with asyncio.timeout(SWEEP_LIMIT_SECONDS):
            await TlsDisks(Disks(keeper.client)).sweep(spared)
    except (PoolError, TimeoutError) as error:  # the next look is near
        log.warning("pool not searched for left CDs with certificates", pool=keeper.id, problem=repr(error))


async def _credentials(given: Given, *, is_legacy: bool) -> Credentials:
    pem = (given.client_cert.encode(), given.client_key.encode(), given.ca_cert.encode())
    return await asyncio.to_thread(credentials, *pem, is_legacy=is_legacy)
