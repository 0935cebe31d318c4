"""From the plan to a handshake with a guest that speaks SSH, and what that handshake teaches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any, Self, cast

import asyncssh
import pytest

from roadstead.act.guests.grounds import Grounds
from roadstead.act.guests.sign_ins import SignIns
from roadstead.act.guests.ssh_ways import SshWays
from roadstead.act.keys.pair import KeyPair
from roadstead.act.memory import Memories
from roadstead.act.pools.pool import PoolKeeper
from roadstead.errors import LinkError
from roadstead.inventory.store import Store
from roadstead.kit.gates import Budget, Gate
from roadstead.lab.guests.guest import SimulatedGuest
from roadstead.lab.guests.simulated import lone_guest
from roadstead.model import Gone, Seen, VmId, config_keys
from roadstead.peers.database.client import Database
from roadstead.peers.engine.client import EngineClient
from roadstead.peers.links.dialing import Gates
from roadstead.peers.links.messages import question
from roadstead.peers.links.ssh import SshLink, SshTarget
from roadstead.plan.addresses import Rules
from roadstead.settings.schema import EngineSettings, LinkSettings
from tests.unit.fakes import records
from tests.unit.fakes.databases import FakeDatabase

KEY = asyncssh.generate_private_key("ssh-ed25519")
LINE = KEY.export_public_key().decode()
HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"
HOST, OWN, GUEST = "192.0.2.1", "192.0.2.2", "192.0.2.3"


@dataclass
class Pool:
    """What connecting asks of a pool's keeper: its key pair, and its hosts' addresses."""

    host_addresses: frozenset[str] = frozenset({HOST})
    forgotten: int = 0

    @property
    def keys(self) -> Self:
        return self

    async def pair(self) -> KeyPair:
        return KeyPair((KEY,), LINE)

    def forget(self) -> None:
        self.forgotten += 1


@dataclass
class Road:
    """The ways to the guests of one pool, in which loopback is admitted."""

    store: Store = field(default_factory=Store)
    pool: Pool = field(default_factory=Pool)

    def __post_init__(self) -> None:
        self.memories = Memories(cast("Database", FakeDatabase()))
        self.met: list[VmId] = []
        self.sign_ins = SignIns(LinkSettings().retry_first_seconds)
        grounds = Grounds(
            self.store,
            {records.POOL: cast("PoolKeeper", self.pool)},
            lambda _: Rules(admit=(ip_network("127.0.0.0/8"),)),
            self.memories,
            LinkSettings(connect_seconds=2.0, login_seconds=2.0, stagger_seconds=1.0),
            Gates(Gate(4), Gate(4)),
            self.sign_ins,
        )
        self.ways = SshWays(grounds, self.met.append)

    def see(self, *addresses: str, port: int = 22, sudo: str = "") -> None:
        """The pool tells of a VM with these addresses."""
        settings = records.MANAGED | {"roadstead-ssh-port": str(port), "xscontainer-username": "core"}
        settings["roadstead-sudo"] = sudo
        self.store.apply(Seen(records.vm(settings=settings, addresses=addresses)))

    async def reach(self) -> str:
        """Connect the VM and hang up; return the address at which it answered."""
        opened = await self.ways.open(records.VM)
        opened.way.close()
        return opened.way.address

    async def relay(self) -> str:
        """Connect the VM, greet its engine and hang up; return how its streams were opened."""
        way = (await self.ways.open(records.VM)).way
        client = EngineClient(way, records.VM, EngineSettings(), Budget(2**28, 2**23))
        await client.ping()
        client.close()
        way.close()
        return way.relay

    async def refused(self) -> LinkError:
        """The error with which the VM cannot be connected."""
        with pytest.raises(LinkError) as caught:
            await self.ways.open(records.VM)
        return caught.value


@pytest.fixture
def road() -> Road:
    """Ways, a pool, and no VM yet."""
    return Road()


@pytest.fixture
async def guest() -> AsyncIterator[SimulatedGuest]:
    """A guest that lets the pool's key in."""
    async with lone_guest(public_keys=[LINE], at=(HERE, 0)) as made:
        yield made


@pytest.mark.parametrize("address", [HOST, OWN])
async def test_hosts_and_we_are_nobodys_guests(road: Road, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """A guest that announces a pool's host, or us, would have us knock there with the pool's key."""
    monkeypatch.setattr("roadstead.kit.net.is_own", lambda text: text == OWN)
    road.see(address)

    error = await road.refused()

    assert (error.code, error.fields["addresses"]) == ("address-not-allowed", address)


async def test_the_address_that_won_is_tried_first(road: Road, guest: SimulatedGuest) -> None:
    """The next time the others are not even called, whatever their order."""
    called = asyncio.Queue[None]()

    def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.put_nowait(None)
        writer.close()

    server = await asyncio.start_server(hang_up, ELSEWHERE, guest.port)
    road.see(ELSEWHERE, HERE, port=guest.port)
    first = await road.reach()
    before = called.qsize()
    again = await road.reach()
    server.close()

    assert (first, before) == (HERE, 1)
    assert (again, called.qsize()) == (HERE, 1)
    assert road.met == [records.VM, records.VM]


async def test_the_relay_that_was_heard_is_begun_with(
    road: Road, guest: SimulatedGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next link does not ask for it again, unless the VM's settings say something else by then."""
    asked: list[str] = []

    def note(socket: str) -> str:
        asked.append(socket)
        return question(socket)

    monkeypatch.setattr("roadstead.peers.links.relays.question", note)
    await guest.misbehave("streamlocal-forbidden")
    road.see(HERE, port=guest.port)
    found = [await road.relay(), await road.relay()]
    assert (found, len(asked)) == (["dial-stdio"] * 2, 1)
    road.see(HERE, port=guest.port, sudo=config_keys.ENABLED)
    assert await road.relay() == "sudo"
    road.see(HERE, port=guest.port)
    assert (await road.relay(), len(asked)) == ("dial-stdio", 2)


async def test_a_refused_pool_key_is_read_again(road: Road, guest: SimulatedGuest) -> None:
    """Somebody may have given the pool another one: a guest that refuses the one we know is the sign of it."""
    road.see(HERE, port=guest.port)
    await road.reach()
    assert road.pool.forgotten == 0
    await guest.misbehave("key-rejected")

    assert (await road.refused()).code == "key-rejected"
    assert road.pool.forgotten == 1


@pytest.mark.looptime
async def test_a_sign_in_is_polite_after_the_last_one_whatever_that_was_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """After one that failed, one of the guest's keeper, one that did not wait; a VM that went leaves nothing."""
    road, at = Road(), list[float]()
    road.see(HERE)
    vm = VmId(records.VM)

    async def sign_in(*_: object, **__: object) -> SshLink:
        at.append(asyncio.get_running_loop().time())
        raise LinkError("key-rejected", address=HERE, port=22, user="root")

    async def verified(code: str = "key-rejected") -> None:
        known = SimpleNamespace(address=HERE, host_key="")
        with pytest.raises(LinkError) as caught:
            await road.ways.verify(vm, cast("SshLink", known), KEY)
        assert caught.value.code == code

    monkeypatch.setattr("roadstead.act.guests.ssh_ways.open_ssh", sign_in)
    await verified()
    await verified()
    await asyncio.sleep(3600)
    await road.sign_ins.turn(vm)
    await verified()
    with pytest.raises(LinkError):
        await road.ways.enter(vm, SshTarget("root", 22, (HERE,), "/s"), KEY)
    await verified()
    road.store.apply(Gone("vm", vm))
    await verified("link-lost")
    gap = road.ways.grounds.settings.retry_first_seconds
    later = gap + 3600
    assert at == pytest.approx([0, gap, later + gap, later + gap, later + 2 * gap])
    assert road.sign_ins.ago(vm) == float("inf")


async def test_a_sign_in_that_was_overtaken_teaches_nothing(road: Road, guest: SimulatedGuest) -> None:
    """The host key is forgotten while it is under way: the link that saw it is closed, and its key is not kept."""
    road.see(HERE, port=guest.port)
    sign_in = SshWays._sign_in  # noqa: SLF001 - the moment between the sign-in and what it teaches
    links: list[SshLink] = []

    async def overtaken(ways: SshWays, *given: Any) -> SshLink:
        links.append(await sign_in(ways, *given))
        await road.memories.forget_pin(records.VM, None)
        return links[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SshWays, "_sign_in", overtaken)
        assert (await road.refused()).code == "link-lost"
    assert not links[0].is_open
    assert (road.met, road.memories.of(road.store.vms[records.VM]).last) == ([], None)
    await road.reach()
    assert road.met == [records.VM]
