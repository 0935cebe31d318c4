"""Who changed what: every command that changes something is noted here, through whichever door it came.

A door says who asks (`acting`); the commands themselves say what is done (`Audit.of`). So no door can forget the
latter, and what came through none is noted as Roadstead's own. A command that is part of another one is no entry of
its own.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from roadstead.errors import PeerError, RoadsteadError, tame
from roadstead.kit import clocks
from roadstead.kit.batches import Batches
from roadstead.kit.outages import LoggedOutage
from roadstead.model import AuditEntry
from roadstead.peers.database.client import Database
from roadstead.settings.schema import AuditSettings

BATCH_SECONDS = 0.5
RETRY_SECONDS = 10.0
UNWRITTEN = 10_000
"""How many entries wait for a database that fails; then the oldest go."""
CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks, and from which address."""

    who: str
    origin: str = ""


OURSELVES = Actor("roadstead")
_ACTOR: ContextVar[Actor] = ContextVar("actor")
_IS_PART: ContextVar[bool] = ContextVar("is_part", default=False)


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """In this block, and in tasks that are started in it, ``actor`` asks."""
    token = _ACTOR.set(actor)
    try:
        yield
    finally:
        _ACTOR.reset(token)


def actor() -> Actor:
    """Return who asks."""
    return _ACTOR.get(OURSELVES)


class Audit:
    """Notes what is done; it is written in batches, and the newest ``rows`` entries are kept."""

    def __init__(self, database: Database, settings: AuditSettings) -> None:
        self._database = database
        self._rows = settings.rows
        self._unwritten: deque[AuditEntry] = deque(maxlen=UNWRITTEN)
        self._writing = asyncio.Lock()
        self._outage = LoggedOutage("write the audit")
        self._batches = Batches(self.flush, delay=BATCH_SECONDS, retry=RETRY_SECONDS, report=self._outage)

    async def run(self) -> None:
        """Write until cancelled; `close` writes what is left."""
        await self._batches.run()

    async def close(self) -> None:
        """Write what is left, after all that may note something has ended."""
        try:
            await self.flush()
        except PeerError as error:
            self._outage.began(error)

    async def flush(self) -> None:
        """Write what was noted. Raises `PeerError` ``state-unusable``; nothing is forgotten then."""
        async with self._writing:  # a reader's flush and the batches' own would both write the same entries
            batch = list(self._unwritten)
            if not batch:
                return
            await self._database.add_audit(batch, self._rows)
            for entry in batch:
                if self._unwritten and self._unwritten[0] is entry:  # it may have been pushed out meanwhile
                    self._unwritten.popleft()

    async def recent(self, limit: int) -> tuple[AuditEntry, ...]:
        """Return the newest entries, the newest first."""
        await self.flush()
        return await self._database.audit(limit)

    @contextmanager
    def of(self, what: str, target: str) -> Iterator[None]:
        """Note that ``what`` was done to ``target``, with what came of it, when the block ends."""
        part = _IS_PART.set(True)
        code = "internal"
        try:
            yield
            code = ""
        except RoadsteadError as error:
            code = error.code
            raise
        except BaseException as error:
            code = "internal" if isinstance(error, Exception) else CANCELLED
            raise
        finally:
            _IS_PART.reset(part)
            self.note(what, target, code)

    def note(self, what: str, target: str, code: str = "") -> None:
        """Note that ``what`` was done to ``target``, or why not; never waits."""
        if _IS_PART.get():
            return
        asking = actor()
        result = "done" if not code else CANCELLED if code == CANCELLED else "failed"
        entry = AuditEntry(
            at=clocks.now(),
            who=tame(asking.who),
            origin=tame(asking.origin),
            what=tame(what),
            target=tame(target),
            result=result,
            code=code,
        )
        self._unwritten.append(entry)
        self._batches.add()
