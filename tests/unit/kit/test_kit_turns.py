"""Turns: one after the other for a key, side by side for several, and nothing is kept of a key that nobody wants."""

import asyncio
import gc

import pytest

from roadstead.kit.turns import Turns

pytestmark = pytest.mark.looptime


async def test_each_key_has_its_own_turns() -> None:
    """Two for one key take twice as long, two for two keys do not."""
    turns: Turns[str] = Turns()
    ends: list[tuple[str, float]] = []

    async def work(key: str) -> None:
        async with turns.of(key):
            await asyncio.sleep(1)
            ends.append((key, round(asyncio.get_running_loop().time())))

    await asyncio.gather(work("a"), work("a"), work("b"))
    assert sorted(ends) == [("a", 1), ("a", 2), ("b", 1)]
    gc.collect()
    assert len(turns) == 0
