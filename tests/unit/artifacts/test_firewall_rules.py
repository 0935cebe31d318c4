"""The rules of each place judge packets one by one as the requirement says, also those that no connection shows."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

import pytest

from roadstead.artifacts.firewall.rules import FORWARD, ICMP, INPUT, NEIGHBOURS, OUTPUT, Rule, build
from roadstead.model.firewall import Flow, Place, RuleSet, Server

OURS, THEIRS = {4: "10.0.0.7", 6: "fd00::7"}, {4: "10.0.1.5", 6: "fd00:1::5"}
STRANGER, SERVER = {4: "192.0.2.1", 6: "2001:db8::1"}, {4: "10.0.0.53", 6: "fd00::53"}
MANAGEMENT = (ip_network("10.0.0.0/24"), ip_network("fd00::/64"))
GUESTS = (ip_network("10.0.1.5/32"), ip_network("fd00:1::5/128"))


@dataclass(frozen=True, slots=True)
class Packet:
    """What a filter sees of a packet."""

    source: str
    destination: str
    protocol: str
    state: str
    from_port: int = 40000
    to_port: int = 40000


def passes(rules: list[Rule], chain: str, packet: Packet) -> bool:
    """The first rule that matches decides; what none matches passes."""
    return next((rule.passes for rule in rules if rule.chain == chain and _matches(rule, packet)), True)


def _matches(rule: Rule, packet: Packet) -> bool:
    source, destination = ip_address(packet.source), ip_address(packet.destination)
    return (
        (not rule.source or any(source in network for network in rule.source))
        and (not rule.destination or any(destination in network for network in rule.destination))
        and (not rule.protocol or rule.protocol == packet.protocol)
        and (not rule.from_ports or packet.from_port in rule.from_ports)
        and (not rule.to_ports or packet.to_port in rule.to_ports)
        and (not rule.states or packet.state in rule.states)
    )


def built(place: Place, version: int, **more: object) -> list[Rule]:
    """The rules of a place for one guest."""
    flow = Flow(management=MANAGEMENT, guests=() if place is Place.GUEST else GUESTS, ports=(22, 2376))
    return build(RuleSet(place=place, flows=(flow,), **more), version)  # type: ignore[arg-type]


WAYS = {Place.ROUTER: (FORWARD, FORWARD), Place.GUEST: (INPUT, OUTPUT), Place.DOM0: (OUTPUT, INPUT)}
"""The chains from management to guests and back."""
EVERY = [pytest.param(place, version, id=f"{place}-{version}") for place in Place for version in (4, 6)]


@pytest.mark.parametrize(("place", "version"), EVERY)
def test_guests_only_answer(place: Place, version: int) -> None:
    """From an open port, too, they open nothing; nothing but an answer comes from them, and only from there."""
    rules, ours, theirs = built(place, version), OURS[version], THEIRS[version]
    there, back = WAYS[place]
    for port in (22, 2376):
        assert passes(rules, there, Packet(ours, theirs, "tcp", "new", to_port=port))
        assert passes(rules, there, Packet(ours, theirs, "tcp", "established", to_port=port))
        assert passes(rules, back, Packet(theirs, ours, "tcp", "established", from_port=port))
        for state in ("new", "related", "invalid"):
            assert not passes(rules, back, Packet(theirs, ours, "tcp", state, from_port=port))
            assert not passes(rules, back, Packet(theirs, ours, "udp", state, from_port=port))
    for state in ("new", "established", "related"):
        assert not passes(rules, back, Packet(theirs, ours, "tcp", state, from_port=80))
        assert not passes(rules, there, Packet(ours, theirs, "tcp", state, to_port=80))
        assert not passes(rules, there, Packet(ours, theirs, "udp", state, to_port=22))
        assert not passes(rules, back, Packet(theirs, ours, ICMP, state))


@pytest.mark.parametrize("version", [4, 6])
def test_a_guest_forwards_nothing_from_or_to_management(version: int) -> None:
    """Neither the one direction nor the other, whatever the port; strangers' packets pass."""
    rules, ours, other = built(Place.GUEST, version), OURS[version], STRANGER[version]
    for state in ("new", "established", "related"):
        for port in (22, 80, 2376):
            for protocol in ("tcp", "udp"):
                assert not passes(rules, FORWARD, Packet(ours, other, protocol, state, port, port))
                assert not passes(rules, FORWARD, Packet(other, ours, protocol, state, port, port))
    assert passes(rules, FORWARD, Packet(other, THEIRS[version], "tcp", "new"))


@pytest.mark.parametrize("place", [Place.GUEST, Place.DOM0])
def test_neighbours_find_each_other(place: Place) -> None:
    """Else two machines of one IPv6 network never meet; in IPv4 no filter of these sees ARP."""
    rules = built(place, 6)
    for chain in (INPUT, OUTPUT):
        assert passes(rules, chain, Packet(OURS[6], THEIRS[6], NEIGHBOURS, "untracked"))
        assert passes(rules, chain, Packet(THEIRS[6], OURS[6], NEIGHBOURS, "untracked"))
    assert not passes(built(place, 4), INPUT, Packet(*ends(place), NEIGHBOURS, "untracked"))


def ends(place: Place) -> tuple[str, str]:
    """Whom the machine of a place judges, and itself, in IPv4."""
    return (OURS[4], THEIRS[4]) if place is Place.GUEST else (THEIRS[4], OURS[4])


@pytest.mark.parametrize(("place", "version"), EVERY)
def test_a_server_answers_and_asks_nothing(place: Place, version: int) -> None:
    """The exception is for that port of that server, and for what guests begin."""
    server = Server(ip_address(SERVER[version]), "udp", 53)
    rules, one, theirs = built(place, version, servers=(server,)), SERVER[version], THEIRS[version]
    there, back = WAYS[place]
    assert passes(rules, back, Packet(theirs, one, "udp", "new", to_port=53))
    assert passes(rules, there, Packet(one, theirs, "udp", "established", from_port=53))
    assert not passes(rules, there, Packet(one, theirs, "udp", "new", from_port=53))
    assert not passes(rules, back, Packet(theirs, one, "tcp", "new", to_port=53))
    assert not passes(rules, back, Packet(theirs, OURS[version], "udp", "new", to_port=53))
