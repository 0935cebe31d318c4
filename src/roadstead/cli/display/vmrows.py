"""VMs as rows of a table."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from roadstead.cli.api import client
from roadstead.cli.api.views import Found, Vm
from roadstead.cli.display import output, rows, table
from roadstead.errors import InputError

ID_DIGITS = 8
"""The first part of a uuid."""
_ALIASES = {"pool": "pool_name", "host": "host_name", "vm": "name"}
_UNSORTABLE = {"containers", "problem", "addresses"}


def write(waiting: client.Waiting, sort: str, *, cut: bool) -> bool:
    """Print the VMs that the server answers with; return whether there were any."""
    found = ordered(waiting.read(list[Vm]), sort)
    output.write(table.lines(columns(found, cut=cut), output.room() if cut else None))
    return bool(found)


def write_found(waiting: client.Waiting, *, cut: bool) -> None:
    """Print what a search found: VMs first, then containers."""
    found = waiting.read(Found)
    room, now = output.room() if cut else None, datetime.now(UTC)
    if found.vms:
        output.write([*table.lines(columns(ordered(list(found.vms), "pool_name,name"), cut=cut), room)])
    if found.vms and found.containers:
        output.write([""])
    if found.containers:
        output.write(table.lines(rows.columns(rows.ordered(list(found.containers), "vm_name,name"), now), room))
    if not found.vms and not found.containers:
        output.write(["Nothing matches."])


def columns(vms: Sequence[Vm], *, cut: bool = True) -> list[table.Column]:
    """Return the columns that show ``vms``, with as much of an id as names one, or (not ``cut``) all of it."""
    return [
        table.Column("NAME", [vm.name for vm in vms], least=10),
        table.Column("STATE", [vm.state for vm in vms], paint=output.state_painter()),
        table.Column("CONTAINERS", [held(vm) for vm in vms], rank=2, whole=True),
        table.Column("POOL", [vm.pool_name or "-" for vm in vms], least=table.NAME_CELLS, rank=5),
        table.Column("HOST", [vm.host_name or "-" for vm in vms], least=table.NAME_CELLS, rank=4),
        table.Column("ADDRESS", [_address(vm) for vm in vms], rank=3, whole=True),
        table.Column("PROBLEM", [vm.problem.code if vm.problem else "-" for vm in vms], rank=1, whole=True),
        table.Column("ID", [vm.id[:ID_DIGITS] if cut else vm.id for vm in vms], rank=6, whole=True),
    ]


def _address(vm: Vm) -> str:
    return vm.address or (vm.addresses[0] if vm.addresses else "-")


def held(vm: Vm) -> str:
    """Return how many containers a VM has; of stale ones nobody knows how many run."""
    counts = vm.containers
    if not vm.enabled and not counts.total:
        return "-"
    if vm.stale:
        return f"{counts.total}, unknown" if counts.total else "unknown"
    return f"{counts.total}, {counts.running} running"


def ordered(vms: list[Vm], sort: str) -> list[Vm]:
    """Return ``vms`` in the order that ``sort`` names. Raises `InputError`."""
    for term in reversed(sort.split(",")):
        name = field(term.strip().removeprefix("-"))
        vms = sorted(vms, key=lambda vm, name=name: _key(getattr(vm, name)), reverse=term.startswith("-"))  # type: ignore[misc]
    return vms


def named(sort: str) -> list[str]:
    """Return the fields that ``sort`` names. Raises `InputError` when there is none of such a name."""
    return [field(term.strip().removeprefix("-")) for term in sort.split(",")]


def field(name: str) -> str:
    """Return the record's field that ``name`` stands for. Raises `InputError` when there is none to order by."""
    known = sorted(set(Vm.__struct_fields__) - _UNSORTABLE)
    found = _ALIASES.get(name, name)
    if found not in known:
        raise InputError("field-invalid", field="--sort", reason=f"there is no {name!r} among {', '.join(known)}")
    return found


def _key(value: Any) -> tuple[bool, Any]:
    return value is None, value
