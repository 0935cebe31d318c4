"""Rotations of pools' keys: guests are changed over one by one, and the old key goes when none needs it any more.

What is to be done is read anew each time from the pool (is there an old pair?), from what opens which VM
(`act.keys.keyed`), and from the links. So it makes no difference whether this process began the rotation, was restarted
in the middle of it, or learns of one that another server began. A VM is changed over in this order: a line for the new
key is added over the link that the old one opened; a new sign-in with the new key alone shows that it works; over that
one the old line goes. Wherever that breaks off, one of the two keys opens the guest, and the next sign-in tells which.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from weakref import ref

import structlog
from msgspec import Struct

from roadstead.act.audit import Audit
from roadstead.act.guests.links import Links
from roadstead.act.guests.ssh_ways import SshWays
from roadstead.act.keys.change import KeyChange
from roadstead.act.keys.keyed import Opening
from roadstead.act.keys.pair import KeyPair
from roadstead.act.memory import Memories
from roadstead.act.pools.pool import PoolKeeper
from roadstead.act.pools.pools import Pools
from roadstead.artifacts import key_faults, key_lines
from roadstead.artifacts.key_lines import Answer, Step
from roadstead.errors import ConflictError, LinkError, PoolError
from roadstead.kit import tasks
from roadstead.kit.backoff import Backoff
from roadstead.kit.turns import Turns
from roadstead.kit.workers import Workers
from roadstead.model import PoolId, Snapshot, Vm, VmId
from roadstead.peers.links.keys import PoolKey
from roadstead.peers.links.ssh import SshLink
from roadstead.plan import rotation
from roadstead.plan.origins import KEY_PROBLEMS
from roadstead.plan.rotation import Evidence, State
from roadstead.settings.schema import Settings

log = structlog.get_logger()
GUESTS_AT_ONCE = 4
POOLS_AT_ONCE = 16
"""So many pools are looked at side by side: a pool that is slow holds up no other."""
COMMAND_SECONDS = 20.0
_STUCK: dict[Answer, str] = {
    Answer.NO_COMMAND: "its key may run no command",
    Answer.ABSENT: "its user can read no file that holds the old line",
    **{answer: fault.reason for answer, fault in key_faults.FAULTS.items()},
    Answer.FULL: "its disk has no room for the changed file",
    Answer.FAILED: "its tools failed",
}
_NOT_TAKEN = "its line was added, but its SSH server does not take the new key"


class RotatedVm(Struct, frozen=True, kw_only=True):
    """A managed VM during a rotation."""

    id: VmId
    name: str
    state: str
    """``done``, ``waiting``, ``needs-preparing``, ``unreachable`` or ``off``."""
    reason: str = ""
    """Why it needs preparing, in plain words, or the code of the problem that keeps it from being reached."""
    needs_old: bool = False
    """Whether it would be lost without the old key."""


class Rotation(Struct, frozen=True, kw_only=True):
    """How the rotation of a pool's key stands; ``fingerprint`` is the key's, ``old_fingerprint`` that of the one which
    is being replaced (empty when there is no rotation).
    """

    pool: PoolId
    state: str
    """``none`` or ``rotating``."""
    fingerprint: str
    old_fingerprint: str = ""
    vms: list[RotatedVm] = []


@dataclass(slots=True)
class _Stuck:
    """A VM of ``pool`` whose line could not be changed: ``link`` is the one over which that was tried last."""

    pool: PoolId
    pace: Backoff
    link: "ref[SshLink] | None" = None
    reason: str = ""
    until: float = 0.0

    def is_of(self, link: SshLink) -> bool:
        """Whether it was tried over ``link``; one that ended is not held."""
        return self.link is not None and self.link() is link


class Rotations:
    """All pools' rotations. Commands raise `NotFoundError` ``no-such-pool`` and `PeerError`."""

    def __init__(
        self,
        snapshot: Snapshot,
        pools: Pools,
        links: Links,
        ways: SshWays,
        memories: Memories,
        audit: Audit,
        settings: Settings,
    ) -> None:
        self._snapshot = snapshot
        self._pools = pools
        self._links = links
        self._ways = ways
        self._memories = memories
        self._audit = audit
        self._settings = settings
        self._workers: Workers[VmId] = Workers("key change", self._work, count=GUESTS_AT_ONCE, pace=self._pace)
        self._looks: Workers[PoolId] = Workers("rotation", self._look, count=POOLS_AT_ONCE, pace=self._look_pace)
        self._stuck: dict[VmId, _Stuck] = {}
        self._rotating: set[PoolId] = set()
        self._broken_off: set[PoolId] = set()
        self._refusing: set[PoolId] = set()
        """Pools that did not let their old key be destroyed, which was said."""
        self._turns: Turns[PoolId] = Turns()

    async def run(self) -> None:
        """Look after rotations until cancelled."""
        async with asyncio.TaskGroup() as group:
            tasks.spawn(group, self._workers.run(), "key changes")
            tasks.spawn(group, self._looks.run(), "looks at rotations")
            while True:
                for pool in self._rotating | self._pools.keepers.keys():
                    self._looks.add(pool)
                await asyncio.sleep(self._settings.pool.rotation_seconds)

    def _pace(self) -> Backoff:
        return Backoff(self._settings.link.retry_first_seconds, self._settings.link.retry_limit_seconds)

    def _look_pace(self) -> Backoff:
        """After a look that a pool or its key did not allow, which is told elsewhere."""
        return Backoff(self._settings.pool.rotation_seconds, self._settings.pool.rotation_seconds, jitter=0.0)

    def consider(self, vm_id: VmId) -> None:
        """``vm_id`` changed: it may be its turn. Never waits."""
        vm = self._snapshot.vms.get(vm_id)
        if vm is None:
            self._stuck.pop(vm_id, None)
        elif vm.pool in self._rotating and rotation.concerns(vm):
            self._workers.add(vm_id)

    # ---- commands

    async def begin(self, pool: PoolId) -> Rotation:
        """Make a second key for the pool, unless there is one, and change its guests over; answers at once."""
        with self._audit.of("pool key rotate", pool):
            keeper = self._pools.keeper(pool)
            async with self._turns.of(pool):
                await self._change(keeper).begin()
            self._rotating.add(pool)
            for vm in self._managed(pool):
                self._stuck.pop(vm.id, None)
                self._workers.add(vm.id)
        return await self.state(pool)

    async def drop(self, pool: PoolId, vms: Iterable[VmId]) -> Rotation:
        """Retire the old key although ``vms``, which the operator was told of, are lost by that.

        Raises `ConflictError` ``no-rotation``, or ``rotation-moved`` when other VMs than these need it by now.
        """
        with self._audit.of("pool key rotate --drop", pool):
            keeper = self._pools.keeper(pool)
            now = await self.state(pool)
            if not now.old_fingerprint:
                raise ConflictError("no-rotation", pool=keeper.record.name)
            lost = {vm.id: vm.name for vm in now.vms if vm.needs_old}
            if set(lost) != set(vms):
                raise ConflictError("rotation-moved", pool=keeper.record.name, vms=", ".join(lost.values()) or "none")
            await self._retire(keeper)
        for vm in lost:
            self._links.reconnect(vm)
        return await self.state(pool)

    async def state(self, pool: PoolId) -> Rotation:
        """Tell how the pool's rotation stands."""
        pair = await self._pools.keeper(pool).keys.pair()
        return Rotation(
            pool=pool,
            state="rotating" if pair.former else "none",
            fingerprint=pair.fingerprint,
            old_fingerprint=pair.former_fingerprint,
            vms=[self._told(vm, pair) for vm in self._managed(pool)] if pair.former else [],
        )

    # ---- one look at a pool

    async def _look(self, pool: PoolId) -> None:
        keeper = self._pools.keepers.get(pool)
        if keeper is None:
            self._ended(pool)
        elif keeper.record.live:
            await self._look_at(keeper)

    async def _look_at(self, keeper: PoolKeeper) -> None:
        change = self._change(keeper)
        if not await change.is_begun():
            if keeper.id in self._rotating:
                keeper.keys.changed()
                self._ended(keeper.id)
            return
        async with self._turns.of(keeper.id):
            await self._repair(keeper, change)
        pair = await keeper.keys.pair()
        if not pair.former:
            keeper.keys.changed()
            return
        self._rotating.add(keeper.id)
        managed = self._managed(keeper.id)
        if not any(rotation.is_held_up(vm, self._evidence(vm, pair)) for vm in managed):
            await self._retire_unasked(keeper)
            return
        for vm in managed:
            self._workers.add(vm.id)

    def _ended(self, pool: PoolId) -> None:
        """The pool rotates no more, whoever saw to that: what was noted for it goes."""
        for held in (self._rotating, self._broken_off, self._refusing):
            held.discard(pool)
        self._stuck = {vm: stuck for vm, stuck in self._stuck.items() if stuck.pool != pool}

    async def _repair(self, keeper: PoolKeeper, change: KeyChange) -> None:
        """Go on with what somebody else broke off: when it was so at two looks, nobody is about it any more."""
        if not await change.is_broken_off():
            self._broken_off.discard(keeper.id)
        elif keeper.id in self._broken_off:
            await change.resume()
            self._broken_off.discard(keeper.id)
        else:
            self._broken_off.add(keeper.id)

    async def _retire_unasked(self, keeper: PoolKeeper) -> None:
        """Retire the old key, or say once that the pool does not let us: it is tried again at each look."""
        try:
            await self._retire(keeper)
        except PoolError as error:
            if keeper.id not in self._refusing:
                self._refusing.add(keeper.id)
                log.warning("pool key not retired yet", pool=keeper.id, problem=error.code, reason=str(error))
            raise

    async def _retire(self, keeper: PoolKeeper) -> None:
        """Destroy the old key. Where its line was not removed, it stays known: whoever has a copy gets in there. Only
        that it was done is noted: who asked for it in vain is told, and our own tries would push everything else out of
        the audit.
        """
        async with self._turns.of(keeper.id):
            old = (await keeper.keys.pair()).former_fingerprint
            await self._change(keeper).retire()
        self._audit.note("pool key retire", keeper.id)
        self._ended(keeper.id)
        log.info("pool key retired", pool=keeper.id, name=keeper.record.name, key=old)

    # ---- one guest

    async def _work(self, vm_id: VmId) -> None:
        vm = self._snapshot.vms.get(vm_id)
        keeper = self._pools.keepers.get(vm.pool) if vm is not None else None
        link = self._links.way(vm_id)
        if vm is None or keeper is None or not rotation.concerns(vm) or not isinstance(link, SshLink):
            return
        pair = await keeper.keys.pair()
        evidence = self._evidence(vm, pair)
        stuck = self._stuck.get(vm_id)
        is_early = stuck is not None and stuck.is_of(link) and _now() < stuck.until
        if not pair.former or is_early or (evidence.new_opens and not evidence.old_opens):
            return
        if evidence.new_opens:
            await self._clean(vm, link, pair)
        else:
            await self._change_over(vm, link, pair)
        self._looks.add(vm.pool)

    async def _change_over(self, vm: Vm, link: SshLink, pair: KeyPair) -> None:
        """Add the new line, see that it works, remove the old one. Raises `PeerError`: then it is tried again."""
        command = key_lines.command(pair.former, pair.public, Step.ADD)
        answer = key_lines.answer(await link.run(command, COMMAND_SECONDS))
        # Also where nothing could be added: somebody may have done it.
        fresh = await self._signed_in(vm, link, pair.private[0])
        if fresh is None:
            self._is_stuck(vm, link, _STUCK.get(answer, _NOT_TAKEN))
            return
        try:
            self._memories.keyed.opens(Opening(vm.pool, vm.id, pair.fingerprint))
            self._memories.keep_soon()
            self._audit.note("pool key changed over", vm.id)
            await self._clean(vm, fresh, pair)
        finally:
            fresh.close()

    async def _clean(self, vm: Vm, link: SshLink, pair: KeyPair) -> None:
        """Remove the old line, which the new key may be allowed to do. Where that came to nothing, a sign-in with the
        old key tells whether it was removed before.
        """
        command = key_lines.command(pair.former, pair.public, Step.REMOVE)
        answer = key_lines.answer(await link.run(command, COMMAND_SECONDS))
        if answer.is_done or not await self._opens(vm, link, pair.private[1]):
            self._stuck.pop(vm.id, None)
            self._memories.keyed.closes(Opening(vm.pool, vm.id, pair.former_fingerprint))
            self._memories.keep_soon()
        else:
            self._is_stuck(vm, link, _STUCK.get(answer, _NOT_TAKEN))

    async def _opens(self, vm: Vm, link: SshLink, key: PoolKey) -> bool:
        """Whether ``key`` alone opens ``vm``."""
        signed_in = await self._signed_in(vm, link, key)
        if signed_in is not None:
            signed_in.close()
        return signed_in is not None

    async def _signed_in(self, vm: Vm, link: SshLink, key: PoolKey) -> SshLink | None:
        """Sign in with ``key`` alone; None when it is refused."""
        try:
            return await self._ways.verify(vm.id, link, key)
        except LinkError as error:
            if error.code == "key-rejected":
                return None
            raise

    def _is_stuck(self, vm: Vm, link: SshLink, reason: str) -> None:
        settings = self._settings.link
        stuck = self._stuck.setdefault(
            vm.id, _Stuck(vm.pool, Backoff(settings.refusal_first_seconds, settings.refusal_limit_seconds))
        )
        stuck.link, stuck.reason, stuck.until = ref(link), reason, _now() + stuck.pace.delay()

    # ---- pieces

    def _change(self, keeper: PoolKeeper) -> KeyChange:
        return KeyChange(keeper.client, keeper.id, keeper.keys)

    def _managed(self, pool: PoolId) -> list[Vm]:
        vms = (vm for vm in self._snapshot.vms.values() if vm.pool == pool and rotation.concerns(vm))
        return sorted(vms, key=lambda vm: vm.name)

    def _evidence(self, vm: Vm, pair: KeyPair) -> Evidence:
        keys = {opening.key for opening in self._memories.keyed.of(vm.id) if opening.pool == vm.pool}
        return Evidence(pair.fingerprint in keys, pair.former_fingerprint in keys, vm.id in self._stuck)

    def _told(self, vm: Vm, pair: KeyPair) -> RotatedVm:
        evidence = self._evidence(vm, pair)
        state = rotation.state(vm, evidence)
        needs_old, reason = rotation.needs_old(vm, evidence), self._reason(vm, state, evidence)
        return RotatedVm(id=vm.id, name=vm.name, state=state.value, reason=reason, needs_old=needs_old)

    def _reason(self, vm: Vm, state: State, evidence: Evidence) -> str:
        problem = rotation.problem(vm)
        if state is State.UNREACHABLE or (state is State.NEEDS_PREPARING and problem in KEY_PROBLEMS):
            return problem
        if state is State.NEEDS_PREPARING:
            return self._stuck[vm.id].reason
        if state is State.WAITING and evidence.new_opens:
            return "its old line is being removed"
        return "its old line may still be there" if state is State.DONE and evidence.old_opens else ""


def _now() -> float:
    return asyncio.get_running_loop().time()
