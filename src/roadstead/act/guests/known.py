"""VMs as commands name them: by an id that may be nobody's."""

from roadstead.errors import NotFoundError
from roadstead.model import Snapshot, Vm, VmId


def known(snapshot: Snapshot, vm_id: VmId) -> Vm:
    """Return the VM of this id. Raises `NotFoundError` ``no-such-vm``."""
    vm = snapshot.vms.get(vm_id)
    if vm is None:
        raise NotFoundError("no-such-vm", name=vm_id)
    return vm
