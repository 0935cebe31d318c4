"""The first process of a real guest: prepares what the guest sees, then lives until whoever started it is gone.

It runs as process 1 of its own process namespace, so that its end is the end of everything in the guest, and it ends
when its standard input does: a lab that was killed leaves no guest behind.  It is started by path and imports nothing
but the standard library, because the guest needs no more of us.
"""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

CGROUPS = Path("/sys/fs/cgroup")
DEVICES = ("dev/net/tun", "dev/fuse")
"""What engines of a user's own make their networks and file systems with."""
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
    """Mount what the guest has for itself: its files, `/run`, the accounts, the name."""
    socket.sethostname(settings["hostname"])
    if settings["root"]:
        enter(settings["root"], Path(settings["folder"]))
    _run("mount", "-t", "tmpfs", "-o", "mode=755,size=256m", "tmpfs", "/run")
    if not Path("/var/run").is_symlink():
        _run("mount", "--bind", "/run", "/var/run")
    for name in ("sshd", "lock", "roadstead", "home"):
        Path("/run", name).mkdir(mode=0o755)
    home = Path(settings["home"])
    home.mkdir(mode=0o755)
    _run("mount", "--bind", settings["kept"], str(home))
    runtime = Path(settings["runtime"])
    runtime.mkdir(mode=0o700, parents=True)
    data = Path(settings["folder"], "rootless")
    data.mkdir(exist_ok=True)
    engine = Path(settings["engine"])
    engine.mkdir(exist_ok=True)
    for path in (home, runtime, data):
        os.chown(path, settings["uid"], settings["uid"])
    _run("mount", "--bind", str(data), str(engine))
    for path in Path(settings["etc"]).iterdir():
        if Path("/etc", path.name).exists():
            _run("mount", "--bind", str(path), f"/etc/{path.name}")
    if not any(CGROUPS.iterdir()):
        _run("mount", "-t", "cgroup2", "cgroup2", str(CGROUPS))
    _run("ip", "link", "set", "lo", "up")


def enter(root: str, folder: Path) -> None:
    """Make ``root`` the guest's file system. What it changes there is kept in ``folder``, which it sees where it is."""
    new = folder / "root"
    for path in (new, folder / "changes", folder / "work"):
        path.mkdir(exist_ok=True)
    layers = f"lowerdir={root},upperdir={folder}/changes,workdir={folder}/work"
    _run("mount", "-t", "overlay", "-o", layers, "overlay", str(new))
    for name in ("proc", "sys", "dev"):
        _run("mount", "--rbind", f"/{name}", str(new / name))
    for name in DEVICES:
        _open_device(folder / Path(name).name, new / name)
    seen = new / folder.relative_to("/")
    seen.mkdir(parents=True, exist_ok=True)
    _run("mount", "--bind", str(folder), str(seen))
    if (new / "sys/fs/cgroup/unified").is_mount():
        # Beside version 1, version 2 has nothing of use, and some container runtimes refuse to start where both are.
        _run("umount", str(new / "sys/fs/cgroup/unified"))
    os.chdir(new)
    _run("pivot_root", ".", "mnt")
    _run("umount", "--lazy", "/mnt")


def _open_device(own: Path, device: Path) -> None:
    """Let everybody in the guest open a device, as distributions do, whatever this machine lets its users do."""
    if not device.exists():
        return
    if not own.exists():
        os.mknod(own, stat.S_IFCHR, device.stat().st_rdev)
        own.chmod(0o666)
    _run("mount", "--bind", str(own), str(device))


def thaw(cgroup: str) -> None:
    """Let paused containers go on: a frozen process does not even die of SIGKILL, and would keep the namespace."""
    for state in CGROUPS.glob(f"freezer/{cgroup}/**/freezer.state"):
        _write(state, b"THAWED")
    for state in CGROUPS.glob(f"{cgroup}/**/cgroup.freeze"):
        _write(state, b"0")


def _write(path: Path, data: bytes) -> None:
    # In bytes: codecs would have to be read from files that a guest with another root does not see.
    try:
        path.write_bytes(data)
    except OSError:
        # The container ended meanwhile.
        return


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=COMMAND_SECONDS, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
