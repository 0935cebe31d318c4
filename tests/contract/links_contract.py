"""What every link with an engine behind it must do: one list of checks, run on simulated and on real guests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import asyncssh
import pytest

from roadstead.errors import EngineError, LinkError
from roadstead.kit.gates import Budget, Gate
from roadstead.kit.streams import Link
from roadstead.lab.guests import Guest
from roadstead.lab.guests.certificates import Authority, Pair
from roadstead.lab.guests.real import RealGuest
from roadstead.model import Container, VmId
from roadstead.peers.engine.client import EngineClient
from roadstead.peers.engine.messages.events import EngineEvent
from roadstead.peers.links.credentials import Credentials, credentials
from roadstead.peers.links.dialing import Gates
from roadstead.peers.links.hostkeys import Pins
from roadstead.peers.links.ssh import SshLink, SshTarget, open_ssh
from roadstead.peers.links.tls import TlsLink, TlsTarget, open_tls
from roadstead.settings.schema import EngineSettings, LinkSettings

SOCKET = "/var/run/docker.sock"
VM = VmId("vm-1")
WAIT_SECONDS = 10.0
FAST = LinkSettings(connect_seconds=2.0, login_seconds=2.0, stagger_seconds=0.02)
PATIENT = LinkSettings()


@dataclass
class Sink:
    """A receiver that keeps what it is told."""

    data: bytes = b""
    ends: list[Exception | None] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.changed.set()

    def stream_ended(self, error: Exception | None) -> None:
        self.ends.append(error)
        self.changed.set()

    async def wait_for(self, text: bytes) -> None:
        """Wait until ``text`` came."""
        await self.wait_until(lambda: text in self.data)

    async def wait_until_ended(self) -> None:
        """Wait until the stream has ended."""
        await self.wait_until(lambda: self.ends)

    async def wait_until(self, condition: Callable[[], object]) -> None:
        """Wait until ``condition`` holds."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@dataclass
class Reached:
    """A guest, a link to it and the client of its engine."""

    guest: Guest
    link: Link
    client: EngineClient


def gates() -> Gates:
    """Gates that let everybody through."""
    return Gates(Gate(64), Gate(16))


def target(guest: Guest, pins: Pins | None = None, *addresses: str, user: str = "") -> SshTarget:
    """The guest as somebody to call, at its own addresses or at others."""
    socket = guest.socket if isinstance(guest, RealGuest) else SOCKET
    return SshTarget(user or guest.user, guest.port, addresses or guest.addresses, socket, pins or Pins())


async def call(
    guest: Guest, key: asyncssh.SSHKey, pins: Pins | None = None, *addresses: str, settings: LinkSettings = FAST
) -> SshLink:
    """Open an SSH link to the guest."""
    return await open_ssh(target(guest, pins, *addresses), [key], settings=settings, gates=gates())


async def shown(authority: Authority, client: Pair | None = None, *, is_legacy: bool = False) -> Credentials:
    """What we show to an engine whose certificate ``authority`` signed, and what we trust."""
    client = client or authority.client()
    pem = (client.certificate.encode(), client.key.encode(), authority.certificate.encode())
    return await asyncio.to_thread(credentials, *pem, is_legacy=is_legacy)


async def call_tls(
    guest: Guest, ours: Credentials, *addresses: str, port: int = 0, settings: LinkSettings = FAST
) -> TlsLink:
    """Open a TLS link to the guest's engine."""
    somebody = TlsTarget(port or guest.port, addresses or guest.addresses)
    return await open_tls(somebody, ours, settings=settings, gates=gates())


def engine_client(link: Link, settings: EngineSettings | None = None) -> EngineClient:
    """A client of the engine behind ``link``."""
    return EngineClient(link, VM, settings or EngineSettings(), Budget(2**28, 2**23))


async def refused(opening: Awaitable[object]) -> LinkError:
    """The error with which a link cannot be opened."""
    with pytest.raises(LinkError) as caught:
        await opening
    return caught.value


async def running(reached: Reached) -> Container:
    """Some container that runs."""
    listing = await reached.client.containers()
    return next(record for record in listing.containers if record.state == "running")


async def check_the_list_is_the_truth(reached: Reached) -> None:
    """Every container of the guest is listed, by id, name and state, and nothing else."""
    listing = await reached.client.containers()

    truth = {(entry["id"], entry["name"], entry["state"]) for entry in await reached.guest.truth()}
    assert {(record.engine_id, record.name, record.state) for record in listing.containers} == truth
    assert (listing.total, listing.hidden) == (len(truth), 0)


async def check_one_container_is_read_as_it_is_listed(reached: Reached) -> None:
    """Reading one container by its id gives the record of the list; another id gives none."""
    listed = await running(reached)
    found = await reached.client.containers_by_id([listed.engine_id, "0" * 64])

    assert set(found) == {listed.engine_id}
    read = found[listed.engine_id]
    assert (read.id, read.name, read.image, read.labels) == (listed.id, listed.name, listed.image, listed.labels)


async def check_a_change_is_told_at_once(reached: Reached) -> None:
    """A pause arrives as an event of that container; read then, the container is paused; and the way back."""
    container = await running(reached)
    hello = await reached.client.hello()
    async with reached.client.events(hello.date) as events, asyncio.timeout(WAIT_SECONDS):
        await reached.client.act("pause", container.engine_id)
        await _seen(events, "pause", container.engine_id)
        paused = await reached.client.containers_by_id([container.engine_id])
        await reached.client.act("unpause", container.engine_id)
        await _seen(events, "unpause", container.engine_id)

    assert paused[container.engine_id].state == "paused"


async def _seen(events: object, action: str, engine_id: str) -> None:
    async for event in events:  # type: ignore[attr-defined]
        if isinstance(event, EngineEvent) and (event.action, event.engine_id) == (action, engine_id):
            return


async def check_nothing_to_do_is_success(reached: Reached) -> None:
    """Starting what runs is success (304); an unknown container is refused with the engine's own words."""
    container = await running(reached)
    await reached.client.act("start", container.engine_id)

    with pytest.raises(EngineError) as caught:
        await reached.client.act("stop", "0" * 64)
    assert caught.value.code == "engine-refused"
    assert "no such container" in caught.value.fields["reason"].lower()


async def check_inspect_is_the_engines_own_json(reached: Reached) -> None:
    """Inspect gives the bytes of the engine."""
    container = await running(reached)

    assert json.loads(await reached.client.inspect(container.engine_id))["Id"] == container.engine_id


async def check_streams_do_not_mix(reached: Reached) -> None:
    """Two streams of one link each get their own answer."""
    sinks = [Sink(), Sink()]
    streams = [await reached.link.open(sink) for sink in sinks]
    streams[1].write(b"GET /version HTTP/1.1\r\nHost: e\r\n\r\n")
    streams[0].write(b"GET /_ping HTTP/1.1\r\nHost: e\r\n\r\n")

    await sinks[0].wait_for(b"\r\n\r\nOK")
    await sinks[1].wait_for(b"ApiVersion")
    assert b"ApiVersion" not in sinks[0].data
    for stream in streams:
        stream.abort()


async def check_a_stream_ends_once(reached: Reached) -> None:
    """An aborted stream ends once for its receiver; writing to it and ending it again are harmless."""
    sink = Sink()
    stream = await reached.link.open(sink)
    stream.abort()
    stream.abort()
    stream.write(b"GET /_ping HTTP/1.1\r\nHost: e\r\n\r\n")
    await sink.wait_until_ended()
    stream.pause_reading()
    stream.resume_reading()

    assert (sink.ends, sink.data) == ([None], b"")


async def check_what_the_engine_ends_has_ended(reached: Reached) -> None:
    """A stream that the engine closes ends for its receiver, without an error."""
    sink = Sink()
    stream = await reached.link.open(sink)
    stream.write(b"GET /_ping HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n")
    await sink.wait_until_ended()

    assert sink.ends == [None]
    assert sink.data.endswith(b"OK")


async def check_closing_ends_all(reached: Reached) -> None:
    """A closed link is not open, ends its streams, and opens no more."""
    sink = Sink()
    await reached.link.open(sink)
    was_open = reached.link.is_open
    reached.link.close()
    await sink.wait_until_ended()

    assert (was_open, reached.link.is_open) == (True, False)
    assert len(sink.ends) == 1
    with pytest.raises(LinkError) as caught:
        await reached.link.open(Sink())
    assert caught.value.code == "link-lost"


CHECKS = [value for name, value in sorted(globals().items()) if name.startswith("check_")]
