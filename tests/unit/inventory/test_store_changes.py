"""The store: numbered changes without gaps, records joined with what belongs to them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from roadstead.inventory.changes import Change
from roadstead.inventory.store import Store
from roadstead.model import (
    ContainerId,
    Fact,
    Gone,
    HostId,
    LinkState,
    Listed,
    PowerState,
    Scope,
    Seen,
    VmId,
    container_id,
)
from tests.unit.fakes import records

EVERYTHING = (
    Seen(records.pool()),
    Seen(records.host()),
    Seen(records.vm()),
    Seen(records.link()),
    Seen(records.engine()),
    Seen(records.container(1)),
    Seen(records.container(2)),
)


@pytest.fixture
def store() -> Store:
    """An inventory with one pool, host, live VM, and two containers."""
    made = Store()
    made.apply(*EVERYTHING)
    return made


def _told(changes: Sequence[Change]) -> list[str]:
    return [f"{change.op} {change.kind} {change.id}" for change in changes]


def _id(number: int) -> ContainerId:
    return container_id(records.VM, records.engine_id(number))


# ---- numbers


def test_numbers_begin_where_they_are_told_and_have_no_gaps() -> None:
    """A run's numbers follow on its first one, over all kinds of changes and over all calls."""
    store = Store(1000)
    numbers = [change.number for fact in EVERYTHING for change in store.apply(fact)]
    assert numbers == list(range(1001, store.number + 1))


def test_one_call_tells_all_that_follows_from_its_facts() -> None:
    """Facts are taken in order, and their changes come in order."""
    store = Store()
    changes = store.apply(*EVERYTHING)
    assert [change.number for change in changes] == list(range(1, len(changes) + 1))
    assert _told(changes)[:2] == ["set pool pool-1", "set host host-1"]
    assert store.apply() == []


@pytest.mark.parametrize("fact", EVERYTHING, ids=lambda fact: type(fact.record).__name__.lower())
def test_a_fact_that_is_known_is_no_change(store: Store, fact: Fact) -> None:
    """Saying the same again changes nothing and takes no number."""
    before = store.number
    assert store.apply(fact) == []
    assert store.number == before


@pytest.mark.parametrize(
    "fact",
    [
        pytest.param(Seen(records.host(as_of=records.at(9))), id="host"),
        pytest.param(Seen(records.vm(as_of=records.at(9))), id="vm"),
        pytest.param(Seen(records.container(1, as_of=records.at(9), status="Up 9 seconds")), id="container"),
    ],
)
def test_time_alone_is_no_change(store: Store, fact: Fact) -> None:
    """That a thing was seen again, and a phrase that ages by itself, are told to nobody."""
    assert store.apply(fact) == []


def test_but_the_time_of_a_container_is_kept(store: Store) -> None:
    """Who asks later is told when the engine last said so."""
    store.apply(Seen(records.container(1, as_of=records.at(9), status="Up 9 seconds")))
    container = store.container(_id(1))
    assert container is not None
    assert (container.as_of, container.status) == (records.at(9), "Up 9 seconds")


@pytest.mark.parametrize(
    "fact",
    [
        pytest.param(Gone("vm", "nobody"), id="vm"),
        pytest.param(Gone("host", "nobody"), id="host"),
        pytest.param(Gone("pool", "nobody"), id="pool"),
        pytest.param(Gone("container", "nobody/abc"), id="container"),
        pytest.param(Gone("container", "nobody"), id="no-containers-id"),
        pytest.param(Seen(records.link("nobody")), id="link"),
        pytest.param(Seen(records.engine("nobody")), id="engine"),
        pytest.param(Seen(records.container(1, "nobody")), id="container-of-nobody"),
        pytest.param(Listed(Scope("vm", records.POOL), frozenset({records.VM})), id="complete-vms"),
        pytest.param(Listed(Scope("host", records.POOL), frozenset({records.HOST})), id="complete-hosts"),
        pytest.param(Listed(Scope("container", VmId("nobody")), frozenset()), id="listing-of-nobody"),
    ],
)
def test_facts_about_strangers_change_nothing(store: Store, fact: Fact) -> None:
    """What is not there cannot go, and nothing hangs on a VM that is unknown."""
    assert store.apply(fact) == []


# ---- joins


def test_a_vm_carries_what_belongs_to_it(store: Store) -> None:
    """Names of its pool and host, its link, its engine; whoever observes a VM does not fill them."""
    vm = store.vms[records.VM]
    assert (vm.pool_name, vm.host_name) == ("name of pool-1", "name of host-1")
    assert (vm.link, vm.engine) == (records.link(), records.engine())


def test_a_container_carries_its_place(store: Store) -> None:
    """Name of its VM, pool and host."""
    container = store.container(_id(1))
    assert container is not None
    assert (container.vm_name, container.pool, container.host) == ("name of vm-1", records.POOL, records.HOST)


def test_the_order_in_which_things_are_seen_does_not_matter() -> None:
    """A VM that is seen before its pool and host gets their names when they come."""
    store = Store()
    store.apply(Seen(records.vm()), Seen(records.host()), Seen(records.pool()))
    assert (store.vms[records.VM].pool_name, store.vms[records.VM].host_name) == ("name of pool-1", "name of host-1")


@pytest.mark.parametrize(
    ("fact", "field", "value"),
    [
        pytest.param(Seen(records.pool(name="new")), "pool_name", "new", id="pool"),
        pytest.param(Seen(records.host(name="new")), "host_name", "new", id="host"),
        pytest.param(Gone("host", records.HOST), "host_name", "", id="host-is-gone"),
    ],
)
def test_names_of_pool_and_host_follow(store: Store, fact: Fact, field: str, value: str) -> None:
    """Each of their VMs changes with them, and no other does."""
    store.apply(Seen(records.vm("other", pool="pool-2", host=HostId("host-2"))))
    changes = store.apply(fact)
    assert getattr(store.vms[records.VM], field) == value
    assert _told(changes)[1:] == ["set vm vm-1"]


def test_a_renamed_vm_renames_its_containers(store: Store) -> None:
    """They are found by the VM's new name at once."""
    changes = store.apply(Seen(records.vm(name="new")))
    assert {change.record.vm_name for change in changes if change.kind == "container"} == {"new"}  # type: ignore[union-attr]
    assert len(changes) == 3


def test_a_vm_that_moves_takes_its_containers_along(store: Store) -> None:
    """A migration to another host changes the place of VM and containers, and neither's state."""
    store.apply(Seen(records.host("host-2")))
    store.apply(Seen(records.vm(host=HostId("host-2"))))
    assert store.vms[records.VM].host_name == "name of host-2"
    assert {(container.host, container.stale) for container in store.containers()} == {("host-2", False)}


def test_since_when_a_vm_announces_no_address_is_kept_while_it_runs_without_one() -> None:
    """From the moment it is first seen running so; an address, or the end of its running, ends that."""
    made = Store()

    def since(second: float, **fields: Any) -> datetime | None:
        made.apply(Seen(records.vm(as_of=records.at(second), **fields)))
        return made.vms[records.VM].no_address_since

    assert since(1, power=PowerState.HALTED) is None
    assert since(2) == records.at(2)
    assert since(3, name="new") == records.at(2)
    assert since(4, addresses=("192.0.2.1",)) is None
    assert since(5) == records.at(5)
    assert since(6, power=PowerState.HALTED) is None
    assert since(7) == records.at(7)


def test_a_vm_that_is_seen_for_the_first_time_may_run_for_long_without_an_address() -> None:
    """What counts then is when it was started, not when we were."""
    made = Store()
    for vm, started in (("new", records.at(-5)), ("old", records.at(-9000)), ("unknown", None)):
        made.apply(Seen(records.vm(vm, started=started)))
        assert made.vms[VmId(vm)].no_address_since == (started or records.START)
    made.apply(Seen(records.vm("old", started=records.at(-9000), addresses=("192.0.2.1",))))
    made.apply(Seen(records.vm("old", started=records.at(-9000), as_of=records.at(60))))
    assert made.vms[VmId("old")].no_address_since == records.at(60)


def test_a_link_stays_with_a_vm_that_is_seen_again(store: Store) -> None:
    """What the pool says of a VM takes nothing away of what its guest said."""
    store.apply(Seen(records.vm(name="new")))
    assert store.vms[records.VM].link == records.link()
    assert store.vms[records.VM].engine == records.engine()


# ---- going


def test_a_pool_that_goes_takes_everything_along(store: Store) -> None:
    """Containers, VMs and hosts go before it; those of other pools stay."""
    store.apply(Seen(records.pool("pool-2")), Seen(records.vm("other", pool="pool-2", host=None)))
    changes = store.apply(Gone("pool", records.POOL))
    assert _told(changes) == [
        f"gone container {_id(1)}",
        f"gone container {_id(2)}",
        "gone vm vm-1",
        "gone host host-1",
        "gone pool pool-1",
    ]
    assert all(change.record is None for change in changes)
    assert store.statistics() == {"pools": 1, "hosts": 0, "vms": 1, "containers": 0, "number": store.number}


def test_a_vm_that_goes_takes_its_containers_along(store: Store) -> None:
    """Also when it comes back: nothing of its former life is left."""
    store.apply(Gone("vm", records.VM))
    assert list(store.containers()) == []
    store.apply(Seen(records.vm()))
    assert store.vms[records.VM].link is None
    assert not store.containers_of(records.VM)


@pytest.mark.parametrize(
    ("scope", "gone"),
    [
        pytest.param(Scope("vm", records.POOL), "gone vm vm-1", id="vm"),
        pytest.param(Scope("host", records.POOL), "gone host host-1", id="host"),
        pytest.param(Scope("container", records.VM), f"gone container {_id(1)}", id="container"),
    ],
)
def test_a_listing_removes_what_is_not_in_it(store: Store, scope: Scope, gone: str) -> None:
    """An empty listing empties its scope."""
    assert gone in _told(store.apply(Listed(scope, frozenset())))


def test_a_listing_says_nothing_of_other_owners(store: Store) -> None:
    """What another pool or VM has is untouched by it."""
    store.apply(
        Seen(records.pool("pool-2")),
        Seen(records.host("host-2", pool="pool-2")),
        Seen(records.vm("other", pool="pool-2", host=None)),
        Seen(records.container(1, "other")),
    )
    before = store.statistics()
    for scope in (Scope("vm", records.POOL), Scope("host", records.POOL), Scope("container", records.VM)):
        held = frozenset[str](
            {records.VM} if scope.kind == "vm" else {records.HOST} if scope.kind == "host" else {_id(1), _id(2)}
        )
        assert store.apply(Listed(scope, held)) == []
    assert store.statistics() == before


def test_a_listing_keeps_what_is_in_it(store: Store) -> None:
    """Of two containers one is listed: the other goes."""
    changes = store.apply(Listed(Scope("container", records.VM), frozenset({_id(1)})))
    assert _told(changes) == [f"gone container {_id(2)}"]
    assert store.container(_id(1)) is not None


# ---- who has it


def test_addresses_of_running_vms_are_indexed_by_their_one_spelling() -> None:
    """Whoever asks with the canonical address finds every VM that announces it, however it spells it."""
    store = Store()
    store.apply(Seen(records.vm("a", addresses=("::ffff:192.0.2.1", "no address"))))
    store.apply(Seen(records.vm("b", addresses=("192.0.2.1", "2001:DB8::1"))))
    assert store.claimants("192.0.2.1") == {"a", "b"}
    assert store.claimants("2001:db8::1") == {"b"}
    assert store.claimants("no address") == set()


def test_pins_of_running_vms_are_indexed() -> None:
    """As they stand in the pool."""
    store = Store()
    for name in ("a", "b"):
        store.apply(Seen(records.vm(name, settings={records.HOST_KEY: "AAAA"})))
    assert store.pinned("AAAA") == {"a", "b"}
    assert store.pinned("") == set()


@pytest.mark.parametrize(
    "fact",
    [
        pytest.param(Seen(records.vm(power=PowerState.HALTED)), id="stopped"),
        pytest.param(Seen(records.vm(addresses=("192.0.2.2",))), id="changed"),
        pytest.param(Gone("vm", records.VM), id="gone"),
        pytest.param(Gone("pool", records.POOL), id="pool-gone"),
        pytest.param(Listed(Scope("vm", records.POOL), frozenset()), id="not-listed"),
    ],
)
def test_what_a_vm_no_longer_has_is_not_its_own(fact: Fact) -> None:
    """A VM that is off, gone or different claims nothing of what it had."""
    store = Store()
    had = records.MANAGED | {records.HOST_KEY: "AAAA"}
    store.apply(Seen(records.pool()), Seen(records.vm(addresses=("192.0.2.1",), settings=had)))
    store.apply(fact)
    assert store.claimants("192.0.2.1") == set()
    assert store.pinned("AAAA") == set()


def test_reading_gives_nothing_that_can_change_the_store() -> None:
    """An unknown VM has no containers, and asking for it does not make it known."""
    store = Store()
    assert store.containers_of(VmId("nobody")) == {}
    assert store.container(ContainerId("nobody/abc")) is None
    assert store.statistics()["containers"] == 0


def test_a_link_that_changes_is_a_change_of_its_vm(store: Store) -> None:
    """Links are shown as parts of their VM."""
    changes = store.apply(Seen(records.link(state=LinkState.BROKEN, problem=records.problem())))
    assert _told(changes)[0] == "set vm vm-1"
