"""Logs on their way through: so many readers, so many bytes, so much time."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
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
        self.error: RoadsteadError | None = None
        self.turns = 0

    @contextmanager
    def asking(self, _: VmId) -> Iterator[Any]:
        if isinstance(self.error, LinkError):
            raise self.error
        yield self

    async def logs(self, _engine_id: str, _wish: LogWish) -> FakeLogs:
        assert self.turns == 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.logs_.append(FakeLogs())
        return self.logs_[-1]

    @asynccontextmanager
    async def turn(self, _: VmId) -> AsyncIterator[None]:
        self.turns += 1
        yield
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


def _codes(entries: list[LogEntry]) -> list[str]:
    return [entry.code for entry in entries]
