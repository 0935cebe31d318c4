"""What every XAPI call acts on: the pool's database, its sessions, its VMs' insides, and the pool's own operations."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from roadstead.kit.latest import Latest
from roadstead.lab.pool import failures, values
from roadstead.lab.pool.accounts import Role
from roadstead.lab.pool.database import Change, Database, Record
from roadstead.lab.pool.images import Images
from roadstead.lab.pool.messages import Messages
from roadstead.lab.pool.mishaps import Mishaps
from roadstead.lab.pool.plugins import Plugins
from roadstead.lab.pool.profiles import CURRENT, Profile
from roadstead.lab.pool.sessions import Session, Sessions


class Insides(Protocol):
    """The guests behind the VMs, as the calls see them."""

    def has_tools(self, vm: str) -> bool:
        """Whether guest tools run in this VM (uuid), so that it can be shut down cleanly and migrated."""

    def boot(self, vm: str) -> None:
        """The VM (reference) was started: boot what is inside; never waits."""

    async def halt(self, vm: str) -> None:
        """The VM (reference) is being stopped: when it returns, nothing inside answers."""

    async def remove(self, vm: str) -> None:
        """The VM (uuid) is about to be destroyed: remove what is inside."""

    def copied(self, source: str, copy: str) -> None:
        """The VM `copy` (uuid) was cloned from `source` (uuid): it has the same inside."""

    async def settle_keys(self) -> None:
        """Let the owners of the pool's keys into every guest, when those keys have changed."""


class Operator(Protocol):
    """What only the pool as a whole can do."""

    async def save(self) -> None:
        """Write the database to its file: what was written before survives every crash."""

    async def hand_over(self, host: str) -> None:
        """Make `host` (reference) the master in good order; every session ends."""

    async def take_over(self, host: str) -> None:
        """Make `host` (reference) the master after the old one was lost, with the database of its last copy."""

    def address(self, host: str) -> str:
        """The management address of a host (reference)."""

    def origin(self, host: str) -> str:
        """Where a host (reference) serves: `https://ADDRESS:PORT`."""

    def certificate(self, host: str) -> bytes:
        """The server certificate of a host (reference), in DER."""

    def is_reachable(self, host: str) -> bool:
        """Whether a host (reference) answers the others."""

    def socket(self, host: str) -> Path:
        """The Unix socket on which a host (reference) answers its own programs."""


@dataclass(slots=True)
class Core:
    """The pool.  Everything that waits for changes waits for `pulse`."""

    database: Database
    sessions: Sessions
    messages: Messages
    password: str
    insides: Insides
    operator: Operator
    plugins: Plugins
    images: Images
    group: asyncio.TaskGroup
    pulse: Latest[int]
    busy: dict[str, str] = field(default_factory=dict)
    """VM → the operation that is under way in it."""
    waiting: int = 0
    """How many calls wait for changes."""
    profile: Profile = CURRENT
    missing: frozenset[str] = frozenset()
    """The calls that the profile does not know."""
    contact_seconds: float = 110.0
    """After this time the master gives up a host that does not answer."""
    domains: int = 0
    """How many domains were started: the number of the newest."""
    mishaps: Mishaps = field(default_factory=Mishaps)

    @property
    def pool(self) -> str:
        """The reference of the pool object."""
        return next(iter(self.database.table("pool").rows))

    @property
    def master(self) -> str:
        """The reference of the master."""
        return str(self.database.get("pool", self.pool)["master"])

    def vm(self, ref: str) -> Record:
        """The present record of a VM."""
        return self.database.get("VM", ref)

    def beat(self, _: Change | None = None) -> None:
        """Wake those who wait for changes."""
        self.pulse.set(self.database.generation)


@dataclass(frozen=True, slots=True)
class Call:
    """One call that passed the checks: who calls, at which host it arrived."""

    core: Core
    host: str
    who: Session | None

    @property
    def database(self) -> Database:
        """The pool's database."""
        return self.core.database

    @property
    def session(self) -> Session:
        """The caller's session; SESSION_INVALID when the call has none."""
        if self.who is None:
            raise failures.Failure("SESSION_INVALID", values.NULL)
        return self.who


Handler = Callable[..., object | Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Method:
    """One XAPI call: its argument types after the session, the role it needs, and what it does."""

    name: str
    kinds: tuple[str, ...]
    run: Handler
    role: Role = Role.READ_ONLY
    optional: int = 0
    """So many of the last arguments may be left out."""
    surplus: bool = False
    """More arguments than there are types are ignored, not refused."""
    session: bool = True
    """The first argument is a session."""
    asynchronous: bool = False
    """`Async.` before its name makes it a task."""
    on_member: bool = False
    """A member answers it itself."""
    permission: Callable[..., tuple[str, Role]] | None = None
    """Permission and role that depend on the arguments."""


Methods = tuple[Method, ...]
