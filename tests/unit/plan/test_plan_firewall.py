"""Whose addresses come into firewall rules, whose do not, and what is said of it."""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from roadstead.errors import ConflictError
from roadstead.inventory.store import Store
from roadstead.model import PoolId, PowerState, Seen, Vm
from roadstead.model.firewall import Flow, Place, RuleSet, Server
from roadstead.plan.addresses import Rules
from roadstead.plan.firewall import Surroundings, Wanted, rule_set
from tests.unit.fakes import records

MANAGEMENT = (ip_network("10.0.0.0/24"),)


def made(*vms: Vm, place: Place = Place.ROUTER, rules: Rules | None = None, **wanted: Any) -> RuleSet:
    """The rule set of a pool with these VMs."""
    store = Store(0)
    store.apply(Seen(records.pool()), *map(Seen, vms))
    known = {records.POOL: Surroundings(MANAGEMENT, rules or Rules(), ("from the pool",))}
    return rule_set(store, Wanted(place=place, **wanted), known)


def guests(rules: RuleSet) -> list[tuple[list[str], tuple[int, ...]]]:
    """The guests of each flow, and the ports."""
    return [([str(one) for one in flow.guests], flow.ports) for flow in rules.flows]


def test_addresses_of_managed_vms_come_in() -> None:
    """Of both versions of IP, and only of VMs that are managed."""
    rules = made(
        records.vm("vm-1", addresses=("10.0.1.5", "fd00::5")), records.vm("vm-2", addresses=("10.0.1.6",), settings={})
    )

    assert guests(rules) == [(["10.0.1.5/32", "fd00::5/128"], (22, 2376))]


@pytest.mark.parametrize(
    "text",
    [
        "10.0.1.5; drop",
        "10.0.1.5/8",
        "0.0.0.0/0",
        "web1",
        "127.0.0.1",
        "fe80::1%eth0",
        "10.0.0.9",
        "10.0.1.1",
        "::",
        "\n",
    ],
)
def test_what_may_not_be_called_comes_into_no_rule(text: str) -> None:
    """No text that is more than an address, nobody's address, none of a host and none of the management network."""
    rules = made(records.vm(addresses=("10.0.1.5", text)), rules=Rules(barred=frozenset({"10.0.1.1"})))

    assert guests(rules) == [(["10.0.1.5/32"], (22, 2376))]
    assert "left out" in rules.notes[-1]


def test_a_vm_in_the_management_network_is_said() -> None:
    """It is left out, and the file says why."""
    with pytest.raises(ConflictError) as caught:
        made(records.vm(addresses=("10.0.0.9",)))

    assert caught.value.code == "firewall-nothing-known"
    rules = made(records.vm(addresses=("10.0.0.9", "10.0.1.9")))
    assert "10.0.0.9 (it lies in a management network)" in rules.notes[-1]


@pytest.mark.parametrize("place", [Place.ROUTER, Place.DOM0])
def test_what_is_another_pools_comes_into_no_rule(place: Place) -> None:
    """Its guests cannot be opened, or shut out, by who announces an address of its hosts: known, or only said."""
    store, other = Store(0), PoolId("pool-2")
    store.apply(Seen(records.pool()), Seen(records.pool(other)), Seen(records.vm(addresses=("10.0.1.5", "10.9.0.5"))))
    ours, theirs = Surroundings(MANAGEMENT, Rules()), ip_network("10.9.0.0/24")
    both = rule_set(store, Wanted(place=place), {records.POOL: ours, other: Surroundings((theirs,), Rules())})
    one = rule_set(store, Wanted(place=place), {records.POOL: ours}, (theirs,))

    assert guests(both) == guests(one) == [(["10.0.1.5/32"], (22, 2376))]


def test_a_port_of_its_own_is_opened_for_that_vm_alone() -> None:
    """The VM's own port stands in the place of SSH's; a wrong one leaves the VM out, with the reason."""
    own = {**records.MANAGED, "roadstead-ssh-port": "2222"}
    wrong = {**records.MANAGED, "roadstead-ssh-port": "22 accept"}
    rules = made(
        records.vm("vm-1", addresses=("10.0.1.1",)),
        records.vm("vm-2", addresses=("10.0.1.2",), settings=own),
        records.vm("vm-3", addresses=("10.0.1.3",), settings=wrong),
    )

    assert guests(rules) == [(["10.0.1.1/32"], (22, 2376)), (["10.0.1.2/32"], (2222, 2376))]
    assert any("left out: name of vm-3" in note for note in rules.notes)


def test_what_the_operator_names_counts_instead() -> None:
    """Networks that are given replace what the pool says."""
    rules = made(
        records.vm(power=PowerState.HALTED),
        management=(ip_network("192.0.2.0/24"),),
        guests=(ip_network("10.9.0.0/16"),),
        servers=(Server(ip_address("192.0.2.1"), "udp", 53),),
    )

    network = (ip_network("192.0.2.0/24"),)
    assert rules.flows == (Flow(management=network, guests=(ip_network("10.9.0.0/16"),), ports=(22, 2376)),)
    assert "from the pool" not in rules.notes


def test_rules_that_let_nothing_through_are_refused() -> None:
    """Without an address of a guest a router's file would only cut connections."""
    with pytest.raises(ConflictError):
        made(records.vm(addresses=()))

    assert guests(made(place=Place.GUEST)) == [([], (22, 2376))]


def test_one_vm_alone() -> None:
    """Named, a VM comes in although it is not managed yet, and no other one does."""
    rules = made(
        records.vm("vm-1", addresses=("10.0.1.1",), settings={}), records.vm("vm-2", addresses=("10.0.1.2",)), vm="vm-1"
    )

    assert guests(rules) == [(["10.0.1.1/32"], (22, 2376))]
