"""The account of sign-ins: however many want to, one guest is signed in to no more often than is polite."""

import asyncio

import pytest

from roadstead.act.guests.sign_ins import SignIns
from roadstead.model import VmId

pytestmark = pytest.mark.looptime
ONE, OTHER = VmId("one"), VmId("other")


def _now() -> float:
    return asyncio.get_running_loop().time()


async def test_the_first_is_at_once_and_the_next_waits() -> None:
    """For what is left of the shortest time; other guests do not wait for it."""
    sign_ins = SignIns(5.0)
    await sign_ins.turn(ONE)
    await sign_ins.turn(OTHER)
    assert _now() == 0
    await asyncio.sleep(2)
    await sign_ins.turn(ONE)
    assert _now() == 5


async def test_those_who_wait_go_one_after_the_other() -> None:
    """Also when they came at the same time; one that gives up leaves no gap."""
    sign_ins, began = SignIns(5.0), []

    async def wait() -> None:
        await sign_ins.turn(ONE)
        began.append(_now())

    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(wait()) for _ in range(5)]
        await asyncio.sleep(1)
        waiting[1].cancel()
        waiting[2].cancel()
    assert began == [0, 5, 10]


async def test_one_that_is_forced_counts_and_one_that_was_none_does_not() -> None:
    """Whoever comes next waits for the last that took place."""
    sign_ins = SignIns(5.0)
    sign_ins.begins(ONE)
    await asyncio.sleep(3)
    sign_ins.begins(ONE)
    await asyncio.sleep(1)
    assert sign_ins.ago(ONE) == 1
    sign_ins.called_off(ONE)
    assert sign_ins.ago(ONE) == 4
    sign_ins.forget(ONE)
    await sign_ins.turn(ONE)
    assert _now() == 4
