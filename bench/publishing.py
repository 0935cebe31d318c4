"""What a pool has to bear of what is published in it: what its clients hear of it, and whether a storm stays bounded.

The lab runs in this process: so the engines' events are counted where they are made, and writes where they arrive. What
a client hears is counted by one that listens as all do (``event.from``): a write of ours is a removal and an addition,
mostly two events, the old pack's (the whole map) was one.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import XenAPI

from bench import servers
from bench.figures import Extra, Measured
from bench.fleets import CONTAINERS
from bench.servers import Served
from bench.stage import Stage
from roadstead.lab.guests.containers import Container
from roadstead.lab.guests.engine import Engine
from roadstead.lab.guests.events import Event, Feed
from roadstead.lab.guests.simulated import SimulatedGuests
from roadstead.lab.pool import contents
from roadstead.lab.pool.database import Change
from roadstead.lab.pool.driver import NewVm
from roadstead.lab.pool.server import LabPool
from roadstead.model import config_keys

VMS = 50
RATE = 50
"""Events per second: one in each VM."""
VM_SECONDS = 2.0
"""Nobody writes to one VM oftener; the setting that the server runs with."""
DOWN_SECONDS = 0.5
UP_SECONDS = (0.5, 1.5)
"""How long a container is up between two crashes of a storm, at least and at most."""
QUIET_SECONDS = VM_SECONDS + 1
"""Without a write: what a VM was owed has been written."""
SETTLED_SECONDS = 60.0
LISTEN_SECONDS = 2.0
"""How long a client's call waits for events."""
OLD_ACTIONS = frozenset({"create", "destroy", "die", "kill", "pause", "restart", "start", "stop", "unpause"})
"""After each of these events the old pack wrote ``docker_ps``. It meant to write ``docker_info`` after some of them,
too, but never came to it, and of other events it took no notice.
"""


class Writes:
    """The writes of published keys, as the pool sees them: each key that gets a value counts, which is one at a time
    unless a VM's engine is new.
    """

    def __init__(self, pool: LabPool) -> None:
        self.made: list[tuple[float, str]] = []
        """When, and to which VM."""
        self._database = pool.core.database
        self._held: dict[str, dict[str, str]] = {}
        self._database.listeners.append(self._changed)

    async def quiet(self) -> None:
        """Wait until all that happened is published."""
        since = time.monotonic()
        async with asyncio.timeout(SETTLED_SECONDS):
            while time.monotonic() < max([since, *(at for at, _ in self.made[-1:])]) + QUIET_SECONDS:
                await asyncio.sleep(servers.POLL_SECONDS)

    def shortest(self) -> float:
        """The shortest time between two writes to one VM."""
        by_vm: dict[str, list[float]] = {}
        for at, vm in self.made:
            by_vm.setdefault(vm, []).append(at)
        return min((later - earlier for times in by_vm.values() for earlier, later in pairwise(times)), default=0.0)

    def busiest(self) -> int:
        """The most writes in one second."""
        return max((sum(at <= other < at + 1 for other, _ in self.made) for at, _ in self.made), default=0)

    def _changed(self, change: Change) -> None:
        if change.kind != "VM" or change.gone:
            return
        config = self._database.get("VM", change.ref)["other_config"]
        before = self._held.get(change.ref, {})
        now = {key: config[key] for key in config_keys.PUBLISHED_KEYS if key in config}
        self._held[change.ref] = now
        if any(before.get(key) != value for key, value in now.items()):
            self.made.append((time.monotonic(), change.ref))


class Listener:
    """A client that listens to the pool's VMs, and counts the events that tell of published keys, gone ones, too."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.heard = 0
        self.without = 0
        """How many of them showed a VM without its list."""
        self._held: dict[str, dict[str, str]] = {}
        self._session = XenAPI.Session(url, ignore_ssl=True)
        self._session.xenapi.login_with_password(user, password, "1.0", "bench")

    async def run(self) -> None:
        """Listen until cancelled."""
        token, event_from = "", getattr(self._session.xenapi.event, "from")
        while True:
            said = await asyncio.to_thread(event_from, ["vm"], token, LISTEN_SECONDS)
            token = said["token"]
            for event in said["events"]:
                self._hear(event)

    def _hear(self, event: dict[str, Any]) -> None:
        config = event.get("snapshot", {}).get("other_config", {})
        now = {key: config[key] for key in config_keys.PUBLISHED_KEYS if key in config}
        if now != self._held.get(event["ref"], {}):
            self.heard += 1
            self.without += config_keys.DOCKER_PS not in now
        self._held[event["ref"]] = now


@dataclass(frozen=True, slots=True)
class Scene:
    """A pool whose containers are published."""

    served: Served
    pool: LabPool
    engines: tuple[Engine, ...]
    writes: Writes
    listener: Listener
    events: Counter[str]
    """How many events of containers there were, by their action."""

    async def begin(self) -> None:
        """Count anew from now on, when all that happened before is published."""
        await self.writes.quiet()
        self.writes.made.clear()
        self.events.clear()
        self.listener.heard = self.listener.without = 0

    def old_writes(self) -> int:
        """How often the old pack would have written."""
        return sum(count for action, count in self.events.items() if action in OLD_ACTIONS)


async def publish_events(stage: Stage) -> Measured:
    """How many events a client of the pool hears for 1,000 of containers that are spread over many VMs; beside it, how
    many it heard the old way.
    """
    scene = await stage.shared(_scene)
    await scene.begin()
    counted = scene.served.health().statistics.outputs.writes
    wanted = stage.sizes.publish_events
    stage.say(f"publish-events: {wanted} events, {RATE} in a second")
    await scene.pool.machines.set_rate(RATE)
    while scene.events.total() < wanted:
        await asyncio.sleep(servers.POLL_SECONDS)
    await scene.pool.machines.set_rate(0)
    await scene.writes.quiet()
    counted = scene.served.health().statistics.outputs.writes - counted
    scale = 1000 / scene.events.total()
    extras = (
        Extra("publish-events, writes", len(scene.writes.made) * scale, ""),
        Extra("publish-events, writes by the server's own count", counted * scale, ""),
        Extra("publish-events, those that show a VM without its list", scene.listener.without * scale, ""),
    )
    return Measured(scene.listener.heard * scale, scene.old_writes() * scale, extras)


async def publish_storm(stage: Stage) -> Measured:
    """How many writes a second there are while every container restarts again and again."""
    scene = await stage.shared(_scene)
    await scene.begin()
    seconds = stage.sizes.storm_seconds
    stage.say(f"publish-storm: {VMS * CONTAINERS:,} containers restart for {seconds:g} s")
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for engine in scene.engines:
            for container in engine.containers.values():
                group.create_task(_restarting(engine, container, began + seconds))
    old, heard = scene.old_writes() / seconds, scene.listener.heard / seconds
    await scene.writes.quiet()
    wrong = await _differences(scene.pool)
    assert not wrong, f"{wrong} containers are not shown as they are"
    shortest = scene.writes.shortest()
    assert shortest >= VM_SECONDS, f"a VM was written to again after {shortest:.2f} s"
    extras = (
        Extra("publish-storm, writes in its busiest second", scene.writes.busiest(), ""),
        Extra("publish-storm, events that a client hears", heard, "events/s"),
        Extra("publish-storm, shortest time between two writes to a VM", shortest, "s"),
        Extra("publish-storm, the old way", old, "writes/s"),
        Extra("publish-storm, containers that are shown wrongly afterwards", wrong, ""),
    )
    # The first write need not wait for its turn.
    waited = sum(at < began + seconds for at, _ in scene.writes.made) - 1
    return Measured(waited / seconds, extras=extras)


async def _restarting(engine: Engine, container: Container, until: float) -> None:
    while time.monotonic() < until:
        engine.crash(container, wait_seconds=DOWN_SECONDS)
        await asyncio.sleep(DOWN_SECONDS + random.uniform(*UP_SECONDS))


@asynccontextmanager
async def _scene(stage: Stage) -> AsyncIterator[Scene]:
    folder = Path(tempfile.mkdtemp(prefix="publishing-", dir=stage.folder))
    stage.say(f"publishing: making {VMS} VMs with {CONTAINERS} containers each")
    maker = SimulatedGuests(folder / "guests")
    async with LabPool(folder / "lab", hosts=1, guests=maker) as pool:
        for name in contents.names(VMS):
            await pool.make_vm(NewVm(name, CONTAINERS), wait=False)
        await pool.machines.booted()
        events: Counter[str] = Counter()
        engines = tuple(guest.engine for guest in maker.guests.values())
        for engine in engines:
            engine.log.subscribe(Feed({"type": frozenset({"container"})}, lambda event: _count(events, event)))
        writes = Writes(pool)
        reached = {
            "url": pool.url,
            "user": pool.user,
            "password": pool.password,
            "fingerprint": pool.fingerprint,
            "admit": await pool.machines.networks(),
        }
        listener = await asyncio.to_thread(Listener, pool.url, pool.user, pool.password)
        async with servers.watching(folder, reached) as served, asyncio.TaskGroup() as group:
            listening = group.create_task(listener.run())
            await served.until_listed(stage, VMS, VMS * CONTAINERS)
            yield Scene(served, pool, engines, writes, listener, events)
            listening.cancel()


def _count(events: Counter[str], event: Event) -> None:
    # "exec_start: true" is an exec_start.
    events[event.action.partition(":")[0]] += 1


# ---- what the pool's clients see


async def _differences(pool: LabPool) -> int:
    """How many containers a client of the pool misses, or sees otherwise than they are: after a storm all run."""
    truth = {
        (vm, container["id"], container["name"], "Up" if container["state"] == "running" else container["state"])
        for vm, entry in (await pool.truth()).items()
        for container in _listed(entry["containers"])
    }
    return len(truth ^ await asyncio.to_thread(_shown, pool.url, pool.user, pool.password))


def _listed(containers: object) -> list[dict[str, Any]]:
    assert isinstance(containers, list)
    return containers


def _shown(url: str, user: str, password: str) -> set[tuple[str, ...]]:
    """Read what is published as other clients do, with XAPI's own library: VM, id, name and status."""
    session = XenAPI.Session(url, ignore_ssl=True)
    session.xenapi.login_with_password(user, password, "1.0", "bench")
    try:
        records = session.xenapi.VM.get_all_records().values()
    finally:
        session.xenapi.session.logout()
    return {
        (record["uuid"], *(entry.findtext(field, "") for field in ("id", "names", "status")))
        for record in records
        if config_keys.DOCKER_PS in record["other_config"] and not record["is_a_snapshot"]
        for entry in ET.fromstring(record["other_config"][config_keys.DOCKER_PS]).iter("entry")  # noqa: S314 - it is ours
    }
