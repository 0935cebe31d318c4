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
