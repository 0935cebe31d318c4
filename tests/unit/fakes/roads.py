"""Guests to be kept: roads that lead to engines in memory, closed or open as a test wants it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import pairwise

from roadstead.act.guests.guest import Opened, Services
from roadstead.act.guests.sign_ins import SignIns
from roadstead.errors import PeerError
from roadstead.inventory.store import Store
from roadstead.kit.gates import Budget
from roadstead.lab.guests.engine import Engine
from roadstead.model import Container, Fact, Link, Seen, VmId
from roadstead.peers.links.credentials import Expiry
from roadstead.settings.schema import Settings
from tests.unit.fakes import records
from tests.unit.fakes.ways import MemoryLink, made_engine

SIGN_IN_SECONDS = 0.05


@dataclass
class Road:
    """The way to one guest: ``error`` says what a sign-in meets, None that it works."""

    engine: Engine = field(default_factory=made_engine)
    error: PeerError | None = None
    mistake: Exception | None = None
    """What no sign-in should meet."""
    expiry: Expiry | None = None
    """What ends first of the certificates that the link is opened under."""
    signed_in: list[float] = field(default_factory=list)
    """When sign-ins began."""
    links: list[MemoryLink] = field(default_factory=list)
    """The links that were opened."""

    async def open(self) -> Opened:
        """Sign in."""
        self.signed_in.append(asyncio.get_running_loop().time())
        await asyncio.sleep(SIGN_IN_SECONDS)
        if self.mistake is not None:
            raise self.mistake
        if self.error is not None:
            raise type(self.error)(self.error.code, **self.error.fields)
        self.links.append(MemoryLink(self.engine))
        return Opened(self.links[-1], "SHA256:abc", lambda: self.expiry)

    @property
    def link(self) -> MemoryLink:
        """The newest link."""
        return self.links[-1]

    def cut(self) -> None:
        """The network is gone: the link breaks, and no sign-in works."""
        self.error = records.link_error("timed-out")
        self.link.close()

    @property
    def gaps(self) -> list[float]:
        """The times between sign-ins."""
        return [later - earlier for earlier, later in pairwise(self.signed_in)]


class World:
    """An inventory that takes facts, and what guests share."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.store = Store()
        self.store.apply(Seen(records.pool()), Seen(records.vm()))
        self.told: list[tuple[float, Fact]] = []
        self.followers: list[Callable[[VmId], None]] = []
        settings = settings or Settings()
        budget, sign_ins = Budget(2**28, 2**23), SignIns(settings.link.retry_first_seconds)
        self.services = Services(settings, budget, self.tell, self.names, sign_ins, lambda _: nullcontext())

    def tell(self, facts: Sequence[Fact]) -> None:
        """Take facts into the inventory, and tell who follows VMs."""
        now = asyncio.get_running_loop().time()
        self.told.extend((now, fact) for fact in facts)
        for change in self.store.apply(*facts):
            if change.kind == "vm":
                for follower in self.followers:
                    follower(VmId(change.id))

    def names(self, vm: VmId) -> Mapping[str, str]:
        """What a VM and its pool are called."""
        found = self.store.vms.get(vm)
        return {"vm": found.name, "pool": found.pool_name} if found else {}

    def link(self, vm: VmId = records.VM) -> Link:
        """How a VM stands."""
        found = self.store.vms[vm].link
        assert found is not None
        return found

    def states(self, vm: VmId = records.VM) -> list[tuple[float, str, str]]:
        """When a VM's link was said to be in which state, with the code of its problem."""
        said = [(at, fact.record) for at, fact in self.told if isinstance(fact, Seen)]
        links = [(at, record) for at, record in said if isinstance(record, Link) and record.vm == vm]
        return [(at, link.state.value, link.problem.code if link.problem else "") for at, link in links]

    def words(self, vm: VmId = records.VM) -> list[str]:
        """The states and codes, without times and repetitions."""
        found = [f"{state} {code}".strip() for _, state, code in self.states(vm)]
        return [word for place, word in enumerate(found) if place == 0 or found[place - 1] != word]

    def containers(self, vm: VmId = records.VM) -> list[Container]:
        """A VM's containers by name."""
        return sorted(self.store.containers_of(vm).values(), key=lambda container: container.name)
