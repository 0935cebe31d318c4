"""What was done is noted with who did it, written in batches, and bounded."""

import asyncio
from typing import cast

import pytest

from roadstead.act.audit import BATCH_SECONDS, UNWRITTEN, Actor, Audit, acting
from roadstead.errors import ConflictError
from roadstead.kit import tasks
from roadstead.peers.database.client import Database
from roadstead.settings.schema import AuditSettings
from tests.unit.fakes.databases import FakeDatabase

pytestmark = pytest.mark.looptime
ANN = Actor("ann", "192.0.2.1")


def _audit(database: FakeDatabase, rows: int = 1000) -> Audit:
    return Audit(cast("Database", database), AuditSettings(rows=rows))


async def test_a_command_is_noted_with_who_gave_it() -> None:
    """What came through no door is our own."""
    database = FakeDatabase()
    audit = _audit(database)
    with acting(ANN), audit.of("enable", "vm-1"):
        await asyncio.sleep(0)
    audit.note("disable", "vm-1")
    second, first = await audit.recent(10)
    assert (first.who, first.origin, first.what, first.target, first.result, first.code) == (
        *("ann", "192.0.2.1", "enable", "vm-1", "done", ""),
    )
    assert (second.who, second.origin) == ("roadstead", "")


async def test_what_came_of_it_is_noted() -> None:
    """A failure with its code, a mistake of ours as one, a cancellation as such; each is raised on."""
    audit = _audit(FakeDatabase())
    for error in (ConflictError("vm-off", vm="x"), ZeroDivisionError(), asyncio.CancelledError()):
        with pytest.raises(type(error)), audit.of("stop", "c"):
            raise error
    noted = [(entry.result, entry.code) for entry in await audit.recent(10)]
    assert noted == [("cancelled", "cancelled"), ("failed", "internal"), ("failed", "vm-off")]


async def test_a_part_of_a_command_is_no_entry_of_its_own() -> None:
    """Also when a task does it."""
    audit = _audit(FakeDatabase())

    async def part() -> None:
        with audit.of("enable", "vm-1"):
            await asyncio.sleep(0)

    with audit.of("register", "vm-1"):
        await part()
        async with asyncio.TaskGroup() as group:
            tasks.spawn(group, part(), "part")
    assert [entry.what for entry in await audit.recent(10)] == ["register"]


async def test_two_who_ask_at_once_are_told_apart() -> None:
    """Who asks belongs to the task that asks."""
    audit = _audit(FakeDatabase())

    async def ask(who: str) -> None:
        with acting(Actor(who)):
            await asyncio.sleep(0)
            with audit.of("stop", who):
                await asyncio.sleep(0)

    await asyncio.gather(*(ask(f"client {number}") for number in range(5)))
    assert all(entry.who == entry.target for entry in await audit.recent(10))


async def test_entries_are_written_together_and_again_when_that_failed() -> None:
    """A database that fails loses none, and is bounded."""
    database = FakeDatabase(is_broken=True)
    audit = _audit(database)
    async with asyncio.TaskGroup() as group:
        task = tasks.spawn(group, audit.run(), "audit")
        for number in range(3):
            audit.note("stop", f"c{number}")
        await asyncio.sleep(BATCH_SECONDS + 1)
        assert not database.audited
        database.is_broken = False
        await asyncio.sleep(60)
        assert [entry.target for entry in database.audited] == ["c0", "c1", "c2"]
        await tasks.stop(task)
    database.is_broken = True
    for number in range(UNWRITTEN + 5):
        audit.note("stop", f"d{number}")
    await audit.close()
    database.is_broken = False
    await audit.close()
    assert len(database.audited) <= UNWRITTEN
    assert database.audited[-1].target == f"d{UNWRITTEN + 4}"


async def test_what_is_noted_is_safe_to_show() -> None:
    """Names come from strangers."""
    audit = _audit(FakeDatabase())
    audit.note("a\x1b[2Jb", "x" * 5000)
    (entry,) = await audit.recent(1)
    assert entry.what.isprintable()
    assert len(entry.target) <= 256


async def test_two_who_write_at_once_write_an_entry_once() -> None:
    """A reader has the audit written before it looks, while it is being written anyway."""
    database = FakeDatabase()
    audit = _audit(database)
    audit.note("enable", "vm-1")
    await asyncio.gather(audit.flush(), audit.recent(10), audit.flush())
    assert [entry.what for entry in await audit.recent(10)] == ["enable"]
