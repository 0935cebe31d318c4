"""What is done to VMs: management switched on and off, host keys judged, silence explained."""

import base64
import hashlib
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from roadstead.cli import failures, session
from roadstead.cli.api import client
from roadstead.cli.api.views import HostKey, Key, Vm
from roadstead.cli.commands import names, secrets
from roadstead.cli.display import empty, output, table, words
from roadstead.errors import ConflictError, InputError, RoadsteadError
from roadstead.kit.text import terminal_clean

SHOWN_NAMES = 10
FAIR_CELLS = 34
"""How much room a value needs beside its name; with less, its further lines begin further left."""
TLS = "tls"
"""What is said in the place of a host key's state where none is used."""
SETTLED = {"pinned", "expected", "none", TLS}
"""The states of a host key in which nothing waits for the operator."""
CLAIMED = "address-claimed-twice"
"""The state of a host key in which not the key but the VM's address is to be confirmed."""


def set_enabled(
    connected: client.Client, given: list[str], verb: str, *, yes: bool, how: dict[str, Any] | None = None
) -> None:
    """Enable or disable the VMs that were named; ``how`` they are reached is said with it."""

    def change(vm: Vm) -> str:
        told = connected.post(Vm, f"/vms/{client.part(vm.id)}/{verb}", how or None)
        return f"{verb}d. Warning: {told.warning}" if told.warning else f"{verb}d"

    failures.leave(each(confirmed(names.vms(connected, given), verb, yes=yes), change))


def confirmed(vms: list[Vm], verb: str, *, yes: bool, always: bool = False) -> list[Vm]:
    """Return ``vms`` when that many may be touched; ask when it is more than one, or ``always``.

    Raises `InputError` ``confirmation-needed`` when nobody can answer.
    """
    if yes or (len(vms) == 1 and not always):
        return vms
    listed = words.listed((terminal_clean(vm.name) for vm in vms), SHOWN_NAMES)
    refusal = InputError("confirmation-needed", count=len(vms), kind="VM", candidates=listed)
    if not session.agreed(f"{verb.capitalize()} {words.counted(len(vms), 'VM')} ({listed})?", refusal=refusal):
        failures.stop()
    return vms


def let_go(connected: client.Client, vms: list[Vm], *, yes: bool) -> list[Vm]:
    """Return ``vms`` when they may be unprepared: of one alone whoever signs in has said so, but over TLS nobody does,
    and what is destroyed there is the only copy.
    """
    if not yes and len(vms) == 1 and _key(connected, vms[0]).state == TLS:
        return confirmed(vms, "destroy the certificates and end the management of", yes=False, always=True)
    return confirmed(vms, "unprepare", yes=yes)


def each(vms: list[Vm], change: Callable[[Vm], str]) -> list[bool]:
    """Do ``change`` to each of ``vms`` and print a line for it; what fails stops nothing. Return what worked."""
    worked = []
    for vm in vms:
        try:
            line, ok = change(vm), True
        except (client.Refused, RoadsteadError) as error:
            if failures.exit_code(error.code, error.status) == failures.NO_SERVER:
                raise
            line, ok = failures.line(error), False
        output.result(vm.name, line, ok=ok)
        worked.append(ok)
    return worked


def show_keys(connected: client.Client, given: Sequence[str]) -> None:
    """Print the host keys of the VMs that are ``given``, or of all: the remembered one and the one that each shows."""
    vms = names.vms(connected, given) if given else names.every(connected)
    if not vms:
        empty.vms(connected, None)
        return
    found = [(vm, _key(connected, vm)) for vm in vms]
    expected = [_fingerprint(key.expected) if key.expected else "" for _, key in found]
    made = [
        table.Column("VM", [vm.name for vm, _ in found]),
        table.Column("STATE", [key.state for _, key in found], whole=True),
        table.Column("REMEMBERED", [_fingerprint(key.pinned) for _, key in found], whole=True),
        *([table.Column("EXPECTED", expected, whole=True)] if any(expected) else []),
        table.Column("SHOWN", [_fingerprint(key.shown) for _, key in found], whole=True),
    ]
    output.write(table.lines(made, output.room()))


def confirm_keys(connected: client.Client, given: list[str], *, yes: bool) -> None:
    """Take the host keys that VMs show as theirs, after one question."""
    keys = [(vm, _key(connected, vm)) for vm in names.vms(connected, given)]
    # A pattern names VMs about which nothing is in doubt; they are no part of the question.
    doubtful = [(vm, key) for vm, key in keys if _waits(key)]
    if not doubtful:
        failures.leave(each([vm for vm, _ in keys], _refuse))
    for vm, key in doubtful if not yes else ():
        output.result(vm.name, f"{key.state}, shows {_fingerprint(key.shown)}, remembered {_fingerprint(key.pinned)}")

    # What a VM showed before its address came into doubt is not what will answer there.
    asked = {vm.id: key.shown if key.state != CLAIMED else None for vm, key in doubtful}

    def change(vm: Vm) -> str:
        # Named, so that another key than the one that was read and compared is not taken.
        shown = asked[vm.id]
        compared = {"fingerprint": shown.fingerprint if shown else None}
        connected.post(HostKey, _path(vm) + "/confirm", compared, confirm=vm.id)
        return f"confirmed {_fingerprint(shown)}" if shown else "confirmed that it may be called at its address"

    chosen = confirmed([vm for vm, _ in doubtful], "confirm the host keys of", yes=yes, always=True)
    failures.leave(each(chosen, change))


def expect_key(connected: client.Client, given: list[str], host_key: str, *, yes: bool) -> None:
    """Say which host key a VM must show. Naming the key is the yes, unless that cuts off a VM which is connected under
    another; one key belongs to one VM.
    """
    found = names.vms(connected, given)
    if len(found) != 1:
        reason = f"it belongs to one VM, and {words.counted(len(found), 'VM')} are named"
        raise InputError("field-invalid", field="--host-key", reason=reason)

    if not yes:
        _ask_before_cutting_off(connected, found[0], host_key)

    def change(vm: Vm) -> str:
        told = connected.post(HostKey, _path(vm) + "/confirm", {"host_key": host_key}, confirm=vm.id)
        return f"must show {_fingerprint(told.expected)}" if told.expected else f"shows {_fingerprint(told.shown)}"

    failures.leave(each(found, change))


def forget_keys(connected: client.Client, given: list[str], *, yes: bool) -> None:
    """Forget the remembered host keys of VMs, after one question."""

    def change(vm: Vm) -> str:
        connected.delete(_path(vm), confirm=vm.id)
        return "forgotten; the next contact is the first again"

    found = confirmed(names.vms(connected, given), "forget the host keys of", yes=yes, always=True)
    failures.leave(each(found, change))


def pairs(facts: list[tuple[str, str]] | tuple[tuple[str, str], ...]) -> list[str]:
    """Return lines of names and values, the values below each other; no word is broken where a terminal is narrow."""
    widest, room = max(len(name) for name, _ in facts), output.room()
    whole = [f"  {name:<{widest}}  {terminal_clean(value)}" for name, value in facts]
    if room is None:
        return whole
    indent = " " * (widest + 4 if room - widest > FAIR_CELLS else 4)
    return [part for line in whole for part in _folded(line, room, indent)]


def _folded(line: str, room: int, indent: str) -> list[str]:
    if len(line) <= room:
        return [line]
    return textwrap.wrap(line, room, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _ask_before_cutting_off(connected: client.Client, vm: Vm, host_key: str) -> None:
    """Ask when ``vm`` is connected under another key than ``host_key`` says; of a text that says none the server tells.

    Raises `InputError` ``confirmation-needed`` when nobody can answer.
    """
    shown = _key(connected, vm).shown if vm.state == "live" else None
    said = _fingerprints_in(host_key)
    if shown is None or not said or shown.fingerprint in said:
        return
    shows = f"{vm.name}, which shows {_fingerprint(shown)} now and will be cut off"
    refusal = InputError("confirmation-needed", count=1, kind="VM", candidates=terminal_clean(shows))
    if not session.agreed(terminal_clean(f"Another host key for {shows}?"), refusal=refusal):
        failures.stop()


def _fingerprints_in(text: str) -> set[str]:
    """What a host key says, as OpenSSH prints one: a fingerprint, or a public key in base64, of which it is made."""
    words = text.split()
    printed = {word.rstrip("=") for word in words if word.startswith("SHA256:")}
    keys = [decoded for word in words if word.startswith("AAAA") and (decoded := secrets.bytes_of(word))]
    made = (base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=") for key in keys)
    return printed | {f"SHA256:{digits}" for digits in made}


def _waits(key: HostKey) -> bool:
    """Whether there is something to confirm: an address, or a key that was shown and is in doubt."""
    return key.state == CLAIMED or (key.state not in SETTLED and key.shown is not None)


def _refuse(vm: Vm) -> str:
    raise ConflictError("nothing-to-confirm", vm=vm.name)


def _key(connected: client.Client, vm: Vm) -> HostKey:
    return connected.get(HostKey, _path(vm))


def _path(vm: Vm) -> str:
    return f"/vms/{client.part(vm.id)}/hostkey"


def _fingerprint(key: Key | None) -> str:
    if key is None:
        return "none"
    return f"{key.fingerprint} ({key.type})" if key.type else key.fingerprint
