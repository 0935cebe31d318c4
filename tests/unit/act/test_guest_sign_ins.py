"""When a guest whose engine cannot be reached is signed in to again, and when its open link is asked again."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from roadstead.act.guests.guest import Guest, Opened, Services
from roadstead.act.guests.sign_ins import SignIns
from roadstead.errors import EngineError
from roadstead.kit.gates import Budget
from roadstead.kit.streams import Receiver, Stream
from roadstead.model import VmId
from roadstead.settings.schema import Settings

TRIES = 3


class RefusingWay:
    """A link that lives and never opens a stream, for one reason."""

    def __init__(self, code: str, tried: asyncio.Queue[None]) -> None:
        self.is_open = True
        self.heard = datetime.now(UTC)
        self.address = "192.0.2.1"
        self.relay = ""
        self.idle_seconds = 0.0
        self.asks_after = 0.0
        self._code = code
        self._tried = tried

    async def open(self, receiver: Receiver) -> Stream:
        """Refuse."""
        self._tried.put_nowait(None)
        raise EngineError(self._code, user="core", socket="/var/run/docker.sock")

    def close(self) -> None:
        """End the link."""
        self.is_open = False


def _services() -> Services:
    budget, sign_ins = Budget(2**20, 2**20), SignIns(5.0)
    return Services(Settings(), budget, lambda _: None, lambda _: {}, sign_ins, lambda _: nullcontext())


async def _sign_ins(code: str) -> int:
    """Return how many sign-ins it took to ask a guest `TRIES` times that answers with ``code``."""
    tried: asyncio.Queue[None] = asyncio.Queue()
    ways: list[RefusingWay] = []

    async def open_way() -> Opened:
        ways.append(RefusingWay(code, tried))
        return Opened(ways[-1])

    guest = Guest(VmId("vm"), open_way, _services())
    async with asyncio.TaskGroup() as group:
        running = group.create_task(guest.run())
        for _ in range(TRIES):
            await tried.get()
        running.cancel()
    assert not any(way.is_open for way in ways)
    return len(ways)


@pytest.mark.looptime
@pytest.mark.parametrize("code", ["engine-socket-denied", "engine-unreachable", "no-relay"])
async def test_what_a_sign_in_fixes_is_tried_with_a_new_one(code: str) -> None:
    """Groups, shells and options of a key hold from the next sign-in on: the old link would never get better."""
    assert await _sign_ins(code) == TRIES


@pytest.mark.looptime
@pytest.mark.parametrize("code", ["engine-down", "no-engine-socket"])
async def test_an_engine_that_is_down_costs_no_sign_in(code: str) -> None:
    """The link lives, and asking again over it is enough."""
    assert await _sign_ins(code) == 1


@pytest.mark.looptime
async def test_what_changes_while_a_guest_waits_for_its_turn_costs_no_sign_in() -> None:
    """It is opened under what holds when its turn comes. What changes while it is opened makes that link void."""
    tried: asyncio.Queue[None] = asyncio.Queue()
    turns, opening = asyncio.Semaphore(1), asyncio.Semaphore(1)
    ways: list[RefusingWay] = []

    async def open_way() -> Opened:
        assert turns.locked()
        async with opening:
            ways.append(RefusingWay("engine-down", tried))
        return Opened(ways[-1])

    guest = Guest(VmId("vm"), open_way, replace(_services(), turn=lambda _: turns))
    async with asyncio.TaskGroup() as group:
        async with turns:
            running = group.create_task(guest.run())
            await asyncio.sleep(100)
            guest.reconnect()
        await tried.get()
        assert [way.is_open for way in ways] == [True]
        assert not turns.locked()
        async with opening:
            guest.reconnect()
            await asyncio.sleep(10)
            guest.reconnect()
        while not ways[-1].is_open:
            await tried.get()
        assert [way.is_open for way in ways] == [False, False, True]
        running.cancel()
