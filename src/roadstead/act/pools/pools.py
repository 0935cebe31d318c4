"""The pools that Roadstead is signed in to: kept in a database, tried before they are accepted, changed at run time."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from msgspec import structs

from roadstead.act.audit import Audit
from roadstead.act.keys.keyed import Opening
from roadstead.act.keys.pair import KeyPair
from roadstead.act.memory import Memories
from roadstead.act.pool_database import plugin_keys
from roadstead.act.pools.pool import PoolEvents, PoolKeeper, Tell, unusable
from roadstead.act.pools.trials import PoolChange, Probe, Step, Trials
from roadstead.act.publishing.outputs import MakeOutputs, Outputs, PoolDoor, Wiped
from roadstead.errors import ConflictError, InputError, NotFoundError, PoolError
from roadstead.kit import clocks, tasks
from roadstead.kit.batches import Batches
from roadstead.kit.outages import LoggedOutage
from roadstead.kit.text import pem_certificates
from roadstead.kit.turns import Turns
from roadstead.model import Gone, Pool, PoolId, VmId
from roadstead.model.addresses import parse_network
from roadstead.peers.database.client import Database, StoredPool
from roadstead.peers.xapi.client import XapiClient
from roadstead.peers.xapi.trust import PoolAddress, Trust, Verifier
from roadstead.plan.addresses import Network, Rules
from roadstead.plan.publishing import Choice
from roadstead.settings.schema import PoolSettings

RETRY_SECONDS = 10.0
"""How long after a failed write what the pools said of themselves is written again."""

WIPE_SECONDS = 60.0
"""How long a removal takes to wipe what was published: a thousand VMs, at twenty writes a second."""

_NOWHERE = PoolAddress("https://nowhere.invalid", "", "", Trust())
"""The address of a pool whose own cannot be read."""

EVERYTHING = "on"
"""What a pool publishes of which nothing else was said."""
RulesChanged = Callable[[PoolId], None]
"""Told of a pool of whose guests other addresses are allowed now."""


class Pools:
    """The pools' keepers, and the commands that change which there are."""

    def __init__(
        self,
        database: Database,
        memories: Memories,
        audit: Audit,
        settings: PoolSettings,
        tell: Tell,
        rules_changed: RulesChanged,
        make_outputs: MakeOutputs,
    ) -> None:
        self._database = database
        self._memories = memories
        self._audit = audit
        self._settings = settings
        self._trials = Trials(settings)
        self._tell = tell
        self._rules_changed = rules_changed
        self._make_outputs = make_outputs
        self._stored: dict[PoolId, StoredPool] = {}
        self._rules: dict[PoolId, Rules] = {}
        self._tasks: dict[PoolId, asyncio.Task[None]] = {}
        self._owner = tasks.Owner()
        self._changing = asyncio.Lock()
        self._turns: Turns[PoolId] = Turns()
        """Of several commands about one pool one is carried out after the other; held outside of ``_changing``, since
        wiping takes long.
        """
        self._started = asyncio.Event()
        self._unwritten: dict[PoolId, tuple[str, PoolAddress]] = {}
        """What pools said of themselves last, until it is in the database: that one's failure is no pool's outage."""
        self._learning = Batches(
            self._keep_learned,
            delay=0.0,
            retry=RETRY_SECONDS,
            report=LoggedOutage("keeping what pools say of themselves"),
        )
        self.keepers: dict[PoolId, PoolKeeper] = {}

    async def run(self) -> None:
        """Own the pools' tasks until cancelled."""
        await self._owner.run(self._begin())

    async def _begin(self) -> None:
        for stored in sorted(await self._database.pools(), key=lambda pool: pool.added):
            self._start(stored)
        self._started.set()
        await self._learning.run()

    async def wait_started(self) -> None:
        """Wait until the pools of the database are being kept, and commands are taken."""
        await self._started.wait()

    def stored(self, pool: PoolId) -> StoredPool:
        """Return what is stored of a pool. Raises `NotFoundError` ``no-such-pool``."""
        if pool not in self._stored:
            raise NotFoundError("no-such-pool", name=pool)
        return self._stored[pool]

    def keeper(self, pool: PoolId) -> PoolKeeper:
        """Return the keeper of a pool. Raises `NotFoundError` ``no-such-pool``."""
        self.stored(pool)
        return self.keepers[pool]

    def rules(self, pool: PoolId) -> Rules:
        """Return which addresses of the pool's guests the operator allows."""
        return self._rules.get(pool, Rules())

    # ---- commands

    async def probe(self, url: str) -> Probe:
        """Return the certificate that the server at ``url`` shows; nothing is sent to it."""
        return await self._trials.probe(url)

    async def add(self, change: PoolChange) -> Pool:
        """Sign in to a pool, and keep it once that worked; return its record.

        Raises `InputError` that names the field, `ConflictError` ``fingerprint-needed`` or ``pool-exists``, and
        `PoolError` with what the pool said; then nothing was kept.
        """
        with self._audit.of("pool add", change.url or ""):
            return await self._add(change)

    async def change(self, pool: PoolId, change: PoolChange) -> Pool:
        """Change how a pool is reached, after that was tried, or which addresses of it are allowed."""
        with self._audit.of("pool set", pool):
            async with self._turns.of(pool):
                return await self._change(pool, change)

    async def remove(self, pool: PoolId, *, keep_published: bool = False) -> Wiped:
        """Sign out of a pool and forget it, with all that is known of it here. What was published there, our alerts
        and what its plugin was told are taken away before, as far as the pool lets us: nobody would keep them current.
        That never stands in the way.
        """
        with self._audit.of("pool remove", pool):
            async with self._turns.of(pool):
                return await self._wipe_and_remove(pool, keep_published=keep_published)

    async def test(self, pool: PoolId) -> list[Step]:
        """Sign in to a pool anew, beside the session that is kept, and tell how each step went."""
        flaw = self.keeper(pool).flaw
        if flaw is not None:
            return [Step(step="read what is stored", ok=False, seconds=0.0, message=str(flaw))]
        return await self._trials.steps(_address(self.stored(pool)))

    async def key(self, pool: PoolId) -> KeyPair:
        """Return the pool's SSH key pair, made on first need."""
        return await self.keeper(pool).keys.pair()

    def keyed(self, pool: PoolId) -> Mapping[VmId, frozenset[str]]:
        """The VMs that keys of the pool open, each with these keys' fingerprints, as far as it was seen from here."""
        return self._memories.keyed.by_pool(pool)

    def keyed_until(self, vm: VmId) -> datetime | None:
        """When it is forgotten whose keys open ``vm``, which is in no pool any more."""
        gone = self._memories.keyed.gone(vm)
        return None if gone is None else gone + timedelta(days=self._settings.keyed_days)

    async def forget_retired(self, pool: PoolId, vm: VmId) -> None:
        """The operator took the lines of retired keys out of ``vm``: nobody else could see that. What the pool's
        present keys open stays known.
        """
        with self._audit.of("pool key forget", vm):
            pair = await self.key(pool)
            for key in self.keyed(pool).get(vm, frozenset()) - {pair.fingerprint, pair.former_fingerprint}:
                self._memories.keyed.closes(Opening(pool, vm, key))
            self._memories.keep_soon()

    def name(self, pool: PoolId) -> str:
        """What a pool is called; its id when it is known no more."""
        return self._stored[pool].name if pool in self._stored else pool

    def statistics(self) -> Mapping[str, int]:
        """How many pools there are, and how many of them are live."""
        return {"pools": len(self.keepers), "live": sum(keeper.record.live for keeper in self.keepers.values())}

    # ---- pieces

    async def _add(self, change: PoolChange) -> Pool:
        self._owner.must_run()
        admit, only = networks("admit", change.admit), networks("only", change.only)
        publish = change.publish or EVERYTHING
        Choice.parse(publish)
        missing = [name for name in ("url", "user", "password") if not getattr(change, name)]
        if missing:
            raise InputError("field-invalid", field=missing[0], reason="it is missing")
        url = change.url or ""
        trust = await self._trials.trust(url, change)
        address = PoolAddress(url, change.user or "", change.password or "", trust)
        async with self._changing:
            address, record = await self._trials.reach(address)
            if record.id in self._stored:
                raise ConflictError("pool-exists", name=record.name)
            unreached = StoredPool(id=record.id, name=record.name, url=url, user="", password="", added=clocks.now())
            stored = structs.replace(_reached(unreached, address), admit=admit, only=only, publish=publish)
            await self._database.add_pool(stored)
            keeper = self._start(stored)
        return await keeper.wait_settled()

    async def _change(self, pool: PoolId, change: PoolChange) -> Pool:
        admit, only = networks("admit", change.admit), networks("only", change.only)
        if change.publish is not None:
            Choice.parse(change.publish)
        async with self._changing:
            old = self.stored(pool)
            address = await self._trials.changed(_address(old), change)
            reached = self.stored(pool)
            if address != _address(old) or self.keepers[pool].flaw:
                address, _ = await self._trials.reach(address)
                reached = _reached(self.stored(pool), address)
            stored = structs.replace(
                reached,
                admit=reached.admit if change.admit is None else admit,
                only=reached.only if change.only is None else only,
                publish=change.publish or reached.publish,
            )
            await self._database.update_pool(stored)
            await self._stop(pool)
            keeper = self._start(stored)
        self._rules_changed(pool)
        return await keeper.wait_settled()

    async def _wipe_and_remove(self, pool: PoolId, *, keep_published: bool) -> Wiped:
        try:
            wiped = Wiped() if keep_published else await self._wipe(pool)
            wiped = structs.replace(wiped, plugin=await self._withdraw(pool))
            await self._remove(pool)
        except BaseException:
            if pool in self.keepers:
                self.keepers[pool].outputs.resume()
            raise
        return wiped

    async def _wipe(self, pool: PoolId) -> Wiped:
        keeper = self.keeper(pool)
        if keeper.record.live:
            return await keeper.outputs.wipe(WIPE_SECONDS)
        return Wiped(left=keeper.outputs.ours(), reason=_unreached(keeper.record))

    async def _withdraw(self, pool: PoolId) -> str:
        """Take away what the pool's plugin was told by this server; return why that stays, empty when it does not."""
        hashes = {token.hash for token in await self._database.plugin_tokens() if token.pool == pool}
        keeper = self.keeper(pool)
        if not hashes:
            return ""
        if not keeper.record.live:
            return _unreached(keeper.record)
        try:
            async with asyncio.timeout(WIPE_SECONDS):
                if await plugin_keys.names_one_of(keeper.client, pool, hashes):
                    await plugin_keys.withdraw(keeper.client, pool)
        except TimeoutError:
            return f"it takes longer than {WIPE_SECONDS:g} s"
        except PoolError as error:
            return error.clause
        return ""

    async def _remove(self, pool: PoolId) -> None:
        async with self._changing:
            self.stored(pool)
            await self._database.remove_pool(pool)
            await self._stop(pool)
            self._memories.forget_pool(pool)
            del self.keepers[pool], self._stored[pool], self._rules[pool]
        self._tell([Gone("pool", pool)])

    def _start(self, stored: StoredPool) -> PoolKeeper:
        self._owner.must_run()
        record = Pool(id=stored.id, name=stored.name, url=stored.url, as_of=clocks.now())
        flaw = _flaw(stored)
        client = XapiClient(_address(stored) if flaw is None else _NOWHERE, self._settings)
        events = PoolEvents(self._tell, self._memories.adopt, self._learned, self._outputs)
        keeper = PoolKeeper(record, client, events, self._settings, flaw)
        self._stored[stored.id] = stored
        self._rules[stored.id] = _rules(stored) if flaw is None else Rules()
        self.keepers[stored.id] = keeper
        self._tasks[stored.id] = self._owner.start(keeper.run, f"pool {stored.name}", keeper.failed)
        return keeper

    async def _stop(self, pool: PoolId) -> None:
        await tasks.stop(self._tasks.pop(pool))
        self._unwritten.pop(pool, None)

    def _outputs(self, pool: PoolDoor) -> Outputs:
        return self._make_outputs(pool, lambda: Choice.parse(self.stored(pool.id).publish))

    def _learned(self, pool: PoolId, name: str, address: PoolAddress) -> None:
        self._unwritten[pool] = (name, address)
        self._learning.add()

    async def _keep_learned(self) -> None:
        for pool in tuple(self._unwritten):
            await self._write_learned(pool)

    async def _write_learned(self, pool: PoolId) -> None:
        async with self._changing:
            if pool not in self._unwritten:  # it was removed or changed meanwhile
                return
            name, address = self._unwritten[pool]
            stored = self.stored(pool)
            known = structs.replace(_reached(stored, address), name=name)
            if known != stored:
                with suppress(NotFoundError):  # a removal was cut short
                    await self._database.update_pool(known)
                self._stored[pool] = known
            if self._unwritten[pool] == (name, address):
                del self._unwritten[pool]


def _unreached(record: Pool) -> str:
    """Why a pool that is not live cannot be written to."""
    return record.problem.cause.removesuffix(".") if record.problem is not None else "the pool was not reached yet"


def networks(name: str, texts: Sequence[str] | None) -> tuple[str, ...]:
    """Return networks in their one spelling. Raises `InputError` ``network-invalid``."""
    found = []
    for text in texts or ():
        try:
            found.append(str(parse_network(text.strip())))
        except ValueError as error:
            raise InputError("network-invalid", field=name, value=text) from error
    return tuple(dict.fromkeys(found))


def _flaw(stored: StoredPool) -> PoolError | None:
    """Return the problem of a pool that cannot be reached by what is stored of it."""
    try:
        if stored.flaw:
            return PoolError("pool-unusable", pool=stored.name, reason=stored.flaw)
        Verifier(_address(stored))
        Choice.parse(stored.publish)
        _rules(stored)
    except InputError as error:
        return unusable(stored.name, error)
    return None


def _rules(stored: StoredPool) -> Rules:
    return Rules(_parsed(networks("admit", stored.admit)), _parsed(networks("only", stored.only)))


def _parsed(texts: Sequence[str]) -> tuple[Network, ...]:
    return tuple(parse_network(text) for text in texts)


def _address(stored: StoredPool) -> PoolAddress:
    """How a stored pool is reached."""
    # What was stored by a version that kept the whole file may hold a private key: it goes with the next writing.
    trust = Trust(ca_pem=pem_certificates(stored.ca_pem) or stored.ca_pem, fingerprints=stored.fingerprints)
    return PoolAddress(stored.url, stored.user, stored.password, trust, stored.members, stored.name, stored.id)


def _reached(stored: StoredPool, address: PoolAddress) -> StoredPool:
    """Return ``stored`` with how it is reached replaced."""
    return structs.replace(
        stored,
        url=address.url,
        user=address.user,
        password=address.password,
        ca_pem=address.trust.ca_pem,
        fingerprints=dict(address.trust.fingerprints),
        members=address.members,
        flaw="",
    )
