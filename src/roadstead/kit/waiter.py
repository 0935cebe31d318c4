"""One task waits, and callbacks wake it. `asyncio.Event` does so for many, at 760 bytes for each stream of events."""

import asyncio


class Waiter:
    """Where at most one task waits; a wake that finds nobody is lost, so whoever waits looks at its condition first."""

    __slots__ = ("_future",)

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether somebody waits."""
        return self._future is not None

    async def wait(self) -> None:
        """Wait until `wake` is called."""
        self._future = asyncio.get_running_loop().create_future()
        try:
            await self._future
        finally:
            self._future = None

    def wake(self) -> None:
        """Let the one that waits go on; never waits."""
        if self._future is not None and not self._future.done():
            self._future.set_result(None)
