"""How answers are written: msgspec instead of pydantic, and long ones in slices.

A list of 200,000 containers takes a second to encode. It is written piece by piece, and after every slice of
`SLICE_SECONDS` the loop gets its turn, so that no list delays an event. Whoever makes the pieces takes its records
first, in one go: they are immutable, so the list is of one moment however long it takes to write.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from operator import attrgetter
from typing import Any

from msgspec import Struct, defstruct, json
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Send

from roadstead.errors import InputError

SLICE_SECONDS = 0.005
"""How long encoding may hold the loop."""
BATCH_RECORDS = 128
"""How many records are encoded at once: well within a slice."""
STALLED_SECONDS = 60.0
"""How long a reader may take no byte of an answer before it is given up."""
NUMBER_HEADER = "Roadstead-Number"
LINES = "application/x-ndjson"
"""The media type of an answer with a JSON object on each line, which are written as they are known."""

_encoder = json.Encoder()

Test = Callable[[Any], bool]
Shape = Callable[[Any], Any]


def record(value: Any, status: int = 200) -> Response:
    """Answer with one record."""
    return Response(_encoder.encode(value), status, media_type="application/json")


def pieces(parts: Iterator[bytes], number: int) -> Response:
    """Answer with a JSON document made of ``parts``, of the moment after change ``number``.

    One that is written within a slice is sent whole; a longer one as a stream.
    """
    headers = {NUMBER_HEADER: str(number)}
    first, ended = _slice(parts)
    if ended:
        return Response(first, headers=headers, media_type="application/json")
    return Patient(_sliced(first, parts), headers=headers, media_type="application/json")


async def _sliced(first: bytes, parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    chunk, ended = first, False
    while not ended:
        yield chunk
        await asyncio.sleep(0)
        chunk, ended = _slice(parts)
    yield chunk


def _slice(parts: Iterator[bytes]) -> tuple[bytes, bool]:
    """Return what can be written in one slice, and whether that was all."""
    until = time.perf_counter() + SLICE_SECONDS
    written = []
    for part in parts:
        written.append(part)
        if time.perf_counter() > until:
            return b"".join(written), False
    return b"".join(written), True


class Patient(StreamingResponse):
    """A streamed answer that gives a reader up who has stopped taking it."""

    async def stream_response(self, send: Send) -> None:
        """Send the answer, each piece within `STALLED_SECONDS`; called by Starlette."""

        async def limited(message: Message) -> None:
            async with asyncio.timeout(STALLED_SECONDS):
                await send(message)

        # What is not complete when this returns, uvicorn cuts off.
        with suppress(TimeoutError):
            await super().stream_response(limited)


# ---- lists


def listed(
    records: Iterable[Any], keep: Test | None = None, shape: Shape | None = None, batch_records: int = BATCH_RECORDS
) -> Iterator[bytes]:
    """Write those of ``records`` that ``keep`` accepts as a JSON array, each made by ``shape``.

    A batch of which nothing is kept is a piece, too: a search that finds little holds the loop no longer than others.
    """
    remaining, separator = iter(records), b"["
    while batch := list(islice(remaining, batch_records)):
        kept = batch if keep is None else list(filter(keep, batch))
        if not kept:
            yield b""
            continue
        yield separator + _encoder.encode(kept if shape is None else list(map(shape, kept)))[1:-1]
        separator = b","
    yield b"]" if separator == b"," else b"[]"


def opened(value: Any) -> bytes:
    """Write a record as a JSON object that is not closed yet, for more members."""
    return _encoder.encode(value)[:-1]


def columns(kind: type[Struct], fields: str | None) -> Shape | None:
    """Return what makes a row of only ``fields`` (``id,name``) out of a record; None without ``fields``.

    Raises `InputError` ``field-invalid`` for a field that the record does not have.
    """
    if fields is None:
        return None
    names = tuple(dict.fromkeys(name.strip() for name in fields.split(",")))
    for name in names:
        if name not in kind.__struct_fields__:
            known = ", ".join(kind.__struct_fields__)
            raise InputError("field-invalid", field="fields", reason=f"there is no {name!r} among {known}")
    return _row_maker(names)


@lru_cache(maxsize=64)
def _row_maker(names: tuple[str, ...]) -> Shape:
    row = defstruct("Row", [(name, Any) for name in names], gc=False)
    values = attrgetter(*names)
    if len(names) == 1:
        return lambda one: row(values(one))
    return lambda one: row(*values(one))
