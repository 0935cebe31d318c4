"""How long to wait before the next try, so that an outage of a day costs nobody anything."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Backoff:
    """Delays in seconds that grow from ``first`` by ``factor`` to ``limit``, each shortened at random by ``jitter``.

    The last delay is multiplied rather than a power taken: a power overflows after some hours of outage.
    """

    first: float
    limit: float
    factor: float = 2.0
    jitter: float = 0.25
    chance: Callable[[], float] = random.random
    _next: float = field(init=False)

    def __post_init__(self) -> None:
        self._next = self.first

    def delay(self) -> float:
        """Return the seconds to wait now, and lengthen the next wait."""
        chosen, self._next = self._next, min(self.limit, self._next * self.factor)
        return chosen * (1.0 - self.jitter * self.chance())

    def reset(self) -> None:
        """Begin anew with ``first``: the peer works."""
        self._next = self.first

    def after(self, error: Exception | None) -> float:
        """Return the delay after a try: the same whatever happened (see `kit.keep.Pace`)."""
        del error
        return self.delay()
