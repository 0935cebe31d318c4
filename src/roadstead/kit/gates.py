"""Limits on what happens at the same time: connects, sign-ins, bytes of answers in flight."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    """Lets at most ``width`` holders in; the others wait in order."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._places = asyncio.Semaphore(width)
        self.waiting = 0

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[None]:
        """Hold one place for the length of the block."""
        self.waiting += 1
        try:
            await self._places.acquire()
        finally:
            self.waiting -= 1
        try:
            yield
        finally:
            self._places.release()

    def __repr__(self) -> str:
        return f"<Gate of {self.width}, {self.waiting} waiting>"


class Budget:
    """A number of units (bytes) shared by all: whoever wants more than is left waits until others gave theirs back."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def hold(self, amount: int) -> AsyncIterator[None]:
        """Hold ``amount`` units (never more than the total) for the length of the block."""
        amount = min(amount, self.total)
        while self.free < amount:
            await self._wait()
        self.free -= amount
        try:
            yield
        finally:
            self.free += amount
            self._wake()

    async def _wait(self) -> None:
        """Wait for a change. Each wakes all who wait, so one of them who is cancelled then keeps nobody waiting."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        await place

    def _wake(self) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
