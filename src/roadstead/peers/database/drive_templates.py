"""The templates for config drives that the operators of pools wrote: every version is a row, and none is changed.

So servers that share a database agree on them, and a version that was seen once stays what it was. Of each template the
newest `KEPT_VERSIONS` stay.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any

from msgspec import Struct, structs
from sqlalchemy import Select, delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from roadstead.errors import ConflictError, PeerError, StartError
from roadstead.kit import clocks
from roadstead.model import PoolId
from roadstead.peers.database.tables import DriveTemplateRow as Row
from roadstead.peers.database.vault import Vault
from roadstead.peers.database.wholeness import whole

KEPT_VERSIONS = 20
MOST_TEMPLATES = 64
"""Of one pool."""


class StoredTemplate(Struct, frozen=True, kw_only=True):
    """A version of a template, without its text; a template's versions count from 1."""

    name: str
    version: int
    profile: str
    size: int
    """Bytes of its text."""
    saved: datetime
    who: str


class StoredText(StoredTemplate, frozen=True, kw_only=True):
    """A version of a template with its text, which never shows in a repr."""

    text: str

    def __repr__(self) -> str:
        return f"StoredText(name={self.name!r}, version={self.version}, profile={self.profile!r})"


class NewText(Struct, frozen=True, kw_only=True):
    """A version that is to be kept; ``after`` is the version that it was made from, None where that does not matter."""

    name: str
    profile: str
    text: str
    who: str
    after: int | None = None


class DriveTemplates:
    """The templates of all pools. Every call may raise `PeerError` ``state-unusable``."""

    def __init__(self, sessions: Callable[[], AbstractAsyncContextManager[AsyncSession]], vault: Vault) -> None:
        self._sessions = sessions
        self._vault = vault

    @whole
    async def newest(self, pool: PoolId) -> tuple[StoredTemplate, ...]:
        """Return the newest version of each template of a pool, by name."""
        async with self._sessions() as session:
            rows = await session.execute(_columns(pool).order_by(Row.name, Row.version))
            return tuple({row.name: _stored(row) for row in rows}.values())

    @whole
    async def versions(self, pool: PoolId, name: str) -> tuple[StoredTemplate, ...]:
        """Return the versions of a template that are kept, the newest first."""
        async with self._sessions() as session:
            rows = await session.execute(_columns(pool).where(Row.name == name).order_by(Row.version.desc()))
            return tuple(_stored(row) for row in rows)

    @whole
    async def text(self, pool: PoolId, name: str, version: int | None = None) -> StoredText | None:
        """Return a version of a template, or (None) the newest; None where there is none."""
        wanted = select(Row).where(Row.pool == pool, Row.name == name)
        if version is not None:
            wanted = wanted.where(Row.version == version)
        async with self._sessions() as session:
            row = await session.scalar(wanted.order_by(Row.version.desc()).limit(1))
            return None if row is None else self._read(row)

    @whole
    async def add(self, pool: PoolId, new: NewText) -> StoredText:
        """Keep a new version of a template, or the first one; one with the newest one's text changes nothing.

        Raises `ConflictError` ``drive-template-changed`` (``after`` is not the newest any more, or somebody else was
        faster) and ``drive-templates-full``.
        """
        async with self._sessions() as session:
            newest = await session.scalar(
                select(Row).where(Row.pool == pool, Row.name == new.name).order_by(Row.version.desc()).limit(1)
            )
            at = newest.version if newest is not None else 0
            if new.after not in {None, at}:
                raise ConflictError("drive-template-changed", name=new.name, version=at)
            if newest is not None and (same := self._read(newest)).text == new.text and same.profile == new.profile:
                return same
            if newest is None:
                await _make_room(session, pool)
            row = self._row(pool, new, at + 1)
            session.add(row)
            gone = delete(Row).where(Row.pool == pool, Row.name == new.name, Row.version <= at + 1 - KEPT_VERSIONS)
            try:
                await session.execute(gone)
                await session.commit()
            except IntegrityError as error:
                raise ConflictError("drive-template-changed", name=new.name, version=at + 1) from error
            return self._read(row)

    @whole
    async def remove(self, pool: PoolId, name: str) -> bool:
        """Forget all versions of a template; return whether there was one."""
        async with self._sessions() as session:
            known = await session.scalar(
                select(func.count()).select_from(Row).where(Row.pool == pool, Row.name == name)
            )
            await session.execute(delete(Row).where(Row.pool == pool, Row.name == name))
            await session.commit()
        return bool(known)

    # ---- pieces

    def _row(self, pool: PoolId, new: NewText, version: int) -> Row:
        return Row(
            pool=pool,
            name=new.name,
            version=version,
            profile=new.profile,
            size=len(new.text.encode()),
            text=self._vault.seal(new.text, *_place(pool, new.name, version)),
            saved=clocks.now(),
            who=new.who,
        )

    def _read(self, row: Row) -> StoredText:
        try:
            text = self._vault.open(row.text, *_place(row.pool, row.name, row.version))
        except StartError as error:
            reason = f"version {row.version} of the template {row.name} is damaged"
            raise PeerError("state-unusable", path=Row.__tablename__, reason=reason) from error
        return StoredText(**structs.asdict(_stored(row)), text=text)


def _stored(row: Any) -> StoredTemplate:
    return StoredTemplate(
        name=row.name, version=row.version, profile=row.profile, size=row.size, saved=row.saved, who=row.who
    )


def _columns(pool: str) -> Select[str, int, str, int, datetime, str]:
    return select(Row.name, Row.version, Row.profile, Row.size, Row.saved, Row.who).where(Row.pool == pool)


async def _make_room(session: AsyncSession, pool: str) -> None:
    count = await session.scalar(select(func.count(func.distinct(Row.name))).where(Row.pool == pool))
    if (count or 0) >= MOST_TEMPLATES:
        raise ConflictError("drive-templates-full", limit=MOST_TEMPLATES)


def _place(pool: str, name: str, version: int) -> tuple[str, str, str]:
    return Row.__tablename__, f"{pool}/{name}/{version}", "text"
