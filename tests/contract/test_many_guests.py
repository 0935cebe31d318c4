"""Two hundred VMs of which fifty are broken, each in its own way: the others do not notice."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from roadstead.lab.guests.guest import SimulatedGuest
from roadstead.lab.guests.simulated import SimulatedGuests
from roadstead.model import LinkState, Vm, VmId
from tests.contract.ailments import AILMENTS, SHARED, SHARER, SHOWN
from tests.contract.world import PATIENCE_SECONDS, QUICK, World, add, kept, lab, running

GOOD = tuple(f"good-{number}" for number in range(1, 151))
LOSING = GOOD[-15:]
"""Good ones that lose their connection for a moment: they come back although others keep the gates busy."""
EARLY = tuple(name for name, ailment in AILMENTS.items() if not ailment.is_late)
CONTAINERS = 3
FILES = Path("/proc/self/fd")
LONG_SECONDS = 25.0
"""How long all VMs together may take to what one does at once."""
SLOWER, LATER = 30, 10
"""How many times as long as before a change and a return may take while others are broken: the lab's guests share our
processor, other tests share the machine. Whoever had to wait for a broken guest would wait for seconds.
"""
PER_VM = 4
"""How many tasks more than before there may be for each broken VM, the lab's included; of open files, one."""
LINK = QUICK.link.model_copy(
    update={
        "retry_first_seconds": 1.0,
        "retry_limit_seconds": 4.0,
        "refusal_first_seconds": 1.0,
        "refusal_limit_seconds": 4.0,
        "keepalive_count": 4,
    }
)
ENGINE = QUICK.engine.model_copy(update={"containers": SHOWN, "answer_bytes": 2**18, "relist_seconds": 1.0})
SETTINGS = QUICK.model_copy(update={"link": LINK, "engine": ENGINE})


class Pace(NamedTuple):
    """How it went for the good ones in one phase, in seconds and numbers."""

    usual: float
    """From a change in a guest until it is shown, median."""
    lag: float
    """The same as it is expected at any moment: long waits count by how long they last."""
    comeback: float
    """From the loss of some connections until all are current again."""
    tasks: int
    files: int


class Fleet(World):
    """The VMs, found by name without a search, and how fast what changes in the good ones is seen."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._ids: dict[str, VmId] = {}
        self._guests: dict[str, SimulatedGuest] = {}
        self._is_broken = False

    def vm(self, name: str) -> Vm:
        """See `World`."""
        return self.core.store.vms[self._id(name)]

    def is_live(self, name: str) -> bool:
        """See `World`."""
        vm = self.core.store.vms.get(self._id(name))
        return vm is not None and vm.link is not None and vm.link.state is LinkState.LIVE

    def problem(self, name: str) -> str:
        """See `World`; that a VM is not known yet is one."""
        return super().problem(name) if self._id(name) in self.core.store.vms else "unknown"

    def guest(self, name: str) -> SimulatedGuest:
        """See `World`."""
        if name not in self._guests:
            self._guests[name] = super().guest(name)
        return self._guests[name]

    def _id(self, name: str) -> VmId:
        if name not in self._ids:
            self._ids[name] = VmId(self.pool.uuid_of(name))
        return self._ids[name]

    async def until_all(self, names: Sequence[str]) -> None:
        """Wait until these VMs are live and shown as they are."""
        deadline = time.monotonic() + LONG_SECONDS
        left = list(names)
        while left := [name for name in left if not (self.is_live(name) and self.agrees(name))]:
            assert time.monotonic() < deadline, f"{left} are not current: {self}"
            await asyncio.sleep(0.01)

    async def delay(self, name: str) -> float:
        """Rename a container in a guest; return how long it took until that was shown."""
        before = next(iter(self.containers(name).values()))
        shown = self.core.store.containers_of(before.vm)
        began = time.monotonic()
        self.change(name)
        await self.until(lambda: shown[before.id].name != before.name, f"{name} is current")
        return time.monotonic() - began

    async def pace(self) -> Pace:
        """Change something in every good VM, one after the other, and go on with it until each bad one is known to be
        so; then cut some connections.
        """
        delays, tasks, files = [], 0, 0
        deadline = time.monotonic() + LONG_SECONDS
        for number, name in enumerate(itertools.cycle(GOOD)):
            if number >= len(GOOD) and not self.misjudged():
                break
            assert time.monotonic() < deadline, (
                f"these have other problems: {[self.vm(each).link for each in self.misjudged()]}"
            )
            delays.append(await self.delay(name))
            tasks = max(tasks, len(asyncio.all_tasks()))
            files = max(files, len(list(FILES.iterdir())))
        lag = sum(delay * delay for delay in delays) / (2 * sum(delays))
        return Pace(statistics.median(delays), lag, await self.comeback(), tasks, files)

    async def comeback(self) -> float:
        """Cut some connections; return how long it took until their VMs were current again."""
        began = time.monotonic()
        for name in LOSING:
            self.guest(name).cut()
        await self.until(lambda: not any(self.is_live(name) for name in LOSING), "they are lost")
        await self.until_all(LOSING)
        return time.monotonic() - began

    def live_since(self) -> dict[str, datetime]:
        """Since when the good VMs are live whose connections nobody cut."""
        links = {name: self.vm(name).link for name in GOOD if name not in LOSING}
        return {name: link.since for name, link in links.items() if link is not None and self.is_live(name)}

    def misjudged(self) -> dict[str, str]:
        """The bad VMs that have another problem than they should have; before they are broken, those that have one."""
        codes = {name: ailment.code if self._is_broken else "" for name, ailment in AILMENTS.items()}
        names = AILMENTS if self._is_broken else EARLY
        return {name: found for name in names if (found := self.problem(name)) != codes[name]}

    async def break_all(self) -> None:
        """Break every VM that is to be broken, each in its own way."""
        self._is_broken = True
        for name, ailment in AILMENTS.items():
            await ailment.inflict(self, name)


def check_bad(one: Fleet) -> None:
    """Nothing of a VM that cannot be watched is shown as if it were known; what is shown of the others is true."""
    for name, ailment in AILMENTS.items():
        shown = one.containers(name).values()
        if one.is_live(name):
            truth = {(each["id"], each["state"]) for each in one.guest(name).engine.truth()}
            assert {(each.engine_id, each.state) for each in shown} <= truth, name
            assert not any(each.stale for each in shown), name
        else:
            assert len(shown) == (0 if ailment.is_late else CONTAINERS), name
            assert all(each.stale and each.problem == ailment.code for each in shown), name


async def until_left(maker: SimulatedGuests) -> None:
    """Wait until nobody is connected to any guest."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while any(guest.statistics()["connections"] for guest in maker.guests.values()):
            await asyncio.sleep(0.01)


@pytest.mark.limit(60)
async def test_fifty_broken_guests_disturb_no_other(tmp_path: Path) -> None:
    """Each broken VM gets its own problem and shows nothing false; the others stay as current as they were before, come
    back as soon when they lose their connection, and nothing piles up or is left behind.
    """
    assert len(AILMENTS) == 50
    async with lab(tmp_path, [*GOOD, *EARLY], CONTAINERS) as (pool, maker), kept(tmp_path) as database:
        async with running(SETTINGS, database) as core:
            one = Fleet(pool, maker, core, database)
            await one.guest(SHARER).misbehave(SHARED)
            await add(one)
            await one.until_all([*GOOD, *EARLY])
            calm = await one.pace()
            steady = one.live_since()
            await one.break_all()
            busy = await one.pace()
            assert one.misjudged() == {}
            check_bad(one)
            for name in GOOD:
                one.change(name)
            await one.until_all(GOOD)
            assert one.live_since() == steady
        await until_left(maker)
        assert len(pool.core.sessions) == 0

    assert busy.usual <= SLOWER * calm.usual
    assert busy.lag <= SLOWER * calm.lag
    assert busy.comeback <= LATER * calm.comeback
    assert busy.tasks <= calm.tasks + PER_VM * len(AILMENTS)
    assert busy.files <= calm.files + len(AILMENTS)
