"""Changes for readers: each resumes from the number it knows, or is told to list again.

The feed keeps the last changes in a ring, as many as fit into its memory: who fills it with large ones makes it
shorter, not larger. A reader that asks for a number that the ring no longer (or never) held is told so: changes are
never skipped silently, and a slow reader costs nothing but its own listing.
"""

import asyncio
from array import array
from collections.abc import Sequence

from roadstead.inventory.changes import Change
from roadstead.model import weight

CHANGE_BYTES = 100
"""A change without its record."""


class Feed:
    """A ring of the last ``capacity`` changes, fewer where they take more than ``memory`` bytes; ``number`` is that of
    the newest one.
    """

    def __init__(self, capacity: int, memory: int, number: int = 0) -> None:
        self._ring: list[Change | None] = [None] * capacity
        self._weights = array("Q", bytes(8 * capacity))
        self._room = memory
        self._oldest = number + 1
        """Number of the oldest change that is held."""
        self._number = number
        self._news = asyncio.Event()

    @property
    def number(self) -> int:
        """Number of the newest change."""
        return self._number

    def publish(self, changes: Sequence[Change]) -> None:
        """Append ``changes`` (numbered on from `number` without a gap) and wake the readers; never waits."""
        if not changes:
            return
        for change in changes:
            self._append(change)
        self._number = changes[-1].number
        self._news.set()
        self._news = asyncio.Event()

    def _append(self, change: Change) -> None:
        place = change.number % len(self._ring)
        if self._ring[place] is not None:
            self._drop()
        self._ring[place] = change
        self._weights[place] = CHANGE_BYTES + (weight(change.record) if change.record is not None else 0)
        self._room -= self._weights[place]
        while self._room < 0 and self._oldest <= change.number:
            self._drop()

    def _drop(self) -> None:
        """Drop the oldest change."""
        place = self._oldest % len(self._ring)
        self._ring[place] = None
        self._room += self._weights[place]
        self._oldest += 1

    def holds(self, since: int) -> bool:
        """Whether a reader that knows everything up to ``since`` can be told all the rest."""
        return self._oldest - 1 <= since <= self._number

    def after(self, since: int, limit: int = 1000) -> list[Change] | None:
        """Return up to ``limit`` changes after number ``since``, or None: the reader must list again."""
        if not self.holds(since):
            return None
        last = min(self._number, since + limit)
        size = len(self._ring)
        return [change for number in range(since + 1, last + 1) if (change := self._ring[number % size]) is not None]

    async def wait(self, since: int) -> None:
        """Wait until there is a change after number ``since``."""
        while self._number <= since:
            await self._news.wait()
