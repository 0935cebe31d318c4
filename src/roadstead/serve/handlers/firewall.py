"""Firewall rules as files for operators, and the check of what passes from this server."""

from collections.abc import Sequence

from starlette.responses import Response

from roadstead.artifacts import firewall as dialects
from roadstead.errors import InputError
from roadstead.inventory import names
from roadstead.model import PoolId, VmId, parse_address
from roadstead.model.addresses import parse_network
from roadstead.model.firewall import Network, Place, Server
from roadstead.plan.firewall import Wanted
from roadstead.serve import answers
from roadstead.serve.bodies import FirewallRules, FirewallScope
from roadstead.serve.calls import Call

MEDIA_TYPE = "text/plain"
DNS, NTP = (("udp", 53), ("tcp", 53)), (("udp", 123),)


async def print_firewall_rules(call: Call, body: FirewallRules) -> Response:
    """Return firewall rules as a file: management opens connections to guests, guests only answer.

    `nft` is for `nft -f`, `iptables` and `firewalld` for `sh`, `windows` for PowerShell. The same inventory gives the
    same file. What VMs are called stands in comments only.
    """
    if body.undo:
        return Response(dialects.undo(body.dialect), media_type=MEDIA_TYPE)
    if body.place is None:
        raise InputError("field-invalid", field="place", reason="say where the rules will stand: router, guest or dom0")
    pool, vm = _scope(call, body)
    wanted = Wanted(
        place=Place(body.place),
        pool=pool,
        vm=vm,
        management=_networks("management", body.management),
        guests=_networks("guests", body.guests),
        servers=(*_servers("dns", body.dns, DNS), *_servers("ntp", body.ntp, NTP)),
        icmp=body.icmp,
        strangers=body.strangers == "pass",
    )
    rules = await call.commands.firewall.rules(wanted)
    return Response(dialects.render(body.dialect, rules), media_type=MEDIA_TYPE)


async def check_firewalls(call: Call, body: FirewallScope | None = None) -> Response:
    """Try from here, at managed VMs that run, what must be open and what must not; takes a minute at most.

    Only addresses are called that the VM may be called at. Ports that must not be open are tried only where the VM's
    own host key answers.
    """
    pool, vm = _scope(call, body or FirewallScope())
    return answers.record(await call.commands.firewall.check(pool, vm))


def _scope(call: Call, body: FirewallScope) -> tuple[PoolId | None, VmId | None]:
    if body.pool is not None and body.vm is not None:
        raise InputError("field-invalid", field="vm", reason="name a pool or a VM, not both")
    pool = names.find_pool(call.store, body.pool).id if body.pool is not None else None
    return pool, names.find_vm(call.store, body.vm).id if body.vm is not None else None


def _networks(field: str, texts: Sequence[str]) -> tuple[Network, ...]:
    found = []
    for text in texts:
        try:
            found.append(parse_network(text.strip()))
        except ValueError as error:
            raise InputError("network-invalid", field=field, value=text) from error
    return tuple(found)


def _servers(field: str, texts: Sequence[str], ports: tuple[tuple[str, int], ...]) -> list[Server]:
    found = []
    for text in texts:
        address = parse_address(text)
        if address is None:
            raise InputError("field-invalid", field=field, reason=f"{text!r} is no IP address")
        found += [Server(address, protocol, port) for protocol, port in ports]
    return found
