"""Logs of containers, handed on as they are read and kept nowhere: who reads slowly makes the engine wait.

Whoever follows is not left alone when the VM is lost: the logs are gone on with when it is back.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from roadstead.act.guests.log_places import Place
from roadstead.act.guests.usages import Engines, Turns
from roadstead.errors import ConflictError, EngineError, LinkError, PeerError, RoadsteadError
from roadstead.model import Container, LogEntry, LogWish, VmId
from roadstead.peers.engine.logs import LogStream
from roadstead.settings.schema import Settings

BACK = "The VM is back. Reading goes on where it stopped."
_PASSING = {"engine-down", "engine-timed-out", "vm-off"}
"""What ends by itself, besides what links say."""
Open = Callable[[LogWish], Awaitable[LogStream]]


class Reading:
    """The logs of one container on their way to one reader, within the bounds of ``settings``.

    Whoever was given it closes it. Its last entry tells why it is the last, unless everything was read.
    """

    def __init__(self, wish: LogWish, settings: Settings, begin: Open, closed: Callable[[], None]) -> None:
        self._wish = wish
        self._place = Place(wish)
        self._begin = begin
        self._settings = settings
        # What is followed may be silent for as long as its container is.
        self._patience = settings.logs.seconds if wish.follow else settings.engine.answer_seconds
        self._stream: LogStream | None = None
        self._received = 0
        """How many bytes came of the streams that have ended."""
        self._end = _now() + settings.logs.seconds
        self._came = self._lost_at = self._next_try = _now()
        self._lost_by: RoadsteadError = LinkError("link-lost")
        """Why it is not read now."""
        self._words: list[LogEntry] = []
        """Of ours, which wait to be taken."""
        self._closed = closed
        self.is_ended = False
        """Whether nothing more will come."""

    async def begin(self) -> None:
        """Begin to read. Raises what the engine says, and what `Engines.engine` raises."""
        self._stream = await self._begin(self._place.wish())
        self._place.begins(self._stream.began)
        self._came = _now()

    async def wait(self) -> None:
        """Wait until `take` has something to look at; who waits for long looks now and then all the same."""
        if self._stream is not None:
            await self._stream.wait()
        while self._stream is None and not (self._words or self._is_given_up):
            await self._try_again()

    def take(self) -> list[LogEntry]:
        """Return what has come meanwhile; never waits."""
        words, self._words = self._words, []
        if self.is_ended:
            return words
        if self._stream is None:
            return [*words, *self._left_off()]
        try:
            found = self._stream.take()
            self._check(found)
        except PeerError as error:
            return [*words, self._broken(error)]
        self.is_ended = self._stream.is_ended
        entries = [*words, *filter(None, map(self._place.read, found))]
        return entries if self.is_ended else [*entries, *self._cut()]

    def close(self) -> None:
        """End it; harmless on one that has ended."""
        if self._stream is not None:
            self._stream.close()
        closed, self._closed = self._closed, lambda: None
        closed()

    async def _try_again(self) -> None:
        """Begin again, when the time has come and the VM is back. Looking up meanwhile does not put that off."""
        await asyncio.sleep(self._next_try - _now())
        self._next_try = _now() + self._settings.logs.retry_seconds
        try:
            await self.begin()
        except RoadsteadError as error:
            self._lost_by = error
        else:
            self._words.append(LogEntry(stream="notice", text=BACK))

    def _broken(self, error: PeerError) -> LogEntry:
        """Return what is told of an answer that broke off: it is gone on with, or was the last."""
        seconds = self._settings.logs.lost_seconds
        if self._stream is None or not (self._wish.follow and seconds and self._place.is_known and _passes(error)):
            return self._problem(error)
        self._received += self._stream.received
        self._stream.close()
        self._stream, self._lost_by, self._lost_at = None, error, _now()
        self._next_try = self._lost_at + self._settings.logs.retry_seconds
        text = f"{error.cause} Reading goes on when the VM is back, if that is within {seconds:g} s."
        return LogEntry(stream="notice", text=text, code=error.code)

    @property
    def _is_given_up(self) -> bool:
        """Whether a VM that was lost is waited for no longer, be it that no try comes to an end."""
        is_over = _now() - self._lost_at > self._settings.logs.lost_seconds
        return is_over or bool(self._excess()) or not _passes(self._lost_by)

    def _left_off(self) -> list[LogEntry]:
        """Return what is told while the VM is lost: nothing, or why it is waited for no longer."""
        if not self._is_given_up:
            return []
        return self._cut() or [self._problem(self._lost_by)]

    def _check(self, entries: list[LogEntry]) -> None:
        """Raise `EngineError` ``engine-timed-out`` when an engine that has more to say says nothing for long."""
        now = _now()
        if entries:
            self._came = now
        elif now - self._came > self._patience:
            raise EngineError("engine-timed-out", seconds=f"{self._patience:g}")

    def _cut(self) -> list[LogEntry]:
        """Return the last entry when a bound was reached."""
        reason = self._excess()
        return [self._problem(ConflictError("logs-cut", reason=reason))] if reason else []

    def _excess(self) -> str:
        """Return which bound was reached; nothing when none was."""
        bound = self._settings.logs
        if self._received + (self._stream.received if self._stream is not None else 0) > bound.bytes:
            return f"the engine has sent {bound.bytes} bytes"
        if _now() > self._end:
            return f"it went on for {bound.seconds:g} s"
        return ""

    def _problem(self, error: RoadsteadError) -> LogEntry:
        self.is_ended = True
        return LogEntry(stream="problem", text=str(error), code=error.code)


def _passes(error: RoadsteadError) -> bool:
    """Whether it may be over by and by."""
    return isinstance(error, LinkError) or error.code in _PASSING


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

        async def begin(wish: LogWish) -> LogStream:
            async with self._turns.turn(vm):
                with self._engines.asking(vm) as engine:
                    return await engine.logs(container.engine_id, wish)

        reading = Reading(wish, self._settings, begin, lambda: self._leave(vm))
        try:
            await reading.begin()
        except BaseException:
            reading.close()
            raise
        return reading

    def _leave(self, vm: VmId) -> None:
        self._readers[vm] -= 1
        if not self._readers[vm]:
            del self._readers[vm]


def _now() -> float:
    return asyncio.get_running_loop().time()
