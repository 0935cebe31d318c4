"""A visit gives the password once, to the confirmed host only, and takes no more from a hostile one than it may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncssh
import pytest

from roadstead.errors import LinkError
from roadstead.peers.links import visits
from roadstead.peers.links.visits import Door, SignIn, Task
from roadstead.settings.schema import LinkSettings

PASSWORD = "opensesame"
HASTY = LinkSettings(connect_seconds=2, login_seconds=0.5)
PATIENT = LinkSettings()
KEY = asyncssh.generate_private_key("ssh-ed25519")


class Host(asyncssh.SSHServer):
    """A host that asks for a password in one of the two ways, and counts the answers."""

    def __init__(self, *, asks: int = 0) -> None:
        self.asks = asks
        """How many prompts a challenge has; 0 for the plain way."""
        self.guesses: list[Any] = []

    def password_auth_supported(self) -> bool:
        return not self.asks

    def validate_password(self, username: str, password: str) -> bool:
        self.guesses.append(password)
        return password == PASSWORD

    def kbdint_auth_supported(self) -> bool:
        return bool(self.asks)

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:
        return ("", "", "", [("Password: ", False)] * self.asks)

    def validate_kbdint_response(self, username: str, responses: Any) -> bool:
        self.guesses.append(list(responses))
        return list(responses) == [PASSWORD]


@asynccontextmanager
async def listening(host: Host, process: Callable[[Any], Any]) -> AsyncIterator[Door]:
    """The host, which runs ``process`` whatever is asked."""
    server = await asyncssh.create_server(
        lambda: host, "127.0.0.1", 0, server_host_keys=[KEY], process_factory=process, encoding=None
    )
    async with server:
        yield Door("127.0.0.1", server.get_port())


async def echo(process: Any) -> None:
    """Say what was read."""
    process.stdout.write(await process.stdin.read())
    process.exit(0)


async def flood(process: Any) -> None:
    """Say more than anybody should listen to, until nobody does."""
    try:
        while True:
            process.stdout.write(b"x" * 2**15)
            await process.stdout.drain()
    except (asyncssh.Error, OSError):
        process.exit(1)


async def mute(process: Any) -> None:
    """Say nothing, for ever."""
    await process.stdin.read()
    await process.wait_closed()


def task(seconds: float = 10) -> Task:
    """What is to be done."""
    return Task("run", b"hello", seconds)


@pytest.mark.parametrize("asks", [0, 1], ids=["plainly", "as a challenge"])
async def test_the_password_is_given_once(asks: int) -> None:
    """However the host asks; a wrong one is one guess."""
    host = Host(asks=asks)
    async with listening(host, echo) as door:
        shown = await visits.look(door, PATIENT)
        assert host.guesses == []
        assert shown == f"ssh-ed25519 {KEY.get_fingerprint()}"
        assert await visits.visit(door, shown, SignIn(password=PASSWORD), task(), PATIENT) == b"hello"
        host.guesses.clear()
        with pytest.raises(LinkError) as caught:
            await visits.visit(door, shown, SignIn(password="guess"), task(), PATIENT)
        assert caught.value.code == "key-rejected"
        assert len(host.guesses) == 1


async def test_who_asks_for_more_than_a_password_gets_nothing() -> None:
    """Two prompts may be anything."""
    host = Host(asks=2)
    async with listening(host, echo) as door:
        with pytest.raises(LinkError):
            await visits.visit(door, await visits.look(door, PATIENT), SignIn(password=PASSWORD), task(), PATIENT)
    assert PASSWORD not in str(host.guesses)


async def test_another_host_gets_no_password() -> None:
    """The key is judged before the sign-in."""
    host = Host()
    other = asyncssh.generate_private_key("ssh-ed25519").get_fingerprint()
    async with listening(host, echo) as door:
        with pytest.raises(LinkError) as caught:
            await visits.visit(door, f"ssh-ed25519 {other}", SignIn(password=PASSWORD), task(), PATIENT)
    assert caught.value.code == "host-key-changed"
    assert host.guesses == []


async def test_endless_output_ends_at_the_bound() -> None:
    """A host may say what it likes; so much of it is heard."""
    async with listening(Host(), flood) as door:
        shown = await visits.look(door, PATIENT)
        said = await visits.visit(door, shown, SignIn(password=PASSWORD), task(), PATIENT)
    assert len(said) == visits.OUTPUT_BYTES


async def test_a_command_that_never_ends_is_left() -> None:
    """Its limit is over."""
    async with listening(Host(), mute) as door:
        shown = await visits.look(door, PATIENT)
        with pytest.raises(LinkError) as caught:
            await visits.visit(door, shown, SignIn(password=PASSWORD), task(0.1), PATIENT)
    assert (caught.value.code, caught.value.fields["step"]) == ("timed-out", visits.WORKING)


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-slow\r\n", b"a line\r\n" * 1000])
async def test_a_server_that_gets_nowhere_is_left(said: bytes) -> None:
    """Silent, or without end before its banner."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        door = Door("127.0.0.1", server.sockets[0].getsockname()[1])
        with pytest.raises(LinkError) as caught:
            await visits.look(door, HASTY)
    assert caught.value.code in {"timed-out", "ssh-failed"}


def test_secrets_do_not_show() -> None:
    """Neither in a log nor in a report of a mistake."""
    assert PASSWORD not in repr(SignIn(password=PASSWORD))
