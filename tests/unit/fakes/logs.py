"""Logs that a test writes while somebody reads them, in the place of those of an engine."""

import asyncio
from collections import deque

from roadstead.errors import PeerError
from roadstead.model import LogEntry


class FakeLogs:
    """Stands in for `peers.engine.logs.LogStream`."""

    def __init__(self, *texts: str, ends: bool = False) -> None:
        self._entries = deque(LogEntry(stream="stdout", text=text) for text in texts)
        self._ends = ends
        self._news = asyncio.Event()
        self._error: PeerError | None = None
        self.began: float | None = None
        self.received = 0
        self.is_ended = False
        self.closed = 0

    def write(self, *texts: str, time: str = "") -> None:
        """Let the container write lines."""
        self._entries.extend(LogEntry(stream="stderr", text=text, time=time) for text in texts)
        self.received += sum(map(len, texts))
        self._news.set()

    def end(self, error: PeerError | None = None) -> None:
        """Let there be no more."""
        self._ends, self._error = True, error
        self._news.set()

    async def wait(self) -> None:
        """See `LogStream`."""
        while not (self._entries or self._ends):
            self._news.clear()
            await self._news.wait()

    def take(self) -> list[LogEntry]:
        """See `LogStream`."""
        taken = list(self._entries)
        self._entries.clear()
        if self._ends and not taken:
            if self._error is not None:
                raise self._error
            self.is_ended = True
        return taken

    def close(self) -> None:
        """See `LogStream`."""
        self.closed += 1
