"""What a server may say on an SSH connection once it has let us in: nothing of it ends more than that connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import asyncssh
import pytest
from asyncssh.packet import Boolean, String, UInt32

from roadstead.errors import PeerError
from roadstead.kit.rates import Allowance
from roadstead.lab.guests.guest import SimulatedGuest
from roadstead.lab.guests.simulated import lone_guest
from roadstead.peers.engine.client import EngineClient
from roadstead.peers.links import connections, pacing
from roadstead.peers.links.ssh import SshLink
from tests.contract.links_contract import Sink, call, engine_client, refused
from tests.unit.lab.guests_support import KEY, KEY_LINE

ESCAPES = "\x1b]0;owned\x07\x1b[2J\nforged"
NOBODY = 4711
"""A channel that does not exist."""
PACKETS: dict[str, tuple[int, bytes]] = {
    "bye": (1, UInt32(11) + String(ESCAPES) + String("")),
    "bye without words": (1, b""),
    "no such message": (3, UInt32(1)),
    "debug": (4, Boolean(True) + String(ESCAPES) + String("")),
    "service": (6, String("ssh-userauth")),
    "extensions again": (7, UInt32(2**31) + String("server-sig-algs") + String("")),
    "new keys, unasked": (21, b""),
    "broken key exchange": (20, bytes(16) + String("none") * 10),
    "key exchange, cut": (20, b"\x00" * 7),
    "let in twice": (52, b""),
    "refused after all": (51, String("publickey") + Boolean(False)),
    "text about the sign-in": (53, String(ESCAPES) + String("")),
    "host keys, unasked": (80, String("hostkeys-00@openssh.com") + Boolean(False) + String(b"x" * 30_000)),
    "request without a name": (80, b"\x00\x00\x00\xff"),
    "answer to nothing": (81, b""),
    "channel to us": (90, String("forwarded-tcpip") + UInt32(0) + UInt32(2**31) + UInt32(2**15)),
    "agent wanted": (90, String("auth-agent@openssh.com") + UInt32(1) + UInt32(2**21) + UInt32(2**15)),
    "X11 wanted": (90, String("x11") + UInt32(1) + UInt32(2**21) + UInt32(2**15) + String("a") + UInt32(1)),
    "confirmed for nobody": (91, UInt32(NOBODY) + UInt32(1) + UInt32(1) + UInt32(1)),
    "window for nobody": (93, UInt32(NOBODY) + UInt32(2**32 - 1)),
    "data for nobody": (94, UInt32(NOBODY) + String(b"x" * 30_000)),
    "end for nobody": (96, UInt32(NOBODY)),
    "request for nobody": (98, UInt32(NOBODY) + String("exit-signal") + Boolean(True)),
    "unknown type": (190, b"\xff" * 100),
    "nothing": (0, b""),
}


@pytest.fixture
async def guest() -> AsyncIterator[SimulatedGuest]:
    """A guest that lets the test's key in."""
    async with lone_guest("garbled", count=3, public_keys=[KEY_LINE]) as made:
        yield made


@pytest.mark.parametrize("name", PACKETS)
async def test_no_message_ends_more_than_its_connection(
    guest: SimulatedGuest, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The link goes on or is lost, in words of ours; nothing is logged of it, and the next one works."""
    link = await call(guest, KEY)
    client = engine_client(link)
    await client.hello()
    (connection,) = guest._connections  # noqa: SLF001 - the server's end, to say what asyncssh never would
    assert isinstance(connection, asyncssh.SSHServerConnection)
    kind, payload = PACKETS[name]
    connection.send_packet(kind, payload)
    error = await _failed(client)
    assert error is None or (str(error).isprintable() and not link.is_open)
    link.close()
    await link.wait_closed()
    again = await call(guest, KEY)
    again.close()
    await again.wait_closed()

    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_keys_are_not_exchanged_again_and_again(guest: SimulatedGuest) -> None:
    """Each exchange takes milliseconds of ours: who asks for the next one at once is cut off."""
    link = await call(guest, KEY)
    client = engine_client(link)
    await client.hello()
    (connection,) = guest._connections  # noqa: SLF001 - the server's end, to say what asyncssh never would
    assert isinstance(connection, asyncssh.SSHServerConnection)
    connection._rekey_bytes_sent = 2**40  # noqa: SLF001 - the same: it asks at its next packet
    error = await _failed(client)

    assert error is not None
    assert error.code == "link-lost"
    await link.wait_closed()


async def test_keys_may_be_exchanged_again_later(guest: SimulatedGuest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As servers do after a gigabyte: the link goes on."""
    monkeypatch.setattr(connections, "REKEY_SECONDS", 0.0)
    link = await call(guest, KEY)
    client = engine_client(link)
    await client.hello()
    (connection,) = guest._connections  # noqa: SLF001 - the server's end, to say what asyncssh never would
    assert isinstance(connection, asyncssh.SSHServerConnection)
    connection._rekey_bytes_sent = 2**40  # noqa: SLF001 - the same: it asks at its next packet

    assert [await _failed(client) for _ in range(3)] == [None] * 3
    assert connection._rekey_bytes_sent < 2**40  # noqa: SLF001 - the same
    link.close()
    await link.wait_closed()


AT_ONCE = 1000
WAIT_SECONDS = 15.0
FLOODS: dict[str, tuple[int, bytes]] = {
    "ignored": (2, String(b"")),
    "ignored, large": (2, String(b"x" * 30_000)),
    "debug": PACKETS["debug"],
    "not implemented": PACKETS["no such message"],
    "global requests": (80, String("keepalive@openssh.com") + Boolean(False)),
    "unknown": (190, b""),
}
IN_A_CHANNEL: dict[str, tuple[int, bytes]] = {
    "windows": (93, UInt32(1)),
    "data of nothing": (94, String(b"")),
    "data, byte by byte": (94, String(b"x")),
    "channel requests": (98, String("xon-xoff") + Boolean(False) + Boolean(False)),
}


@pytest.mark.parametrize("name", [*FLOODS, *IN_A_CHANNEL])
async def test_who_says_nothing_for_too_long_is_cut_off(
    guest: SimulatedGuest, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Under a name of its own; no window of a channel holds such packets back."""
    link = await call(guest, KEY)
    sink = Sink()
    stream = await link.open(sink)
    _bear_little(link, monkeypatch)
    (connection,) = guest._connections  # noqa: SLF001 - the server's end, to say what asyncssh never would
    assert isinstance(connection, asyncssh.SSHServerConnection)
    kind, payload = (FLOODS | IN_A_CHANNEL)[name]
    if name in IN_A_CHANNEL:
        # What we call a channel stands in the server's own record of it.
        (channel,) = connection._channels.values()  # noqa: SLF001 - the same
        assert channel._send_chan is not None  # noqa: SLF001 - the same
        payload = UInt32(channel._send_chan) + payload  # noqa: SLF001 - the same
    async with asyncio.timeout(WAIT_SECONDS):
        while not sink.ends:
            for _ in range(1 + AT_ONCE // (1 + len(payload))):
                connection.send_packet(kind, payload)
            await asyncio.sleep(0)

    assert [getattr(error, "code", None) for error in sink.ends] == ["ssh-floods"]
    assert not link.is_open
    stream.abort()
    await link.wait_closed()


@pytest.mark.parametrize("name", FLOODS)
async def test_what_servers_say_now_and_then_is_no_flood(guest: SimulatedGuest, name: str) -> None:
    """The same, a while long, is taken."""
    link = await call(guest, KEY)
    client = engine_client(link)
    await client.hello()
    (connection,) = guest._connections  # noqa: SLF001 - the server's end, to say what asyncssh never would
    assert isinstance(connection, asyncssh.SSHServerConnection)
    for _ in range(AT_ONCE):
        connection.send_packet(*FLOODS[name])

    assert await _failed(client) is None
    link.close()
    await link.wait_closed()


def _bear_little(link: SshLink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a guest that takes all of its share be cut off soon. It has nothing in hand, so that it never rests, however
    late a busy machine hears it.
    """
    monkeypatch.setattr(pacing, "PATIENCE_SECONDS", 0.3)
    pace = link._connection._pace  # noqa: SLF001 - it was let in with the usual share
    assert pace is not None
    pace._share._allowance = Allowance(0.01, 0.0)  # noqa: SLF001 - the same


async def _failed(client: EngineClient) -> PeerError | None:
    """How a list fails; None when it is whole."""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            listing = await client.containers()
    except PeerError as error:
        return error
    assert len(listing.containers) == 3
    return None


async def test_a_guest_that_never_rests_is_cut_off(guest: SimulatedGuest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that says each byte in a message of its own, longer than we bear with: its link is lost, the next works."""
    await guest.misbehave("crumbs")
    link = await call(guest, KEY)
    _bear_little(link, monkeypatch)
    error = await _failed(engine_client(link))
    assert error is not None
    assert error.code == "ssh-floods"
    await link.wait_closed()

    monkeypatch.undo()
    await guest.misbehave()
    again = await call(guest, KEY)
    assert await _failed(engine_client(again)) is None
    again.close()
    await again.wait_closed()


async def test_what_comes_before_the_sign_in_has_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """However well formed it is: the connection ends, and the reason is told."""
    monkeypatch.setattr(connections, "HANDSHAKE_BYTES", 2**10)
    async with lone_guest("talker", count=3, public_keys=[KEY_LINE]) as talker:
        error = await refused(call(talker, KEY))

    assert (error.code, error.fields["reason"]) == ("ssh-failed", "it says too much before the sign-in")


@pytest.mark.parametrize("traits", [(), ("streamlocal-forbidden",)], ids=["forwarded", "relayed"])
async def test_a_stream_that_is_not_read_holds_half_a_megabyte_at_most(
    guest: SimulatedGuest, traits: tuple[str, ...]
) -> None:
    """That is what its guest may send beforehand, whichever way it was opened."""
    await guest.misbehave(*traits)
    link = await call(guest, KEY)
    stream = await link.open(Sink())
    (connection,) = guest._connections  # noqa: SLF001 - the server's end, which knows what it was allowed
    assert isinstance(connection, asyncssh.SSHServerConnection)
    windows = [channel._send_window for channel in connection._channels.values()]  # noqa: SLF001 - the same

    assert windows
    assert max(windows) <= 2**19
    stream.abort()
    link.close()
    await link.wait_closed()
