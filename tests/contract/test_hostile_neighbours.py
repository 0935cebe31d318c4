"""What a hostile guest costs the others: the time in which a neighbour is listed, our memory, our log.

Guests live in processes of their own here, and the hostile one has what the others leave of the processors, as a guest
on another machine: what is measured is what it does to us.
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from roadstead.lab.guests.fleet import DistantGuest
from roadstead.lab.guests.misbehaviour import MISBEHAVIOURS, Layer
from roadstead.peers.engine.client import EngineClient
from roadstead.settings.schema import EngineSettings
from tests.contract.hostility import DEEDS, DEEDS_OVER_SSH, DEEDS_OVER_TLS, done, printed
from tests.contract.world import CALM, World, add, kept, lab, running

pytestmark = [pytest.mark.alone, pytest.mark.limit(60)]

LIMIT = 2.0
"""How many times as long as without the attack a list may take: its median, and the time that nine of ten keep."""
LEAST_SECONDS = 0.0005
"""Less than that beyond is no delay: a turn of the loop, or of the kernel's clock."""
HELD_UP_SECONDS = 0.025
"""How much longer than without the attack the slowest list may take, beyond the limit: other processes have turns."""
TRIES = 8
"""A machine that has other things to do makes some tries slow, with and without an attack; what holds us up, all."""
CALM_SECONDS, ATTACK_SECONDS = 0.4, 1.0
PAUSE_SECONDS = 0.002
SETTINGS = CALM.model_copy(update={"engine": EngineSettings(relist_seconds=1.0)})
"""The bounds of earnest, with short waits: whoever attacks may do so again and again."""
MEMORY_BYTES = 8 * SETTINGS.engine.answer_bytes
"""What one guest may make us take: an answer as it comes (a buffer that grows), the same whole, what is read of it, and
what was kept and is kept, and what the allocator holds back of all this.
"""
HARMLESS = {"keys-unwritable", "host-key-all-types", "command-forced", "dial-stdio-missing", "exec-noise"}
"""What is no attack: kinds of guests."""
OVER_TLS = sorted(
    {
        *("handshake-never-ends", "garbage", "crumbs", "event-blanks", "event-bulk", "event-bulk-lists"),
        *done(DEEDS, DEEDS_OVER_TLS),
        *(name for name, trait in MISBEHAVIOURS.items() if trait.layer in {Layer.CERTIFICATE, Layer.TLS}),
    }
)
"""All that hostile guests may do, what only such a one can do, and what costs most."""
OVER_SSH = sorted(
    name
    for name, trait in MISBEHAVIOURS.items()
    if name not in HARMLESS and trait.layer not in {Layer.CERTIFICATE, Layer.TLS}
)
PER_TEST = 4
NICE = 19


class Times(NamedTuple):
    """Seconds that lists took: half of them at most the first, nine of ten at most the second, all the third."""

    median: float
    ninth: float
    longest: float

    def hold(self, calm: Times) -> bool:
        """Whether these, under attack, are within the limit of those without."""
        return (
            self.median <= LIMIT * calm.median + LEAST_SECONDS
            and self.ninth <= LIMIT * calm.ninth + LEAST_SECONDS
            and self.longest <= LIMIT * calm.longest + HELD_UP_SECONDS
        )


def _portions(names: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(names[start : start + PER_TEST]) for start in range(0, len(names), PER_TEST)]


@asynccontextmanager
async def _world(folder: Path, *, is_tls: bool) -> AsyncIterator[tuple[World, DistantGuest]]:
    """A pool with two VMs, and the guest of the first one."""
    async with (
        lab(folder, ["vm-1", "vm-2"], 20, 2, processes=2, is_tls=is_tls) as (pool, maker),
        kept(folder) as database,
        running(SETTINGS, database) as core,
    ):
        one = World(pool, maker, core, database)
        await add(one)
        await one.until(lambda: one.is_live("vm-1") and one.is_live("vm-2"), "both are live")
        hostile = await pool.machines.guest(one.vm("vm-1").id)
        assert isinstance(hostile, DistantGuest)
        os.setpriority(os.PRIO_PROCESS, hostile._child._process.pid, NICE)  # noqa: SLF001 - nobody else needs it
        yield one, hostile


async def _times(engine: EngineClient, seconds: float) -> Times:
    """How long it takes to list a guest."""
    took = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        assert len((await engine.containers()).containers) == 20
        took.append(time.perf_counter() - began)
        await asyncio.sleep(PAUSE_SECONDS)
    took.sort()
    return Times(took[len(took) // 2], took[len(took) * 9 // 10], took[-1])


async def _behave(one: World, hostile: DistantGuest, *names: str) -> None:
    """Let the guest do these wrong, and be called at once."""
    await hostile.misbehave(*names)
    await hostile.stop()
    vm = one.vm("vm-1").id
    await one.until(lambda: not one.is_live("vm-1"), "the link is lost")
    await hostile.start()
    one.core.links.try_now(vm)


async def _suffered(one: World, hostile: DistantGuest, trait: str) -> list[tuple[Times, Times]]:
    """Measure without and with an attack until it holds; return all that did not."""
    engine, found = one.core.commands.vms.engine(one.vm("vm-2").id), []
    for _ in range(TRIES):
        await _behave(one, hostile)
        calm = await _times(engine, CALM_SECONDS)
        await _behave(one, hostile, trait)
        under_attack = await _times(engine, ATTACK_SECONDS)
        assert [line for line in printed(one.containers("vm-1").values()) if not line.isprintable()] == []
        if under_attack.hold(calm):
            return []
        found.append((calm, under_attack))
    return found


def test_no_hostile_deed_is_forgotten() -> None:
    """Each is measured over either kind of link."""
    assert done(DEEDS, DEEDS_OVER_SSH) - {*OVER_SSH} == set()
    assert done(DEEDS, DEEDS_OVER_TLS) - {*OVER_TLS} == set()


def _memory() -> int:
    """The most memory that this process ever had."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize("traits", _portions(OVER_SSH), ids=lambda traits: f"{traits[0]} and others")
async def test_neighbours_do_not_suffer(
    tmp_path: Path, traits: tuple[str, ...], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a guest does: within twice the time, within its memory, and no word of it commands a terminal."""
    async with _world(tmp_path, is_tls=False) as (one, hostile):
        await _check(one, hostile, traits)
    _check_words(capsys, caplog)


@pytest.mark.parametrize("traits", _portions(OVER_TLS), ids=lambda traits: f"{traits[0]} and others")
async def test_neighbours_do_not_suffer_over_tls(
    tmp_path: Path, traits: tuple[str, ...], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The same of a guest that is reached over TLS: what only such a one can do, and what costs most."""
    async with _world(tmp_path, is_tls=True) as (one, hostile):
        await _check(one, hostile, traits)
    _check_words(capsys, caplog)


async def _check(one: World, hostile: DistantGuest, traits: Sequence[str]) -> None:
    await _times(one.core.commands.vms.engine(one.vm("vm-2").id), CALM_SECONDS)
    before = _memory()
    slowed = {trait: found for trait in traits if (found := await _suffered(one, hostile, trait))}
    assert slowed == {}
    assert _memory() - before <= MEMORY_BYTES


def _check_words(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    said = [*capsys.readouterr().out.splitlines(), *(record.getMessage() for record in caplog.records)]
    assert [line for line in said if not line.isprintable()] == []
