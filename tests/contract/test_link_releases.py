"""The SSH link to servers of other ages and makers.

Real ones are tested in ``tests/real``. Here asyncssh stands in for OpenSSH 6.7 to 7.9, limited to the algorithms that
these releases have switched on (``roadstead.lab.guests.releases``): none of them is that server itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncssh
import pytest

from roadstead.lab.guests.guest import SimulatedGuest
from roadstead.lab.guests.releases import RELEASES
from roadstead.lab.guests.simulated import lone_guest
from roadstead.peers.links import visits
from roadstead.peers.links.hostkeys import Pins
from roadstead.peers.links.visits import Door, SignIn, Task
from tests.contract.links_contract import FAST, call, engine_client, refused
from tests.unit.lab.guests_support import KEY, KEY_LINE

MODERN = [name for name in RELEASES if name != "6.7"]
POOL_KEY = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
"""As pools have it, but smaller."""


@pytest.fixture
async def guest() -> AsyncIterator[SimulatedGuest]:
    """A guest that lets both keys in."""
    lines = [KEY_LINE, POOL_KEY.export_public_key().decode()]
    async with lone_guest("aged", count=3, public_keys=lines) as made:
        yield made


@pytest.mark.parametrize("release", MODERN)
async def test_a_pools_key_opens_servers_since_7_2(guest: SimulatedGuest, release: str) -> None:
    """It signs with SHA-2, and the engine is reached by forwarding (a stand-in for OpenSSH, see above)."""
    guest.be(RELEASES[release])
    link = await call(guest, POOL_KEY)
    client = engine_client(link)
    await client.hello()

    assert len((await client.containers()).containers) == 3
    assert link.relay == "streamlocal"
    client.close()
    link.close()
    await link.wait_closed()


async def test_a_server_before_7_2_takes_no_pool_key(guest: SimulatedGuest) -> None:
    """It knows RSA with SHA-1 only (a stand-in for OpenSSH 6.7): that is the reason told, not that the key is wrong."""
    guest.be(RELEASES["6.7"])
    told = await refused(call(guest, POOL_KEY))

    assert told.code == "ssh-failed"
    assert "SHA-1" in told.fields["reason"]


async def test_an_operators_rsa_key_is_not_told_as_refused_there(guest: SimulatedGuest) -> None:
    """Nobody offered it (a stand-in for OpenSSH 6.7): a visit says the same as the link. A password was given, so it
    is refused.
    """
    guest.be(RELEASES["6.7"])
    door = Door(guest.addresses[0], guest.port, guest.user)
    shown = await visits.look(door, FAST)
    for sign_in, code in ((SignIn(key=POOL_KEY), "ssh-failed"), (SignIn(password="guess"), "key-rejected")):
        told = await refused(visits.visit(door, shown, sign_in, Task("true", b"", 1.0), FAST))
        assert told.code == code
        assert ("SHA-1" in told.fields.get("reason", "")) == (code == "ssh-failed")


async def test_a_server_before_7_2_is_spoken_to_all_the_same(guest: SimulatedGuest) -> None:
    """Exchanges, ciphers and host keys are today's still (a stand-in for OpenSSH 6.7): a key of another type opens."""
    guest.be(RELEASES["6.7"])
    link = await call(guest, KEY)
    pinned = await call(guest, KEY, Pins(pin=link.host_key))

    assert pinned.fingerprint == link.fingerprint
    for each in (link, pinned):
        each.close()
        await each.wait_closed()


@pytest.mark.parametrize("release", MODERN)
async def test_a_wrong_key_is_told_as_that(guest: SimulatedGuest, release: str) -> None:
    """Where the server would have taken its signature (a stand-in for OpenSSH, see above)."""
    guest.be(RELEASES[release])
    stranger = asyncssh.generate_private_key("ssh-rsa", key_size=2048)

    assert (await refused(call(guest, stranger))).code == "key-rejected"
