"""What the rest of Roadstead reads from and writes to its own database.

Use::

    database = await Database.open(state / "roadstead.db", state / "secret.key")
    for pool in await database.pools():
        ...
    await database.close()

Every call may raise `PeerError` ``state-unusable`` (disk full, file gone, server away), and is done whole or not at
all: cancelling waits until it has ended.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec
from alembic.script import ScriptDirectory
from msgspec import Struct, structs
from sqlalchemy import URL, Delete, delete, event, func, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from roadstead.errors import ConflictError, NotFoundError, StartError
from roadstead.kit import clocks
from roadstead.model import AuditEntry, PoolId, VmId
from roadstead.peers.database import faults, places
from roadstead.peers.database.drive_templates import DriveTemplates
from roadstead.peers.database.migrations import load_scripts, migrate
from roadstead.peers.database.tables import (
    AuditRow,
    DriveTemplateRow,
    ExpectedKeyRow,
    KeyedVmRow,
    KeyProofRow,
    PinRow,
    PluginTokenRow,
    PoolRow,
)
from roadstead.peers.database.vault import Vault, open_vault
from roadstead.peers.database.wholeness import whole

T = TypeVar("T")
STATEMENT_ITEMS = 400
"""How many VMs one statement names; each may take two of SQLite's 999 parameters."""
BUSY_SECONDS = 10.0
"""How long a write waits for another program (a backup) that has the database locked."""


class StoredPool(Struct, frozen=True, kw_only=True):
    """A pool that the operator added, with what is needed to reach it. The password never shows in a repr."""

    id: PoolId
    name: str
    url: str
    user: str
    password: str
    ca_pem: str = ""
    """The operator's CA file, as PEM; empty when certificates are pinned."""
    fingerprints: dict[str, str] = {}
    """SHA-256 of each host's certificate by the host's address; the key "" is the host of the URL."""
    members: tuple[str, ...] = ()
    """Addresses of all hosts as last known."""
    admit: tuple[str, ...] = ()
    """Networks whose addresses may be used although they are of a kind that may not."""
    only: tuple[str, ...] = ()
    """When not empty: no guest outside of these networks is contacted."""
    publish: str = "on"
    """What the pool publishes: ``on``, ``off``, or ``tag:`` and the tag that VMs must have."""
    added: datetime
    flaw: str = ""
    """In plain words, what of this could not be read; it is empty then. Never written."""

    def __repr__(self) -> str:
        return f"StoredPool(id={self.id!r}, name={self.name!r}, url={self.url!r}, user={self.user!r})"


PROOF = "proof"
_PROOF_PLACE = KeyProofRow.__tablename__, PROOF, "sealed"
_COLUMNS: dict[str, Any] = {
    field.name: field.type for field in structs.fields(StoredPool) if field.name not in {"id", "password", "flaw"}
}
"""What of a pool's row is read as it stands, with its type."""


class Pin(Struct, frozen=True):
    """The SSH host ``key`` under which a VM was last reached (base64 blob), or must show, and since when that is so."""

    vm: VmId
    pool: PoolId
    key: str
    since: datetime


class KeyedVm(Struct, frozen=True):
    """A VM which the pool key with this fingerprint was put into, or which it opened; ``gone`` says since when it was
    seen to be in no pool.
    """

    pool: PoolId
    vm: VmId
    key: str
    since: datetime
    gone: datetime | None = None


class PluginToken(Struct, frozen=True):
    """That a pool's plugin may call with the token of this ``hash`` (SHA-256 in hexadecimal), and since when."""

    pool: PoolId
    hash: str
    since: datetime


class Database:
    """The open database. Made by `open`."""

    def __init__(self, engine: AsyncEngine, path: str, vault: Vault) -> None:
        self._engine = engine
        self._path = path
        self._vault = vault
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        self.templates = DriveTemplates(self._session, vault)

    @classmethod
    async def open(cls, where: str | Path, key_file: Path) -> Self:
        """Open (and make, or bring up to date) the database: the path of an SQLite file, or a URL.

        Raises `StartError` ``state-unusable`` or ``key-file-unusable``.
        """
        url = places.url_of(where)
        path = places.shown(url)
        with faults.border(path, StartError):
            engine, scripts = await asyncio.to_thread(_prepared, url)
            try:
                is_used = await _brought_up_to_date(engine, scripts)
                vault = await asyncio.to_thread(open_vault, key_file, make=not is_used)
                database = cls(engine, path, vault)
                await database._prove_key(anew=not is_used)
            except BaseException:
                await engine.dispose()
                raise
        return database

    async def close(self) -> None:
        """Close it."""
        await self._engine.dispose()

    def __repr__(self) -> str:
        return f"<Database {self._path}>"

    @whole
    async def pools(self) -> tuple[StoredPool, ...]:
        """Return all pools by name, also those of which not everything can be read: they have a ``flaw``."""
        async with self._session() as session:
            rows = await session.scalars(select(PoolRow).order_by(PoolRow.name))
            return tuple(self._pool(row) for row in rows)

    @whole
    async def add_pool(self, pool: StoredPool) -> None:
        """Keep a new pool. Raises `ConflictError` ``pool-exists`` when its id is known."""
        async with self._session() as session:
            session.add(PoolRow(id=pool.id, **self._columns(pool)))
            try:
                await session.commit()
            except IntegrityError as error:
                raise ConflictError("pool-exists", name=pool.name) from error

    @whole
    async def update_pool(self, pool: StoredPool) -> None:
        """Replace what is kept of a pool. Raises `NotFoundError` ``no-such-pool``."""
        async with self._session() as session:
            row = await session.get(PoolRow, pool.id)
            if row is None:
                raise NotFoundError("no-such-pool", name=pool.name)
            for column, value in self._columns(pool).items():
                setattr(row, column, value)
            await session.commit()

    @whole
    async def remove_pool(self, pool: PoolId) -> None:
        """Forget a pool, its password, its templates, what host keys its VMs have, and its plugin's token. Which VMs
        its key was put into stays known: it still opens them.
        """
        async with self._session() as session:
            await session.execute(delete(PoolRow).where(PoolRow.id == pool))
            await session.execute(delete(PluginTokenRow).where(PluginTokenRow.pool == pool))
            await session.execute(delete(PinRow).where(PinRow.pool == pool))
            await session.execute(delete(DriveTemplateRow).where(DriveTemplateRow.pool == pool))
            await session.execute(delete(ExpectedKeyRow).where(ExpectedKeyRow.pool == pool))
            await session.commit()

    @whole
    async def pins(self) -> tuple[Pin, ...]:
        """Return the last pins of all VMs."""
        async with self._session() as session:
            rows = await session.scalars(select(PinRow))
            return tuple(Pin(VmId(row.vm), PoolId(row.pool), row.key, row.since) for row in rows)

    @whole
    async def remember_pins(self, pool: PoolId, pins: Mapping[VmId, str]) -> None:
        """Keep the host keys of several VMs at once, instead of any others."""
        now = clocks.now()
        async with self._session() as session:
            for part in _parts(pins):
                await session.execute(delete(PinRow).where(PinRow.vm.in_(part)))
                rows = [{"vm": vm, "pool": pool, "key": pins[vm], "since": now} for vm in part]
                await session.execute(insert(PinRow), rows)
            await session.commit()

    @whole
    async def forget_pin(self, vm: VmId) -> None:
        """Forget the host key of ``vm``."""
        await self._execute(delete(PinRow).where(PinRow.vm == vm))

    @whole
    async def expected_keys(self) -> tuple[Pin, ...]:
        """Return the host keys (``<type> <fingerprint>``) that the operator said VMs must show."""
        async with self._session() as session:
            rows = await session.scalars(select(ExpectedKeyRow))
            return tuple(Pin(VmId(row.vm), PoolId(row.pool), row.key, row.since) for row in rows)

    @whole
    async def expect_key(self, pool: PoolId, vm: VmId, key: str) -> None:
        """Keep the host key that ``vm`` must show, instead of any other."""
        async with self._session() as session:
            await session.merge(ExpectedKeyRow(vm=vm, pool=pool, key=key, since=clocks.now()))
            await session.commit()

    @whole
    async def forget_expected_keys(self, vms: Iterable[VmId]) -> None:
        """Expect no special host key of these VMs."""
        async with self._session() as session:
            for part in _parts(vms):
                await session.execute(delete(ExpectedKeyRow).where(ExpectedKeyRow.vm.in_(part)))
            await session.commit()

    @whole
    async def forget_vms(self, vms: Iterable[VmId]) -> None:
        """Forget what host keys these VMs had, or must show."""
        async with self._session() as session:
            for part in _parts(vms):
                for table in (PinRow, ExpectedKeyRow):
                    await session.execute(delete(table).where(table.vm.in_(part)))
            await session.commit()

    @whole
    async def keyed_vms(self) -> tuple[KeyedVm, ...]:
        """Return the VMs that keys of pools open, as far as we know; of pools that were removed, too."""
        async with self._session() as session:
            rows = await session.scalars(select(KeyedVmRow).order_by(KeyedVmRow.since))
            return tuple(KeyedVm(PoolId(row.pool), VmId(row.vm), row.key, row.since, row.gone) for row in rows)

    @whole
    async def remember_keyed_vms(self, pool: PoolId, openings: Sequence[tuple[VmId, str]]) -> None:
        """Keep several VMs at once, each with a key (its fingerprint) of ``pool`` that opens it."""
        now = clocks.now()
        async with self._session() as session:
            for part in _parts(openings):
                vms = {vm for vm, _ in part}
                known = select(KeyedVmRow.vm, KeyedVmRow.key).where(KeyedVmRow.pool == pool, KeyedVmRow.vm.in_(vms))
                held = {(vm, key) for vm, key in await session.execute(known)}
                new = [opening for opening in part if opening not in held]
                if new:
                    rows = [{"pool": pool, "vm": vm, "key": key, "since": now} for vm, key in new]
                    await session.execute(insert(KeyedVmRow), rows)
            await session.commit()

    @whole
    async def forget_keyed_vms(self, pool: PoolId, openings: Sequence[tuple[VmId, str]]) -> None:
        """Forget of several VMs at once, each with a key of ``pool``, that this key opens it."""
        row = tuple_(KeyedVmRow.vm, KeyedVmRow.key)
        async with self._session() as session:
            for part in _parts(openings):
                await session.execute(delete(KeyedVmRow).where(KeyedVmRow.pool == pool, row.in_(part)))
            await session.commit()

    @whole
    async def mark_keyed_vms(self, vms: Sequence[VmId], gone: datetime | None) -> None:
        """Keep since when these VMs have been in no pool, or (None) that they are in one."""
        async with self._session() as session:
            for part in _parts(vms):
                await session.execute(update(KeyedVmRow).where(KeyedVmRow.vm.in_(part)).values(gone=gone))
            await session.commit()

    @whole
    async def plugin_tokens(self) -> tuple[PluginToken, ...]:
        """Return what is kept of the tokens of all pools' plugins."""
        async with self._session() as session:
            rows = await session.scalars(select(PluginTokenRow))
            return tuple(PluginToken(PoolId(row.pool), row.hash, row.since) for row in rows)

    @whole
    async def keep_plugin_token(self, pool: PoolId, hash: str) -> None:
        """Let the plugin of ``pool`` call with the token of this hash, too."""
        async with self._session() as session:
            await session.merge(PluginTokenRow(hash=hash, pool=pool, since=clocks.now()))
            await session.commit()

    @whole
    async def forget_plugin_tokens(self, pool: PoolId, but: str = "") -> None:
        """Forget the tokens of a pool's plugin, all or all ``but`` one."""
        await self._execute(delete(PluginTokenRow).where(PluginTokenRow.pool == pool, PluginTokenRow.hash != but))

    @whole
    async def add_audit(self, entries: Sequence[AuditEntry], keep: int) -> None:
        """Write entries of the audit, in their order; of all that there are the newest ``keep`` stay."""
        async with self._session() as session:
            session.add_all(AuditRow(**structs.asdict(entry)) for entry in entries)
            await session.flush()
            newest = await session.scalar(select(func.max(AuditRow.number)))
            await session.execute(delete(AuditRow).where(AuditRow.number <= (newest or 0) - keep))
            await session.commit()

    @whole
    async def audit(self, limit: int) -> tuple[AuditEntry, ...]:
        """Return the newest entries of the audit, the newest first."""
        names = AuditEntry.__struct_fields__
        async with self._session() as session:
            rows = await session.scalars(select(AuditRow).order_by(AuditRow.number.desc()).limit(limit))
            return tuple(AuditEntry(**{name: getattr(row, name) for name in names}) for row in rows)

    async def _prove_key(self, *, anew: bool) -> None:
        """Make sure that our key is the one that sealed what is kept. Raises `StartError` ``key-file-unusable``."""
        async with self._session() as session:
            proof = None if anew else await session.get(KeyProofRow, PROOF)
            if proof is not None:
                self._vault.open(proof.sealed, *_PROOF_PLACE)
                return
            rows = (await session.scalars(select(PoolRow))).all()
            if rows and not any(self._password(row) for row in rows):  # from before there was a proof
                self._vault.open(rows[0].password, *_password_of(rows[0].id))
            await session.merge(KeyProofRow(name=PROOF, sealed=self._vault.seal(PROOF, *_PROOF_PLACE)))
            await session.commit()

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[AsyncSession]:
        with faults.border(self._path):
            async with self._sessions() as session:
                yield session

    async def _execute(self, statement: Delete) -> None:
        async with self._session() as session:
            await session.execute(statement)
            await session.commit()

    def _columns(self, pool: StoredPool) -> dict[str, Any]:
        return {
            "name": pool.name,
            "url": pool.url,
            "user": pool.user,
            "password": self._vault.seal(pool.password, *_password_of(pool.id)),
            "ca_pem": pool.ca_pem,
            "fingerprints": dict(pool.fingerprints),
            "members": list(pool.members),
            "admit": list(pool.admit),
            "only": list(pool.only),
            "publish": pool.publish,
            "added": pool.added,
        }

    def _password(self, row: PoolRow) -> str:
        """Return the password of a pool; empty when it cannot be opened."""
        try:
            return self._vault.open(row.password, *_password_of(row.id))
        except StartError:
            return ""

    def _pool(self, row: PoolRow) -> StoredPool:
        password = self._password(row)
        columns = {name: getattr(row, name) for name in _COLUMNS}
        sound = {name: value for name, value in columns.items() if _fits(name, value)}
        lost = [name for name in _COLUMNS if name not in sound] + ["password"] * (not password)
        values = {"url": "", "user": "", "added": clocks.now(), **sound}
        pool = msgspec.convert({"id": row.id, "name": row.id, "password": password, **values}, StoredPool)
        return structs.replace(pool, flaw=f"{', '.join(lost)} cannot be read from the database") if lost else pool


def _parts(items: Iterable[T]) -> Iterator[tuple[T, ...]]:
    """Yield ``items`` in parts that one statement can name."""
    remaining = iter(items)
    while part := tuple(islice(remaining, STATEMENT_ITEMS)):
        yield part


def _fits(column: str, value: object) -> bool:
    try:
        msgspec.convert(value, _COLUMNS[column])
    except msgspec.ValidationError:
        return False
    return True


def _password_of(pool: str) -> tuple[str, str, str]:
    return PoolRow.__tablename__, pool, "password"


def _prepared(url: URL) -> tuple[AsyncEngine, ScriptDirectory]:
    """Return everything whose making reads files; blocks."""
    places.prepare(url)
    return _engine(url), load_scripts()


async def _brought_up_to_date(engine: AsyncEngine, scripts: ScriptDirectory) -> bool:
    """Bring the tables up to date; return whether anything was sealed: else a missing key may be made anew."""
    async with engine.begin() as connection:
        await connection.run_sync(migrate, scripts)
        return (await connection.execute(select(PoolRow.id).limit(1))).first() is not None


def _engine(url: URL) -> AsyncEngine:
    if not url.drivername.startswith("sqlite"):
        return create_async_engine(url)
    engine = create_async_engine(url, pool_size=1, max_overflow=0, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine.sync_engine, "connect", _tune)
    return engine


def _tune(connection: Any, _record: object) -> None:
    """Set up one SQLite connection: with a log, so that a backup never stops us; every commit reaches the disk."""
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={math.ceil(BUSY_SECONDS * 1000)}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
