"""So many in a second, evenly, whoever asks."""

import asyncio
import time
from itertools import pairwise

import pytest

from roadstead.kit.rates import Allowance, Rate

pytestmark = pytest.mark.looptime


async def test_a_crowd_passes_evenly() -> None:
    """Twenty a second: a hundred take five seconds."""
    rate = Rate(20)

    await asyncio.gather(*(rate.wait() for _ in range(101)))

    assert asyncio.get_running_loop().time() == pytest.approx(5.0)


async def test_who_comes_rarely_waits_for_nobody() -> None:
    """What was not used before gives no burst later."""
    rate = Rate(1)
    await rate.wait()
    await asyncio.sleep(10)

    began = asyncio.get_running_loop().time()
    await rate.wait()

    assert asyncio.get_running_loop().time() == began
    await rate.wait()
    assert asyncio.get_running_loop().time() == pytest.approx(began + 1.0)


@pytest.mark.looptime(False)
async def test_a_busy_loop_is_followed_by_no_burst() -> None:
    """Who was kept waiting meanwhile passes one after the other all the same."""
    rate = Rate(20)
    passed: list[float] = []

    async def go() -> None:
        await rate.wait()
        passed.append(asyncio.get_running_loop().time())

    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(go())
        await asyncio.sleep(0.01)
        end = time.monotonic() + 0.2
        while time.monotonic() < end:
            continue

    assert all(later - earlier > 0.045 for earlier, later in pairwise(passed))


def test_an_allowance_lets_a_share_pass() -> None:
    """A burst, then only what comes back with time; what is owed is told in seconds; no more than a burst is saved."""
    allowance = Allowance(0.5, 3.0)

    assert [allowance.spend(1.0, 0.0) for _ in range(4)] == [0.0, 0.0, 0.0, 2.0]
    assert allowance.spend(1.0, 2.0) == 2.0
    assert allowance.spend(3.0, 1000.0) == 0.0
    assert allowance.spend(1.0, 1000.0) == 2.0
