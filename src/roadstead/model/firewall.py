"""What a firewall has to let through, whatever it is made of: the network requirement as records, without a dialect.

Management may open connections to guests on the ports of SSH and Docker's TLS, and guests may answer these; nothing
else passes between the two.
"""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from roadstead.model.addresses import Address

Network = IPv4Network | IPv6Network


class Place(StrEnum):
    """Where rules stand."""

    ROUTER = "router"
    """Between the networks: it judges what it forwards."""
    GUEST = "guest"
    """In a guest: it judges what is from and to management."""
    DOM0 = "dom0"
    """In the control domain of a host: it judges what is from and to guests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """``management`` may open TCP connections to ``ports`` of ``guests``. In a guest, ``guests`` is the guest itself
    and stays empty.
    """

    management: tuple[Network, ...]
    guests: tuple[Network, ...]
    ports: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Server:
    """A service in the management network that guests may ask although the network is closed to them: DNS, NTP."""

    address: Address
    protocol: str
    port: int

    @property
    def network(self) -> Network:
        """The server as a network of one address."""
        return network_of(self.address)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSet:
    """Everything that the rules of one place say."""

    place: Place
    flows: tuple[Flow, ...]
    servers: tuple[Server, ...] = ()
    icmp: bool = False
    """Whether ICMP errors that belong to a connection pass ("fragmentation needed" is one)."""
    strangers: bool = False
    """Whether a router lets pass what is between management or guests and anybody else."""
    notes: tuple[str, ...] = ()
    """What the reader should know: where the networks are from, who was left out. Untrusted text."""

    def management(self, version: int) -> tuple[Network, ...]:
        """All management networks of one version of IP."""
        return of_version(version, [network for flow in self.flows for network in flow.management])

    def guests(self, version: int) -> tuple[Network, ...]:
        """All guests of one version of IP."""
        return of_version(version, [network for flow in self.flows for network in flow.guests])


def network_of(address: Address) -> Network:
    """Return the network that holds only ``address``."""
    return IPv4Network(address) if address.version == 4 else IPv6Network(address)  # noqa: PLR2004 - the version of IP


def of_version(version: int, networks: list[Network] | tuple[Network, ...]) -> tuple[Network, ...]:
    """Return those of ``networks`` that are of this version of IP, in order, none within another."""
    if version == 4:  # noqa: PLR2004 - the version of IP
        return tuple(collapse_addresses(one for one in networks if isinstance(one, IPv4Network)))
    return tuple(collapse_addresses(one for one in networks if isinstance(one, IPv6Network)))
