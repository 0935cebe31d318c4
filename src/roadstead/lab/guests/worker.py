"""A child process with simulated guests: the other end of `fleet`."""

from __future__ import annotations

import asyncio
import gc
import resource
import sys

import msgspec

from roadstead.lab.guests import fleet
from roadstead.lab.guests.guest import Lot
from roadstead.lab.guests.simulated import LocalGuests

COLLECTION_THRESHOLDS = (50_000, 50, 1_000)
"""A full collection stops the process for 0.1 s per 1,000 connections: rarely, therefore."""


def main() -> None:
    """Serve guests until standard input ends."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.set_threshold(*COLLECTION_THRESHOLDS)
    asyncio.run(_serve())


async def _serve() -> None:
    orders = asyncio.StreamReader(limit=fleet.ANSWER_BOUND_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    setup = msgspec.json.decode(await orders.readline(), type=fleet.Setup)
    lot = Lot(setup.user, setup.host_keys)
    guests = LocalGuests(
        lot, seed=setup.seed, block=setup.block, port=setup.port, profile=setup.profile, is_tls=setup.is_tls
    )
    _answer(fleet.Done())
    try:
        while line := await orders.readline():
            order: fleet.Order = msgspec.json.decode(line, type=fleet.Order)
            if isinstance(order, fleet.Rate):
                guests.set_rate(order.events_per_second)
            else:
                _answer(await _carry_out(guests, order))
    finally:
        await guests.close()


def _answer(done: fleet.Done) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")
    sys.stdout.buffer.flush()


async def _carry_out(guests: LocalGuests, order: fleet.Order) -> fleet.Done:
    try:
        return await _do(guests, order)
    except Exception as problem:  # noqa: BLE001 - whatever it is, the parent that gave the order is told
        return fleet.Done(error=f"{type(problem).__name__}: {problem}")


async def _do(guests: LocalGuests, order: fleet.Order) -> fleet.Done:
    match order:
        case fleet.Make(name, number, count):
            guests.make(name, number, count)
        case fleet.Authorize(lines):
            guests.lot.authorize(lines)
        case fleet.Tell(number, "truth"):
            return fleet.Done(truth=await guests.guests[number].truth())
        case fleet.Tell(number, verb, names):
            await getattr(guests.guests[number], verb)(*names)
    return fleet.Done()
