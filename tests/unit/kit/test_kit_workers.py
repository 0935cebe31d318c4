"""Workers: so many keys at once, one worker for each, and a key that fails holds up no other."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from roadstead.errors import PeerError
from roadstead.kit import tasks
from roadstead.kit.workers import Workers

pytestmark = pytest.mark.looptime
COUNT, RETRY_SECONDS, WORK_SECONDS = 3, 10.0, 1.0


class Desk:
    """Notes which keys are worked on; those in ``broken`` fail."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.tries: Counter[str] = Counter()
        self.busy: Counter[str] = Counter()
        self.most_at_once = 0
        self.broken: set[str] = set()
        self.workers: Workers[str] = Workers("worker", self.work, count=COUNT, retry=RETRY_SECONDS)

    async def work(self, key: str) -> None:
        """Work a little."""
        self.tries[key] += 1
        self.busy[key] += 1
        assert self.busy[key] == 1, "two workers on one key"
        self.most_at_once = max(self.most_at_once, self.busy.total())
        await asyncio.sleep(WORK_SECONDS)
        self.busy[key] -= 1
        if key in self.broken:
            raise PeerError("state-unusable")
        self.done.append(key)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Let them work."""
        async with asyncio.TaskGroup() as group:
            task = tasks.spawn(group, self.workers.run(), "workers")
            yield
            await tasks.stop(task)


async def test_so_many_at_once_and_each_key_alone() -> None:
    """Ten keys take three workers four turns; a key that is added again while it is worked on is run once more."""
    desk = Desk()
    async with desk.working():
        for _ in range(5):
            for number in range(10):
                desk.workers.add(str(number))
        await asyncio.sleep(WORK_SECONDS / 2)
        desk.workers.add("0")
        await asyncio.sleep(100)
    assert desk.most_at_once == COUNT
    assert desk.tries == Counter({str(number): 1 for number in range(10)} | {"0": 2})


async def test_a_key_that_fails_is_run_again_and_holds_up_no_other() -> None:
    """Later, until it works."""
    desk = Desk()
    desk.broken = {"bad"}
    async with desk.working():
        desk.workers.add("bad")
        desk.workers.add("good")
        await asyncio.sleep(4 * RETRY_SECONDS)
        assert desk.done == ["good"]
        assert desk.tries["bad"] == 4
        desk.broken = set()
        await asyncio.sleep(100)
    assert desk.done == ["good", "bad"]


async def test_a_bug_is_no_outage() -> None:
    """It ends the workers."""
    desk = Desk()
    desk.busy["bad"] = 1
    desk.workers.add("bad")
    with pytest.raises(ExceptionGroup, match="unhandled"):
        await desk.workers.run()
