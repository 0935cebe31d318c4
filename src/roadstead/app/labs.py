"""``roadstead lab`` from the command line: what it prints, and how it ends."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, cast

import typer

from roadstead.app.starting import run as run_to_end
from roadstead.cli.words import counted
from roadstead.errors import InputError, StartError
from roadstead.kit import tasks
from roadstead.lab.guests.real import RealGuests
from roadstead.lab.main import LabOptions, LabReady, checked, lab_do, run_lab

SHELL = ("bash",)


def run(options: LabOptions) -> None:
    """Run a lab until Ctrl-C or SIGTERM."""
    inside = "without guests" if options.guests == "none" else f"and {options.guests} guests"
    _say(f"Starting a pool with {counted(checked(options).vms, 'VM')} {inside} …")
    run_to_end(_until_signal(options))


def do(state: Path, verb: str, vm: str, value: str | None) -> None:
    """Act on a running lab and print what came of it."""
    done = asyncio.run(lab_do(state, verb, vm, value))
    if done:
        print(json.dumps(done, indent=2))


def folder(ctx: typer.Context, given: Path | None) -> Path:
    """Return the lab's folder, wherever in `roadstead lab … do …` it was named."""
    outer: Path = ctx.parent.params["state"] if ctx.parent is not None else Path()
    return given or outer


def refuse_options(ctx: typer.Context, *, but: str) -> None:
    """Refuse what was given to `roadstead lab` and would start a lab, before the name of another command."""
    for name in ctx.params:
        source = ctx.get_parameter_source(name)
        if name != but and source is not None and source.name == "COMMANDLINE":
            reason = f"it starts a lab, so it cannot stand before `{ctx.invoked_subcommand}`"
            raise InputError("field-invalid", field=f"--{name}", reason=reason)


def enter(state: Path, vm: str, command: Sequence[str]) -> NoReturn:
    """Become ``command``, or a shell, inside a guest of a running lab."""
    told = asyncio.run(lab_do(state, "door", vm))
    words = [*map(str, cast("list[object]", told["words"])), *(command or SHELL)]
    try:
        os.execvp(words[0], words)  # noqa: S606 - what is run is what the user typed
    except OSError as error:
        raise StartError("lab-guest-failed", guest=vm, reason=f"{words[0]}: {error.strerror}") from error


def guest_kind(asked: str) -> str:
    """Return ``real`` or ``simulated``, and say which and why when that was left open."""
    if asked != "auto":
        return asked
    reason = RealGuests.available()
    _say("Using real guests." if reason is None else f"Using simulated guests: {reason}")
    return "real" if reason is None else "simulated"


async def _until_signal(options: LabOptions) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with asyncio.TaskGroup() as group:
        lab = tasks.spawn(group, run_lab(options, ready=lambda told: _tell(told, options)), "lab")
        await stop.wait()
        await tasks.stop(lab)
    _say("The lab has stopped.")


def _tell(ready: LabReady, options: LabOptions) -> None:
    for note in ready.notes:
        _say(note)
    if options.json:
        print(ready.line, flush=True)
        return
    both = "" if ready.second is None else f"\n\nand its second pool with:\n\n{_command(ready.second)}"
    print(
        f"The lab is ready. Make it known to a server with:\n\n{_command(ready)}{both}\n\nCtrl-C ends it.", flush=True
    )


def _command(ready: LabReady) -> str:
    """What makes a pool known, as it is typed."""
    admit = " ".join(f"--admit {network}" for network in ready.admit)
    return f"""  roadstead pool add {ready.url} --user {ready.user} --password-file {ready.password_file} \\
    --fingerprint {ready.fingerprint} {admit}"""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
