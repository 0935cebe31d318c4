"""Who gets into a real guest, and how far: OpenSSH's own rules, seen with a client that is not ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncssh
import pytest

from roadstead.lab.guests.real import RESTRICTED_KEY, RealGuest, RealGuests
from roadstead.lab.guests.real.workload import recipes
from tests.real.guests import RealSet, make_key

SOCKET = "/var/run/docker.sock"
PING = b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n"


@pytest.mark.real
async def test_a_new_guest_has_containers_in_every_state(real_guest: RealGuest) -> None:
    """The containers are made in the states that their recipes ask for."""
    states = {entry["name"]: entry["state"] for entry in await real_guest.truth()}

    assert states == {recipe.name: recipe.state for recipe in recipes(5)}
    assert set(states.values()) == {"running", "paused", "exited"}


@pytest.mark.real
@pytest.mark.parametrize("user", ["core", "root"])
async def test_a_plain_key_opens_socket_and_shell(real_guest: RealGuest, real_set: RealSet, user: str) -> None:
    """With the plain line both accounts reach the engine and may run commands."""
    async with _signed_in(real_guest, real_set.private_key, user) as connection:
        assert b"200 OK" in await _ping(connection, SOCKET)
        shell = await connection.run("id -nu; hostname; docker version --format '{{.Server.Os}}'", timeout=20)

    assert str(shell.stdout).split() == [user, real_guest.name, "linux"]


@pytest.mark.real
async def test_a_restricted_key_opens_the_socket_alone(real_guest: RealGuest, real_set: RealSet) -> None:
    """With the restricted line the engine's socket opens; another spelling, another socket or a terminal does not."""
    real_guest.key_options = RESTRICTED_KEY
    await real_guest.authorize((real_set.public_key,))

    async with _signed_in(real_guest, real_set.private_key) as connection:
        assert b"200 OK" in await _ping(connection, SOCKET)
        for other in ("/run/docker.sock", "/run/docker/containerd/containerd.sock"):
            with pytest.raises(asyncssh.ChannelOpenError):
                await _ping(connection, other)
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.open_connection("127.0.0.1", 22)
        forced = await connection.run("id -nu", input=PING.decode(), timeout=20)

    assert "core" not in str(forced.stdout).split()


@pytest.mark.real
async def test_only_authorized_keys_get_in(real_guest: RealGuest, real_set: RealSet, tmp_path: Path) -> None:
    """Another key is refused; once it is authorized instead, the first is."""
    private_key, public_key = make_key(tmp_path / "other")
    with pytest.raises(asyncssh.PermissionDenied):
        await _sign_in(real_guest, private_key)

    await real_guest.authorize((public_key,))

    async with _signed_in(real_guest, private_key) as connection:
        assert b"200 OK" in await _ping(connection, SOCKET)
    with pytest.raises(asyncssh.PermissionDenied):
        await _sign_in(real_guest, real_set.private_key)


@pytest.mark.real
async def test_a_guest_may_forbid_forwarding(real_guest: RealGuest, real_set: RealSet) -> None:
    """With an option of sshd_config the guest refuses the socket and still runs commands."""
    await real_guest.start_sshd("AllowStreamLocalForwarding no")

    async with _signed_in(real_guest, real_set.private_key) as connection:
        with pytest.raises(asyncssh.ChannelOpenError):
            await _ping(connection, SOCKET)
        assert (await connection.run("true", timeout=20)).exit_status == 0


@pytest.mark.real
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
async def test_a_guest_may_have_one_host_key_only(real_guest: RealGuest, real_set: RealSet, kind: str) -> None:
    """A guest shows host keys of the types that it was started with."""
    await real_guest.start_sshd(key_types=(kind,))

    async with _signed_in(real_guest, real_set.private_key) as connection:
        shown = connection.get_server_host_key()

    assert shown
    assert kind in shown.get_algorithm()


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without root, one sentence says so."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    assert RealGuests.available() == "Real guests need root."


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the commands, the Debian packages that bring them are named."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda name, **_: None if name == "dockerd" else f"/usr/sbin/{name}")

    assert RealGuests.available() == "Real guests need the Debian packages docker.io."


async def _sign_in(guest: RealGuest, private_key: str, user: str = "core") -> asyncssh.SSHClientConnection:
    return await asyncssh.connect(
        guest.addresses[0],
        guest.port,
        username=user,
        client_keys=[asyncssh.import_private_key(private_key)],
        known_hosts=None,
        config=None,
        agent_path=None,
        connect_timeout=10,
    )


@asynccontextmanager
async def _signed_in(
    guest: RealGuest, private_key: str, user: str = "core"
) -> AsyncIterator[asyncssh.SSHClientConnection]:
    connection = await _sign_in(guest, private_key, user)
    try:
        yield connection
    finally:
        connection.close()
        await connection.wait_closed()


async def _ping(connection: asyncssh.SSHClientConnection, path: str) -> bytes:
    reader, writer = await connection.open_unix_connection(path)
    writer.write(PING)
    answer: bytes = await reader.read()
    writer.close()
    return answer
