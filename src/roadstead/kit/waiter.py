"""One task waits, and callbacks wake it. `asyncio.Event` serves many, at 760 bytes for each of thousands of guests."""

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


class Alarm:
    """The same, for what may happen before anybody waits: then the next `wait` is over at once."""

    __slots__ = ("_is_set", "_waiter")

    def __init__(self) -> None:
        self._waiter = Waiter()
        self._is_set = False

    async def wait(self) -> None:
        """Wait until `set` is called, unless it was; then clear it."""
        while not self._is_set:
            await self._waiter.wait()
        self._is_set = False

    def set(self) -> None:
        """It happened; never waits."""
        self._is_set = True
        self._waiter.wake()

    def clear(self) -> None:
        """It does not count any more that it happened."""
        self._is_set = False
