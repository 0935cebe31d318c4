"""So many in a second, evenly, whoever asks."""

import asyncio

import pytest

from roadstead.kit.rates import Rate

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
