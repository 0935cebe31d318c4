"""Follows a server's stream of changes and notes when each was parsed: a process of its own.

``python -m bench.listener SOCKET FILE``: it says "ready" and ends on SIGTERM; then the file holds a `Heard` for each
change. Collections of garbage are off: they would be ours, and not what is measured.
"""

from __future__ import annotations

import gc
import signal
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from roadstead.cli.api import wire

PATH = "/api/v1/changes"
SILENCE_SECONDS = 60.0


class Record(msgspec.Struct, gc=False):
    """What matters of a container's record."""

    state: str = ""
    started: datetime | None = None
    as_of: datetime | None = None


class _Change(msgspec.Struct, gc=False):
    number: int
    kind: str
    id: str
    record: Record | None = None


class _Relist(msgspec.Struct, gc=False):
    number: int


class Heard(msgspec.Struct, gc=False, array_like=True):
    """One change and when it had been parsed (nanoseconds since the epoch); ``kind`` is ``relist`` for that event."""

    at_ns: int
    number: int
    kind: str
    id: str = ""
    record: Record | None = None


def follow(socket: str) -> Iterator[Heard]:
    """Yield every change from now on; first the ``relist`` that says where the stream begins."""
    head = wire.head("GET", PATH, {"Host": "localhost"})
    answer = wire.Exchange(wire.unix(socket, SILENCE_SECONDS), head)
    assert answer.status() == 200, answer.status()
    changes, relists = msgspec.json.Decoder(_Change), msgspec.json.Decoder(_Relist)
    left = b""
    for piece in answer.pieces():
        *events, left = (left + piece).split(b"\n\n")
        for event in events:
            head, _, data = event.partition(b"\ndata: ")
            if head.endswith(b"event: change"):
                change = changes.decode(data)
                yield Heard(time.time_ns(), change.number, change.kind, change.id, change.record)
            elif head.endswith(b"event: relist"):
                yield Heard(time.time_ns(), relists.decode(data).number, "relist")


def main(socket: str, file: str) -> None:
    """Follow until SIGTERM."""
    gc.disable()
    signal.signal(signal.SIGTERM, _leave)
    heard: list[Heard] = []
    try:
        for one in follow(socket):
            if not heard:
                print("ready", flush=True)
            heard.append(one)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        Path(file).write_bytes(msgspec.msgpack.encode(heard))


def read(file: Path) -> list[Heard]:
    """Return what a listener heard that has ended."""
    return msgspec.msgpack.decode(file.read_bytes(), type=list[Heard])


def _leave(*_: object) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
