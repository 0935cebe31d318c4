"""The replacement of a pool's key, as it is watched and ended from a terminal."""

import time
from collections import Counter

from roadstead.cli import failures, session
from roadstead.cli.api import client
from roadstead.cli.api.views import KeyedVm, RotatedVm, Rotation
from roadstead.cli.display import keyrows, output, table, words
from roadstead.errors import InputError, quoted
from roadstead.kit.text import terminal_clean

ANSWER_SECONDS = 120.0
"""Making a key of 4096 bits and naming it in the pool takes seconds, on a machine that is busy more."""
LOOK_SECONDS = 0.5
WATCH_SECONDS = 900.0
"""Then the watching ends, and the rotation goes on."""
SHOWN_NAMES = 20
SETTLED = {"done", "off"}
"""The states of a VM that are as they should be."""
MOVING = "waiting"
"""The state of a VM that is changed over without anybody's help."""
_SAID = {
    "done": "changed over",
    "needs-preparing": "needs preparing",
    "off": "off; it follows when it runs",
    "unreachable": "cannot be reached; it follows when it can",
}


def rotate(connected: client.Client, pool: str, *, yes: bool, is_watched: bool) -> None:
    """Begin a rotation, or go on with it, and watch until no VM moves by itself any more."""
    before = connected.get(Rotation, _path(pool))
    if before.state == "none":
        _name_outsiders(keyrows.keyed(connected, pool))
    if before.state == "none" and not yes:
        refusal = InputError("confirmation-needed", candidates=[f"every managed VM of {pool}"])
        if not session.agreed(f"Replace the SSH key of the pool {terminal_clean(pool)}?", refusal=refusal):
            failures.stop()
    told = connected.post(Rotation, _path(pool), confirm=before.pool)
    output.write([f"new key  {told.fingerprint}", f"old key  {told.old_fingerprint or 'retired'}"])
    if is_watched:
        told = _watched(connected, pool, told)
    _summary(pool, told)
    _name_left(pool, keyrows.keyed(connected, pool))


def status(connected: client.Client, pool: str, format: str) -> None:
    """Print how a rotation stands."""
    waiting = connected.ask(_path(pool))
    if format == "json":
        output.write_json(waiting.raw())
        return
    told = waiting.read(Rotation)
    if told.state == "none":
        output.write([f"The key of {terminal_clean(pool)} is not being replaced: {told.fingerprint}"])
        _name_left(pool, keyrows.keyed(connected, pool))
        return
    output.write([f"new key  {told.fingerprint}", f"old key  {told.old_fingerprint}", ""])
    made = [
        table.Column("VM", [vm.name for vm in told.vms], least=10),
        table.Column("STATE", [vm.state.replace("-", " ") for vm in told.vms], whole=True),
        table.Column("NEEDS OLD KEY", ["yes" if vm.needs_old else "no" for vm in told.vms], whole=True),
        table.Column("REASON", [vm.reason or "-" for vm in told.vms], whole=True),
    ]
    output.write(table.lines(made, output.room()))
    _summary(pool, told)


def drop(connected: client.Client, pool: str, *, yes: bool) -> None:
    """Retire the old key after the VMs were named that are lost by that."""
    told = connected.get(Rotation, _path(pool))
    lost = [vm for vm in told.vms if vm.needs_old]
    for vm in lost:
        output.result(vm.name, f"still needs the old key: {_line(vm)}", ok=False)
    _name_outsiders(keyrows.keyed(connected, pool))
    if not yes:
        listed = words.listed((terminal_clean(vm.name) for vm in lost), SHOWN_NAMES) if lost else "no VM"
        refusal = InputError("confirmation-needed", candidates=[listed])
        question = (
            f"Retire the old key of {terminal_clean(pool)}? It is destroyed, and {listed} is lost until prepared."
        )
        if not session.agreed(question, refusal=refusal):
            failures.stop()
    connected.post(Rotation, _path(pool) + "/drop", {"vms": [vm.id for vm in lost]})
    output.write(["The old key is retired."])
    _name_left(pool, keyrows.keyed(connected, pool))


def _watched(connected: client.Client, pool: str, told: Rotation) -> Rotation:
    """Print a line for each VM as soon as it has come to something; return how it stands when none moves any more."""
    printed: dict[str, str] = {}
    until = time.monotonic() + WATCH_SECONDS
    while True:
        for vm in told.vms:
            if vm.state != MOVING and printed.get(vm.id) != vm.state:
                printed[vm.id] = vm.state
                output.result(vm.name, _line(vm), ok=vm.state in SETTLED)
        if time.monotonic() > until:
            return told
        if all(vm.state != MOVING for vm in told.vms) and any(vm.needs_old for vm in told.vms):
            return told
        time.sleep(LOOK_SECONDS)
        moving = [vm for vm in told.vms if vm.state == MOVING]
        told = connected.get(Rotation, _path(pool))
        if told.state == "none":  # it ended between two looks
            for vm in moving:
                output.result(vm.name, _SAID["done"])
            return told


def _summary(pool: str, told: Rotation) -> None:
    """Say what is left to do; a rotation that waits for somebody is no failure."""
    needing = [vm for vm in told.vms if vm.needs_old]
    is_asked = any(vm.state == "needs-preparing" for vm in told.vms)
    if not needing:
        retired = "it is retired" if told.state == "none" else "it is retired in a moment"
        output.write([f"No VM needs the old key any more; {retired}."])
    else:
        output.write(["", _counted(needing)])
    if is_asked:
        name = quoted(terminal_clean(pool))
        said = (
            f"`roadstead prepare --needs-key {name}` puts the new line into those that need preparing, with a sign-in"
        )
        output.write([f"{said} of yours."])


def _counted(needing: list[RotatedVm]) -> str:
    counts = Counter(vm.state for vm in needing)
    left = ", ".join(f"{count} {state.replace('-', ' ')}" for state, count in sorted(counts.items()))
    return f"{words.counted(len(needing), 'VM')} left that the old key opens: {left}."


def _name_outsiders(keyed: list[KeyedVm]) -> None:
    """Name the VMs that the pool's keys open, and that are no part of a rotation."""
    outside = [vm for vm in keyed if vm.state != "managed" and any(key.key in {"current", "old"} for key in vm.keys)]
    if outside:
        output.write([f"Not managed here, so the line with the old key stays in them: {_listed(outside)}."])


def _name_left(pool: str, keyed: list[KeyedVm]) -> None:
    """Name the VMs in which the line of a retired key was not seen to go."""
    left = [vm for vm in keyed if any(key.key == "retired" for key in vm.keys)]
    if left:
        said = f"A retired key's line may still be in {_listed(left)}: whoever has a copy of that key gets in there."
        name = quoted(terminal_clean(pool))
        how = f"Take it out there, then say `roadstead pool key forget {name} VM`"
        output.write([said, f"{how}; `roadstead pool key where {name}` lists them."])


def _listed(vms: list[KeyedVm]) -> str:
    return words.listed((terminal_clean(f"{vm.name} ({keyrows.state(vm)})") for vm in vms), SHOWN_NAMES)


def _line(vm: RotatedVm) -> str:
    said = _SAID.get(vm.state, vm.state)
    return f"{said} ({vm.reason})" if vm.reason else said


def _path(pool: str) -> str:
    return f"/pools/{client.part(pool)}/key/rotation"
