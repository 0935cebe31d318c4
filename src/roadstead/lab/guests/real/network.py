"""The network of real guests: one point-to-point pair of interfaces and one /30 for each guest.

Several labs and test runs share a machine, so a /30 is taken only while a lock on its file is held: the kernel lets
go of the lock when its holder dies, however it dies.  While it is held, a route says that nothing is there: what is
meant for a guest that is off must not leave the machine by its default route.
"""

import fcntl
import ipaddress
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from roadstead.errors import StartError
from roadstead.lab.guests.real import commands

LOCKS = Path("/run/roadstead-lab")
PREFIX_BITS = 30
BLOCK = 4
LAST_METRIC = "4294967295"
"""The route that says "nothing there" counts only while the wire's own route is not there."""


@dataclass
class Wire:
    """A reserved /30: the machine's end and the guest's end of one wire."""

    network: ipaddress.IPv4Network
    _lock: int = field(repr=False)

    @property
    def name(self) -> str:
        """The interface on the machine's side, unique by its address."""
        return f"rs{int(self.network.network_address):08x}"

    @property
    def host(self) -> str:
        """The machine's own address on it."""
        return str(self.network[1])

    @property
    def guest(self) -> str:
        """The guest's address."""
        return str(self.network[2])

    def place_in(self, network: ipaddress.IPv4Network) -> int:
        """Which of the /30 of ``network`` it is, from 0."""
        return (int(self.network.network_address) - int(network.network_address)) // BLOCK

    def plug(self, guest: str, pid: int) -> None:
        """Lay the wire into the network namespace of process ``pid``."""
        self.unplug()
        commands.run(guest, "ip", "link", "add", self.name, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        commands.run(guest, "ip", "address", "add", f"{self.host}/{PREFIX_BITS}", "dev", self.name)
        commands.run(guest, "ip", "link", "set", self.name, "up")
        commands.run(guest, *_inside(pid), "address", "add", f"{self.guest}/{PREFIX_BITS}", "dev", "eth0")
        self.set(guest, pid, up=True)

    def set(self, guest: str, pid: int, *, up: bool) -> None:
        """Connect or cut the wire at the guest's end, so that the machine keeps its route and packets are lost."""
        commands.run(guest, *_inside(pid), "link", "set", "eth0", "up" if up else "down")

    def unplug(self) -> None:
        """Remove the wire, if it is there."""
        if Path("/sys/class/net", self.name).exists():
            commands.succeeds("ip", "link", "delete", self.name)

    def release(self) -> None:
        """Give the /30 back to whoever asks next; once it is given back, nothing happens."""
        if self._lock < 0:
            return
        self.unplug()
        _open(self.network)
        (LOCKS / self.name).unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = -1


def reserve(network: ipaddress.IPv4Network, preferred: int) -> Wire:
    """Reserve a /30 of ``network``: number ``preferred`` when it is free, else the next free one.

    Raises `StartError` ``lab-guest-failed`` when all are taken.
    """
    LOCKS.mkdir(mode=0o755, exist_ok=True)
    for candidate in _candidates(network, preferred):
        lock = os.open(LOCKS / Wire(candidate, -1).name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        wire = Wire(candidate, lock)
        if _locked(wire, lock) and not _used_by_others(wire):
            commands.run(wire.guest, "ip", "route", "replace", *_nothing_there(candidate))
            return wire
        os.close(lock)
    raise StartError("lab-guest-failed", guest=str(network), reason="every address of the network is taken")


def sweep(tidy: Callable[[str], None]) -> None:
    """Give back every wire whose holder was killed; ``tidy`` is told the name of each before."""
    for path in LOCKS.glob("rs????????"):
        try:
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            # Its holder has just given it back.
            continue
        wire = Wire(ipaddress.IPv4Network((int(path.name.removeprefix("rs"), 16), PREFIX_BITS)), lock)
        if _locked(wire, lock):
            tidy(wire.name)
            wire.release()
        else:
            os.close(lock)


def _inside(pid: int) -> tuple[str, ...]:
    return ("nsenter", "--target", str(pid), "--net", "ip")


def _nothing_there(network: ipaddress.IPv4Network) -> tuple[str, ...]:
    return ("unreachable", str(network), "metric", LAST_METRIC)


def _open(network: ipaddress.IPv4Network) -> None:
    commands.succeeds("ip", "route", "delete", *_nothing_there(network))


def _candidates(network: ipaddress.IPv4Network, preferred: int) -> Iterator[ipaddress.IPv4Network]:
    count = 2 ** (PREFIX_BITS - network.prefixlen)
    first = int(network.network_address)
    for offset in range(count):
        yield ipaddress.IPv4Network((first + BLOCK * ((preferred + offset) % count), PREFIX_BITS))


def _locked(wire: Wire, lock: int) -> bool:
    """Lock the file; one that its last holder removed in the meantime does not count."""
    try:
        return _holds(lock) and os.fstat(lock).st_ino == (LOCKS / wire.name).stat().st_ino
    except FileNotFoundError:
        return False


def _holds(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _used_by_others(wire: Wire) -> bool:
    """Whether an interface that is not ours has an address in this /30."""
    lines = commands.run(wire.guest, "ip", "-oneline", "-4", "address", "show", "to", str(wire.network)).splitlines()
    return any(wire.name not in line for line in lines)
