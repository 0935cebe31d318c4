"""What many guests at once, and one that answers late, may take: places at the gates, and channels."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncssh
import pytest

from roadstead.errors import LinkError
from roadstead.kit.gates import Gate
from roadstead.peers.links import relays
from roadstead.peers.links.dialing import Gates
from roadstead.peers.links.ssh import SshTarget, open_ssh
from roadstead.settings.schema import LinkSettings

HERE = "127.0.0.1"
CALLS = 12
JUST_ENDED = 2
"""How many may have ended of which the server does not know it yet."""
SETTINGS = LinkSettings(connect_seconds=2.0, login_seconds=0.1)


class SilentServer(asyncio.Protocol):
    """A server that accepts and says nothing. Counts connections, and those whose client began to speak."""

    def __init__(self, counts: "Counts") -> None:
        self._counts = counts
        self._transport: asyncio.BaseTransport | None = None
        self._spoke = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = transport
        self._counts.note(connections=1)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        if not self._spoke:
            self._spoke = True
            self._counts.note(speaking=1)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        self._counts.note(connections=-1, speaking=-int(self._spoke))


class Counts:
    """How many there are, and how many there were at most."""

    def __init__(self) -> None:
        self.connections = self.speaking = self.most_connections = self.most_speaking = 0

    def note(self, connections: int = 0, speaking: int = 0) -> None:
        """Some came or went."""
        self.connections += connections
        self.speaking += speaking
        self.most_connections = max(self.most_connections, self.connections)
        self.most_speaking = max(self.most_speaking, self.speaking)


async def _called(connects: int, logins: int) -> Counts:
    """Call so many silent guests at once."""
    counts, gates = Counts(), Gates(Gate(connects), Gate(logins))
    server = await asyncio.get_running_loop().create_server(lambda: SilentServer(counts), HERE, 0)
    target = SshTarget("core", server.sockets[0].getsockname()[1], (HERE,), "/run/engine.sock")
    async with server:
        calls = (open_ssh(target, [], settings=SETTINGS, gates=gates) for _ in range(CALLS))
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {outcome.code for outcome in outcomes if isinstance(outcome, LinkError)} == {"timed-out"}
    assert len(outcomes) == CALLS
    return counts


async def test_only_so_many_sign_in_at_once() -> None:
    """The others wait, connected already, until one has come to an end."""
    counts = await _called(connects=CALLS, logins=2)

    assert counts.most_speaking <= 2 + JUST_ENDED
    assert counts.most_connections > 2 + JUST_ENDED


async def test_only_so_many_are_connected_without_a_sign_in() -> None:
    """Who waits for a sign-in keeps its place among the connects."""
    counts = await _called(connects=3, logins=1)

    assert counts.most_connections <= 3 + 1 + JUST_ENDED


class LateServer(asyncssh.SSHServer):
    """Lets everybody in, and opens the engine's socket only when it is told to."""

    def __init__(self) -> None:
        self.asked, self.opens, self.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def begin_auth(self, username: str) -> bool:
        """Called by asyncssh."""
        return False

    async def unix_connection_requested(self, dest_path: str) -> asyncssh.SSHUNIXSession[bytes]:
        """Called by asyncssh."""
        self.asked.set()
        await self.opens.wait()
        return _Session(self)


class _Session(asyncssh.SSHUNIXSession[bytes]):
    def __init__(self, server: LateServer) -> None:
        self._server = server

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.ended.set()


class _Nobody:
    def data_received(self, data: bytes) -> None:
        raise AssertionError("nobody asked")

    def stream_ended(self, error: Exception | None) -> None:
        """A stream that was given up may end as it likes."""


@asynccontextmanager
async def _late_server() -> AsyncIterator[tuple[LateServer, SshTarget]]:
    server = LateServer()
    key = asyncssh.generate_private_key("ssh-ed25519")
    listener = await asyncssh.listen(HERE, 0, server_factory=lambda: server, server_host_keys=[key], encoding=None)
    async with listener:
        yield server, SshTarget("core", listener.get_port(), (HERE,), "/run/engine.sock")


async def test_a_channel_that_opens_after_it_was_given_up_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest gives few channels: one that nobody waits for any more would be lost for as long as the link lives."""
    monkeypatch.setattr(relays, "LATE_SECONDS", 0.1)
    async with _late_server() as (server, target):
        link = await open_ssh(target, [], settings=LinkSettings(), gates=Gates(Gate(1), Gate(1)))
        async with asyncio.TaskGroup() as group:
            opening = group.create_task(link.open(_Nobody()))
            await server.asked.wait()
            opening.cancel()
        server.opens.set()
        async with asyncio.timeout(5):
            await server.ended.wait()
        assert link.is_open
        link.close()
        await link.wait_closed()
