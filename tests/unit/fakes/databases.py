"""A database in memory, with the methods of `Database` that memories and pools call; it fails on request."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from msgspec import structs

from roadstead.errors import ConflictError, NotFoundError, PeerError
from roadstead.kit import clocks
from roadstead.model import AuditEntry, PoolId, VmId
from roadstead.peers.database.client import KeyedVm, Pin, PluginToken, StoredPool
from roadstead.peers.database.drive_templates import NewText, StoredText

WRITE_SECONDS = 0.01


@dataclass
class FakeTemplates:
    """The methods of `DriveTemplates`; each version is kept."""

    kept: dict[tuple[PoolId, str], list[StoredText]] = field(default_factory=dict)

    async def newest(self, pool: PoolId) -> tuple[StoredText, ...]:
        return tuple(texts[-1] for (owner, _), texts in sorted(self.kept.items()) if owner == pool)

    async def versions(self, pool: PoolId, name: str) -> tuple[StoredText, ...]:
        return tuple(reversed(self.kept.get((pool, name), [])))

    async def text(self, pool: PoolId, name: str, version: int | None = None) -> StoredText | None:
        found = [one for one in self.kept.get((pool, name), []) if version in {None, one.version}]
        return found[-1] if found else None

    async def add(self, pool: PoolId, new: NewText) -> StoredText:
        texts = self.kept.setdefault((pool, new.name), [])
        made = StoredText(
            name=new.name,
            version=len(texts) + 1,
            profile=new.profile,
            size=len(new.text.encode()),
            saved=clocks.now(),
            who=new.who,
            text=new.text,
        )
        texts.append(made)
        return made

    async def remove(self, pool: PoolId, name: str) -> bool:
        return self.kept.pop((pool, name), None) is not None


@dataclass
class FakeDatabase:
    """What is kept, and how often it was written."""

    stored: dict[PoolId, StoredPool] = field(default_factory=dict)
    last: dict[VmId, Pin] = field(default_factory=dict)
    keyed: dict[tuple[PoolId, VmId, str], KeyedVm] = field(default_factory=dict)
    expected: dict[VmId, Pin] = field(default_factory=dict)
    is_broken: bool = False
    """Every write fails."""
    tokens: dict[str, PluginToken] = field(default_factory=dict)
    audited: list[AuditEntry] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)
    """When pins were written."""
    templates: FakeTemplates = field(default_factory=FakeTemplates)

    async def pools(self) -> tuple[StoredPool, ...]:
        return tuple(sorted(self.stored.values(), key=lambda pool: pool.name))

    async def add_pool(self, pool: StoredPool) -> None:
        await self._write()
        if pool.id in self.stored:
            raise ConflictError("pool-exists", name=pool.name)
        self.stored[pool.id] = pool

    async def update_pool(self, pool: StoredPool) -> None:
        await self._write()
        if pool.id not in self.stored:
            raise NotFoundError("no-such-pool", name=pool.name)
        self.stored[pool.id] = pool

    async def remove_pool(self, pool: PoolId) -> None:
        await self._write()
        self.stored.pop(pool, None)
        self.last = {vm: pin for vm, pin in self.last.items() if pin.pool != pool}
        self.expected = {vm: pin for vm, pin in self.expected.items() if pin.pool != pool}
        self.tokens = {hash: one for hash, one in self.tokens.items() if one.pool != pool}

    async def pins(self) -> tuple[Pin, ...]:
        return tuple(self.last.values())

    async def remember_pins(self, pool: PoolId, pins: Mapping[VmId, str]) -> None:
        await self._write()
        self.writes.append(asyncio.get_running_loop().time())
        self.last |= {vm: Pin(vm, pool, key, clocks.now()) for vm, key in pins.items()}

    async def forget_pin(self, vm: VmId) -> None:
        await self._write()
        self.last.pop(vm, None)

    async def expected_keys(self) -> tuple[Pin, ...]:
        return tuple(self.expected.values())

    async def expect_key(self, pool: PoolId, vm: VmId, key: str) -> None:
        await self._write()
        self.expected[vm] = Pin(vm, pool, key, clocks.now())

    async def forget_expected_keys(self, vms: Iterable[VmId]) -> None:
        await self._write()
        for vm in vms:
            self.expected.pop(vm, None)

    async def forget_vms(self, vms: Iterable[VmId]) -> None:
        await self._write()
        for vm in vms:
            self.last.pop(vm, None)
            self.expected.pop(vm, None)

    async def keyed_vms(self) -> tuple[KeyedVm, ...]:
        return tuple(self.keyed.values())

    async def remember_keyed_vms(self, pool: PoolId, openings: Sequence[tuple[VmId, str]]) -> None:
        await self._write()
        for vm, key in openings:
            self.keyed.setdefault((pool, vm, key), KeyedVm(pool, vm, key, clocks.now()))

    async def forget_keyed_vms(self, pool: PoolId, openings: Sequence[tuple[VmId, str]]) -> None:
        await self._write()
        for vm, key in openings:
            self.keyed.pop((pool, vm, key), None)

    async def mark_keyed_vms(self, vms: Sequence[VmId], gone: datetime | None) -> None:
        await self._write()
        for at, known in self.keyed.items():
            if known.vm in vms:
                self.keyed[at] = structs.replace(known, gone=gone)

    async def plugin_tokens(self) -> tuple[PluginToken, ...]:
        return tuple(self.tokens.values())

    async def keep_plugin_token(self, pool: PoolId, hash: str) -> None:
        await self._write()
        self.tokens[hash] = PluginToken(pool, hash, clocks.now())

    async def forget_plugin_tokens(self, pool: PoolId, but: str = "") -> None:
        await self._write()
        self.tokens = {hash: one for hash, one in self.tokens.items() if one.pool != pool or hash == but}

    async def add_audit(self, entries: Sequence[AuditEntry], keep: int) -> None:
        await self._write()
        self.audited = [*self.audited, *entries][-keep:]

    async def audit(self, limit: int) -> tuple[AuditEntry, ...]:
        return tuple(self.audited[::-1][:limit])

    async def _write(self) -> None:
        await asyncio.sleep(WRITE_SECONDS)
        if self.is_broken:
            raise PeerError("state-unusable", path="roadstead.db", reason="the disk is full")


def stored_pool(id: str = "pool-1", **fields: object) -> StoredPool:
    """A pool that was added."""
    defaults: dict[str, object] = {
        "id": PoolId(id),
        "name": f"name of {id}",
        "url": "https://10.0.0.1",
        "user": "root",
        "password": "secret",
        "fingerprints": {"": "0" * 64},
        "added": clocks.now(),
    }
    return StoredPool(**(defaults | fields))  # type: ignore[arg-type] # fields by name, as the caller chose
