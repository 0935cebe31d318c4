"""A way to an engine without any socket: the lab's engine behind a `Link` in memory, which keeps the loop's time.

So a watcher's real client speaks to an engine that answers as real ones do, and an hour passes in no time.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import unquote

import pytest

from roadstead.errors import EngineError, LinkError, PeerError
from roadstead.kit import clocks
from roadstead.kit.streams import Receiver
from roadstead.lab.guests import api, events, profiles
from roadstead.lab.guests.containers import CATALOGUE, Container
from roadstead.lab.guests.engine import Engine
from roadstead.lab.guests.http import HttpStream, Reply
from tests.unit.fakes.records import START

LATENCY_SECONDS = 0.001
EVENTS = "/events"


def virtual_now() -> datetime:
    """The time of day as the running loop's clock has it."""
    return START + timedelta(seconds=asyncio.get_running_loop().time())


def keep_virtual_time(patch: pytest.MonkeyPatch) -> None:
    """Let the wall clock follow the loop's."""
    patch.setattr(clocks, "now", virtual_now)


def made_engine(containers: int = 3, profile: str = profiles.DEFAULT_PROFILE) -> Engine:
    """An engine with so many running containers, named c0, c1, …."""

    def clock() -> int:
        return int(virtual_now().timestamp() * 10**9)

    chance = random.Random("fake")
    engine = Engine(profiles.PROFILES[profile], chance, clock=clock, history_bound=events.HISTORY_EVENTS)
    for number in range(containers):
        engine.start(engine.create(f"c{number}", CATALOGUE[0]))
    return engine


def named(engine: Engine, name: str) -> Container:
    """The container of this name."""
    found = engine.find(name)
    assert found is not None, name
    return found


class MemoryStream:
    """One stream of a `MemoryLink`: what is written reaches the engine a little later, and so do its answers us."""

    def __init__(self, link: "MemoryLink", receiver: Receiver) -> None:
        self._link = link
        self._receiver: Receiver | None = receiver
        self._paused = False
        self._held: list[bytes] = []
        self._http = HttpStream(self._serve, _Outlet(self, link))
        self._requests = _Pipe(link, self._http.data_received)

    def write(self, data: bytes) -> None:
        """See `Stream`."""
        if self._receiver is not None and not self._link.is_mute:
            self._requests.send(data)

    def pause_reading(self) -> None:
        """See `Stream`."""
        self._paused = True
        self._http.pause_writing()

    def resume_reading(self) -> None:
        """See `Stream`."""
        self._paused = False
        self._http.resume_writing()
        held, self._held = self._held, []
        for data in held:
            self.arrive(data)

    def abort(self) -> None:
        """See `Stream`."""
        self.end(None)

    def arrive(self, data: bytes) -> None:
        """Bytes of the engine's arrive."""
        if self._receiver is None or self._link.is_mute:
            return
        if self._paused:
            self._held.append(data)
            return
        self._link.heard = clocks.now()
        self._receiver.data_received(data)

    def end(self, error: PeerError | None) -> None:
        """The stream ends, for this reason."""
        self._link.streams.discard(self)
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            self._http.connection_lost()
            receiver.stream_ended(error)

    def _serve(self, reply: Reply) -> None:
        link = self._link
        link.asked.append((asyncio.get_running_loop().time(), f"{reply.request.method} {_shown(reply)}"))
        if not (link.holds_containers and reply.request.path.endswith("/json") and not reply.request.query):
            api.serve(link.engine, "guest", reply)


class _Pipe:
    """Delivers pieces after the link's latency, in the order in which they were sent."""

    def __init__(self, link: "MemoryLink", deliver: Callable[[bytes], None]) -> None:
        self._link = link
        self._deliver = deliver
        self._pieces: deque[bytes] = deque()

    def send(self, data: bytes) -> None:
        """Send a piece. Timers of the same moment come in any order, so they carry nothing themselves."""
        self._pieces.append(data)
        asyncio.get_running_loop().call_later(self._link.latency, self._arrived)

    def _arrived(self) -> None:
        self._deliver(self._pieces.popleft())


class _Outlet:
    """Where the engine writes."""

    def __init__(self, stream: MemoryStream, link: "MemoryLink") -> None:
        self._stream = stream
        self._answers = _Pipe(link, stream.arrive)

    def write(self, data: bytes, /) -> None:
        """Send."""
        self._answers.send(data)

    def close(self) -> None:
        """End."""
        self._stream.end(None)


class MemoryLink:
    """A `Link` to an engine in this process."""

    relay = "memory"
    idle_seconds = 0.0

    def __init__(self, engine: Engine, address: str = "192.0.2.1") -> None:
        self.engine = engine
        self.address = address
        self.latency = LATENCY_SECONDS
        self.heard = clocks.now()
        self.asks_after = 0.0
        self.is_open = True
        self.refusal: PeerError | None = None
        """What a new stream meets, although the link lives."""
        self.is_mute = False
        """Nothing goes through any more, and nothing says so."""
        self.holds_containers = False
        """Inspections of a container are never answered, as by an engine that does not come to an end with it."""
        self.asked: list[tuple[float, str]] = []
        """When what was asked."""
        self.streams: set[MemoryStream] = set()

    async def open(self, receiver: Receiver) -> MemoryStream:
        """See `Link`."""
        await asyncio.sleep(self.latency)
        if not self.is_open:
            raise LinkError("link-lost")
        if self.refusal is not None:
            raise type(self.refusal)(self.refusal.code, **self.refusal.fields)
        stream = MemoryStream(self, receiver)
        self.streams.add(stream)
        return stream

    def close(self) -> None:
        """See `Link`."""
        self.is_open = False
        self._end_streams()

    def stop_engine(self, code: str = "engine-down", kind: type[PeerError] = EngineError) -> None:
        """The engine ends: its streams end, and no new one is let in, with this reason."""
        self.refusal = kind(code)
        self._end_streams()

    def start_engine(self) -> None:
        """The engine is there again."""
        self.refusal = None

    def questions(self, *, since: float = 0.0) -> list[str]:
        """What was asked since then, without the questions that open a watch."""
        opening = ("/_ping", "/version", "/info", EVENTS)
        return [asked for at, asked in self.asked if at >= since and not any(word in asked for word in opening)]

    def _end_streams(self) -> None:
        for stream in tuple(self.streams):
            stream.end(None)


def _shown(reply: Reply) -> str:
    query = "&".join(f"{name}={unquote(value)}" for name, value in reply.request.query.items())
    return f"{reply.request.path}?{query}" if query else reply.request.path
