"""`event.from` and `event.inject`, with everything in them that surprises clients: see the notes at each rule.

A batch tells, for each object, only how it differs from what a client with that token knows.  A token of the future
is answered with silence; deletions that were forgotten are not mentioned; neither is an error.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from roadstead.lab.pool import failures
from roadstead.lab.pool.core import Call, Core, Method, Methods
from roadstead.lab.pool.database import Database
from roadstead.lab.pool.schema import COUNTED, SCHEMAS
from roadstead.lab.pool.sessions import Session

BATCH_S = 0.05
"""A call waits this long before it looks, and between two looks, so that writes in a row become one event."""

LONGEST_S = 86400.0
"""What a negative or absurd timeout means."""

_TOKEN = re.compile(r"(-?\d{1,30}),(-?\d{1,30})")
_INT64 = 2**63
_BY_EVENT_CLASS = {schema.event_class: schema.name for schema in SCHEMAS.values() if schema.events}
_EVERYTHING = "*"


class Token(NamedTuple):
    """What a client has seen: the generation of the database, and that of the messages."""

    database: int
    messages: int

    def __str__(self) -> str:
        return f"{self.database:020d},{self.messages:020d}"


_BEGINNING = Token(-1, -1)


def _parse(text: str) -> Token:
    if not text:
        return _BEGINNING
    found = _TOKEN.fullmatch(text)
    parts = [int(part) for part in found.groups()] if found else []
    if not parts or any(not -_INT64 <= part < _INT64 for part in parts):
        raise failures.Failure("EVENT_FROM_TOKEN_PARSE_FAILURE", text)
    return Token(*parts)


@dataclass(frozen=True, slots=True)
class Subscription:
    """Which tables a client listens to; with a set of references where it wants single objects only."""

    tables: Mapping[str, frozenset[str] | None]

    def wants(self, kind: str, ref: str) -> bool:
        """Whether it includes this object."""
        chosen = self.tables[kind]
        return chosen is None or ref in chosen


def _subscription(classes: Iterable[str]) -> Subscription:
    """Class names in any case, `class/ref`, or `*`; unknown ones, and those without events, bring nothing."""
    tables: dict[str, frozenset[str] | None] = {}
    for wanted in classes:
        name, _, ref = wanted.partition("/")
        kinds = _BY_EVENT_CLASS.values() if name == _EVERYTHING else (_BY_EVENT_CLASS.get(name.lower()),)
        for kind in filter(None, kinds):
            before = tables.get(kind, frozenset())
            # A message is never chosen by its reference.
            everything = not ref or before is None or kind == "message"
            tables[kind] = None if everything else frozenset(before or ()) | {ref}
    return Subscription(tables)


@dataclass(slots=True)
class _Batch:
    """Events of one answer in the order in which XAPI gives them: messages, then adds, changes, deletions."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    adds: list[dict[str, Any]] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
    deletions: list[dict[str, Any]] = field(default_factory=list)

    def events(self) -> list[dict[str, Any]]:
        return [*self.messages, *self.adds, *self.changes, *self.deletions]


def _event(kind: str, operation: str, ref: str, generation: int, snapshot: object = None) -> dict[str, Any]:
    event = {
        "id": str(generation),
        "timestamp": "0.0",
        "class": kind.lower(),
        "operation": operation,
        "ref": ref,
    }
    return event if snapshot is None else {**event, "snapshot": snapshot}


def _table_events(batch: _Batch, database: Database, kind: str, wanted: Subscription, since: int) -> int:
    """Add the events of one table; returns the generation up to which they go."""
    table, newest = database.table(kind), since
    changed = [found for found in table.changed_since(since) if wanted.wants(kind, found[0])]
    for ref, row in reversed(changed):
        newest = max(newest, row.modified)
        record = database.shown(kind, row.record)
        if row.created > since:
            batch.adds.append(_event(kind, "add", ref, row.modified, record))
        else:
            batch.changes.append(_event(kind, "mod", ref, row.modified, record))
    for gone in table.deletions:
        if gone.deleted > since and wanted.wants(kind, gone.ref):
            newest = max(newest, gone.deleted)
            # What came and went in one gap is never mentioned.
            if gone.created <= since:
                batch.deletions.append(_event(kind, "del", gone.ref, gone.deleted))
    return newest


def _message_events(batch: _Batch, core: Core, since: int) -> int:
    newest = since
    for generation, ref, gone in core.messages.since(since):
        newest = max(newest, generation)
        snapshot = None if gone else core.database.get("message", ref)
        batch.messages.append(_event("message", "del" if gone else "add", ref, 0, snapshot))
    return newest


def _look(core: Core, wanted: Subscription, token: Token) -> tuple[list[dict[str, Any]], Token]:
    """What is new after `token`, and the token that includes it."""
    batch, messages, newest = _Batch(), token.messages, token.database
    for kind in wanted.tables:
        if kind == "message":
            messages = _message_events(batch, core, token.messages)
        else:
            newest = max(newest, _table_events(batch, core.database, kind, wanted, token.database))
    return batch.events(), Token(newest, messages)


def _counts(database: Database) -> dict[str, int]:
    """How many objects each table holds; of messages XAPI always says none."""
    counts = dict.fromkeys(sorted(COUNTED), 0)
    for name, table in database.tables.items():
        counts[name.lower()] = 0 if name == "message" else len(table.rows)
    return counts


class _Wait:
    """The waiting between two looks: until something changed, the session ended or the time is over."""

    def __init__(self, core: Core, session: Session, timeout: float) -> None:
        self._core = core
        self._session = session
        seconds = timeout if 0 <= timeout <= LONGEST_S else LONGEST_S
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + seconds
        self._seen = -1

    def looks(self) -> None:
        """Remember what is seen now; SESSION_INVALID when the session has ended."""
        if self._session.ended.is_set():
            raise failures.Failure("SESSION_INVALID", self._session.ref)
        self._seen = self._core.pulse.number

    @property
    def is_over(self) -> bool:
        return self._loop.time() >= self._until

    async def change(self) -> None:
        """Wait for a change, but no longer than the caller does."""
        self._core.waiting += 1
        try:
            async with asyncio.timeout_at(self._until):
                await self._core.pulse.wait_newer(self._seen)
        except TimeoutError:
            return
        finally:
            self._core.waiting -= 1


async def _from(call: Call, classes: tuple[str, ...], text: str, timeout: float) -> object:  # noqa: ASYNC109 - XAPI's argument
    token, wanted = _parse(text), _subscription(classes)
    wait = _Wait(call.core, call.session, timeout)
    delay = 0.0 if set(wanted.tables) == {"task"} else BATCH_S
    await asyncio.sleep(delay)
    started = asyncio.get_running_loop().time()
    while True:
        wait.looks()
        events, seen = _look(call.core, wanted, token)
        if events or wait.is_over:
            return _answer(call.core, events, seen)
        token = seen
        await wait.change()
        pause = started + BATCH_S - asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, pause))
        started = asyncio.get_running_loop().time()


def _answer(core: Core, events: list[dict[str, Any]], token: Token) -> dict[str, object]:
    shown = Token(max(0, token.database), max(0, token.messages))
    return {"events": events, "valid_ref_counts": _counts(core.database), "token": str(shown)}


_KINDS = {name.lower(): name for name in SCHEMAS}


def _inject(call: Call, kind: str, ref: str) -> object:
    name = _KINDS.get(kind.lower())
    if name is None:
        raise failures.bad_handle(kind, ref)
    call.database.touch(name, ref)
    return str(Token(call.database.generation, call.database.generation))


def _next(call: Call) -> object:
    """The old way, which needs a registration that nobody makes any more."""
    track = hashlib.sha256(call.session.ref.encode()).hexdigest()[:32]
    raise failures.Failure("SESSION_NOT_REGISTERED", f"trackid={track}")


METHODS: Methods = (
    Method("event.from", ("set", "str", "float"), _from),
    Method("event.inject", ("str", "ref"), _inject),
    Method("event.next", (), _next),
)
