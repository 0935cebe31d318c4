"""The store against a naive model of it that joins everything anew after each fact."""

from collections.abc import Set
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from roadstead.inventory.store import Store
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
    PowerState,
    Scope,
    Seen,
    Vm,
    VmId,
    canonical,
    container_id,
)
from tests.unit.fakes import records

POOLS, HOSTS, VMS, NUMBERS = ["p1", "p2"], ["h1", "h2"], ["v1", "v2"], [1, 2]
ADDRESSES = ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "nonsense"]
PINS = ["AAAA", "BBBB"]
NAMES = st.sampled_from(["a", "b"])
MOMENTS = st.integers(0, 100).map(records.at)
VM_SETTINGS = st.fixed_dictionaries(
    {records.MONITOR: st.sampled_from(["True", "True", "True", "False"])},
    optional={records.HOST_KEY: st.sampled_from(PINS)},
)


class Naive:
    """What the store is to know, kept as it was said; every question is answered by joining it anew."""

    def __init__(self) -> None:
        self.pools: dict[str, Pool] = {}
        self.hosts: dict[str, Host] = {}
        self.vms: dict[str, Vm] = {}
        self.links: dict[str, Link] = {}
        self.engines: dict[str, Engine] = {}
        self.containers: dict[str, Container] = {}
        self.claims: dict[str, dict[tuple[str, str], Any]] = {"vm": {}, "host": {}}
        """What pools said of VMs and hosts, by id and pool; `vms` and `hosts` are those that are shown."""

    def take(self, fact: Fact) -> None:
        """Take a fact."""
        match fact:
            case Seen(Pool() as record):
                self.pools[record.id] = record
            case Seen(Host() | Vm() as record):
                self.claims["vm" if isinstance(record, Vm) else "host"][record.id, record.pool] = record
            case Seen(Link() | Engine() | Container() as record) if record.vm in self.vms:
                self._see_guest(record)
            case Gone("container", id):
                self.containers.pop(id, None)
            case Gone("pool", id):
                self._unclaim("vm", id, set())
                self._unclaim("host", id, set())
                self.pools.pop(id, None)
            case Gone(kind, id, pool):
                self.claims[kind].pop((id, pool or ""), None)
            case Listed(Scope("container", vm), ids):
                for id in set(self._of(vm)) - ids:
                    del self.containers[id]
            case Listed(scope, ids):
                self._unclaim(scope.kind, scope.owner, ids)
        self._choose()
        self._age()

    def _unclaim(self, kind: str, pool: str, ids: Set[str]) -> None:
        """``pool`` has no other VMs or hosts than ``ids``."""
        for id, owner in list(self.claims[kind]):
            if owner == pool and id not in ids:
                del self.claims[kind][id, owner]

    def _choose(self) -> None:
        """Of each VM and host the best record is shown: of a live pool, running, of the older pool."""
        before, self.hosts, self.vms = self.vms, self._best("host"), self._best("vm")
        for id, old in before.items():
            if id not in self.vms or (old.enabled and not self.vms[id].enabled):
                self._forget_guest(id)

    def _best(self, kind: str) -> dict[str, Any]:
        ids = dict.fromkeys(id for id, _ in self.claims[kind])
        return {id: min((one for key, one in self.claims[kind].items() if key[0] == id), key=self._rank) for id in ids}

    def _rank(self, record: Any) -> tuple[Any, ...]:
        pool, known = self.pools.get(record.pool), list(self.pools)
        runs = record.power is PowerState.RUNNING if isinstance(record, Vm) else False
        place = known.index(record.pool) if pool else len(known)
        return not (pool and pool.live), not runs, place, record.pool

    def _see_guest(self, record: Link | Engine | Container) -> None:
        match record:
            case Link():
                self.links[record.vm] = record
            case Engine():
                self.engines[record.vm] = record
            case Container() if self.vms[record.vm].enabled:
                self.containers[record.id] = record

    def _of(self, vm: str) -> list[str]:
        return [id for id, container in self.containers.items() if container.vm == vm]

    def _forget_guest(self, vm: str) -> None:
        self.links.pop(vm, None)
        self.engines.pop(vm, None)
        for id in self._of(vm):
            del self.containers[id]

    def _age(self) -> None:
        """Containers of VMs that are not live are stale, since they were last known."""
        for id, container in self.containers.items():
            link = self.links.get(container.vm)
            if link is None or link.state is LinkState.LIVE:
                continue
            known = container.as_of if container.stale else link.heard or container.as_of
            code = link.problem.code if link.problem else ""
            self.containers[id] = replace(container, stale=True, as_of=known, problem=code)

    def shown_vms(self) -> dict[str, Vm]:
        """The VMs with what belongs to them."""
        return {id: self._joined(vm) for id, vm in self.vms.items()}

    def _joined(self, vm: Vm) -> Vm:
        pool, host = self.pools.get(vm.pool), self.hosts.get(vm.host or "")
        return replace(
            vm,
            pool_name=pool.name if pool else "",
            host_name=host.name if host else "",
            link=self.links.get(vm.id),
            engine=self.engines.get(vm.id),
        )

    def shown_containers(self) -> dict[str, Container]:
        """The containers with their place."""
        return {id: self._placed(container, self.vms[container.vm]) for id, container in self.containers.items()}

    @staticmethod
    def _placed(container: Container, vm: Vm) -> Container:
        return replace(container, vm_name=vm.name, pool=vm.pool, host=vm.host)

    def owners(self, address: str) -> set[str]:
        """Who claims an address."""
        running = [vm for vm in self.vms.values() if vm.running]
        return {vm.id for vm in running if address in {canonical(text) for text in vm.addresses}}

    def pinned(self, key: str) -> set[str]:
        """For whom a key is remembered."""
        return {vm.id for vm in self.vms.values() if vm.running and vm.settings.get(records.HOST_KEY) == key}


class StoreMachine(RuleBasedStateMachine):
    """Says any facts in any order to both."""

    @initialize(first=st.integers(0, 1000))
    def begin(self, first: int) -> None:
        """Begin with nothing."""
        self.store, self.naive = Store(first), Naive()
        self.number = first
        self.followed: dict[tuple[str, str], Any] = {}
        for id in VMS:
            self._tell(Seen(records.vm(id, pool=PoolId("p1"))))

    def _tell(self, fact: Fact) -> None:
        self.naive.take(fact)
        for change in self.store.apply(fact):
            self.number += 1
            assert change.number == self.number
            assert (change.op == "gone") is (change.record is None)
            if change.record is None:
                del self.followed[change.kind, change.id]
            else:
                assert self.followed.get((change.kind, change.id)) != change.record
                self.followed[change.kind, change.id] = change.record
        assert self.store.apply(fact) == []

    @rule(id=st.sampled_from(POOLS), name=NAMES, moment=MOMENTS, live=st.booleans())
    def see_pool(self, id: str, name: str, moment: Any, *, live: bool) -> None:
        """A pool is seen."""
        self._tell(Seen(records.pool(id, name=name, as_of=moment, live=live)))

    @rule(id=st.sampled_from(HOSTS), pool=st.sampled_from(POOLS), name=NAMES, moment=MOMENTS)
    def see_host(self, id: str, pool: str, name: str, moment: Any) -> None:
        """A host is seen."""
        self._tell(Seen(records.host(id, pool=PoolId(pool), name=name, as_of=moment)))

    @rule(
        id=st.sampled_from(VMS),
        place=st.tuples(st.sampled_from(POOLS), st.sampled_from([None, *HOSTS])),
        name=NAMES,
        power=st.sampled_from([PowerState.RUNNING, PowerState.RUNNING, PowerState.HALTED]),
        addresses=st.lists(st.sampled_from(ADDRESSES), max_size=3),
        said=VM_SETTINGS,
    )
    def see_vm(self, id: str, place: Any, name: str, power: PowerState, addresses: list[str], said: Any) -> None:
        """A VM is seen."""
        pool, host = place
        fields = {"name": name, "power": power, "addresses": tuple(addresses), "settings": said}
        self._tell(Seen(records.vm(id, pool=PoolId(pool), host=HostId(host) if host else None, **fields)))

    @rule(
        vm=st.sampled_from(VMS),
        state=st.sampled_from([LinkState.LIVE, LinkState.LIVE, *LinkState]),
        code=st.sampled_from(["", "link-lost", "refused"]),
        heard=st.none() | MOMENTS,
    )
    def see_link(self, vm: str, state: LinkState, code: str, heard: Any) -> None:
        """A link is seen."""
        problem = records.problem(code) if code else None
        self._tell(Seen(records.link(vm, state, heard=heard, problem=problem)))

    @rule(vm=st.sampled_from(VMS), version=st.sampled_from(["28", "29"]))
    def see_engine(self, vm: str, version: str) -> None:
        """An engine is seen."""
        self._tell(Seen(records.engine(vm, version=version)))

    @rule(
        vm=st.sampled_from(VMS),
        number=st.sampled_from(NUMBERS),
        state=st.sampled_from(["running", "exited"]),
        moment=MOMENTS,
    )
    def see_container(self, vm: str, number: int, state: str, moment: Any) -> None:
        """A container is seen."""
        link = self.naive.links.get(vm)
        if link is None or link.state is LinkState.LIVE:
            self._tell(Seen(records.container(number, vm, state=state, as_of=moment)))

    @rule(pool=st.sampled_from(POOLS))
    def lose_pool(self, pool: str) -> None:
        """A pool is gone."""
        self._tell(Gone("pool", pool))

    @rule(
        kind_and_id=st.sampled_from([("vm", id) for id in VMS] + [("host", id) for id in HOSTS]),
        pool=st.sampled_from(POOLS),
    )
    def lose_vm_or_host(self, kind_and_id: tuple[str, str], pool: str) -> None:
        """A VM or a host is gone from a pool."""
        self._tell(Gone(*kind_and_id, PoolId(pool)))

    @rule(vm=st.sampled_from(VMS), number=st.sampled_from(NUMBERS))
    def lose_container(self, vm: str, number: int) -> None:
        """A container is gone."""
        self._tell(Gone("container", container_id(VmId(vm), records.engine_id(number))))

    @rule(
        pool=st.sampled_from(POOLS), ids=st.sets(st.sampled_from([*VMS, *HOSTS])), kind=st.sampled_from(["vm", "host"])
    )
    def list_pool(self, pool: str, ids: set[str], kind: str) -> None:
        """All VMs or hosts of a pool are listed."""
        self._tell(Listed(Scope(kind, PoolId(pool)), frozenset(ids)))

    @rule(vm=st.sampled_from(VMS), numbers=st.sets(st.sampled_from(NUMBERS)))
    def list_containers(self, vm: str, numbers: set[int]) -> None:
        """All containers of a VM are listed."""
        ids = frozenset[str](container_id(VmId(vm), records.engine_id(number)) for number in numbers)
        self._tell(Listed(Scope("container", VmId(vm)), ids))

    @invariant()
    def vms_and_places_agree(self) -> None:
        """Every VM is joined as the model joins it."""
        assert dict(self.store.pools) == self.naive.pools
        assert {id: _undated(host) for id, host in self.store.hosts.items()} == {
            id: _undated(host) for id, host in self.naive.hosts.items()
        }
        assert {id: _undated(vm) for id, vm in self.store.vms.items()} == {
            id: _undated(vm) for id, vm in self.naive.shown_vms().items()
        }

    @invariant()
    def containers_agree(self) -> None:
        """Every container stands where the model has it, as stale as there."""
        held = {container.id: container for container in self.store.containers()}
        assert held == self.naive.shown_containers()
        for id, container in held.items():
            assert self.store.container(ContainerId(id)) == container
            assert self.store.containers_of(container.vm)[container.id] == container

    @invariant()
    def indexes_agree(self) -> None:
        """Claims and pins are those of the running VMs."""
        for address in ADDRESSES:
            spelled = canonical(address) or address
            assert self.store.claimants(spelled) == (self.naive.owners(spelled) if canonical(address) else set())
        for pin in PINS:
            assert self.store.pinned(pin) == self.naive.pinned(pin)

    @invariant()
    def who_follows_the_changes_knows_the_same(self) -> None:
        """A reader that applies every change has what the store has, but for times that pass by themselves."""
        held: dict[tuple[str, str], Any] = {
            **{("pool", id): pool for id, pool in self.store.pools.items()},
            **{("host", id): host for id, host in self.store.hosts.items()},
            **{("vm", id): vm for id, vm in self.store.vms.items()},
            **{("container", container.id): container for container in self.store.containers()},
        }
        assert {key: _undated(record) for key, record in self.followed.items()} == {
            key: _undated(record) for key, record in held.items()
        }


def _undated(record: Any) -> Any:
    if isinstance(record, Container) and record.stale:
        return record
    if isinstance(record, Vm):
        record = replace(record, no_address_since=None)
    return replace(record, as_of=records.START) if not isinstance(record, Pool) else record


StoreMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
TestStoreAgainstItsModel = StoreMachine.TestCase
