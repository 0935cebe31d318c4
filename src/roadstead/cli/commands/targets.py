"""VMs that are meant by names, by a search, or because a rotation of their pool's key waits for them."""

from collections.abc import Sequence

from roadstead.cli import options
from roadstead.cli.api import client
from roadstead.cli.api.views import Rotation, Vm
from roadstead.cli.commands import names
from roadstead.errors import InputError, NotFoundError

NEEDING = "needs-preparing"


def vms(
    connected: client.Client,
    named: Sequence[str] | None,
    filters: list[str] | None = None,
    needs_key: str | None = None,
) -> list[Vm]:
    """Return the VMs, each once; none when nobody waits for a key.

    Raises `NotFoundError` when a search finds none, `InputError` when none is named.
    """
    if not named and not filters and needs_key is None:
        raise InputError("field-invalid", field="VM", reason="name VMs, or say which with --filter")
    found = {vm.id: vm for vm in names.vms(connected, named or [])}
    if filters:
        matching = connected.get(list[Vm], "/vms", {"q": options.query(filters)})
        if not matching:
            raise NotFoundError("no-such-match", search=" ".join(filters))
        found.update((vm.id, vm) for vm in matching)
    if needs_key is not None:
        told = connected.get(Rotation, f"/pools/{client.part(needs_key)}/key/rotation")
        waiting = [vm.id for vm in told.vms if vm.state == NEEDING]
        found.update((id, connected.get(Vm, f"/vms/{client.part(id)}")) for id in waiting)
    return list(found.values())
