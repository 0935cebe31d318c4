"""Certificates of VMs whose engine is reached over TLS: until when they are good, and what is under way.

New ones are a matter of preparing a VM, as it all begins with questions (`vms.prepare_vm`).
"""

from starlette.responses import Response

from roadstead.inventory import names
from roadstead.serve import answers
from roadstead.serve.calls import Call
from roadstead.serve.handlers.parameters import VmName


async def list_certificates(call: Call) -> Response:
    """List until when the certificates of all VMs that are reached over TLS are good; who ends first stands first."""
    return answers.record(await call.commands.expiries.all())


def show_certificates(call: Call, vm: VmName) -> Response:
    """Show how the new certificates of a VM stand, and for which addresses they are or would be."""
    return answers.record(call.commands.certificates.state(names.find_vm(call.store, vm).id))


async def cancel_certificates(call: Call, vm: VmName) -> Response:
    """End what is under way for a VM; answers when the CD is destroyed."""
    return answers.record(await call.commands.certificates.cancel(names.find_vm(call.store, vm).id))
