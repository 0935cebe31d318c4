"""What the story has done so far, told as it happens with the time that it took, and kept for the page about it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

T = TypeVar("T")
LOOK_SECONDS, TELL_SECONDS = 0.5, 30.0
"""How often a condition is looked at, and how often somebody who waits is told that it goes on."""


class Step(NamedTuple):
    """Something that was done."""

    what: str
    seconds: float


class StoryError(Exception):
    """The story ended otherwise than it should."""


def _print(line: str) -> None:
    print(line, flush=True)


class Steps:
    """The steps of one story; all times are those of ``clock``, in seconds."""

    def __init__(
        self,
        tell: Callable[[str], object] = _print,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.done: list[Step] = []
        self._tell = tell
        self._clock = clock
        self._sleep = sleep
        self._begun = self._last = clock()

    def add(self, what: str) -> None:
        """Say that this is done; it took the time since the step before."""
        now = self._clock()
        self.done.append(Step(what, now - self._last))
        self._tell(f"{now - self._begun:6.0f} s  {what} ({now - self._last:.1f} s)")
        self._last = now

    def until(self, ask: Callable[[], T | None], what: str, limit: float, seen: Callable[[], str] = str) -> T:
        """Ask until there is an answer, and return it; ``seen`` tells meanwhile what can be seen.

        Raises `StoryError` after ``limit`` seconds.
        """
        begun = told = self._clock()
        while (answer := ask()) is None:
            now = self._clock()
            if now - begun > limit:
                raise StoryError(f"in {limit:.0f} s it did not come to this: {what}; the last to be seen: {seen()}")
            if now - told > TELL_SECONDS:
                self._tell(f"          … {what}: {now - begun:.0f} s; {seen()}")
                told = now
            self._sleep(LOOK_SECONDS)
        return answer
