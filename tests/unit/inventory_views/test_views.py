"""How VMs stand, what is counted, and the tree."""

import msgspec
import pytest

from roadstead.inventory import views
from roadstead.model import Container, Link, LinkState, PoolId, PowerState, Vm
from tests.unit.inventory_views import samples


@pytest.mark.parametrize(
    ("vm", "link", "state", "stale"),
    [
        (samples.vm(managed=False), None, LinkState.UNMANAGED, False),
        (samples.vm(managed=False), samples.link(), LinkState.UNMANAGED, False),
        (samples.vm(), None, LinkState.CONNECTING, True),
        (samples.vm(), samples.link(), LinkState.LIVE, False),
        (samples.vm(), samples.link(state=LinkState.BROKEN), LinkState.BROKEN, True),
        (samples.vm(), samples.link(state=LinkState.OFF), LinkState.CONNECTING, True),
        (samples.vm(power=PowerState.HALTED), samples.link(state=LinkState.BROKEN), LinkState.OFF, True),
        (samples.vm(power=PowerState.HALTED), samples.link(), LinkState.LIVE, False),
    ],
)
def test_state_of_a_vm(vm: Vm, link: Link | None, state: LinkState, *, stale: bool) -> None:
    """Unmanaged comes first, then a living link, then the power; what is not heard is stale."""
    joined = msgspec.structs.replace(vm, link=link)

    assert (views.vm_state(joined), views.is_stale(joined)) == (state, stale)


def test_a_vm_that_is_off_has_no_problem() -> None:
    """The last problem of a link is not shown once the VM is off."""
    link = samples.link(state=LinkState.BROKEN, problem="refused")
    running = msgspec.structs.replace(samples.vm(), link=link)
    halted = msgspec.structs.replace(samples.vm(power=PowerState.HALTED), link=link)

    assert views.vm_problem(running) == link.problem
    assert views.vm_problem(halted) is None


def test_stale_is_never_counted_as_running() -> None:
    """A container that ran when it was last heard counts as stale only."""
    store = samples.store(
        samples.pool(),
        samples.vm(),
        samples.vm("vm-2", "db"),
        samples.link(),
        samples.link("vm-2"),
        samples.container("vm-1", 1),
        samples.container("vm-1", 2, state="exited"),
        samples.container("vm-2", 3),
        samples.link("vm-2", LinkState.BROKEN, "refused"),
    )

    assert views.counts(list(store.containers())) == views.Counts(total=3, running=1, stale=1)
    assert views.pool_counts(store) == {"pool-1": views.PoolCounts(vms=2, managed=2, running=1)}


def test_view_has_every_field_of_the_record() -> None:
    """What the record of a VM holds is shown under the same name."""
    assert set(Vm.__struct_fields__) <= set(views.VmView.__struct_fields__)
    vm = msgspec.structs.replace(samples.vm(tags=("x",)), link=samples.link(), engine=samples.engine())
    view = views.vm_view(vm, [samples.container()])

    assert {field: getattr(view, field) for field in Vm.__struct_fields__} == msgspec.structs.asdict(vm)
    assert (view.enabled, view.address, view.containers.running) == (True, "10.0.0.7", 1)


def test_tree_is_ordered_and_complete() -> None:
    """Hosts, VMs and containers stand by name under their owner; a VM on no host stands under the pool."""
    store = samples.store(
        samples.pool("pool-2", "b"),
        samples.pool("pool-1", "A"),
        samples.host("host-2", "south"),
        samples.host("host-1", "north"),
        samples.vm("vm-2", "zeta"),
        samples.vm("vm-1", "Alpha"),
        samples.vm("vm-3", "off", host=None),
        samples.vm("vm-4", "astray", host="host-9"),
        samples.link(),
        samples.container(number=2, name="two"),
        samples.container(number=1, name="one"),
    )
    tree = views.Tree(store)
    pool = PoolId("pool-1")

    assert [pool.name for pool in tree.pools] == ["A", "b"]
    assert [host.name for host in tree.hosts(pool)] == ["north", "south"]
    north = list(tree.vms(pool, next(iter(tree.hosts(pool))).id))
    assert [vm.name for vm in north] == ["Alpha", "zeta"]
    assert [container.name for container in north[0].containers] == ["one", "two"]
    assert north[0].counts == views.Counts(total=2, running=2)
    assert [vm.name for vm in tree.vms(pool, None)] == ["astray", "off"]
    assert list(tree.hosts(PoolId("pool-2"))) == []


def test_tree_is_one_moment() -> None:
    """What changes after the tree was taken does not show in it."""
    store = samples.store(samples.pool(), samples.host(), samples.vm(), samples.link(), samples.container())
    tree = views.Tree(store)
    store.apply(samples.gone("container", next(store.containers()).id), samples.gone("vm", "vm-1"))
    held: tuple[Container, ...] = next(iter(tree.vms(PoolId("pool-1"), samples.host().id))).containers

    assert len(held) == 1
