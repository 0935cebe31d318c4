"""The lab's pool as one object: started and stopped, and broken on request."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from roadstead.kit import tasks
from roadstead.kit.latest import Latest
from roadstead.lab import groups
from roadstead.lab.guests import GuestMaker
from roadstead.lab.pool import accounts, contents, methods, seeds, sites, subjects
from roadstead.lab.pool.core import Core
from roadstead.lab.pool.database import Database, Saved
from roadstead.lab.pool.driver import VmDriver
from roadstead.lab.pool.http import Mood
from roadstead.lab.pool.images import Images
from roadstead.lab.pool.machines import Machines
from roadstead.lab.pool.messages import Messages
from roadstead.lab.pool.plugins import Plugins
from roadstead.lab.pool.profiles import CURRENT
from roadstead.lab.pool.sessions import Sessions
from roadstead.lab.pool.sites import Site
from roadstead.lab.pool.state import Folder, PoolState
from roadstead.lab.pool.text import is_unreadable

FLUSH_S = 60.0
"""What was written is in the file after this time at the latest; a real pool takes five minutes."""

SWITCH_S = 0.05
"""A change of master that a call asked for begins this long after the call was answered."""


class LabPool(VmDriver):
    """A XAPI-compatible pool on this machine, with everything that it needs in the folder `state`.

    Use it as a context manager::

        async with LabPool(tmp_path / "lab", hosts=2) as pool:
            vm = await pool.create_vm("web-1", addresses=("10.0.0.5",))
            client = await sign_in(pool.url, pool.user, pool.password, pool.fingerprint)
            await pool.stop_vm("web-1")
            await pool.restart()

    Several hosts listen on `network`.1, .2, … on one port (0: a free one).  The first start fills the pool from
    `seed`; a later one on the same folder is the same pool with the same certificates, in which every object counts
    as newly created, as after a real restart.  `guests` boots what is inside the VMs; the pool closes it at its end.
    Accounts: root, one for each role of `accounts.Role`, named like it (`read-only`, `pool-operator`, …), and two who
    are not let in, `norole` and `stranger`; all have `password`.

    Hosts are named by their number, from 1.  VMs are named by name or uuid; what can be done to them stands in
    `VmDriver`.  `core.database` is the pool's database for tests that look, or write, behind its back.
    """

    user = accounts.ROOT

    def __init__(
        self,
        state: Path,
        *,
        hosts: int = 3,
        port: int = 0,
        network: str = "127.88.0",
        guests: GuestMaker | None = None,
        seed: int = 0,
    ) -> None:
        self.folder = Folder(state)
        self.port = port
        self.label = "lab"
        """The name of a pool that is new."""
        self.neighbour: LabPool | None = None
        """A second pool of the same lab, from which VMs can be brought."""
        self.profile = CURRENT
        """The release that the pool passes for; chosen before it starts."""
        self.password = ""
        self.seeded_vms = 0
        """How many VMs were made for `--vms`, in all runs."""
        self.is_new = False
        """Whether this run filled the pool."""
        self._addresses = [f"{network}.{number}" for number in range(1, hosts + 1)]
        self.guest_maker = guests
        self.windows_maker: GuestMaker | None = None
        """Who makes the guests of Windows VMs; chosen before it starts."""
        self._seed = seed
        self._saved = Saved(0, {})
        self._saving = asyncio.Lock()
        self._sites: list[Site] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await asyncio.to_thread(self.folder.open)
            stack.callback(self.folder.close)
            self.password = await asyncio.to_thread(self.folder.password)
            group = await stack.enter_async_context(groups.plain_group())
            await self._fill(group)
            self.machines.password = self.password
            stack.push_async_callback(self.save)
            stack.push_async_callback(self.machines.close)
            stack.push_async_callback(self.core.plugins.close)
            await self._open_hosts(stack)
            flusher = tasks.spawn(group, self._flush(), "lab state")
            stack.push_async_callback(tasks.stop, flusher)
            await self.machines.settle_keys()
            await self.machines.boot_running()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.core.sessions.end_all()
        await self._stack.__aexit__(None, None, None)

    async def _fill(self, group: asyncio.TaskGroup) -> None:
        database, kept = Database(), await asyncio.to_thread(self.folder.load)
        self.is_new = kept is None
        self.machines = Machines(database, self.guest_maker, group)
        self.machines.windows = self.windows_maker
        self.machines.elsewhere = self.neighbour.guest_maker if self.neighbour is not None else None
        if kept is None:
            contents.fill(database, self._addresses, self._seed, self.label)
        else:
            database.load(kept.database)
            self.machines.restore(kept.machines, kept.numbers)
            self.seeded_vms = kept.seeded_vms
        subjects.settle(database)
        database.hidden = self.profile.hidden
        for host in tuple(database.table("host").rows):
            version = {"API_version_minor": self.profile.api_minor, "software_version": dict(self.profile.software)}
            database.update("host", host, version)
        self.core = Core(
            database=database,
            sessions=Sessions(database, methods.permissions),
            messages=Messages(database),
            password=self.password,
            insides=self.machines,
            operator=self,
            plugins=Plugins(self.folder.plugins),
            images=Images(self.folder.images),
            group=group,
            pulse=Latest(0),
            profile=self.profile,
            missing=self.profile.missing,
            domains=max(int(record["domid"]) for _, record in database.all("VM")),
        )
        database.listeners.append(self.core.beat)
        self.machines.seed = partial(seeds.read, self.core)

    async def _open_hosts(self, stack: AsyncExitStack) -> None:
        for number, ref in enumerate(self.core.database.table("host").rows, 1):
            self._sites.append(await sites.open_site(self.core, self.folder, number, ref))
        for site in self._sites:
            sites.record_certificates(self.core, site)
            stack.push_async_callback(site.server.close)
            stack.push_async_callback(asyncio.to_thread, site.socket.unlink, missing_ok=True)
            stack.push_async_callback(site.local.close)
        await self.save()
        self.port = await sites.listen(self._sites, self.port)

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            if self.core.database.generation != self._saved.generation:
                await self.save()

    # Where it is.

    @property
    def url(self) -> str:
        """The master's address, as `pool add` takes it."""
        return self.urls[self.master - 1]

    @property
    def urls(self) -> tuple[str, ...]:
        """The address of every host."""
        return tuple(self.origin(site.ref) for site in self._sites)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the master's certificate, pairs of digits with colons between."""
        return self.fingerprints[self.master - 1]

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The same for every host."""
        return tuple(site.fingerprint for site in self._sites)

    @property
    def master(self) -> int:
        """The number of the master."""
        return next(site.number for site in self._sites if site.ref == self.core.master)

    # What the pool's calls use.

    async def save(self) -> None:
        """Write everything to the state folder: what was written before survives a crash."""
        async with self._saving:
            saved = self.core.database.save()
            state = PoolState(saved, dict(self.machines.known), self.seeded_vms, self.machines.highest)
            await asyncio.to_thread(self.folder.save, state)
            self._saved = saved

    async def hand_over(self, host: str) -> None:
        """Begin to make `host` (reference) the master in good order."""
        self._later(self.move_master(self._site(host).number))

    async def take_over(self, host: str) -> None:
        """Begin to make `host` (reference) the master, with the database of the last save."""
        self._later(self.move_master(self._site(host).number, lost=True))

    def address(self, host: str) -> str:
        """The management address of a host (reference)."""
        return self._site(host).address

    def origin(self, host: str) -> str:
        """Where a host (reference) serves."""
        return f"https://{self._site(host).address}:{self.port}"

    def certificate(self, host: str) -> bytes:
        """The certificate of a host (reference), in DER."""
        return self._site(host).certificate

    def is_reachable(self, host: str) -> bool:
        """Whether a host (reference) answers the others."""
        server = self._site(host).server
        return server.is_listening and server.mood is Mood.WELL

    def socket(self, host: str) -> Path:
        """The Unix socket of a host (reference)."""
        return self._site(host).socket

    def _site(self, ref: str) -> Site:
        return next(site for site in self._sites if site.ref == ref)

    def _later(self, work: Coroutine[object, object, None]) -> None:
        async def wait_and_work() -> None:
            await asyncio.sleep(SWITCH_S)
            await work

        tasks.spawn(self.core.group, wait_and_work(), "change of master")

    # Misbehaviour on request.

    async def restart(self, *, down_s: float = 0.0, crash: bool = False) -> None:
        """Restart XAPI on all hosts: every connection and session ends; for `down_s` seconds connections are ended at
        once.  Afterwards all objects count as new.  After a `crash`, what was written since the last save is lost,
        and the generation is lower than clients remember.
        """
        await self._go_down()
        now = self.core.database.save()
        # Messages are files of their own on the master's disk: a crash takes none of them.
        kept = Saved(self._saved.generation, {**self._saved.tables, "message": now.tables["message"]})
        self._become(kept if crash else now)
        await self._come_up(down_s)

    async def move_master(self, host: int, *, lost: bool = False, behind: int = 0, down_s: float = 0.0) -> None:
        """Make the host of that number the master.  Sessions end.  With `lost`, the old master is dead (see
        `revive_host`) and what was written since the last save is gone; `behind` lowers the generation further.
        """
        target, old = self.host_ref(host), self._sites[self.master - 1]
        await self._go_down()
        if lost:
            await old.server.close()
        self._become(self._saved if lost else self.core.database.save(), behind)
        self.core.database.write("pool", self.core.pool, "master", target)
        await self._come_up(down_s)

    async def _go_down(self) -> None:
        sites.set_mood(self._sites, Mood.CLOSES)
        self.core.sessions.end_all()
        await self.drop_connections()

    def _become(self, saved: Saved, behind: int = 0) -> None:
        database = self.core.database
        database.load(Saved(max(0, saved.generation - behind), saved.tables))
        self.core.messages = Messages(database)
        self.core.beat()

    async def _come_up(self, down_s: float) -> None:
        await asyncio.sleep(down_s)
        sites.set_mood(self._sites, Mood.WELL)
        await self.save()

    async def drop_connections(self) -> None:
        """End every connection at once."""
        for site in self._sites:
            await site.server.drop()

    def end_sessions(self) -> None:
        """Make every session invalid; connections stay."""
        self.core.sessions.end_all()

    def set_mood(self, mood: Mood, host: int | None = None) -> None:
        """Let one host, or all, answer well, close connections, fall silent or talk garbage."""
        chosen = self._sites if host is None else [self._sites[host - 1]]
        sites.set_mood(chosen, mood)

    async def kill_host(self, host: int) -> None:
        """Let a host refuse connections, as a dead one does."""
        await self._sites[host - 1].server.close()

    async def revive_host(self, host: int) -> None:
        """Let a dead host answer again."""
        site = self._sites[host - 1]
        if not site.server.is_listening:
            await site.server.listen(site.address, self.port)

    async def change_certificate(self, host: int, *, announced: bool = True) -> None:
        """Give a host another certificate and end its connections; `announced`: the pool's database tells it."""
        site = self._sites[host - 1]
        await sites.new_certificate(site, self.folder)
        if announced:
            sites.record_certificates(self.core, site)
        await site.server.drop()

    def lose_deletions(self, kind: str = "VM") -> None:
        """Forget all deletions of a class, as a pool does after many of them."""
        self.core.database.table(kind).lose_deletions()

    def unreadable(self) -> list[tuple[str, str, str]]:
        """(class, reference, field) of what a client wrote and a real pool could not read at its next start."""
        return [
            (name, ref, field)
            for name in self.core.database.tables
            for ref, record in self.core.database.all(name)
            for field, value in record.items()
            if is_unreadable(value)
        ]
