"""The maker of simulated guests: no privileges, no images, no kernel features; thousands on one machine.

Up to 2,000 guests live in this process.  Beyond that, and when processes are asked for, they live in children
(`worker`), which are told what to do over a pipe and end with it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable

from roadstead.lab.guests import containers, engine, events, keys, profiles
from roadstead.lab.guests.churn import Churn
from roadstead.lab.guests.guest import Lot, SimulatedGuest

GUESTS_PER_PROCESS = 2_000
NETWORK = "127.89.0.0/16"
KEY_FILE = "guest-host-keys.json"
DEFAULT_PORT = 2222
DEFAULT_USER = "core"
FLEET_HISTORY_EVENTS = 64
"""Events that each guest of a fleet keeps: fewer than a real engine, for the memory of thousands."""


def address(number: int) -> str:
    """The address of guest `number` (from 1)."""
    return f"127.89.{number // 250}.{number % 250 + 1}"


class LocalGuests:
    """The simulated guests of one process."""

    def __init__(
        self, lot: Lot, *, seed: int, port: int = DEFAULT_PORT, profile: str = profiles.DEFAULT_PROFILE
    ) -> None:
        self.lot = lot
        self._seed = seed
        self._port = port
        self._profile = profiles.PROFILES[profile]
        self.guests: dict[int, SimulatedGuest] = {}
        self._list: list[SimulatedGuest] = []
        self._churn: Churn | None = None

    def make(self, name: str, number: int, count: int) -> SimulatedGuest:
        """Guest `number` with `count` containers, the same ones for the same seed, not started."""
        chance = random.Random(f"{self._seed}/{number}")
        made = engine.Engine(self._profile, chance, history_bound=FLEET_HISTORY_EVENTS)
        made.adopt(containers.furnish(chance, count, made.now()))
        guest = SimulatedGuest(name, number, (address(number), self._port), made, self.lot)
        self.guests[number] = guest
        self._list.append(guest)
        return guest

    def set_rate(self, events_per_second: float) -> None:
        """Container events per second of all guests of this process."""
        if self._churn is None:
            self._churn = Churn(self._list, random.Random(self._seed))
        self._churn.set_rate(events_per_second)

    async def close(self) -> None:
        """Stop all."""
        self.set_rate(0)
        for guest in self._list:
            await guest.stop()


def lone_guest(
    name: str = "guest",
    *,
    count: int = 3,
    public_keys: Iterable[str] = (),
    profile: str = profiles.DEFAULT_PROFILE,
    at: tuple[str, int] = ("127.0.0.1", 0),
    clock: Callable[[], int] = time.time_ns,
) -> SimulatedGuest:
    """A guest on its own, as tests want it: on a free port, its keys made for the occasion.

    `async with lone_guest(public_keys=[line]) as guest: … guest.addresses[0], guest.port`
    """
    chance = random.Random(name)
    made = engine.Engine(profiles.PROFILES[profile], chance, clock=clock, history_bound=events.HISTORY_EVENTS)
    made.adopt(containers.furnish(chance, count, made.now()))
    lot = Lot(DEFAULT_USER, keys.KeyFile(f"{chance.getrandbits(256):x}"))
    lot.authorize(public_keys)
    return SimulatedGuest(name, 1, at, made, lot)
