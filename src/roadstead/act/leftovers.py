"""Takes away what VMs leave behind when they are gone: their secrets in the pool, and what is remembered of them here.

It asks what *is* (which secrets carry the mark of a VM that no pool has), so it makes no difference when a VM went:
just now, in an outage, or while nobody ran. What an object of the pool still names stays: snapshots, templates and
clones carry the keys of their original. Only the old pack's secrets have no mark; of these the ones are known that a
VM's keys named while we saw it.

Secrets of a pool's own and of VMs that live (private keys among them) are left behind where a server ended, or a pool
failed, between making one and naming it. They are found in the same way.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from roadstead.act.drives import drive_leftovers
from roadstead.act.memory import Memories
from roadstead.act.pools.pool import PoolKeeper
from roadstead.errors import PoolError
from roadstead.kit.backoff import Backoff
from roadstead.kit.workers import Workers
from roadstead.model import LOCAL_POOL, PoolId, Snapshot, VmId
from roadstead.peers.xapi.client import XapiClient
from roadstead.peers.xapi.messages import string, string_map
from roadstead.plan import secrets
from roadstead.settings.schema import PoolSettings

log = structlog.get_logger()

WORKERS = 2
RETRY_SECONDS = 60.0
AGAIN_SECONDS = 3600.0
"""When a pool is looked at again: nothing tells us when a snapshot goes, or whether a secret was named at last."""
NAMELESS_SECONDS = 3000.0
"""How long no key must have named a secret before it goes: whoever made it may be about to name it.
It is less than `AGAIN_SECONDS`, so that the next look takes it.
"""


@dataclass(frozen=True, slots=True)
class _Home:
    """Where a VM was seen last, and which secrets its keys named there."""

    pool: PoolId
    named: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Held:
    """A secret of a pool, of which the value was not read."""

    uuid: str
    ref: str
    marks: Mapping[str, str]


class Leftovers:
    """Looks after what gone VMs leave behind, a while (setting ``collect_seconds``) after they went, and after each
    start. ``forget`` lets go of what is held of a VM only while this process runs.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        keepers: Mapping[PoolId, PoolKeeper],
        memories: Memories,
        forget: Callable[[VmId], None],
        settings: PoolSettings,
    ) -> None:
        self._snapshot = snapshot
        self._keepers = keepers
        self._memories = memories
        self._forget = forget
        self._delay = settings.collect_seconds
        self._keyed_days = settings.keyed_days
        self._homes: dict[VmId, _Home] = {}
        self._unmarked: defaultdict[PoolId, set[str]] = defaultdict(set)
        """Secrets that keys of gone VMs named: among them may be the old pack's."""
        self._nameless: dict[PoolId, dict[str, float]] = {}
        """Since when (the loop's clock) secrets of each pool were seen to be named by no key of it or of their VM."""
        self._due: dict[PoolId, float] = {}
        """When each pool is looked at next (the loop's clock)."""
        self._live: set[PoolId] = set()
        self._workers: Workers[PoolId] = Workers("leftovers", self._work, count=WORKERS, pace=_pace)

    async def run(self) -> None:
        """Take away until cancelled."""
        await self._workers.run()

    def consider(self, vm_id: VmId) -> None:
        """``vm_id`` changed; never waits."""
        vm, home = self._snapshot.vms.get(vm_id), self._homes.get(vm_id)
        if home is not None and (vm is None or vm.pool != home.pool):
            self._left(vm_id, home)
        if vm is None:
            self._homes.pop(vm_id, None)
            self._memories.let_go(vm_id)
            self._forget(vm_id)
        elif vm.pool != LOCAL_POOL:
            self._homes[vm_id] = _Home(vm.pool, secrets.all_named(vm))

    def consider_pool(self, pool: PoolId) -> None:
        """``pool`` changed: when it has come to be live, VMs may have gone in the meantime; never waits."""
        record = self._snapshot.pools.get(pool)
        if record is None:
            self._unmarked.pop(pool, None)
            self._nameless.pop(pool, None)
        if record is None or not record.live:
            self._live.discard(pool)
        elif pool not in self._live:
            self._live.add(pool)
            self._ask(pool, self._delay)

    def _left(self, vm: VmId, home: _Home) -> None:
        keeper = self._keepers.get(home.pool)
        if keeper is not None:
            keeper.outputs.left(vm)
            self._unmarked[home.pool] |= home.named
        for pool in self._live:  # a VM that had moved here left its secrets there
            self._ask(pool, self._delay)

    def _ask(self, pool: PoolId, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        if due < self._due.get(pool, math.inf):
            self._due[pool] = due
            loop.call_later(seconds, self._workers.add, pool)

    async def _work(self, pool: PoolId) -> None:
        self._due.pop(pool, None)
        keeper = self._keepers.get(pool)
        if keeper is None or not keeper.record.live:
            return
        try:
            await self._sweep(keeper)
            self._ask(pool, AGAIN_SECONDS)
            if (again := await drive_leftovers.sweep(keeper.client)) is not None:
                self._ask(pool, again.total_seconds())
        except PoolError as error:
            if error.code != "pool-not-permitted":
                raise
            log.warning("what nobody needs not collected", pool=pool, problem=error.code)

    async def _sweep(self, keeper: PoolKeeper) -> None:
        """Take away what nobody needs, and what no object of the pool still names."""
        held = await self._held(keeper.client)
        known = {uuid: secret.marks for uuid, secret in held.items()}
        orphans = secrets.orphans(known, self._snapshot.vms)
        unmarked = {uuid for uuid in self._unmarked[keeper.id] if uuid in held and not secrets.is_marked(known[uuid])}
        nameless = await self._long_nameless(keeper, known)
        pins = self._memories.left_in(keeper.id, self._snapshot.vms)
        found = orphans | unmarked | nameless
        texts = {text for uuid in found for text in self._names(held[uuid])}
        texts |= {*pins, *pins.values()} - {""}
        named = await keeper.client.mentioned(texts) if texts else set()
        # Whoever came back meanwhile, or is a template by now, is not gone.
        gone = {vm for vm in pins if vm not in self._snapshot.vms and not named & {vm, pins[vm]}}
        await self._memories.forget_vms(gone)
        if all(each.record.live for each in self._keepers.values()):  # else a VM that is missed may be in one of these
            await self._memories.settle_keyed(self._snapshot.vms, self._keyed_days)
        free = {uuid for uuid in found if not named & set(self._names(held[uuid]))}
        for uuid in free - secrets.named_by_living(self._snapshot.vms.values(), keeper.id):
            if uuid in nameless or self._is_nobodys(held[uuid]):
                await self._collect(keeper, held[uuid])
        self._unmarked[keeper.id] &= unmarked - free

    async def _long_nameless(self, keeper: PoolKeeper, marks: Mapping[str, Mapping[str, str]]) -> set[str]:
        """Return which secrets of the pool's own and of living VMs no key has named for long (``marks`` of all, by
        uuid).
        """
        found = secrets.unnamed(marks, self._snapshot.vms)
        if secrets.nameless(keeper.id, marks, ()):
            config = string_map((await keeper.client.pool())[1], "other_config")
            found |= secrets.nameless(keeper.id, marks, set(config.values()))
        known, now = self._nameless.get(keeper.id, {}), asyncio.get_running_loop().time()
        self._nameless[keeper.id] = since = {uuid: known.get(uuid, now) for uuid in found}
        return {uuid for uuid in found if now >= since[uuid] + NAMELESS_SECONDS}

    async def _held(self, client: XapiClient) -> dict[str, _Held]:
        listed = await client.list_all("secret")
        found = (_Held(string(one, "uuid"), ref, string_map(one, "other_config")) for ref, one in listed.items())
        return {secret.uuid: secret for secret in found if secret.uuid}

    async def _collect(self, keeper: PoolKeeper, secret: _Held) -> None:
        if not secrets.is_marked(secret.marks):
            read = await keeper.client.read_secret(secret.uuid)
            if read is None or not secrets.is_left_by_old_pack(read.marks, read.value):
                return
        await keeper.client.destroy_secret(secret.uuid)
        vm = secrets.owner(secret.marks)
        log.info("secret that nobody needs collected", pool=keeper.id, vm=vm, secret=secret.uuid)

    def _is_nobodys(self, secret: _Held) -> bool:
        """Whether a secret was made for no VM that is there (by now: it may have come back)."""
        return secrets.owner(secret.marks) not in self._snapshot.vms

    def _names(self, secret: _Held) -> tuple[str, ...]:
        """How an object may name a secret, or show that its VM is there still where we do not see it."""
        owner = secrets.owner(secret.marks)
        return (secret.uuid, secret.ref, owner) if owner and self._is_nobodys(secret) else (secret.uuid, secret.ref)


def _pace() -> Backoff:
    return Backoff(RETRY_SECONDS, RETRY_SECONDS, jitter=0.0)
