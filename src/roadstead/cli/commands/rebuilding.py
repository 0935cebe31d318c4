"""`roadstead config-drive rebuild`: drives made anew from what stands on them, with the present pool's key."""

from collections.abc import Sequence

from roadstead.cli import failures
from roadstead.cli.api import client
from roadstead.cli.api.views import MadeDrive, Vm
from roadstead.cli.commands import drives, managing, names
from roadstead.cli.display import output
from roadstead.errors import InputError
from roadstead.kit.text import terminal_clean


def rebuild(connected: client.Client, given: Sequence[str], *, again: bool, preview: bool, yes: bool) -> None:
    """Make the drives of VMs anew; what fails for one stops none of the others. Raises `InputError`
    ``confirmation-needed`` where each would be asked about and nobody can answer.
    """
    found = names.vms(connected, given)
    if not (yes or preview or output.is_asked()):
        for vm in found:
            drives.fetched(connected, vm.id, secrets=False)  # a yes would make nothing of a drive that is not there
        whose = ", ".join(vm.name for vm in found)
        raise InputError("confirmation-needed", candidates=f"the config drives of {whose}")

    def change(vm: Vm) -> str:
        wanted = _wanted(connected, vm, again=again)
        looked = None if yes and again and not preview else drives.previewed(connected, vm.id, wanted)
        if preview and looked is not None:
            output.write(drives.told(looked))
            return "would get this drive"
        if looked is not None:
            wanted = drives.settled(looked, wanted, yes=yes)
            if not yes and not drives.agreed(drives.previewed(connected, vm.id, wanted)):
                return "left as it is"
        made = connected.post(MadeDrive, f"/vms/{client.part(vm.id)}/config-drive", wanted, confirm=vm.id)
        return terminal_clean(drives.outcome(made))

    failures.leave(managing.each(found, change))


def _wanted(connected: client.Client, vm: Vm, *, again: bool) -> drives.Wanted:
    """Return a drive like the one that the VM has."""
    drive = drives.fetched(connected, vm.id, secrets=True)
    wanted: drives.Wanted = {"template": drive.template, "profile": drive.profile, "ssh_keys": list(drive.ssh_keys)}
    return {**wanted, **drives.agent_of(drive), **({"provision_again": True} if again else {})}
