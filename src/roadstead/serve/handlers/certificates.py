"""Certificates of VMs whose engine is reached over TLS: until when they are good, new ones, and those of others."""

from starlette.responses import Response

from roadstead.inventory import names
from roadstead.serve import answers
from roadstead.serve.bodies import GivenCertificates, NewCertificates
from roadstead.serve.calls import Call
from roadstead.serve.handlers.parameters import VmName


async def list_certificates(call: Call) -> Response:
    """List until when the certificates of all VMs that are reached over TLS are good; who ends first stands first."""
    return answers.record(await call.commands.expiries.all())


def show_certificates(call: Call, vm: VmName) -> Response:
    """Show how the new certificates of a VM stand, and for which addresses they are or would be."""
    return answers.record(call.commands.certificates.state(names.find_vm(call.store, vm).id))


async def make_certificates(call: Call, vm: VmName, wanted: NewCertificates | None = None) -> Response:
    """Make certificates for a VM and put a CD with them into its drive; answers when it is there.

    The CD stays until the engine was reached with them, which stores them, or until that has taken too long; then it is
    destroyed. Any user of the VM can read it meanwhile.
    """
    found = names.find_vm(call.store, vm)
    return answers.record(await call.commands.certificates.make(found.id, (wanted or NewCertificates()).wish()), 202)


async def import_certificates(call: Call, vm: VmName, given: GivenCertificates) -> Response:
    """Store certificates that were made elsewhere, once they were checked and the engine was reached with them."""
    found = names.find_vm(call.store, vm)
    done = await call.commands.certificates.bring(found.id, given.given(), is_legacy=given.legacy_certificate)
    return answers.record(done)


async def cancel_certificates(call: Call, vm: VmName) -> Response:
    """End what is under way for a VM; answers when the CD is destroyed."""
    return answers.record(await call.commands.certificates.cancel(names.find_vm(call.store, vm).id))
