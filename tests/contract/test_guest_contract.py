"""What holds for every guest, simulated or real: the same rules are run on both, through the whole of Roadstead."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from roadstead.act.guests.logs import Reading
from roadstead.act.guests.vms import Reach
from roadstead.errors import EngineError, NotFoundError
from roadstead.lab.guests.certificates import Authority
from roadstead.lab.guests.real import RealGuest
from roadstead.model import (
    Container,
    ContainerId,
    LinkState,
    LogEntry,
    LogWish,
    Operation,
    Result,
    container_id,
)
from roadstead.model.config_keys import ENABLED, ENGINE_SOCKET, MONITOR, SUDO
from roadstead.plan.pins import HOST_KEY
from roadstead.settings.schema import LinkSettings, Settings
from tests.contract.insides import Inside, RealInside, SimulatedInside, TlsInside
from tests.contract.world import CALM, PATIENCE_SECONDS, World, add, kept, lab, running
from tests.real.guests import CONTAINERS, RealSet

VM = "vm-1"
BOX = "box"
KILLED = 137
A_DAY = timedelta(days=1)
IMPATIENT = CALM.model_copy(update={"engine": CALM.engine.model_copy(update={"answer_seconds": 2.0})})


@dataclass
class Scene:
    """One VM that is watched, and its inside."""

    world: World
    inside: Inside

    def shown(self, name: str) -> Container | None:
        """A container as Roadstead shows it, or None."""
        return self.world.containers(VM).get(name)

    async def until_shown(self, name: str, state: str) -> Container:
        """Wait until a container is shown in this state, not stale."""

        def is_so() -> bool:
            found = self.shown(name)
            return found is not None and found.state == state and not found.stale

        await self.world.until(is_so, f"{name} is {state}, not {self.shown(name)}")
        found = self.shown(name)
        assert found is not None
        return found

    async def until_problem(self, code: str) -> None:
        """Wait until the VM is lost with this problem and all that is shown of it is stale."""
        await self.world.until_problem(VM, code)
        containers = self.world.containers(VM).values()
        assert containers
        assert all(one.stale and one.problem == code for one in containers)

    async def until_gone(self, name: str) -> None:
        """Wait until a container is no longer shown."""
        await self.world.until(lambda: self.shown(name) is None, f"{name} is gone")

    async def until_current(self) -> None:
        """Wait until the VM is live, and what is shown is what its engine says of itself."""
        await self.world.until(lambda: self.world.is_live(VM), f"{VM} is live")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self._shown() != await self._true():
                await asyncio.sleep(0.02)

    async def act(self, action: str, *names: str) -> list[Result]:
        """Do something to containers as an operator does, and return what became of each."""
        return list((await self.operate(action, [self.id_of(name) for name in names])).results)

    async def operate(self, action: str, targets: list[ContainerId]) -> Operation:
        """Carry out an operation to its end."""
        operations = self.world.core.commands.operations
        begun = operations.start(action, targets, "test")
        ended = await operations.wait(begun.id, PATIENCE_SECONDS)
        assert ended.state == "done"
        return ended

    def id_of(self, name: str) -> ContainerId:
        """The id of a container that is shown."""
        found = self.shown(name)
        assert found is not None, f"no {name} among {sorted(self.world.containers(VM))}"
        return found.id

    def possible(self, *steps: tuple[str, str]) -> list[tuple[str, str]]:
        """Those of these verbs, each with the state that it leads to, that the engine can do."""
        pausing = {"pause", "unpause"} if "pausing" in self.inside.lacks else set()
        return [(verb, state) for verb, state in steps if verb not in pausing]

    def _shown(self) -> set[tuple[str, str, str]]:
        containers = self.world.containers(VM).values()
        return {(one.engine_id, one.name, one.state) for one in containers if not one.stale}

    async def _true(self) -> set[tuple[object, object, object]]:
        return {(one["id"], one["name"], one["state"]) for one in await self.inside.truth()}


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.real)])
def real_ones(request: pytest.FixtureRequest) -> RealSet | None:
    """The real guests, or None where the test is run on a simulated one."""
    if request.param != "real":
        return None
    found: RealSet = request.getfixturevalue("real_set")
    for marker in request.node.iter_markers("needs"):
        if reason := found.row.lacks.get(marker.args[0]):
            pytest.skip(reason)
    return found


@pytest.fixture
def settings() -> Settings:
    """The server's settings; a test may be run with others."""
    return CALM


@pytest_asyncio.fixture
async def scene(real_ones: RealSet | None, tmp_path: Path, settings: Settings) -> AsyncIterator[Scene]:
    """A pool with one VM, which is live."""
    names = [VM] if real_ones is None else []
    async with (
        lab(tmp_path, names, CONTAINERS, hosts=2) as (pool, maker),
        kept(tmp_path) as database,
        running(settings, database) as core,
    ):
        world = World(pool, maker, core, database)
        await add(world)
        inside: Inside = SimulatedInside(maker.guests[1]) if real_ones is None else await _real(real_ones, world)
        made = Scene(world, inside)
        await made.until_current()
        yield made


async def _real(real_ones: RealSet, world: World) -> RealInside:
    """A real guest that the pool's key opens, announced by a VM."""
    (guest,) = await real_ones.take(1)
    pair = await world.core.commands.pools.key(world.pool_id)
    await guest.authorize((pair.public,))
    await world.pool.create_vm(VM, addresses=guest.addresses, user=guest.user, enabled=False)
    world.pool.set_key(VM, ENGINE_SOCKET, guest.socket if guest.socket != LinkSettings().engine_socket else "")
    world.pool.set_key(VM, SUDO, ENABLED if real_ones.row.sudo else "")
    if real_ones.row.is_tls:
        return await _secured(real_ones, world, guest)
    world.pool.set_key(VM, MONITOR, ENABLED)
    await world.until(lambda: any(vm.name == VM for vm in world.vms()), "the VM is found")
    return RealInside(guest, real_ones.row.relay, real_ones.row.lacks)


async def _secured(real_ones: RealSet, world: World, guest: RealGuest) -> TlsInside:
    """Its engine listens with TLS, the pool has the client's certificate, and the VM's mode says so."""
    authority = Authority("ours")
    inside = TlsInside(guest, real_ones.row.lacks, authority)
    await inside.regain()
    await world.until(lambda: any(vm.name == VM for vm in world.vms()), "the VM is found")
    await world.trust_tls(VM, authority)
    await world.core.commands.vms.enable(world.vm(VM).id, Reach(mode="tls"))
    return inside


async def test_a_guest_is_found_and_listed(scene: Scene, record_property: Callable[[str, object], None]) -> None:
    """A managed VM is reached, listed completely, described and pinned."""
    vm = scene.world.vm(VM)
    assert len(scene.world.containers(VM)) == CONTAINERS
    assert vm.engine is not None
    assert vm.engine.name == scene.inside.engine_name
    assert vm.link is not None
    record_property("engine", f"{vm.engine.name} {vm.engine.version}")
    record_property("api", vm.engine.api_version)
    record_property("relay", vm.link.relay)
    record_property("server", await scene.inside.server())
    assert vm.link.problem is None
    assert vm.link.address in vm.addresses
    assert vm.link.relay == scene.inside.relay


@pytest.mark.needs("host-keys")
async def test_its_host_key_is_pinned(scene: Scene) -> None:
    """The one that it was reached under is written into the pool, and stands with the link."""
    vm = scene.world.vm(VM)
    await scene.world.until(lambda: HOST_KEY in scene.world.vm(VM).settings, "pinned")
    keys = scene.world.core.commands.vms.host_keys(vm.id)
    assert keys.pinned == keys.shown
    assert vm.link is not None
    assert vm.link.host_key == (keys.pinned.fingerprint if keys.pinned else "")


async def test_a_life_is_followed(scene: Scene) -> None:
    """What is done elsewhere is seen at once, each step by itself: nothing else has to happen."""
    inside = scene.inside
    await inside.run(BOX)
    found = await scene.until_shown(BOX, "running")
    name = await _renamed(scene)
    assert scene.id_of(name) == found.id
    for verb, state in scene.possible(
        ("pause", "paused"),
        ("unpause", "running"),
        ("stop", "exited"),
        ("start", "running"),
        ("kill", "exited"),
    ):
        await inside.do(verb, name)
        await scene.until_shown(name, state)
    assert (await scene.until_shown(name, "exited")).exit_code == KILLED
    await inside.do("rm", name)
    await scene.until_gone(name)
    await scene.until_current()


async def _renamed(scene: Scene) -> str:
    """Rename the container, where the engine tells of it, and return what it is called now."""
    if "rename-events" in scene.inside.lacks:
        return BOX
    await scene.inside.rename(BOX, "crate")
    await scene.until_shown("crate", "running")
    assert scene.shown(BOX) is None
    return "crate"


@pytest.mark.needs("health")
async def test_health_is_followed(scene: Scene) -> None:
    """A change of health is seen at once, in both directions."""
    await scene.inside.run(BOX, probed=True)
    for health in ("healthy", "unhealthy", "healthy"):
        await scene.inside.become(BOX, health)
        await scene.world.until(lambda health=health: _health(scene) == health, health)  # type: ignore[misc]


@pytest.mark.needs("memory-limits")
async def test_a_container_without_memory_is_seen_to_end(scene: Scene) -> None:
    """A container that the kernel ends for want of memory is shown as ended by it."""
    await scene.inside.run(BOX, hungry=True)
    await scene.until_shown(BOX, "running")
    await scene.inside.exhaust(BOX)
    assert (await scene.until_shown(BOX, "exited")).exit_code == KILLED


@pytest.mark.needs("restarting")
async def test_a_restart_loop_is_shown(scene: Scene) -> None:
    """A container that ends again and again is seen to be restarting, with its exit code."""
    feed = scene.world.core.feed
    number = feed.number
    await scene.inside.loop(BOX, exit_code=3)

    def seen() -> list[Container]:
        records = [change.record for change in feed.after(number, 10_000) or ()]
        found = [one for one in records if isinstance(one, Container) and one.name == BOX]
        return [one for one in found if one.state == "restarting"]

    await scene.world.until(seen, "restarting")
    assert seen()[0].exit_code == 3
    await scene.inside.do("rm", BOX)
    await scene.until_gone(BOX)


@pytest.mark.needs("restarting")
@pytest.mark.parametrize("verb", ["stop", "kill", "rm"])
async def test_who_waits_for_a_restart_may_be_ended(scene: Scene, verb: str) -> None:
    """A container that is ended while it waits for its next start is seen to have ended, whether told or not."""
    await scene.inside.tire(BOX, exit_code=3)
    await scene.until_shown(BOX, "restarting")
    await scene.inside.do(verb, BOX)
    if verb == "rm":
        await scene.until_gone(BOX)
    else:
        await scene.until_shown(BOX, "exited")
    await scene.until_current()


async def test_what_changes_nothing_is_no_change(scene: Scene) -> None:
    """Commands in a container, looking at it, and signals that it does not mind leave its record as it was."""
    await scene.inside.run(BOX)
    await scene.until_shown(BOX, "running")
    # Podman tells when it started after it was seen to run: the record gets exact then.
    await scene.inside.run("first")
    await scene.until_shown("first", "running")
    before = scene.id_of(BOX)
    number = scene.world.core.feed.number
    for _ in range(3):
        await scene.inside.execute(BOX)
    await scene.inside.run("later")
    await scene.until_shown("later", "running")
    changes = scene.world.core.feed.after(number, 10_000) or ()
    assert [change.record for change in changes if change.id == before] == []
    await scene.until_current()


async def test_operations_change_containers(scene: Scene) -> None:
    """Each action has its effect, which is observed; that there was nothing to do is success."""
    await scene.inside.run(BOX)
    before = await scene.until_shown(BOX, "running")
    for action, state in scene.possible(
        ("pause", "paused"),
        ("unpause", "running"),
        ("start", "running"),
        ("stop", "exited"),
        ("stop", "exited"),
        ("start", "running"),
        ("restart", "running"),
    ):
        (result,) = await scene.act(action, BOX)
        assert result.ok, f"{action}: {result}"
        await scene.until_shown(BOX, state)
    await scene.world.until(lambda: _started(scene) != before.started, "started anew")
    await scene.until_current()


@pytest.mark.needs("pausing")
async def test_operations_tell_what_failed(scene: Scene) -> None:
    """Of many targets each has its own result; the engine's words stand in the message, and unknown ones are named."""
    for name in (BOX, "other"):
        await scene.inside.run(name)
        await scene.until_shown(name, "running")
    await scene.act("pause", BOX)
    await scene.until_shown(BOX, "paused")
    refused, done = await scene.act("pause", BOX, "other")
    assert (refused.ok, refused.code) == (False, "engine-refused")
    assert "paused" in refused.message
    assert done.ok
    gone = scene.id_of("other")
    await scene.inside.do("unpause", "other")
    await scene.inside.do("rm", "other")
    await scene.until_gone("other")
    with pytest.raises(NotFoundError) as unknown:
        await scene.operate("stop", [scene.id_of(BOX), gone])
    assert unknown.value.code == "no-such-container"
    assert scene.shown(BOX) is not None


async def test_a_lost_link_makes_stale_and_recovery_lists_anew(scene: Scene) -> None:
    """Containers stay visible with the time they were last known; what changed meanwhile is there afterwards."""
    await scene.inside.run(BOX)
    await scene.until_shown(BOX, "running")
    await scene.inside.lose()
    await scene.world.until(lambda: all(one.stale for one in scene.world.containers(VM).values()), "stale")
    link = scene.world.vm(VM).link
    assert link is not None
    assert link.state is not LinkState.LIVE
    for one in scene.world.containers(VM).values():
        assert link.heard is not None
        assert one.as_of <= link.heard <= link.since
    (refused,) = await scene.act("stop", BOX)
    assert (refused.ok, refused.code) == (False, "vm-not-live")
    await scene.inside.rename(BOX, "crate")
    await scene.inside.run("late")
    assert scene.shown("late") is None
    await scene.inside.regain()
    await scene.until_shown("crate", "running")
    await scene.until_shown("late", "running")
    assert scene.shown(BOX) is None
    await scene.until_current()
    assert scene.world.problem(VM) == ""


@pytest.mark.needs("rising-again")
async def test_an_engine_that_was_killed_is_listed_again(scene: Scene) -> None:
    """It has its problem until it answers again, and is followed as before."""
    await scene.inside.lose_engine()
    await scene.until_problem(scene.inside.down)
    await scene.inside.regain_engine()
    await scene.until_current()
    assert scene.world.problem(VM) == ""
    await scene.inside.run(BOX)
    await scene.until_shown(BOX, "running")


async def test_a_cut_network_is_told_and_heals(scene: Scene) -> None:
    """First that nobody answers, then that the VM is lost; what was done behind the cut is there afterwards."""
    await scene.inside.run(BOX)
    await scene.until_shown(BOX, "running")
    await scene.inside.cut()
    await scene.world.until_problem(VM, "no-answer")
    assert not any(one.stale for one in scene.world.containers(VM).values())
    await scene.world.until(lambda: not scene.world.is_live(VM), "lost")
    assert all(one.stale for one in scene.world.containers(VM).values())
    await scene.inside.rename(BOX, "crate")
    await scene.inside.restore()
    await scene.until_shown("crate", "running")
    await scene.until_current()
    assert scene.world.problem(VM) == ""


@pytest.mark.needs("host-keys")
async def test_another_host_key_waits_for_the_operator(scene: Scene) -> None:
    """Until the key that it shows was compared and confirmed; then that one is remembered."""
    await scene.world.until(lambda: HOST_KEY in scene.world.vm(VM).settings, "pinned")
    pin = scene.world.vm(VM).settings[HOST_KEY]
    await scene.inside.reinstall()
    await scene.until_problem("host-key-changed")
    await scene.world.confirm(VM)
    await scene.until_current()
    await scene.world.until(lambda: scene.world.vm(VM).settings.get(HOST_KEY) not in {None, pin}, "pinned anew")


async def test_a_vm_that_is_off_keeps_its_containers(scene: Scene) -> None:
    """Stale and without a problem; when it runs again it is listed anew."""
    await scene.world.pool.stop_vm(VM)
    await scene.inside.power_off()
    await scene.world.until(lambda: (link := scene.world.vm(VM).link) and link.state is LinkState.OFF, "off")
    await scene.world.until(lambda: all(one.stale for one in scene.world.containers(VM).values()), "stale")
    assert (len(scene.world.containers(VM)), scene.world.problem(VM)) == (CONTAINERS, "")
    await scene.inside.power_on()
    await scene.world.pool.start_vm(VM)
    await scene.until_current()


async def test_a_vm_that_moves_keeps_its_link(scene: Scene) -> None:
    """Its containers move along, and are followed as before."""
    before, link = scene.world.vm(VM).host, scene.world.vm(VM).link
    await scene.world.pool.migrate_vm(VM)
    await scene.world.until(lambda: scene.world.vm(VM).host not in {None, before}, "moved")
    assert {one.host for one in scene.world.containers(VM).values()} == {scene.world.vm(VM).host}
    await scene.inside.run(BOX)
    await scene.until_shown(BOX, "running")
    assert scene.world.vm(VM).link == link


async def test_a_vm_that_is_destroyed_is_gone(scene: Scene) -> None:
    """With its containers, and nobody tries to reach it any more, although what was inside may still answer."""
    vm = scene.world.vm(VM).id
    await scene.world.pool.destroy_vm(VM)
    await scene.world.until(lambda: vm not in scene.world.core.store.vms, "gone")
    assert not scene.world.core.store.containers_of(vm)
    assert scene.world.core.statistics()["links"]["guests"] == 0


@pytest.mark.needs("server-apart")
@pytest.mark.parametrize("settings", [IMPATIENT], ids=["impatient"])
async def test_an_engine_that_answers_late_is_told(scene: Scene) -> None:
    """One that takes requests and answers none has a problem when its time is over, and is listed when it answers."""
    await scene.inside.freeze_engine()
    try:
        await scene.inside.lose()
        await scene.inside.regain()
        await scene.until_problem("engine-timed-out")
    finally:
        await scene.inside.thaw_engine()
    await scene.until_current()
    assert scene.world.problem(VM) == ""


async def test_disabled_is_gone_and_enabled_is_back(scene: Scene) -> None:
    """Disabling takes the containers away and ends the link; enabling brings them back."""
    vms, vm = scene.world.core.commands.vms, scene.world.vm(VM).id
    await vms.disable(vm)
    await scene.world.until(lambda: not scene.world.containers(VM), "gone")
    assert scene.world.vm(VM).link is None
    assert scene.world.core.statistics()["links"]["guests"] == 0
    await scene.inside.run(BOX)
    await vms.enable(vm)
    await scene.until_shown(BOX, "running")
    await scene.until_current()


async def test_inspect_tells_everything(scene: Scene) -> None:
    """Inspecting gives what the engine says, of that container; the refusal where it is gone."""
    await scene.inside.run(BOX)
    found = await scene.until_shown(BOX, "running")
    vms = scene.world.core.commands.vms
    told = json.loads(await vms.inspect(found.id))
    assert told["Id"] == found.engine_id
    assert told["Name"] == f"/{BOX}"
    assert told["State"]["Running"]
    assert told["Config"]["Image"] == found.image
    with pytest.raises(EngineError, match=r"(?i)no such container"):
        await vms.inspect(container_id(scene.world.vm(VM).id, "0" * 64))


@pytest.mark.needs("usage")
async def test_usage_tells_what_a_container_takes(scene: Scene) -> None:
    """CPU between two samples, memory and processes of one that runs; why there is nothing of one that does not."""
    await scene.inside.run(BOX)
    found = await scene.until_shown(BOX, "running")
    usages = scene.world.core.commands.usages
    (told,) = await usages.of([found])
    assert told.ok, told.message
    assert told.id == found.id
    assert told.usage is not None
    assert told.usage.cpu_percent is not None
    # Counters and clock are not read in one moment; a rootless engine without control groups counts the whole guest.
    assert 0 <= told.usage.cpu_percent < 110 * (told.usage.cpus or 1)
    # Podman 3.0 tells no limit.
    assert 0 < (told.usage.memory_bytes or 0) < (told.usage.memory_limit_bytes or float("inf"))
    await scene.inside.do("kill", BOX)
    (ended,) = await usages.of([await scene.until_shown(BOX, "exited")])
    assert (ended.ok, ended.code, ended.usage) == (False, "container-not-running", None)


@pytest.mark.parametrize("tty", [False, True], ids=["frames", "terminal"])
async def test_logs_tell_what_a_container_wrote(scene: Scene, *, tty: bool) -> None:
    """Each stream by itself, with times, the last lines only; followed to the container's end."""
    await scene.inside.speak(BOX, tty=tty)
    found = await scene.until_shown(BOX, "running")
    logs = scene.world.core.commands.logs
    second = "stdout" if tty else "stderr"

    reading = await logs.open(found, LogWish(follow=True, timestamps=True))
    followed = await _entries(reading, 2)
    assert sorted((each.text, each.stream) for each in followed) == [("one", "stdout"), ("two", second)]
    assert all(abs(datetime.fromisoformat(each.time) - datetime.now(UTC)) < A_DAY for each in followed)
    for wish, texts in (
        (LogWish(), {"one", "two"}),
        (LogWish(streams=("stdout",)), {"one", "two"} if tty else {"one"}),
        (LogWish(streams=("stderr",)), set() if tty else {"two"}),
        (LogWish(since=datetime.now(UTC) + A_DAY), set()),
    ):
        whole = await logs.open(found, wish)
        assert {each.text for each in await _entries(whole)} == texts, wish
    assert len(await _entries(await logs.open(found, LogWish(tail=1)))) == 1
    await scene.inside.do("kill", BOX)
    assert await _entries(reading) == []
    assert logs.readers == 0


@pytest.mark.parametrize("tty", [False, True], ids=["frames", "terminal"])
async def test_who_follows_logs_goes_on_when_the_vm_is_back(scene: Scene, *, tty: bool) -> None:
    """Twice: what was said meanwhile is read, nothing is read twice, and that the VM was away is told."""
    await scene.inside.speak(BOX, tty=tty)
    found = await scene.until_shown(BOX, "running")
    reading = await scene.world.core.commands.logs.open(found, LogWish(follow=True))
    read = sorted(entry.text for entry in await _entries(reading, 2))
    for word in ("three", "four"):
        await scene.inside.lose()
        (lost,) = await _entries(reading, 1)
        assert (lost.stream, reading.is_ended) == ("notice", False)
        await scene.inside.say(BOX, word)
        await scene.inside.regain()
        back, *entries = await _entries(reading, 2)
        assert back.stream == "notice"
        read += [entry.text for entry in entries]
    await scene.inside.say(BOX, "five")
    read += [entry.text for entry in await _entries(reading, 1)]
    await scene.inside.do("kill", BOX)

    assert await _entries(reading) == []
    assert read == ["one", "two", "three", "four", "five"]


async def test_logs_that_cannot_be_read_are_told(scene: Scene) -> None:
    """Of a driver that keeps none, with the engine's reason; the VM itself has no problem."""
    await scene.inside.speak(BOX, driver="none")
    found = await scene.until_shown(BOX, "running")
    with pytest.raises(EngineError) as caught:
        await scene.world.core.commands.logs.open(found, LogWish())
    assert caught.value.code == "logs-unreadable"
    assert "read" in caught.value.fields["reason"]
    assert scene.world.problem(VM) == ""


async def _entries(reading: Reading, enough: int | None = None) -> list[LogEntry]:
    """Read on until there are so many, or to the end; then close."""
    found: list[LogEntry] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not reading.is_ended and (enough is None or len(found) < enough):
            await reading.wait()
            found += reading.take()
    if enough is None:
        reading.close()
    return found


def _health(scene: Scene) -> str:
    found = scene.shown(BOX)
    return found.health if found is not None else ""


def _started(scene: Scene) -> object:
    found = scene.shown(BOX)
    return found.started if found is not None else None
