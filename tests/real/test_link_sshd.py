"""The SSH link to OpenSSH's sshd: whose keys take part, whose address it is, and what every refusal is called."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncssh
import pytest

from roadstead.errors import EngineError, LinkError, PeerError
from roadstead.lab.guests.real import RESTRICTED_KEY, RealGuest
from roadstead.peers.engine.client import Listing
from roadstead.peers.links.hostkeys import Pins
from roadstead.peers.links.keys import load_pool_key
from roadstead.peers.links.ssh import SshLink, SshTarget, open_ssh
from roadstead.settings.schema import LinkSettings
from tests.contract.links_contract import PATIENT, SOCKET, Sink, call, engine_client, gates, refused, target
from tests.real.guests import RealSet, TakeGuests, make_key

pytestmark = pytest.mark.real

TYPES = {"ed25519": "ssh-ed25519", "ecdsa": "ecdsa-sha2-nistp256", "rsa": "ssh-rsa"}
HELD_AT_MOST = 20
HASTY = LinkSettings(keepalive_seconds=0.2, keepalive_count=2)
RELAY, SECOND_PORT = f"127.77.{os.getpid() % 250}.2", 2201
"""Another place for each process: several may run these tests at a time."""
NOTHING_KEY = 'restrict,port-forwarding,permitopen="127.0.0.1:1",command="/bin/false"'


@pytest.fixture
async def key(real_set: RealSet) -> asyncssh.SSHKey:
    """The key that opens the guests."""
    return await load_pool_key(real_set.private_key)


@contextlib.asynccontextmanager
async def linked(guest: RealGuest, key: asyncssh.SSHKey, settings: LinkSettings = PATIENT) -> AsyncIterator[SshLink]:
    """A link for the length of the block."""
    link = await call(guest, key, settings=settings)
    try:
        yield link
    finally:
        link.close()
        await link.wait_closed()


async def _closed(link: SshLink) -> SshLink:
    link.close()
    await link.wait_closed()
    return link


async def _host_key(guest: RealGuest, key: asyncssh.SSHKey) -> str:
    return (await _closed(await call(guest, key, settings=PATIENT))).host_key


async def _unopened(link: SshLink) -> PeerError:
    with pytest.raises(PeerError) as caught:
        await link.open(Sink())
    return caught.value


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A running agent with a key, as an operator's shell has it; gives the key's public line."""
    private, public = make_key(tmp_path / "operator")
    path = tmp_path / "agent.sock"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        while not path.exists():
            process.poll()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        subprocess.run(["ssh-add", "-q", "-"], input=private.encode(), check=True, timeout=10)
        yield public
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agent: str) -> Path:
    """An operator's home whose SSH configuration would send us elsewhere, and whose default key opens the guest."""
    folder = tmp_path / "home" / ".ssh"
    folder.mkdir(parents=True)
    (folder / "config").write_text(
        f'Match exec "touch {tmp_path}/used"\n  User nobody\nHost *\n  User nobody\n  Port 1\n'
        f"  ProxyCommand touch {tmp_path}/used\n  PubkeyAuthentication no\n  HostKeyAlgorithms ssh-rsa\n"
        f"  IdentityFile {tmp_path}/operator\n  ForwardAgent yes\n  Compression yes\n"
    )
    (folder / "id_rsa").write_bytes((tmp_path / "operator").read_bytes())
    (folder / "known_hosts").write_text("* ssh-ed25519 AAAA\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


async def test_nothing_of_the_operators_own_takes_part(
    real_guest: RealGuest, key: asyncssh.SSHKey, agent: str, home: Path, real_set: RealSet
) -> None:
    """An agent's key and default keys are not offered where they would open the guest; no configuration is read."""
    await real_guest.authorize((agent,))
    assert (await refused(call(real_guest, key, settings=PATIENT))).code == "key-rejected"

    await real_guest.authorize((real_set.public_key,))
    async with linked(real_guest, key) as link:
        assert len((await _listed(link)).containers) == 5
    assert not (home / "used").exists()


async def _listed(link: SshLink) -> Listing:
    client = engine_client(link)
    await client.hello()
    return await client.containers()


@pytest.mark.parametrize("kind", TYPES)
async def test_each_type_of_pin_is_met_by_a_guest_with_all_three(
    real_guest: RealGuest, key: asyncssh.SSHKey, kind: str
) -> None:
    """Only the pinned type is negotiated, so a guest with other keys besides is no stranger."""
    await real_guest.start_sshd(key_types=(kind,))
    pin = await _host_key(real_guest, key)
    await real_guest.start_sshd()
    link = await _closed(await call(real_guest, key, Pins(pin=pin), settings=PATIENT))

    assert asyncssh.import_public_key(f"{TYPES[kind]} {pin}").get_algorithm() == TYPES[kind]
    assert link.host_key == pin


async def test_first_contact_prefers_ed25519(real_guest: RealGuest, key: asyncssh.SSHKey) -> None:
    """Of a guest's three keys that one is remembered."""
    blob = await _host_key(real_guest, key)

    assert asyncssh.import_public_key(f"ssh-ed25519 {blob}").get_algorithm() == "ssh-ed25519"


async def test_a_type_that_is_gone_is_no_changed_key(real_guest: RealGuest, key: asyncssh.SSHKey) -> None:
    """A guest that lost its ed25519 key but has another one is told apart from one with another ed25519 key."""
    pin = await _host_key(real_guest, key)
    await real_guest.start_sshd(key_types=("rsa",))
    gone = await refused(call(real_guest, key, Pins(pin=pin), settings=PATIENT))
    await real_guest.new_host_key()
    changed = await refused(call(real_guest, key, Pins(pin=pin), settings=PATIENT))

    assert (gone.code, gone.fields["type"]) == ("host-key-type-gone", "ssh-ed25519")
    assert changed.code == "host-key-changed"
    assert changed.fields["shown"] != changed.fields["pinned"]


async def test_sha1_is_never_taken(real_guest: RealGuest, key: asyncssh.SSHKey) -> None:
    """A guest that signs with SHA-1 only is told so; its key is neither changed nor gone."""
    await real_guest.start_sshd("HostKeyAlgorithms ssh-rsa", key_types=("rsa",))

    assert (await refused(call(real_guest, key, settings=PATIENT))).code == "ssh-failed"


async def test_the_host_key_decides_whose_address_it_is(real_guests: TakeGuests, key: asyncssh.SSHKey) -> None:
    """A pinned guest is found behind another's address; another's key alone is no answer, a stranger's is a change."""
    ours, other = await real_guests(2)
    pin, foreign = await _host_key(ours, key), await _host_key(other, key)
    both = (*other.addresses, *ours.addresses)
    for known in ({}, {foreign: other.name}):
        link = await _closed(await call(ours, key, Pins(pin=pin, owner=known.get), *both, settings=PATIENT))
        assert (link.address, link.host_key) == (ours.addresses[0], pin)

    there = other.addresses
    stranger = await refused(call(ours, key, Pins(pin=pin), *there, settings=PATIENT))
    known_one = await refused(call(ours, key, Pins(pin=pin, owner={foreign: "db"}.get), *there, settings=PATIENT))
    first = await refused(call(ours, key, Pins(owner={foreign: "db"}.get), *there, settings=PATIENT))
    assert [error.code for error in (stranger, known_one, first)] == [
        "host-key-changed",
        "address-of-another",
        "host-key-shared",
    ]
    assert (known_one.fields["addresses"], known_one.fields["others"]) == (there[0], "db")


async def test_a_dead_address_does_not_keep_us_waiting(real_guests: TakeGuests, key: asyncssh.SSHKey) -> None:
    """The next address is tried beside one that does not answer."""
    dead, alive = await real_guests(2)
    await dead.cut()
    link = await _closed(await call(alive, key, Pins(), *dead.addresses, *alive.addresses, settings=PATIENT))

    assert link.address == alive.addresses[0]


async def test_either_key_of_a_rotation_opens(real_guest: RealGuest, key: asyncssh.SSHKey, tmp_path: Path) -> None:
    """While a pool's key is rotated both are offered, in order, in one sign-in."""
    fresh = await load_pool_key(make_key(tmp_path / "fresh")[0])
    for keys in ([fresh, key], [key, fresh]):
        await _closed(await open_ssh(target(real_guest), keys, settings=PATIENT, gates=gates()))


async def test_who_may_not_sign_in_is_told(real_guest: RealGuest, key: asyncssh.SSHKey, tmp_path: Path) -> None:
    """Another key, and another user; the user is named, because the remedy is about it."""
    stranger = await load_pool_key(make_key(tmp_path / "stranger")[0])
    wrong_key = await refused(call(real_guest, stranger, settings=PATIENT))
    nobody = open_ssh(target(real_guest, user="stranger"), [key], settings=PATIENT, gates=gates())
    wrong_user = await refused(nobody)

    assert (wrong_key.code, wrong_key.fields["user"]) == ("key-rejected", "core")
    assert (wrong_user.code, wrong_user.fields["user"]) == ("key-rejected", "stranger")


async def test_a_guest_that_refuses_our_key_is_asked_once(
    real_guest: RealGuest, key: asyncssh.SSHKey, real_set: RealSet
) -> None:
    """At first contact its other addresses are met, too, but not signed in to: the host key tells that it is the same.
    Its SSH server would count each try against us.
    """
    await real_guest.start_sshd(f"Port {SECOND_PORT}")
    await real_guest.authorize(())
    log = real_guest.folder / "sshd.log"
    begun = len(log.read_text())
    async with _relayed(real_guest.addresses[0]):
        addresses = (*real_guest.addresses, RELAY)
        somebody = SshTarget(real_guest.user, SECOND_PORT, addresses, SOCKET)
        error = await refused(open_ssh(somebody, [key], settings=PATIENT, gates=gates()))
        await real_guest.authorize((real_set.public_key,))
        there = await open_ssh(
            SshTarget(real_guest.user, SECOND_PORT, (RELAY,), SOCKET), [key], settings=PATIENT, gates=gates()
        )
        await _closed(there)

    said = log.read_text()[begun:]
    assert error.code == "key-rejected"
    assert (said.count("authenticating user"), said.count("Accepted publickey")) == (1, 1)
    assert there.address == RELAY


async def test_a_pinned_guest_that_refuses_our_key_ends_the_race(real_guest: RealGuest, key: asyncssh.SSHKey) -> None:
    """It has shown its key, so no other address can be it: the next one is not even called."""
    pin = await _host_key(real_guest, key)
    await real_guest.start_sshd(f"Port {SECOND_PORT}")
    await real_guest.authorize(())
    called: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: called.append(writer), RELAY, SECOND_PORT)
    pinned = SshTarget(real_guest.user, SECOND_PORT, (*real_guest.addresses, RELAY), SOCKET, Pins(pin=pin))
    settings = LinkSettings(stagger_seconds=30, login_seconds=10)
    error = await refused(open_ssh(pinned, [key], settings=settings, gates=gates()))
    server.close()

    assert (error.code, called) == ("key-rejected", [])


@contextlib.asynccontextmanager
async def _relayed(address: str) -> AsyncIterator[None]:
    """A second address at which the guest's SSH server is reached."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            while data := await reader.read(2**15):
                writer.write(data)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection(address, SECOND_PORT)
        with contextlib.suppress(OSError):
            await asyncio.gather(pass_on(reader, outer), pass_on(inner, writer))

    server = await asyncio.start_server(relay, RELAY, SECOND_PORT)
    yield
    server.close()


async def test_a_full_server_refuses_us(real_guest: RealGuest, key: asyncssh.SSHKey) -> None:
    """A server that takes no more guests closes before its banner."""
    await real_guest.start_sshd("MaxStartups 1:100:1")
    held: list[asyncio.StreamWriter] = []
    # The server that was there before may take one more connection while it ends, and this one may still count one that
    # has gone: it is full when one is held and the next is not greeted.
    greeted = 0
    while len(held) < HELD_AT_MOST:
        if await _greeted(real_guest, held):
            greeted += 1
        elif greeted:
            break

    assert (await refused(call(real_guest, key, settings=PATIENT))).code == "ssh-refuses-us"
    for writer in held:
        writer.close()


async def _greeted(guest: RealGuest, held: list[asyncio.StreamWriter]) -> bool:
    """Hold one more connection that never signs in; return whether the server greeted it."""
    reader, writer = await asyncio.open_connection(guest.addresses[0], guest.port)
    held.append(writer)
    return bool(await reader.readline())


async def test_a_guest_without_a_server_refuses(real_guest: RealGuest, key: asyncssh.SSHKey) -> None:
    """Refused is not unreachable, and neither is silent."""
    await real_guest.kill_sshd()
    stopped = await refused(call(real_guest, key, settings=PATIENT))
    await real_guest.cut()
    silent = await refused(call(real_guest, key, settings=LinkSettings(connect_seconds=0.3)))

    assert (stopped.code, stopped.fields["port"]) == ("refused", str(real_guest.port))
    assert (silent.code, silent.fields["step"]) == ("timed-out", "connecting")


@pytest.mark.parametrize("options", ["", RESTRICTED_KEY], ids=["plain", "restricted"])
async def test_a_dead_engine_is_told_and_heals(
    real_guest: RealGuest, key: asyncssh.SSHKey, real_set: RealSet, options: str
) -> None:
    """On a new link and on one that had worked, with a key that allows commands and with one that does not."""
    real_guest.key_options = options
    await real_guest.authorize((real_set.public_key,))
    async with linked(real_guest, key) as used, linked(real_guest, key) as fresh:
        client = engine_client(used)
        await client.hello()
        await real_guest.kill_engine()
        with pytest.raises(EngineError) as caught:
            await client.containers()
        assert caught.value.code == "engine-down"
        assert (await _unopened(fresh)).code == "engine-down"
        await real_guest.start_engine()

        assert len((await client.containers()).containers) == 5
        assert fresh.is_open


async def test_a_socket_that_is_denied_or_missing_is_told(real_guest: RealGuest, key: asyncssh.SSHKey) -> None:
    """One command in the guest tells apart what OpenSSH says alike."""
    mode = real_guest.engine_socket.stat().st_mode
    real_guest.engine_socket.chmod(0o600)
    try:
        async with linked(real_guest, key) as link:
            denied = await _unopened(link)
    finally:
        real_guest.engine_socket.chmod(mode)
    elsewhere = target(real_guest)
    elsewhere = type(elsewhere)(elsewhere.user, elsewhere.port, elsewhere.addresses, "/run/no-such.sock", Pins())
    link = await open_ssh(elsewhere, [key], settings=PATIENT, gates=gates())
    missing = await _unopened(link)
    await _closed(link)

    assert (denied.code, denied.fields["user"]) == ("engine-socket-denied", "core")
    assert (missing.code, missing.fields["socket"]) == ("no-engine-socket", "/run/no-such.sock")


async def test_a_key_that_allows_nothing_leaves_candidates(
    real_guest: RealGuest, key: asyncssh.SSHKey, real_set: RealSet
) -> None:
    """Where neither forwarding nor a command works, the problem cannot say more than what to look at."""
    real_guest.key_options = NOTHING_KEY
    await real_guest.authorize((real_set.public_key,))

    async with linked(real_guest, key) as link:
        assert (await _unopened(link)).code == "engine-unreachable"


@pytest.mark.parametrize("options", ["", RESTRICTED_KEY, 'restrict,command="/usr/bin/docker system dial-stdio"'])
async def test_a_relay_stands_in_for_forwarding(
    real_guest: RealGuest, key: asyncssh.SSHKey, real_set: RealSet, options: str
) -> None:
    """Asked for by a shell, or forced by the key, also behind a shell that prints first."""
    await real_guest.start_sshd("AllowStreamLocalForwarding no")
    real_guest.key_options = options
    await real_guest.authorize((real_set.public_key,))
    home = real_guest.machine.root / "run" / "home" / "core"
    (home / ".bashrc").write_text("echo welcome; echo to this guest >&2\n")
    try:
        async with linked(real_guest, key) as link:
            assert len((await _listed(link)).containers) == 5
            assert link.relay == "dial-stdio"
    finally:
        (home / ".bashrc").unlink()


@pytest.mark.parametrize("fault", ["kill_sshd", "cut"])
async def test_a_lost_connection_ends_the_link(real_guest: RealGuest, key: asyncssh.SSHKey, fault: str) -> None:
    """At once when the server dies, after the keepalives when packets are lost; its streams say why."""
    async with linked(real_guest, key, HASTY) as link:
        sink = Sink()
        await link.open(sink)
        await getattr(real_guest, fault)()
        async with asyncio.timeout(10):
            await link.wait_closed()
        await sink.wait_until_ended()

        assert not link.is_open
        assert isinstance(sink.ends[0], LinkError)
        assert sink.ends[0].code == (await _unopened(link)).code == "link-lost"


async def test_a_silent_link_that_lives_is_kept(real_guest: RealGuest, key: asyncssh.SSHKey) -> None:
    """Keepalives are answered, so silence ends nothing, and the guest counts as heard."""
    async with linked(real_guest, key, HASTY) as link:
        before = link.heard
        async with asyncio.timeout(10):
            while link.heard == before:
                await asyncio.sleep(0.01)
        assert link.is_open


async def test_the_connection_hurries(real_guest: RealGuest, key: asyncssh.SSHKey) -> None:
    """No small packet waits on our side, and none of the guest's waits for our acknowledgement."""
    async with linked(real_guest, key) as link:
        client = engine_client(link)
        await client.hello()
        for _ in range(5):
            await client.containers()
        (sock,) = [sock for sock in _own_sockets() if _peer(sock) == (real_guest.addresses[0], real_guest.port)]

        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK) == 1
        sock.close()


def _own_sockets() -> Iterator[socket.socket]:
    for entry in list(Path("/proc/self/fd").iterdir()):
        with contextlib.suppress(OSError):
            yield socket.socket(fileno=os.dup(int(entry.name)))


def _peer(sock: socket.socket) -> object:
    try:
        if sock.family == socket.AF_INET and sock.type == socket.SOCK_STREAM:
            return sock.getpeername()
    except OSError:
        pass
    sock.close()
    return None


def test_the_engines_socket_is_where_docker_puts_it() -> None:
    """The setting's default is the exact string that key lines name."""
    assert LinkSettings().engine_socket == SOCKET
