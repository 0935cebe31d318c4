"""Rules for the Windows firewall in a guest, as a PowerShell script.

There a rule that blocks beats every rule that allows, so nothing is blocked with exceptions: what is blocked is named
so that what may pass is not part of it. Replies to connections that may pass need no rule, the firewall keeps track of
them. The whole stands under one group, by which it is taken away.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise

from roadstead.artifacts.firewall.text import commented
from roadstead.model.firewall import Network, RuleSet, Server

GROUP = "Roadstead"
LAST_PORT = 65535
_PROTOCOLS = ("TCP", "UDP")
_ICMP = {4: "ICMPv4", 6: "ICMPv6"}
_ECHO = {4: 8, 6: 128}
"""Types of ICMP and ICMPv6: echo request. Errors that belong to a connection must not be blocked with it."""
_REMOVE = f"Get-NetFirewallRule -Group '{GROUP}' -ErrorAction SilentlyContinue | Remove-NetFirewallRule"


def render(rules: RuleSet) -> str:
    """Return a script that puts the rules in place of former ones of ours."""
    usage = "powershell -ExecutionPolicy Bypass -File FILE.ps1   (as an administrator)"
    head = [*commented(rules, usage), "$ErrorActionPreference = 'Stop'", _REMOVE]
    return "\r\n".join([*head, *_inbound(rules), *_outbound(rules)]) + "\r\n"


def undo() -> str:
    """Return a script that takes the rules away."""
    return f"# Takes Roadstead's rules away.\r\n$ErrorActionPreference = 'Stop'\r\n{_REMOVE}\r\n"


def _inbound(rules: RuleSet) -> Iterator[str]:
    ports = sorted({port for flow in rules.flows for port in flow.ports})
    management = [*rules.management(4), *rules.management(6)]
    yield _rule("open", "Inbound", "Allow", management, protocol="TCP", local_ports=[str(port) for port in ports])
    yield _rule("rest-TCP", "Inbound", "Block", management, protocol="TCP", local_ports=_others(ports))
    yield _rule("rest-UDP", "Inbound", "Block", management, protocol="UDP")
    yield from _icmp(rules, "Inbound")


def _outbound(rules: RuleSet) -> Iterator[str]:
    servers = {server.network for server in rules.servers}
    management = [part for version in (4, 6) for one in rules.management(version) for part in _without(one, servers)]
    for protocol in _PROTOCOLS:
        if management:
            yield _rule(f"rest-{protocol}", "Outbound", "Block", management, protocol=protocol)
        for network in sorted(servers, key=str):
            asked = [one.port for one in rules.servers if one.network == network and _is(one, protocol)]
            name = f"server-{network.network_address}-{protocol}"
            yield _rule(name, "Outbound", "Block", [network], protocol=protocol, remote_ports=_others(sorted(asked)))
    yield from _icmp(rules, "Outbound")


def _icmp(rules: RuleSet, direction: str) -> Iterator[str]:
    for version, protocol in _ICMP.items():
        if networks := rules.management(version):
            kind = f" -IcmpType {_ECHO[version]}" if rules.icmp or version == 6 else ""  # noqa: PLR2004 - as in _ICMP
            yield _rule(f"rest-{protocol}", direction, "Block", networks, protocol=protocol) + kind


def _rule(
    name: str,
    direction: str,
    action: str,
    networks: Iterable[object],
    *,
    protocol: str,
    local_ports: Iterable[str] = (),
    remote_ports: Iterable[str] = (),
) -> str:
    words = [
        f"New-NetFirewallRule -Group '{GROUP}' -DisplayName '{GROUP}: {direction} {name}'",
        f"-Direction {direction} -Action {action} -Profile Any -Protocol {protocol}",
        f"-RemoteAddress {_list(map(str, networks))}",
    ]
    words += [f"-LocalPort {_list(local_ports)}"] if local_ports else []
    words += [f"-RemotePort {_list(remote_ports)}"] if remote_ports else []
    return " ".join(words)


def _list(values: Iterable[str]) -> str:
    return ", ".join(f"'{value}'" for value in values)


def _others(ports: list[int]) -> list[str]:
    """Return all ports but these, as ranges."""
    edges = [-1, *ports, LAST_PORT + 1]
    gaps = [(before + 1, after - 1) for before, after in pairwise(edges) if after - before > 1]
    return [str(first) if first == last else f"{first}-{last}" for first, last in gaps]


def _without(network: Network, servers: Iterable[Network]) -> list[str]:
    """Return what is left of ``network`` when ``servers``, of one address each, are taken out: as ranges."""
    first, last = int(network.network_address), int(network.broadcast_address)
    known = sorted(int(one.network_address) for one in servers if one.version == network.version)
    inside = [number for number in known if first <= number <= last]
    if not inside:
        return [str(network)]
    edges = [first - 1, *inside, last + 1]
    gaps = [(before + 1, after - 1) for before, after in pairwise(edges) if after - before > 1]
    address = type(network.network_address)
    return [f"{address(start)}-{address(end)}" for start, end in gaps]


def _is(server: Server, protocol: str) -> bool:
    return server.protocol == protocol.lower()
