"""The core: facts flow into the store, changes out of it, and no reader takes one run for another."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from roadstead.app.core import Core
from roadstead.kit import tasks
from roadstead.model import LOCAL_POOL, Gone, LinkState, PowerState, Seen, VmId
from roadstead.peers.database.client import Database
from roadstead.settings.schema import Settings
from tests.unit.fakes import records
from tests.unit.fakes.databases import FakeDatabase

PATIENCE_SECONDS = 10.0
CHANGES = 2000


def _core(engines: Sequence[Path] = ()) -> Core:
    return Core(Settings(), cast("Database", FakeDatabase()), engines)


@asynccontextmanager
async def _running(core: Core) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = tasks.spawn(group, core.run(), "core")
        await core.commands.pools.wait_started()
        yield
        await tasks.stop(task)


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_reader_of_an_earlier_run_is_told_to_list_again() -> None:
    """Also after a run that was short and changed much: the numbers of two runs never meet."""
    earlier = _core()
    for number in range(CHANGES):
        earlier.tell([Seen(records.pool(name=str(number)))])
    known = earlier.feed.number
    later = _core()
    assert later.feed.number > known
    assert not later.feed.holds(known)
    later.tell([Seen(records.pool(name=str(number))) for number in range(CHANGES)])
    assert not later.feed.holds(known)


async def test_readers_hear_of_what_the_store_has() -> None:
    """The feed's newest change is always the store's."""
    core = _core()
    first = core.feed.number
    core.tell([Seen(records.pool()), Seen(records.vm(power=PowerState.HALTED)), Gone("vm", "nobody")])
    assert core.feed.number == core.store.number == first + 2
    assert [change.kind for change in core.feed.after(first) or []] == ["pool", "vm"]


async def test_engines_of_this_machine_stand_under_a_pool_of_their_own(tmp_path: Path) -> None:
    """Each looks like a VM; one that is not there is said, and is no reason for the others to wait."""
    core = _core([tmp_path / "one.sock", tmp_path / "two.sock"])
    async with _running(core):
        await _until(lambda: all(vm.link and vm.link.problem for vm in core.store.vms.values()))
        assert set(core.store.vms) == {"local-1", "local-2"}
        vm = core.store.vms[VmId("local-1")]
        assert (vm.pool, vm.pool_name, vm.host_name, vm.enabled) == (LOCAL_POOL, "local", "local", True)
        assert vm.link is not None
        assert vm.link.problem is not None
        assert (vm.link.state, vm.link.problem.code) == (LinkState.BROKEN, "no-engine-socket")
        assert core.statistics()["links"] == {"guests": 2, "live": 0}
        assert core.statistics()["outputs"] == {"writes": 0}


async def test_a_machine_without_engines_has_no_pool_of_its_own() -> None:
    """Nothing is shown that nobody asked for."""
    core = _core()
    async with _running(core):
        assert not core.store.pools
