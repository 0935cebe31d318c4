"""How long a person waits for ``roadstead ps``, beside Docker's own command on a single VM."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import statistics
import sys
import time
from pathlib import Path

from bench import guests, programs, servers
from bench.figures import Measured
from bench.fleets import CONTAINERS
from bench.guests import Guest
from bench.stage import CannotMeasure, Stage

SSH_CONFIG = """\
Host *
  IdentityFile {folder}/key
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {folder}/known_hosts
  StrictHostKeyChecking accept-new
  ControlPath none
"""
SSH = """\
#!/bin/sh
exec {ssh} -F {folder}/config "$@"
"""


async def ps_1000(stage: Stage) -> Measured:
    """Wall time of the whole command, with the start of the interpreter; the two in turn."""
    guest = await stage.shared(guests.twenty)
    vms = stage.sizes.ps_vms
    stage.say(f"ps-1000: starting a lab of {vms:,} VMs")
    async with servers.serving(stage, "ps", "--vms", vms, "--containers", CONTAINERS) as served:
        rows = vms * CONTAINERS
        await served.until_listed(stage, vms, rows)
        await served.until_idle(stage)
        roadstead = shlex.join([str(Path(sys.executable).with_name("roadstead")), "--server", served.address, "ps"])
        folder = await asyncio.to_thread(_ssh_folder, stage.folder / "ssh", guest)
        docker = f"docker -H ssh://{guest.real.user}@{guest.address} ps"
        path = f"{folder}:{programs.SEARCH_PATH}"
        await _check(roadstead, path, rows + 1)
        await _check(docker, path, CONTAINERS + 1)
        ours, beside = [], []
        stage.say(f"ps-1000: {stage.sizes.ps_runs} runs of each command")
        for _ in range(stage.sizes.ps_runs):
            ours.append(await _seconds(roadstead, path))
            beside.append(await _seconds(docker, path))
    return Measured(statistics.median(ours) * 1000, statistics.median(beside) * 1000)


def _ssh_folder(folder: Path, guest: Guest) -> Path:
    """Make a folder with an ``ssh`` that uses our key and leaves the operator's own settings alone."""
    ssh = shutil.which("ssh")
    if ssh is None or shutil.which("docker") is None:
        raise CannotMeasure("Docker's own command and an SSH client are needed.")
    folder.mkdir(mode=0o700)
    for name, text, mode in (
        ("key", guest.pem, 0o600),
        ("config", SSH_CONFIG.format(folder=folder), 0o600),
        ("ssh", SSH.format(ssh=ssh, folder=folder), 0o700),
    ):
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(mode)
    return folder


async def _check(command: str, path: str, lines: int) -> None:
    """Run a command once, to see that it lists what it should."""
    printed = (await programs.done(["sh", "-c", f"{command} | cat"], PATH=path)).count(b"\n")
    assert printed == lines, f"{command} printed {printed} lines instead of {lines}"


async def _seconds(command: str, path: str) -> float:
    began = time.perf_counter()
    await programs.done(["sh", "-c", f"{command} | cat >/dev/null"], PATH=path)
    return time.perf_counter() - began
