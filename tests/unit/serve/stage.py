"""A real server on a socket in a test's folder: a real store and feed, real operations, stand-ins for pools and VMs."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
from msgspec.structs import replace

from roadstead.act.audit import Audit
from roadstead.act.commands import Commands
from roadstead.act.drives.config_drives import ConfigDrives
from roadstead.act.drives.templates import Templates
from roadstead.act.drives.vm_drives import VmDrives
from roadstead.act.firewall import Firewall
from roadstead.act.guests.checks import Check
from roadstead.act.guests.logs import Logs
from roadstead.act.guests.operations import Operations
from roadstead.act.guests.usages import Usages
from roadstead.act.guests.vms import HostKey, HostKeys, Reach, Why
from roadstead.act.keys.pair import KeyPair
from roadstead.act.plugin.access import PluginAccess, PluginDoor
from roadstead.act.plugin.dom0_preparing import Dom0Preparing
from roadstead.act.plugin.functions import PluginCalls
from roadstead.act.plugin.hosts import PluginHosts
from roadstead.act.pools.trials import PoolChange, Probe, Step
from roadstead.act.preparing.conversation import Answers, GuestPreparation
from roadstead.act.preparing.lent_agents import LentAgents
from roadstead.act.preparing.over_tls import TlsPreparation
from roadstead.act.preparing.tls_expiry import VmCertificates
from roadstead.act.publishing.outputs import Wiped
from roadstead.act.rotation import RotatedVm, Rotation
from roadstead.errors import ConflictError, EngineError, LinkError, NotFoundError, RoadsteadError
from roadstead.inventory.feed import Feed
from roadstead.inventory.store import Store
from roadstead.kit import tasks
from roadstead.model import ContainerId, Fact, LinkState, LogWish, Pool, PoolId, Seen, Usage, Vm, VmId
from roadstead.peers.database.client import StoredPool
from roadstead.peers.engine.messages.statistics import Sample
from roadstead.plan.addresses import Rules
from roadstead.serve.app import build
from roadstead.serve.borders import Token
from roadstead.serve.calls import Services
from roadstead.serve.server import Listen, Listening, serve_api
from roadstead.settings.schema import AuditSettings, LinkSettings, LogSettings, ServerSettings, Settings
from tests.unit.fakes.databases import FakeDatabase
from tests.unit.fakes.logs import FakeLogs
from tests.unit.fakes.xapi import FakeXapi, small_pool
from tests.unit.inventory_views import samples

SHOWN = "ab" * 32
PUBLIC_KEY = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC7 roadstead"
TOKEN = Token("opensesame", Path("/state/token"))


@dataclass
class Pools:
    """Stands in for `act.pools.Pools`: a pool that is added appears at once."""

    world: "World"
    known: dict[str, StoredPool] = field(default_factory=dict)
    changes: list[PoolChange] = field(default_factory=list)
    opened: frozenset[VmId] = frozenset()
    admitted: tuple[Any, ...] = ()
    xapi: FakeXapi = field(default_factory=small_pool)

    def keeper(self, pool: PoolId) -> Any:
        return SimpleNamespace(id=self.stored(pool).id, client=self.xapi, host_addresses=frozenset({"10.0.0.1"}))

    @property
    def keepers(self) -> dict[str, Any]:
        return {id: self.keeper(PoolId(id)) for id in self.known}

    def rules(self, pool: PoolId) -> Rules:
        return Rules(admit=self.admitted)

    def keep(self, id: str, url: str, **fields: Any) -> StoredPool:
        """Remember a pool."""
        fingerprints = {} if fields.get("ca_pem") else {"": SHOWN}
        known = {"name": id, "user": "root", "password": "secret", "added": datetime(2026, 1, 1, tzinfo=UTC)}
        self.known[id] = StoredPool(id=PoolId(id), url=url, fingerprints=fingerprints, **{**known, **fields})
        return self.known[id]

    def stored(self, pool: PoolId) -> StoredPool:
        if pool not in self.known:
            raise NotFoundError("no-such-pool", name=pool)
        return self.known[pool]

    async def probe(self, url: str) -> Probe:
        await asyncio.sleep(0)
        return Probe(url=url, address=url.removeprefix("https://"), fingerprint=SHOWN)

    async def add(self, change: PoolChange) -> Pool:
        await asyncio.sleep(0)
        self.changes.append(change)
        if not (change.fingerprint or change.ca_pem or change.accept_new):
            raise ConflictError("fingerprint-needed", address="10.0.0.1:443", shown=SHOWN)
        pool = samples.pool("pool-9", "New", url=change.url, live=False)
        self.keep("pool-9", pool.url, admit=change.admit, only=change.only, ca_pem=change.ca_pem or "")
        self.world.tell(pool)
        asyncio.get_running_loop().call_later(0.02, self.world.tell, replace(pool, live=True))
        return pool

    async def change(self, pool: PoolId, change: PoolChange) -> Pool:
        await asyncio.sleep(0)
        self.changes.append(change)
        known = self.stored(pool)
        self.known[pool] = replace(known, user=change.user or known.user, admit=change.admit or known.admit)
        return self.world.store.pools[pool]

    async def remove(self, pool: PoolId, *, keep_published: bool = False) -> Wiped:
        await asyncio.sleep(0)
        del self.known[self.stored(pool).id]
        self.world.apply(samples.gone("pool", pool))
        return Wiped() if keep_published else Wiped(vms=2, left=1, reason="it is slow")

    async def test(self, pool: PoolId) -> list[Step]:
        await asyncio.sleep(0)
        self.stored(pool)
        good = Step(step="sign in", ok=True, seconds=0.1)
        return [good, Step(step="read the pool", ok=False, seconds=0.2, message="It broke.")]

    async def key(self, pool: PoolId) -> KeyPair:
        await asyncio.sleep(0)
        self.stored(pool)
        return KeyPair((), PUBLIC_KEY)

    async def forget_retired(self, pool: PoolId, vm: VmId) -> None:
        await asyncio.sleep(0)
        self.stored(pool)
        self.opened -= {vm}

    def keyed(self, pool: PoolId) -> dict[VmId, frozenset[str]]:
        self.stored(pool)
        return dict.fromkeys(self.opened, frozenset({KeyPair((), PUBLIC_KEY).fingerprint}))

    def keyed_until(self, vm: VmId) -> datetime | None:
        return datetime(2030, 1, 1, tzinfo=UTC) if vm in self.opened else None


@dataclass
class Rotations:
    """Stands in for `act.rotation.Rotations`."""

    world: "World"
    is_rotating: bool = False
    dropped: list[VmId] = field(default_factory=list)

    async def state(self, pool: PoolId) -> Rotation:
        await asyncio.sleep(0)
        self.world.pools.stored(pool)
        vms = [RotatedVm(id=VmId("vm-2"), name="db", state="off", needs_old=True)] if self.is_rotating else []
        state, old = ("rotating", "SHA256:old") if self.is_rotating else ("none", "")
        return Rotation(pool=pool, state=state, fingerprint="SHA256:new", old_fingerprint=old, vms=vms)

    async def begin(self, pool: PoolId) -> Rotation:
        self.is_rotating = True
        return await self.state(pool)

    async def drop(self, pool: PoolId, vms: Iterable[VmId]) -> Rotation:
        self.dropped = list(vms)
        if self.dropped != [VmId("vm-2")]:
            raise ConflictError("rotation-moved", pool="Rack 1", vms="db")
        self.is_rotating = False
        return await self.state(pool)


@dataclass
class Checks:
    """Stands in for `act.checks.Checks`: a check tells what a test lets it tell, until the test ends it."""

    begun: list[tuple[VmId, Check]] = field(default_factory=list)
    ends: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self, vm: VmId) -> Check:
        check = Check()
        task = asyncio.get_running_loop().create_task(self.ends.wait())
        task.add_done_callback(lambda _: self.ended.set())
        check.runs_as(task)
        self.task = task
        self.begun.append((vm, check))
        return check

    def cancel(self) -> None:
        """End the last check as the end of the server does."""
        self.task.cancel()


@dataclass
class Vms:
    """Stands in for `act.vms.Vms`: what is asked is noted, and takes effect at once."""

    world: "World"
    asked: list[tuple[str, str]] = field(default_factory=list)
    reached: list[Reach] = field(default_factory=list)
    acted: list[tuple[str, str]] = field(default_factory=list)
    stuck: asyncio.Event | None = None
    sampled: int = 0
    logs: FakeLogs | None = None
    wishes: list[LogWish] = field(default_factory=list)
    inspected: bytes = b'{"Id":"1","Env":["A=1"]}'
    broken: Exception | None = None

    async def enable(self, vm: VmId, reach: Reach | None = None) -> None:
        await asyncio.sleep(0)
        self.asked.append(("enable", vm))
        self.reached.append(reach or Reach())
        self.world.tell(replace(self.world.store.vms[vm], settings=samples.MANAGED))

    async def disable(self, vm: VmId) -> None:
        await asyncio.sleep(0)
        self.asked.append(("disable", vm))
        self.world.tell(replace(self.world.store.vms[vm], settings={}))

    def host_keys(self, vm: VmId) -> HostKeys:
        key = HostKey(type="ssh-ed25519", fingerprint="SHA256:abc")
        return HostKeys(
            vm=vm, name=self.world.store.vms[vm].name, pinned=key, expected=None, shown=None, state="pinned"
        )

    async def confirm_host_key(self, vm: VmId, fingerprint: str | None) -> HostKeys:
        await asyncio.sleep(0)
        raise ConflictError("nothing-to-confirm", vm=self.world.store.vms[vm].name)

    async def expect_host_key(self, vm: VmId, text: str) -> HostKeys:
        await asyncio.sleep(0)
        self.asked.append(("expect", text))
        return replace(self.host_keys(vm), expected=HostKey(type="", fingerprint=text), state="expected")

    async def forget_host_key(self, vm: VmId) -> HostKeys:
        await asyncio.sleep(0)
        self.asked.append(("forget", vm))
        return replace(self.host_keys(vm), pinned=None, state="none")

    async def why(self, vm: VmId) -> Why:
        await asyncio.sleep(0)
        if self.broken is not None:
            raise self.broken
        return Why(
            vm=vm, name=self.world.store.vms[vm].name, state=LinkState.LIVE, problem=None, facts=[("port", "22")]
        )

    def exists(self, container: ContainerId) -> bool:
        return self.world.store.container(container) is not None

    async def inspect(self, container: ContainerId) -> bytes:
        await asyncio.sleep(0)
        container_vm = self.world.store.vms[VmId(container.partition("/")[0])]
        if container_vm.link is None or container_vm.link.state is not LinkState.LIVE:
            raise LinkError("vm-not-live", vm=container_vm.name)
        return self.inspected

    def check(self, action: str, container: ContainerId) -> None:
        """Every engine here can do everything."""

    @contextmanager
    def asking(self, vm: VmId) -> Iterator[Any]:
        yield Engine(self)


@dataclass
class Certificates:
    """Stands in for `act.tls_prepare.TlsPreparations` and `act.tls_expiry.Expiries`."""

    world: "World"
    is_under_way: bool = False

    def state(self, vm: VmId) -> TlsPreparation:
        name, state = self.world.store.vms[vm].name, "waiting" if self.is_under_way else "none"
        return TlsPreparation(vm=vm, name=name, state=state, addresses=["10.0.0.1"])

    async def cancel(self, vm: VmId) -> TlsPreparation:
        await asyncio.sleep(0)
        if not self.is_under_way:
            raise NotFoundError("no-certificates-under-way", vm="web-1")
        self.is_under_way = False
        return self.state(vm)

    async def all(self) -> list[VmCertificates]:
        await asyncio.sleep(0)
        end = datetime(2028, 1, 2, tzinfo=UTC)
        return [VmCertificates(vm=VmId("vm-1"), name="web-1", pool_name="Rack 1", state="live", until=end, whose="w")]


@dataclass
class Engine:
    """Stands in for a client of an engine."""

    vms: Vms

    async def act(self, action: str, engine_id: str) -> None:
        if self.vms.stuck is not None:
            await self.vms.stuck.wait()
        await asyncio.sleep(0)
        if engine_id.startswith("dead"):
            raise EngineError("engine-refused", reason="no")
        self.vms.acted.append((action, engine_id[:4]))

    async def logs(self, engine_id: str, wish: LogWish) -> FakeLogs:
        """What the test writes into `Vms.logs`."""
        await asyncio.sleep(0)
        if self.vms.logs is None:
            raise EngineError("logs-unreadable", reason="the driver is none")
        self.vms.wishes.append(wish)
        return self.vms.logs

    async def sample(self, engine_id: str) -> Sample:
        """Each sample is a second later, half of which the container used."""
        await asyncio.sleep(0)
        if engine_id.startswith("dead"):
            raise EngineError("container-not-running", state="exited")
        self.vms.sampled += 1
        used = Usage(as_of=samples.NOON, cpus=2, memory_bytes=2**20)
        return Sample(self.vms.sampled * 10**9, self.vms.sampled * 5 * 10**8, used)


class Preparing:
    """Notes what it is told, and asks on."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.told: list[Answers] = []

    async def step(self, vm: VmId, answers: Answers) -> GuestPreparation:
        self.told.append(answers)
        return GuestPreparation(vm=vm, name=self._world.store.vms[vm].name, user="core", question="sign-in")


class Ready:
    """What stands against enabling a VM: it was prepared for TLS alone."""

    async def doubt(self, vm: Vm, mode: str | None) -> RoadsteadError | None:
        return ConflictError("vm-not-prepared", vm=vm.name) if mode == "ssh" else None


class World:
    """What a test's server stands on."""

    def __init__(self, records: Iterable[Any], feed_changes: int = 1000, door: PluginDoor | None = None) -> None:
        self.store = Store()
        self.feed = Feed(feed_changes, 2**30)
        self.pools = Pools(self)
        self.vms = Vms(self)
        self.rotations = Rotations(self)
        self.checks = Checks()
        self.database = FakeDatabase()
        database, pools, vms = cast("Any", self.database), cast("Any", self.pools), cast("Any", self.vms)
        self.audit = Audit(database, AuditSettings())
        self.operations = Operations(vms, self.audit, ServerSettings(operation_targets=5))
        templates = Templates(cast("Any", self.database.templates), self.audit)
        drives = ConfigDrives(pools, templates)
        readiness = cast("Any", Ready())
        calls = PluginCalls(self.store, pools, vms, self.operations, (drives, readiness), self.audit)
        self.access = PluginAccess(database, pools, door, self.audit)
        self.hosts = PluginHosts(pools, LinkSettings(), self.audit)
        firewall = Firewall(self.store, pools, LinkSettings(), self.audit)
        self.certificates = Certificates(self)
        certificates = cast("Any", self.certificates)
        self.preparing = Preparing(self)
        self.commands = Commands(
            pools,
            cast("Any", self.rotations),
            vms,
            certificates,
            certificates,
            self.operations,
            Usages(vms, self.operations, 0.0),
            Logs(vms, self.operations, Settings(logs=LogSettings(readers=2))),
            calls,
            self.access,
            self.hosts,
            firewall,
            cast("Any", self.checks),
            VmDrives(drives, templates, vms, self.audit),
            templates,
            readiness,
            cast("Any", self.preparing),
            Dom0Preparing(self.store, cast("Any", self.preparing), self.audit),
            LentAgents(),
            self.audit,
        )
        self.services = Services(
            self.commands, self.store, self.feed, lambda: {"links": {"live": 1}}, engine_socket="/var/run/docker.sock"
        )
        self.tell(*records)

    def tell(self, *records: Any) -> None:
        """Let ``records`` be seen."""
        self.apply(*(Seen(record) for record in records))

    def apply(self, *facts: Fact) -> None:
        """Take in facts, as the composition root does."""
        self.feed.publish(self.store.apply(*facts))


FEW = (
    samples.pool("pool-1", "Rack 1"),
    samples.host("host-1", "north"),
    samples.vm("vm-1", "web-1", tags=("prod",)),
    samples.vm("vm-2", "db/main Süd"),
    samples.vm("vm-3", "bare", managed=False, host=None),
    samples.link("vm-1"),
    samples.link("vm-2"),
    samples.container("vm-1", 0xAAAA, "shop", labels={"app": "shop"}),
    samples.container("vm-1", 0xDEAD, "cache", state="paused", image="redis"),
    samples.container("vm-2", 0xBBBB, "shop"),
    samples.link("vm-2", LinkState.BROKEN, "key-rejected"),
)
"""A small world: two managed VMs, of which one is lost, and one that is not managed."""


@dataclass
class Stage:
    """A running server and a client of it."""

    world: World
    client: aiohttp.ClientSession
    listening: Listening
    server: asyncio.Task[None]

    async def ask(self, method: str, path: str, *, status: int = 200, **given: Any) -> Any:
        """Send a request and return the decoded answer, which must have ``status``."""
        async with self.client.request(method, f"http://localhost/api/v1{path}", **given) as answer:
            body = await answer.read()
            assert answer.status == status, body
            return await answer.json(content_type=None) if body else None

    async def get(self, path: str, *, status: int = 200, **given: Any) -> Any:
        """GET ``path``."""
        return await self.ask("GET", path, status=status, **given)

    async def refused(self, method: str, path: str, status: int, code: str, **given: Any) -> dict[str, Any]:
        """Send a request that must be refused with this status and code; return the problem document."""
        problem: dict[str, Any] = await self.ask(method, path, status=status, **given)
        assert (problem["status"], problem["code"]) == (status, code), problem
        return problem


@asynccontextmanager
async def running(
    folder: Path, records: Sequence[Any] = FEW, *, port: int | None = None, **given: Any
) -> AsyncIterator[Stage]:
    """Serve a world of ``records`` from a socket in ``folder`` for the length of the block."""
    world = World(records, **given)
    async with serving(world, Listen(folder / "run" / "s.sock", port, shutdown_seconds=2.0)) as stage:
        yield stage


@asynccontextmanager
async def serving(world: World, listen: Listen) -> AsyncIterator[Stage]:
    """Serve ``world`` for the length of the block."""
    heard: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
    app = build(world.services, TOKEN if listen.port is not None else None)
    async with asyncio.TaskGroup() as group:
        operations = tasks.spawn(group, world.operations.run(), "operations")
        server = tasks.spawn(group, serve_api(app, listen, heard.set_result), "server")
        listening = await heard
        try:
            async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(listen.socket))) as client:
                yield Stage(world, client, listening, server)
        finally:
            await tasks.stop(server, operations)
