"""How long to wait before the next try, so that an outage of a day costs nobody anything."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Backoff:
    """Delays in seconds that grow from ``first`` by ``factor`` to ``limit``, each shortened at random by ``jitter``.

    Delays are short again once the peer has worked for ``steady`` seconds of ``clock``: one that breaks again and again
    right after it began to work is tried as seldom as one that never does.

    The last delay is multiplied rather than a power taken: a power overflows after some hours of outage.
    """

    first: float
    limit: float
    factor: float = 2.0
    jitter: float = 0.25
    steady: float = 0.0
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random
    _next: float = field(init=False)
    _works_since: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._next = self.first

    def delay(self) -> float:
        """Return the seconds to wait now, and lengthen the next wait."""
        if self._works_since is not None and self.clock() - self._works_since >= self.steady:
            self._next = self.first
        self._works_since = None
        chosen, self._next = self._next, min(self.limit, self._next * self.factor)
        return chosen * (1.0 - self.jitter * self.chance())

    def reset(self) -> None:
        """Begin anew with ``first``, if the peer, which works from now on, does so for long enough."""
        self._works_since = self.clock()

    def after(self, error: Exception | None) -> float:
        """Return the delay after a try: the same whatever happened (see `kit.keep.Pace`)."""
        del error
        return self.delay()
