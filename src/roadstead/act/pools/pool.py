"""One pool: its session is kept, its events are followed; `config` writes to it, `keys` holds its key pair."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog
from msgspec.structs import replace

from roadstead.act.keys.pair import PoolKeys
from roadstead.act.pool_database.config import PoolConfig
from roadstead.act.pools.trials import Trials
from roadstead.act.publishing.outputs import Outputs, PoolDoor
from roadstead.errors import InputError, PeerError, PoolError, RoadsteadError
from roadstead.kit import clocks, tasks
from roadstead.kit.backoff import Backoff
from roadstead.kit.keep import Healthy, keep
from roadstead.kit.mistakes import Mistakes
from roadstead.kit.turns import Turns
from roadstead.kit.waiter import Alarm
from roadstead.model import Fact, Host, Pool, PoolId, Problem, Seen, Vm, VmId, canonical, config_keys
from roadstead.peers.xapi.client import XapiClient
from roadstead.peers.xapi.trust import PoolAddress
from roadstead.settings.schema import PoolSettings
from roadstead.watch.pool import PoolWatcher

log = structlog.get_logger()

RIGHTS_LIMIT_SECONDS = 3600.0
"""The longest pause before a new sign-in that is to bring a right, where the same is denied again and again."""
Tell = Callable[[Sequence[Fact]], None]
"""Where facts go: into the inventory."""


@dataclass(frozen=True, slots=True)
class PoolEvents:
    """Whom a pool's keeper tells."""

    tell: Tell
    adopt: Callable[[PoolId, Mapping[VmId, str]], None]
    """The pins of a pool whose first listing has come, before the listing is told."""
    learned: Callable[[PoolId, str, PoolAddress], None]
    """The name of the pool that is kept under this id, or what is known of its hosts and their certificates, changed:
    to be stored.
    """
    outputs: Callable[[PoolDoor], Outputs]
    """Makes what is kept in the pool for its other clients."""


class PoolKeeper:
    """Keeps one pool for ever. ``stored`` is the pool as it was last known, shown until it answers. With a ``flaw``,
    what is stored does not tell how it is reached: nothing is tried then, and the flaw is its problem.
    """

    def __init__(
        self,
        stored: Pool,
        client: XapiClient,
        events: PoolEvents,
        settings: PoolSettings,
        flaw: PoolError | None = None,
    ) -> None:
        self.id = stored.id
        self.client = client
        self.config = PoolConfig(client, settings.retry_limit_seconds)
        self.keys = PoolKeys(client, stored.id)
        self.preparing: Turns[VmId] = Turns()
        """Whose turn it is to change how a VM is managed: over SSH or TLS, prepared or taken back, one at a time."""
        self.outputs = events.outputs(PoolDoor(stored.id, client, self.config))
        self._record = stored
        self._events = events
        self._settings = settings
        self.flaw = flaw
        self._addresses: frozenset[str] = frozenset()
        self._healthy: Healthy = lambda: None
        self._wake = Alarm()
        self._settled = asyncio.Event()
        self._heard = stored.as_of
        self._lack: Problem | None = None
        """What our account may not do there, although the pool can be followed."""

    @property
    def record(self) -> Pool:
        """The pool as last known."""
        return self._record

    @property
    def host_addresses(self) -> frozenset[str]:
        """Canonical addresses of the pool's hosts: never a guest's."""
        return self._addresses

    async def wait_settled(self) -> Pool:
        """Wait until the first try has ended, one way or the other, or the keeper; return the pool as it then is."""
        await self._settled.wait()
        return self._record

    def try_now(self) -> None:
        """Try a pool that is lost at once."""
        self._wake.set()

    async def run(self) -> None:
        """Keep the pool until cancelled; sign out at the end."""
        self._say(self._record)
        pace = Backoff(self._settings.retry_first_seconds, self._settings.retry_limit_seconds)
        steady = self._settings.steady_seconds
        try:
            async with asyncio.TaskGroup() as group:
                tasks.spawn(group, self.config.run(), f"sync of pool {self.id}")
                tasks.spawn(group, self.outputs.run(), f"outputs of pool {self.id}")
                tasks.spawn(group, self._follow_rights(), f"rights in pool {self.id}")
                whose = f"pool {self.id}"
                await keep(self._attempt, whose=whose, pace=pace, report=self, wake=self._wake, steady_seconds=steady)
        finally:
            self._settled.set()
            await self.client.close()

    # ---- its own life

    async def _attempt(self, healthy: Healthy) -> None:
        if self.flaw is not None:
            raise PoolError(self.flaw.code, **self.flaw.fields)
        self._healthy = healthy
        try:
            await PoolWatcher(self.client, self._record, self, self._settings).run()
        except InputError as error:  # what was stored, or the pool said, makes no sense: that is this pool's trouble
            raise unusable(self._record.name, error) from error

    async def _follow_rights(self) -> None:
        """Say what the account may not do, and look now and then whether it may by now: a role counts from the next
        sign-in on. That is made when it helps, and less and less often when the same is denied again.
        """
        limit = self._settings.retry_limit_seconds
        pace, mistakes = Backoff(limit, max(limit, RIGHTS_LIMIT_SECONDS)), Mistakes()
        while True:
            call = await self.client.wait_denied()
            with mistakes.borne(f"rights in pool {self.id}"):
                await self._lacks(call, pace.delay())

    async def _lacks(self, call: str, seconds: float) -> None:
        """Say so, and have a session with the right again as soon as there is one; it is looked for in ``seconds``."""
        log.warning("pool account lacks a right", pool=self.id, name=self._record.name, call=call)
        error = PoolError("pool-not-permitted", call=call, pool=self._record.name)
        self._lack = Problem.of(error, clocks.now())
        if self._record.live:
            self._say(replace(self._record, problem=self._lack))
        await asyncio.sleep(seconds)
        await self._permitted(self._settings.retry_limit_seconds)
        self._lack = None
        with suppress(PoolError, InputError):  # who watches the pool says what is wrong with it
            await self.client.open()

    async def _permitted(self, seconds: float) -> None:
        """Ask every so many ``seconds``, with sessions of their own, until the account may do our work."""
        while True:
            if await Trials(self._settings).is_permitted(self.client.address):
                return
            await asyncio.sleep(seconds)

    # ---- what the watcher says

    def heard(self) -> None:
        """The pool answered."""
        self._heard = clocks.now()

    def listed(self, facts: Sequence[Fact], pool: Pool, hosts: Sequence[Host]) -> None:
        """A complete listing came: the pool is live."""
        self._events.adopt(self.id, _pins(facts))
        self._healthy()
        self._take(facts, pool, hosts)
        self.outputs.answers()

    async def changed(self, facts: Sequence[Fact], pool: Pool, hosts: Sequence[Host]) -> None:
        """Something changed."""
        if self._take(facts, pool, hosts):
            await self.certified()

    def published(self, digests: Mapping[VmId, Mapping[str, str]]) -> None:
        """The pool holds other published values than before."""
        self.outputs.published(digests)

    def alerted(self, bodies: Mapping[VmId, Mapping[str, str]]) -> None:
        """The pool holds other alerts than before."""
        self.outputs.alerted(bodies)

    async def certified(self) -> None:
        """The pool's name, its hosts or their certificates may be others: they are read, and kept."""
        self._events.learned(self.id, self._record.name, await self.client.learn_members())

    def _take(self, facts: Sequence[Fact], pool: Pool, hosts: Sequence[Host]) -> bool:
        """Tell ``facts``; return whether the pool or one of its hosts is called otherwise than before."""
        before = self._record.name, self._addresses
        self._record = pool
        self._addresses = frozenset(text for host in hosts if (text := canonical(host.address)))
        self._events.tell(facts)
        if self._lack is not None:
            self._say(replace(pool, problem=self._lack))
        self._settled.set()
        return before != (pool.name, self._addresses)

    # ---- what the supervisor says

    def began(self, error: PeerError) -> None:
        """The pool is lost, for this reason: what is known of it is as of when it was last heard."""
        known = self._record.problem
        if known is None or known.code != error.code:
            log.warning("pool lost", pool=self.id, name=self._record.name, problem=error.code)
            known = None
        problem = Problem.of(error, known.since if known else clocks.now())
        self._say(replace(self._record, live=False, problem=problem, as_of=self._heard))
        self._settled.set()

    def failed(self, error: RoadsteadError) -> None:
        """Its keeper has ended, which nothing but a mistake of ours does."""
        self.began(PeerError(error.code, **error.fields))

    def ended(self) -> None:
        """The pool works again; `listed` says so with what was found."""
        log.info("pool live", pool=self.id, name=self._record.name)

    def _say(self, pool: Pool) -> None:
        self._record = pool
        self._events.tell([Seen(pool)])


def unusable(name: str, error: InputError) -> PoolError:
    """Return the problem of the pool ``name``, of which something that we hold makes no sense."""
    return PoolError("pool-unusable", pool=name, reason=error.clause)


def _pins(facts: Sequence[Fact]) -> dict[VmId, str]:
    vms = [fact.record for fact in facts if isinstance(fact, Seen) and isinstance(fact.record, Vm)]
    return {vm.id: pin for vm in vms if (pin := vm.settings.get(config_keys.HOST_KEY))}
