"""Workers: so many keys at once, one worker for each, and a key that fails holds up no other."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog

from roadstead.errors import PeerError
from roadstead.kit import tasks
from roadstead.kit.backoff import Backoff
from roadstead.kit.workers import Common, Workers

pytestmark = pytest.mark.looptime
COUNT, RETRY_SECONDS, LIMIT_SECONDS, WORK_SECONDS = 3, 10.0, 40.0, 1.0


def _pace() -> Backoff:
    return Backoff(RETRY_SECONDS, LIMIT_SECONDS, jitter=0.0)


class Desk:
    """Notes which keys are worked on; those in ``broken`` fail."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.tries: Counter[str] = Counter()
        self.busy: Counter[str] = Counter()
        self.most_at_once = 0
        self.broken: set[str] = set()
        self.is_peer_down = False
        common = Common(lambda error: error.code == "pool-starting", _pace())
        self.workers: Workers[str] = Workers("worker", self.work, count=COUNT, pace=_pace, common=common)

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
        if self.is_peer_down:
            raise PeerError("pool-starting")
        self.workers.worked()
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
    """Later and later, whatever is added meanwhile, until it works; then a failure is tried again soon."""
    desk = Desk()
    desk.broken = {"bad"}
    async with desk.working():
        desk.workers.add("good")
        for _ in range(120):
            desk.workers.add("bad")
            await asyncio.sleep(1)
        assert desk.done == ["good"]
        assert desk.tries["bad"] == 5, "at 0, 11, 32, 73 and 114 s"
        desk.broken = set()
        await asyncio.sleep(100)
        assert desk.done == ["good", "bad"]
        desk.broken = {"bad"}
        desk.workers.add("bad")
        await asyncio.sleep(2 * RETRY_SECONDS)
        assert desk.tries["bad"] == 8


async def test_what_is_added_during_the_last_try_is_not_lost() -> None:
    """The try that works may have read an older state."""
    desk = Desk()
    desk.broken = {"bad"}
    async with desk.working():
        desk.workers.add("bad")
        await asyncio.sleep(WORK_SECONDS + RETRY_SECONDS + WORK_SECONDS / 2)
        desk.broken = set()
        desk.workers.later("bad", 5.0)
        desk.workers.add("bad")
        await asyncio.sleep(WORK_SECONDS * 2)
        assert desk.done == ["bad", "bad"]


async def test_a_peer_that_fails_is_not_asked_for_every_key() -> None:
    """However many keys there are, so many tries as there are workers, later and later; then all."""
    desk = Desk()
    desk.is_peer_down = True
    async with desk.working():
        for number in range(1000):
            desk.workers.add(str(number))
        await asyncio.sleep(120)
        assert desk.tries.total() == 5 * COUNT
        desk.is_peer_down = False
        await asyncio.sleep(1000)
    assert len(desk.done) == len(set(desk.done)) == 1000


async def test_a_peer_that_is_back_is_asked_at_once() -> None:
    """Who knows that it is there again need not wait."""
    desk = Desk()
    desk.is_peer_down = True
    desk.broken = {"bad"}
    async with desk.working():
        desk.workers.add("bad")
        desk.workers.add("good")
        await asyncio.sleep(60)
        desk.is_peer_down, desk.broken = False, set()
        desk.workers.hurry()
        await asyncio.sleep(WORK_SECONDS * 2)
        assert sorted(desk.done) == ["bad", "good"]


async def test_a_key_has_one_alarm() -> None:
    """The earliest of those that were asked for, so that many questions leave no heap of timers."""
    desk = Desk()
    async with desk.working():
        for seconds in (50.0, 20.0, 30.0, 40.0):
            desk.workers.later("key", seconds)
        await asyncio.sleep(19)
        assert desk.tries["key"] == 0
        await asyncio.sleep(100)
        assert desk.tries["key"] == 1


async def test_a_mistake_of_ours_is_one_keys_failure() -> None:
    """The others are worked on, and that key again after its delays, not as if the peer had failed."""
    desk = Desk()
    desk.busy["bad"] = 1
    with structlog.testing.capture_logs() as logs:
        async with desk.working():
            for key in ("bad", "a", "b", "c", "d"):
                desk.workers.add(key)
            await asyncio.sleep(RETRY_SECONDS - 1)
            assert sorted(desk.done) == ["a", "b", "c", "d"]
            await asyncio.sleep(2)
            assert desk.tries["bad"] == 2
    assert [entry["whose"] for entry in logs] == ["worker on bad"]


async def test_who_waits_until_they_are_still_sees_what_was_begun_end() -> None:
    """Also a run that fails; what only waits for its next try is not being worked on."""
    desk = Desk()
    await desk.workers.wait_still()
    async with desk.working():
        desk.broken.add("b")
        for key in "ab":
            desk.workers.add(key)
        await asyncio.sleep(WORK_SECONDS / 2)
        assert desk.busy.total() == 2
        await desk.workers.wait_still()
        assert (desk.busy.total(), desk.done) == (0, ["a"])
