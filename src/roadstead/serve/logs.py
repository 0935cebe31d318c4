"""Logs on their way to a reader: JSON objects, one on a line, taken from the engine no faster than they are read."""

from collections.abc import AsyncIterator

from msgspec import json
from starlette.types import Receive, Scope, Send

from roadstead.act.guests.logs import Reading
from roadstead.serve.answers import LINES, Patient
from roadstead.serve.calls import Readers

HEARTBEAT_SECONDS = 15.0
"""How often silent logs say that they live."""
_HEARTBEAT = b"\n"
_encoder = json.Encoder()


class LogAnswer(Patient):
    """An answer with logs, which are closed when it is over, however it ends, or is never begun."""

    def __init__(self, reading: Reading, readers: Readers) -> None:
        super().__init__(lines(reading, readers), media_type=LINES)
        self._reading = reading

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; called by Starlette."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._reading.close()


async def lines(reading: Reading, readers: Readers) -> AsyncIterator[bytes]:
    """Yield what ``reading`` brings, until it ends or the server stops."""
    while not (reading.is_ended or readers.stopping):
        await readers.wait(reading.wait, HEARTBEAT_SECONDS)
        written = b"".join(_encoder.encode(entry) + b"\n" for entry in reading.take())
        yield written or _HEARTBEAT
