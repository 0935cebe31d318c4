"""What a pool's firewalls have to let through: from its networks and the addresses of its managed VMs to a rule set.

Addresses are guests' free text. Into a rule come only those that may be called at all, and none of any pool's
management network: a guest that announces one of those would open, or close, a way between two machines that are none
of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from roadstead.errors import ConflictError, LinkError
from roadstead.kit.text import brief
from roadstead.model import LOCAL_POOL, Address, PoolId, Snapshot, Vm, VmId, parse_address
from roadstead.model.firewall import Flow, Network, Place, RuleSet, Server, network_of
from roadstead.plan.access import SSH_PORT, TLS_PORT, check_mode, is_tls, ports_of
from roadstead.plan.addresses import Rules, refusal, texts_of

NAMED = 100
"""How many guests a rule set names in its notes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the operator asks for."""

    place: Place
    pool: PoolId | None = None
    vm: VmId | None = None
    management: tuple[Network, ...] = ()
    """Instead of the networks that the pool names."""
    guests: tuple[Network, ...] = ()
    """Instead of the addresses that the VMs announce."""
    servers: tuple[Server, ...] = ()
    icmp: bool = False
    strangers: bool = False


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known of one pool besides the snapshot."""

    management: tuple[Network, ...]
    """The networks of its hosts, and Roadstead's own addresses."""
    rules: Rules
    """Which addresses of its guests may be used; barred are those of its hosts and our own."""
    notes: tuple[str, ...] = ()


def chosen(snapshot: Snapshot, pool: PoolId | None, vm: VmId | None) -> list[Vm]:
    """Return the managed VMs of one pool or of all, or the one that is named, managed or not."""
    vms = [snapshot.vms[vm]] if vm is not None and vm in snapshot.vms else list(snapshot.vms.values())
    found = [one for one in vms if one.pool != LOCAL_POOL and (one.enabled or one.id == vm)]
    return sorted((one for one in found if pool in {None, one.pool}), key=lambda one: (one.name, one.id))


def rule_set(
    snapshot: Snapshot, wanted: Wanted, known: dict[PoolId, Surroundings], elsewhere: tuple[Network, ...] = ()
) -> RuleSet:
    """Return what ``wanted`` asks for, of the pools that are ``known``; ``elsewhere`` are other management networks.

    Raises `ConflictError` ``firewall-nothing-known`` for a rule set that could let nothing through.
    """
    flows: list[Flow] = []
    notes: list[str] = []
    every = (*elsewhere, *wanted.management, *(one for each in known.values() for one in each.management))
    for pool, surroundings in known.items():
        management = wanted.management or surroundings.management
        notes += [] if wanted.management else surroundings.notes
        guests = list(_guests(chosen(snapshot, pool, wanted.vm), surroundings.rules, every, notes))
        flows += _flows(wanted, management, guests)
    rules = RuleSet(
        place=wanted.place,
        flows=tuple(flows),
        servers=wanted.servers,
        icmp=wanted.icmp,
        strangers=wanted.strangers,
        notes=tuple(notes),
    )
    _demand(rules)
    return rules


def usable(vm: Vm, rules: Rules) -> tuple[list[Address], list[str]]:
    """Return the addresses of ``vm`` that may be used, and for each of the others why not."""
    found, refused = [], []
    for text in texts_of(vm):
        reason, address = refusal(text, rules), parse_address(text)
        if reason is None and address is not None:
            found.append(address)
        else:
            refused.append(f"{brief(text)} ({reason})")
    return found[: rules.limit], refused


def inside(address: Address, management: tuple[Network, ...]) -> bool:
    """Whether ``address`` lies in the management network, where no managed VM should be."""
    return any(address in network for network in management)


def port_of(vm: Vm) -> int:
    """Return the port on which ``vm`` is called. Raises `LinkError` ``setting-invalid`` or ``mode-unsupported``."""
    check_mode(vm)
    ssh, tls = ports_of(vm)
    return tls if is_tls(vm) else ssh


@dataclass(frozen=True, slots=True)
class _Guest:
    ports: tuple[int, ...]
    networks: tuple[Network, ...]


def _guests(vms: list[Vm], rules: Rules, management: tuple[Network, ...], notes: list[str]) -> Iterator[_Guest]:
    for number, vm in enumerate(vms):
        try:
            ports = tuple(sorted(set(ports_of(vm))))
        except LinkError as error:
            notes.append(f"left out: {brief(vm.name)} ({vm.id}): {error.cause}")
            continue
        found, refused = usable(vm, rules)
        refused += [f"{one} (it lies in a management network)" for one in found if inside(one, management)]
        found = [one for one in found if not inside(one, management)]
        if number < NAMED:
            shown = ", ".join(map(str, found)) or "no address"
            left_out = f"; left out: {', '.join(refused)}" if refused else ""
            notes.append(f"guest: {brief(vm.name)} ({vm.id}): {shown}{left_out}")
        yield _Guest(ports, tuple(map(network_of, found)))
    if len(vms) > NAMED:
        notes.append(f"and {len(vms) - NAMED} more guests")


def _flows(wanted: Wanted, management: tuple[Network, ...], guests: list[_Guest]) -> list[Flow]:
    every = tuple(sorted({port for guest in guests for port in guest.ports} or {SSH_PORT, TLS_PORT}))
    if wanted.place is Place.GUEST or wanted.guests:
        theirs = () if wanted.place is Place.GUEST else wanted.guests
        return [Flow(management=management, guests=theirs, ports=every)]
    grouped: dict[tuple[int, ...], list[Network]] = {}
    for guest in guests:
        grouped.setdefault(guest.ports, []).extend(guest.networks)
    return [
        Flow(management=management, guests=tuple(networks), ports=ports)
        for ports, networks in sorted(grouped.items())
        if networks
    ]


def _demand(rules: RuleSet) -> None:
    if rules.place is not Place.GUEST and not any(flow.guests for flow in rules.flows):
        raise ConflictError("firewall-nothing-known", what="address of a managed VM", option="--guests NETWORK")
    if rules.place is not Place.DOM0 and not any(flow.management for flow in rules.flows):
        raise ConflictError("firewall-nothing-known", what="management network", option="--management NETWORK")
