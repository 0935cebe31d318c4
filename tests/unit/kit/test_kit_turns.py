"""Turns: one or a few at once for a key, side by side for several, and nothing is kept of a key that nobody wants."""

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


async def test_some_have_their_turn_at_once() -> None:
    """With two places five take as long as three after each other."""
    turns: Turns[str] = Turns(2)
    ends: list[float] = []

    async def work() -> None:
        async with turns.of("a"):
            await asyncio.sleep(1)
            ends.append(round(asyncio.get_running_loop().time()))

    await asyncio.gather(*(work() for _ in range(5)))
    assert ends == [1, 1, 2, 2, 3]
