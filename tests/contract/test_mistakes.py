"""A mistake of ours, wherever it is made, ends that one thing, with the code ``internal``: all others go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog

from roadstead.act.audit import Audit
from roadstead.act.preparing.over_tls import Wish
from roadstead.artifacts import certificates
from roadstead.errors import RoadsteadError
from roadstead.lab.pool.driver import NewVm
from roadstead.model import Container
from roadstead.peers.engine import events
from roadstead.peers.engine.client import EngineClient
from roadstead.peers.engine.http import Reader
from roadstead.peers.links.tls import TlsStream
from roadstead.watch.pool import PoolWatcher
from tests.contract.world import PATIENCE_SECONDS, World, world


async def test_in_a_check_it_is_that_checks_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the step that was under way, the traceback in the log."""
    hello = EngineClient.hello

    async def stumble(engine: Any) -> Any:
        if is_a_checks(engine):
            raise ZeroDivisionError
        return await hello(engine)

    async with world(tmp_path) as one:
        monkeypatch.setattr(EngineClient, "hello", stumble)
        with structlog.testing.capture_logs() as logs:
            for _ in range(2):
                found = [each async for each in one.core.commands.checks.start(one.vm("vm-1").id).findings()]
                assert [each.code for each in found if each.state == "failed"] == ["internal"]
        assert logged(logs) == ["ZeroDivisionError"]
        entries = await one.core.commands.audit.recent(2)
        assert [(entry.what, entry.code) for entry in entries] == [("check", "internal")] * 2
        await goes_on(one)


async def test_in_an_operation_it_is_that_containers_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other containers have theirs."""
    act = EngineClient.act
    async with world(tmp_path) as one:
        bad, good = (running(one, name) for name in ("vm-1", "vm-2"))

        async def stumble(engine: Any, action: str, engine_id: str) -> None:
            if engine_id == bad.engine_id:
                raise ZeroDivisionError
            await act(engine, action, engine_id)

        monkeypatch.setattr(EngineClient, "act", stumble)
        with structlog.testing.capture_logs() as logs:
            assert await codes_of(one, "pause", bad, good) == ["internal", ""]
        assert logged(logs) == ["ZeroDivisionError"]
        monkeypatch.undo()
        assert await codes_of(one, "pause", bad) == [""]
        await goes_on(one)


async def test_in_the_middle_of_an_operation_it_is_the_result_of_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends, and the next one is done."""
    async with world(tmp_path) as one:
        containers = [running(one, name) for name in ("vm-1", "vm-2")]
        monkeypatch.setattr(Audit, "note", _stumble)
        with structlog.testing.capture_logs() as logs:
            assert await codes_of(one, "pause", *containers) == ["internal", "internal"]
        assert len(logged(logs)) == 1
        monkeypatch.undo()
        assert await codes_of(one, "unpause", *containers) == ["", ""]
        await goes_on(one)


async def test_in_statistics_it_is_that_containers_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other containers have theirs."""
    sample = EngineClient.sample
    async with world(tmp_path) as one:
        bad, good = (running(one, name) for name in ("vm-1", "vm-2"))

        async def stumble(engine: Any, engine_id: str) -> Any:
            if engine_id == bad.engine_id:
                raise ZeroDivisionError
            return await sample(engine, engine_id)

        monkeypatch.setattr(EngineClient, "sample", stumble)
        usages = await one.core.commands.usages.of([bad, good])
        assert [(usage.ok, usage.code) for usage in usages] == [(False, "internal"), (True, "")]


async def test_while_certificates_are_made_it_is_that_preparations_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asked for them is told."""
    async with world(tmp_path) as one:
        monkeypatch.setattr(certificates, "make", _stumble)
        with pytest.raises(RoadsteadError) as caught, structlog.testing.capture_logs() as logs:
            await one.core.commands.certificates.make(one.vm("vm-1").id, Wish())
        assert (caught.value.code, logged(logs)) == ("internal", ["ZeroDivisionError"])
        await goes_on(one)


async def test_while_a_pool_is_watched_it_is_that_pools_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is signed in to anew; its guests are watched all the time."""
    async with world(tmp_path) as one:
        before = one.since()
        monkeypatch.setattr(PoolWatcher, "_taken", _stumble)
        await one.pool.make_vm(NewVm("vm-3", 1))
        await one.until(lambda: one.seen_pool().problem, "the pool has a problem")
        problem = one.seen_pool().problem
        assert problem is not None
        assert problem.code == "internal"
        await one.until_live("vm-1", "vm-2")
        monkeypatch.undo()
        await one.until_live("vm-3")
        assert one.since().items() >= before.items()


def _in_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "read_event", _stumble)


def _in_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reader, "on_body", _stumble)


def _in_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TlsStream, "_received", _stumble)


@pytest.mark.parametrize(
    ("is_tls", "make"),
    [
        pytest.param(False, _in_an_event, id="event-ssh"),
        pytest.param(True, _in_an_event, id="event-tls"),
        pytest.param(False, _in_an_answer, id="answer-ssh"),
        pytest.param(True, _in_an_answer, id="answer-tls"),
        pytest.param(True, _in_a_record, id="record-tls"),
    ],
)
async def test_while_a_guest_is_heard_it_is_that_guests_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[pytest.MonkeyPatch], None], *, is_tls: bool
) -> None:
    """What it says is read in callbacks, and still the mistake is told, and the guest read anew."""
    async with world(tmp_path, is_tls=is_tls) as one:
        with structlog.testing.capture_logs() as logs:
            make(monkeypatch)
            one.change("vm-1")
            await one.until_problem("vm-1", "internal")
            monkeypatch.undo()
            await one.until_live("vm-1")
        assert set(logged(logs)) <= {"ZeroDivisionError", "Mistake"}
        assert logged(logs)
        await goes_on(one)


def _stumble(*_: Any) -> None:
    raise ZeroDivisionError


async def codes_of(one: World, action: str, *containers: Container) -> list[str]:
    """Do it, wait for its end, and return what came of it for each."""
    operations = one.core.commands.operations
    begun = operations.start(action, [each.id for each in containers], "ann")
    return [result.code for result in (await operations.wait(begun.id, PATIENCE_SECONDS)).results]


def is_a_checks(engine: Any) -> bool:
    """Whether this client is one that a check made, not a guest's own."""
    return type(vars(engine)["_link"]).__name__ == "_Watched"


def running(one: World, name: str) -> Container:
    """A container of the VM that runs."""
    return next(each for each in one.containers(name).values() if each.state == "running")


def logged(logs: Any) -> list[str]:
    """The mistakes in these lines of the log."""
    return [type(entry["exc_info"]).__name__ for entry in logs if entry["log_level"] == "error"]


async def goes_on(one: World) -> None:
    """All guests are watched as ever."""
    for name in ("vm-1", "vm-2"):
        one.change(name)
    await one.until_true()
