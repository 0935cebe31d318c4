"""Links to simulated guests: what every link must do, and what each misbehaviour of a guest is called."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncssh
import pytest

from roadstead.errors import EngineError
from roadstead.lab.guests.certificates import Authority
from roadstead.lab.guests.guest import SimulatedGuest
from roadstead.lab.guests.simulated import lone_guest
from roadstead.peers.links.hostkeys import Pins, named
from roadstead.peers.links.messages import MARK, Relay
from roadstead.peers.links.ssh import SshLink, SshTarget, open_ssh
from roadstead.peers.links.unix import open_unix
from tests.contract.links_contract import (
    CHECKS,
    FAST,
    SOCKET,
    Reached,
    Sink,
    call,
    call_tls,
    engine_client,
    gates,
    refused,
    shown,
)

KEY = asyncssh.generate_private_key("ssh-ed25519")
OTHER = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().split()[1]
Check = Callable[[Reached], Awaitable[None]]


@pytest.fixture
async def guest() -> AsyncIterator[SimulatedGuest]:
    """A running guest that lets our key in."""
    async with lone_guest("web", count=6, public_keys=[KEY.export_public_key().decode()]) as made:
        yield made


@pytest.fixture(params=["ssh", "relay", "unix", "tls"])
async def reached(request: pytest.FixtureRequest, guest: SimulatedGuest, tmp_path: Path) -> AsyncIterator[Reached]:
    """The guest over SSH with forwarding, over SSH without, over its engine's own socket, and over TLS."""
    if request.param == "tls":
        authority = Authority("web")
        async with lone_guest("web", count=6, authority=authority) as secured:
            link = await call_tls(secured, await shown(authority))
            client = engine_client(link)
            await client.hello()
            yield Reached(secured, link, client)
            client.close()
            link.close()
        return
    if request.param == "relay":
        await guest.misbehave("streamlocal-forbidden", "exec-noise")
    server = await guest.serve_unix(tmp_path / "engine.sock") if request.param == "unix" else None
    other = await (open_unix(str(tmp_path / "engine.sock")) if server else call(guest, KEY))
    client = engine_client(other)
    await client.hello()
    yield Reached(guest, other, client)
    client.close()
    other.close()
    if isinstance(other, SshLink):
        await other.wait_closed()
    if server:
        server.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_a_simulated_guest_keeps_the_contract(reached: Reached, check: Check) -> None:
    """Whatever the way to it."""
    await check(reached)


@pytest.mark.parametrize(
    ("faults", "relay"),
    [
        ((), "streamlocal"),
        (("exec-forbidden",), "streamlocal"),
        (("dial-stdio-missing",), "streamlocal"),
        (("streamlocal-forbidden",), "dial-stdio"),
        (("streamlocal-forbidden", "exec-noise"), "dial-stdio"),
    ],
)
async def test_the_way_to_the_socket_is_chosen_once(guest: SimulatedGuest, faults: tuple[str, ...], relay: str) -> None:
    """Forwarding where it works, the docker command where it does not; and the link remembers it."""
    await guest.misbehave(*faults)
    link = await call(guest, KEY)
    assert link.relay == ""
    client = engine_client(link)
    await client.hello()
    await client.containers()

    assert link.relay == relay
    link.close()
    await link.wait_closed()


async def test_sudo_is_a_way_of_its_own(guest: SimulatedGuest) -> None:
    """It is asked whether it may be used, and forwarding is not tried, although it would work."""
    somebody = SshTarget(guest.user, guest.port, guest.addresses, "/var/run/docker.sock", sudo=True)
    link = await open_ssh(somebody, [KEY], settings=FAST, gates=gates())
    client = engine_client(link)
    await client.hello()

    assert (len((await client.containers()).containers), link.relay) == (6, "sudo")
    link.close()
    await link.wait_closed()


@pytest.mark.parametrize(
    ("faults", "code"),
    [
        (("close-before-banner",), "ssh-refuses-us"),
        (("banner-never-comes",), "timed-out"),
        (("banner-garbage",), "ssh-failed"),
        (("sign-in-never-ends",), "timed-out"),
        (("key-rejected",), "key-rejected"),
    ],
)
async def test_a_guest_that_does_not_let_us_in_is_told(
    guest: SimulatedGuest, faults: tuple[str, ...], code: str
) -> None:
    """Each way of not letting us in has its code."""
    await guest.misbehave(*faults)

    assert (await refused(call(guest, KEY))).code == code


@pytest.mark.parametrize(
    ("faults", "codes"),
    [
        (("no-socket",), {"no-engine-socket"}),
        (("socket-denied",), {"engine-socket-denied"}),
        (("engine-down",), {"engine-down"}),
        (("streamlocal-forbidden", "dial-stdio-missing"), {"no-relay"}),
        (("streamlocal-forbidden", "exec-forbidden"), {"engine-unreachable"}),
        (("no-socket", "exec-forbidden"), {"engine-unreachable"}),
    ],
)
async def test_what_a_refused_socket_means_is_asked_for(
    guest: SimulatedGuest, faults: tuple[str, ...], codes: set[str]
) -> None:
    """Where the key allows a command its answer decides; where not, the problem names the candidates."""
    await guest.misbehave(*faults)
    link = await call(guest, KEY)

    with pytest.raises(EngineError) as caught:
        await link.open(Sink())
    assert caught.value.code in codes
    assert link.is_open
    link.close()
    await link.wait_closed()


async def test_an_engine_that_died_is_down(guest: SimulatedGuest) -> None:
    """Where forwarding worked before, a refusal means that nobody listens; the link stays and heals."""
    link = await call(guest, KEY)
    client = engine_client(link)
    await client.hello()
    await guest.misbehave("engine-down")
    with pytest.raises(EngineError) as caught:
        await client.containers()
    assert caught.value.code == "engine-down"
    await guest.misbehave()

    assert len((await client.containers()).containers) == 6
    link.close()
    await link.wait_closed()


async def test_first_contact_shows_the_key_that_the_next_one_demands(guest: SimulatedGuest) -> None:
    """What a first contact reports is a pin that the same guest passes, and another does not."""
    first = await call(guest, KEY)
    pinned = await call(guest, KEY, Pins(pin=first.host_key))
    assert pinned.fingerprint == first.fingerprint == asyncssh.import_public_key(guest.host_key()).get_fingerprint()
    changed = await refused(call(guest, KEY, Pins(pin=OTHER)))
    assert changed.code == "host-key-changed"
    assert changed.fields["shown"] == first.fingerprint

    for link in (first, pinned):
        link.close()
        await link.wait_closed()


async def test_a_guest_that_lost_its_kind_of_key_is_told(guest: SimulatedGuest) -> None:
    """A pin of a type that the guest no longer offers is not a changed key."""
    first = await call(guest, KEY)
    first.close()
    await first.wait_closed()
    await guest.misbehave("host-key-ecdsa-only")

    gone = await refused(call(guest, KEY, Pins(pin=first.host_key)))
    assert (gone.code, gone.fields["type"]) == ("host-key-type-gone", "ssh-ed25519")


async def test_another_vms_key_is_refused_before_the_sign_in(guest: SimulatedGuest) -> None:
    """At first contact a key pinned elsewhere is not taken, unless an operator confirmed this very key."""
    blob = guest.host_key().split()[1]
    await guest.misbehave("sign-in-never-ends")

    shared = await refused(call(guest, KEY, Pins(owner={blob: "db-1"}.get)))
    assert (shared.code, shared.fields["others"]) == ("host-key-shared", "db-1")
    await guest.misbehave()
    link = await call(guest, KEY, Pins(owner={blob: "db-1"}.get, confirmed=named(blob)))
    link.close()
    await link.wait_closed()


@pytest.mark.parametrize("signature", ["rsa-sha2-256", "ssh-rsa"])
async def test_a_server_may_not_sign_with_sha1_after_all(signature: str) -> None:
    """What was negotiated is SHA-2, but each signature names its algorithm once more: there SHA-1 is refused, too."""
    host_key = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
    sign = host_key.sign

    def signed(data: bytes, sig_algorithm: bytes) -> bytes:
        return sign(data, signature.encode() or sig_algorithm)

    host_key.sign = signed  # type: ignore[method-assign]

    server = await asyncssh.listen("127.0.0.1", 0, server_factory=Welcoming, server_host_keys=[host_key])
    somebody = SshTarget("core", server.get_port(), ("127.0.0.1",), "/run/docker.sock")
    opening = open_ssh(somebody, [KEY], settings=FAST, gates=gates())
    if signature == "ssh-rsa":
        assert (await refused(opening)).code == "ssh-failed"
    else:
        (await opening).close()
    server.close()
    await server.wait_closed()


class Welcoming(asyncssh.SSHServer):
    """A server that lets everybody in."""

    def begin_auth(self, username: str) -> bool:
        """Ask for nothing."""
        return False


@pytest.mark.parametrize(
    ("socket", "command"),
    [
        (SOCKET, "docker system dial-stdio"),
        ("/run/podman/podman.sock", "docker -H 'unix:///run/podman/podman.sock' system dial-stdio"),
    ],
)
async def test_a_relay_is_told_every_socket_but_dockers_own(socket: str, command: str) -> None:
    """Also the one that the settings name for all VMs: by itself the docker command would open another."""
    asked: list[str] = []

    def process(served: asyncssh.SSHServerProcess[str]) -> None:
        asked.append(served.command or "")
        served.stdout.write(f"{MARK}{Relay.DIAL_STDIO}\n" if len(asked) == 1 else "")
        served.exit(0)

    host_key = asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=Welcoming, server_host_keys=[host_key], process_factory=process
    )
    settings = FAST.model_copy(update={"engine_socket": socket})
    somebody = SshTarget("core", server.get_port(), ("127.0.0.1",), socket)
    link = await open_ssh(somebody, [KEY], settings=settings, gates=gates())
    sink = Sink()
    await link.open(sink)
    await sink.wait_until_ended()

    assert asked[1:] == [command]
    assert command in asked[0].replace("'\\''", "'")
    link.close()
    server.close()
    await server.wait_closed()


async def test_a_confirmed_key_is_taken_beside_the_pin(guest: SimulatedGuest) -> None:
    """The key that an operator confirmed passes beside the pinned one, whatever else is known; a third is refused."""
    blob = guest.host_key().split()[1]
    for pins in (Pins(pin=OTHER, confirmed=named(blob), owner={blob: "db-1"}.get), Pins(blob, confirmed=named(OTHER))):
        link = await call(guest, KEY, pins)
        link.close()
        await link.wait_closed()

    assert (await refused(call(guest, KEY, Pins(confirmed=named(OTHER))))).code == "host-key-changed"
