"""Config drives of VMs: a template to begin with, a text judged, a drive shown before it is made, made, read back."""

import asyncio

from starlette.responses import Response

from roadstead.errors import tame
from roadstead.inventory import names
from roadstead.model import Vm
from roadstead.serve import answers
from roadstead.serve.bodies import DriveText, DriveWanted
from roadstead.serve.calls import Call
from roadstead.serve.handlers.parameters import Confirm, DriveProfile, Unmasked, VmName, must_confirm


async def begin_config_drive(call: Call, vm: VmName, profile: DriveProfile = "") -> Response:
    """Return the template that a VM's config drive begins with, of a profile or of the one that the VM's system, else
    its name, speaks for.
    """
    return answers.record(await call.commands.drives.default(_vm(call, vm), profile))


async def validate_config_drive(call: Call, body: DriveText) -> Response:
    """Tell what is wrong with a template, each fault with its place; without a VM, and nothing is made."""
    return answers.record(await asyncio.to_thread(call.commands.drives.check, body.template, body.profile))


async def preview_config_drive(call: Call, vm: VmName, body: DriveWanted | None = None) -> Response:
    """Show what the guest would see of a drive, with secrets masked; refused where the drive would be. Nothing is
    changed.
    """
    return answers.record(await call.commands.drives.preview(_vm(call, vm), (body or DriveWanted()).order()))


async def create_config_drive(
    call: Call, vm: VmName, body: DriveWanted | None = None, confirm: Confirm = ""
) -> Response:
    """Make a VM's config drive; the former one goes when the new one is in its place."""
    found = _vm(call, vm)
    must_confirm(confirm, found.id, f"make a config drive for {tame(found.name)}, and destroy the one that it has")
    return answers.record(await call.commands.drives.create(found, (body or DriveWanted()).order()), 201)


async def show_config_drive(call: Call, vm: VmName, *, secrets: Unmasked = False) -> Response:
    """Read a VM's config drive back: the template that it was made from, and what the guest sees."""
    return answers.record(await call.commands.drives.show(_vm(call, vm), secrets=secrets))


def _vm(call: Call, name: str) -> Vm:
    return names.find_vm(call.store, name)
