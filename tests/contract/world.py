"""A whole Roadstead (without its API) on a lab pool with simulated guests, for tests of what an operator would see."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from roadstead.act.plugin.access import PluginDoor
from roadstead.act.pool_database.secrets import make_vm_secret
from roadstead.act.pools.trials import PoolChange
from roadstead.app.core import Core
from roadstead.kit import tasks
from roadstead.lab.guests.certificates import Authority
from roadstead.lab.guests.guest import SimulatedGuest
from roadstead.lab.guests.simulated import SimulatedGuests
from roadstead.lab.pool.driver import NewVm
from roadstead.lab.pool.server import LabPool
from roadstead.model import Container, LinkState, Pool, PoolId, Vm
from roadstead.model.config_keys import PRIVATE_KEY_SECRET, PUBLIC_KEY_SECRET, TLS_SECRETS
from roadstead.peers.database.client import Database
from roadstead.peers.links.keys import generate_pool_key
from roadstead.peers.xapi.client import XapiClient
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
        boot_seconds=1.0,
        steady_seconds=1.0,
    ),
    pool=PoolSettings(
        retry_first_seconds=0.05,
        retry_limit_seconds=0.3,
        call_seconds=3.0,
        absence_seconds=0.3,
        rotation_seconds=0.2,
    ),
    engine=EngineSettings(answer_seconds=2.0, relist_seconds=1.0),
)
"""The defaults with short waits, so that nobody waits for real time."""
CALM = QUICK.model_copy(
    update={
        "link": QUICK.link.model_copy(
            update={"connect_seconds": 3.0, "login_seconds": 8.0, "keepalive_seconds": 1.0, "keepalive_count": 4}
        ),
        "engine": EngineSettings(answer_seconds=8.0, action_seconds=15.0, relist_seconds=1.0),
    }
)
"""The same with the patience that real guests need on a machine that is busy."""


class World:
    """One pool with its guests, and the core that watches it."""

    def __init__(self, pool: LabPool, maker: SimulatedGuests, core: Core, database: Database) -> None:
        self.pool = pool
        self.maker = maker
        self.core = core
        self.database = database

    @property
    def pool_id(self) -> PoolId:
        """The id of the pool."""
        return PoolId(str(self.pool.core.database.get("pool", self.pool.core.pool)["uuid"]))

    def seen_pool(self) -> Pool:
        """The pool as Roadstead shows it."""
        return self.core.store.pools[self.pool_id]

    def vm(self, name: str) -> Vm:
        """The VM of this name as Roadstead shows it."""
        return next(vm for vm in self.vms() if vm.name == name)

    def vms(self) -> list[Vm]:
        """The VMs of the pool as Roadstead shows them."""
        pool = self.pool_id
        return [vm for vm in self.core.store.vms.values() if vm.pool == pool]

    def problem(self, name: str) -> str:
        """The code of the VM's problem, or nothing."""
        link = self.vm(name).link
        return link.problem.code if link is not None and link.problem is not None else ""

    def is_live(self, name: str) -> bool:
        """Whether the VM is watched now."""
        return any(vm.name == name and vm.link and vm.link.state is LinkState.LIVE for vm in self.vms())

    def containers(self, name: str) -> dict[str, Container]:
        """The VM's containers by name, as Roadstead shows them."""
        return {one.name: one for one in self.core.store.containers_of(self.vm(name).id).values()}

    async def confirm(self, name: str) -> None:
        """Accept the host key that the VM shows now, as an operator who compared it."""
        vms, vm = self.core.commands.vms, self.vm(name).id
        shown = vms.host_keys(vm).shown
        await vms.confirm_host_key(vm, shown.fingerprint if shown is not None else None)

    async def trust_tls(self, name: str, authority: Authority) -> None:
        """Let the pool hold a client's certificate for the VM's engine, whose own one this authority signed."""
        keeper, vm = self.core.commands.pools.keeper(self.pool_id), self.vm(name)
        client = authority.client()
        values = (client.certificate, client.key, authority.certificate)
        for key, value in zip(TLS_SECRETS, values, strict=True):
            await keeper.config.set(vm.id, key, await make_vm_secret(keeper.client, vm, value))
        await self.until(lambda: set(TLS_SECRETS) <= self.vm(name).settings.keys(), "the keys are seen")

    def guest(self, name: str) -> SimulatedGuest:
        """The inside of the VM of this name."""
        return next(guest for guest in self.maker.guests.values() if guest.name == name)

    def agrees(self, name: str) -> bool:
        """Whether what is shown of a VM's containers is what its engine knows, and current."""
        shown = {(one.engine_id, one.name, one.state) for one in self.containers(name).values() if not one.stale}
        return shown == {(one["id"], one["name"], one["state"]) for one in self.guest(name).engine.truth()}

    async def differences(self) -> list[str]:
        """What is shown otherwise than the pool and its guests know it; nothing when the inventory is the truth."""
        truth = await self.pool.truth()
        shown = {vm.id: vm for vm in self.vms()}
        found = [f"VM {uuid} is shown or is there, not both" for uuid in shown.keys() ^ truth.keys()]
        for id, vm in shown.items():
            known = truth.get(id, {"name": "", "running": False, "containers": []})
            containers = known["containers"] if vm.enabled else []
            assert isinstance(containers, list)
            wanted = {(one["id"], one["name"], one["state"]) for one in containers}
            listed = {
                (one.engine_id, one.name, one.state)
                for one in self.core.store.containers_of(id).values()
                if not one.stale
            }
            if (vm.name, vm.running, listed) != (known["name"], known["running"], wanted):
                found.append(f"{vm.name} is {known}, shown with {listed}")
        return found

    async def until_true(self) -> None:
        """Wait until the inventory is the truth of this pool and its guests."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while found := await self.differences():
            assert time.monotonic() < deadline, found
            await self._change(0.05)

    async def _change(self, seconds: float) -> None:
        """Wait for the next change of the inventory, at most so long."""
        try:
            async with asyncio.timeout(seconds):
                await self.core.feed.wait(self.core.feed.number)
        except TimeoutError:
            return

    def since(self) -> dict[str, object]:
        """Since when each VM's link stands as it does: it is the same while the link was not opened anew."""
        return {vm.id: (vm.link.state, vm.link.since) for vm in self.vms() if vm.link is not None}

    def change(self, name: str) -> None:
        """Rename a container inside the VM, as somebody there would."""
        engine = self.guest(name).engine
        container = next(engine.find(each.engine_id) for each in self.containers(name).values())
        assert container is not None
        engine.rename(container, f"renamed-{self.core.feed.number}")

    async def until(self, condition: Callable[[], object], what: str = "") -> None:
        """Wait until ``condition`` holds, looking again after each change of the inventory."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not condition():
                    await self._change(0.05)
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
    folder: Path,
    vms: int = 2,
    containers: int = 3,
    hosts: int = 2,
    settings: Settings = QUICK,
    door: PluginDoor | None = None,
    **made: Any,
) -> AsyncIterator[World]:
    """A pool of ``vms`` enabled VMs named ``vm-1``, ``vm-2``, …, made known and live."""
    names = [f"vm-{number}" for number in range(1, vms + 1)]
    async with (
        lab(folder, names, containers, hosts, **made) as (pool, maker),
        kept(folder) as database,
        running(settings, database, door=door) as core,
    ):
        one = World(pool, maker, core, database)
        await add(one)
        await one.until_live(*names)
        yield one


@asynccontextmanager
async def lab(
    folder: Path, names: Sequence[str], containers: int = 3, hosts: int = 2, seed: int = 0, key: int = 0, **made: Any
) -> AsyncIterator[tuple[LabPool, SimulatedGuests]]:
    """A pool with enabled VMs of these names and key pair number ``key``, not known to anybody; pools differ by their
    seed.
    """
    maker = SimulatedGuests(folder / "guests", 0.0, 1, base_port=_free_port(), **made)
    async with LabPool(folder / "pool", hosts=hosts, port=0, guests=maker, seed=seed) as pool:
        for name in names:
            await pool.make_vm(NewVm(name, containers), wait=False)
        await pool.machines.booted()
        await give_key(pool, key)
        yield pool, maker


@asynccontextmanager
async def kept(folder: Path) -> AsyncIterator[Database]:
    """What a Roadstead keeps in its state folder."""
    database = await Database.open(folder / "roadstead.db", folder / "secret.key")
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def running(
    settings: Settings, database: Database, engines: Sequence[Path] = (), door: PluginDoor | None = None
) -> AsyncIterator[Core]:
    """A core that works for the length of the block."""
    core = Core(settings, database, engines, door)
    async with asyncio.TaskGroup() as group:
        work = tasks.spawn(group, core.run(), "core")
        await core.commands.pools.wait_started()
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


async def add(one: World, pool: LabPool | None = None, user: str = "") -> None:
    """Make the lab pool known, or another one; as its first ``user``, or as another."""
    pool = pool or one.pool
    user = user or pool.user
    await one.core.commands.pools.add(
        PoolChange(url=pool.url, user=user, password=pool.password, fingerprint=pool.fingerprint, admit=ADMITTED)
    )


_pairs: dict[int, tuple[str, str]] = {}


async def give_key(pool: LabPool, number: int = 0) -> None:
    """Put a key pair into the pool: the same for all worlds of a process, because making one takes seconds."""
    if number not in _pairs:
        _pairs[number] = await generate_pool_key()
    trust = Trust(fingerprints={URL_HOST: pool.fingerprint.replace(":", "").lower()})
    client = XapiClient(PoolAddress(pool.url, pool.user, pool.password, trust), QUICK.pool)
    try:
        await client.open()
        for key, value in zip((PRIVATE_KEY_SECRET, PUBLIC_KEY_SECRET), _pairs[number], strict=True):
            await client.set_pool_key(key, await client.create_secret(value, {}))
    finally:
        await client.close()
