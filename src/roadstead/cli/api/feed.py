"""The stream of changes as the command line reads it: server-sent events, read by a thread, connected again for ever.

Whoever shows something must draw, and notice Ctrl-C, while nothing comes; so the reading has a thread of its own, and
a bounded queue between: when it is full we stop reading, and the server tells us later to list again. After every new
connection the stream begins with such a word, so numbers of a server that was restarted are never mixed with ours.
"""

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress

import msgspec
from msgspec import Raw, Struct

from roadstead.cli.api import client
from roadstead.errors import ServerError
from roadstead.kit.backoff import Backoff

QUEUED_CHANGES = 10_000
RETRY_FIRST_SECONDS, RETRY_LIMIT_SECONDS = 0.5, 5.0
TAKEN_AT_ONCE = 5_000


class Change(Struct, frozen=True):
    """One change: what it concerns, whether it is ``set`` or ``gone``, and its record as it came."""

    number: int
    kind: str
    id: str
    op: str
    record: Raw = Raw(b"null")
    text: bytes = b""
    """The whole of it as it came."""


class Relist(Struct, frozen=True):
    """What was known is not to be trusted: everything must be listed again, as of the change ``number`` or later."""

    number: int = 0


class Lost(Struct, frozen=True):
    """The stream broke off; ``error`` tells why. It is being opened again unless the server refused."""

    error: ServerError | client.Refused


Item = Change | Relist | Lost


class Feed:
    """The changes of the records of some ``kinds``, from now on."""

    def __init__(self, connected: client.Client, kinds: str) -> None:
        self._client = client.Client(connected.server, client.SILENCE_SECONDS)
        self._kinds = kinds
        self._queue: queue.Queue[Item | None] = queue.Queue(QUEUED_CHANGES)
        self._thread = threading.Thread(target=self._read, name="changes", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def take(self, seconds: float) -> Iterator[Item]:
        """Yield what has come, waiting at most ``seconds`` for the first."""
        with suppress(queue.Empty):
            for number in range(TAKEN_AT_ONCE):
                item = self._queue.get_nowait() if number else self._queue.get(timeout=seconds)
                if item is not None:
                    yield item

    def wake(self) -> None:
        """End the waiting of `take`; may be called from another thread."""
        with suppress(queue.Full):
            # Then nobody waits.
            self._queue.put_nowait(None)

    def _read(self) -> None:
        backoff = Backoff(RETRY_FIRST_SECONDS, RETRY_LIMIT_SECONDS)
        while True:
            error: ServerError | client.Refused
            try:
                for item in items(self._client.ask("/changes", {"kinds": self._kinds}).lines()):
                    backoff.reset()
                    self._queue.put(item)
                error = ServerError("server-gone", address=self._client.server)
            except msgspec.DecodeError:
                error = ServerError("server-answer-invalid", address=self._client.server)
            except (ServerError, client.Refused) as caught:
                error = caught
            self._queue.put(Lost(error))
            time.sleep(backoff.delay())


def items(lines: Iterable[bytes]) -> Iterator[Change | Relist]:
    """Read server-sent events (WHATWG HTML §9.2.6) out of ``lines``; comments and unknown events are passed over.

    Raises `msgspec.DecodeError` when the data is not what the contract says.
    """
    event, data = b"", b""
    for line in lines:
        text = line.rstrip(b"\r\n")
        name, _, value = text.partition(b":")
        if name == b"event":
            event = value.strip()
        elif name == b"data":
            data += value.strip()
        elif not text:
            if event == b"relist":
                yield msgspec.json.decode(data, type=Relist)
            elif event == b"change":
                yield msgspec.structs.replace(msgspec.json.decode(data, type=Change), text=data)
            event, data = b"", b""
