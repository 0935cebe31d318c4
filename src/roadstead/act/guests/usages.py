"""What containers take of their guests, asked when somebody wants to know: two samples, about a second apart."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Protocol

from msgspec.structs import replace

from roadstead.errors import InputError, RoadsteadError
from roadstead.kit import tasks
from roadstead.kit.mistakes import Mistakes
from roadstead.model import Container, Usage, UsageResult, VmId
from roadstead.peers.engine.client import RUNNING, EngineClient
from roadstead.peers.engine.messages import statistics

APART_SECONDS = 1.0
MOST_CONTAINERS = 200
"""Of one question: each costs its guest two requests."""


class Engines(Protocol):
    """Where engines are found."""

    def asking(self, vm: VmId) -> AbstractContextManager[EngineClient]:
        """Hold the engine of a VM. Raises `ConflictError` or `LinkError` when it cannot be reached now."""


class Turns(Protocol):
    """Who limits what is asked of guests at the same time."""

    def turn(self, vm: VmId) -> AbstractAsyncContextManager[None]:
        """Hold a place among those who ask the guest ``vm`` something."""


class Usages:
    """Asks engines for statistics; nothing of them is kept."""

    def __init__(self, engines: Engines, turns: Turns, apart_seconds: float = APART_SECONDS) -> None:
        self._engines = engines
        self._turns = turns
        self._apart_seconds = apart_seconds
        self._mistakes = Mistakes()

    async def of(self, containers: Sequence[Container]) -> list[UsageResult]:
        """Return the usage of those of ``containers`` that run, or why there is none; of all when none runs, so that
        whoever asked for one that does not is told so.

        Raises `InputError` ``field-invalid`` when they are too many for one question.
        """
        chosen = [each for each in containers if each.state in RUNNING and not each.stale] or containers
        if len(chosen) > MOST_CONTAINERS:
            reason = f"it names {len(chosen)} containers, and {MOST_CONTAINERS} are possible at once"
            raise InputError("field-invalid", field="name", reason=reason)
        async with asyncio.TaskGroup() as group:
            asked = [tasks.spawn(group, self._one(each), f"statistics of {each.id}") for each in chosen]
        return [each.result() for each in asked]

    async def _one(self, container: Container) -> UsageResult:
        known = UsageResult(id=container.id, name=container.name, vm=container.vm, vm_name=container.vm_name)
        try:
            with self._mistakes.told(f"statistics of {container.id}", besides=RoadsteadError):
                return replace(known, ok=True, usage=await self._usage(container))
        except RoadsteadError as error:
            return replace(known, code=error.code, message=str(error))

    async def _usage(self, container: Container) -> Usage:
        """Sample twice. Nobody's turn is taken up by the time between."""
        first = await self._sample(container)
        await asyncio.sleep(self._apart_seconds)
        return statistics.usage(first, await self._sample(container))

    async def _sample(self, container: Container) -> statistics.Sample:
        async with self._turns.turn(container.vm):
            with self._engines.asking(container.vm) as engine:
                return await engine.sample(container.engine_id)
