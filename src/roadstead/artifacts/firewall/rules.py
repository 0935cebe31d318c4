"""The rules of a place, one by one, as every packet filter of Linux has them; `nft` and `iptables` only spell them.

Order matters: what may pass comes first, the rest is dropped. Connections are told apart by the kernel's tracking:
whoever opens one needs *new*, and guests never have that.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from roadstead.model.firewall import Flow, Network, Place, RuleSet, Server, of_version

INPUT, OUTPUT, FORWARD = "input", "output", "forward"
CHAINS = {Place.ROUTER: (FORWARD,), Place.GUEST: (INPUT, OUTPUT, FORWARD), Place.DOM0: (INPUT, OUTPUT)}
"""What each place judges. A guest forwards for its containers, which must not get past the rules."""
OPENS, ANSWERS, BELONGS = ("new", "established"), ("established",), ("related",)
ICMP, NEIGHBOURS = "icmp", "neighbours"
"""Protocols of a `Rule` besides ``tcp`` and ``udp``: ICMP of the rule's own version of IP, and the messages by which
IPv6 finds neighbours, which is what ARP is for IPv4 and passes no filter there.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What matches everything that is said here (what is left empty matches all) passes, or is dropped."""

    chain: str
    passes: bool
    source: tuple[Network, ...] = ()
    destination: tuple[Network, ...] = ()
    protocol: str = ""
    from_ports: tuple[int, ...] = ()
    to_ports: tuple[int, ...] = ()
    states: tuple[str, ...] = ()


def build(rules: RuleSet, version: int) -> list[Rule]:
    """Return the rules for one version of IP, in order."""
    makers = {Place.ROUTER: _router, Place.GUEST: _guest, Place.DOM0: _dom0}
    return list(makers[rules.place](rules, version))


def _router(rules: RuleSet, version: int) -> Iterator[Rule]:
    management, guests = rules.management(version), rules.guests(version)
    for flow in _flows(rules, version):
        if flow.management and flow.guests:
            yield from _opened(FORWARD, FORWARD, flow)
    for server in _servers(rules, version):
        if guests:
            yield from _asked(FORWARD, FORWARD, guests, server)
    if rules.icmp:
        yield _related(FORWARD)
    if not rules.strangers:
        for ours in dict.fromkeys(flow.management for flow in _flows(rules, version) if flow.management):
            # Roadstead may stand in another network than the hosts of a pool, and calls them through this router.
            yield Rule(chain=FORWARD, passes=True, source=ours, destination=ours)
        if judged := of_version(version, management + guests):
            yield Rule(chain=FORWARD, passes=False, source=judged)
            yield Rule(chain=FORWARD, passes=False, destination=judged)
    elif management and guests:
        yield Rule(chain=FORWARD, passes=False, source=management, destination=guests)
        yield Rule(chain=FORWARD, passes=False, source=guests, destination=management)


def _guest(rules: RuleSet, version: int) -> Iterator[Rule]:
    management = rules.management(version)
    if not management:
        return
    for flow in _flows(rules, version):
        if flow.management:
            yield from _opened(INPUT, OUTPUT, flow)
    for server in _servers(rules, version):
        yield from _asked(OUTPUT, INPUT, (), server)
        yield from _asked(FORWARD, FORWARD, (), server)
    yield from _besides(rules, version, management)
    for chain in CHAINS[Place.GUEST]:
        if chain != OUTPUT:
            yield Rule(chain=chain, passes=False, source=management)
        if chain != INPUT:
            yield Rule(chain=chain, passes=False, destination=management)


def _dom0(rules: RuleSet, version: int) -> Iterator[Rule]:
    guests = rules.guests(version)
    if not guests:
        return
    for flow in _flows(rules, version):
        if flow.guests:
            yield from _opened(OUTPUT, INPUT, Flow(management=(), guests=flow.guests, ports=flow.ports))
    for server in _servers(rules, version):
        yield from _asked(INPUT, OUTPUT, guests, server)
    yield from _besides(rules, version, guests)
    yield Rule(chain=INPUT, passes=False, source=guests)
    yield Rule(chain=OUTPUT, passes=False, destination=guests)


def _flows(rules: RuleSet, version: int) -> Iterator[Flow]:
    for flow in rules.flows:
        management, guests = of_version(version, flow.management), of_version(version, flow.guests)
        yield Flow(management=management, guests=guests, ports=flow.ports)


def _servers(rules: RuleSet, version: int) -> list[Server]:
    return [server for server in rules.servers if server.address.version == version]


def _opened(there: str, back: str, flow: Flow) -> Iterator[Rule]:
    """Management opens, guests answer."""
    ours, theirs = flow.management, flow.guests
    yield Rule(
        chain=there, passes=True, source=ours, destination=theirs, protocol="tcp", to_ports=flow.ports, states=OPENS
    )
    yield Rule(
        chain=back, passes=True, source=theirs, destination=ours, protocol="tcp", from_ports=flow.ports, states=ANSWERS
    )


def _asked(there: str, back: str, guests: tuple[Network, ...], server: Server) -> Iterator[Rule]:
    """Guests ask a server, it answers."""
    it, protocol, ports = (server.network,), server.protocol, (server.port,)
    yield Rule(chain=there, passes=True, source=guests, destination=it, protocol=protocol, to_ports=ports, states=OPENS)
    yield Rule(
        chain=back, passes=True, source=it, destination=guests, protocol=protocol, from_ports=ports, states=ANSWERS
    )


def _related(chain: str) -> Rule:
    return Rule(chain=chain, passes=True, protocol=ICMP, states=BELONGS)


def _besides(rules: RuleSet, version: int, others: tuple[Network, ...]) -> Iterator[Rule]:
    """What a machine (not a router) lets pass besides connections."""
    if rules.icmp:
        yield from (_related(chain) for chain in CHAINS[rules.place])
    if version == 6:  # noqa: PLR2004 - the version of IP
        yield Rule(chain=INPUT, passes=True, source=others, protocol=NEIGHBOURS)
        yield Rule(chain=OUTPUT, passes=True, destination=others, protocol=NEIGHBOURS)
