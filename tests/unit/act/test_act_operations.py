"""Operations: a result for each target, nothing begun for a wrong request, nobody held up by somebody else's guest."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any, cast

import pytest

from roadstead.act.audit import Actor, Audit, acting
from roadstead.act.guests.operations import PARALLEL_PER_GUEST, Operations
from roadstead.errors import ConflictError, EngineError, InputError, LinkError, NotFoundError, RoadsteadError
from roadstead.kit import tasks
from roadstead.model import ACTIONS, ContainerId, Operation, Result, VmId, container_id
from roadstead.peers.database.client import Database
from roadstead.peers.engine.client import EngineClient
from roadstead.settings.schema import AuditSettings, ServerSettings
from tests.unit.fakes import records
from tests.unit.fakes.databases import FakeDatabase
from tests.unit.fakes.ways import keep_virtual_time

pytestmark = pytest.mark.looptime
HOUR_SECONDS = 3600


@pytest.fixture(autouse=True)
def _virtual_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of day is the loop's."""
    keep_virtual_time(monkeypatch)


class Engines:
    """Engines that take their time: what is asked of them, and how much at once."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        """How long an action takes, by VM; one second if it is not said."""
        self.errors: dict[str, RoadsteadError] = {}
        """What becomes of a container, by its id."""
        self.unreachable: dict[str, RoadsteadError] = {}
        """Why a VM has no engine now."""
        self.done: list[tuple[str, str]] = []
        self.most: Counter[str] = Counter()
        self._busy: defaultdict[str, int] = defaultdict(int)

    def exists(self, container: ContainerId) -> bool:
        return not container.endswith("nothing")

    def check(self, action: str, container: ContainerId) -> None:
        if action == "pause" and container.endswith("frozen"):
            raise ConflictError("pause-unsupported", container=container, action=action)

    @contextmanager
    def asking(self, vm: VmId) -> Iterator[EngineClient]:
        if error := self.unreachable.get(vm):
            raise error
        yield cast("EngineClient", _Engine(self, vm))

    async def act(self, vm: VmId, action: str, engine_id: str) -> None:
        """Do it."""
        self._busy[vm] += 1
        self.most[vm] = max(self.most[vm], self._busy[vm])
        try:
            await asyncio.sleep(self.seconds.get(vm, 1.0))
        finally:
            self._busy[vm] -= 1
        if error := self.errors.get(container_id(vm, engine_id)):
            raise error
        self.done.append((action, container_id(vm, engine_id)))


class _Engine:
    def __init__(self, engines: Engines, vm: VmId) -> None:
        self._engines = engines
        self._vm = vm

    async def act(self, action: str, engine_id: str) -> None:
        await self._engines.act(self._vm, action, engine_id)


@pytest.fixture
def engines() -> Engines:
    """Engines that do what they are told."""
    return Engines()


def _audit() -> Audit:
    return Audit(cast("Database", FakeDatabase()), AuditSettings())


@asynccontextmanager
async def _running(engines: Engines, audit: Audit | None = None, **settings: Any) -> AsyncIterator[Operations]:
    operations = Operations(engines, audit or _audit(), ServerSettings(**settings))
    async with asyncio.TaskGroup() as group:
        task = tasks.spawn(group, operations.run(), "operations")
        await asyncio.sleep(0)
        yield operations
        await tasks.stop(task)


def _targets(count: int, vm: str = records.VM) -> list[str]:
    return [container_id(VmId(vm), records.engine_id(number)) for number in range(count)]


def _oks(operation: Operation) -> list[bool | None]:
    return [result.ok for result in operation.results]


# ---- a result for each


@pytest.mark.parametrize("action", ACTIONS)
async def test_every_action_is_done_to_every_target(engines: Engines, action: str) -> None:
    """The operation begins at once and has its results when all have answered."""
    async with _running(engines) as operations:
        begun = operations.start(action, _targets(3), by="ann")
        assert (begun.state, begun.action, begun.by, begun.ended) == ("running", action, "ann", None)
        assert [result.target for result in begun.results] == _targets(3)
        assert _oks(begun) == [None, None, None]
        ended = await operations.wait(begun.id, 60)
        assert (ended.state, _oks(ended)) == ("done", [True, True, True])
        assert ended.started == records.at(0)
        assert ended.ended == records.at(1)
        assert engines.done == [(action, target) for target in _targets(3)]


async def test_one_that_fails_fails_alone(engines: Engines) -> None:
    """Its result has the code and the words of the engine; the others are done."""
    first, second, third = _targets(3)
    engines.errors[second] = EngineError("engine-refused", reason="container is paused")
    async with _running(engines) as operations:
        ended = await operations.wait(operations.start("stop", [first, second, third], by="").id, 60)
        assert (ended.state, _oks(ended)) == ("done", [True, False, True])
        assert ended.results[1].code == "engine-refused"
        assert "container is paused" in ended.results[1].message


@pytest.mark.parametrize(
    "error", [ConflictError("vm-off"), ConflictError("vm-not-enabled"), LinkError("vm-not-live")], ids=lambda e: e.code
)
async def test_a_vm_that_cannot_be_reached_is_a_result_too(engines: Engines, error: RoadsteadError) -> None:
    """Its containers fail with the reason; those of other VMs are done."""
    engines.unreachable["away"] = error
    async with _running(engines) as operations:
        begun = operations.start("stop", _targets(2, "away") + _targets(1), by="")
        ended = await operations.wait(begun.id, 60)
        assert [result.code for result in ended.results] == [error.code, error.code, ""]


async def test_results_come_one_by_one(engines: Engines) -> None:
    """Who asks meanwhile sees what has become of each so far."""
    engines.seconds["slow"] = 100
    async with _running(engines) as operations:
        begun = operations.start("stop", _targets(1, "slow") + _targets(1), by="")
        half = await operations.wait(begun.id, 10)
        assert asyncio.get_running_loop().time() == 10
        assert (half.state, _oks(half), half.ended) == ("running", [None, True], None)


async def test_a_target_named_twice_is_one(engines: Engines) -> None:
    """It is asked once, and has one result."""
    target = _targets(1)[0]
    async with _running(engines) as operations:
        ended = await operations.wait(operations.start("restart", [target, target], by="").id, 60)
        assert ended.results == (Result(target=target, ok=True),)
        assert len(engines.done) == 1


# ---- wrong requests


@pytest.mark.parametrize(
    ("action", "targets", "kind", "code"),
    [
        pytest.param("explode", _targets(1), InputError, "action-unknown", id="unknown-action"),
        pytest.param("../start", _targets(1), InputError, "action-unknown", id="path-as-action"),
        pytest.param("stop", [], InputError, "field-invalid", id="no-target"),
        pytest.param("stop", _targets(11), InputError, "field-invalid", id="too-many"),
        pytest.param("stop", [*_targets(1), "vm-1/nothing"], NotFoundError, "no-such-container", id="unknown-target"),
    ],
)
async def test_a_wrong_request_begins_nothing(
    engines: Engines, action: str, targets: Sequence[str], kind: type[RoadsteadError], code: str
) -> None:
    """Not even for the targets that are right."""
    async with _running(engines, operation_targets=10) as operations:
        with pytest.raises(kind) as caught:
            operations.start(action, targets, by="")
        assert caught.value.code == code
        await asyncio.sleep(10)
        assert (engines.done, operations.all()) == ([], [])


async def test_an_unknown_operation_is_not_found(engines: Engines) -> None:
    """Whatever is asked about it."""
    async with _running(engines) as operations:
        for ask in (operations.get, operations.cancel):
            with pytest.raises(NotFoundError, match="no operation abc"):
                ask("abc")
        with pytest.raises(NotFoundError):
            await operations.wait("abc", 1)


# ---- cancelling


async def test_cancelling_waits_for_nobody(engines: Engines) -> None:
    """What has answered keeps its result, what has not is told as cancelled, what was not yet asked is not asked."""
    engines.seconds["slow"] = 100
    async with _running(engines) as operations:
        begun = operations.start("stop", _targets(1) + _targets(10, "slow"), by="")
        await asyncio.sleep(10)
        operations.cancel(begun.id)
        ended = await operations.wait(begun.id, 60)
        assert asyncio.get_running_loop().time() == 10
        assert ended.state == "cancelled"
        assert ended.ended == records.at(10)
        assert _oks(ended) == [True] + [False] * 10
        assert {result.code for result in ended.results[1:]} == {"cancelled"}
        await asyncio.sleep(1000)
        assert len(engines.done) == 1


async def test_cancelling_at_once_ends_it_too(engines: Engines) -> None:
    """Also before its first step was made."""
    async with _running(engines) as operations:
        begun = operations.start("stop", _targets(3), by="")
        operations.cancel(begun.id)
        ended = await operations.wait(begun.id, 60)
        assert (ended.state, _oks(ended)) == ("cancelled", [False] * 3)
        assert engines.done == []


async def test_cancelling_what_has_ended_changes_nothing(engines: Engines) -> None:
    """It stays done."""
    async with _running(engines) as operations:
        begun = operations.start("stop", _targets(1), by="")
        ended = await operations.wait(begun.id, 60)
        operations.cancel(begun.id)
        await asyncio.sleep(1)
        assert operations.get(begun.id) == ended


async def test_the_end_of_the_server_ends_operations(engines: Engines) -> None:
    """They are told as cancelled, and new ones are refused."""
    engines.seconds[records.VM] = 100
    async with _running(engines) as operations:
        begun = operations.start("stop", _targets(1), by="")
        await asyncio.sleep(1)
    assert operations.get(begun.id).state == "cancelled"
    with pytest.raises(ConflictError, match="stopping"):
        operations.start("stop", _targets(1), by="")


# ---- how much at once


async def test_one_guest_is_asked_a_few_things_at_once(engines: Engines) -> None:
    """Each takes a channel of its own, and an SSH server gives ten: however many operations there are."""
    async with _running(engines) as operations:
        begun = [operations.start(action, _targets(20), by="") for action in ("stop", "start", "restart")]
        for operation in begun:
            ended = await operations.wait(operation.id, 600)
            assert _oks(ended) == [True] * 20
        assert engines.most[records.VM] == PARALLEL_PER_GUEST
        assert asyncio.get_running_loop().time() == 60 / PARALLEL_PER_GUEST


async def test_guests_are_asked_side_by_side(engines: Engines) -> None:
    """A hundred containers on fifty guests take as long as two on one."""
    async with _running(engines) as operations:
        targets = [target for number in range(50) for target in _targets(2, f"vm-{number}")]
        ended = await operations.wait(operations.start("stop", targets, by="").id, 60)
        assert _oks(ended) == [True] * 100
        assert asyncio.get_running_loop().time() <= 2


async def test_a_slow_guest_holds_up_nobody(engines: Engines) -> None:
    """Hundreds of containers on one that does not answer, one on another: the other is done at once."""
    engines.seconds["slow"] = 120
    async with _running(engines) as operations:
        begun = operations.start("stop", _targets(300, "slow") + _targets(1), by="")
        await asyncio.sleep(2)
        assert operations.get(begun.id).results[-1].ok
        other = operations.start("stop", _targets(1, "another"), by="")
        assert (await operations.wait(other.id, 2)).state == "done"
        operations.cancel(begun.id)


# ---- remembering


async def test_operations_are_kept_for_an_hour_after_their_end(engines: Engines) -> None:
    """Later they are forgotten; one that still runs never is."""
    engines.seconds["slow"] = 5 * HOUR_SECONDS
    async with _running(engines) as operations:
        slow = operations.start("stop", _targets(1, "slow"), by="")
        first = operations.start("stop", _targets(1), by="")
        await asyncio.sleep(HOUR_SECONDS)
        second = operations.start("stop", _targets(1), by="")
        assert [operation.id for operation in operations.all()][:1] == [second.id]
        assert operations.get(first.id).state == "done"
        await asyncio.sleep(2)
        third = operations.start("stop", _targets(1), by="")
        assert {operation.id for operation in operations.all()} == {slow.id, second.id, third.id}
        with pytest.raises(NotFoundError):
            operations.get(first.id)


async def test_operations_are_told_the_newest_first(engines: Engines) -> None:
    """As people look for them."""
    async with _running(engines) as operations:
        ids = []
        for _ in range(3):
            ids.append(operations.start("stop", _targets(1), by="").id)
            await asyncio.sleep(1)
        assert [operation.id for operation in operations.all()] == ids[::-1]
        assert len(set(ids)) == 3
        newest, *_, oldest = operations.all()
        assert newest.started - oldest.started == timedelta(seconds=2)


# ---- the audit


async def test_every_target_is_noted(engines: Engines) -> None:
    """With what came of it, by whoever began the operation: also those that were cancelled, and what was refused."""
    audit = _audit()
    done, lost, slow = [*_targets(2), *_targets(1, "slow")]
    engines.errors[lost] = EngineError("engine-down")
    engines.seconds["slow"] = 1000.0
    async with _running(engines, audit) as operations:
        with acting(Actor("ann")):
            begun = operations.start("stop", [done, lost, slow], by="ann")
            with pytest.raises(InputError):
                operations.start("explode", [done], by="ann")
        await asyncio.sleep(10)
        operations.cancel(begun.id)
        await operations.wait(begun.id, 60)
        await operations.act("start", ContainerId(done))  # whoever asks for that notes it
    entries = await audit.recent(10)
    assert {(entry.who, entry.what, entry.target, entry.code) for entry in entries} == {
        ("ann", "explode", done, "action-unknown"),
        ("ann", "stop", done, ""),
        ("ann", "stop", lost, "engine-down"),
        ("ann", "stop", slow, "cancelled"),
    }
    assert len(entries) == 4
