"""Links to real guests: the same contract as simulated ones keep, over OpenSSH's sshd and a real dockerd."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from roadstead.kit.streams import Link
from roadstead.lab.guests.certificates import Authority
from roadstead.lab.guests.real import PLAIN_KEY, RESTRICTED_KEY, RealGuest
from roadstead.lab.guests.real.machine import TLS_PORT
from roadstead.peers.links.keys import load_pool_key
from roadstead.peers.links.ssh import SshLink
from roadstead.peers.links.unix import open_unix
from tests.contract.links_contract import (
    CHECKS,
    PATIENT,
    SOCKET,
    Reached,
    call,
    call_tls,
    check_a_change_is_told_at_once,
    engine_client,
    shown,
)
from tests.real.guests import RealSet

Check = Callable[[Reached], Awaitable[None]]


@pytest.fixture(params=["ssh", "restricted", "relay", "unix", "tls"])
async def reached(request: pytest.FixtureRequest, real_guest: RealGuest, real_set: RealSet) -> AsyncIterator[Reached]:
    """The guest with a plain key, with the recommended line, without forwarding, by its engine's socket and by TLS."""
    if request.param == "restricted" and real_guest.socket != SOCKET:
        pytest.skip("the recommended line is for Docker's own socket")
    if request.param == "tls" and real_guest.socket != SOCKET:
        pytest.skip("TLS is for Docker's engine that is root's")
    real_guest.key_options = RESTRICTED_KEY if request.param == "restricted" else PLAIN_KEY
    await real_guest.authorize((real_set.public_key,))
    if request.param == "relay":
        await real_guest.start_sshd("AllowStreamLocalForwarding no")
    key = await load_pool_key(real_set.private_key)
    link: Link
    if request.param == "tls":
        authority = Authority("real")
        await real_guest.secure_engine(authority.certificate, authority.server(real_guest.addresses))
        link = await call_tls(real_guest, await shown(authority), port=TLS_PORT, settings=PATIENT)
    elif request.param == "unix":
        link = await open_unix(str(real_guest.engine_socket))
    else:
        link = await call(real_guest, key, settings=PATIENT)
    client = engine_client(link)
    await client.hello()
    yield Reached(real_guest, link, client)
    client.close()
    link.close()
    if isinstance(link, SshLink):
        await link.wait_closed()


@pytest.mark.real
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_a_real_guest_keeps_the_contract(reached: Reached, check: Check, real_set: RealSet) -> None:
    """Whatever the way to it."""
    if check is check_a_change_is_told_at_once and (reason := real_set.row.lacks.get("pausing")):
        pytest.skip(reason)
    await check(reached)
