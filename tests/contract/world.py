"""A whole Roadstead (without its API) on a lab pool with simulated guests, for tests of what an operator would see."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from roadstead.act.pools import PoolChange
from roadstead.app.core import Core
from roadstead.kit import tasks
from roadstead.lab.guests.guest import SimulatedGuest
from roadstead.lab.guests.simulated import SimulatedGuests
from roadstead.lab.pool.driver import NewVm
from roadstead.lab.pool.server import LabPool
from roadstead.model import Container, LinkState, Pool, PoolId, Vm
from roadstead.peers.database.client import Database
from roadstead.peers.links.keys import generate_pool_key
from roadstead.peers.xapi.client import XapiClient
from roadstead.peers.xapi.messages import PRIVATE_KEY_SECRET, PUBLIC_KEY_SECRET
from roadstead.peers.xapi.trust import URL_HOST, PoolAddress, Trust
from roadstead.settings.schema import EngineSettings, LinkSettings, PoolSettings, Settings

ADMITTED = ("127.88.0.0/15",)
PATIENCE_SECONDS = 12.0
"""How long a test waits for what must come; it goes on as soon as it is there."""
QUICK = Settings(
    link=LinkSettings(
        connect_seconds=2.0,
        login_seconds=2.0,
        retry_first_seconds=0.05,
        retry_limit_seconds=0.5,
        refusal_first_seconds=0.2,
        refusal_limit_seconds=0.5,
        keepalive_seconds=0.5,
        keepalive_count=2,
    ),
    pool=PoolSettings(retry_first_seconds=0.05, retry_limit_seconds=0.3, call_seconds=3.0, absence_seconds=0.3),
    engine=EngineSettings(answer_seconds=2.0),
)
"""The defaults with short waits, so that nobody waits for real time."""


class World:
    """One pool with its guests, and the core that watches it."""

    def __init__(self, pool: LabPool, maker: SimulatedGuests, core: Core, database: Database) -> None:
        self.pool = pool
        self.maker = maker
        self.core = core
        self.database = database

    @property
    def pool_id(self) -> PoolId:
        """The id of the only pool."""
        return next(iter(self.core.store.pools))

    def seen_pool(self) -> Pool:
        """The pool as Roadstead shows it."""
        return self.core.store.pools[self.pool_id]

    def vm(self, name: str) -> Vm:
        """The VM of this name as Roadstead shows it."""
        return next(vm for vm in self.core.store.vms.values() if vm.name == name)

    def problem(self, name: str) -> str:
        """The code of the VM's problem, or nothing."""
        link = self.vm(name).link
        return link.problem.code if link is not None and link.problem is not None else ""

    def is_live(self, name: str) -> bool:
        """Whether the VM is watched now."""
        return any(
            vm.name == name and vm.link and vm.link.state is LinkState.LIVE for vm in self.core.store.vms.values()
        )

    def containers(self, name: str) -> dict[str, Container]:
        """The VM's containers by name, as Roadstead shows them."""
        return {one.name: one for one in self.core.store.containers_of(self.vm(name).id).values()}

    def guest(self, name: str) -> SimulatedGuest:
        """The inside of the VM of this name."""
        return next(guest for guest in self.maker.guests.values() if guest.name == name)

    def agrees(self, name: str) -> bool:
        """Whether what is shown of a VM's containers is what its engine knows, and current."""
        shown = {(one.engine_id, one.name, one.state) for one in self.containers(name).values() if not one.stale}
        return shown == {(one["id"], one["name"], one["state"]) for one in self.guest(name).engine.truth()}

    async def until(self, condition: Callable[[], object], what: str = "") -> None:
        """Wait until ``condition`` holds, looking again after each change of the inventory."""
        feed = self.core.feed
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not condition():
                    number = feed.number
                    try:
                        async with asyncio.timeout(0.05):
                            await feed.wait(number)
                    except TimeoutError:
                        continue
        except TimeoutError:
            text = f"in {PATIENCE_SECONDS:g} s it did not come to this: {what or condition}"
            raise AssertionError(f"{text}; instead: {self}") from None

    def __repr__(self) -> str:
        links = [(vm.name, vm.power.value, vm.link) for vm in self.core.store.vms.values()]
        return f"<World {links} {self.core.statistics()}>"

    async def until_live(self, *names: str) -> None:
        """Wait until these VMs are watched and agree with their engines."""
        await self.until(lambda: all(self.is_live(name) and self.agrees(name) for name in names), f"{names} live")

    async def until_problem(self, name: str, code: str) -> None:
        """Wait until the VM has this problem."""
        await self.until(lambda: self.problem(name) == code, f"{name} has the problem {code}")


@asynccontextmanager
async def world(
    folder: Path, vms: int = 2, containers: int = 3, hosts: int = 2, settings: Settings = QUICK, **made: Any
) -> AsyncIterator[World]:
    """A pool of ``vms`` enabled VMs named ``vm-1``, ``vm-2``, …, made known and live."""
    maker = SimulatedGuests(folder / "guests", 0.0, 1, base_port=_free_port(), **made)
    async with LabPool(folder / "pool", hosts=hosts, port=0, guests=maker) as pool:
        names = [f"vm-{number}" for number in range(1, vms + 1)]
        for name in names:
            await pool.make_vm(NewVm(name, containers), wait=False)
        await pool.machines.booted()
        database = await Database.open(folder / "roadstead.db", folder / "secret.key")
        try:
            async with running(settings, database) as core:
                one = World(pool, maker, core, database)
                await give_key(pool)
                await add(one)
                await one.until_live(*names)
                yield one
        finally:
            await database.close()


@asynccontextmanager
async def running(settings: Settings, database: Database, engines: Sequence[Path] = ()) -> AsyncIterator[Core]:
    """A core that works for the length of the block."""
    core = Core(settings, database, engines)
    async with asyncio.TaskGroup() as group:
        work = tasks.spawn(group, core.run(), "core")
        await asyncio.sleep(0)
        try:
            yield core
        finally:
            await tasks.stop(work)


def _free_port() -> int:
    """A port that no guest of another test listens on: they all have addresses of the same network."""
    with socket.socket() as probe:
        probe.bind(("127.89.0.2", 0))
        port: int = probe.getsockname()[1]
        return port


async def add(one: World) -> None:
    """Make the lab pool known."""
    pool = one.pool
    await one.core.commands.pools.add(
        PoolChange(url=pool.url, user=pool.user, password=pool.password, fingerprint=pool.fingerprint, admit=ADMITTED)
    )


_pair: list[tuple[str, str]] = []


async def give_key(pool: LabPool) -> None:
    """Put a key pair into the pool: one for all worlds of a process, because making one takes seconds."""
    if not _pair:
        _pair.append(await generate_pool_key())
    trust = Trust(fingerprints={URL_HOST: pool.fingerprint.replace(":", "").lower()})
    client = XapiClient(PoolAddress(pool.url, pool.user, pool.password, trust), QUICK.pool)
    try:
        await client.open()
        for key, value in zip((PRIVATE_KEY_SECRET, PUBLIC_KEY_SECRET), _pair[0], strict=True):
            await client.set_pool_key(key, await client.create_secret(value, {}))
    finally:
        await client.close()
