"""How often something may be done: so many times in a second at most, evenly, whoever asks."""

import asyncio


class Rate:
    """Lets ``per_second`` pass, each in its turn; turns that were missed are not made up for."""

    def __init__(self, per_second: float) -> None:
        self._gap = 1.0 / per_second
        self._next = 0.0
        self._turn = asyncio.Lock()

    async def wait(self) -> None:
        """Wait for a turn."""
        async with self._turn:
            loop = asyncio.get_running_loop()
            await asyncio.sleep(self._next - loop.time())
            # From now, not from when it was due: of two that a busy loop kept waiting the second waits again.
            self._next = loop.time() + self._gap


class Allowance:
    """Lets somebody take a ``share`` of what there is in each second, in the long run, and ``most`` of it at once."""

    __slots__ = ("_at", "_left", "_most", "_share")

    def __init__(self, share: float, most: float) -> None:
        self._share = share
        self._most = most
        self._left = most
        self._at = float("-inf")

    def spend(self, amount: float, now: float) -> float:
        """Note that ``amount`` was taken by ``now``; return after how many seconds nothing more is owed."""
        self._left = min(self._most, self._left + self._share * (now - self._at)) - amount
        self._at = now
        return max(0.0, -self._left / self._share)
