"""Signed-in clients: sessions come, are pushed out by newer ones of their originator, and end, waking who waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from roadstead.lab.pool import failures, values
from roadstead.lab.pool.accounts import INTERNAL, Account, Role
from roadstead.lab.pool.database import Database

SESSIONS_PER_ORIGINATOR = 500
"""One session more, and the oldest of that originator ends, even while it waits for events."""

SESSIONS_OF_NOBODY = 400
"""The same limit for the superuser's sessions without an originator."""


@dataclass(slots=True, eq=False)
class Session:
    """One sign-in; `ended` is set when it is over, whoever ended it."""

    ref: str
    account: Account
    originator: str
    local: bool = False
    """Good on members, too: made by slave_local_login, or by the pool for one of its hosts."""
    plugins: int = 0
    """How many plugins run for it; while one does, newer sessions do not push it out."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Sessions:
    """All sessions of the pool, the oldest first."""

    def __init__(self, database: Database, permissions: Callable[[Role], tuple[str, ...]]) -> None:
        self._database = database
        self.permissions = permissions
        """What a role may do, by the names of the permissions."""
        self._sessions: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, account: Account, originator: str, host: str, *, local: bool = False) -> Session:
        """A new session; the oldest of its originator ends when there are too many."""
        record = _record(account, originator, host)
        if not account.superuser:
            record["rbac_permissions"] = self.permissions(account.role)
        session = Session(self._database.create("session", record), account, originator)
        session.local = local
        self._sessions[session.ref] = session
        self._push_out(session)
        return session

    def find(self, ref: str) -> Session:
        """The living session behind `ref`; SESSION_INVALID when there is none."""
        session = self._sessions.get(ref)
        if session is None:
            raise failures.Failure("SESSION_INVALID", ref)
        return session

    def end(self, ref: str) -> None:
        """End one session and wake those who wait in it."""
        session = self._sessions.pop(ref)
        session.ended.set()
        if ref in self._database.table("session").rows:
            self._database.destroy("session", ref)

    def forget(self, ref: str) -> None:
        """End one session, unless something else has ended it."""
        if ref in self._sessions:
            self.end(ref)

    @contextmanager
    def spared(self, ref: str) -> Iterator[None]:
        """Let newer sessions of its originator not push this one out for the length of the block."""
        session = self.find(ref)
        session.plugins += 1
        try:
            yield
        finally:
            session.plugins -= 1

    def end_all(self) -> None:
        """End every session, as a restart does."""
        for ref in tuple(self._sessions):
            self.end(ref)

    def originators(self) -> dict[str, int]:
        """How many sessions each originator has."""
        counts: dict[str, int] = {}
        for session in self._sessions.values():
            counts[session.originator] = counts.get(session.originator, 0) + 1
        return counts

    def _push_out(self, newest: Session) -> None:
        group = [
            session.ref
            for session in self._sessions.values()
            if _group(session) == _group(newest) and not session.plugins
        ]
        anonymous = newest.account.superuser and not newest.originator
        limit = SESSIONS_OF_NOBODY if anonymous else SESSIONS_PER_ORIGINATOR
        for ref in group[: max(0, len(group) - limit)]:
            self.end(ref)


def _group(session: Session) -> str:
    return session.originator or f"user {session.account.name}"


def _record(account: Account, originator: str, host: str) -> dict[str, object]:
    started = values.now()
    return {
        "this_host": host,
        "last_active": started,
        "validation_time": started,
        "pool": account is INTERNAL,
        "is_local_superuser": account.superuser,
        "auth_user_name": account.name,
        "auth_user_sid": account.identifier,
        "subject": account.subject,
        "originator": originator,
    }
