"""What every kind of link to a guest of a pool stands on: what is known of the guest, and what all links share."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from roadstead.act.guests.sign_ins import SignIns
from roadstead.act.guests.walks import Walk
from roadstead.act.memory import Memories
from roadstead.act.pools.barred import barring
from roadstead.act.pools.pool import PoolKeeper
from roadstead.errors import LinkError
from roadstead.kit import clocks
from roadstead.model import PathStep, PoolId, Snapshot, Vm, VmId
from roadstead.peers.links import dialing
from roadstead.peers.links.dialing import Gates
from roadstead.plan import links
from roadstead.plan.access import Defaults
from roadstead.plan.addresses import Rules
from roadstead.settings.schema import LinkSettings


@dataclass(frozen=True, slots=True)
class Grounds:
    """One record for all kinds."""

    snapshot: Snapshot
    pools: Mapping[PoolId, PoolKeeper]
    rules: Callable[[PoolId], Rules]
    """What the operator allows of a pool's addresses."""
    memories: Memories
    settings: LinkSettings
    gates: Gates
    sign_ins: SignIns
    pool_name: Callable[[PoolId], str] = str
    """What a pool is called, which may be known no more."""

    def found(self, vm_id: VmId) -> tuple[Vm, PoolKeeper]:
        """Return a VM and the keeper of its pool. Raises `LinkError` ``link-lost`` when one of them has gone."""
        vm = self.snapshot.vms.get(vm_id)
        keeper = self.pools.get(vm.pool) if vm is not None else None
        if vm is None or keeper is None:
            raise LinkError("link-lost", vm=vm_id)
        return vm, keeper

    @property
    def defaults(self) -> Defaults:
        """What holds for a VM that says nothing."""
        return Defaults(self.settings.user, self.settings.engine_socket)

    def circumstances(self, vm: Vm, keeper: PoolKeeper) -> links.Circumstances:
        """Return what planning a link to ``vm`` needs to know."""
        return links.Circumstances(
            defaults=self.defaults,
            rules=barring(self.rules(vm.pool), keeper, [vm], self.settings.addresses),
            memory=self.memories.of(vm),
            winner=self.memories.winner(vm.id),
            now=clocks.now(),
            boot_seconds=self.settings.boot_seconds,
        )

    async def walk_to(self, vm: VmId, addresses: Sequence[str], walk: Walk) -> None:
        """Ask for the routes to ``addresses``, then wait until a sign-in to ``vm`` is polite. That one address has no
        route is told when it is called; here only what all have in common counts. Raises `LinkError` ``unreachable``.
        """
        found: list[str] = []
        for address in addresses:
            with suppress(LinkError):
                found.append(dialing.route(address))
        if not found:
            dialing.route(addresses[0])
        walk.ok(PathStep.ROUTE, f"from {', '.join(dict.fromkeys(found))}")
        await self.sign_ins.turn(vm)
        walk.calls(addresses)
