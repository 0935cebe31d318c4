"""How guests are connected over SSH: the plan's record becomes a handshake, and what it taught becomes a pin."""

from collections.abc import Callable
from dataclasses import dataclass, field

from roadstead.act.guests.grounds import Grounds
from roadstead.act.guests.guest import Opened
from roadstead.act.guests.walks import Walk, Walked
from roadstead.act.keys.pair import KeyPair
from roadstead.act.memory import Met, Under
from roadstead.act.pools.pool import PoolKeeper
from roadstead.errors import LinkError
from roadstead.model import PathStep, Vm, VmId
from roadstead.peers.links.hostkeys import Pins, named
from roadstead.peers.links.keys import PoolKey
from roadstead.peers.links.ssh import SshLink, SshTarget, open_ssh
from roadstead.peers.links.witness import NOBODY, Witness
from roadstead.plan import links, origins, path, pins
from roadstead.plan.access import access_of

_STANDINGS = {
    pins.Standing.PINNED: "as remembered",
    pins.Standing.VANISHED: "as remembered here; the pool lost it",
    pins.Standing.EXPECTED: "as the operator said",
    pins.Standing.NONE: "first contact; it is shown, not remembered",
}
"""What is said of a host key that was taken."""


@dataclass(slots=True)
class SshWays:
    """Opens guests of pools over SSH; see `ways.Kind`."""

    grounds: Grounds
    signed_in: Callable[[VmId], None]
    """Told of each guest that was reached, when its key is remembered."""
    steps = path.SSH
    shown: dict[VmId, str] = field(default_factory=dict)
    """The host key (``<type> <fingerprint>``) that each guest showed last, accepted or not."""

    async def open(self, vm_id: VmId) -> Opened:
        """Connect ``vm_id``, whose turn it is. Raises `LinkError` or `PoolError` with the reason."""
        vm, keeper = self.grounds.found(vm_id)
        memories = self.grounds.memories
        wanted, contact = self._wanted(vm, keeper), memories.contact(vm_id)
        pair = await keeper.keys.pair()
        try:
            link = await self._call(vm, keeper, wanted, pair)
        except LinkError as error:
            self._note(vm_id, error.__cause__)
            raise
        if contact != memories.contact(vm_id):  # it was held to what no longer counts, and teaches nothing
            link.close()
            raise LinkError("link-lost", vm=vm_id)
        self.shown[vm_id] = named(link.host_key)
        memories.note_winner(vm_id, link.address)
        memories.met(vm_id, Met(vm.pool, link.host_key, link.opened_with, pair.refused(link.opened_with)))
        link.begin_with(memories.relay(vm_id, Under(wanted.access, link.host_key, link.opened_with)))
        self.signed_in(vm_id)
        return Opened(link, link.fingerprint)

    async def walk(self, vm_id: VmId, walk: Walk) -> Walked:
        """Go the same way; see `ways.Kind`. The pool's key is used as it is found. Raises as `open`."""
        vm, keeper = self.grounds.found(vm_id)
        wanted = self._wanted(vm, keeper)
        walk.ok(PathStep.ADDRESS, ", ".join(wanted.addresses))
        pair = await keeper.keys.existing()
        walk.ok(PathStep.POOL_KEY, pair.fingerprint)
        await self.grounds.walk_to(vm_id, wanted.addresses, walk)
        link = await self._call(vm, keeper, wanted, pair, _Remembering(walk, wanted.pin))
        walk.goes_on(link.address)
        user = f"{wanted.access.user}, by sudo," if wanted.access.sudo else wanted.access.user
        return Walked(link, wanted.access.socket, user)

    def _wanted(self, vm: Vm, keeper: PoolKeeper) -> links.Wanted:
        """Return the connection that ``vm`` needs now. Raises `LinkError` as `links.wanted` does."""
        return links.wanted(vm, self.grounds.snapshot, self.grounds.circumstances(vm, keeper))

    async def _call(
        self, vm: Vm, keeper: PoolKeeper, wanted: links.Wanted, pair: KeyPair, witness: Witness = NOBODY
    ) -> SshLink:
        """Connect ``vm``, whose turn it is, with its pool's ``pair``; nothing that this teaches is kept, but that a key
        which is refused may be the pool's no more.

        Raises `LinkError` with the reason as it reads for this VM; its cause is the link's own.
        """
        target = self._target(wanted)
        try:
            return await self._sign_in(target, pair.private, witness)
        except LinkError as error:
            if error.code in origins.KEY_PROBLEMS:
                keeper.keys.forget()
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
        await self.grounds.sign_ins.turn(vm_id)
        vm = self.grounds.snapshot.vms.get(vm_id)
        if vm is None:
            self.grounds.sign_ins.forget(vm_id)
            raise LinkError("link-lost", vm=vm_id)
        access = access_of(vm, self.grounds.defaults)
        pins = Pins(pin=known.host_key)
        target = SshTarget(access.user, access.port, (known.address,), access.socket, pins, access.sudo)
        return await self._sign_in(target, (key,))

    async def enter(self, vm_id: VmId, target: SshTarget, key: PoolKey) -> SshLink:
        """Sign in to ``vm_id`` at ``target`` with ``key`` alone and at once; the caller closes the link.

        Raises as `verify`.
        """
        self.grounds.sign_ins.begins(vm_id)
        return await self._sign_in(target, (key,))

    async def _sign_in(self, target: SshTarget, keys: tuple[PoolKey, ...], witness: Witness = NOBODY) -> SshLink:
        settings, gates = self.grounds.settings, self.grounds.gates
        return await open_ssh(target, keys, settings=settings, gates=gates, witness=witness)

    def _origin(self, vm: Vm) -> origins.Origin:
        """What is known of how ``vm`` came into its pool."""
        openings = self.grounds.memories.keyed.of(vm.id)
        elsewhere = sorted({opening.pool for opening in openings if opening.pool != vm.pool})
        return origins.Origin(
            opened_here=any(opening.pool == vm.pool for opening in openings),
            opened_by=tuple(self.grounds.pool_name(pool) for pool in elsewhere),
            memory=self.grounds.memories.of(vm),
        )

    def _target(self, wanted: links.Wanted) -> SshTarget:
        return SshTarget(
            user=wanted.access.user,
            port=wanted.access.port,
            addresses=wanted.addresses,
            socket=wanted.access.socket,
            pins=Pins(
                pin=wanted.pin.key,
                confirmed=wanted.pin.confirmed,
                owner=lambda key: links.owner(key, wanted.vm, self.grounds.snapshot),
            ),
            sudo=wanted.access.sudo,
        )


class _Remembering:
    """The witness of a link that is walked along, who knows what the host key was held to."""

    def __init__(self, walk: Walk, pin: pins.Pin) -> None:
        self._walk = walk
        self._standing = _STANDINGS[pin.standing]

    def passed(self, step: PathStep, finding: str, address: str) -> None:
        """See `Witness`."""
        told = f"{finding}, {self._standing}" if step is PathStep.HOST_KEY else finding
        self._walk.passed(step, told, address)

    def missed(self, address: str, error: LinkError) -> None:
        """See `Witness`."""
        self._walk.missed(address, error)
