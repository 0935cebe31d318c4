"""Real guests with a given number of containers, and the key that opens them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bench.stage import Stage
from roadstead.kit.gates import Budget, Gate
from roadstead.kit.streams import Link
from roadstead.lab.guests.certificates import Authority
from roadstead.lab.guests.real import RealGuest, RealGuests, Recipe
from roadstead.lab.guests.real.machine import TLS_PORT
from roadstead.model import VmId
from roadstead.peers.engine.client import EngineClient
from roadstead.peers.links.credentials import credentials
from roadstead.peers.links.dialing import Gates
from roadstead.peers.links.keys import PoolKey, generate_pool_key, load_pool_key
from roadstead.peers.links.ssh import SshLink, SshTarget, open_ssh
from roadstead.peers.links.tls import TlsLink, TlsTarget, open_tls
from roadstead.peers.links.unix import UnixLink, open_unix
from roadstead.settings.schema import EngineSettings, LinkSettings

RUNNING = 20
"""Containers of a guest that run; the others were created and never started."""
IDLE = ("sleep", "1000000")
VM = VmId("bench")


@dataclass(slots=True)
class Guest:
    """A guest that is on. ``public_keys`` let in; the first one belongs to ``pem``."""

    real: RealGuest
    pem: str
    key: PoolKey
    public_keys: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Its one address."""
        return self.real.addresses[0]

    @property
    def socket(self) -> str:
        """Its engine's socket, as seen from here."""
        return str(self.real.engine_socket)

    async def let_in(self, public_key: str) -> None:
        """Let the owner of one more key in."""
        self.public_keys.append(public_key)
        await self.real.authorize(tuple(self.public_keys))

    async def running_ids(self) -> list[str]:
        """The ids of its running containers."""
        return [str(entry["id"]) for entry in await self.real.truth() if entry["state"] == "running"]

    async def connect(self) -> SshLink:
        """Open a link to it as the server does."""
        target = SshTarget(self.real.user, self.real.port, (self.address,), LinkSettings().engine_socket)
        gates = Gates(Gate(1), Gate(1))
        return await open_ssh(target, [self.key], settings=LinkSettings(), gates=gates)

    async def connect_socket(self) -> UnixLink:
        """Open its engine's socket: the limit of what is possible."""
        return await open_unix(self.socket)


@dataclass(frozen=True, slots=True)
class SecuredGuest:
    """A guest whose engine listens with TLS, too."""

    guest: Guest
    authority: Authority

    async def connect(self) -> TlsLink:
        """Open a link over TLS as the server does."""
        client = self.authority.client()
        pem = (client.certificate.encode(), client.key.encode(), self.authority.certificate.encode())
        shown = credentials(*pem, is_legacy=False)
        target = TlsTarget(TLS_PORT, (self.guest.address,))
        return await open_tls(target, shown, settings=LinkSettings(), gates=Gates(Gate(1), Gate(1)))

    async def connect_socket(self) -> UnixLink:
        """Open its engine's socket."""
        return await self.guest.connect_socket()


@asynccontextmanager
async def engine_over(link: Link) -> AsyncIterator[EngineClient]:
    """A client that has said hello; the link is closed at the end."""
    settings = EngineSettings()
    client = EngineClient(link, VM, settings, Budget(settings.in_flight_bytes, settings.answer_bytes))
    try:
        await client.hello()
        yield client
    finally:
        client.close()
        link.close()
        if isinstance(link, SshLink):
            await link.wait_closed()


@asynccontextmanager
async def single(stage: Stage) -> AsyncIterator[Guest]:
    """A guest with 1 container."""
    async with _guest(stage, "single", 1, 1) as guest:
        yield guest


@asynccontextmanager
async def secured(stage: Stage) -> AsyncIterator[SecuredGuest]:
    """A guest with 1 container, whose engine listens with TLS."""
    async with _guest(stage, "secured", 4, 1) as guest:
        authority = Authority("bench")
        await guest.real.secure_engine(authority.certificate, authority.server([guest.address]))
        yield SecuredGuest(guest, authority)


@asynccontextmanager
async def twenty(stage: Stage) -> AsyncIterator[Guest]:
    """A guest with 20 containers."""
    async with _guest(stage, "twenty", 2, 20) as guest:
        yield guest


@asynccontextmanager
async def crowded(stage: Stage) -> AsyncIterator[Guest]:
    """A guest with 200 containers, of which 20 run."""
    async with _guest(stage, "crowded", 3, 200) as guest:
        yield guest


@asynccontextmanager
async def _key(_: Stage) -> AsyncIterator[tuple[str, str]]:
    """A key pair as pools have it: RSA-4096."""
    yield await generate_pool_key()


@asynccontextmanager
async def _guest(stage: Stage, name: str, number: int, containers: int) -> AsyncIterator[Guest]:
    await stage.need_real_guests()
    pem, public = await stage.shared(_key)
    stage.say(f"making a real guest with {containers} containers")
    folder = stage.folder / f"guest-{name}"
    maker = RealGuests(folder)
    try:
        real = await maker.make(f"bench-{name}", number, 0)
        await real.start()
        await real.add(*_recipes(containers))
        guest = Guest(real, pem, await load_pool_key(pem))
        await guest.let_in(public)
        yield guest
    finally:
        await maker.close()
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _recipes(count: int) -> list[Recipe]:
    return [
        Recipe(f"bench-{number}", command=IDLE, state="running" if number <= RUNNING else "created", restart="no")
        for number in range(1, count + 1)
    ]
