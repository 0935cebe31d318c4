"""Walks along the path to a VM's engine while somebody looks on, to find out where it ends.

It is the same path that links take, by the same code: a check that went its own way would tell lies. But its connection
is its own, is closed at its end, and nothing that it learns is kept: no pin, no state, no address. It works for a VM
that is not enabled, too.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from roadstead.act.audit import Audit
from roadstead.act.guests.known import known
from roadstead.act.guests.walks import Walk, Walked
from roadstead.act.guests.ways import Kind, Ways
from roadstead.errors import ConflictError, EngineError, LinkError, RoadsteadError
from roadstead.kit import tasks
from roadstead.kit.gates import Budget
from roadstead.kit.streams import Link, Receiver, Stream
from roadstead.model import PathStep, Snapshot, StepFinding, Vm, VmId
from roadstead.peers.engine.client import EngineClient
from roadstead.peers.links import plain
from roadstead.settings.schema import Settings

PARALLEL = 8
"""How many checks may be under way at once: each is a person who waits."""
WHOLE_SECONDS = 120.0
"""Limit on the whole path; each of its steps has the one that links have."""
PLAIN_SECONDS = 2.0
"""How long an engine without TLS is looked for."""


@dataclass(frozen=True, slots=True)
class Means:
    """What checks work with."""

    ways: Ways
    budget: Budget
    settings: Settings
    names: Callable[[VmId], Mapping[str, str]]


class Check:
    """One check. Its findings are few, so they wait for their reader without a bound."""

    def __init__(self) -> None:
        self._findings: asyncio.Queue[StepFinding | None] = asyncio.Queue()
        self._task: asyncio.Task[Any] | None = None

    def runs_as(self, task: asyncio.Task[Any]) -> None:
        """``task`` does it."""
        self._task = task
        task.add_done_callback(lambda _: self._findings.put_nowait(None))

    def tell(self, finding: StepFinding) -> None:
        """A step was done."""
        self._findings.put_nowait(finding)

    async def findings(self) -> AsyncGenerator[StepFinding, None]:
        """Yield them as they come; whoever stops reading stops the check.

        Raises `ConflictError` ``shutting-down`` when it was stopped before its end.
        """
        try:
            while (finding := await self._findings.get()) is not None:
                yield finding
            if self._task is not None and self._task.cancelled():
                raise ConflictError("shutting-down")
        finally:
            if self._task is not None:
                self._task.cancel()


class Checks:
    """Runs checks, a few at once."""

    def __init__(self, snapshot: Snapshot, means: Means, audit: Audit) -> None:
        self._snapshot = snapshot
        self._means = means
        self._audit = audit
        self._owner = tasks.Owner()
        self._running = 0

    async def run(self) -> None:
        """Own the checks' tasks until cancelled."""
        await self._owner.run()

    def start(self, vm_id: VmId) -> Check:
        """Begin to check the path to a VM; never waits.

        Raises `NotFoundError` ``no-such-vm``, `ConflictError` ``too-many-checks`` or ``shutting-down``.
        """
        vm = known(self._snapshot, vm_id)
        self._owner.must_run()
        if self._running >= PARALLEL:
            raise ConflictError("too-many-checks", limit=PARALLEL)
        check = Check()
        kind = self._means.ways.of(vm)
        walk = Walk(kind.steps, check.tell, self._means.names(vm.id))
        task = self._owner.start(partial(self._checked, vm, kind, walk), f"check {vm_id}", walk.fails)
        self._running += 1
        task.add_done_callback(self._ended)
        check.runs_as(task)
        return check

    def _ended(self, _: object) -> None:
        self._running -= 1

    async def _checked(self, vm: Vm, kind: Kind, walk: Walk) -> None:
        with self._audit.of("check", vm.id):
            await _Walker(self._means, vm, kind, walk).walk()


class _Walker:
    """Walks along one VM's path, step by step."""

    def __init__(self, means: Means, vm: Vm, kind: Kind, walk: Walk) -> None:
        self._means = means
        self._vm = vm
        self._kind = kind
        self._walk = walk

    async def walk(self) -> None:
        """Walk to the end, or to the step that fails; then look for an engine that lets in everybody."""
        try:
            async with asyncio.timeout(WHOLE_SECONDS):
                await self._whole()
        except TimeoutError:
            step, addresses = self._walk.next, ", ".join(self._walk.addresses)
            self._walk.fails(LinkError("timed-out", step=f"checking the {step}", addresses=addresses), step)
        except RoadsteadError as error:
            self._walk.fails(error)
        if self._walk.addresses:
            await self._plain_port()

    async def _whole(self) -> None:
        if PathStep.POWER in self._walk.steps:
            self._power()
        walked = await self._kind.walk(self._vm.id, self._walk)
        try:
            await self._engine(walked)
        finally:
            walked.link.close()

    def _power(self) -> None:
        if not self._vm.running:
            raise ConflictError("vm-off", vm=self._vm.name)
        where = f"running on {self._vm.host_name}" if self._vm.host_name else "running"
        self._walk.ok(PathStep.POWER, where if self._vm.enabled else f"{where}; not enabled, checked all the same")

    async def _engine(self, walked: Walked) -> None:
        watched = _Watched(walked.link, lambda: self._reached(walked))
        client = EngineClient(watched, self._vm.id, self._means.settings.engine, self._means.budget)
        try:
            hello = await client.hello()
            if PathStep.CLIENT_CERTIFICATE in self._walk.steps:
                self._walk.ok(PathStep.CLIENT_CERTIFICATE, "accepted")
            engine = hello.engine
            self._walk.ok(PathStep.API_VERSION, f"{engine.api_version}, of {engine.name} {engine.version}")
            listing = await client.containers()
            if listing.hidden:
                raise EngineError("engine-too-large", hidden=listing.hidden, total=listing.total)
            self._walk.ok(PathStep.CONTAINERS, f"{listing.total} listed")
        finally:
            client.close()

    def _reached(self, walked: Walked) -> None:
        """The first stream to the engine was opened: who opens a socket finds it, and may."""
        if PathStep.RELAY in self._walk.steps:
            self._walk.ok(PathStep.RELAY, walked.link.relay)
        if PathStep.SOCKET in self._walk.steps:
            self._walk.ok(PathStep.SOCKET, walked.socket)
            self._walk.ok(PathStep.PERMISSION, f"{walked.user} may open it")

    async def _plain_port(self) -> None:
        self._walk.rests()
        looks = [plain.look(address, plain.PORT, PLAIN_SECONDS) for address in self._walk.addresses]
        found = [error for error in await asyncio.gather(*looks) if error is not None]
        if not found:
            self._walk.ok(PathStep.PLAIN_PORT, f"no engine without TLS at {plain.PORT}")
            return
        addresses = ", ".join(error.fields["addresses"] for error in found)
        self._walk.fails(LinkError(found[0].code, addresses=addresses, port=plain.PORT), PathStep.PLAIN_PORT)


class _Watched:
    """A link that tells when the first stream in it was opened."""

    def __init__(self, link: Link, opened: Callable[[], None]) -> None:
        self._link = link
        self._opened: Callable[[], None] | None = opened

    def __getattr__(self, name: str) -> Any:
        return getattr(self._link, name)

    async def open(self, receiver: Receiver) -> Stream:
        """See `Link`."""
        stream = await self._link.open(receiver)
        opened, self._opened = self._opened, None
        if opened is not None:
            opened()
        return stream
