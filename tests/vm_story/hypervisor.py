"""A hypervisor for one VM: QEMU without KVM, a network with a DHCP server on it, disks, power and the console.

All of it lives in the namespaces that ``scripts/vm-story`` makes, and goes with them. ``cx16`` is left out of the
processor: with it guests panic at random under emulation.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.vm_story.steps import StoryError

TAP, MAC = "tap0", "52:54:00:12:34:56"
HOST, FIRST, LAST = "10.214.0.1", "10.214.0.10", "10.214.0.20"
"""Our address in the VM's network, and those that its DHCP server gives."""
MEMORY_MIB = 1024
QMP_SECONDS, OFF_SECONDS, END_SECONDS = 20.0, 180.0, 20.0
CONSOLE_CHARACTERS = 120


class Lease(NamedTuple):
    """An address that the DHCP server gave; a later one ends later."""

    ends: int
    address: str


class Shown(NamedTuple):
    """A disk that the pool shows to the VM for reading."""

    path: Path
    is_cd: bool


def lease_of(leases: str, mac: str) -> Lease | None:
    """Return what dnsmasq's file of leases (time, MAC, address, name, id) says of a network card."""
    for line in leases.splitlines():
        ends, card, address, *_ = (*line.split(), "", "", "")
        if card == mac and ends.isdecimal():
            return Lease(int(ends), address)
    return None


def fingerprints_in(text: str) -> frozenset[str]:
    """Return the fingerprints of SSH keys in a text."""
    return frozenset(re.findall(r"SHA256:[A-Za-z0-9+/]{43}", text))


def shown_at_boot(console: str) -> frozenset[str]:
    """Return the fingerprints of the SSH host keys that cloud-init shows on the console; none before it has."""
    _, _, rest = console.partition("BEGIN SSH HOST KEY FINGERPRINTS")
    shown, end, _ = rest.partition("END SSH HOST KEY FINGERPRINTS")
    return fingerprints_in(shown) if end else frozenset()


def last_line(console: str) -> str:
    """Return the last line of a console, without what commands a terminal."""
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[^\x20-\x7e…\n]", "", console).split("\n")
    return next((line.strip()[:CONSOLE_CHARACTERS] for line in reversed(lines) if line.strip()), "nothing yet")


def command(image: Path, folder: Path, uuid: str, disks: Sequence[Shown]) -> list[str]:
    """Return the command that runs the VM: its own disk, written in ``folder``, then those that the pool shows.

    Its firmware tells its uuid, as that of a real pool's VM does. By it cloud-init knows, before it looks at any drive,
    that the VM is the one that it has set up already.
    """
    drives = []
    for number, disk in enumerate(disks):
        device = f"ide-cd,drive=shown{number}" if disk.is_cd else f"virtio-blk-pci,drive=shown{number}"
        drives += ["-drive", f"file={disk.path},if=none,id=shown{number},format=raw,readonly=on", "-device", device]
    return [
        "qemu-system-x86_64",
        *("-accel", "tcg", "-cpu", "Nehalem,-cx16", "-m", str(MEMORY_MIB), "-uuid", uuid),
        *("-display", "none", "-monitor", "none", "-no-reboot"),
        *("-kernel", str(image / "vmlinuz"), "-initrd", str(image / "initrd")),
        *("-append", "root=/dev/vda rw console=ttyS0 panic=1"),
        *("-drive", f"file={folder / 'disk.qcow2'},if=none,id=own,format=qcow2", "-device", "virtio-blk-pci,drive=own"),
        *drives,
        *("-netdev", f"tap,id=net,ifname={TAP},script=no,downscript=no"),
        *("-device", f"virtio-net-pci,netdev=net,mac={MAC},romfile=", "-device", "virtio-rng-pci"),
        *("-serial", f"file:{folder / 'console.log'}", "-qmp", f"unix:{folder / 'qmp'},server=on,wait=off"),
    ]


class Network:
    """The network that the VM is in."""

    def __init__(self, leases: Path) -> None:
        self._leases = leases

    def lease(self) -> Lease | None:
        """What the VM was given last."""
        return lease_of(self._leases.read_text(), MAC) if self._leases.exists() else None


@contextmanager
def network(folder: Path) -> Iterator[Network]:
    """A network with nobody in it but a DHCP server, which gives addresses and nothing else."""
    for words in (
        ("link", "set", "lo", "up"),
        ("tuntap", "add", TAP, "mode", "tap"),
        ("address", "add", f"{HOST}/24", "dev", TAP),
        ("link", "set", TAP, "up"),
    ):
        subprocess.run(["ip", *words], check=True)
    options = ("--port=0", f"--interface={TAP}", "--bind-interfaces", "--dhcp-authoritative", "--user=root")
    files = (f"--dhcp-leasefile={folder}/leases", f"--log-facility={folder}/dhcp.log", "--conf-file=/dev/null")
    given = f"--dhcp-range={FIRST},{LAST},1h"
    server = subprocess.Popen(["dnsmasq", "--keep-in-foreground", *options, *files, given])
    try:
        yield Network(folder / "leases")
    finally:
        server.terminate()
        server.wait(END_SECONDS)


class Machine:
    """The VM itself; what it writes to its disk stays from one boot to the next."""

    def __init__(self, image: Path, folder: Path) -> None:
        self._image = image
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        overlay = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(image / "disk.img")]
        subprocess.run([*overlay, str(folder / "disk.qcow2")], check=True)

    def start(self, uuid: str, disks: Sequence[Shown]) -> None:
        """Switch it on, as the VM of this uuid."""
        (self._folder / "console.log").unlink(missing_ok=True)
        self._process = subprocess.Popen(command(self._image, self._folder, uuid, disks))

    @property
    def console(self) -> str:
        """What it has written to its console since it was switched on."""
        path = self._folder / "console.log"
        return path.read_bytes().decode("utf-8", "replace") if path.exists() else ""

    def seen(self) -> str:
        """Return the last line on its console. Raises `StoryError` when it is off."""
        if self._process is None or self._process.poll() is not None:
            raise StoryError(f"the VM went off by itself: {last_line(self.console)}")
        return last_line(self.console)

    def power_off(self) -> None:
        """Press its power button, and wait till it is off."""
        assert self._process is not None
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(QMP_SECONDS)
            connection.connect(str(self._folder / "qmp"))
            with connection.makefile("rwb") as lines:
                lines.readline()
                for order in ("qmp_capabilities", "system_powerdown"):
                    lines.write(json.dumps({"execute": order}).encode() + b"\n")
                    lines.flush()
                    lines.readline()
        self._process.wait(OFF_SECONDS)

    def kill(self) -> None:
        """Cut its power."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(END_SECONDS)
