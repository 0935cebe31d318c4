"""The logs of one container, read entry by entry as somebody takes them."""

from collections.abc import Iterator

from roadstead.errors import EngineError
from roadstead.model import LogEntry
from roadstead.peers.engine.bodies import BodyStream
from roadstead.peers.engine.messages.logs import LogReader

TAKEN_BYTES = 2**13
"""How much is read in one go: at most as many lines, which takes some milliseconds."""


class LogStream:
    """An answer with logs that has begun. Whoever was given it closes it."""

    def __init__(self, body: BodyStream, reader: LogReader, began: float | None = None) -> None:
        self._body = body
        self._reader = reader
        self._error: EngineError | None = None
        self.is_ended = False
        """Whether there are no more entries."""
        self.began = began
        """When, by the engine's clock (seconds since the epoch); None where it does not tell."""

    @property
    def received(self) -> int:
        """How many bytes came of the engine, with all that frames them."""
        return self._body.received

    async def wait(self) -> None:
        """Wait until `take` has something to look at."""
        if self._error is None:
            await self._body.wait()

    def take(self) -> list[LogEntry]:
        """Return the entries that have come, some of them when there are many; afterwards `is_ended` may be true.

        Raises `EngineError` and `LinkError`, after all that came before was taken, when there will be no more for a
        reason that matters.
        """
        if self._error is not None:
            raise self._error
        data = self._body.take(TAKEN_BYTES)
        if data:
            return self._read(self._reader.feed(data))
        self.is_ended = self._body.is_ended
        return self._read(self._reader.end()) if self.is_ended else []

    def close(self) -> None:
        """Stop reading, and let the engine stop."""
        self._body.close()

    def _read(self, coming: Iterator[LogEntry]) -> list[LogEntry]:
        """Return the entries that come before an error, which waits."""
        entries: list[LogEntry] = []
        try:
            entries.extend(coming)
        except EngineError as error:
            self._error, self.is_ended = error, False
        return entries
