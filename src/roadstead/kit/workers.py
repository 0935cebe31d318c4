"""Workers on a queue of keys: each key is brought to what it should be, by one worker at a time, until that worked."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from roadstead.errors import PeerError
from roadstead.kit import tasks
from roadstead.kit.queue import WorkQueue

K = TypeVar("K", bound=Hashable)


class Workers(Generic[K]):
    """Runs ``work`` for keys, ``count`` of them at once. It reads the newest state itself, and may be run once too
    often; a run that raises `PeerError` is made again ``retry`` seconds later, while the others go on.
    """

    def __init__(self, name: str, work: Callable[[K], Awaitable[None]], *, count: int, retry: float) -> None:
        self._name = name
        self._work = work
        self._count = count
        self._retry = retry
        self._queue: WorkQueue[K] = WorkQueue()

    def add(self, key: K) -> None:
        """Ask for a run of ``key``; never waits."""
        self._queue.add(key)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._count):
                tasks.spawn(group, self._worker(), f"{self._name} {number}")

    async def _worker(self) -> None:
        while True:
            async with self._queue.take() as key:
                try:
                    await self._work(key)
                except PeerError:
                    asyncio.get_running_loop().call_later(self._retry, self._queue.add, key)
