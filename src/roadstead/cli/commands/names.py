"""Which VMs the names on the command line stand for: a name or uuid that the server resolves, or a pattern."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from roadstead.cli.api import client
from roadstead.cli.api.views import Vm
from roadstead.errors import NotFoundError


def vms(connected: client.Client, names: Iterable[str]) -> list[Vm]:
    """Return the VMs that ``names`` stand for, each once, in the order of the names.

    Raises `Refused` (unknown or ambiguous, as the server says it) and `NotFoundError` (a pattern that matches none).
    """
    found: dict[str, Vm] = {}
    known: list[Vm] | None = None
    for name in names:
        if not is_pattern(name):
            vm = connected.get(Vm, f"/vms/{client.part(name)}")
            found[vm.id] = vm
            continue
        known = every(connected) if known is None else known
        matching = [vm for vm in known if vm.name == name or fnmatchcase(vm.name, name)]
        if not matching:
            raise NotFoundError("no-such-vm", name=name)
        found.update((vm.id, vm) for vm in matching)
    return list(found.values())


def every(connected: client.Client) -> list[Vm]:
    """Return all VMs, by their names."""
    return sorted(connected.get(list[Vm], "/vms", {"fields": "id,name"}), key=lambda vm: vm.name)


def is_pattern(name: str) -> bool:
    """Whether ``name`` is a pattern, not a name."""
    return any(character in name for character in "*?[")
