"""Where a reader of logs stands, so that one whose VM was lost goes on there: nothing is read twice, nothing left out.

Engines know no place in a log, only times, and heed whole seconds of them. So a little more than was not read is asked
for again, and what was read is passed over: by the engine's own times, of which those of one stream ascend. Those of
both may be in disorder by the moment that passes between taking a line and keeping it (moby's
``daemon/logger/copier.go``), so each stream has its place.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from msgspec.structs import replace

from roadstead.kit import moments
from roadstead.model import LogEntry, LogWish

DISORDER = 10**9
"""How much earlier than the last time of all is asked for again, in nanoseconds."""
_LATEST = 253_402_300_799
"""The end of the year 9999."""


@dataclass(slots=True)
class _Spot:
    """How far one stream was read, and what is still to be passed over."""

    at: int
    """The time of its last message, in nanoseconds."""
    count: int = 0
    """How many messages of that time were read, the last one included."""
    said: int = 0
    """How many bytes of the last one."""
    is_open: bool = False
    """Whether its line goes on."""
    passes: int = 0
    """Messages of that time that are still to be passed over; 0 when what is new has begun."""
    left: int = 0
    """Bytes of the message that is there which are still to be passed over."""
    is_old: bool = False
    """Whether all of the message that is there is passed over."""

    def note(self, entry: LogEntry, at: int | None) -> None:
        """``entry`` was read; ``at`` is the time of the message that begins with it."""
        if at is not None:
            self.count = self.count + 1 if at == self.at else 1
            self.at, self.said = at, 0
        self.said += len(said_by(entry))
        self.is_open = entry.partial


class Place:
    """How far somebody has read the logs that ``wish`` asks for."""

    def __init__(self, wish: LogWish) -> None:
        self._wish = wish
        self._first: int | None = None
        """The time of the first message: of what is earlier nothing was wanted."""
        self._last: int | None = None
        self._mark = 0
        """The last one when it was begun again."""
        self._began: float | None = None
        self._spots: dict[str, _Spot] = {}
        self._again: set[str] = set()
        """The streams in which nothing new has come since it was begun again."""

    @property
    def is_known(self) -> bool:
        """Whether logs can be gone on with: the engine tells times, and those before some time are all read."""
        return self._last is not None or (not self._spots and self._began is not None)

    def begins(self, began: float | None) -> None:
        """An answer with logs begins, at this time of the engine's clock: the first one, or one to `wish`."""
        if self._began is None:
            self._began = began
        self._again = set(self._wish.streams) if self._last is not None else set()
        self._mark = self._last or 0
        for spot in self._spots.values():
            spot.passes, spot.left, spot.is_old = spot.count, 0, False

    def wish(self) -> LogWish:
        """Return what is to be asked for now. Times are asked for where they are needed to go on."""
        wish = replace(self._wish, timestamps=self._wish.timestamps or self._wish.follow)
        if self._last is not None:
            since = _moment((self._last - DISORDER) / 10**9)
        elif self._began is not None and self._wish.tail is not None:
            since = _moment(self._began)
        else:
            return wish
        return replace(wish, tail=None, since=max(since, self._wish.since or since))

    def read(self, entry: LogEntry) -> LogEntry | None:
        """Return ``entry``, or the part of it that is new, as it was asked for; None where it was read before."""
        at = moments.nanoseconds(entry.time) if entry.time else None
        if entry.stream in self._again:
            new = self._new(entry, at)
            if new is None:
                return None
            entry = new
            if not entry.time:
                at = None
        if at is not None:
            self._first = at if self._first is None else self._first
            self._last = at
            if at > self._mark + DISORDER:
                # From here on nothing old can come, whatever becomes of the engine's clock.
                self._again.clear()
        spot = self._spots.setdefault(entry.stream, _Spot(at or 0))
        spot.note(entry, at)
        return entry if self._wish.timestamps or not entry.time else replace(entry, time="")

    def _new(self, entry: LogEntry, at: int | None) -> LogEntry | None:
        """Return what of ``entry`` is new in a stream that was begun again."""
        spot = self._spots.get(entry.stream)
        if spot is None:
            return self._unseen(entry, at)
        if at is not None:
            spot.is_old = at < spot.at or (at == spot.at and spot.passes > 1)
            if at == spot.at:
                spot.passes -= 1
            if not spot.is_old:
                is_last = at == spot.at and spot.passes == 0
                spot.left = spot.said if is_last else 0
                if not is_last:
                    return self._goes_on(entry)
        return None if spot.is_old else self._rest(spot, entry)

    def _unseen(self, entry: LogEntry, at: int | None) -> LogEntry | None:
        """The same of a stream of which nothing was read. Where only the last lines are wanted, none before is."""
        is_unwanted = self._wish.tail is not None and at is not None and self._first is not None and at < self._first
        return None if is_unwanted else self._goes_on(entry)

    def _rest(self, spot: _Spot, entry: LogEntry) -> LogEntry | None:
        """Return what is left of the message that was read last, and maybe not to its end."""
        said = said_by(entry)
        passed = min(spot.left, len(said))
        spot.left -= passed
        rest = said[passed:]
        if not rest and (entry.partial or not spot.is_open):
            return None
        self._goes_on(entry)
        text = rest.decode("utf-8", "replace")
        text = text if entry.partial else text.removesuffix("\r")
        return replace(entry, text=text, data=rest if self._wish.exact else b"", time="")

    def _goes_on(self, entry: LogEntry) -> LogEntry:
        self._again.discard(entry.stream)
        return entry


def _moment(seconds: float) -> datetime:
    """Return a time of an engine's clock, which may be any."""
    return datetime.fromtimestamp(min(max(seconds, 0), _LATEST), UTC)


def said_by(entry: LogEntry) -> bytes:
    """Return the bytes that ``entry`` tells, as exactly as it does."""
    return entry.data or entry.text.encode()
