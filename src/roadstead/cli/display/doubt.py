"""Which VMs do not answer just now: until it is clear that they are lost nothing of them is stale, but a list says so.

Imported, and asked for, only when the list is printed.
"""

import sys
from collections.abc import Iterable

from roadstead.cli.api import client
from roadstead.cli.api.views import Container, Vm
from roadstead.cli.display import words
from roadstead.errors import RoadsteadError
from roadstead.kit.text import terminal_clean

CODE = "no-answer"
NAMED = 5
"""How many are named."""


def asked(connected: client.Client) -> list[Vm]:
    """Return the VMs that do not answer."""
    found = connected.get(list[Vm], "/vms", {"q": f"problem:{CODE}", "fields": "id,name,problem"})
    return [vm for vm in found if is_silent(vm)]


def is_silent(vm: Vm) -> bool:
    """Whether the VM does not answer just now."""
    return vm.problem is not None and vm.problem.code == CODE


def tell(connected: client.Client, shown: Iterable[Container]) -> None:
    """Say on stderr which of the VMs whose containers were ``shown`` do not answer. Never fails: the list is out."""
    names = {container.vm_name for container in shown}
    try:
        silent = sorted(vm.name for vm in asked(connected) if vm.name in names)
    except (client.Refused, RoadsteadError):
        return
    if silent:
        sys.stdout.flush()
        sentence = (
            f"No answer from {words.listed(silent, NAMED)}: what is shown of their containers may be out of date."
        )
        print(terminal_clean(sentence), file=sys.stderr)
