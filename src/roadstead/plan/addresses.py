"""Which of the addresses that a guest announces may be used, and in which order.

They are a guest's free text. A hostile guest could name the pool's hosts, Roadstead itself or another VM; so only
literal addresses count, and none of those. The operator may admit networks that are barred by default, or hold a
pool to some.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from roadstead.errors import LinkError
from roadstead.model import Address, Snapshot, Vm, canonical, config_keys, parse_address

Network = IPv4Network | IPv6Network
BROADCAST = IPv4Address("255.255.255.255")


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for the VMs of one pool."""

    admit: tuple[Network, ...] = ()
    """Networks whose addresses are allowed although they are barred by default."""
    only: tuple[Network, ...] = ()
    """When given, nothing outside these networks is used."""
    barred: frozenset[str] = frozenset()
    """Canonical addresses that are never a guest's: those of the pool's hosts and our own."""
    limit: int = 16


def texts_of(vm: Vm) -> tuple[str, ...]:
    """Return all that is said to be an address of ``vm``, each once: the one that an operator gave comes first."""
    given = vm.settings.get(config_keys.ADDRESS)
    return tuple(dict.fromkeys([*([given] if given else []), *vm.addresses]))


def candidates(vm: Vm, given: str | None, winner: str | None, rules: Rules) -> tuple[str, ...]:
    """Return the addresses of ``vm`` to try, best first: ``given`` by the operator, the last ``winner``, IPv4, IPv6.

    Raises `LinkError` ``no-address`` or ``no-guest-tools`` when there is none at all, ``address-not-allowed`` when
    none may be used.
    """
    texts = ([given] if given else []) + list(vm.addresses)
    if not texts:
        raise LinkError("no-address" if vm.has_tools else "no-guest-tools", vm=vm.id)
    if given and (reason := refusal(given, rules)) is not None:
        # Whoever set it wants this one called: another that works would hide that it is not.
        raise LinkError("address-not-allowed", vm=vm.id, pool=vm.pool_name, addresses=given, reason=reason)
    allowed, reasons = [], []
    for text in texts:
        reason = refusal(text, rules)
        if reason is None:
            allowed.append(canonical(text) or text)
        else:
            reasons.append(reason)
    if not allowed:
        shown = ", ".join(texts[: rules.limit])
        raise LinkError("address-not-allowed", vm=vm.id, pool=vm.pool_name, addresses=shown, reason=reasons[0])
    return tuple(_ordered(allowed, canonical(given) if given else None, winner))[: rules.limit]


def refusal(text: str, rules: Rules) -> str | None:
    """Return why the address ``text`` must not be used, or None when it may."""
    address = parse_address(text)
    if address is None:
        return "it is no literal IP address"
    if rules.only and not _within(address, rules.only):
        return "it lies outside the networks that the pool is held to"
    if _within(address, rules.admit):
        return None
    return _barred_by_kind(address) or _barred_by_owner(address, rules)


def unclaimed(vm: Vm, addresses: Iterable[str], snapshot: Snapshot) -> tuple[str, ...]:
    """Return those of ``addresses`` that no other running VM of its pool announces: what a VM without a pin is held to.
    Pools may use the same private networks, so those of other pools say nothing.

    Raises `LinkError` ``address-claimed-twice`` when none is left.
    """
    others: set[str] = set()
    free = []
    for address in addresses:
        claimants = [snapshot.vms[other] for other in snapshot.claimants(address) - {vm.id}]
        names = {other.name for other in claimants if other.pool == vm.pool}
        others.update(names)
        if not names:
            free.append(address)
    if not free:
        shown = ", ".join(addresses)
        raise LinkError("address-claimed-twice", vm=vm.id, addresses=shown, others=", ".join(sorted(others)))
    return tuple(free)


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _barred_by_kind(address: Address) -> str | None:
    if address.is_loopback or address.is_unspecified:
        return "it is the machine's own"
    if address.is_link_local:
        return "it is link-local"
    if address.is_multicast or address == BROADCAST:
        return "it is no single machine's"
    return None


def _barred_by_owner(address: Address, rules: Rules) -> str | None:
    return "it belongs to a host of the pool or to Roadstead" if str(address) in rules.barred else None


def _ordered(allowed: list[str], given: str | None, winner: str | None) -> list[str]:
    unique = list(dict.fromkeys(allowed))
    return sorted(unique, key=lambda address: (address != given, address != winner, ":" in address))
