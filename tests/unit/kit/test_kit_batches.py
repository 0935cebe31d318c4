"""Batches: one run for all that was added meanwhile, made again when it fails, and an outage is said once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog

from roadstead.errors import PeerError
from roadstead.kit import tasks
from roadstead.kit.batches import Batches

pytestmark = pytest.mark.looptime
DELAY_SECONDS, RETRY_SECONDS, WORK_SECONDS = 1.0, 10.0, 0.5


class Desk:
    """Notes when work was done, and what was said; it fails while it is ``broken``."""

    def __init__(self) -> None:
        self.done: list[float] = []
        self.tries = 0
        self.said: list[str] = []
        self.broken: Exception | None = None
        self.batches = Batches(self.flush, delay=DELAY_SECONDS, retry=RETRY_SECONDS, report=self)

    async def flush(self) -> None:
        """Work a little."""
        self.tries += 1
        await asyncio.sleep(WORK_SECONDS)
        if self.broken is not None:
            raise self.broken
        self.done.append(asyncio.get_running_loop().time())

    def began(self, error: PeerError) -> None:
        """See `kit.keep.Report`."""
        self.said.append(error.code)

    def ended(self) -> None:
        """See `kit.keep.Report`."""
        self.said.append("again")

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Let it work."""
        async with asyncio.TaskGroup() as group:
            task = tasks.spawn(group, self.batches.run(), "batches")
            yield
            await tasks.stop(task)


async def test_many_additions_are_one_run() -> None:
    """A short while after the first of them; without any, nothing is done."""
    desk = Desk()
    async with desk.working():
        await asyncio.sleep(100)
        for _ in range(5):
            desk.batches.add()
            await asyncio.sleep(DELAY_SECONDS / 10)
        await asyncio.sleep(100)
    assert desk.done == [pytest.approx(100 + DELAY_SECONDS + WORK_SECONDS)]


async def test_what_is_added_during_a_run_is_in_the_next() -> None:
    """Nothing is lost between the two."""
    desk = Desk()
    async with desk.working():
        desk.batches.add()
        await asyncio.sleep(DELAY_SECONDS + WORK_SECONDS / 2)
        desk.batches.add()
        await asyncio.sleep(100)
    assert len(desk.done) == 2


async def test_what_failed_is_made_again_and_said_once() -> None:
    """Until it works; then nothing more is done."""
    desk = Desk()
    desk.broken = PeerError("state-unusable")
    async with desk.working():
        desk.batches.add()
        await asyncio.sleep(100)
        assert 8 <= desk.tries <= 10
        assert desk.said == ["state-unusable"]
        desk.broken = None
        await asyncio.sleep(100)
    assert len(desk.done) == 1
    assert desk.said == ["state-unusable", "again"]


async def test_a_mistake_of_ours_is_an_outage() -> None:
    """It is said and tried again like any other, and logged once."""
    desk = Desk()
    desk.broken = ValueError("a mistake")
    with structlog.testing.capture_logs() as logs:
        async with desk.working():
            desk.batches.add()
            await asyncio.sleep(100)
            desk.broken = None
            await asyncio.sleep(RETRY_SECONDS + WORK_SECONDS + DELAY_SECONDS)
    assert desk.said == ["internal", "again"]
    assert [str(entry["exc_info"]) for entry in logs] == ["a mistake"]
