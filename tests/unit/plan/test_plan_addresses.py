"""Which addresses of a guest are tried, in which order, and what is said when there is none."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.errors import LinkError
from roadstead.inventory.store import Store
from roadstead.model import PowerState, Seen
from roadstead.plan.addresses import Rules, candidates, refusal, unclaimed
from tests.unit.fakes import records

HOSTS = frozenset({"10.0.0.1", "2001:db8::ffff"})
RULES = Rules(barred=HOSTS)
BARRED = [
    pytest.param("127.0.0.1", id="loopback"),
    pytest.param("127.8.9.10", id="loopback-network"),
    pytest.param("::1", id="loopback-ipv6"),
    pytest.param("::ffff:127.0.0.1", id="loopback-mapped"),
    pytest.param("0.0.0.0", id="unspecified"),
    pytest.param("::", id="unspecified-ipv6"),
    pytest.param("::ffff:0.0.0.0", id="unspecified-mapped"),
    pytest.param("169.254.169.254", id="link-local"),
    pytest.param("fe80::1", id="link-local-ipv6"),
    pytest.param("::ffff:169.254.169.254", id="link-local-mapped"),
    pytest.param("224.0.0.1", id="multicast"),
    pytest.param("ff02::1", id="multicast-ipv6"),
    pytest.param("255.255.255.255", id="broadcast"),
    pytest.param("10.0.0.1", id="host-of-the-pool"),
    pytest.param("::ffff:10.0.0.1", id="host-of-the-pool-mapped"),
    pytest.param("2001:DB8::FFFF", id="host-of-the-pool-respelled"),
]
NO_ADDRESS = ["web.example.org", "localhost", "fe80::1%eth0", "2001:db8::1%1", "192.0.2.1:22", "192.0.2", "", " "]


@pytest.mark.parametrize("text", BARRED)
def test_barred_addresses_are_refused(text: str) -> None:
    """A hostile guest leads us neither to ourselves, nor to the pool's hosts, nor to a crowd."""
    assert refusal(text, RULES) is not None


@pytest.mark.parametrize("text", [parameter for parameter in BARRED if "mapped" not in str(parameter.id)])
def test_an_admitted_network_allows_them(text: str) -> None:
    """The operator may admit what is barred by default: a lab on the loopback network."""
    admitted = Rules(admit=(ip_network(f"{text}"),), barred=HOSTS)
    assert refusal(text, admitted) is None


def test_admitting_one_network_admits_no_other() -> None:
    """Only what lies inside, and only of its family."""
    rules = Rules(admit=(ip_network("127.88.0.0/16"), ip_network("fd00::/8")))
    assert refusal("127.88.3.4", rules) is None
    assert refusal("127.89.0.1", rules) is not None
    assert refusal("::1", rules) is not None


@pytest.mark.parametrize("text", NO_ADDRESS, ids=repr)
def test_what_is_no_literal_address_is_never_used(text: str) -> None:
    """No names, no zones, no ports: not even in an admitted network."""
    assert refusal(text, Rules(admit=(ip_network("0.0.0.0/0"), ip_network("::/0")))) is not None


@pytest.mark.parametrize("text", ["192.0.2.1", "10.1.2.3", "2001:db8::1", "fd00::1", "100.64.0.1"])
def test_ordinary_addresses_may_be_used(text: str) -> None:
    """Private ones too: that is where guests live."""
    assert refusal(text, RULES) is None


def test_a_pool_can_be_held_to_some_networks() -> None:
    """With ``only`` nothing outside is used, and what is inside is still judged."""
    rules = Rules(only=(ip_network("10.0.0.0/8"),), barred=HOSTS)
    assert refusal("10.1.2.3", rules) is None
    assert refusal("192.0.2.1", rules) is not None
    assert refusal("2001:db8::1", rules) is not None
    assert refusal("10.0.0.1", rules) is not None


def test_only_stands_above_admit() -> None:
    """What is admitted but outside of what the pool is held to is refused."""
    rules = Rules(admit=(ip_network("127.0.0.0/8"),), only=(ip_network("10.0.0.0/8"),))
    assert refusal("127.0.0.1", rules) is not None


def test_what_is_admitted_inside_of_what_a_pool_is_held_to_is_used() -> None:
    """A lab on the loopback network can be both."""
    rules = Rules(admit=(ip_network("127.0.0.0/8"),), only=(ip_network("127.89.0.0/16"),))
    assert refusal("127.89.0.1", rules) is None
    assert refusal("127.88.0.1", rules) is not None


def test_without_any_address_that_is_said() -> None:
    """A VM that announces nothing has another problem than one that announces nonsense."""
    with pytest.raises(LinkError) as caught:
        candidates(records.vm(addresses=()), None, None, RULES)
    assert caught.value.code == "no-address"


def test_when_none_may_be_used_that_is_said_with_the_reason() -> None:
    """The problem shows what was announced and why the first of it is not used."""
    vm = records.vm(addresses=("127.0.0.1", "no address"), pool_name="lab")
    with pytest.raises(LinkError) as caught:
        candidates(vm, None, None, RULES)
    assert caught.value.code == "address-not-allowed"
    assert caught.value.fields["addresses"] == "127.0.0.1, no address"
    assert caught.value.fields["reason"] == "it is the machine's own"
    assert caught.value.fields["pool"] == "lab"


def test_the_good_ones_among_bad_ones_are_used() -> None:
    """One odd announcement costs nothing."""
    vm = records.vm(addresses=("127.0.0.1", "192.0.2.1", "x", "fe80::1"))
    assert candidates(vm, None, None, RULES) == ("192.0.2.1",)


ANNOUNCED = ("2001:db8::2", "192.0.2.1", "2001:db8::1", "192.0.2.2")


@pytest.mark.parametrize(
    ("given", "winner", "order"),
    [
        pytest.param(None, None, "192.0.2.1 192.0.2.2 2001:db8::2 2001:db8::1", id="ipv4-first-in-order-of-the-vifs"),
        pytest.param(None, "2001:db8::1", "2001:db8::1 192.0.2.1 192.0.2.2 2001:db8::2", id="last-winner-first"),
        pytest.param(
            "198.51.100.1", None, "198.51.100.1 192.0.2.1 192.0.2.2 2001:db8::2 2001:db8::1", id="given-first"
        ),
        pytest.param(
            "2001:db8::f",
            "192.0.2.2",
            "2001:db8::f 192.0.2.2 192.0.2.1 2001:db8::2 2001:db8::1",
            id="given-then-winner",
        ),
        pytest.param("192.0.2.2", "192.0.2.2", "192.0.2.2 192.0.2.1 2001:db8::2 2001:db8::1", id="given-is-announced"),
        pytest.param("2001:DB8::1", None, "2001:db8::1 192.0.2.1 192.0.2.2 2001:db8::2", id="given-in-other-spelling"),
        pytest.param(None, "198.51.100.9", "192.0.2.1 192.0.2.2 2001:db8::2 2001:db8::1", id="winner-is-gone"),
    ],
)
def test_the_order_of_tries(given: str | None, winner: str | None, order: str) -> None:
    """The operator's address, the last winner, IPv4, IPv6; each once, in the order of the VIFs."""
    vm = records.vm(addresses=ANNOUNCED)
    assert candidates(vm, given, winner, RULES) == tuple(order.split())


def test_a_given_address_that_is_barred_is_said() -> None:
    """Whoever set it wants that one called: others that would do do not hide it."""
    with pytest.raises(LinkError) as caught:
        candidates(records.vm(addresses=ANNOUNCED), "127.0.0.1", None, RULES)
    assert (caught.value.code, caught.value.fields["addresses"]) == ("address-not-allowed", "127.0.0.1")


def test_a_given_address_is_enough() -> None:
    """A guest behind a NAT announces nothing that can be used."""
    assert candidates(records.vm(addresses=()), "192.0.2.7", None, RULES) == ("192.0.2.7",)


def test_two_spellings_are_one_address() -> None:
    """Nothing is dialled twice."""
    vm = records.vm(addresses=("::ffff:192.0.2.1", "192.0.2.1", "2001:db8:0::1", "2001:db8::1"))
    assert candidates(vm, None, None, RULES) == ("192.0.2.1", "2001:db8::1")


def test_at_most_so_many_are_tried() -> None:
    """A guest that announces hundreds gets no more tries than others; the best ones are kept."""
    vm = records.vm(addresses=tuple(f"10.1.2.{number}" for number in range(1, 101)))
    tried = candidates(vm, "192.0.2.7", "10.1.2.90", RULES)
    assert len(tried) == 16
    assert tried[:3] == ("192.0.2.7", "10.1.2.90", "10.1.2.1")
    assert len(candidates(vm, None, None, Rules(limit=3))) == 3


@given(st.lists(st.one_of(st.ip_addresses().map(str), st.text(max_size=20)), max_size=30))
def test_whatever_is_announced_only_allowed_addresses_come_out(texts: list[str]) -> None:
    """Each candidate passes the rules by itself, is unique and in its one spelling."""
    vm = records.vm(addresses=tuple(texts))
    if all(refusal(text, RULES) for text in texts):
        with pytest.raises(LinkError, match=r"announces no address|may be used"):
            candidates(vm, None, None, RULES)
        return
    tried = candidates(vm, None, None, RULES)
    assert 0 < len(tried) <= 16
    assert len(set(tried)) == len(tried)
    assert all(refusal(address, RULES) is None for address in tried)


# ---- who else announces it

A, B = "192.0.2.1", "192.0.2.2"


def _claimed(**others: tuple[str, ...]) -> Store:
    """An inventory in which the first VM announces A and B, and others what is given."""
    store = Store()
    store.apply(Seen(records.vm(addresses=(A, B))))
    store.apply(*(Seen(records.vm(name, addresses=addresses)) for name, addresses in others.items()))
    return store


def test_addresses_that_nobody_else_announces_are_free() -> None:
    """Its own announcement does not count against a VM."""
    assert unclaimed(records.vm(), (A, B), _claimed(other=("192.0.2.3",))) == (A, B)


def test_an_address_that_another_vm_announces_is_left_out() -> None:
    """Whose it is nobody knows, so a VM without a pin does not use it; respelling it hides nothing."""
    assert unclaimed(records.vm(), (A, B), _claimed(other=("::ffff:192.0.2.1",))) == (B,)


def test_when_all_are_claimed_that_is_said_with_the_names() -> None:
    """The problem names the addresses and the other VMs."""
    with pytest.raises(LinkError) as caught:
        unclaimed(records.vm(), (A, B), _claimed(other=(A, B), another=(B,)))
    assert caught.value.code == "address-claimed-twice"
    assert caught.value.fields["addresses"] == f"{A}, {B}"
    assert caught.value.fields["others"] == "name of another, name of other"


def test_a_vm_that_does_not_run_claims_nothing() -> None:
    """What it announced before it was stopped is no longer said."""
    store = _claimed()
    store.apply(Seen(records.vm("other", addresses=(A,), power=PowerState.HALTED)))
    assert unclaimed(records.vm(), (A, B), store) == (A, B)


def test_only_vms_of_its_own_pool_count() -> None:
    """Two pools may use the same private network; nobody in one may cut off the VMs of another."""
    store = _claimed()
    store.apply(Seen(records.vm("foreign", pool="pool-2", addresses=(A, B))))
    assert unclaimed(records.vm(), (A, B), store) == (A, B)
