"""The one door through which tasks are started, so that each has an owner and a spoken name."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from roadstead.errors import ConflictError, RoadsteadError
from roadstead.kit.mistakes import Mistakes

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
    """Owns tasks that are started and not waited for: they go on until it is cancelled. What one of them raises is told
    to whoever started it, and ends no other.
    """

    def __init__(self, mistakes: Mistakes | None = None) -> None:
        self.mistakes = mistakes or Mistakes()
        self._group: asyncio.TaskGroup | None = None

    async def run(self, work: Coroutine[Any, Any, None] | None = None) -> None:
        """Own them until cancelled; ``work`` is done meanwhile, and what ends that ends them all."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                await (work or asyncio.Event().wait())
            finally:
                self._group = None

    @property
    def is_running(self) -> bool:
        """Whether tasks can be started."""
        return self._group is not None

    def must_run(self) -> asyncio.TaskGroup:
        """Return where tasks are started. Raises `ConflictError` ``shutting-down``."""
        if self._group is None:
            raise ConflictError("shutting-down")
        return self._group

    def start(
        self,
        work: Callable[[], Coroutine[Any, Any, None]],
        name: str,
        failed: Callable[[RoadsteadError], None],
    ) -> asyncio.Task[None]:
        """Begin ``work`` and return its task, which raises nothing: ``failed`` is told what ended the work, which is
        ``internal`` for any mistake of ours. Raises `ConflictError` ``shutting-down``.
        """
        return spawn(self.must_run(), self._done(work, name, failed), name)

    async def _done(
        self, work: Callable[[], Coroutine[Any, Any, None]], name: str, failed: Callable[[RoadsteadError], None]
    ) -> None:
        try:
            with self.mistakes.told(name, besides=RoadsteadError):
                await work()
        except RoadsteadError as error:
            with self.mistakes.borne(name):
                failed(error)
