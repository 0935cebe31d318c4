"""What one request over the kept link costs, and what a connect costs."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import cycle

from bench import guests, old
from bench.figures import Measured
from bench.guests import Guest, SecuredGuest
from bench.stage import Stage
from roadstead.peers.engine.client import EngineClient

WARM_UP = 20
Request = Callable[[EngineClient], Awaitable[object]]


async def list_1(stage: Stage) -> Measured:
    """List a guest with 1 container."""
    return await _listing(stage, "list-1", guests.single, 1)


async def tls_list_1(stage: Stage) -> Measured:
    """List a guest with 1 container over TLS."""
    guest = await stage.shared(guests.secured)
    stage.say(f"tls-list-1: {stage.sizes.requests} requests on each way")
    return await _beside_socket(guest, _lists(1), stage.sizes.requests)


async def list_20(stage: Stage) -> Measured:
    """List a guest with 20 containers."""
    return await _listing(stage, "list-20", guests.twenty, 20)


async def reread_200(stage: Stage) -> Measured:
    """Read one container of 200 by filter, as after an event."""
    guest = await stage.shared(guests.crowded)
    stage.say(f"reread-200: {stage.sizes.requests} requests on each way")
    ids = cycle(await guest.running_ids())

    async def reread(engine: EngineClient) -> None:
        assert await engine.containers_by_id([next(ids)])

    return await _beside_socket(guest, reread, stage.sizes.requests)


async def connect_cpu(stage: Stage) -> Measured:
    """CPU of this process for one connect and sign-in, beside the old way."""
    await stage.need_real_guests()
    old.need_relay()
    guest = await stage.shared(guests.single)
    stage.say(f"connect-cpu: {stage.sizes.connects} connects, {stage.sizes.old_connects} the old way")
    way = old.OldWay(guest.address, guest.real.user, guest.pem)
    ours, slow = [], []
    for number in range(stage.sizes.connects + 1):
        ours.append(await _connected(guest))
        if number % (stage.sizes.connects // stage.sizes.old_connects) == 0:
            slow.append(await asyncio.to_thread(_old_connected, way))
    # The first ones fill caches.
    return Measured(statistics.median(ours[1:]), statistics.median(slow[1:]))


async def _connected(guest: Guest) -> float:
    began = time.process_time()
    link = await guest.connect()
    used = (time.process_time() - began) * 1000
    link.close()
    await link.wait_closed()
    return used


def _old_connected(way: old.OldWay) -> float:
    began = time.process_time()
    with way.connected():
        return (time.process_time() - began) * 1000


async def _listing(
    stage: Stage, name: str, kind: Callable[[Stage], AbstractAsyncContextManager[Guest]], count: int
) -> Measured:
    guest = await stage.shared(kind)
    stage.say(f"{name}: {stage.sizes.requests} requests on each way")

    return await _beside_socket(guest, _lists(count), stage.sizes.requests)


def _lists(count: int) -> Request:
    async def listed(engine: EngineClient) -> None:
        assert (await engine.containers()).total == count

    return listed


async def _beside_socket(guest: Guest | SecuredGuest, request: Request, count: int) -> Measured:
    """The request by our link and at the engine's own socket in turn, with the same client."""
    async with _both(guest) as engines:
        times: tuple[list[float], list[float]] = ([], [])
        for number in range(WARM_UP + count):
            for engine, taken in zip(engines, times, strict=True):
                began = time.perf_counter()
                await request(engine)
                if number >= WARM_UP:
                    taken.append((time.perf_counter() - began) * 1000)
    ours, socket = times
    return Measured(statistics.median(ours), statistics.median(socket))


@asynccontextmanager
async def _both(guest: Guest | SecuredGuest) -> AsyncIterator[tuple[EngineClient, EngineClient]]:
    async with (
        guests.engine_over(await guest.connect()) as ours,
        guests.engine_over(await guest.connect_socket()) as socket,
    ):
        yield ours, socket
