"""The first process of a real guest: prepares what the guest sees, then lives until whoever started it is gone.

It runs as process 1 of its own process namespace, so that its end is the end of everything in the guest, and it ends
when its standard input does: a lab that was killed leaves no guest behind.  It is started by path and imports nothing
but the standard library, because the guest needs no more of us.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

CGROUPS = Path("/sys/fs/cgroup")
COMMAND_SECONDS = 10


def main() -> None:
    """Prepare the guest as the JSON on the command line says, tell `ready`, and wait for the end of the input."""
    settings: dict[str, Any] = json.loads(sys.argv[1])
    prepare(settings)
    # The kernel then reaps the orphans that every process namespace hands to its first process.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    os.write(1, b"ready\n")
    while os.read(0, 4096):
        pass
    thaw(settings["cgroup"])


def prepare(settings: dict[str, Any]) -> None:
    """Mount what the guest has for itself: `/run`, the accounts, the name."""
    socket.sethostname(settings["hostname"])
    _run("mount", "-t", "tmpfs", "-o", "mode=755,size=256m", "tmpfs", "/run")
    if not Path("/var/run").is_symlink():
        _run("mount", "--bind", "/run", "/var/run")
    for name in ("sshd", "lock", "roadstead", "home"):
        Path("/run", name).mkdir(mode=0o755)
    home = Path(settings["home"])
    home.mkdir(mode=0o755)
    os.chown(home, settings["uid"], settings["uid"])
    for name in ("passwd", "group", "shadow"):
        _run("mount", "--bind", f"{settings['etc']}/{name}", f"/etc/{name}")
    if not any(CGROUPS.iterdir()):
        _run("mount", "-t", "cgroup2", "cgroup2", str(CGROUPS))
    _run("ip", "link", "set", "lo", "up")


def thaw(cgroup: str) -> None:
    """Let paused containers go on: a frozen process does not even die of SIGKILL, and would keep the namespace."""
    for state in CGROUPS.glob(f"freezer/{cgroup}/**/freezer.state"):
        _write(state, "THAWED")
    for state in CGROUPS.glob(f"{cgroup}/**/cgroup.freeze"):
        _write(state, "0")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="ascii")
    except OSError:
        # The container ended meanwhile.
        return


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=COMMAND_SECONDS, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
