"""How long it takes until an event in a guest is known: to our clients, at the engine's own socket, the old way."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import time
import urllib.parse
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bench import guests, listener, old, programs, servers
from bench.figures import Extra, Measured
from bench.guests import Guest
from bench.servers import Served
from bench.stage import Stage
from roadstead.peers.engine.client import EngineClient
from roadstead.peers.engine.messages.events import EngineEvent, Flood

APART_SECONDS = 0.25
BATCH = 100
"""Events that are made in one go: the engine remembers 256, and we ask it afterwards when each was."""
CALM_SECONDS = 1.0
LAST_SECONDS = 0.5
"""How long after the last event its effect is waited for."""
READ_SECONDS = 5.0
STATES = {"pause": "paused", "unpause": "running"}


@dataclass(frozen=True, slots=True)
class Told:
    """A container was found in a state, at a time in nanoseconds since the epoch."""

    id: str
    state: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Delays:
    """Milliseconds from an event until its effect was known."""

    ours: list[float]
    socket: list[float]


async def event_to_sse(stage: Stage) -> Measured:
    """From the event's own time until the SSE client has parsed the new state."""
    delays = await stage.shared(_delays)
    p99 = Extra("event-to-sse, p99", statistics.quantiles(delays.ours, n=100)[98], "ms")
    beside = Extra("event-to-sse, p99 of the socket", statistics.quantiles(delays.socket, n=100)[98], "ms")
    return Measured(statistics.median(delays.ours), statistics.median(delays.socket), (p99, beside))


async def event_to_list(stage: Stage) -> Measured:
    """The same, beside what the old way takes until its list is right."""
    await stage.need_real_guests()
    old.need_relay()
    delays = await stage.shared(_delays)
    guest = await stage.shared(guests.crowded)
    stage.say(f"event-to-list: {stage.sizes.old_events} events the old way")
    way = old.OldWay(guest.address, guest.real.user, guest.pem)
    ids = await guest.running_ids()
    slow = await asyncio.to_thread(_old_delays, way, guest.socket, ids, stage.sizes.old_events)
    return Measured(statistics.median(delays.ours), statistics.median(slow))


@asynccontextmanager
async def _delays(stage: Stage) -> AsyncIterator[Delays]:
    """The socket, ours, the socket again: what changes in between, changes for both."""
    guest = await stage.shared(guests.crowded)
    count = stage.sizes.events
    stage.say(f"event-to-sse: {count // 2} events at the engine's own socket")
    socket = await _by_socket(guest, count // 2)
    stage.say(f"event-to-sse: {count} events through a server")
    ours = await _by_server(stage, guest, count)
    stage.say(f"event-to-sse: {count // 2} events at the engine's own socket")
    socket += await _by_socket(guest, count // 2)
    yield Delays(ours, socket)


# ---- through a server


async def _by_server(stage: Stage, guest: Guest, count: int) -> list[float]:
    words = ("--vms", 0, "--guests", "none", "--vm", f"bench={guest.address}@{guest.real.user}")
    async with servers.serving(stage, "event", *words) as served:
        await _manage(stage, served, guest)
        delays: list[float] = []
        for part in _parts(count):
            delays += await _heard_delays(stage, served, guest, part)
        return delays


async def _manage(stage: Stage, served: Served, guest: Guest) -> None:
    """Make the guest ready as an operator does: the pool's key, then enable."""
    client = served.client
    pool = client.get(list[dict[str, Any]], "/pools")[0]["id"]
    key = await asyncio.to_thread(client.get, dict[str, Any], f"/pools/{pool}/key")
    await guest.let_in(key["public_key"])
    await asyncio.to_thread(client.post, dict[str, Any], "/vms/bench/enable")
    known = len(await guest.real.truth())
    await served.until_listed(stage, 1, known)


async def _heard_delays(stage: Stage, served: Served, guest: Guest, count: int) -> list[float]:
    file = stage.folder / "heard"
    began = time.time_ns()
    async with programs.running(programs.module("listener", served.socket, file), stage.folder / "listener.log"):
        await _acted(stage, guest, count)
        await asyncio.sleep(LAST_SECONDS)
    heard = [
        Told(one.id.partition("/")[2], one.record.state, one.at_ns)
        for one in listener.read(file)
        if one.kind == "container" and one.record is not None
    ]
    return _matched(await _history(guest, began, count), heard)


# ---- at the engine's own socket


async def _by_socket(guest: Guest, count: int) -> list[float]:
    delays: list[float] = []
    for part in _parts(count):
        began = time.time_ns()
        async with guests.engine_over(await guest.connect_socket()) as engine, engine.events(None) as events:
            ids = await guest.running_ids()
            words = programs.module("actor", guest.socket, 0, part, APART_SECONDS, *ids)
            actor = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.DEVNULL)
            told: list[Told] = []
            while len(told) < part:
                batch = await events.take(LAST_SECONDS + APART_SECONDS * part)
                assert batch, "events did not come"
                assert not isinstance(batch, Flood)
                told += [await _read_again(engine, event) for event in batch]
            await actor.wait()
        delays += _matched(await _history(guest, began, part), told)
    return delays


async def _read_again(engine: EngineClient, event: EngineEvent) -> Told:
    """Read a container until the new state is there: Docker tells of a pause before its list shows it."""
    async with asyncio.timeout(READ_SECONDS):
        while True:
            container = (await engine.containers_by_id([event.engine_id]))[event.engine_id]
            if container.state == STATES[event.action]:
                return Told(event.engine_id, container.state, time.time_ns())


# ---- the old way


def _old_delays(way: old.OldWay, socket: str, ids: Sequence[str], count: int) -> list[float]:
    """Blocks; each event is made a while after the list was right again."""
    delays = []
    with way.events() as events:
        way.containers()
        for number in range(count):
            time.sleep(CALM_SECONDS)
            subprocess.run(programs.module("actor", socket, number, 1, 0, *ids), check=True, capture_output=True)
            event = next((one for one in events if one.get("Action") in STATES), None)
            assert event is not None, "the stream of events has ended"
            wanted = (event["Actor"]["ID"], STATES[event["Action"]])
            while wanted not in {(one["Id"], one["State"]) for one in way.containers()}:
                continue
            delays.append((time.time_ns() - event["timeNano"]) / 1e6)
    return delays


# ---- pieces


def _parts(count: int) -> Iterable[int]:
    while count > 0:
        yield min(count, BATCH)
        count -= BATCH


async def _acted(stage: Stage, guest: Guest, count: int) -> None:
    """Let another process pause and unpause containers."""
    words = programs.module("actor", guest.socket, 0, count, APART_SECONDS, *await guest.running_ids())
    async with programs.running(words, stage.folder / "actor.log") as actor:
        await actor.wait()


async def _history(guest: Guest, since_ns: int, count: int) -> list[Told]:
    """The events since then, by the engine's own clock, as the states that they lead to."""
    filters = urllib.parse.quote(json.dumps({"type": ["container"], "event": list(STATES)}))
    since, until = (f"{at // 10**9}.{at % 10**9:09}" for at in (since_ns, time.time_ns()))
    answer = await asyncio.to_thread(
        guest.real.engine.call, "GET", f"/events?since={since}&until={until}&filters={filters}"
    )
    entries = [json.loads(line) for line in answer.splitlines()]
    assert len(entries) == count, f"the engine remembers {len(entries)} of {count} events"
    return [Told(entry["Actor"]["ID"], STATES[entry["Action"]], entry["timeNano"]) for entry in entries]


def _matched(events: Iterable[Told], told: Iterable[Told]) -> list[float]:
    """Return for each event how many milliseconds later its effect was told."""
    waiting: defaultdict[str, deque[Told]] = defaultdict(deque)
    for one in told:
        waiting[one.id].append(one)
    delays = []
    for event in events:
        seen = waiting[event.id]
        while seen and (seen[0].state != event.state or seen[0].at_ns < event.at_ns):
            seen.popleft()
        assert seen, f"nobody was told that a container is {event.state}"
        delays.append((seen.popleft().at_ns - event.at_ns) / 1e6)
    return delays
