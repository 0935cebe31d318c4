"""What stands in for forwarding is found out once for a guest, not for each link; and anew when it is gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncssh
import pytest

from roadstead.errors import EngineError
from roadstead.lab.guests import sshd
from roadstead.lab.guests.guest import SimulatedGuest
from roadstead.lab.guests.simulated import lone_guest
from roadstead.peers.links.messages import Relay, question, relay_command
from roadstead.peers.links.relays import KnownRelay
from roadstead.peers.links.ssh import SshLink
from tests.contract.links_contract import Sink, call, engine_client

KEY = asyncssh.generate_private_key("ssh-ed25519")
SOCKET = "/var/run/docker.sock"
DOCKER, QUESTION, FORWARD = relay_command(Relay.DIAL_STDIO, SOCKET), question(SOCKET), "forward"


@pytest.fixture
async def guest() -> AsyncIterator[SimulatedGuest]:
    """A guest that forbids forwarding and has the docker command."""
    async with lone_guest("web", count=3, public_keys=[KEY.export_public_key().decode()]) as one:
        await one.misbehave("streamlocal-forbidden")
        yield one


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What guests are asked to forward or to run, in order."""
    words: list[str] = []
    run, forward = sshd._Command.exec_requested, sshd._Server.unix_connection_requested  # noqa: SLF001 - to be listened to

    def note_run(self: sshd._Command, command: str) -> bool:
        words.append(command)
        return run(self, command)

    def note_forward(self: sshd._Server, path: str) -> object:
        words.append(FORWARD)
        return forward(self, path)

    monkeypatch.setattr(sshd._Command, "exec_requested", note_run)  # noqa: SLF001 - the same
    monkeypatch.setattr(sshd._Server, "unix_connection_requested", note_forward)  # noqa: SLF001 - the same
    return words


@asynccontextmanager
async def linked(guest: SimulatedGuest, known: KnownRelay) -> AsyncIterator[SshLink]:
    """A link that begins with what earlier ones found."""
    link = await call(guest, KEY)
    link.begin_with(known)
    try:
        yield link
    finally:
        link.close()
        await link.wait_closed()


async def _greet(link: SshLink) -> None:
    client = engine_client(link)
    try:
        await client.hello()
    finally:
        client.close()


async def test_the_next_link_asks_nothing(guest: SimulatedGuest, asked: list[str]) -> None:
    """Its first command is the relay, which its record names, and forwarding is not tried."""
    known = KnownRelay()
    async with linked(guest, known) as link:
        await _greet(link)
    assert (asked, known.relay) == ([FORWARD, QUESTION, DOCKER], Relay.DIAL_STDIO)
    asked.clear()
    async with linked(guest, known) as link:
        await _greet(link)
        assert (asked, link.relay) == ([DOCKER], Relay.DIAL_STDIO)


async def test_where_forwarding_works_there_is_nothing_to_remember(guest: SimulatedGuest, asked: list[str]) -> None:
    """Trying it is no question."""
    await guest.misbehave()
    known = KnownRelay()
    for _ in range(2):
        async with linked(guest, known) as link:
            await _greet(link)
    assert (asked, known.relay) == ([FORWARD, FORWARD], None)


@pytest.mark.parametrize("trait", ["dial-stdio-missing", "exec-forbidden"])
async def test_a_relay_that_is_gone_is_replaced_on_the_same_link(guest: SimulatedGuest, trait: str) -> None:
    """The command is there no more, or none may run; whoever reads is not told of it."""
    known = KnownRelay(Relay.DIAL_STDIO)
    await guest.misbehave(trait)
    async with linked(guest, known) as link:
        await _greet(link)
        assert (link.relay, known.relay) == ("streamlocal", None)


async def test_one_that_goes_while_the_link_lasts_is_replaced_too(guest: SimulatedGuest) -> None:
    """Although it was heard before."""
    known = KnownRelay()
    async with linked(guest, known) as link:
        await _greet(link)
        await guest.misbehave("dial-stdio-missing")
        await _greet(link)
        assert (link.relay, known.relay) == ("streamlocal", None)


async def test_without_any_other_the_reason_is_told(guest: SimulatedGuest, asked: list[str]) -> None:
    """After one question, and no more tries."""
    known = KnownRelay(Relay.DIAL_STDIO)
    await guest.misbehave("streamlocal-forbidden", "dial-stdio-missing")
    async with linked(guest, known) as link:
        with pytest.raises(EngineError) as caught:
            await _greet(link)
    assert (caught.value.code, known.relay) == ("no-relay", None)
    assert asked == [DOCKER, FORWARD, QUESTION]


async def test_one_that_says_what_is_wrong_behind_it_is_kept(guest: SimulatedGuest, asked: list[str]) -> None:
    """It is there: after an engine's restart nothing is asked."""
    known = KnownRelay(Relay.DIAL_STDIO)
    await guest.misbehave("streamlocal-forbidden", "engine-down")
    async with linked(guest, known) as link:
        with pytest.raises(EngineError) as caught:
            await _greet(link)
        await guest.misbehave("streamlocal-forbidden")
        await _greet(link)
    assert (caught.value.code, known.relay, asked) == ("engine-down", Relay.DIAL_STDIO, [DOCKER, DOCKER])


async def test_one_that_stays_silent_is_forgotten_unless_it_was_heard(guest: SimulatedGuest) -> None:
    """A stream that is given up says nothing of a relay that works, and much of one that was only remembered."""
    known = KnownRelay(Relay.DIAL_STDIO)
    async with linked(guest, known) as link:
        (await link.open(Sink())).abort()
        assert (link.relay, known.relay) == ("", None)
        await _greet(link)
        (await link.open(Sink())).abort()
        assert (link.relay, known.relay) == (Relay.DIAL_STDIO, Relay.DIAL_STDIO)
