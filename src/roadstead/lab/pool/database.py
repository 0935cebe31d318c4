"""The pool's database: rows with the generations at which they came and changed, as event.from needs them.

Everything here is synchronous, so a reader on the event loop always sees whole changes.  Records are replaced, never
changed in place: a record that was handed out stays as it was.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from roadstead.lab.pool import failures
from roadstead.lab.pool.schema import RELATIONS, SCHEMAS, Schema
from roadstead.lab.pool.values import NULL

DELETIONS_KEPT = 512
"""Deletions that a table remembers; one more, and it forgets all but the newest `DELETIONS_LEFT`, without a word."""

DELETIONS_LEFT = 256

Record = Mapping[str, Any]


class Row:
    """One object: its present record and the generations of its creation and of its last change."""

    __slots__ = ("created", "modified", "record")

    def __init__(self, record: dict[str, Any], generation: int) -> None:
        self.record = record
        self.created = generation
        self.modified = generation


class Deletion(NamedTuple):
    """What is remembered of an object that is gone."""

    ref: str
    created: int
    deleted: int


class Table:
    """All objects of one class, and in which order they changed last."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.rows: dict[str, Row] = {}
        self.by_uuid: dict[str, str] = {}
        self.recent: OrderedDict[str, None] = OrderedDict()
        self.deletions: deque[Deletion] = deque()

    def remember(self, deletion: Deletion) -> None:
        """Keep a deletion for event.from; forget old ones as a real pool does."""
        self.deletions.append(deletion)
        if len(self.deletions) > DELETIONS_KEPT:
            self.lose_deletions(DELETIONS_LEFT)

    def lose_deletions(self, left: int = 0) -> None:
        """Forget all deletions but the newest `left`."""
        while len(self.deletions) > left:
            self.deletions.popleft()

    def changed_since(self, generation: int) -> Iterator[tuple[str, Row]]:
        """The objects that came or changed after `generation`, the newest first."""
        for ref in reversed(self.recent):
            row = self.rows[ref]
            if row.modified <= generation:
                return
            yield ref, row


class Change(NamedTuple):
    """What a listener learns: which object came, changed or went."""

    kind: str
    ref: str
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Saved:
    """The database at one moment, to be written to a file or to fall back to after a crash."""

    generation: int
    tables: Mapping[str, Mapping[str, Record]]


class Database:
    """The tables and the generation that counts every change."""

    def __init__(self) -> None:
        self.generation = 1
        self.tables = {name: Table(schema) for name, schema in SCHEMAS.items()}
        self.listeners: list[Callable[[Change], None]] = []
        self.hidden: Mapping[str, frozenset[str]] = {}
        """Fields that clients do not see, by class."""

    def table(self, kind: str) -> Table:
        """The table of a class that exists."""
        return self.tables[kind]

    def row(self, kind: str, ref: str) -> Row:
        """The object behind `ref`; HANDLE_INVALID when there is none."""
        found = self.tables[kind].rows.get(ref)
        if found is None:
            raise failures.bad_handle(kind, ref)
        return found

    def get(self, kind: str, ref: str) -> Record:
        """The present record of an object."""
        return self.row(kind, ref).record

    def shown(self, kind: str, record: Record) -> Record:
        """A record as clients see it."""
        hidden = self.hidden.get(kind)
        return {name: value for name, value in record.items() if name not in hidden} if hidden else record

    def by_uuid(self, kind: str, wanted: str) -> str:
        """The reference of the object with that uuid; UUID_INVALID when there is none."""
        found = self.tables[kind].by_uuid.get(wanted)
        if found is None:
            raise failures.Failure("UUID_INVALID", kind, wanted)
        return found

    def all(self, kind: str) -> Iterator[tuple[str, Record]]:
        """Every object of a class."""
        for ref, row in self.tables[kind].rows.items():
            yield ref, row.record

    def create(self, kind: str, fields: Record, ref: str | None = None) -> str:
        """A new object; fields that are not given hold their defaults.  Returns its reference."""
        table = self.tables[kind]
        ref = ref or f"OpaqueRef:{uuid.uuid4()}"
        record = {**table.schema.defaults, **fields}
        record["uuid"] = record["uuid"] or str(uuid.uuid4())
        if record["uuid"] in table.by_uuid:
            raise failures.internal(f'Db_exn.Uniqueness_constraint_violation("{kind}", "uuid", "{record["uuid"]}")')
        self._insert(table, ref, record)
        for (source, field), (target, members) in RELATIONS.items():
            if source == kind:
                self._link(target, members, record[field], ref)
        self._tell(Change(kind, ref))
        return ref

    def write(self, kind: str, ref: str, field: str, value: object) -> None:
        """Give one field a value; the same value again is no change."""
        row = self.row(kind, ref)
        before = row.record[field]
        if before == value:
            return
        row.record = {**row.record, field: value}
        self._touch(self.tables[kind], ref, row)
        relation = RELATIONS.get((kind, field))
        if relation is not None:
            self._unlink(*relation, before, ref)
            self._link(*relation, str(value), ref)
        self._tell(Change(kind, ref))

    def update(self, kind: str, ref: str, fields: Record) -> None:
        """Give several fields a value, one after the other."""
        for field, value in fields.items():
            self.write(kind, ref, field, value)

    def touch(self, kind: str, ref: str) -> None:
        """Count an object as changed although nothing of it changed."""
        self._touch(self.tables[kind], ref, self.row(kind, ref))
        self._tell(Change(kind, ref))

    def destroy(self, kind: str, ref: str) -> None:
        """Remove an object."""
        table = self.tables[kind]
        row = self.row(kind, ref)
        for (source, field), (target, members) in RELATIONS.items():
            if source == kind:
                self._unlink(target, members, row.record[field], ref)
        del table.rows[ref], table.by_uuid[row.record["uuid"]], table.recent[ref]
        self.generation += 1
        table.remember(Deletion(ref, row.created, self.generation))
        self._tell(Change(kind, ref, gone=True))

    def save(self) -> Saved:
        """The database as it is now, without its sessions and tasks, which never survive a start."""
        kept = {name: table for name, table in self.tables.items() if name not in ("session", "task")}
        return Saved(
            self.generation,
            {name: {ref: row.record for ref, row in table.rows.items()} for name, table in kept.items()},
        )

    def load(self, saved: Saved) -> None:
        """Become what was saved.  Every object counts as newly created, as after the start of a real pool."""
        self.generation = saved.generation + 1
        for name, table in self.tables.items():
            self.tables[name] = Table(table.schema)
            for ref, record in saved.tables.get(name, {}).items():
                self._restore(self.tables[name], ref, {**table.schema.defaults, **record})

    def _restore(self, table: Table, ref: str, record: dict[str, Any]) -> None:
        table.rows[ref] = Row(record, self.generation)
        table.by_uuid[record["uuid"]] = ref
        table.recent[ref] = None

    def _insert(self, table: Table, ref: str, record: dict[str, Any]) -> None:
        self.generation += 1
        self._restore(table, ref, record)

    def _touch(self, table: Table, ref: str, row: Row) -> None:
        self.generation += 1
        row.modified = self.generation
        table.recent.move_to_end(ref)

    def _link(self, kind: str, members: str, ref: str, member: str) -> None:
        if ref != NULL and ref in self.tables[kind].rows:
            self.write(kind, ref, members, (*self.get(kind, ref)[members], member))

    def _unlink(self, kind: str, members: str, ref: str, member: str) -> None:
        if ref != NULL and ref in self.tables[kind].rows:
            left = tuple(other for other in self.get(kind, ref)[members] if other != member)
            self.write(kind, ref, members, left)

    def _tell(self, change: Change) -> None:
        for listener in self.listeners:
            listener(change)
