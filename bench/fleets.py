"""A fleet of simulated guests: what it costs to watch, and whether all that happens in it is known."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

import msgspec

from bench import listener, programs, servers
from bench.figures import Extra, Measured
from bench.listener import Heard
from bench.servers import Served
from bench.stage import Stage
from roadstead.peers.links.tls import IDLE_SECONDS

CONTAINERS = 20
TLS_VMS = 1_000
TLS_SETTLED_SECONDS = 5.0
"""After idle connections were given up."""
RATES = (100, 1000)
"""Events per second, one after the other."""
IDLE_SHARE = 0.5
"""Of the time that memory settles in, the last part is taken for the idle CPU."""
QUIET_SECONDS = 4.0
"""Without a change: restarts that were under way have ended."""
SETTLED_SECONDS = 120.0


class Shown(msgspec.Struct):
    """A container as the server shows it."""

    id: str
    name: str
    state: str
    stale: bool


@dataclass(frozen=True, slots=True)
class Fleet:
    """A server on which every container of a fleet is listed; how long that took, and what it cost."""

    served: Served
    listed_seconds: float
    listed_cpu_seconds: float


async def link_memory(stage: Stage) -> Measured:
    """Memory for each connected VM without containers."""
    return await _memory(stage, "link-memory", _listed(stage, "links", 0), stage.sizes.vms)


async def tls_memory(stage: Stage) -> Measured:
    """The same for guests over TLS, each with a CA and certificates of its own."""
    return await _memory(stage, "tls-memory", _windows(stage), TLS_VMS)


async def _memory(stage: Stage, name: str, listed: AbstractAsyncContextManager[Fleet], vms: int) -> Measured:
    stage.say(f"{name}: a server with an empty pool")
    async with servers.serving(stage, f"{name}-empty", "--vms", 0, "--guests", "none") as served:
        await asyncio.sleep(stage.sizes.settle_seconds / 4)
        empty = served.server.pss_bytes()
    async with listed as fleet:
        await asyncio.sleep(max(IDLE_SECONDS + TLS_SETTLED_SECONDS, stage.sizes.settle_seconds / 2))
        server = fleet.served.server
        full, used = server.pss_bytes(), server.cpu_seconds()
        await asyncio.sleep(stage.sizes.settle_seconds)
        idle = (server.cpu_seconds() - used) / stage.sizes.settle_seconds
        extras = (
            Extra(f"{name}, time to connect", fleet.listed_seconds, "s"),
            Extra(f"{name}, idle CPU", idle * 100, "% of a core"),
        )
        return Measured((full - empty) / vms / 1000, extras=extras)


async def fleet(stage: Stage) -> Measured:
    """Memory of a server that watches a fleet."""
    full = await stage.shared(_fleet)
    seconds = stage.sizes.settle_seconds
    stage.say(f"fleet: listed after {full.listed_seconds:.0f} s; settling for {seconds:g} s")
    server = full.served.server
    await asyncio.sleep(seconds * (1 - IDLE_SHARE))
    used = server.cpu_seconds()
    await asyncio.sleep(seconds * IDLE_SHARE)
    idle = (server.cpu_seconds() - used) / (seconds * IDLE_SHARE)
    garbage = full.served.health().statistics.garbage
    extras = (
        Extra("fleet, time to list", full.listed_seconds, "s"),
        Extra("fleet, CPU to list", full.listed_cpu_seconds, "s"),
        Extra("fleet, idle CPU", idle * 100, "% of a core"),
        Extra("fleet, longest collection", garbage.longest_us / 1000, "ms"),
    )
    return Measured(server.pss_bytes() / 1e9, extras=extras)


async def churn(stage: Stage) -> Measured:
    """Whether the inventory is the truth after much has happened, and whether every change was told."""
    full = await stage.shared(_fleet)
    wrong, extras = 0, []
    for rate in RATES:
        stage.say(f"churn: {rate} events/s for {stage.sizes.churn_seconds:g} s")
        found, figures = await _churned(stage, full.served, rate)
        wrong += found
        extras += figures
    return Measured(wrong, extras=tuple(extras))


@asynccontextmanager
async def _fleet(stage: Stage) -> AsyncIterator[Fleet]:
    async with _listed(stage, "fleet", CONTAINERS) as fleet:
        yield fleet


@asynccontextmanager
async def _listed(stage: Stage, name: str, containers: int) -> AsyncIterator[Fleet]:
    """A fleet of which everything is listed."""
    vms = stage.sizes.vms
    stage.say(f"{name}: starting a lab of {vms:,} VMs with {containers} containers each")
    words = ("--vms", vms, "--containers", containers, "--guests", "simulated")
    async with servers.serving(stage, name, *words) as served:
        stage.say(f"{name}: connecting to {vms:,} VMs")
        began = time.monotonic()
        await served.until_listed(stage, vms, vms * containers)
        yield Fleet(served, time.monotonic() - began, served.server.cpu_seconds())


@asynccontextmanager
async def _windows(stage: Stage) -> AsyncIterator[Fleet]:
    """Guests over TLS without containers, all live."""
    stage.say(f"tls-memory: starting a lab of {TLS_VMS:,} VMs whose engines are reached over TLS")
    words = ("--vms", 0, "--windows", TLS_VMS, "--containers", 0)
    async with servers.serving(stage, "windows", *words) as served:
        began = time.monotonic()
        await served.until_listed(stage, TLS_VMS, 0)
        yield Fleet(served, time.monotonic() - began, served.server.cpu_seconds())


# ---- churn


async def _churned(stage: Stage, served: Served, rate: int) -> tuple[int, list[Extra]]:
    """Let containers change; return how much is wrong afterwards, and what it cost."""
    file, seconds = stage.folder / f"heard-{rate}", stage.sizes.churn_seconds
    words = programs.module("listener", served.socket, file)
    async with programs.running(words, stage.folder / "listener.log"):
        began, used = time.time(), served.server.cpu_seconds()
        await served.order("rate", str(rate))
        await asyncio.sleep(seconds)
        used = served.server.cpu_seconds() - used
        await served.order("rate", "0")
        garbage = served.health().statistics.garbage
        stage.say("churn: waiting for quiet, then comparing with the lab's truth")
        await _quiet(served)
    heard = listener.read(file)
    delays = _start_delays(heard, datetime.fromtimestamp(began, UTC))
    name = f"churn at {rate}/s"
    extras = [
        Extra(f"{name}, changes heard", len(heard) - 1, ""),
        Extra(f"{name}, CPU", used / seconds * 100, "% of a core"),
        Extra(f"{name}, longest collection", garbage.longest_in_a_minute_us / 1000, "ms"),
    ]
    if len(delays) > 1:
        extras.append(Extra(f"{name}, event to SSE, p50", statistics.median(delays), "ms"))
        extras.append(Extra(f"{name}, event to SSE, p99", statistics.quantiles(delays, n=100)[98], "ms"))
    return _gaps(heard) + await _differences(served), extras


async def _quiet(served: Served) -> None:
    """Wait until nothing has changed for a while."""
    last, since = -1, time.monotonic()
    async with asyncio.timeout(SETTLED_SECONDS):
        while time.monotonic() < since + QUIET_SECONDS:
            number = (await asyncio.to_thread(served.health)).number
            if number != last:
                last, since = number, time.monotonic()
            await asyncio.sleep(servers.POLL_SECONDS)


def _gaps(heard: Sequence[Heard]) -> int:
    """How often the numbers did not go on by one, or the reader was told to list again."""
    return sum(one.kind == "relist" or one.number != before.number + 1 for before, one in pairwise(heard))


async def _differences(served: Served) -> int:
    """How many containers are missing, left over, or shown otherwise than they are."""
    truth = {
        f"{vm}/{container['id']}": (container["name"], container["state"], False)
        for vm, entry in (await served.order("truth")).items()
        for container in entry["containers"]
    }
    query = "/containers?fields=id,name,state,stale"
    listed = await asyncio.to_thread(served.client.get, list[Shown], query)
    shown = {one.id: (one.name, one.state, one.stale) for one in listed}
    return sum(truth.get(id) != shown.get(id) for id in truth.keys() | shown.keys())


def _start_delays(heard: Sequence[Heard], began: datetime) -> list[float]:
    """Milliseconds from a start until it was heard: of all events only a start leaves its own time in the record.

    A time that lies whole seconds before the reading comes from the engine's words ("Up 3 seconds"), not from an event.
    """
    known: dict[str, datetime] = {}
    delays = []
    for one in heard:
        record = one.record
        if record is None or record.started is None or record.as_of is None or record.started < began:
            continue
        is_event = (record.as_of - record.started).microseconds != 0
        if is_event and known.get(one.id) != record.started:
            known[one.id] = record.started
            delays.append(one.at_ns / 1e6 - record.started.timestamp() * 1e3)
    return delays
