"""Waiters: one task waits, callbacks wake it; an alarm also rings for whoever comes later."""

import asyncio

import pytest

from roadstead.kit import tasks
from roadstead.kit.waiter import Alarm, Waiter

pytestmark = pytest.mark.looptime


async def _seconds(waiting: Waiter | Alarm, limit: float = 100) -> float:
    began = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(limit):
            await waiting.wait()
    except TimeoutError:
        return float("inf")
    return asyncio.get_running_loop().time() - began


async def test_a_wake_that_finds_nobody_is_lost() -> None:
    """A waiter knows nothing of what was before."""
    waiter = Waiter()
    waiter.wake()
    asyncio.get_running_loop().call_later(3, waiter.wake)
    assert await _seconds(waiter) == 3
    assert not waiter.is_waiting


async def test_an_alarm_rings_once_for_whoever_comes_later() -> None:
    """Set before it is waited for, it is over at once, and then it counts no more."""
    alarm = Alarm()
    alarm.set()
    alarm.set()
    assert [await _seconds(alarm), await _seconds(alarm)] == [0, float("inf")]


async def test_an_alarm_that_was_cleared_does_not_ring() -> None:
    """What happened counts no more, also for one that waits already and has not gone on yet."""
    alarm = Alarm()
    alarm.set()
    alarm.clear()
    loop = asyncio.get_running_loop()
    for delay, change in ((1, alarm.set), (1, alarm.clear), (5, alarm.set)):
        loop.call_later(delay, change)
    assert await _seconds(alarm) == 5


async def test_an_alarm_is_not_lost_with_one_that_gave_up() -> None:
    """It rings in the turn of the loop in which its task is cancelled: the next one hears it."""
    alarm = Alarm()
    async with asyncio.TaskGroup() as group:
        waiting = tasks.spawn(group, alarm.wait(), "wait")
        await asyncio.sleep(1)
        waiting.cancel()
        alarm.set()
    assert await _seconds(alarm) == 0
