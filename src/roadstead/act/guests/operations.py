"""Operations: what operators ask to be done to containers, with a result for each of them.

An operation only asks the engines; what it changes comes back as an observed fact, like anything else that changes.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from functools import partial
from typing import Any, Protocol

from msgspec.structs import replace

from roadstead.act.audit import CANCELLED, Audit
from roadstead.errors import InputError, NotFoundError, RoadsteadError
from roadstead.kit import clocks, tasks
from roadstead.kit.gates import Gate
from roadstead.kit.turns import Turns
from roadstead.model import ACTIONS, ContainerId, Operation, Result, VmId, split_container_id
from roadstead.peers.engine.client import EngineClient
from roadstead.settings.schema import ServerSettings

PARALLEL_TARGETS = 64
PARALLEL_PER_GUEST = 4
"""Each takes a channel of its own, and an SSH server gives ten (``MaxSessions``) unless told otherwise."""


class Targets(Protocol):
    """What operations need to know of containers."""

    def exists(self, container: ContainerId) -> bool:
        """Whether there is such a container."""

    def check(self, action: str, container: ContainerId) -> None:
        """Raise `ConflictError` for an action of which it is known that the engine cannot do it."""

    def asking(self, vm: VmId) -> AbstractContextManager[EngineClient]:
        """Hold the engine of a VM. Raises `ConflictError` or `LinkError` when it cannot be reached now."""


class Operations:
    """Runs operations and keeps them for a while after their end."""

    def __init__(self, targets: Targets, audit: Audit, settings: ServerSettings) -> None:
        self._targets = targets
        self._audit = audit
        self._settings = settings
        self._operations: dict[str, Operation] = {}
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._ended: dict[str, asyncio.Event] = {}
        self._gate = Gate(PARALLEL_TARGETS)
        self._guests: Turns[VmId] = Turns(PARALLEL_PER_GUEST)
        """Shared by all operations."""
        self._owner = tasks.Owner()

    async def run(self) -> None:
        """Own the operations' tasks until cancelled."""
        await self._owner.run()

    def start(self, action: str, targets: Sequence[str], by: str) -> Operation:
        """Begin ``action`` on all ``targets`` (container ids) and return the operation; never waits.

        Raises `InputError` ``action-unknown``, ``field-invalid`` (no or too many targets) or `NotFoundError`
        ``no-such-container``; then nothing was begun.
        """
        self._owner.must_run()
        try:
            chosen = self._checked(action, targets)
        except RoadsteadError as error:
            self._audit.note(action, ", ".join(targets[:1]), error.code)
            raise
        self._forget_old()
        results = tuple(Result(target=target) for target in chosen)
        operation = Operation(
            id=secrets.token_hex(8), action=action, state="running", results=results, started=clocks.now(), by=by
        )
        self._operations[operation.id] = operation
        self._ended[operation.id] = asyncio.Event()
        task = self._owner.start(
            partial(self._run, operation.id), f"operation {operation.id}", partial(self._broke, operation.id)
        )
        # One that is cancelled before its first step never runs, but ends all the same.
        task.add_done_callback(partial(self._finish, operation.id))
        self._tasks[operation.id] = task
        return operation

    def get(self, operation: str) -> Operation:
        """Return the operation as it stands. Raises `NotFoundError` ``no-such-operation``."""
        found = self._operations.get(operation)
        if found is None:
            raise NotFoundError("no-such-operation", name=operation)
        return found

    def all(self) -> list[Operation]:
        """Return all operations that are kept, the newest first."""
        return sorted(self._operations.values(), key=lambda operation: operation.started, reverse=True)

    async def wait(self, operation: str, seconds: float) -> Operation:
        """Wait until the operation has ended, at most ``seconds``; return it as it then stands."""
        self.get(operation)
        try:
            async with asyncio.timeout(seconds):
                await self._ended[operation].wait()
        except TimeoutError:
            pass
        return self.get(operation)

    def cancel(self, operation: str) -> Operation:
        """Stop waiting for targets that have not answered; what the engines were told cannot be called back."""
        self.get(operation)
        self._tasks[operation].cancel()
        return self.get(operation)

    async def act(self, action: str, container: ContainerId) -> None:
        """Do ``action`` to one container in its turn, without an operation; raises what stands in the way."""
        vm, engine_id = split_container_id(container)
        async with self.turn(vm):
            with self._targets.asking(vm) as engine:
                self._targets.check(action, container)
                await engine.act(action, engine_id)

    @asynccontextmanager
    async def turn(self, vm: VmId) -> AsyncIterator[None]:
        """Wait for a place among those who ask the guest ``vm`` something on a channel of their own."""
        # The guest's gate first: who waits for a slow guest takes no place away from the others.
        async with self._guests.of(vm), self._gate():
            yield

    # ---- pieces

    def _checked(self, action: str, targets: Sequence[str]) -> list[ContainerId]:
        if action not in ACTIONS:
            raise InputError("action-unknown", action=action, known=", ".join(ACTIONS))
        limit = self._settings.operation_targets
        if not 1 <= len(targets) <= limit:
            raise InputError("field-invalid", field="targets", reason=f"between 1 and {limit} are possible")
        chosen = [ContainerId(target) for target in dict.fromkeys(targets)]
        for target in chosen:
            if not self._targets.exists(target):
                raise NotFoundError("no-such-container", name=target)
        return chosen

    async def _run(self, id: str) -> None:
        async with asyncio.TaskGroup() as group:
            for place, result in enumerate(self._operations[id].results):
                tasks.spawn(group, self._one(id, place), f"operation {id} on {result.target}")

    async def _one(self, id: str, place: int) -> None:
        operation = self._operations[id]
        target = operation.results[place].target
        result = Result(target=target, ok=True)
        try:
            with self._owner.mistakes.told(f"operation {id} on {target}", besides=RoadsteadError):
                await self.act(operation.action, ContainerId(target))
        except RoadsteadError as error:
            result = Result(target=target, ok=False, code=error.code, message=str(error))
        self._audit.note(operation.action, target, result.code)
        self._put(id, place, result)

    def _broke(self, id: str, error: RoadsteadError) -> None:
        """The operation itself has come to an end in the middle: what is without a result shares its own."""
        for place, result in enumerate(self._operations[id].results):
            if result.ok is None:
                self._put(id, place, replace(result, ok=False, code=error.code, message=str(error)))

    def _put(self, id: str, place: int, result: Result) -> None:
        operation = self._operations[id]
        results = (*operation.results[:place], result, *operation.results[place + 1 :])
        self._operations[id] = replace(operation, results=results)

    def _finish(self, id: str, task: asyncio.Task[None]) -> None:
        operation = self._operations[id]
        results = tuple(self._ended_result(operation.action, result) for result in operation.results)
        state: Any = "cancelled" if task.cancelled() else "done"
        self._operations[id] = replace(operation, state=state, results=results, ended=clocks.now())
        self._ended[id].set()

    def _ended_result(self, action: str, result: Result) -> Result:
        if result.ok is not None:
            return result
        self._audit.note(action, result.target, CANCELLED)
        return replace(result, ok=False, code=CANCELLED, message="Cancelled before the engine answered.")

    def _forget_old(self) -> None:
        now = clocks.now()
        kept = self._settings.operations_kept_seconds
        for id, operation in list(self._operations.items()):
            if operation.ended is not None and (now - operation.ended).total_seconds() > kept:
                for table in (self._operations, self._tasks, self._ended):
                    table.pop(id, None)
