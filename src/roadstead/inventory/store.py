"""The one writer of the inventory.

`Store.apply` takes a fact and returns the changes that follow from it. It is pure and never waits, so whoever reads
the store between two awaits sees one consistent state. Guarantees: order is kept per object and none is promised
between objects; change numbers have no gaps; a fact that alters nothing gives no change.

What is joined: a VM carries the names of its pool and host, its link and its engine; a container carries its VM's
name and place. A container becomes stale when its VM's link stops being live, and is current again only when it is
seen again: a link that comes back proves nothing about what was running before.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from roadstead.inventory.changes import Change, Shown
from roadstead.inventory.claims import Claims
from roadstead.model import (
    Container,
    ContainerId,
    Engine,
    Fact,
    Gone,
    Host,
    HostId,
    Link,
    LinkState,
    Listed,
    Pool,
    PoolId,
    Seen,
    Vm,
    VmId,
    canonical,
    config_keys,
    split_container_id,
)

_NOBODY: frozenset[VmId] = frozenset()


class Index:
    """Which running VMs have a value: an address they announce, a host key that is remembered for them."""

    def __init__(self) -> None:
        self._owners: defaultdict[str, set[VmId]] = defaultdict(set)

    def move(self, vm: VmId, old: Iterable[str], new: Iterable[str]) -> None:
        """``vm`` had the values ``old`` and now has ``new``."""
        for value in old:
            self._owners[value].discard(vm)
            if not self._owners[value]:
                del self._owners[value]
        for value in new:
            self._owners[value].add(vm)

    def owners(self, value: str) -> Set[VmId]:
        """The VMs that have ``value``."""
        return self._owners.get(value, _NOBODY)


class Store:
    """Everything known, in memory; ``first_number`` is where its numbering begins."""

    def __init__(self, first_number: int = 0) -> None:
        self._number = first_number
        self._pools: dict[PoolId, Pool] = {}
        self._hosts: dict[HostId, Host] = {}
        self._vms: dict[VmId, Vm] = {}
        self._containers: dict[VmId, dict[ContainerId, Container]] = {}
        self._addresses = Index()
        self._pins = Index()
        self._vm_claims = Claims[Vm](
            self._pools, lambda id: self._vms.get(VmId(id)), self._show_vm, lambda id: self._drop_vm(VmId(id))
        )
        self._host_claims = Claims[Host](
            self._pools, lambda id: self._hosts.get(HostId(id)), self._show_host, lambda id: self._drop_host(HostId(id))
        )
        self._changes: list[Change] = []

    # ---- reading

    @property
    def number(self) -> int:
        """Number of the last change."""
        return self._number

    @property
    def pools(self) -> Mapping[PoolId, Pool]:
        """All pools by id."""
        return self._pools

    @property
    def hosts(self) -> Mapping[HostId, Host]:
        """All hosts by id."""
        return self._hosts

    @property
    def vms(self) -> Mapping[VmId, Vm]:
        """All VMs by id, managed or not."""
        return self._vms

    def containers_of(self, vm: VmId) -> Mapping[ContainerId, Container]:
        """The containers of one VM by id; empty for an unknown VM."""
        return self._containers.get(vm, {})

    def containers(self) -> Iterator[Container]:
        """All containers of all VMs."""
        for of_one in self._containers.values():
            yield from of_one.values()

    def container(self, container: ContainerId) -> Container | None:
        """The container of this id, or None."""
        return self.containers_of(split_container_id(container)[0]).get(container)

    def claimants(self, address: str) -> Set[VmId]:
        """The running VMs that announce ``address`` (canonical spelling)."""
        return self._addresses.owners(address)

    def pinned(self, host_key: str) -> Set[VmId]:
        """The running VMs for which ``host_key`` (base64 blob) is remembered in their pool."""
        return self._pins.owners(host_key)

    def statistics(self) -> dict[str, int]:
        """How much is known."""
        return {
            "pools": len(self._pools),
            "hosts": len(self._hosts),
            "vms": len(self._vms),
            "containers": sum(map(len, self._containers.values())),
            "number": self._number,
        }

    # ---- writing

    def apply(self, *facts: Fact) -> list[Change]:
        """Take in ``facts``, in order, and return the changes that follow from them."""
        for fact in facts:
            match fact:
                case Seen(record):
                    self._seen(record)
                case Gone(kind, id, pool):
                    self._gone(kind, id, pool)
                case Listed():
                    self._listed(fact)
        changes, self._changes = self._changes, []
        return changes

    def _seen(self, record: Any) -> None:
        match record:
            case Container():
                self._seen_container(record)
            case Link():
                self._seen_link(record)
            case Engine():
                self._join_vm(record.vm, engine=record)
            case Vm():
                self._vm_claims.seen(record)
            case Host():
                self._host_claims.seen(record)
            case Pool():
                self._seen_pool(record)

    def _seen_pool(self, pool: Pool) -> None:
        old = self._pools.get(pool.id)
        if old == pool:
            return
        self._pools[pool.id] = pool
        self._changed("pool", pool.id, pool)
        if old is None or old.name != pool.name:
            for vm in self._vms_where("pool", pool.id):
                self._join_vm(vm, pool_name=pool.name)
        if old is None or old.live != pool.live:
            self._host_claims.settle()
            self._vm_claims.settle()

    def _show_host(self, host: Host) -> None:
        old = self._hosts.get(host.id)
        if old is not None and replace(old, as_of=host.as_of) == host:
            return
        self._hosts[host.id] = host
        self._changed("host", host.id, host)
        if old is None or old.name != host.name:
            for vm in self._vms_where("host", host.id):
                self._join_vm(vm, host_name=host.name)

    def _show_vm(self, vm: Vm) -> None:
        old = self._vms.get(vm.id)
        host, pool = self._hosts.get(vm.host or HostId("")), self._pools.get(vm.pool)
        joined = replace(
            vm,
            no_address_since=_no_address_since(old, vm),
            pool_name=pool.name if pool else "",
            host_name=host.name if host else "",
            link=old.link if old else None,
            engine=old.engine if old else None,
        )
        if old is not None and replace(old, as_of=vm.as_of) == joined:
            return
        self._put_vm(joined)
        if old is not None and old.enabled and not vm.enabled:
            self._forget_guest(vm.id)

    def _seen_link(self, link: Link) -> None:
        vm = self._vms.get(link.vm)
        if vm is None or vm.link == link:
            return
        self._put_vm(replace(vm, link=link))

    def _seen_container(self, container: Container) -> None:
        vm = self._vms.get(container.vm)
        if vm is None or not vm.enabled:
            return
        container = replace(container, vm_name=vm.name, pool=vm.pool, host=vm.host, stale=False, problem="")
        of_vm = self._containers.setdefault(vm.id, {})
        old = of_vm.get(container.id)
        of_vm[container.id] = container
        if old is None or replace(old, as_of=container.as_of, status=container.status) != container:
            self._changed("container", container.id, container)

    def _gone(self, kind: str, id: str, pool: PoolId | None) -> None:
        match kind:
            case "container":
                self._drop_container(ContainerId(id))
            case "vm":
                self._vm_claims.gone(id, pool)
            case "host":
                self._host_claims.gone(id, pool)
            case "pool":
                self._drop_pool(PoolId(id))

    def _listed(self, listed: Listed) -> None:
        owner = listed.scope.owner
        match listed.scope.kind:
            case "vm":
                self._vm_claims.listed(PoolId(owner), [*self._vms_where("pool", owner)], listed.ids)
            case "host":
                self._host_claims.listed(PoolId(owner), [*self._hosts_of(owner)], listed.ids)
            case _:
                for id in [id for id in self.containers_of(VmId(owner)) if id not in listed.ids]:
                    self._drop_container(id)

    # ---- pieces

    def _put_vm(self, vm: Vm) -> None:
        """Replace a VM's record and carry what changed over to its containers and to the indexes."""
        old = self._vms.get(vm.id)
        self._vms[vm.id] = vm
        self._addresses.move(vm.id, _claimed(old), _claimed(vm))
        self._pins.move(vm.id, _pinned(old), _pinned(vm))
        self._changed("vm", vm.id, vm)
        if old is not None:
            self._carry_over(old, vm)

    def _carry_over(self, old: Vm, vm: Vm) -> None:
        moved = (old.name, old.pool, old.host) != (vm.name, vm.pool, vm.host)
        lost = vm.link is not None and not _is_live(vm)
        if not moved and not lost:
            return
        for container in list(self.containers_of(vm.id).values()):
            self._rejoin(container, vm, lost=lost)

    def _rejoin(self, container: Container, vm: Vm, *, lost: bool) -> None:
        fresh = replace(container, vm_name=vm.name, pool=vm.pool, host=vm.host)
        if lost and vm.link is not None:
            known = container.as_of if container.stale else vm.link.heard or container.as_of
            fresh = replace(fresh, stale=True, as_of=known, problem=_trouble(vm))
        if fresh != container:
            self._containers[vm.id][container.id] = fresh
            self._changed("container", container.id, fresh)

    def _join_vm(self, vm_id: VmId, **fields: Any) -> None:
        vm = self._vms.get(vm_id)
        if vm is None:
            return
        joined = replace(vm, **fields)
        if joined != vm:
            self._put_vm(joined)

    def _forget_guest(self, vm: VmId) -> None:
        for container in list(self.containers_of(vm)):
            self._drop_container(container)
        self._containers.pop(vm, None)
        self._join_vm(vm, engine=None, link=None)

    def _drop_container(self, container: ContainerId) -> None:
        of_vm = self._containers.get(split_container_id(container)[0], {})
        if of_vm.pop(container, None) is not None:
            self._changed("container", container, None)

    def _drop_vm(self, vm_id: VmId) -> None:
        vm = self._vms.get(vm_id)
        if vm is None:
            return
        for container in list(self.containers_of(vm_id)):
            self._drop_container(container)
        self._containers.pop(vm_id, None)
        self._addresses.move(vm_id, _claimed(vm), ())
        self._pins.move(vm_id, _pinned(vm), ())
        del self._vms[vm_id]
        self._changed("vm", vm_id, None)

    def _drop_host(self, host: HostId) -> None:
        if self._hosts.pop(host, None):
            self._changed("host", host, None)
            for vm in self._vms_where("host", host):
                self._join_vm(vm, host_name="")

    def _drop_pool(self, pool: PoolId) -> None:
        self._vm_claims.listed(pool, [*self._vms_where("pool", pool)], frozenset())
        self._host_claims.listed(pool, [*self._hosts_of(pool)], frozenset())
        if self._pools.pop(pool, None):
            self._changed("pool", pool, None)

    def _vms_where(self, field: str, value: str) -> list[VmId]:
        return [vm.id for vm in self._vms.values() if getattr(vm, field) == value]

    def _hosts_of(self, pool: str) -> list[HostId]:
        return [host.id for host in self._hosts.values() if host.pool == pool]

    def _changed(self, kind: Any, id: str, record: Shown | None) -> None:
        self._number += 1
        self._changes.append(Change(self._number, kind, id, "gone" if record is None else "set", record))


def _no_address_since(old: Vm | None, vm: Vm) -> datetime | None:
    if not vm.running or vm.addresses:
        return None
    known = old.no_address_since if old is not None else None
    # One that we see for the first time may have run for long.
    return known or (min(vm.started, vm.as_of) if old is None and vm.started is not None else vm.as_of)


def _claimed(vm: Vm | None) -> set[str]:
    if vm is None or not vm.running:
        return set()
    return {address for text in vm.addresses if (address := canonical(text))}


def _pinned(vm: Vm | None) -> set[str]:
    pin = vm.settings.get(config_keys.HOST_KEY) if vm is not None and vm.running else None
    return {pin} if pin else set()


def _is_live(vm: Vm) -> bool:
    return vm.link is not None and vm.link.state is LinkState.LIVE


def _trouble(vm: Vm) -> str:
    return vm.link.problem.code if vm.link is not None and vm.link.problem is not None else ""
