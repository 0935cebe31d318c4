"""A cell that keeps the newest value."""

import asyncio

import pytest

from roadstead.kit.latest import Latest

pytestmark = pytest.mark.looptime


async def test_a_reader_gets_the_newest_value_and_skips_the_others() -> None:
    """Three values set while nobody looked are one piece of news."""
    cell = Latest("a")
    for value in "bcd":
        cell.set(value)
    assert await cell.wait_newer(0) == 3
    assert (cell.value, cell.number) == ("d", 3)


async def test_a_reader_waits_for_a_value_that_it_does_not_know() -> None:
    """Who knows the newest one waits for the next."""
    cell = Latest("a")
    asyncio.get_running_loop().call_at(7, cell.set, "b")
    assert await cell.wait_newer(cell.number) == 1
    assert asyncio.get_running_loop().time() == 7


async def test_all_readers_are_woken() -> None:
    """One `set` wakes everybody who waits; who is cancelled harms nobody."""
    cell = Latest(0)
    async with asyncio.TaskGroup() as group:
        readers = [group.create_task(cell.wait_newer(0)) for _ in range(5)]
        await asyncio.sleep(1)
        readers[0].cancel()
        cell.set(1)
        assert [await reader for reader in readers[1:]] == [1] * 4


async def test_an_equal_value_is_news_too() -> None:
    """The cell compares nothing: setting is what counts."""
    cell = Latest("a")
    cell.set("a")
    assert await cell.wait_newer(0) == 1
