"""The simulated guest's SSH server lets in whom it should, to what it should, for OpenSSH and asyncssh alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import asyncssh
import pytest

from roadstead.lab.guests.guest import SimulatedGuest
from roadstead.lab.guests.simulated import lone_guest
from tests.unit.lab.guests_support import KEY, KEY_LINE, connect

SOCKET = "/var/run/docker.sock"
PING = b"GET /_ping HTTP/1.1\r\nHost: e\r\n\r\n"


@pytest.fixture
async def guest() -> AsyncIterator[SimulatedGuest]:
    """A running guest that lets the test's key in."""
    async with lone_guest("sshd", public_keys=[KEY_LINE]) as made:
        yield made


async def test_the_engine_answers_over_streamlocal(guest: SimulatedGuest) -> None:
    """One connection carries several streams to the engine's socket."""
    async with connect(guest) as connection:
        for _ in range(2):
            reader, writer = await connection.open_unix_connection(SOCKET)
            writer.write(PING)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
        assert guest.statistics() == {"connections": 1, "streams": 2, "connections_ever": 1}
    async with asyncio.timeout(5):
        while guest.statistics() != {"connections": 0, "streams": 0, "connections_ever": 1}:
            await asyncio.sleep(0)


async def test_a_half_closed_channel_gets_no_answer(guest: SimulatedGuest) -> None:
    """Half-closing after the request cancels what is still to be answered, as with every real relay."""
    container = next(iter(guest.engine.containers.values()))
    container.state = "running"
    async with connect(guest) as connection:
        reader, writer = await connection.open_unix_connection(SOCKET)
        writer.write(f"GET /containers/{container.id}/stats?stream=0 HTTP/1.1\r\nHost: e\r\n\r\n".encode())
        writer.write_eof()

        assert await reader.read() == b""
        assert guest.statistics()["streams"] == 0


@pytest.mark.parametrize("command", ["docker system dial-stdio", "/usr/bin/docker system dial-stdio"])
async def test_the_engine_answers_over_dial_stdio(guest: SimulatedGuest, command: str) -> None:
    """The docker command's relay works, with any way of naming it."""
    async with connect(guest) as connection:
        process = await connection.create_process(command, encoding=None)
        process.stdin.write(PING)
        assert (await process.stdout.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")


async def test_other_commands_are_not_found(guest: SimulatedGuest) -> None:
    """Whatever is no relay ends with 127 and a shell's words."""
    async with connect(guest) as connection:
        result = await connection.run("ncat -U /var/run/docker.sock")

    assert (result.exit_status, result.stderr) == (127, "sh: 1: ncat: not found\n")


@pytest.mark.parametrize("path", ["/run/docker.sock", "/var/run/../run/docker.sock", "/etc/passwd"])
async def test_no_other_path_is_forwarded(guest: SimulatedGuest, path: str) -> None:
    """Only the exact string of the engine's socket counts; the refusal is OpenSSH's."""
    async with connect(guest) as connection:
        with pytest.raises(asyncssh.ChannelOpenError) as refused:
            await connection.open_unix_connection(path)

    assert (refused.value.code, refused.value.reason) == (asyncssh.OPEN_CONNECT_FAILED, "open failed")


async def test_tcp_is_not_forwarded(guest: SimulatedGuest) -> None:
    """A guest is no stepping stone."""
    async with connect(guest) as connection:
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.open_connection("127.0.0.1", guest.port)


@pytest.mark.parametrize("wrong", ["user", "key", "password"])
async def test_nobody_else_gets_in(guest: SimulatedGuest, wrong: str) -> None:
    """Another user, another key, and passwords are refused."""
    options: dict[str, Any] = {
        "user": {"username": "root"},
        "key": {"client_keys": [asyncssh.generate_private_key("ssh-ed25519")]},
        "password": {"client_keys": None, "password": "core", "preferred_auth": ["password"]},
    }
    with pytest.raises(asyncssh.PermissionDenied):
        async with connect(guest, **options[wrong]):
            pass


async def test_a_key_that_is_withdrawn_opens_no_more(guest: SimulatedGuest) -> None:
    """Authorising other keys replaces the earlier ones at once."""
    guest.lot.authorize([asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()])

    with pytest.raises(asyncssh.PermissionDenied):
        async with connect(guest):
            pass


async def test_the_shown_host_key_is_the_told_one(guest: SimulatedGuest) -> None:
    """`host_key` is what a client may pin; a new host key is another one."""
    before = asyncssh.import_public_key(guest.host_key())
    async with connect(guest, known_hosts=([before], [], [])):
        pass
    await guest.new_host_key()

    with pytest.raises(asyncssh.HostKeyNotVerifiable):
        async with connect(guest, known_hosts=([before], [], [])):
            pass
    async with connect(guest, known_hosts=([asyncssh.import_public_key(guest.host_key())], [], [])):
        pass


async def test_a_guest_that_is_off_refuses_and_keeps_its_containers(guest: SimulatedGuest) -> None:
    """Stopping cuts what is open and closes the port; starting brings back the same containers and host key."""
    before, key = await guest.truth(), guest.host_key()
    async with connect(guest) as connection:
        await guest.stop()
        async with asyncio.timeout(5):
            await connection.wait_closed()
    with pytest.raises(OSError, match="Connect call failed"):
        async with connect(guest):
            pass

    await guest.start()

    assert (before, key) == (await guest.truth(), guest.host_key())
    async with connect(guest):
        pass


async def test_openssh_forwards_the_socket(guest: SimulatedGuest, tmp_path: Path) -> None:
    """OpenSSH's own client signs in with the pinned host key and forwards the engine's socket."""
    key = tmp_path / "key"
    key.write_text(KEY.export_private_key().decode())
    key.chmod(0o600)
    (tmp_path / "known").write_text(f"[{guest.addresses[0]}]:{guest.port} {guest.host_key()}\n")
    local = tmp_path / "forwarded.sock"
    process = await asyncio.create_subprocess_exec(
        *("ssh", "-F", "none", "-i", str(key), "-nNT", "-p", str(guest.port), "-L", f"{local}:{SOCKET}"),
        *("-o", "IdentityAgent=none", "-o", "IdentitiesOnly=yes", "-o", "ExitOnForwardFailure=yes"),
        *("-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={tmp_path / 'known'}"),
        f"{guest.user}@{guest.addresses[0]}",
    )
    try:
        async with asyncio.timeout(10):
            while not local.exists():
                await asyncio.sleep(0.01)
        async with (
            aiohttp.ClientSession("http://engine", connector=aiohttp.UnixConnector(str(local))) as session,
            session.get("/v1.41/containers/json?all=1") as response,
        ):
            assert {entry["Id"] for entry in await response.json()} == set(guest.engine.containers)
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.real
async def test_the_docker_command_works_on_it(tmp_path: Path) -> None:
    """Docker's own client lists, stops, renames and removes, and understands what comes back."""
    guest = lone_guest("cli", count=2)
    server = await guest.serve_unix(tmp_path / "engine.sock")
    for container in guest.engine.containers.values():
        container.state, container.started_ns = "running", container.created_ns
    first, second = (container.name for container in guest.engine.containers.values())

    async def docker(*words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *("docker", "-H", f"unix://{tmp_path / 'engine.sock'}", *words),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output
        return output.decode()

    assert first in await docker("ps")
    await docker("stop", first)
    assert "Exited (0)" in await docker("ps", "--all", "--filter", f"name={first}")
    await docker("rename", first, "renamed")
    await docker("rm", "renamed")
    await docker("pause", second)
    assert "(Paused)" in await docker("ps")
    assert "Server Version: 28.5.2" in await docker("info")
    assert "PID" in await docker("top", second)
    events = await docker("events", "--since", "1h", "--until", "-1s", "--format", "{{.Action}}")
    assert [line for line in events.split() if line not in {"connect", "disconnect"}] == [
        *("kill", "stop", "die", "rename", "destroy", "pause", "top"),
    ]
    server.close()
    guest.cut()


async def test_another_host_key_ends_the_connections_that_are_open(guest: SimulatedGuest) -> None:
    """As an installation does: else nobody would see the key before the next outage."""
    async with connect(guest) as connection:
        await guest.new_host_key()
        async with asyncio.timeout(5):
            await connection.wait_closed()
