"""Firewall rules as the server writes them, byte for byte, and what a check found."""

import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from roadstead.cli import failures
from roadstead.cli.api import client
from roadstead.cli.api.views import PortFinding, VmFindings
from roadstead.cli.display import output, table
from roadstead.kit.text import terminal_clean

Scope = dict[str, str | None]


def write(connected: client.Client, wanted: dict[str, Any]) -> None:
    """Print the rules that are wanted."""
    sys.stdout.buffer.write(connected.text("/firewall/rules", wanted))
    sys.stdout.buffer.flush()


def check(connected: client.Client, scope: Scope, format: str) -> None:
    """Print what a check finds, and end by it."""
    found = connected.post(list[VmFindings], "/firewall/check", dict(scope))
    if format == "json":
        output.write_json(msgspec.json.encode(found))
    else:
        output.write(_told(found))
    failures.leave([one.ok for one in found])


def _told(found: Sequence[VmFindings]) -> list[str]:
    if not found:
        return ["No managed VM runs there: nothing was tried."]
    rows = [(one, port) for one in found for port in _shown(one)]
    painted = _painted if output.is_coloured() else None
    columns = [
        table.Column("VM", [one.name for one, _ in rows], least=10),
        table.Column("ADDRESS", [port.address or "-" for _, port in rows], whole=True),
        table.Column("PORT", [_ports(one, port) for one, port in rows], whole=True),
        table.Column("MUST BE", [port.expected or "-" for _, port in rows], whole=True),
        table.Column("IS", [port.state for _, port in rows], paint=painted, whole=True),
    ]
    lines = [*table.lines(columns, output.room())]
    for one in found:
        remedies = dict.fromkeys(port.remedy for port in one.ports if port.remedy and _counts(one, port))
        lines += [terminal_clean(f"{one.name}: {text}") for text in (*one.notes, *remedies)]
    return lines


def _shown(one: VmFindings) -> list[PortFinding]:
    """Return the ports of one VM that deserve a row: of those that are closed as they must be one speaks for all."""
    closed = [port for port in one.ports if port.ok and port.expected == "closed"]
    rows = [port for port in one.ports if port not in closed]
    rows += [next(port for port in closed if port.state == state) for state in dict.fromkeys(p.state for p in closed)]
    return rows or [PortFinding(state="not tried")]


def _ports(one: VmFindings, shown: PortFinding) -> str:
    """Return the port, or for one that speaks for several all of them."""
    if not shown.ok or shown.expected != "closed":
        return str(shown.port or "-")
    same = [port.port for port in one.ports if port.ok and (port.expected, port.state) == ("closed", shown.state)]
    return ", ".join(map(str, same))


def _counts(one: VmFindings, port: PortFinding) -> bool:
    """Whether a finding is one: of a VM with several addresses it is enough that one answers."""
    return port.expected == "closed" or not any(other.ok for other in one.ports if other.expected == "open")


def _painted(state: str) -> str:
    return output.painted(state, {"open": output.GREEN, "no answer": output.DIM}.get(state, output.YELLOW))
