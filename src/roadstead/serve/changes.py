"""The stream of changes as server-sent events.

A reader says which number it knows and gets every later change in order, or one ``relist`` when the feed no longer
holds them all: it then lists again and goes on from the number that came with it. What a slow reader has not taken
stays in the feed's ring, not in a queue of its own, so it costs nothing until it is told to list again.
"""

from collections.abc import AsyncIterator, Iterable
from functools import partial

from msgspec import json

from roadstead.errors import InputError
from roadstead.inventory import views
from roadstead.inventory.changes import Change
from roadstead.inventory.feed import Feed
from roadstead.model import Vm
from roadstead.serve.calls import Readers

KINDS = ("pool", "host", "vm", "container")
HEARTBEAT_SECONDS = 15.0
"""How often a silent stream says that it lives."""
BATCH_CHANGES = 256
"""How many changes are written at once."""
READERS = 1000
"""How many streams may be open: each costs a task and a socket."""

_NEVER = -1
"""A number that no feed holds."""
_HEARTBEAT = b": alive\n\n"
_encoder = json.Encoder()


def parse_kinds(text: str | None) -> frozenset[str]:
    """Read ``container,vm``; nothing means all. Raises `InputError` ``field-invalid``."""
    if not text:
        return frozenset(KINDS)
    kinds = frozenset(kind.strip() for kind in text.split(","))
    for kind in sorted(kinds - set(KINDS)):
        raise InputError("field-invalid", field="kinds", reason=f"there is no {kind!r} among {', '.join(KINDS)}")
    return kinds


async def stream(feed: Feed, readers: Readers, since: int | None, kinds: frozenset[str]) -> AsyncIterator[bytes]:
    """Yield events for one reader until the server stops; ``since`` None means from now on."""
    position = _NEVER if since is None else since
    readers.count += 1
    try:
        while not readers.stopping:
            part, position = _news(feed, position, kinds)
            if not part:
                await readers.wait(partial(feed.wait, position), HEARTBEAT_SECONDS)
                part = _HEARTBEAT if feed.number == position and not readers.stopping else b""
            if part:
                yield part
    finally:
        readers.count -= 1


def _news(feed: Feed, position: int, kinds: frozenset[str]) -> tuple[bytes, int]:
    """Return what a reader at ``position`` is told next, and where it then is."""
    changes = feed.after(position, BATCH_CHANGES)
    if changes is None:
        return _relist(feed.number), feed.number
    return (events(changes, kinds), changes[-1].number) if changes else (b"", position)


def events(changes: Iterable[Change], kinds: frozenset[str]) -> bytes:
    """Write the changes of ``kinds``; when none is of interest, a comment that moves the reader's number on."""
    number, parts = 0, []
    for change in changes:
        number = change.number
        if change.kind in kinds:
            data = _encoder.encode(_shown(change))
            parts.append(b"id: %d\nevent: change\ndata: %b\n\n" % (number, data))
    return b"".join(parts) or b"id: %d\n: nothing of interest\n\n" % number


def _shown(change: Change) -> object:
    """A VM is shown as in the list of VMs, without the counts of its containers: these have changes of their own."""
    if not isinstance(change.record, Vm):
        return change
    return {
        "number": change.number,
        "kind": change.kind,
        "id": change.id,
        "op": change.op,
        "record": views.vm_shown(change.record),
    }


def _relist(number: int) -> bytes:
    return b'id: %d\nevent: relist\ndata: {"number":%d}\n\n' % (number, number)
