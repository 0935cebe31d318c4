"""What readers see of the inventory besides its records: how a VM stands, counts, and the tree of a pool.

Pure: everything is worked out of one store between two awaits, so it is consistent. What is stale is never counted as
running.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from roadstead.model import (
    Container,
    ContainerId,
    Engine,
    Host,
    HostId,
    Link,
    LinkState,
    Pool,
    PoolId,
    PowerState,
    Problem,
    Snapshot,
    Vm,
    VmId,
)

RUNNING = "running"
_NOTHING: Mapping[ContainerId, Container] = {}


class Counts(Struct, frozen=True, gc=False):
    """How many containers there are, and of them how many run and how many are stale (and so count as nothing)."""

    total: int = 0
    running: int = 0
    stale: int = 0


class VmShown(Struct, frozen=True, kw_only=True, gc=False):
    """A VM's record, and how the VM stands with us."""

    id: VmId
    pool: PoolId
    name: str
    host: HostId | None = None
    power: PowerState = PowerState.UNKNOWN
    addresses: tuple[str, ...] = ()
    has_tools: bool = True
    """Whether its guest tools have said anything since it was started; counts only while it runs."""
    started: datetime | None = None
    tags: tuple[str, ...] = ()
    settings: dict[str, str] = {}
    as_of: datetime
    no_address_since: datetime | None = None
    pool_name: str = ""
    host_name: str = ""
    link: Link | None = None
    engine: Engine | None = None
    enabled: bool = False
    """Whether container management is enabled."""
    state: LinkState = LinkState.UNMANAGED
    stale: bool = False
    """Whether what is shown of its containers is only what was last known."""
    problem: Problem | None = None
    """Why it cannot be watched, or not fully."""
    address: str = ""
    """The address that its link uses, or used last."""


class VmView(VmShown, frozen=True, kw_only=True, gc=False):
    """A VM in a list of VMs."""

    containers: Counts = Counts()


class VmBranch(VmShown, frozen=True, kw_only=True, gc=False):
    """A VM in the tree."""

    counts: Counts = Counts()
    containers: tuple[Container, ...] = ()


class PoolCounts(Struct, frozen=True, gc=False):
    """How many VMs a pool has, how many of them are managed, and how many of their containers run."""

    vms: int = 0
    managed: int = 0
    running: int = 0


class HostBranch(Host, frozen=True, kw_only=True, gc=False):
    """A host in the tree, with the VMs that run on it."""

    vms: tuple[VmBranch, ...] = ()


class PoolBranch(Pool, frozen=True, kw_only=True, gc=False):
    """A pool in the tree, with its hosts, and under ``vms`` the VMs that are on none of them."""

    hosts: tuple[HostBranch, ...] = ()
    vms: tuple[VmBranch, ...] = ()


_VM_FIELDS = Vm.__struct_fields__


class Moment:
    """A copy of what an inventory holds now, for an answer that takes several turns of the loop to write.

    Only the tables are copied, for the records never change.
    """

    def __init__(self, inventory: Snapshot) -> None:
        self.pools = dict(inventory.pools)
        self.hosts = dict(inventory.hosts)
        self.vms = dict(inventory.vms)
        self._containers = {vm: dict(held) for vm in self.vms if (held := inventory.containers_of(vm))}

    def containers_of(self, vm: VmId) -> Mapping[ContainerId, Container]:
        """The containers of one VM by id."""
        return self._containers.get(vm, _NOTHING)


# ---- how a VM stands


def vm_state(vm: Vm) -> LinkState:
    """Return how ``vm`` stands with us; a live link counts for more than what the pool says of the VM's power."""
    if not vm.enabled:
        return LinkState.UNMANAGED
    state = vm.link.state if vm.link is not None else LinkState.CONNECTING
    if state is LinkState.LIVE:
        return state
    if not vm.running:
        return LinkState.OFF
    return state if state is LinkState.BROKEN else LinkState.CONNECTING


def is_stale(vm: Vm) -> bool:
    """Whether ``vm`` is managed but not being heard, so that its containers are shown as last known."""
    return vm.enabled and vm_state(vm) is not LinkState.LIVE


def vm_problem(vm: Vm) -> Problem | None:
    """Return what stands in the way of watching ``vm``. A VM that is off has no problem; one that is not managed has
    one only when it may be meant to be.
    """
    state = vm_state(vm)
    if vm.link is None or state is LinkState.OFF:
        return None
    if state is LinkState.UNMANAGED and vm.link.state is not LinkState.UNMANAGED:
        return None
    return vm.link.problem


def vm_view(vm: Vm, containers: Collection[Container]) -> VmView:
    """Return ``vm`` as readers see it; ``containers`` are all of its containers."""
    return VmView(**_shown(vm), containers=counts(containers))


def vm_shown(vm: Vm) -> VmShown:
    """Return ``vm`` as readers see it, without its containers."""
    return VmShown(**_shown(vm))


def _shown(vm: Vm) -> dict[str, Any]:
    return {field: getattr(vm, field) for field in _VM_FIELDS} | {
        "enabled": vm.enabled,
        "state": vm_state(vm),
        "stale": is_stale(vm),
        "problem": vm_problem(vm),
        "address": vm.link.address if vm.link is not None else "",
    }


# ---- counts


def counts(containers: Collection[Container]) -> Counts:
    """Count ``containers``."""
    running = stale = 0
    for container in containers:
        if container.stale:
            stale += 1
        elif container.state == RUNNING:
            running += 1
    return Counts(len(containers), running, stale)


def pool_counts(inventory: Snapshot) -> dict[PoolId, PoolCounts]:
    """Count the VMs and running containers of every pool."""
    vms: defaultdict[PoolId, int] = defaultdict(int)
    managed: defaultdict[PoolId, int] = defaultdict(int)
    running: defaultdict[PoolId, int] = defaultdict(int)
    for vm in inventory.vms.values():
        vms[vm.pool] += 1
        managed[vm.pool] += vm.enabled
        running[vm.pool] += counts(inventory.containers_of(vm.id).values()).running
    return {pool: PoolCounts(vms[pool], managed[pool], running[pool]) for pool in {*inventory.pools, *vms}}


# ---- the tree


class Tree:
    """Pool, host, VM, container: one consistent picture, taken when it is made and handed out piece by piece."""

    def __init__(self, inventory: Snapshot) -> None:
        self.pools: tuple[Pool, ...] = tuple(sorted(inventory.pools.values(), key=_by_name))
        self._hosts: defaultdict[PoolId, list[Host]] = defaultdict(list)
        self._vms: defaultdict[tuple[PoolId, HostId | None], list[Vm]] = defaultdict(list)
        self._moment = Moment(inventory)
        for host in sorted(inventory.hosts.values(), key=_by_name):
            self._hosts[host.pool].append(host)
        for vm in sorted(inventory.vms.values(), key=_by_name):
            self._vms[vm.pool, vm.host if vm.host in inventory.hosts else None].append(vm)

    def hosts(self, pool: PoolId) -> Iterable[Host]:
        """The hosts of ``pool``, by name."""
        return self._hosts.get(pool, ())

    def vms(self, pool: PoolId, host: HostId | None) -> Iterator[VmBranch]:
        """The VMs of ``pool`` on ``host`` (None: on no host that is known), by name, with their containers."""
        for vm in self._vms.get((pool, host), ()):
            containers = self._moment.containers_of(vm.id).values()
            ordered = tuple(sorted(containers, key=_by_name))
            yield VmBranch(**_shown(vm), counts=counts(containers), containers=ordered)


def _by_name(record: Pool | Host | Vm | Container) -> tuple[str, str]:
    return record.name.casefold(), record.id
