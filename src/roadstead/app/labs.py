"""``roadstead lab`` from the command line: what it prints, and how it ends."""

import asyncio
import signal
import sys
from pathlib import Path

from roadstead.app.starting import run as run_to_end
from roadstead.cli.display.words import counted
from roadstead.kit import tasks
from roadstead.lab.guests.real import RealGuests
from roadstead.lab.main import LabOptions, LabReady, checked, run_lab
from roadstead.lab.pool.state import Folder


def run(options: LabOptions) -> None:
    """Run a lab until Ctrl-C or SIGTERM."""
    inside = "without guests" if options.guests == "none" else f"and {options.guests} guests"
    made = checked(options)
    _say(f"Starting a pool with {counted(made.vms + made.windows + made.raw + len(made.vm), 'VM')} {inside} …")
    run_to_end(_until_signal(options))


def guest_kind(asked: str, folder: Path) -> str:
    """Return ``real`` or ``simulated``, and say which and why when that was left open: a lab that is kept in ``folder``
    has the kind that it had.
    """
    if asked != "auto":
        return asked
    if Folder(folder).kind == "simulated":
        _say("Using simulated guests, as this lab has.")
        return "simulated"
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
