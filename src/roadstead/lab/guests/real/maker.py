"""Makes real guests: gives each a folder and an address, starts them a few at a time, and tidies up after all."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import random
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from roadstead.errors import StartError
from roadstead.lab.guests.real import cgroups, commands, network, workload
from roadstead.lab.guests.real.guest import RealGuest
from roadstead.lab.guests.real.kinds import Kind
from roadstead.lab.guests.real.machine import PLAIN_KEY, Machine

DEFAULT_NETWORK = "10.213.0.0/16"
PARALLEL_BOOTS = 3
COMMANDS = {
    "dockerd": "docker.io",
    "sshd": "openssh-server",
    "ssh-keygen": "openssh-client",
    "ip": "iproute2",
    "busybox": "busybox-static",
    "nsenter": "util-linux",
}
TRIAL = ("ip", "link", "add", "trial0", "type", "veth", "peer", "name", "trial1")
"""Made in a network namespace of its own, which takes it along when it ends."""


class RealGuests:
    """The `GuestMaker` of real guests. What they keep is below ``state``; their addresses are in ``network``.

    All are of one ``kind``, each with the key lines that ``key_options`` begins.
    """

    def __init__(
        self, state: Path, network: str = DEFAULT_NETWORK, key_options: str = PLAIN_KEY, kind: Kind | None = None
    ) -> None:
        self.kind = kind or Kind()
        self._state = state.resolve()
        self._network = ipaddress.IPv4Network(network)
        self._key_options = key_options
        self._keys: tuple[str, ...] = ()
        self._guests: list[RealGuest] = []
        self._threads = ThreadPoolExecutor(PARALLEL_BOOTS, thread_name_prefix="lab guests")
        self._changes: _Changes | None = None
        self._sweeping = threading.Lock()
        self._swept = False

    @staticmethod
    def available() -> str | None:
        """Why real guests cannot be had on this machine, in one sentence; None when they can. Blocks for a moment."""
        if os.geteuid() != 0:
            return "Real guests need root."
        missing = [
            package for command, package in COMMANDS.items() if shutil.which(command, path=commands.PATH) is None
        ]
        if missing:
            return f"Real guests need the Debian packages {' '.join(missing)}."
        if not commands.succeeds("unshare", "--mount", "--pid", "--fork", "--net", "--", *TRIAL):
            return "This machine does not let us make network namespaces with virtual interfaces."
        return None

    async def networks(self) -> tuple[str, ...]:
        """The network of all its guests."""
        return (str(self._network),)

    async def make(self, name: str, number: int, containers: int) -> RealGuest:
        """Make the guest ``number``, not started; what it kept from an earlier run is found again."""
        recipes = workload.recipes(containers, self.kind.engine)
        machine = await self._run(partial(self._machine, name, number))
        guest = RealGuest(machine, recipes, self._threads)
        guest.key_options = self._key_options
        await guest.authorize(self._keys)
        self._guests.append(guest)
        return guest

    async def authorize(self, public_keys: tuple[str, ...]) -> None:
        """Let the owners of these keys in to every guest, and nobody else."""
        self._keys = public_keys
        for guest in self._guests:
            await guest.authorize(public_keys)

    async def set_rate(self, events_per_second: float) -> None:
        """Let containers of all guests together pause and go on at this rate; 0 ends it."""
        if self._changes:
            await asyncio.to_thread(self._changes.end)
            self._changes = None
        if events_per_second > 0:
            self._changes = _Changes(self._guests, events_per_second)
            self._changes.start()

    async def close(self) -> None:
        """Power off every guest and free its address; what they kept stays."""
        await self.set_rate(0)
        await asyncio.gather(*(guest.release() for guest in self._guests))
        self._guests.clear()
        self._threads.shutdown(wait=False)

    async def _run(self, work: partial[Machine]) -> Machine:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _machine(self, name: str, number: int) -> Machine:
        self._sweep()
        folder = self._state / str(number)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        machine = Machine(name, folder, network.reserve(self._network, _last_place(folder, number - 1)), self.kind)
        (folder / "place").write_text(str(machine.wire.place_in(self._network)), encoding="ascii")
        machine.make_host_keys()
        return machine

    def _sweep(self) -> None:
        """Tidy up after killed labs, once, before this one takes its first address."""
        with self._sweeping:
            if not self._swept:
                network.sweep(lambda wire: cgroups.release(cgroups.name_of(wire)))
                self._swept = True


class _Changes(threading.Thread):
    """Pauses and unpauses containers at a rate, in a thread because the engines' calls block."""

    def __init__(self, guests: list[RealGuest], rate: float) -> None:
        super().__init__(name="lab changes", daemon=True)
        self._guests = guests
        self._pause_seconds = 1 / rate
        self._end = threading.Event()
        self._random = random.Random()

    def end(self) -> None:
        self._end.set()
        self.join()

    def run(self) -> None:
        while not self._end.wait(self._pause_seconds):
            guests = [guest for guest in self._guests if guest.is_on]
            if guests:
                self._change(self._random.choice(guests))

    def _change(self, guest: RealGuest) -> None:
        try:
            guest.change(self._random.choice)
        except StartError:
            # Its engine is down or the container has ended meanwhile: the next change finds another.
            return


def _last_place(folder: Path, default: int) -> int:
    """Which /30 of the network the guest had last time."""
    try:
        return int((folder / "place").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return default
