"""The maker of simulated guests: no privileges, no images, no kernel features; thousands on one machine.

Up to 2,000 guests live in this process.  Beyond that, and when processes are asked for, they live in children
(`worker`), which are told what to do over a pipe and end with it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from roadstead.lab.guests import containers, engine, events, fleet, keys, places, profiles
from roadstead.lab.guests.certificates import Authority
from roadstead.lab.guests.churn import Churn
from roadstead.lab.guests.guest import Lot, SimulatedGuest

GUESTS_PER_PROCESS = 2_000
KEY_FILE = "guest-host-keys.json"
DEFAULT_PORT = 2222
DEFAULT_USER = "core"
SPREAD_SECONDS = 0.2
"""The rate is spread over the processes this long after a guest was made, once for all that were made meanwhile."""
FLEET_HISTORY_EVENTS = 64
"""Events that each guest of a fleet keeps: fewer than a real engine, for the memory of thousands."""


class LocalGuests:
    """The simulated guests of one process."""

    def __init__(
        self,
        lot: Lot,
        *,
        seed: int,
        block: int = places.BLOCKS[0],
        port: int = DEFAULT_PORT,
        profile: str = profiles.DEFAULT_PROFILE,
        is_tls: bool = False,
    ) -> None:
        self.lot = lot
        self._is_tls = is_tls
        self._block = block
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
        made.adopt(containers.furnish(chance, count, made.now(), self._profile.catalogue))
        authority = _authority(self.lot, number) if self._is_tls else None
        where = (places.address(self._block, number), self._port)
        guest = SimulatedGuest(name, number, where, made, self.lot, authority)
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


class SimulatedGuests:
    """A `GuestMaker`; with `processes`, all guests live in that many children, else only those beyond 2,000 do."""

    def __init__(
        self,
        state: Path,
        rate: float = 0.0,
        seed: int = 0,
        *,
        base_port: int = DEFAULT_PORT,
        profile: str = profiles.DEFAULT_PROFILE,
        processes: int | None = None,
        is_tls: bool = False,
    ) -> None:
        """With `is_tls` the engines of its guests listen with TLS, and no guest has an SSH server."""
        self._is_tls = is_tls
        self._folder = state
        self._key_path = state / KEY_FILE
        self._rate = rate
        self._seed = seed
        self._port = base_port
        self._profile = profile
        self._processes = processes
        self._authorized: tuple[str, ...] = ()
        self._place: places.Place | None = None
        self._local: LocalGuests | None = None
        self._children: dict[int, fleet.Child] = {}
        self._opening = asyncio.Lock()
        self._spreading: asyncio.TimerHandle | None = None

    @property
    def guests(self) -> dict[int, SimulatedGuest]:
        """The guests of this process by number."""
        return self._local.guests if self._local is not None else {}

    async def networks(self) -> tuple[str, ...]:
        """The network of all its guests."""
        async with self._opening:
            place = await self._take_place()
        return (places.network(place.block),)

    async def make(self, name: str, number: int, containers: int) -> SimulatedGuest | fleet.DistantGuest:
        """Guest `number`, not started."""
        async with self._opening:
            place = await self._take_place()
            local = await self._open(place)
            child = await self._child_for(number, local, place)
        self._spread_soon()
        if child is None:
            return local.make(name, number, containers)
        await child.order(fleet.Make(name, number, containers))
        child.guests += 1
        authority = _authority(local.lot, number) if self._is_tls else None
        where = (places.address(place.block, number), self._port)
        return fleet.DistantGuest(name, number, where, local.lot, child, authority)

    async def authorize(self, public_keys: tuple[str, ...]) -> None:
        """Let the owners of these keys in to every guest, and nobody else."""
        self._authorized = public_keys
        if self._local is not None:
            self._local.lot.authorize(public_keys)
        for child in self._children.values():
            await child.order(fleet.Authorize(public_keys))

    async def set_rate(self, events_per_second: float) -> None:
        """Container events per second, all guests together."""
        self._rate = events_per_second
        self._spread()

    async def close(self) -> None:
        """Stop every guest; the host keys stay for the next start."""
        if self._spreading is not None:
            self._spreading.cancel()
        if self._local is not None:
            await self._local.close()
        for child in self._children.values():
            await child.close()
        self._children.clear()
        if self._place is not None:
            self._place.release()
            self._place = None

    def _spread_soon(self) -> None:
        if self._spreading is None:
            self._spreading = asyncio.get_running_loop().call_later(SPREAD_SECONDS, self._spread)

    def _spread(self) -> None:
        """Give each process its share of the rate, by how many guests it has."""
        if self._spreading is not None:
            self._spreading.cancel()
            self._spreading = None
        here = len(self._local.guests) if self._local is not None else 0
        total = here + sum(child.guests for child in self._children.values())
        each = self._rate / total if total else 0.0
        if self._local is not None:
            self._local.set_rate(each * here)
        for child in self._children.values():
            child.set_rate(each * child.guests)

    async def _take_place(self) -> places.Place:
        if self._place is None:
            self._place = await asyncio.to_thread(places.take, self._folder, self._port)
        return self._place

    async def _open(self, place: places.Place) -> LocalGuests:
        if self._local is None:
            host_keys = await asyncio.to_thread(keys.load, self._key_path)
            lot = Lot(DEFAULT_USER, host_keys, self._key_path)
            lot.authorize(self._authorized)
            self._local = LocalGuests(
                lot,
                seed=self._seed,
                block=place.block,
                port=self._port,
                profile=self._profile,
                is_tls=self._is_tls,
            )
        return self._local

    async def _child_for(self, number: int, local: LocalGuests, place: places.Place) -> fleet.Child | None:
        shard = number % self._processes + 1 if self._processes else (number - 1) // GUESTS_PER_PROCESS
        if shard == 0:
            return None
        if shard not in self._children:
            where = (place.block, self._port)
            setup = fleet.Setup(DEFAULT_USER, local.lot.host_keys, self._seed, *where, self._profile, self._is_tls)
            child = await fleet.Child.spawn(setup)
            await child.order(fleet.Authorize(self._authorized))
            self._children[shard] = child
        return self._children[shard]


def _authority(lot: Lot, number: int) -> Authority:
    return Authority(f"guest {number}", keys.authority_secret(lot.host_keys.secret, number))


def lone_guest(
    name: str = "guest",
    *,
    count: int = 3,
    public_keys: Iterable[str] = (),
    profile: str = profiles.DEFAULT_PROFILE,
    at: tuple[str, int] = ("127.0.0.1", 0),
    clock: Callable[[], int] = time.time_ns,
    authority: Authority | None = None,
) -> SimulatedGuest:
    """A guest on its own, as tests want it: on a free port, its keys made for the occasion.

    `async with lone_guest(public_keys=[line]) as guest: … guest.addresses[0], guest.port`
    """
    chance = random.Random(name)
    made = engine.Engine(profiles.PROFILES[profile], chance, clock=clock, history_bound=events.HISTORY_EVENTS)
    made.adopt(containers.furnish(chance, count, made.now(), made.profile.catalogue))
    lot = Lot(DEFAULT_USER, keys.KeyFile(f"{chance.getrandbits(256):x}"))
    lot.authorize(public_keys)
    return SimulatedGuest(name, 1, at, made, lot, authority)
