"""A cell that keeps only the newest value, for readers who do not care what they missed."""

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """Holds one value and its number; readers wait for a newer one than they have seen."""

    def __init__(self, value: T) -> None:
        self._value = value
        self._number = 0
        self._changed = asyncio.Event()

    @property
    def value(self) -> T:
        """The newest value."""
        return self._value

    @property
    def number(self) -> int:
        """How often the value was set."""
        return self._number

    def set(self, value: T) -> None:
        """Replace the value and wake whoever waits; never waits."""
        self._value = value
        self._number += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_newer(self, number: int) -> int:
        """Wait until `number` is above ``number``; return it."""
        while self._number <= number:
            await self._changed.wait()
        return self._number
