"""Logs on their way through: so many readers, so many bytes, so much time."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from typing import Any, cast

import pytest

from roadstead.act.guests.logs import Logs, Reading
from roadstead.errors import ConflictError, EngineError, LinkError, RoadsteadError
from roadstead.model import LogEntry, LogWish, VmId
from roadstead.settings.schema import EngineSettings, LogSettings, Settings
from tests.unit.fakes.logs import FakeLogs
from tests.unit.inventory_views import samples

SETTINGS = Settings(logs=LogSettings(readers=2, seconds=3600, bytes=2**16), engine=EngineSettings(answer_seconds=20))
FOLLOWED = LogWish(follow=True)
SHOP = samples.container("vm-1", 0xAAAA, "shop")
OTHER = samples.container("vm-2", 0xBBBB, "shop")


class Guests:
    """Engines whose logs a test writes, and turns that it counts."""

    def __init__(self) -> None:
        self.logs_: list[FakeLogs] = []
        self.wishes: list[LogWish] = []
        self.error: RoadsteadError | None = None
        self.silence = 0.0
        """How long an engine takes to say anything."""
        self.breaks: LinkError | None = None
        """What each new answer ends with."""
        self.asked = 0
        self.turns = 0

    @contextmanager
    def asking(self, _: VmId) -> Iterator[Any]:
        if isinstance(self.error, LinkError | ConflictError):
            raise self.error
        yield self

    async def logs(self, _engine_id: str, wish: LogWish) -> FakeLogs:
        assert self.turns == 1
        self.asked += 1
        await asyncio.sleep(self.silence)
        if self.error is not None:
            raise self.error
        self.wishes.append(wish)
        self.logs_.append(FakeLogs())
        if self.breaks is not None:
            self.logs_[-1].end(self.breaks)
        return self.logs_[-1]

    @asynccontextmanager
    async def turn(self, _: VmId) -> AsyncIterator[None]:
        self.turns += 1
        try:
            yield
        finally:
            self.turns -= 1


async def _opened(wish: LogWish = FOLLOWED) -> tuple[Reading, FakeLogs]:
    guests = Guests()
    reading = await Logs(cast("Any", guests), guests, SETTINGS).open(SHOP, wish)
    return reading, guests.logs_[0]


async def test_readers_of_a_vm_are_counted() -> None:
    """One too many is refused at once; who closes, however often, makes room; nobody holds a turn while he reads."""
    guests = Guests()
    logs = Logs(cast("Any", guests), guests, SETTINGS)
    first, _ = [await logs.open(SHOP, FOLLOWED) for _ in range(2)]
    with pytest.raises(ConflictError) as caught:
        await logs.open(SHOP, FOLLOWED)
    assert (caught.value.code, caught.value.fields["vm"]) == ("too-many-log-readers", SHOP.vm_name)
    await logs.open(OTHER, FOLLOWED)
    first.close()
    first.close()
    assert (logs.readers, guests.turns, guests.logs_[0].closed) == (2, 0, 2)
    await logs.open(SHOP, FOLLOWED)
    assert logs.readers == 3


@pytest.mark.parametrize("error", [LinkError("vm-not-live", vm="x"), EngineError("engine-down")])
async def test_who_is_refused_is_no_reader(error: RoadsteadError) -> None:
    """Whoever it was that refused."""
    guests = Guests()
    guests.error = error
    logs = Logs(cast("Any", guests), guests, SETTINGS)
    with pytest.raises(type(error)):
        await logs.open(SHOP, FOLLOWED)
    assert logs.readers == 0


async def test_the_end_is_told_when_everything_was_read() -> None:
    """Without a word of ours."""
    reading, logs = await _opened()
    logs.write("one", "two")
    logs.end()
    assert [entry.text for entry in reading.take()] == ["one", "two"]
    assert not reading.is_ended
    await reading.wait()
    assert (reading.take(), reading.is_ended) == ([], True)


async def test_what_broke_them_off_is_the_last_entry() -> None:
    """With its code."""
    reading, logs = await _opened()
    logs.end(EngineError("engine-down"))
    (entry,) = reading.take()
    assert (entry.stream, entry.code, reading.is_ended) == ("problem", "engine-down", True)
    assert entry.text == str(EngineError("engine-down"))


async def test_so_many_bytes_are_read() -> None:
    """Then the last entry says so."""
    reading, logs = await _opened()
    logs.write("x" * 2**16)
    assert (len(reading.take()), reading.is_ended) == (1, False)
    logs.write("x")
    assert (_codes(reading.take()), reading.is_ended) == (["", "logs-cut"], True)


@pytest.mark.looptime
async def test_so_long_it_is_read() -> None:
    """What is followed may be silent until then."""
    reading, logs = await _opened()
    await asyncio.sleep(3599)
    assert reading.take() == []
    await asyncio.sleep(2)
    logs.write("late")
    assert (_codes(reading.take()), reading.is_ended) == (["", "logs-cut"], True)


@pytest.mark.looptime
async def test_an_engine_that_stops_in_the_middle_is_told() -> None:
    """Of logs that are not followed: it has more to say, and does not say it."""
    reading, logs = await _opened(LogWish())
    await asyncio.sleep(19)
    logs.write("late")
    assert len(reading.take()) == 1
    await asyncio.sleep(19)
    assert reading.take() == []
    await asyncio.sleep(2)
    assert (_codes(reading.take()), reading.is_ended) == (["engine-timed-out"], True)


LOST = LinkError("link-lost")
TIMES = [f"2026-11-27T12:00:{second:02}.000000000Z" for second in range(60)]


async def _lost(**settings: float) -> tuple[Guests, Reading, list[LogEntry]]:
    """A reader that follows, whose VM was lost after a line; and what was told of that."""
    guests = Guests()
    bounds = SETTINGS.logs.model_copy(update={"lost_seconds": 60.0, "retry_seconds": 1.0, **settings})
    logs = Logs(cast("Any", guests), guests, SETTINGS.model_copy(update={"logs": bounds}))
    reading = await logs.open(SHOP, FOLLOWED)
    guests.logs_[0].write("one", time=TIMES[10])
    assert [entry.text for entry in reading.take()] == ["one"]
    guests.logs_[0].end(LOST)
    guests.error = LinkError("vm-not-live", vm="x")
    return guests, reading, reading.take()


@pytest.mark.looptime
async def test_who_follows_goes_on_when_the_vm_is_back() -> None:
    """Both is told; nothing is lost or told twice; meanwhile nobody's turn is kept."""
    guests, reading, told = await _lost()
    assert [(entry.stream, entry.code) for entry in told] == [("notice", "link-lost")]
    assert (guests.logs_[0].closed, reading.is_ended) == (1, False)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(30):
            await reading.wait()
    assert (reading.take(), guests.turns) == ([], 0)
    guests.error = None
    await reading.wait()
    assert [entry.stream for entry in reading.take()] == ["notice"]
    guests.logs_[1].write("one", time=TIMES[10])
    guests.logs_[1].write("two", time=TIMES[11])
    await reading.wait()
    assert [(entry.text, entry.time) for entry in reading.take()] == [("two", "")]
    again = guests.wishes[1]
    assert (again.follow, again.timestamps, again.tail, again.since) == (
        True,
        True,
        None,
        datetime.fromisoformat(TIMES[9]),
    )
    reading.close()
    assert guests.logs_[1].closed == 1


@pytest.mark.looptime
@pytest.mark.parametrize("error", [ConflictError("vm-off", vm="x"), EngineError("engine-timed-out", seconds="20")])
async def test_what_passes_is_waited_for(error: RoadsteadError) -> None:
    """A VM that is powered off may be started, and an engine that hangs may be, too."""
    guests, reading, _ = await _lost()
    guests.error = error
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(30):
            await reading.wait()
    assert (reading.take(), reading.is_ended) == ([], False)


@pytest.mark.looptime
async def test_it_goes_on_again_and_again() -> None:
    """Also where nothing came in between."""
    guests, reading, _ = await _lost()
    for number in range(1, 4):
        guests.error = None
        await reading.wait()
        assert [entry.stream for entry in reading.take()] == ["notice"]
        guests.logs_[number].end(EngineError("engine-down"))
        assert [(entry.stream, entry.code) for entry in reading.take()] == [("notice", "engine-down")]
    assert not reading.is_ended


@pytest.mark.looptime
async def test_a_vm_that_does_not_come_back_is_given_up() -> None:
    """After a while, with what is wrong then."""
    guests, reading, _ = await _lost()
    began = asyncio.get_running_loop().time()
    await reading.wait()
    (entry,) = reading.take()
    assert (entry.stream, entry.code, reading.is_ended) == ("problem", "vm-not-live", True)
    assert 60 < asyncio.get_running_loop().time() - began <= 62
    assert len(guests.logs_) == 1


@pytest.mark.looptime
@pytest.mark.parametrize(
    "error", [ConflictError("vm-not-enabled", vm="x"), EngineError("engine-refused", reason="no such container")]
)
async def test_what_does_not_pass_is_not_waited_for(error: RoadsteadError) -> None:
    """A VM that is no longer managed, a container that is gone."""
    guests, reading, _ = await _lost()
    guests.error = error
    await reading.wait()
    assert (_codes(reading.take()), reading.is_ended) == ([error.code], True)


async def test_whoever_wants_to_know_at_once_is_told_at_once() -> None:
    """By a setting; and so is a reader who does not follow, and one of an engine that tells no times."""
    _, reading, told = await _lost(lost_seconds=0.0)
    assert (_codes(told), told[0].stream, reading.is_ended) == (["link-lost"], "problem", True)
    for wish in (FOLLOWED, LogWish()):
        reading, logs = await _opened(wish)
        logs.write("without a time")
        reading.take()
        logs.end(LOST)
        assert [entry.stream for entry in reading.take()] == ["problem"]


@pytest.mark.looptime
async def test_bounds_hold_over_all_of_it() -> None:
    """What came before counts, too."""
    guests, reading, _ = await _lost(bytes=100)
    guests.error = None
    await reading.wait()
    reading.take()
    guests.logs_[1].received = 95
    guests.logs_[1].write("two", time=TIMES[12])
    assert (_codes(reading.take()), reading.is_ended) == (["", "logs-cut"], True)


@pytest.mark.looptime
async def test_an_engine_that_never_says_whether_it_has_logs_is_given_up() -> None:
    """However often the one who waits looks up before a try has come to an end."""
    guests, reading, _ = await _lost(retry_seconds=20.0)
    guests.error, guests.silence = None, 20.0
    began = asyncio.get_running_loop().time()
    told: list[LogEntry] = []
    while not reading.is_ended:
        with suppress(TimeoutError):
            async with asyncio.timeout(15):
                await reading.wait()
        told += reading.take()
    assert _codes(told) == ["link-lost"]
    assert 60 < asyncio.get_running_loop().time() - began <= 75
    assert guests.asked == 1 + 3


@pytest.mark.looptime
async def test_one_that_is_lost_at_once_each_time_is_read_no_longer_than_others() -> None:
    """It is tried no more often than any, and nothing comes of it."""
    guests, reading, _ = await _lost(seconds=100.0)
    guests.error, guests.breaks = None, LOST
    began = asyncio.get_running_loop().time()
    told: list[LogEntry] = []
    while not reading.is_ended:
        await reading.wait()
        told = reading.take()
    assert _codes(told) == ["logs-cut"]
    assert 99 <= asyncio.get_running_loop().time() - began <= 102
    assert guests.asked <= 102


def _codes(entries: list[LogEntry]) -> list[str]:
    return [entry.code for entry in entries]
