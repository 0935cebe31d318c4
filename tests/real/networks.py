"""A management network, Roadstead's own, one of guests and one of strangers, with a router between: namespaces."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

TALKER = Path(__file__).with_name("talker.py")
MACHINES = {"dom0": 0, "guest": 1, "stranger": 2, "roadstead": 3}
"""Each stands in a network of this number."""
CONTAINER, BEHIND = "container", 4
"""A machine behind the guest, which forwards for it, as for a container; its network has this number."""
SERVER_4, SERVER_6 = "10.77.0.53", "fd77::53"
"""A DNS and NTP server in the management network; dom0 answers for it."""
PORTS = (22, 53, 80, 2375, 2376)
"""TCP, of every machine."""
SERVICES = (("udp", 53), ("tcp", 53), ("udp", 123))
READY_SECONDS = 20.0
PREFIX = "rsfw"
"""Of the names of namespaces; the number of the process that made them follows."""

Call = tuple[str, str, int]


def address(machine: str, version: int) -> str:
    """The address of a machine."""
    number = BEHIND if machine == CONTAINER else MACHINES[machine]
    return f"10.77.{number}.10" if version == 4 else f"fd77:0:0:{number:x}::10"


def everything() -> dict[str, list[Call]]:
    """Every machine calls every other one on every port, in both versions of IP."""
    return {
        source: [
            ("tcp", address(to, version), port)
            for to in MACHINES
            if to != source
            for version in (4, 6)
            for port in PORTS
        ]
        for source in MACHINES
    }


class Networks:
    """The namespaces, and whoever talks in them."""

    def __init__(self) -> None:
        self._prefix = f"{PREFIX}{os.getpid()}-"
        self._talkers: dict[str, subprocess.Popen[str]] = {}

    def command(self, machine: str, *words: str) -> list[str]:
        """What runs a command in a machine."""
        return ["ip", "netns", "exec", self._prefix + machine, *words]

    def run(self, machine: str, *words: str, stdin: str = "") -> str:
        """Run a command in a machine; what it printed. It must end well."""
        done = subprocess.run(
            ["ip", "netns", "exec", self._prefix + machine, *words],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stderr}\n{stdin}"
        return done.stdout

    def ask(self, machine: str, calls: Sequence[Call]) -> list[str]:
        """Let a machine call; what became of each call."""
        return [told for _, told in self.send({machine: list(calls)})]

    def send(self, calls: Mapping[str, list[Call]]) -> list[tuple[tuple[str, Call], str]]:
        """Let several machines call at once; what became of each call."""
        for machine, some in calls.items():
            into = self._talkers[machine].stdin
            assert into is not None
            into.write(json.dumps(some) + "\n")
            into.flush()
        found: list[tuple[tuple[str, Call], str]] = []
        for machine, some in calls.items():
            out = self._talkers[machine].stdout
            assert out is not None
            found += [((machine, one), told) for one, told in zip(some, json.loads(out.readline()), strict=True)]
        return found

    def wait_open(self) -> None:
        """Wait until everybody reaches everybody: neighbours have to find each other first."""
        until = time.monotonic() + READY_SECONDS
        behind: list[Call] = [("tcp", address("dom0", version), 22) for version in (4, 6)]
        while {told for _, told in self.send({**everything(), CONTAINER: behind})} != {"open"}:
            assert time.monotonic() < until

    def open(self) -> None:
        """Make the namespaces and lay the wires."""
        for machine in ("router", CONTAINER, *MACHINES):
            subprocess.run(["ip", "netns", "add", self._prefix + machine], check=True)
            self.run(machine, "ip", "link", "set", "lo", "up")
        self.run("router", "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        for machine, number in MACHINES.items():
            self._wire("router", machine, number)
        self.run("guest", "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self._wire("guest", CONTAINER, BEHIND)
        for version, network in ((4, f"10.77.{BEHIND}.0/24"), (6, f"fd77:0:0:{BEHIND}::/64")):
            self.run("router", "ip", "route", "add", network, "via", address("guest", version))
        for one in (f"{SERVER_4}/24", f"{SERVER_6}/64"):
            self.run("dom0", "ip", "address", "add", one, "dev", "eth0", "nodad")
        for machine in (CONTAINER, *MACHINES):
            self._talkers[machine] = self._talker(machine)
        self.wait_open()

    def close(self) -> None:
        """Take it all away."""
        for talker in self._talkers.values():
            talker.kill()
            talker.communicate()
        for machine in ("router", CONTAINER, *MACHINES):
            subprocess.run(["ip", "netns", "delete", self._prefix + machine], check=False, capture_output=True)

    def _wire(self, router: str, machine: str, number: int) -> None:
        leg = ["name", "eth0", "netns", self._prefix + machine]
        self.run(router, "ip", "link", "add", f"leg{number}", "type", "veth", "peer", *leg)
        for where, device, last in ((router, f"leg{number}", "1"), (machine, "eth0", "10")):
            self.run(where, "ip", "address", "add", f"10.77.{number}.{last}/24", "dev", device)
            self.run(where, "ip", "address", "add", f"fd77:0:0:{number:x}::{last}/64", "dev", device, "nodad")
            self.run(where, "ip", "link", "set", device, "up")
        self.run(machine, "ip", "route", "add", "default", "via", f"10.77.{number}.1")
        self.run(machine, "ip", "route", "add", "default", "via", f"fd77:0:0:{number:x}::1")

    def _talker(self, machine: str) -> subprocess.Popen[str]:
        listens: list[Call] = [("tcp", every, port) for every in ("0.0.0.0", "::") for port in PORTS]
        if machine == "dom0":
            # Datagrams are answered from the address that was asked only by who listens there alone.
            listens += [("udp", one, port) for one in (SERVER_4, SERVER_6) for kind, port in SERVICES if kind == "udp"]
        command = ["ip", "netns", "exec", self._prefix + machine, sys.executable, str(TALKER), json.dumps(listens)]
        made = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert made.stdout is not None and made.stdout.readline() == "ready\n"
        return made


def remove_left() -> None:
    """Take away what runs left behind that were killed."""
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout
    for name in (line.split()[0] for line in listed.splitlines() if line):
        of = re.fullmatch(rf"{PREFIX}(\d+)-\w+", name)
        if of is not None and not Path(f"/proc/{of[1]}").exists():
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


@contextmanager
def networks() -> Iterator[Networks]:
    """The networks, for the length of the block, which SIGTERM ends like any other way out."""
    remove_left()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    made = Networks()
    try:
        made.open()
        yield made
    finally:
        signal.signal(signal.SIGTERM, before)
        made.close()
