"""Containers that change by themselves, so that a lab looks alive and a fleet can be loaded at a known rate."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Sequence

from roadstead.lab.guests.containers import Container
from roadstead.lab.guests.engine import Engine
from roadstead.lab.guests.guest import SimulatedGuest

TICK_SECONDS = 0.01
"""Changes due within this time are made together, or timers would cost more than the changes."""
GRACE_SECONDS = 1.0
TRIES = 8
"""Guests that are off are passed over this often before a change is left out."""

Change = Callable[[Engine, Container], None]


class Churn:
    """Makes the containers of some guests change at a rate of container events per second."""

    def __init__(self, guests: Sequence[SimulatedGuest], chance: random.Random) -> None:
        self._guests = guests
        self._chance = chance
        self._rate = 0.0
        self._due = 0.0
        self._told = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._names = itertools.count(1)
        self._on_running: tuple[tuple[Change, int, int], ...] = (
            (self._pause, 40, 1),
            (self._rename, 20, 1),
            (self._flip_health, 20, 4),
            (self._restart, 10, 5),
            (self._replace, 5, 5),
            (Engine.crash, 5, 2),
        )

    def set_rate(self, events_per_second: float) -> None:
        """From now on; 0 stops."""
        self._rate = events_per_second
        self._due = 0.0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if events_per_second > 0:
            self._told = asyncio.get_running_loop().time()
            self._schedule()

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(max(TICK_SECONDS, 1 / self._rate), self._tick)

    def _tick(self) -> None:
        now = asyncio.get_running_loop().time()
        # After a stall the missed changes are not made up for: they would come as a burst.
        self._due = min(self._due + (now - self._told) * self._rate, max(1.0, self._rate))
        self._told = now
        while self._due >= 1:
            self._due -= self.change()
        self._schedule()

    def change(self) -> int:
        """Change one container; how many events that makes (1 when there was none to change)."""
        engine = self._choose()
        if engine is None:
            return 1
        container = self._chance.choice(tuple(engine.containers.values()))
        if container.state == "running":
            weights = [weight for _, weight, _ in self._on_running]
            act, _, cost = self._chance.choices(self._on_running, weights)[0]
            act(engine, container)
            return cost
        if container.state == "paused":
            engine.unpause(container)
        elif container.state in ("created", "exited"):
            engine.start(container)
        return 1

    def _choose(self) -> Engine | None:
        """The engine of a guest that runs and has containers; None when chance finds none in a few tries."""
        for _ in range(TRIES if self._guests else 0):
            guest = self._chance.choice(self._guests)
            if guest.is_running and guest.engine.containers:
                return guest.engine
        return None

    def _pause(self, engine: Engine, container: Container) -> None:
        if container.image.isolation == "process":
            engine.exec(container, "true")
        else:
            engine.pause(container)

    def _rename(self, engine: Engine, container: Container) -> None:
        role = container.name.split("-")[0]
        engine.rename(container, f"{role}-r{next(self._names)}")

    def _flip_health(self, engine: Engine, container: Container) -> None:
        if container.image.has_health:
            engine.check_health(container, "unhealthy" if container.health == "healthy" else "healthy")
        else:
            engine.exec(container, "true")

    def _restart(self, engine: Engine, container: Container) -> None:
        engine.restart(container, GRACE_SECONDS, lambda: None)

    def _replace(self, engine: Engine, container: Container) -> None:
        engine.remove(container)
        image = self._chance.choice(engine.profile.catalogue)
        engine.start(engine.create(f"{image.role}-n{next(self._names)}", image))
