"""Which certificates are made anew: those of VMs that are named or searched for, or those that end soon."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from roadstead.cli.api import client
from roadstead.cli.api.views import CertificatesOf, Vm
from roadstead.cli.commands import preparing_options, targets
from roadstead.cli.commands.preparing_guests import Signing, Wanted
from roadstead.cli.commands.preparing_options import Line, TlsOptions
from roadstead.cli.display import output
from roadstead.errors import ConflictError, InputError
from roadstead.kit.text import terminal_clean

SHOWN_NAMES = 5


def wanted(said: TlsOptions, action: str, *, yes: bool = False, is_watched: bool = True) -> Wanted:
    """Return what is wanted of every VM. Raises `InputError` for what does not go together."""
    made = preparing_options.wanted("tls", Signing(), Line(), said, yes=yes)
    return replace(made, said={**made.said, "action": action}, is_watched=is_watched)


def chosen(
    connected: client.Client, named: Sequence[str] | None, filters: list[str] | None, days: int | None
) -> tuple[list[Vm], dict[str, ConflictError]]:
    """Return the VMs whose certificates are to be renewed, with ``days`` those where they end within so many, and, by
    id, why some of them cannot be. Tells which are left out.

    Raises `NotFoundError`, and `InputError` when no VM is meant.
    """
    if days is None:
        if not (named or filters):
            reason = "name VMs, or say which with --filter or --expiring"
            raise InputError("field-invalid", field="VM", reason=reason)
        return targets.vms(connected, named, filters), {}
    is_said = bool(named or filters)
    meant = targets.vms(connected, named, filters) if is_said else connected.get(list[Vm], "/vms")
    ends = {each.vm: each for each in connected.get(list[CertificatesOf], "/certificates")}
    vms = [vm for vm in meant if vm.id in ends and _is_due(ends[vm.id], days)]
    for line in _left_out(meant if is_said else [], ends, days):
        print(terminal_clean(line), file=sys.stderr)
    if not vms:
        output.write([f"No certificates end within {days} days; nothing was changed."])
    unknown = [ends[vm.id] for vm in vms if ends[vm.id].until is None]
    return vms, {each.vm: _unknown(each) for each in unknown}


def _is_due(each: CertificatesOf, days: int) -> bool:
    return each.until is None or each.until <= datetime.now(UTC) + timedelta(days=days)


def _unknown(each: CertificatesOf) -> ConflictError:
    return ConflictError("certificates-end-unknown", vm=each.name, problem=each.problem or "they were not read")


def _left_out(meant: Sequence[Vm], ends: dict[str, CertificatesOf], days: int) -> Iterator[str]:
    others = [vm.name for vm in meant if vm.id not in ends]
    good = [vm.name for vm in meant if vm.id in ends and not _is_due(ends[vm.id], days)]
    for names, reason in ((others, "not reached over TLS"), (good, f"good for longer than {days} days")):
        if names:
            more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
            yield f"Left alone, as {reason}: {', '.join(names[:SHOWN_NAMES])}{more}"
