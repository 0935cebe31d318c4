"""Workers on a queue of keys: each key is brought to what it should be, by one worker at a time, until that worked.

A key that fails is tried again after delays that grow. Where the peer behind all keys fails as a whole (`Common`),
nobody works for a while: a thousand keys would only hear the same a thousand times.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from roadstead.errors import PeerError
from roadstead.kit import tasks
from roadstead.kit.keep import Pace
from roadstead.kit.mistakes import INTERNAL, Mistakes
from roadstead.kit.queue import WorkQueue

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Common:
    """The failures that are the peer's, whichever key was worked on: those that ``takes`` says. All keys wait for as
    long as ``pace`` gives.
    """

    takes: Callable[[PeerError], bool]
    pace: Pace


class Workers(Generic[K]):
    """Runs ``work`` for keys, ``count`` of them at once. It reads the newest state itself, and may be run once too
    often. A run that raises (`PeerError`; anything else is a mistake of ours, and that key's alone) is made again after
    a delay of the key's own ``pace``, while the others go on; until then nothing that is added has it run.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[K], Awaitable[None]],
        *,
        count: int,
        pace: Callable[[], Pace],
        common: Common | None = None,
    ) -> None:
        self._name = name
        self._work = work
        self._count = count
        self._pace = pace
        self._common = common
        self._mistakes = Mistakes()
        self._queue: WorkQueue[K] = WorkQueue()
        self._failing: dict[K, Pace] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        """When keys are run by themselves; of one that is failing, its next try."""
        self._running = 0
        self._still = asyncio.Event()
        self._still.set()
        self._pauses = 0
        self._reopening: asyncio.TimerHandle | None = None
        self._open = asyncio.Event()
        self._open.set()

    def add(self, key: K) -> None:
        """Ask for a run of ``key``; never waits."""
        self._queue.add(key)

    def later(self, key: K, seconds: float) -> None:
        """Run ``key`` in so many seconds, if it is not to be run by itself before."""
        timer = self._timers.get(key)
        if timer is None or timer.when() > asyncio.get_running_loop().time() + seconds:
            self._set_timer(key, seconds)

    def worked(self) -> None:
        """The peer did what it was asked for: its failures are over."""
        if self._common is not None:
            self._common.pace.reset()

    def hurry(self) -> None:
        """Try at once whatever waits for its next try: the peer is there again."""
        if self._common is not None:
            self._common.pace.reset()
        self._reopen()
        for key in tuple(self._failing):
            self._failing.pop(key)
            self._due(key)

    async def wait_still(self) -> None:
        """Wait until no key is being worked on; who wants it to stay so sees to it that ``work`` does nothing."""
        await self._still.wait()

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._count):
                    tasks.spawn(group, self._worker(), f"{self._name} {number}")
        finally:
            for timer in (*self._timers.values(), self._reopening):
                if timer is not None:
                    timer.cancel()

    async def _worker(self) -> None:
        while True:
            await self._open.wait()
            async with self._queue.take() as key:
                if not self._open.is_set():
                    self._queue.add(key)
                elif key not in self._failing or key not in self._timers:
                    await self._attempt(key)

    async def _run(self, key: K) -> None:
        self._running += 1
        self._still.clear()
        try:
            with self._mistakes.told(f"{self._name} on {key}"):
                await self._work(key)
        finally:
            self._running -= 1
            if not self._running:
                self._still.set()

    async def _attempt(self, key: K) -> None:
        pauses = self._pauses
        try:
            await self._run(key)
        except PeerError as error:
            if self._common is None or error.code == INTERNAL or not self._common.takes(error):
                self._set_timer(key, self._failing.setdefault(key, self._pace()).after(error))
                return
            self._queue.add(key)
            if pauses == self._pauses:
                self._pause(self._common, error)
        else:
            self._failing.pop(key, None)

    def _set_timer(self, key: K, seconds: float) -> None:
        timer = self._timers.get(key)
        if timer is not None:
            timer.cancel()
        self._timers[key] = asyncio.get_running_loop().call_later(seconds, self._due, key)

    def _due(self, key: K) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        self._queue.add(key)

    def _pause(self, common: Common, error: PeerError) -> None:
        self._pauses += 1
        self._open.clear()
        self._reopening = asyncio.get_running_loop().call_later(common.pace.after(error), self._reopen)

    def _reopen(self) -> None:
        if self._reopening is not None:
            self._reopening.cancel()
            self._reopening = None
        self._open.set()
