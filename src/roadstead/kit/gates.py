"""Limits on what happens at the same time: connects, sign-ins, bytes of answers in flight."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self


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
    """A number of units (bytes) shared by all: whoever wants more than is left waits, in order, until others gave
    theirs back.

    A share grows with the need that shows, so holders may wait for each other. Therefore the last ``largest`` units are
    kept for one of them at a time, which then holds as much as anybody may, waits no more, and comes to an end.
    """

    def __init__(self, total: int, largest: int) -> None:
        self.total = total
        self.largest = min(largest, total)
        self.free = total
        self._whole: Share | None = None
        self._waiting: deque[tuple[Share, int, asyncio.Future[None]]] = deque()

    def share(self) -> "Share":
        """Return a share that holds nothing yet; it gives back what it holds at the end of its block."""
        return Share(self)

    async def wait(self, share: "Share", amount: int) -> None:
        """Wait until ``share`` holds ``amount`` units (see `Share.grow`)."""
        if not self._waiting and self._grant(share, amount):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = (share, amount, turn)
        self._waiting.append(place)
        try:
            await turn
        except asyncio.CancelledError:
            if place in self._waiting:
                self._waiting.remove(place)
            self._serve()
            raise

    def take_back(self, share: "Share") -> None:
        """Take back what ``share`` holds."""
        self.free += share.held
        share.held = 0
        if share is self._whole:
            self._whole = None
        self._serve()

    def _grant(self, share: "Share", amount: int) -> bool:
        kept = self.largest if self._whole is None else 0
        if amount - share.held > self.free - kept:
            if self._whole is not None:
                return False
            self._whole, amount = share, self.largest
        self.free -= amount - share.held
        share.held = amount
        return True

    def _serve(self) -> None:
        while self._waiting and self._grant(*self._waiting[0][:2]):
            _, _, turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)


class Share:
    """What one holder has of a `Budget`."""

    __slots__ = ("_budget", "held")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.held = 0

    @property
    def is_whole(self) -> bool:
        """Whether it holds as much as anybody may."""
        return self.held >= self._budget.largest

    async def grow(self, amount: int) -> None:
        """Wait until it holds ``amount`` units: never more than the largest share, sometimes that at once."""
        amount = min(amount, self._budget.largest)
        if amount > self.held:
            await self._budget.wait(self, amount)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._budget.take_back(self)
