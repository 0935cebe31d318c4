"""Several pools have a VM or host of one id: whose record is shown, and that none of them can take it away for good."""

from collections.abc import Sequence
from typing import Any

import pytest

from roadstead.inventory.changes import Change
from roadstead.inventory.store import Store
from roadstead.model import Fact, Gone, HostId, Listed, PoolId, PowerState, Scope, Seen, Vm
from tests.unit.fakes import records

HERE, THERE = records.POOL, PoolId("pool-2")
HALTED = PowerState.HALTED
LEAVING: list[Fact] = [Gone("vm", records.VM, HERE), Listed(Scope("vm", HERE), frozenset()), Gone("pool", HERE)]
RETURNING: list[Fact] = [Gone("vm", records.VM, THERE), Listed(Scope("vm", THERE), frozenset()), Gone("pool", THERE)]


@pytest.fixture
def store() -> Store:
    """Two live pools, the first of which has a VM that runs, with a live link and two containers."""
    made = Store()
    made.apply(
        Seen(records.pool(HERE, live=True)),
        Seen(records.pool(THERE, live=True)),
        Seen(records.host()),
        Seen(records.host("host-2", pool=THERE)),
        Seen(records.vm()),
        Seen(records.link()),
        Seen(records.container(1)),
        Seen(records.container(2)),
    )
    return made


def _other(**fields: Any) -> Seen:
    """What the second pool says of the VM."""
    return Seen(records.vm(pool=THERE, host=HostId("host-2"), name="there", **fields))


def _vm(store: Store) -> Vm:
    return store.vms[records.VM]


def _told(changes: Sequence[Change]) -> set[str]:
    return {f"{change.op} {change.kind}" for change in changes}


def _is_whole(store: Store, pool: PoolId) -> bool:
    """Whether the VM and its containers are those of ``pool``, current, with the link that they had."""
    containers = list(store.containers())
    return (
        {_vm(store).pool, *(one.pool for one in containers)} == {pool}
        and [one.stale for one in containers] == [False, False]
        and _vm(store).link == records.link()
    )


# ---- migration


@pytest.mark.parametrize("leaving", LEAVING, ids=["gone", "not-listed", "pool-removed"])
@pytest.mark.parametrize("power", [PowerState.RUNNING, HALTED])
def test_a_vm_that_migrates_to_another_pool_is_never_missing(store: Store, leaving: Fact, power: PowerState) -> None:
    """Both list it for a while: it is the first one's until that has it no more; link and containers stay."""
    assert store.apply(_other(power=power)) == []
    assert _is_whole(store, HERE)
    changes = store.apply(leaving)
    assert "gone vm" not in _told(changes)
    assert "gone container" not in _told(changes)
    assert (_vm(store).pool, _vm(store).pool_name, _vm(store).host_name) == (THERE, "name of pool-2", "name of host-2")
    assert (_vm(store).power, len(list(store.containers()))) == (power, 2)
    assert (power is HALTED) or _is_whole(store, THERE)


def test_a_vm_that_migrates_is_where_it_runs(store: Store) -> None:
    """The copy that is being made does not run yet, whichever of the pools is known for longer; the rest left over does
    not run any more.
    """
    store.apply(Seen(records.vm(power=HALTED)), _other())
    assert _vm(store).pool == THERE
    store.apply(Seen(records.vm()), _other(power=HALTED))
    assert _vm(store).pool == HERE


def test_a_vm_that_is_gone_before_it_is_seen_elsewhere_comes_back_there(store: Store) -> None:
    """In between no pool has it, and so nobody shows it."""
    assert "gone vm" in _told(store.apply(Gone("vm", records.VM, HERE)))
    assert "set vm" in _told(store.apply(_other()))
    assert _vm(store).pool == THERE
    assert store.apply(Gone("vm", records.VM, HERE)) == []


# ---- one that lists what is another's


@pytest.mark.parametrize("order", [1, -1], ids=["owner-first", "other-first"])
def test_what_runs_in_two_pools_is_the_older_pools(order: int) -> None:
    """Whichever lists it first after a restart."""
    made = Store()
    made.apply(Seen(records.pool(HERE, live=True)), Seen(records.pool(THERE, live=True)))
    made.apply(*[Seen(records.vm()), _other()][::order])
    assert _vm(made).pool == HERE


@pytest.mark.parametrize("returning", RETURNING, ids=["gone", "not-listed", "pool-removed"])
def test_no_pool_takes_a_vm_away_for_good(store: Store, returning: Fact) -> None:
    """What it says and unsays of another pool's VM leaves that as it was."""
    store.apply(_other())
    assert not {change.kind for change in store.apply(returning)} & {"vm", "container"}
    assert _is_whole(store, HERE)


@pytest.mark.parametrize("returning", RETURNING, ids=["gone", "not-listed", "pool-removed"])
def test_a_vm_that_another_pool_showed_comes_back(store: Store, returning: Fact) -> None:
    """As its own pool has it by then."""
    store.apply(Seen(records.vm(power=HALTED)), _other())
    store.apply(Seen(records.vm(power=HALTED, name="renamed")))
    assert _vm(store).name == "there"
    assert "gone vm" not in _told(store.apply(returning))
    assert (_vm(store).pool, _vm(store).name, _vm(store).host) == (HERE, "renamed", records.HOST)


def test_a_vm_is_shown_by_a_pool_that_is_live(store: Store) -> None:
    """While its own is away, one that is there knows more; later it is its own pool's again."""
    store.apply(_other())
    store.apply(Seen(records.pool(HERE, live=False)))
    assert _vm(store).pool == THERE
    store.apply(Seen(records.pool(HERE, live=True)))
    assert _is_whole(store, HERE)


def test_a_vm_of_pools_that_are_all_away_stays(store: Store) -> None:
    """It is the older pool's."""
    store.apply(_other(), Seen(records.pool(HERE, live=False)), Seen(records.pool(THERE, live=False)))
    assert _vm(store).pool == HERE


def test_what_is_claimed_by_address_and_pin_is_what_is_shown(store: Store) -> None:
    """A record that is not shown claims nothing."""
    pinned = records.MANAGED | {records.HOST_KEY: "AAAA"}
    store.apply(_other(addresses=("192.0.2.7",), settings=pinned))
    assert (store.claimants("192.0.2.7"), store.pinned("AAAA")) == (set(), set())
    store.apply(Gone("vm", records.VM, HERE))
    assert (store.claimants("192.0.2.7"), store.pinned("AAAA")) == ({records.VM}, {records.VM})


def test_the_same_holds_for_hosts(store: Store) -> None:
    """One that left for another pool is that pool's as soon as the former one has it no more."""
    store.apply(Seen(records.host(pool=THERE, name="there")))
    assert store.hosts[records.HOST].pool == HERE
    assert _told(store.apply(Gone("host", records.HOST, HERE))) == {"set host", "set vm"}
    assert (store.hosts[records.HOST].pool, _vm(store).host_name) == (THERE, "there")
    store.apply(Gone("pool", THERE))
    assert records.HOST not in store.hosts
