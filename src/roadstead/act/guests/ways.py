"""How guests are connected: the plan's record becomes a handshake, and what it taught becomes a pin."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from roadstead.act.guests.guest import Opened
from roadstead.act.guests.memory import Memories, Met, Under
from roadstead.act.guests.sign_ins import SignIns
from roadstead.act.keys.pair import KeyPair
from roadstead.act.pools.barred import barring
from roadstead.act.pools.pool import PoolKeeper
from roadstead.errors import LinkError
from roadstead.kit import clocks
from roadstead.model import PoolId, Snapshot, Vm, VmId
from roadstead.peers.links.hostkeys import Pins, named
from roadstead.peers.links.keys import PoolKey
from roadstead.peers.links.ssh import Gates, SshLink, SshTarget, open_ssh
from roadstead.peers.links.unix import open_unix
from roadstead.peers.links.witness import NOBODY, Witness
from roadstead.plan import links, origins, pins
from roadstead.plan.access import Defaults, access_of
from roadstead.plan.addresses import Rules
from roadstead.settings.schema import LinkSettings


@dataclass(slots=True)
class SshWays:
    """Opens guests of pools over SSH."""

    snapshot: Snapshot
    pools: Mapping[PoolId, PoolKeeper]
    rules: Callable[[PoolId], Rules]
    """What the operator allows of a pool's addresses."""
    memories: Memories
    settings: LinkSettings
    gates: Gates
    sign_ins: SignIns
    signed_in: Callable[[VmId], None]
    """Told of each guest that was reached, when its key is remembered."""
    pool_name: Callable[[PoolId], str] = str
    """What a pool is called, which may be known no more."""
    shown: dict[VmId, str] = field(default_factory=dict)
    """The host key (``<type> <fingerprint>``) that each guest showed last, accepted or not."""

    async def open(self, vm_id: VmId) -> Opened:
        """Connect ``vm_id``, whose turn it is. Raises `LinkError` or `PoolError` with the reason."""
        vm, keeper = self.found(vm_id)
        wanted, contact = self.wanted(vm, keeper), self.memories.contact(vm_id)
        pair = await keeper.keys.pair()
        try:
            link = await self.call(vm, wanted, pair)
        except LinkError as error:
            if error.code in origins.KEY_PROBLEMS:
                keeper.keys.forget()
            self._note(vm_id, error.__cause__)
            raise
        if contact != self.memories.contact(vm_id):  # it was held to what no longer counts, and teaches nothing
            link.close()
            raise LinkError("link-lost", vm=vm_id)
        self.shown[vm_id] = named(link.host_key)
        self.memories.note_winner(vm_id, link.address)
        self.memories.met(vm_id, Met(vm.pool, link.host_key, link.opened_with, pair.refused(link.opened_with)))
        link.begin_with(self.memories.relay(vm_id, Under(wanted.access, link.host_key, link.opened_with)))
        self.signed_in(vm_id)
        return Opened(link, link.fingerprint)

    def found(self, vm_id: VmId) -> tuple[Vm, PoolKeeper]:
        """Return a VM and the keeper of its pool. Raises `LinkError` ``link-lost`` when one of them has gone."""
        vm = self.snapshot.vms.get(vm_id)
        keeper = self.pools.get(vm.pool) if vm is not None else None
        if vm is None or keeper is None:
            raise LinkError("link-lost", vm=vm_id)
        return vm, keeper

    def wanted(self, vm: Vm, keeper: PoolKeeper) -> links.Wanted:
        """Return the connection that ``vm`` needs now. Raises `LinkError` as `links.wanted` does."""
        return links.wanted(vm, self.snapshot, self.circumstances(vm, keeper))

    async def call(self, vm: Vm, wanted: links.Wanted, pair: KeyPair, witness: Witness = NOBODY) -> SshLink:
        """Connect ``vm``, whose turn it is, with its pool's ``pair``; nothing that this teaches is kept.

        Raises `LinkError` with the reason as it reads for this VM; its cause is the link's own.
        """
        target = self._target(wanted)
        try:
            return await self._sign_in(target, pair.private, witness)
        except LinkError as error:
            raise origins.explain(pins.explain(error, wanted.pin), vm, self._origin(vm)) from error

    def _note(self, vm_id: VmId, error: BaseException | None) -> None:
        """Keep which host key was shown before ``error`` ended the sign-in."""
        if not isinstance(error, LinkError):
            return
        if "shown" in error.fields:
            self.shown[vm_id] = f"{error.fields['type']} {error.fields['shown']}"
        elif error.code == "host-key-type-gone":
            self.shown.pop(vm_id, None)

    def forget(self, vm: VmId) -> None:
        """``vm`` is gone."""
        self.shown.pop(vm, None)

    async def verify(self, vm_id: VmId, known: SshLink, key: PoolKey) -> SshLink:
        """Sign in anew with ``key`` alone where ``known`` leads, to the same host key, as soon as a further sign-in is
        polite; the caller closes the link.

        Raises `LinkError` with the reason, ``key-rejected`` when the guest does not take this key.
        """
        await self.sign_ins.turn(vm_id)
        vm = self.snapshot.vms.get(vm_id)
        if vm is None:
            self.sign_ins.forget(vm_id)
            raise LinkError("link-lost", vm=vm_id)
        access = access_of(vm, self.defaults)
        pins = Pins(pin=known.host_key)
        target = SshTarget(access.user, access.port, (known.address,), access.socket, pins, access.sudo)
        return await self._sign_in(target, (key,))

    async def enter(self, vm_id: VmId, target: SshTarget, key: PoolKey) -> SshLink:
        """Sign in to ``vm_id`` at ``target`` with ``key`` alone and at once; the caller closes the link.

        Raises as `verify`.
        """
        self.sign_ins.begins(vm_id)
        return await self._sign_in(target, (key,))

    async def _sign_in(self, target: SshTarget, keys: tuple[PoolKey, ...], witness: Witness = NOBODY) -> SshLink:
        return await open_ssh(target, keys, settings=self.settings, gates=self.gates, witness=witness)

    def _origin(self, vm: Vm) -> origins.Origin:
        """What is known of how ``vm`` came into its pool."""
        openings = self.memories.keyed.of(vm.id)
        elsewhere = sorted({opening.pool for opening in openings if opening.pool != vm.pool})
        return origins.Origin(
            opened_here=any(opening.pool == vm.pool for opening in openings),
            opened_by=tuple(self.pool_name(pool) for pool in elsewhere),
            memory=self.memories.of(vm),
        )

    @property
    def defaults(self) -> Defaults:
        """What holds for a VM that says nothing."""
        return Defaults(self.settings.user, self.settings.engine_socket)

    def _target(self, wanted: links.Wanted) -> SshTarget:
        return SshTarget(
            user=wanted.access.user,
            port=wanted.access.port,
            addresses=wanted.addresses,
            socket=wanted.access.socket,
            pins=Pins(
                pin=wanted.pin.key,
                confirmed=wanted.pin.confirmed,
                owner=lambda key: links.owner(key, wanted.vm, self.snapshot),
            ),
            sudo=wanted.access.sudo,
        )

    def circumstances(self, vm: Vm, keeper: PoolKeeper) -> links.Circumstances:
        """Return what planning a link to ``vm`` needs to know, whatever kind of link it is."""
        return links.Circumstances(
            defaults=self.defaults,
            rules=barring(self.rules(vm.pool), keeper, [vm], self.settings.addresses),
            memory=self.memories.of(vm),
            winner=self.memories.winner(vm.id),
            now=clocks.now(),
            boot_seconds=self.settings.boot_seconds,
        )


class UnixWays:
    """Opens engines on this machine, each by the path of its socket."""

    def __init__(self, paths: Mapping[VmId, str]) -> None:
        self._paths = paths

    async def open(self, vm: VmId) -> Opened:
        """Connect the engine that stands in for ``vm``. Raises `EngineError` with the reason."""
        return Opened(await open_unix(self._paths[vm]))
