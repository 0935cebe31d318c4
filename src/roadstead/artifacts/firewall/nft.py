"""Rules for nftables: one table of our own, replaced as a whole; other tables stay as they are.

A ``drop`` is final whoever says it, an ``accept`` ends only our own chain: what another table drops stays dropped. The
priority is that of the usual filters less 5, so that these rules count what they judge before others do.
"""

from collections.abc import Iterator

from roadstead.artifacts.firewall.rules import CHAINS, ICMP, NEIGHBOURS, Rule, build
from roadstead.artifacts.firewall.text import commented
from roadstead.model.firewall import Network, RuleSet

TABLE = "inet roadstead"
_EMPTIED = (f"table {TABLE}", f"delete table {TABLE}")
"""Declared before it is deleted, so that it need not be there."""
_FAMILY = {4: "ip", 6: "ip6"}
_ICMP = {4: "icmp", 6: "ipv6-icmp"}
_NEIGHBOURS = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert }"
_ELEMENTS_IN_A_LINE = 6


def render(rules: RuleSet) -> str:
    """Return a file for ``nft -f``."""
    lines = ["#!/usr/sbin/nft -f", *commented(rules, "nft -f FILE"), *_EMPTIED, f"table {TABLE} {{"]
    found = [(version, rule) for version in (4, 6) for rule in build(rules, version)]
    for chain in CHAINS[rules.place]:
        lines += [f"    chain {chain} {{", f"        type filter hook {chain} priority filter - 5; policy accept;"]
        lines += [f"        {_rule(rule, version)}" for version, rule in found if rule.chain == chain]
        lines += ["    }"]
    return "\n".join([*lines, "}"]) + "\n"


def undo() -> str:
    """Return a file that takes the rules away."""
    return "\n".join(["#!/usr/sbin/nft -f", "# Takes Roadstead's rules away.", *_EMPTIED]) + "\n"


def _rule(rule: Rule, version: int) -> str:
    return " ".join([*_matches(rule, version), "accept" if rule.passes else "drop"])


def _matches(rule: Rule, version: int) -> Iterator[str]:
    family = _FAMILY[version]
    if not (rule.source or rule.destination):
        yield f"meta nfproto ipv{version}"
    if rule.source:
        yield f"{family} saddr {_set(rule.source)}"
    if rule.destination:
        yield f"{family} daddr {_set(rule.destination)}"
    if rule.protocol == ICMP:
        yield f"meta l4proto {_ICMP[version]}"
    elif rule.protocol == NEIGHBOURS:
        yield _NEIGHBOURS
    elif rule.from_ports:
        yield f"{rule.protocol} sport {_ports(rule.from_ports)}"
    elif rule.to_ports:
        yield f"{rule.protocol} dport {_ports(rule.to_ports)}"
    if rule.states:
        yield f"ct state {{ {', '.join(rule.states)} }}"


def _ports(ports: tuple[int, ...]) -> str:
    return f"{{ {', '.join(map(str, ports))} }}"


def _set(networks: tuple[Network, ...]) -> str:
    shown = [str(one.network_address) if one.prefixlen == one.max_prefixlen else str(one) for one in networks]
    if len(shown) <= _ELEMENTS_IN_A_LINE:
        return f"{{ {', '.join(shown)} }}"
    starts = range(0, len(shown), _ELEMENTS_IN_A_LINE)
    rows = [", ".join(shown[start : start + _ELEMENTS_IN_A_LINE]) for start in starts]
    return "{\n            " + ",\n            ".join(rows) + " }"
