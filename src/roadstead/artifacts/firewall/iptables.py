"""Rules for iptables and ip6tables: a script for ``sh``, since a machine needs both and a jump must be there once.

Only chains of our own are written, in one step for each version of IP and after both were tried; what others keep in
the table stays. The jumps stand first, so what may pass passes whatever else the machine has. Docker puts its own
jumps before others when it starts; its chain ``DOCKER-USER`` comes before these, so rules hang there, too.
"""

from collections.abc import Iterator
from itertools import product

from roadstead.artifacts.firewall.rules import CHAINS, FORWARD, ICMP, INPUT, NEIGHBOURS, OUTPUT, Rule, build
from roadstead.artifacts.firewall.text import commented
from roadstead.model.firewall import Place, RuleSet

_OURS = {INPUT: "ROADSTEAD-IN", OUTPUT: "ROADSTEAD-OUT", FORWARD: "ROADSTEAD-FWD"}
_THEIRS = {INPUT: "INPUT", OUTPUT: "OUTPUT", FORWARD: "FORWARD"}
_DOCKER = "DOCKER-USER"
_ICMP = {4: "icmp", 6: "icmpv6"}
_PORTS_IN_A_RULE = 15
"""As many as multiport takes."""
_NEIGHBOUR_MESSAGES = (135, 136)
"""Types of ICMPv6: neighbour solicitation and advertisement (RFC 4861)."""
_TABLES = """\
set -eu
PATH=$PATH:/usr/sbin:/sbin
tables() { if [ "$1" = 4 ]; then echo iptables; else echo ip6tables; fi; }
versions=4
[ ! -e /proc/net/if_inet6 ] || versions="4 6"
"""
_TRY = """\
for version in $versions; do
    "rules_$version" | "$(tables "$version")-restore" --noflush --test
done
"""
_APPLY = """\
jump() {
    "$1" -w -C "$2" -j "$3" 2>/dev/null || "$1" -w -I "$2" 1 -j "$3"
}
for version in $versions; do
    command=$(tables "$version")
    "rules_$version" | "$command-restore" --noflush
"""
_UNDO = """\
gone() {
    while "$1" -w -D "$2" -j "$3" 2>/dev/null; do :; done
}
for version in $versions; do
    command=$(tables "$version")
"""


def render(rules: RuleSet) -> str:
    """Return a script that puts the rules in place of former ones of ours."""
    lines = ["#!/bin/sh", *commented(rules, "sh FILE"), _TABLES.rstrip()]
    for version in (4, 6):
        lines += [f"rules_{version}() {{ cat <<'RULES'", *_table(rules, version), "RULES", "}"]
    lines += [_TRY + _APPLY.rstrip()]
    for chain in CHAINS[rules.place]:
        lines += [f'    jump "$command" {_THEIRS[chain]} {_OURS[chain]}']
    if rules.place is Place.GUEST:
        lines += [f'    ! "$command" -w -S {_DOCKER} >/dev/null 2>&1 || jump "$command" {_DOCKER} {_OURS[FORWARD]}']
    return "\n".join([*lines, "done"]) + "\n"


def undo() -> str:
    """Return a script that takes the rules away, whichever place they were for."""
    lines = ["#!/bin/sh", "# Takes Roadstead's rules away.", "", _TABLES + _UNDO.rstrip()]
    for chain, ours in _OURS.items():
        lines += [f'    gone "$command" {_THEIRS[chain]} {ours}']
    lines += [f'    gone "$command" {_DOCKER} {_OURS[FORWARD]}']
    for ours in _OURS.values():
        lines += [f'    ! "$command" -w -F {ours} 2>/dev/null || "$command" -w -X {ours}']
    return "\n".join([*lines, "done"]) + "\n"


def _table(rules: RuleSet, version: int) -> Iterator[str]:
    """Yield the table as ``iptables-restore --noflush`` reads it."""
    yield "*filter"
    for chain in CHAINS[rules.place]:
        yield f":{_OURS[chain]} - [0:0]"
    for rule in build(rules, version):
        yield from _lines(rule, version)
    yield "COMMIT"


def _lines(rule: Rule, version: int) -> Iterator[str]:
    """Yield ``rule`` once for each pair of networks: a line of a file that is restored has a limit."""
    sources = [f"-s {network}" for network in rule.source] or [""]
    destinations = [f"-d {network}" for network in rule.destination] or [""]
    verdict = "-j ACCEPT" if rule.passes else "-j DROP"
    for source, destination, matches in product(sources, destinations, _matches(rule, version)):
        yield " ".join(filter(None, [f"-A {_OURS[rule.chain]}", source, destination, matches, verdict]))


def _matches(rule: Rule, version: int) -> list[str]:
    """Return what ``rule`` asks of a packet besides its addresses; any of it is enough."""
    if rule.protocol == NEIGHBOURS:
        return [f"-p icmpv6 -m icmp6 --icmpv6-type {kind}" for kind in _NEIGHBOUR_MESSAGES]
    protocol = f"-p {_ICMP[version] if rule.protocol == ICMP else rule.protocol}" if rule.protocol else ""
    state = f"-m conntrack --ctstate {','.join(rule.states).upper()}" if rule.states else ""
    ports = [*_multiport("--sports", rule.from_ports), *_multiport("--dports", rule.to_ports)] or [""]
    return [" ".join(filter(None, [protocol, some, state])) for some in ports]


def _multiport(option: str, ports: tuple[int, ...]) -> list[str]:
    starts = range(0, len(ports), _PORTS_IN_A_RULE)
    return [f"-m multiport {option} {','.join(map(str, ports[at : at + _PORTS_IN_A_RULE]))}" for at in starts]
