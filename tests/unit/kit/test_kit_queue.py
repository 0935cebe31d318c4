"""The keyed queue: one run for many adds, one worker for a key, no add lost."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.kit.queue import WorkQueue

pytestmark = pytest.mark.looptime


async def _taken(queue: WorkQueue[str]) -> str:
    async with queue.take() as key:
        return key


async def test_keys_come_in_the_order_of_their_first_add() -> None:
    """The queue is fair."""
    queue = WorkQueue[str]()
    for key in ("a", "b", "a", "c", "b"):
        queue.add(key)
    assert [await _taken(queue) for _ in range(3)] == ["a", "b", "c"]


async def test_many_adds_of_a_waiting_key_are_one_run() -> None:
    """Adding what waits already changes nothing."""
    queue = WorkQueue[str]()
    for _ in range(1000):
        queue.add("a")
    assert len(queue) == 1
    await _taken(queue)
    assert len(queue) == 0


async def test_a_key_added_while_held_is_run_once_more() -> None:
    """However often it was added meanwhile, there is exactly one more run."""
    queue = WorkQueue[str]()
    queue.add("a")
    async with queue.take():
        for _ in range(3):
            queue.add("a")
        assert len(queue) == 1
    assert await _taken(queue) == "a"
    assert repr(queue) == "<WorkQueue 0 waiting, 0 held>"


async def test_a_held_key_is_given_to_nobody_else() -> None:
    """A second worker waits until the first lets go."""
    queue = WorkQueue[str]()
    queue.add("a")
    async with asyncio.TaskGroup() as group:
        async with queue.take():
            queue.add("a")
            second = group.create_task(_taken(queue))
            await asyncio.sleep(100)
            assert not second.done()
        assert await second == "a"


async def test_a_failing_worker_gives_the_key_back() -> None:
    """An error in the block frees the key."""
    queue = WorkQueue[str]()
    queue.add("a")
    with pytest.raises(ValueError, match="mine"):
        async with queue.take():
            raise ValueError("mine")
    queue.add("a")
    assert await _taken(queue) == "a"


async def test_a_cancelled_waiter_loses_no_key() -> None:
    """A worker that is cancelled while it waits leaves the next key to the others."""
    queue = WorkQueue[str]()
    async with asyncio.TaskGroup() as group:
        first, second = group.create_task(_taken(queue)), group.create_task(_taken(queue))
        await asyncio.sleep(1)
        queue.add("a")
        first.cancel()
        async with asyncio.timeout(10):
            assert await second == "a"


async def test_a_cancelled_holder_gives_the_key_back() -> None:
    """A worker that is cancelled at its work leaves the key to be worked on again."""
    queue = WorkQueue[str]()

    async def hold_for_ever() -> None:
        async with queue.take():
            await asyncio.Event().wait()

    queue.add("a")
    async with asyncio.TaskGroup() as group:
        worker = group.create_task(hold_for_ever())
        await asyncio.sleep(1)
        queue.add("a")
        worker.cancel()
        async with asyncio.timeout(10):
            assert await _taken(queue) == "a"


class Floor:
    """Workers of one queue; notes how far each key was worked on, and whether two ever held the same."""

    def __init__(self, seed: int) -> None:
        self.queue = WorkQueue[int]()
        self.wanted: dict[int, int] = {}
        self.done: dict[int, int] = {}
        self.held: set[int] = set()
        self.chance = random.Random(seed)

    async def work(self) -> None:
        """Take keys for ever."""
        while True:
            async with self.queue.take() as key:
                assert key not in self.held
                self.held.add(key)
                state = self.wanted[key]
                await asyncio.sleep(self.chance.random())
                self.done[key] = state
                self.held.discard(key)

    async def ask(self, keys: list[int]) -> None:
        """Change the wanted state of ``keys`` one after the other."""
        for key in keys:
            self.wanted[key] = self.wanted.get(key, 0) + 1
            self.queue.add(key)
            await asyncio.sleep(self.chance.random() / 4)


@given(keys=st.lists(st.integers(0, 4), max_size=40), workers=st.integers(1, 4), seed=st.integers(0, 2**16))
async def test_every_key_is_brought_to_its_newest_state(keys: list[int], workers: int, seed: int) -> None:
    """Whatever the adds and the number of workers: the newest state of each key is worked on, by one at a time."""
    floor = Floor(seed)
    async with asyncio.TaskGroup() as group:
        hands = [group.create_task(floor.work()) for _ in range(workers)]
        await floor.ask(keys)
        await asyncio.sleep(60)
        for hand in hands:
            hand.cancel()
    assert floor.done == floor.wanted
