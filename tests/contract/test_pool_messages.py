"""Messages about VMs that cannot be monitored, as other clients see them: one for each, as long as it lasts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from roadstead.app.core import Core
from roadstead.lab.pool.accounts import DIRECTORY
from roadstead.model import VmId
from roadstead.settings.schema import AlertSettings
from tests.contract.clients import TITLE, alerts, asked
from tests.contract.world import PATIENCE_SECONDS, QUICK, World, add, kept, lab, running, world

SOON = QUICK.model_copy(update={"alert": AlertSettings(after_seconds=0.3)})
pytestmark = pytest.mark.limit(60)


async def until_told(one: World, *names: str) -> list[str]:
    """Wait until the pool holds one message about each of these VMs and no other; return their bodies."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while [name for name, _ in await alerts(one.pool)] != sorted(names):
        assert time.monotonic() < deadline, f"messages about {names} were to come; instead: {await alerts(one.pool)}"
        await asyncio.sleep(0.05)
    return [body for _, body in await alerts(one.pool)]


def noting(one: World) -> list[str]:
    """The names of all messages that the pool makes from now on."""
    names: list[str] = []
    create = one.pool.core.messages.create

    def noted(fields: Mapping[str, Any]) -> str:
        names.append(str(fields["name"]))
        return create(fields)

    one.pool.core.messages.create = noted  # type: ignore[method-assign]
    return names


async def _recovers(one: World) -> None:
    await one.guest("vm-1").start()
    await one.until_live("vm-1")


async def _stops(one: World) -> None:
    await one.pool.stop_vm("vm-1")


async def _is_disabled(one: World) -> None:
    await one.core.commands.vms.disable(one.vm("vm-1").id)


async def _is_destroyed(one: World) -> None:
    await one.pool.destroy_vm("vm-1")


ENDS = {"recovers": _recovers, "stops": _stops, "is disabled": _is_disabled, "is destroyed": _is_destroyed}
End = Callable[[World], Awaitable[None]]


@pytest.mark.parametrize("end", list(ENDS.values()), ids=list(ENDS))
async def test_a_vm_that_cannot_be_monitored_has_one_message_until_it_is_over(tmp_path: Path, end: End) -> None:
    """With the cause and the remedy that Roadstead itself shows; two VMs with the same trouble have one each."""
    async with world(tmp_path, vms=3, settings=SOON) as one:
        names = noting(one)
        for name in ("vm-1", "vm-2"):
            await one.guest(name).stop()

        bodies = await until_told(one, "vm-1", "vm-2")

        for name, body in zip(("vm-1", "vm-2"), bodies, strict=True):
            link = one.vm(name).link
            assert link is not None
            assert link.problem is not None
            assert body == f"{link.problem.cause}\n{link.problem.remedy}\n({link.problem.code})"
        await end(one)
        await until_told(one, "vm-2")
        assert names.count(TITLE) == 2


@asynccontextmanager
async def _pool(folder: Path) -> AsyncIterator[World]:
    """A pool that nobody watches yet."""
    async with lab(folder, ["vm-1", "vm-2"]) as (pool, maker):
        yield World(pool, maker, None, None)  # type: ignore[arg-type]


@asynccontextmanager
async def _watched(one: World, state: Path, *, knows: bool = False) -> AsyncIterator[Core]:
    """A Roadstead with a state folder of its own, which ``knows`` the pool already or is told of it."""
    state.mkdir(exist_ok=True)
    async with kept(state) as database, running(SOON, database) as core:
        one.core, one.database = core, database
        if not knows:
            await add(one)
        yield core


@pytest.mark.parametrize("state", ["first", "second"], ids=["restarted", "another instance"])
async def test_whoever_watches_next_takes_the_message_over(tmp_path: Path, state: str) -> None:
    """While the trouble lasts there is no second message; a trouble that ended meanwhile takes its message along."""
    async with _pool(tmp_path) as one:
        async with _watched(one, tmp_path / "first"):
            await one.until_live("vm-1", "vm-2")
            names = noting(one)
            for name in ("vm-1", "vm-2"):
                await one.guest(name).stop()
            await until_told(one, "vm-1", "vm-2")
        await one.guest("vm-2").start()

        async with _watched(one, tmp_path / state, knows=state == "first"):
            await until_told(one, "vm-1")
            await one.until(lambda: one.problem("vm-1"), "vm-1 has its problem again")
            await _beyond_the_delay(one)
            assert names.count(TITLE) == 3, "one about each of the two, one about the late VM"
            await one.guest("vm-1").start()
            await until_told(one)


async def _beyond_the_delay(one: World) -> None:
    """Wait until a VM that fell ill after all others has its message: then theirs were due, too."""
    uuid = await one.pool.create_vm("late", containers=1, addresses=("127.89.99.99",))
    await one.until(lambda: VmId(uuid) in one.core.store.vms, "the late VM is seen")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while "late" not in [name for name, _ in await alerts(one.pool)]:
        assert time.monotonic() < deadline, "the late VM has no message"
        await asyncio.sleep(0.05)
    await one.pool.destroy_vm("late")


async def test_a_message_that_somebody_removed_stays_away(tmp_path: Path) -> None:
    """It has been read; the next trouble of the same VM is told again."""
    async with world(tmp_path, vms=2, settings=SOON) as one:
        names = noting(one)
        await one.guest("vm-1").stop()
        await until_told(one, "vm-1")

        await asked(one.pool, lambda api: [api.message.destroy(ref) for ref in _ours(api)])
        await _beyond_the_delay(one)

        assert names.count(TITLE) == 2, "one about vm-1, one about the late VM"
        await until_told(one)
        await _recovers(one)
        await one.guest("vm-1").stop()
        await until_told(one, "vm-1")


def _ours(api: Any) -> list[str]:
    return [ref for ref, message in api.message.get_all_records().items() if message["name"] == TITLE]


async def test_messages_that_went_with_the_master_are_raised_again(tmp_path: Path) -> None:
    """They are files of the old master; the trouble is there still."""
    async with world(tmp_path, vms=2, settings=SOON) as one:
        await one.guest("vm-1").stop()
        await until_told(one, "vm-1")
        ended = [ref for ref, message in one.pool.core.database.all("message") if message["name"] == TITLE]
        for ref in ended:
            one.pool.core.messages.destroy(ref)
        one.pool.end_sessions()
        await until_told(one, "vm-1")


async def test_an_account_that_may_not_is_the_pools_one_problem(tmp_path: Path) -> None:
    """The pool and its guests are watched as before; when the role is given again all is made good."""
    account, role = "pool-operator", "vm-operator"
    async with _pool(tmp_path) as one, kept(tmp_path) as database, running(SOON, database) as core:
        one.core, one.database = core, database
        await add(one, user=account)
        await one.until_live("vm-1", "vm-2")
        await _give_role(one, role)
        for name in ("vm-1", "vm-2"):
            await one.guest(name).stop()

        await one.until(lambda: one.seen_pool().live and one.seen_pool().problem, "the pool has a problem")

        problem = one.seen_pool().problem
        assert problem is not None
        assert problem.code == "pool-not-permitted"
        await _recovers(one)
        await _give_role(one, account)
        await until_told(one, "vm-2")
        await one.until(lambda: one.seen_pool().live and one.seen_pool().problem is None, "all is well")


async def _give_role(one: World, role: str) -> None:
    """Give the account another role, and have it sign in anew: that is when it counts."""

    def question(api: Any) -> None:
        (subject,) = [
            ref
            for ref, found in api.subject.get_all_records().items()
            if found["subject_identifier"] == DIRECTORY["pool-operator"].identifier
        ]
        for had in api.subject.get_roles(subject):
            api.subject.remove_from_roles(subject, had)
        api.subject.add_to_roles(subject, api.role.get_by_name_label(role)[0])

    await asked(one.pool, question)
    one.pool.end_sessions()
