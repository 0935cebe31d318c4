"""Turns: of many who want to do something with one thing a few do so at once, while other things go on."""

import asyncio
from collections.abc import Hashable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

K = TypeVar("K", bound=Hashable)


class Turns(Generic[K]):
    """``width`` places at each key; they are there as long as somebody holds one of them or waits for one, in order."""

    def __init__(self, width: int = 1) -> None:
        self._width = width
        self._places: WeakValueDictionary[K, asyncio.Semaphore] = WeakValueDictionary()

    def of(self, key: K) -> asyncio.Semaphore:
        """Return the places at ``key``: one is held for the length of an ``async with``."""
        places = self._places.get(key)
        if places is None:
            places = self._places[key] = asyncio.Semaphore(self._width)
        return places

    def __len__(self) -> int:
        return len(self._places)
