"""One VM: how it stands, whether it is managed, why it is not watched, and its host key."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from msgspec import json, structs
from starlette.responses import Response

from roadstead.act.guests.checks import Check
from roadstead.act.preparing.conversation import Action
from roadstead.errors import tame
from roadstead.inventory import names, views
from roadstead.model import Vm, VmId
from roadstead.plan.access import is_tls
from roadstead.serve import answers
from roadstead.serve.answers import LINES, Patient
from roadstead.serve.bodies import ComparedKey, GuestAnswers, HowReached
from roadstead.serve.calls import Call
from roadstead.serve.handlers.parameters import Confirm, ConfirmUndoing, VmName, must_confirm
from roadstead.serve.shapes import EnabledVm


def show_vm(call: Call, vm: VmName) -> Response:
    """Show one VM."""
    return _shown(call, names.find_vm(call.store, vm))


async def enable_vm(call: Call, vm: VmName, how: HowReached | None = None) -> Response:
    """Enable container management of a VM, and choose how it is reached; answers when the pool has taken it, what
    follows is observed. A VM that has no config drive, and that nothing says was prepared, is enabled with a warning.
    """
    found, reach = names.find_vm(call.store, vm), (how or HowReached()).reach()
    doubt = await call.commands.readiness.doubt(found, reach.mode)
    await call.commands.vms.enable(found.id, reach)
    shown = call.store.vms.get(found.id, found)
    told = structs.asdict(views.vm_view(shown, call.store.containers_of(shown.id).values()))
    return answers.record(EnabledVm(**told, warning=str(doubt) if doubt is not None else ""))


async def disable_vm(call: Call, vm: VmName) -> Response:
    """Disable container management of a VM; answers when the pool has taken it, what follows is observed."""
    found = names.find_vm(call.store, vm)
    await call.commands.vms.disable(found.id)
    return _shown(call, call.store.vms.get(found.id, found))


async def prepare_vm(
    call: Call, vm: VmName, body: GuestAnswers | None = None, confirm: ConfirmUndoing = ""
) -> Response:
    """Prepare the guest of a VM, or take that back: all answers so far are given, and the next question or the result
    is returned.

    In the mode `ssh`, with the operator's own sign-in, the questions are `host-key` (nothing was sent to the guest
    yet), `sign-in` and `consent`; in the mode `tls` they are `addresses`, `consent` and `run-script`, after which the
    call is repeated with `preparation` until it is over. Doing it again changes nothing. What is given to sign in is
    sent only to the host key that is named or remembered, and kept nowhere.

    What is done in the guest or to its certificates, imported ones too, is done when `agreed` names the offer; the
    action `unprepare` is confirmed by `confirm`.
    """
    found, said = names.find_vm(call.store, vm), (body or GuestAnswers()).answers()
    if said.action is Action.UNPREPARE:
        lost = "its certificates" if is_tls(found) else "the line of the pool's key in it"
        must_confirm(confirm, found.id, f"take away {lost} and end the management of {tame(found.name)}")
    return answers.record(await call.commands.preparing.step(found.id, said))


async def explain_vm(call: Call, vm: VmName) -> Response:
    """Tell why a VM is not watched, and what that is known from; one that is not live is tried first."""
    return answers.record(await call.commands.vms.why(_id(call, vm)))


def check_vm(call: Call, vm: VmName) -> Response:
    """Walk the path to a VM's engine step by step, and tell of each step as it is done, one JSON object on a line; the
    first one that is `failed` is where the path ends. It signs in, to a VM that is not enabled too, over a connection
    of its own, and keeps nothing of what it learns. A reader that hangs up ends it.
    """
    return Patient(_lines(call.commands.checks.start(_id(call, vm))), media_type=LINES)


async def _lines(check: Check) -> AsyncIterator[bytes]:
    async with aclosing(check.findings()) as findings:
        async for finding in findings:
            yield json.encode(finding) + b"\n"


def show_host_key(call: Call, vm: VmName) -> Response:
    """Show the remembered SSH host key of a VM, the one that it showed last, and how the two stand."""
    return answers.record(call.commands.vms.host_keys(_id(call, vm)))


async def confirm_host_key(
    call: Call, vm: VmName, compared: ComparedKey | None = None, confirm: Confirm = ""
) -> Response:
    """Accept the host key that a VM showed (named by its fingerprint), or an address that is claimed twice; or say,
    before the first contact too, which key it must show.
    """
    found, compared = names.find_vm(call.store, vm), compared or ComparedKey()
    must_confirm(confirm, found.id, f"trust what {tame(found.name)} shows, or what is named")
    if compared.host_key is not None:
        return answers.record(await call.commands.vms.expect_host_key(found.id, compared.host_key))
    return answers.record(await call.commands.vms.confirm_host_key(found.id, compared.fingerprint))


async def forget_host_key(call: Call, vm: VmName, confirm: Confirm = "") -> Response:
    """Forget the remembered host key of a VM: the next contact is a first contact."""
    found = names.find_vm(call.store, vm)
    must_confirm(confirm, found.id, f"forget the host key of {tame(found.name)}")
    return answers.record(await call.commands.vms.forget_host_key(found.id))


def _id(call: Call, name: str) -> VmId:
    return names.find_vm(call.store, name).id


def _shown(call: Call, vm: Vm) -> Response:
    return answers.record(views.vm_view(vm, call.store.containers_of(vm.id).values()))
