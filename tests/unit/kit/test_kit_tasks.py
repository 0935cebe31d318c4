"""Tasks have an owner and a name, and end when told."""

import asyncio

import pytest

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
