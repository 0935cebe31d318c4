"""The SSH link to Dropbear, which forwards to no socket (2022.83): the docker command relays, if the key allows it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import pytest

from roadstead.artifacts import authorized_keys
from roadstead.errors import EngineError
from roadstead.lab.guests.real import RealGuest
from roadstead.lab.guests.real.kinds import HOME, USER_NUMBER
from roadstead.peers.links.hostkeys import Pins
from roadstead.peers.links.keys import load_pool_key
from tests.contract.links_contract import PATIENT, SOCKET, Sink, call, engine_client, refused
from tests.real.guests import RealSet

pytestmark = pytest.mark.real
FORCED = 'no-port-forwarding,no-agent-forwarding,no-X11-forwarding,no-pty,command="/usr/bin/docker system dial-stdio"'
SECONDS = 10.0


@pytest.fixture
async def key(real_set: RealSet) -> asyncssh.SSHKey:
    """The key that opens the guests."""
    return await load_pool_key(real_set.private_key)


@pytest.fixture
async def guest(real_guest: RealGuest, real_set: RealSet) -> AsyncIterator[RealGuest]:
    """A real guest whose SSH server is Dropbear, with a plain line for the key. CI has that package."""
    if shutil.which("dropbear") is None and os.environ.get("CI") != "true":
        pytest.skip("needs the Debian package dropbear-bin")
    await real_guest.kill_sshd()
    await asyncio.to_thread(_start, real_guest)
    await _authorize(real_guest, real_set.public_key)
    yield real_guest
    await asyncio.to_thread(real_guest.machine.kill, "dropbear")


def _start(guest: RealGuest) -> None:
    path = str(guest.folder / "dropbear_key")
    (guest.folder / "dropbear_key").unlink(missing_ok=True)
    for words in (("dropbearkey", "-t", "ed25519", "-f", path), ("dropbear", "-r", path, "-P", "/run/dropbear.pid")):
        subprocess.run([*guest.door, *words], check=True, timeout=SECONDS, capture_output=True)


async def _authorize(guest: RealGuest, line: str) -> None:
    """Write the user's own file: Dropbear reads no other."""
    folder = guest.machine.root / HOME[1:] / ".ssh"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "authorized_keys").write_text(line + "\n")
    for path in (folder, folder / "authorized_keys"):
        os.chown(path, USER_NUMBER, USER_NUMBER)


async def test_the_docker_command_relays(guest: RealGuest, key: asyncssh.SSHKey) -> None:
    """Forwarding is refused as a kind of channel that it does not know; lists and events come by the command."""
    link = await call(guest, key, settings=PATIENT)
    client = engine_client(link)
    hello = await client.hello()
    async with client.events(hello.date):
        listing = await client.containers()

    assert len(listing.containers) == 5
    assert link.relay == "dial-stdio"
    pinned = await call(guest, key, Pins(pin=link.host_key), settings=PATIENT)
    assert pinned.fingerprint == link.fingerprint
    for each in (link, pinned):
        each.close()
        await each.wait_closed()


async def test_a_forced_relay_is_found(guest: RealGuest, key: asyncssh.SSHKey, real_set: RealSet) -> None:
    """The line for Dropbear: one command, and nothing else."""
    await _authorize(guest, f"{FORCED} {real_set.public_key}")
    link = await call(guest, key, settings=PATIENT)
    client = engine_client(link)
    await client.hello()

    assert len((await client.containers()).containers) == 5
    assert link.relay == "dial-stdio"
    link.close()
    await link.wait_closed()


async def test_the_usual_line_is_not_understood(guest: RealGuest, key: asyncssh.SSHKey, real_set: RealSet) -> None:
    """Dropbear refuses a key whose options it does not know: another line is needed there."""
    await _authorize(guest, authorized_keys.line(real_set.public_key, SOCKET))

    assert (await refused(call(guest, key, settings=PATIENT))).code == "key-rejected"


async def test_without_a_command_that_relays_there_is_no_way(guest: RealGuest, key: asyncssh.SSHKey) -> None:
    """Where none of them is in the guest, that is told as it is."""
    link = await call(guest, key, settings=PATIENT)
    folders, names = ("/usr/bin", "/usr/local/bin"), ("docker", "socat", "nc", "python3", "ncat")
    found = (Path(folder, name) for folder in folders for name in names if Path(folder, name).exists())
    places = sorted({str(path.resolve()) for path in found})
    for path in places:  # in the guest's own namespace: it is hidden from this guest alone
        subprocess.run([*guest.door, "mount", "--bind", "/dev/null", path], check=True, timeout=SECONDS)
    try:
        with pytest.raises(EngineError) as caught:
            await link.open(Sink())
    finally:
        for path in places:
            subprocess.run([*guest.door, "umount", path], check=True, timeout=SECONDS)
    assert caught.value.code == "no-relay"
    link.close()
    await link.wait_closed()
