"""What the benchmarks of one run share: how much is measured, a folder, and things that are made once."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

from roadstead.lab.guests.real import RealGuests

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    events: int
    old_events: int
    requests: int
    connects: int
    old_connects: int
    vms: int
    settle_seconds: float
    """Between the last listing and the reading of memory."""
    churn_seconds: float
    publish_events: int
    storm_seconds: float
    ps_vms: int
    ps_runs: int


FULL = Sizes(
    events=200,
    old_events=20,
    requests=300,
    connects=40,
    old_connects=8,
    vms=10_000,
    settle_seconds=60.0,
    churn_seconds=60.0,
    publish_events=1_000,
    storm_seconds=20.0,
    ps_vms=1_000,
    ps_runs=15,
)
QUICK = Sizes(
    events=40,
    old_events=4,
    requests=80,
    connects=12,
    old_connects=3,
    vms=2_000,
    settle_seconds=10.0,
    churn_seconds=8.0,
    publish_events=400,
    storm_seconds=6.0,
    ps_vms=1_000,
    ps_runs=5,
)


class CannotMeasure(Exception):
    """This machine cannot measure it; the text says why."""


class Stage:
    """Things that several benchmarks use are opened once, and closed when the scene changes."""

    def __init__(self, sizes: Sizes, folder: Path) -> None:
        self.sizes = sizes
        self.folder = folder
        self._stack = AsyncExitStack()
        self._open: dict[object, object] = {}
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        """Tell what is being waited for."""
        print(f"[{time.monotonic() - self._began:5.0f} s] {text}", file=sys.stderr, flush=True)

    async def shared(self, kind: Callable[[Stage], AbstractAsyncContextManager[T]]) -> T:
        """Return what ``kind`` makes; made on first need, and kept until `clear`."""
        if kind not in self._open:
            self._open[kind] = await self._stack.enter_async_context(kind(self))
        return cast("T", self._open[kind])

    async def need_real_guests(self) -> None:
        """Raise `CannotMeasure` where no real guests can be had."""
        reason = await asyncio.to_thread(RealGuests.available)
        if reason is not None:
            raise CannotMeasure(reason)

    async def clear(self) -> None:
        """Close everything that is shared."""
        self._open.clear()
        await self._stack.aclose()
