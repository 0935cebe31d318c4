"""The only queue in the code: of keys, never of payloads, so that workers always read the newest state."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """A fair queue of keys with three promises: many adds of a waiting key mean one run; no two workers ever hold the
    same key; a key added while it is worked on is run once more afterwards. It holds each key at most once, so it is
    bounded by the number of keys.
    """

    def __init__(self) -> None:
        self._order: deque[K] = deque()
        self._dirty: set[K] = set()
        self._busy: set[K] = set()
        self._ready = asyncio.Event()

    def add(self, key: K) -> None:
        """Ask for a run of ``key``; never waits."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._busy:
            self._push(key)

    @asynccontextmanager
    async def take(self) -> AsyncIterator[K]:
        """Wait for the next key and hold it for the length of the block."""
        while not self._order:
            self._ready.clear()
            await self._ready.wait()
        key = self._order.popleft()
        self._dirty.discard(key)
        self._busy.add(key)
        try:
            yield key
        finally:
            self._busy.discard(key)
            if key in self._dirty:
                self._push(key)

    def __len__(self) -> int:
        return len(self._dirty)

    def __repr__(self) -> str:
        return f"<WorkQueue {len(self._dirty)} waiting, {len(self._busy)} held>"

    def _push(self, key: K) -> None:
        self._order.append(key)
        self._ready.set()
