"""Every misbehaviour of connections and of the SSH server really happens, and only where it says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncssh
import pytest

from roadstead.lab.guests.guest import SimulatedGuest
from roadstead.lab.guests.misbehaviour import Layer
from roadstead.lab.guests.simulated import lone_guest
from roadstead.peers.links import messages
from tests.unit.lab.guests_support import KEY_LINE, connect, of_layers

SOCKET = "/var/run/docker.sock"
WAIT_SECONDS = 0.05
"""How long something that must not happen is waited for."""


@pytest.fixture
async def guest() -> AsyncIterator[SimulatedGuest]:
    """A running guest with three containers."""
    async with lone_guest("hostile", public_keys=[KEY_LINE]) as made:
        yield made


async def test_a_name_that_is_not_in_the_table_is_an_error(guest: SimulatedGuest) -> None:
    """A misspelt misbehaviour must not pass for good behaviour."""
    with pytest.raises(KeyError, match="no-such-thing"):
        await guest.misbehave("no-such-thing")


# Before the connection is SSH


async def _closes(reader: asyncio.StreamReader) -> bool:
    return await reader.read() == b""


async def _says_nothing(reader: asyncio.StreamReader) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(WAIT_SECONDS):
            await reader.read(1)
            return False
    return True


async def _babbles(reader: asyncio.StreamReader) -> bool:
    lines = [await reader.readline() for _ in range(20)]
    return not any(line.startswith(b"SSH-") for line in lines)


async def _drips_a_banner(reader: asyncio.StreamReader) -> bool:
    return len(await reader.read(100)) == 1


async def _has_no_line(reader: asyncio.StreamReader) -> bool:
    return b"\n" not in await reader.readexactly(20_000)


async def _says_a_banner_alone(reader: asyncio.StreamReader) -> bool:
    return (await reader.readline()).startswith(b"SSH-2.0-") and await _says_nothing(reader)


async def _shakes_no_hand(reader: asyncio.StreamReader) -> bool:
    return not (await reader.readline()).isascii() and len(await reader.readexactly(1000)) == 1000


CONNECTS: dict[str, Callable[[asyncio.StreamReader], Awaitable[bool]]] = {
    "close-before-banner": _closes,
    "banner-never-comes": _says_nothing,
    "banner-garbage": _babbles,
    "banner-drips": _drips_a_banner,
    "banner-endless-line": _has_no_line,
    "handshake-never-ends": _says_a_banner_alone,
    "handshake-garbage": _shakes_no_hand,
}


@pytest.mark.parametrize("name", of_layers(Layer.CONNECT))
async def test_connections_go_wrong_before_the_banner(guest: SimulatedGuest, name: str) -> None:
    """What a TCP client sees in place of a banner; afterwards, well-behaved again, it is the banner."""
    for is_bad in (True, False):
        await guest.misbehave(*([name] if is_bad else []))
        reader, writer = await asyncio.open_connection(guest.addresses[0], guest.port)
        if is_bad:
            assert await CONNECTS[name](reader)
        else:
            assert (await reader.readline()).startswith(b"SSH-2.0-")
        writer.close()
        await writer.wait_closed()


# Signing in and host keys


@pytest.mark.parametrize("name", ["sign-in-never-ends", "sign-in-babbles"])
async def test_a_sign_in_that_never_ends_is_not_answered(guest: SimulatedGuest, name: str) -> None:
    """The client is left waiting after it offered its key, with or without texts to read meanwhile."""
    await guest.misbehave(name)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5 * WAIT_SECONDS):
            await connect(guest)


async def test_a_guest_may_babble_on_its_connection(guest: SimulatedGuest) -> None:
    """Its engine answers among the messages that are to be ignored."""
    await guest.misbehave("link-babbles")
    async with connect(guest) as connection:
        assert await dial(connection) == OK


async def test_a_request_may_go_unread(guest: SimulatedGuest) -> None:
    """The stream opens, and takes no more than a byte."""
    await guest.misbehave("request-unread")
    async with connect(guest) as connection:
        reader, writer = await connection.open_unix_connection(SOCKET)
        writer.write(b"GET /_ping HTTP/1.1\r\nHost: e\r\n\r\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(WAIT_SECONDS):
                await reader.read(1)
        assert writer.get_extra_info("connection") is connection
        connection.abort()


async def test_a_guest_that_hangs_keeps_its_connections(guest: SimulatedGuest) -> None:
    """Nothing ends and nothing is answered, on connections that are there as on new ones."""
    async with connect(guest) as connection:
        await guest.misbehave("half-open")
        for waiting in (connection.open_unix_connection(SOCKET), connect(guest)):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5 * WAIT_SECONDS):
                    await waiting
        assert not connection.is_closed()
        connection.abort()


async def test_a_rejected_key_opens_nothing(guest: SimulatedGuest) -> None:
    """The right key is refused."""
    await guest.misbehave("key-rejected")

    with pytest.raises(asyncssh.PermissionDenied):
        await connect(guest)


async def shown_keys(guest: SimulatedGuest) -> set[str]:
    """The host keys that clients of each algorithm are shown."""
    found = set()
    for algorithm in ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-256"):
        with contextlib.suppress(asyncssh.KeyExchangeFailed):
            key = await asyncssh.get_server_host_key(
                guest.addresses[0], guest.port, server_host_key_algs=[algorithm], config=None
            )
            if key is not None:
                found.add(key.export_public_key().decode())
    return found


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("", {"ssh-ed25519"}),
        ("host-key-ecdsa-only", {"ecdsa-sha2-nistp256"}),
        ("host-key-all-types", {"ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"}),
    ],
)
async def test_guests_have_the_host_keys_they_should(guest: SimulatedGuest, name: str, kinds: set[str]) -> None:
    """Which types are offered can be chosen, and they are the same ones each time."""
    await guest.misbehave(*([name] if name else []))

    first, second = await shown_keys(guest), await shown_keys(guest)

    assert kinds == {key.split()[0] for key in first}
    assert first == second


async def test_a_host_key_that_changes_is_another_each_time(guest: SimulatedGuest) -> None:
    """Each connection is shown its own."""
    await guest.misbehave("host-key-changes")

    shown = [await asyncssh.get_server_host_key(guest.addresses[0], guest.port, config=None) for _ in range(3)]

    assert len({key.public_data for key in shown if key is not None}) == 3


async def test_guests_can_share_a_host_key(guest: SimulatedGuest) -> None:
    """Two guests of one maker with this trait show the same key, others their own."""
    other = SimulatedGuest("other", 2, ("127.0.0.1", 0), lone_guest("o").engine, guest.lot)
    assert guest.host_key() != other.host_key()

    await guest.misbehave("host-key-shared")
    await other.misbehave("host-key-shared")

    assert guest.host_key() == other.host_key()


# Reaching the engine


async def streamlocal(connection: asyncssh.SSHClientConnection) -> str:
    """What a client is told about the socket."""
    try:
        _, writer = await connection.open_unix_connection(SOCKET)
    except asyncssh.ChannelOpenError as refused:
        return f"{refused.code} {refused.reason}"
    writer.close()
    return "open"


async def dial(connection: asyncssh.SSHClientConnection) -> str:
    """What a client is told by the relay: its first line, or how it ended."""
    try:
        process = await connection.create_process("docker system dial-stdio", encoding=None)
    except asyncssh.ChannelOpenError as refused:
        return f"{refused.code} {refused.reason}"
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(b"GET /_ping HTTP/1.1\r\nHost: e\r\n\r\n")
    line = await process.stdout.readline()
    if line:
        process.close()
        return str(line.decode().strip())
    result = await process.wait()
    error = result.stderr or b""
    return f"{result.exit_status} {error.decode().strip() if isinstance(error, bytes) else error.strip()}"


OK = "HTTP/1.1 200 OK"
REFUSED = "2 open failed"
DIAL = "1 failed to open the raw stream connection: dial unix /var/run/docker.sock: connect: "


@pytest.mark.parametrize(
    ("name", "by_socket", "by_command"),
    [
        ("streamlocal-forbidden", REFUSED, OK),
        ("exec-forbidden", "open", REFUSED),
        ("dial-stdio-missing", "open", "127 sh: 1: docker: not found"),
        ("exec-noise", "open", "Welcome to a simulated guest."),
        ("no-socket", REFUSED, DIAL + "no such file or directory"),
        ("socket-denied", REFUSED, DIAL + "permission denied"),
        ("engine-down", REFUSED, DIAL + "connection refused"),
    ],
)
async def test_ways_to_the_engine_fail_as_told(
    guest: SimulatedGuest, name: str, by_socket: str, by_command: str
) -> None:
    """By streamlocal all reasons look alike, by a command each has its own words; it can change while connected."""
    async with connect(guest) as connection:
        assert (await streamlocal(connection), await dial(connection)) == ("open", OK)
        await guest.misbehave(name)
        assert (await streamlocal(connection), await dial(connection)) == (by_socket, by_command)
        await guest.misbehave()
        assert (await streamlocal(connection), await dial(connection)) == ("open", OK)


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("no-socket", messages.Finding.ABSENT),
        ("socket-denied", messages.Finding.DENIED),
        ("engine-down", messages.Finding.DEAD),
        ("dial-stdio-missing", messages.Finding.NO_RELAY),
        ("streamlocal-forbidden", messages.Relay.DIAL_STDIO),
        ("exec-noise", messages.Relay.DIAL_STDIO),
    ],
)
async def test_the_question_of_the_link_is_answered(
    guest: SimulatedGuest, name: str, finding: messages.Finding | messages.Relay
) -> None:
    """A command tells the reasons apart that streamlocal has one word for."""
    await guest.misbehave(name)
    async with connect(guest) as connection:
        result = await connection.run(messages.question(SOCKET), encoding=None)

    assert finding == messages.finding(result.stdout, result.stderr)


async def test_a_forced_command_relays_whatever_is_asked(guest: SimulatedGuest) -> None:
    """With a restricted key every command is the relay, so the question reaches the engine."""
    await guest.misbehave("command-forced")
    async with connect(guest) as connection:
        process = await connection.create_process(messages.question(SOCKET), encoding=None)
        process.stdin.write(b"GET /_ping HTTP/1.1\r\nHost: e\r\n\r\n")
        assert await process.stdout.readline() == b"HTTP/1.1 200 OK\r\n"


async def test_an_engine_that_goes_down_cuts_its_streams(guest: SimulatedGuest) -> None:
    """Open streams end, the SSH connection stays."""
    async with connect(guest) as connection:
        reader, writer = await connection.open_unix_connection(SOCKET)
        writer.write(b"GET /events HTTP/1.1\r\nHost: e\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")

        await guest.misbehave("engine-down")

        assert await reader.read() == b""
        assert guest.statistics() == {"connections": 1, "streams": 0, "connections_ever": 1}
