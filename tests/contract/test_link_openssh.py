"""Links to real guests: the same contract as simulated ones keep, over OpenSSH's sshd and a real dockerd."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from roadstead.lab.guests.real import PLAIN_KEY, RESTRICTED_KEY, RealGuest
from roadstead.peers.links.keys import load_pool_key
from roadstead.peers.links.ssh import SshLink
from roadstead.peers.links.unix import open_unix
from tests.contract.links_contract import CHECKS, PATIENT, Reached, call, engine_client
from tests.real.guests import RealSet

Check = Callable[[Reached], Awaitable[None]]


@pytest.fixture(params=["ssh", "restricted", "relay", "unix"])
async def reached(request: pytest.FixtureRequest, real_guest: RealGuest, real_set: RealSet) -> AsyncIterator[Reached]:
    """The guest with a plain key, with the recommended line, without forwarding, and by its engine's own socket."""
    real_guest.key_options = RESTRICTED_KEY if request.param == "restricted" else PLAIN_KEY
    await real_guest.authorize((real_set.public_key,))
    if request.param == "relay":
        await real_guest.start_sshd("AllowStreamLocalForwarding no")
    key = await load_pool_key(real_set.private_key)
    by_socket = request.param == "unix"
    link = await (open_unix(str(real_guest.engine_socket)) if by_socket else call(real_guest, key, settings=PATIENT))
    client = engine_client(link)
    await client.hello()
    yield Reached(real_guest, link, client)
    client.close()
    link.close()
    if isinstance(link, SshLink):
        await link.wait_closed()


@pytest.mark.real
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_a_real_guest_keeps_the_contract(reached: Reached, check: Check) -> None:
    """Whatever the way to it."""
    await check(reached)
