"""How often something may be done: so many times in a second at most, evenly, whoever asks."""

import asyncio


class Rate:
    """Lets ``per_second`` pass, each in its turn."""

    def __init__(self, per_second: float) -> None:
        self._gap = 1.0 / per_second
        self._next = 0.0

    async def wait(self) -> None:
        """Wait for a turn."""
        now = asyncio.get_running_loop().time()
        turn = max(now, self._next)
        self._next = turn + self._gap
        await asyncio.sleep(turn - now)
