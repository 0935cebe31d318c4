"""Logs of containers, handed on as they are read and kept nowhere: who reads slowly makes the engine wait."""

import asyncio
from collections import Counter
from collections.abc import Callable

from roadstead.act.guests.usages import Engines, Turns
from roadstead.errors import ConflictError, EngineError, PeerError, RoadsteadError
from roadstead.model import Container, LogEntry, LogWish, VmId
from roadstead.peers.engine.logs import LogStream
from roadstead.settings.schema import Settings


class Reading:
    """The logs of one container on their way to one reader, within the bounds of ``settings``.

    Whoever was given it closes it. Its last entry tells why it is the last, unless everything was read.
    """

    def __init__(self, stream: LogStream, wish: LogWish, settings: Settings, closed: Callable[[], None]) -> None:
        self._stream = stream
        self._most_bytes = settings.logs.bytes
        self._seconds = settings.logs.seconds
        # What is followed may be silent for as long as its container is.
        self._patience = settings.logs.seconds if wish.follow else settings.engine.answer_seconds
        self._end = _now() + settings.logs.seconds
        self._came = _now()
        self._closed = closed
        self.is_ended = False
        """Whether nothing more will come."""

    async def wait(self) -> None:
        """Wait until `take` has something to look at; who waits for long looks now and then all the same."""
        await self._stream.wait()

    def take(self) -> list[LogEntry]:
        """Return what has come meanwhile; never waits."""
        try:
            entries = self._stream.take()
            self._check(entries)
        except PeerError as error:
            return [self._problem(error)]
        self.is_ended = self._stream.is_ended
        if (reason := self._excess()) and not self.is_ended:
            entries.append(self._problem(ConflictError("logs-cut", reason=reason)))
        return entries

    def close(self) -> None:
        """End it; harmless on one that has ended."""
        self._stream.close()
        closed, self._closed = self._closed, lambda: None
        closed()

    def _check(self, entries: list[LogEntry]) -> None:
        """Raise `EngineError` ``engine-timed-out`` when an engine that has more to say says nothing for long."""
        now = _now()
        if entries:
            self._came = now
        elif now - self._came > self._patience:
            raise EngineError("engine-timed-out", seconds=f"{self._patience:g}")

    def _excess(self) -> str:
        """Return which bound was reached; nothing when none was."""
        if self._stream.received > self._most_bytes:
            return f"the engine has sent {self._most_bytes} bytes"
        if _now() > self._end:
            return f"it went on for {self._seconds:g} s"
        return ""

    def _problem(self, error: RoadsteadError) -> LogEntry:
        self.is_ended = True
        return LogEntry(stream="problem", text=str(error), code=error.code)


class Logs:
    """Opens logs, for so many readers of each VM."""

    def __init__(self, engines: Engines, turns: Turns, settings: Settings) -> None:
        self._engines = engines
        self._turns = turns
        self._settings = settings
        self._readers: Counter[VmId] = Counter()

    @property
    def readers(self) -> int:
        """How many there are."""
        return self._readers.total()

    async def open(self, container: Container, wish: LogWish) -> Reading:
        """Begin to read the logs of ``container``.

        Raises `ConflictError` ``too-many-log-readers``, what `Engines.asking` raises, and what the engine says
        (`EngineClient.logs`).
        """
        vm, limit = container.vm, self._settings.logs.readers
        if self._readers[vm] >= limit:
            raise ConflictError("too-many-log-readers", vm=container.vm_name, limit=limit)
        self._readers[vm] += 1
        try:
            async with self._turns.turn(vm):
                with self._engines.asking(vm) as engine:
                    stream = await engine.logs(container.engine_id, wish)
        except BaseException:
            self._leave(vm)
            raise
        return Reading(stream, wish, self._settings, lambda: self._leave(vm))

    def _leave(self, vm: VmId) -> None:
        self._readers[vm] -= 1
        if not self._readers[vm]:
            del self._readers[vm]


def _now() -> float:
    return asyncio.get_running_loop().time()
