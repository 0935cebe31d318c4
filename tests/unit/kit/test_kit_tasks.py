"""Tasks have an owner and a name, and end when told."""

import asyncio
from contextlib import suppress
from functools import partial

import pytest
import structlog

from roadstead.errors import ConflictError, RoadsteadError
from roadstead.kit import tasks

pytestmark = pytest.mark.looptime


async def test_a_task_has_its_spoken_name() -> None:
    """Debuggers and logs show who it is."""
    async with asyncio.TaskGroup() as group:
        assert tasks.spawn(group, asyncio.sleep(1), "guest web-1").get_name() == "guest web-1"


async def test_stop_waits_until_tasks_have_ended() -> None:
    """After `stop` no line of theirs runs any more, also of those that take their time to end."""
    ended = []

    async def slow_to_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(5)
            ended.append("slow")

    async with asyncio.TaskGroup() as group:
        slow = tasks.spawn(group, slow_to_end(), "slow")
        never_begun = tasks.spawn(group, asyncio.sleep(1000), "never begun")
        await asyncio.sleep(0)
        await tasks.stop(slow, never_begun)
        assert ended == ["slow"]
        assert asyncio.get_running_loop().time() == 5


async def test_what_a_stopped_task_raised_is_not_its_stoppers() -> None:
    """`stop` itself succeeds; the task's owner hears of the error."""

    async def failing() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("mine")

    async def own() -> None:
        async with asyncio.TaskGroup() as group:
            task = tasks.spawn(group, failing(), "failing")
            await asyncio.sleep(0)
            await tasks.stop(task)

    with pytest.raises(ExceptionGroup) as caught:
        await own()
    assert caught.group_contains(ValueError)


async def test_what_is_unbroken_ends_before_its_cancellation_comes_through() -> None:
    """The work is done whole, then who was cancelled is cancelled."""
    done = []

    async def work() -> None:
        await asyncio.sleep(3)
        done.append("work")

    async with asyncio.TaskGroup() as group:
        task = tasks.spawn(group, tasks.unbroken(work(), "work", seconds=5), "owner")
        await asyncio.sleep(1)
        await tasks.stop(task)
    assert (done, task.cancelled(), asyncio.get_running_loop().time()) == (["work"], True, 3)


@pytest.mark.parametrize("error", [ValueError("x"), None])
async def test_nothing_takes_the_place_of_a_cancellation(error: Exception | None) -> None:
    """Work that fails meanwhile, or that does not end in its time, is the past of who was cancelled."""
    ends = []

    async def work() -> None:
        try:
            await asyncio.sleep(3 if error else 1000)
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise
        if error:
            raise error

    async with asyncio.TaskGroup() as group:
        task = tasks.spawn(group, tasks.unbroken(work(), "work", seconds=5), "owner")
        await asyncio.sleep(1)
        await tasks.stop(task)
    assert task.cancelled()
    assert asyncio.get_running_loop().time() == (3 if error else 6)
    assert ends == ([] if error else ["cancelled"])


async def test_what_an_owned_task_raises_is_told_to_its_starter_alone() -> None:
    """A mistake as ``internal``, logged once, an error of ours as it is; the owner and its other tasks go on."""
    owner, told, done = tasks.Owner(), list[str](), list[str]()

    async def work(error: Exception | None) -> None:
        await asyncio.sleep(1)
        if error is not None:
            raise error
        done.append("done")

    async with asyncio.TaskGroup() as group:
        owning = tasks.spawn(group, owner.run(), "owner")
        await asyncio.sleep(0)
        with structlog.testing.capture_logs() as logs:
            for error in (ZeroDivisionError(), ZeroDivisionError(), ConflictError("shutting-down"), None):
                owner.start(partial(work, error), "work", lambda error: told.append(error.code))
            await asyncio.sleep(2)
        owner.start(partial(work, None), "later", _stumble)
        await asyncio.sleep(2)
        await tasks.stop(owning)
    assert told == ["internal", "internal", "shutting-down"]
    assert done == ["done", "done"]
    assert [entry["whose"] for entry in logs] == ["work"]


async def test_who_cannot_be_told_ends_nobody_either() -> None:
    """A mistake while one is told is logged, too."""
    owner = tasks.Owner()
    async with asyncio.TaskGroup() as group:
        owning = tasks.spawn(group, owner.run(), "owner")
        await asyncio.sleep(0)
        with structlog.testing.capture_logs() as logs:
            task = owner.start(_fail, "work", _stumble)
            await asyncio.sleep(1)
        assert (task.done(), owning.done(), len(logs)) == (True, False, 2)
        await tasks.stop(owning)


async def test_a_task_that_is_cancelled_before_its_first_step_does_nothing() -> None:
    """And nobody is told; where nothing is owned any more nothing can be started."""
    owner, told = tasks.Owner(), list[RoadsteadError]()
    async with asyncio.TaskGroup() as group:
        owning = tasks.spawn(group, owner.run(), "owner")
        await asyncio.sleep(0)
        task = owner.start(_fail, "work", told.append)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await tasks.stop(owning)
    assert (task.cancelled(), told) == (True, [])
    with pytest.raises(ConflictError) as caught:
        owner.start(_fail, "work", told.append)
    assert caught.value.code == "shutting-down"


async def _fail() -> None:
    raise ZeroDivisionError


def _stumble(_: RoadsteadError) -> None:
    raise KeyError
