"""The one door through which tasks are started, so that each has an owner and a spoken name."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from roadstead.errors import ConflictError

T = TypeVar("T")


def spawn(group: asyncio.TaskGroup, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
    """Start ``work`` in ``group``, which outlives it, under ``name`` (as in "guest web-1")."""
    return group.create_task(work, name=name)


async def stop(*tasks: asyncio.Task[Any]) -> None:
    """Cancel ``tasks`` and wait until they have ended; what they raised meanwhile is theirs, not ours."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def unbroken(work: Coroutine[Any, Any, T], name: str, *, seconds: float) -> T:
    """Await ``work``, and let it come to its end also when we are cancelled meanwhile, for ``seconds`` at most. Then
    the cancellation follows, whatever became of the work: nothing else is raised in its place.
    """
    task = asyncio.get_running_loop().create_task(work, name=name)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await asyncio.wait((task,), timeout=seconds)
            task.cancel()
        raise


class Owner:
    """Owns tasks that commands start and do not wait for: they go on until it is cancelled."""

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Own them until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                await asyncio.Event().wait()
            finally:
                self._group = None

    def must_run(self) -> asyncio.TaskGroup:
        """Return the group in which tasks can be started. Raises `ConflictError` ``shutting-down`` where none can."""
        if self._group is None:
            raise ConflictError("shutting-down")
        return self._group
