"""Rules for firewalld (0.9 or newer) in a guest: a zone of management's networks, and policies around it.

firewalld lets answers pass by itself, and always the ICMP errors that belong to a connection. It has no rules for a
router that would leave alone what the router itself offers, so there is none here.
"""

from collections.abc import Iterable, Iterator

from roadstead.artifacts.firewall.text import commented
from roadstead.model.firewall import RuleSet, Server

ZONE = "roadstead"
OUT, FORWARD_IN, FORWARD_OUT = "roadstead-out", "roadstead-fwd-in", "roadstead-fwd-out"
"""Policies: from the guest to management, from management through the guest, from its containers to management."""
_POLICIES = ((OUT, "HOST", ZONE), (FORWARD_IN, ZONE, "ANY"), (FORWARD_OUT, "ANY", ZONE))
_ICMP_NOTE = "# firewalld lets ICMP errors that belong to a connection pass in any case."
_NEIGHBOURS = ("neighbour-solicitation", "neighbour-advertisement")
_START = """\
set -eu
# FIREWALL_CMD=firewall-offline-cmd writes the permanent configuration where firewalld does not run.
set_() { ${FIREWALL_CMD:-firewall-cmd --permanent} "$@" >/dev/null; }
gone() { set_ "$@" 2>/dev/null || true; }
"""
_END = '[ -n "${FIREWALL_CMD:-}" ] || firewall-cmd --reload >/dev/null'


def render(rules: RuleSet) -> str:
    """Return a script that puts the rules in place of former ones of ours."""
    head = ["#!/bin/sh", *commented(rules, "sh FILE"), _ICMP_NOTE, _START.rstrip()]
    return "\n".join([*head, *_removal(), *_zone(rules), *_policies(rules), _END]) + "\n"


def undo() -> str:
    """Return a script that takes the rules away."""
    return "\n".join(["#!/bin/sh", "# Takes Roadstead's rules away.", _START.rstrip(), *_removal(), _END]) + "\n"


def _removal() -> Iterator[str]:
    for policy, _, _ in _POLICIES:
        yield f"gone --delete-policy={policy}"
    yield f"gone --delete-zone={ZONE}"


def _zone(rules: RuleSet) -> Iterator[str]:
    # Each call takes a second: what may be said in one is.
    zone = f"set_ --zone={ZONE}"
    ports = sorted({port for flow in rules.flows for port in flow.ports})
    yield f"set_ --new-zone={ZONE}"
    yield f"{zone} --set-target=DROP"
    yield _all(zone, "--add-source", [f"{one}" for version in (4, 6) for one in rules.management(version)])
    yield _all(zone, "--add-port", [f"{port}/tcp" for port in ports])
    if rules.management(6):
        yield _all(zone, "--add-rich-rule", _neighbours())


def _policies(rules: RuleSet) -> Iterator[str]:
    servers = [_asked(server) for server in rules.servers]
    neighbours = _neighbours() if rules.management(6) else []
    for name, source, destination in _POLICIES:
        policy = f"set_ --policy={name}"
        yield f"set_ --new-policy={name}"
        yield f"{policy} --add-ingress-zone={source}"
        # Both zones in one call are refused: HOST and ANY may stand on one side only.
        yield f"{policy} --add-egress-zone={destination}"
        yield f"{policy} --set-target=DROP"
        rich = [*servers, *neighbours] if name == OUT else servers if name == FORWARD_OUT else []
        if rich:
            yield _all(policy, "--add-rich-rule", rich)


def _all(command: str, option: str, values: Iterable[str]) -> str:
    return " ".join([command, *(f"{option}='{value}'" for value in values)])


def _neighbours() -> list[str]:
    return [f'rule family="ipv6" icmp-type name="{message}" accept' for message in _NEIGHBOURS]


def _asked(server: Server) -> str:
    family, address = f"ipv{server.address.version}", server.address
    port = f'port port="{server.port}" protocol="{server.protocol}"'
    return f'rule family="{family}" destination address="{address}" {port} accept'
