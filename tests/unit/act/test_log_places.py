"""A reader of logs whose engine is lost again and again reads each line once, whatever came in between."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from roadstead.act.guests.log_places import Place
from roadstead.model import LogEntry, LogStreamName, LogWish
from roadstead.model.logs import STREAMS

FOLLOWED = LogWish(follow=True)
SECOND = 10**9
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
BEGAN = NOON.timestamp()


class Message(NamedTuple):
    """One of a log: when it was written, in nanoseconds from noon on, and what; the last of a line or not."""

    stream: LogStreamName
    at: int
    text: str
    is_whole: bool = True


def stamp(at: int) -> str:
    """The time as an engine tells it."""
    seconds, rest = divmod(at, SECOND)
    return f"2026-11-27T{12 + seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:09}Z"


def told(log: list[Message], wish: LogWish, piece: int) -> Iterator[LogEntry]:
    """What an engine answers: from whole seconds on, long messages in pieces of which the first has the time."""
    start = -math.inf if wish.since is None else (math.floor(wish.since.timestamp()) - BEGAN) * SECOND
    wanted = [each for each in log if each.at >= start and each.stream in wish.streams]
    for each in wanted if wish.tail is None else wanted[len(wanted) - wish.tail :]:
        pieces = [each.text[place : place + piece] for place in range(0, len(each.text), piece)]
        if each.is_whole and len(each.text) % piece == 0:
            pieces.append("")
        for number, text in enumerate(pieces or [""]):
            is_open = number < len(pieces) - 1 or not each.is_whole
            time = stamp(each.at) if number == 0 and wish.timestamps else ""
            yield LogEntry(stream=each.stream, text=text, time=time, partial=is_open)


def read(place: Place, log: list[Message], most: int | None = None, piece: int = 100) -> list[LogEntry]:
    """Begin to read and go on for so many entries of the engine's; what is new of them."""
    entries = list(told(log, place.wish(), piece))
    place.begins(BEGAN)
    return [found for entry in entries[:most] if (found := place.read(entry)) is not None]


def written(entries: list[LogEntry], stream: str) -> str:
    """What they say of one stream."""
    return "".join(each.text + ("" if each.partial else "\n") for each in entries if each.stream == stream)


@st.composite
def logs(draw: st.DrawFn) -> list[Message]:
    """Those of a container that writes to both streams, often at the same time, whose times are in disorder by less
    than a second and ascend in each stream.
    """
    at, latest, log = 0, {"stdout": 0, "stderr": 0}, []
    for _ in range(draw(st.integers(0, 25))):
        at += draw(st.sampled_from([0, 0, 1, SECOND // 3, 2 * SECOND]))
        stream = draw(st.sampled_from(STREAMS))
        latest[stream] = max(latest[stream], at - draw(st.sampled_from([0, 0, SECOND // 4])))
        text = draw(st.sampled_from(["", "a", "a", "übermaß", "€" * 7]))
        log.append(Message(stream, latest[stream], text, draw(st.booleans())))
    return log


@given(log=logs(), cuts=st.lists(st.tuples(st.integers(0, 12), st.integers(1, 8)), max_size=6), last=st.integers(1, 8))
def test_each_line_is_read_once(log: list[Message], cuts: list[tuple[int, int]], last: int) -> None:
    """However often the reading is broken off, in the middle of a line, too, and however it comes in pieces."""
    place = Place(FOLLOWED)
    entries = [entry for most, piece in cuts for entry in read(place, log, most, piece)]
    entries += read(place, log, piece=last)

    whole = [replace(entry, time="") for entry in told(log, FOLLOWED, 100)]
    for stream in STREAMS:
        assert written(entries, stream) == written(whole, stream)
    assert not any(entry.time for entry in entries)


LINES = [Message("stdout", number * SECOND, f"line {number}") for number in range(6)]


def test_times_are_told_where_they_were_asked_for() -> None:
    """To read on they are needed in any case, but only by whoever follows."""
    assert [each.time for each in read(Place(LogWish(follow=True, timestamps=True)), LINES)] == [
        stamp(each.at) for each in LINES
    ]
    assert not Place(LogWish()).wish().timestamps
    assert Place(FOLLOWED).wish().timestamps


def test_only_the_last_lines_are_not_asked_for_again() -> None:
    """What was left out at the beginning is left out later; what came meanwhile is read, however much it is."""
    place = Place(LogWish(follow=True, tail=1))
    before = [Message("stderr", 3 * SECOND + 1, "not wanted"), Message("stdout", 3 * SECOND + 2, "last")]
    assert [each.text for each in read(place, [*LINES[:3], *before])] == ["last"]
    assert [each.text for each in read(place, [*LINES[:3], *before, *LINES[4:]])] == ["line 4", "line 5"]


@pytest.mark.parametrize("tail", [0, 5])
def test_where_nothing_was_written_yet_the_engines_clock_tells(tail: int) -> None:
    """All that was written since then is read."""
    place = Place(LogWish(follow=True, tail=tail))
    assert read(place, []) == []
    assert place.is_known
    assert [each.text for each in read(place, LINES)] == [each.text for each in LINES]


def test_all_of_it_is_asked_for_again_where_nothing_came() -> None:
    """The same is asked for."""
    place = Place(FOLLOWED)
    assert read(place, LINES, 0) == []
    assert place.wish().since is None
    assert len(read(place, LINES)) == len(LINES)


def test_since_stays_since() -> None:
    """Nothing earlier is asked for than was at first."""
    since = datetime(2026, 11, 27, 12, 0, 2, 500_000, tzinfo=UTC)
    place = Place(LogWish(follow=True, since=since))
    read(place, LINES[:3])
    assert place.wish().since == since


def test_without_times_there_is_no_place() -> None:
    """Nobody could tell what was read."""
    place = Place(FOLLOWED)
    place.begins(BEGAN)
    assert place.read(LogEntry(stream="stdout", text="x")) is not None
    assert not place.is_known
    clockless = Place(FOLLOWED)
    clockless.begins(None)
    assert not clockless.is_known


def test_a_clock_that_is_set_back_hides_nothing_that_comes_later() -> None:
    """Once what is new has come, nothing is held to be old, in neither stream."""
    place = Place(FOLLOWED)
    log = [*LINES, Message("stderr", 5 * SECOND, "error")]
    read(place, log)
    assert [each.text for each in read(place, [*log, Message("stdout", 60 * SECOND, "new")])] == ["new"]
    for stream in STREAMS:
        assert place.read(LogEntry(stream=stream, text="set back", time=stamp(SECOND))) is not None


@pytest.mark.parametrize(
    "time", ["0001-01-01T00:00:00Z", "1601-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999-23:59"]
)
def test_times_of_other_centuries_are_none_to_stumble_over(time: str) -> None:
    """Something is asked for; and what is no time at all is no time."""
    place = Place(FOLLOWED)
    place.begins(-1e12)
    assert place.read(LogEntry(stream="stdout", text="x", time=time)) is not None
    since = place.wish().since
    assert since is not None
    assert 1970 <= since.year <= 9999
    place.begins(1e18)
    assert place.read(LogEntry(stream="stdout", text="x", time="2026-13-45T99:99:99Z")) is not None


def test_every_byte_is_counted_where_every_byte_is_wanted() -> None:
    """Also what is no text: the rest of a line is the rest of its bytes."""
    place = Place(LogWish(follow=True, exact=True))
    place.begins(BEGAN)
    first = LogEntry(stream="stdout", text="a\ufffd", data=b"a\xff", time=stamp(0), partial=True)
    assert place.read(first) == replace(first, time="")
    place.begins(BEGAN)
    again = LogEntry(stream="stdout", text="a\ufffd\ufffdz", data=b"a\xff\xfez\r", time=stamp(0))
    assert place.read(again) == LogEntry(stream="stdout", text="\ufffdz", data=b"\xfez\r")
