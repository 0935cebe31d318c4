"""A real dockerd that listens with TLS (``tlsverify``): whom it lets in, whom we trust, a VM that changes its mode."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from roadstead.act.guests.vms import Reach
from roadstead.artifacts import certificates
from roadstead.errors import LinkError
from roadstead.kit import clocks, tasks
from roadstead.lab.guests.certificates import Authority, Form, Pair
from roadstead.lab.guests.real import RealGuest
from roadstead.lab.guests.real.machine import TLS_PORT
from roadstead.lab.guests.simulated import SimulatedGuests
from roadstead.lab.pool.driver import NewVm
from roadstead.lab.pool.server import LabPool
from roadstead.model import config_keys
from roadstead.model.config_keys import PRIVATE_KEY_SECRET, PUBLIC_KEY_SECRET
from roadstead.peers.links.credentials import credentials
from roadstead.peers.links.tls import TlsLink
from tests.contract.links_contract import PATIENT, Sink, call_tls, engine_client, refused, shown
from tests.contract.world import CALM, World, add, kept, running
from tests.real.guests import CONTAINERS, RealSet

pytestmark = pytest.mark.real

OURS, OTHER = Authority("ours"), Authority("other")
SEEN_SECONDS = 30.0
LOOK_SECONDS = 0.005


async def _call(guest: RealGuest, trusted: Authority = OURS, client: Pair | None = None, **how: bool) -> TlsLink:
    return await call_tls(guest, await shown(trusted, client, **how), port=TLS_PORT, settings=PATIENT)


async def _secured(guest: RealGuest, authority: Authority = OURS, server: Pair | None = None) -> None:
    await guest.secure_engine(authority.certificate, server or authority.server(guest.addresses))


async def test_it_is_listed_followed_and_acted_on(real_guest: RealGuest) -> None:
    """All of its containers, its events, and start and stop, each over TLS."""
    await _secured(real_guest)
    link = await _call(real_guest)
    client = engine_client(link)
    hello = await client.hello()
    listed = await client.containers()
    container = next(each for each in listed.containers if each.state == "running")
    actions = []
    async with client.events(hello.date) as events, asyncio.timeout(SEEN_SECONDS):
        for action in ("stop", "start"):
            await client.act(action, container.engine_id)
            async for event in events:
                actions.append(getattr(event, "action", ""))
                if actions[-1] == ("die" if action == "stop" else "start"):
                    break
    read = await client.containers_by_id([container.engine_id])
    client.close()
    link.close()

    assert listed.total == CONTAINERS
    assert {"die", "start"} <= set(actions)
    assert read[container.engine_id].state == "running"


async def test_a_wrong_ca_address_or_time_is_told(real_guest: RealGuest) -> None:
    """In this order: another CA signed it, it is for another address, it has expired."""
    await _secured(real_guest)
    codes = [(await refused(_call(real_guest, OTHER))).code]
    for server in (OURS.server(["192.0.2.1"]), OURS.server(real_guest.addresses, dt.timedelta(days=-1))):
        await _secured(real_guest, server=server)
        codes.append((await refused(_call(real_guest))).code)

    assert codes == ["tls-untrusted", "tls-wrong-address", "tls-expired"]


async def test_it_refuses_a_stranger_at_the_first_read(real_guest: RealGuest) -> None:
    """The handshake succeeds, as the engine judges our certificate later; the refusal is told as one."""
    await _secured(real_guest)
    for stranger in (OTHER.client(), OURS.server(["192.0.2.1"])):
        link = await _call(real_guest, client=stranger)
        client = engine_client(link)
        with pytest.raises(LinkError) as caught:
            await client.hello()
        client.close()
        link.close()
        assert caught.value.code == "tls-client-rejected"


async def test_certificates_of_the_old_pack_are_taken_in_its_mode(real_guest: RealGuest) -> None:
    """Only then; and an engine that is not the VM's own is refused all the same."""
    historic = Authority("historic", form=Form.HISTORIC)
    await _secured(real_guest, historic)
    strict = await refused(_call(real_guest, historic))
    stranger = await refused(_call(real_guest, OTHER, is_legacy=True))
    link = await _call(real_guest, historic, is_legacy=True)
    client = engine_client(link)
    await client.hello()
    client.close()
    link.close()

    assert (strict.code, stranger.code) == ("tls-untrusted", "tls-untrusted")


@pytest.mark.parametrize("kind", ["rsa", "ec"])
async def test_certificates_that_are_made_for_a_vm_work(real_guest: RealGuest, kind: certificates.KeyKind) -> None:
    """A dockerd with ``tlsverify`` starts with them, is verified strictly, and takes our client."""
    made = await asyncio.to_thread(certificates.make, "real", real_guest.addresses, 730, kind)
    await real_guest.secure_engine(made.authority, Pair(made.server.certificate, made.server.key))
    pem = (made.client.certificate.encode(), made.client.key.encode(), made.authority.encode())
    ours = await asyncio.to_thread(credentials, *pem, is_legacy=False)
    link = await call_tls(real_guest, ours, port=TLS_PORT, settings=PATIENT)
    client = engine_client(link)
    await client.hello()
    listed = await client.containers()
    client.close()
    link.close()

    assert listed.total == CONTAINERS
    assert abs(link.expiry.at - made.until) < dt.timedelta(seconds=1)


async def test_an_engine_that_was_killed_is_told(real_guest: RealGuest) -> None:
    """An open stream ends; a new one is refused by name of the port."""
    await _secured(real_guest)
    link = await _call(real_guest)
    sink = Sink()
    await link.open(sink)
    await real_guest.kill_engine()
    await sink.wait_until_ended()
    error = await refused(link.open(Sink()))
    link.close()

    assert (error.code, error.fields["port"], error.fields["key"]) == ("refused", str(TLS_PORT), config_keys.TLS_PORT)


async def test_a_silent_guest_is_heard_as_long_as_its_system_answers(real_guest: RealGuest) -> None:
    """While nothing is said the kernel's questions are answered; behind a cut they are not, and the stream is lost."""
    await _secured(real_guest)
    often = PATIENT.model_copy(update={"keepalive_seconds": 1.0, "keepalive_count": 1})
    link = await call_tls(real_guest, await shown(OURS), port=TLS_PORT, settings=often)
    sink = Sink()
    await link.open(sink)
    begun = link.heard
    async with asyncio.timeout(SEEN_SECONDS):
        while link.heard - begun < dt.timedelta(seconds=1):
            await asyncio.sleep(0.1)
    try:
        await real_guest.cut()
        await sink.wait_until_ended()
    finally:
        await real_guest.restore()
    silent = clocks.now() - link.heard
    link.close()

    assert silent >= dt.timedelta(seconds=1)
    assert [getattr(each, "code", None) for each in sink.ends] == ["link-lost"]


@asynccontextmanager
async def _watched(folder: Path, guest: RealGuest, real_set: RealSet) -> AsyncIterator[World]:
    """A pool with this guest as a VM that is enabled, watched over SSH."""
    maker = SimulatedGuests(folder / "none")
    async with (
        LabPool(folder / "pool", hosts=1, port=0) as pool,
        kept(folder) as database,
        running(CALM, database) as core,
    ):
        one = World(pool, maker, core, database)
        await add(one)
        client = core.commands.pools.keeper(one.pool_id).client
        for key, value in ((PRIVATE_KEY_SECRET, real_set.private_key), (PUBLIC_KEY_SECRET, real_set.public_key)):
            await client.set_pool_key(key, await client.create_secret(value, {}))
        await pool.make_vm(NewVm("real", addresses=guest.addresses, user=guest.user))
        await _until_live(one)
        yield one


async def _until_live(one: World) -> None:
    def seen() -> bool:
        held = one.containers("real").values() if any(vm.name == "real" for vm in one.vms()) else ()
        return one.is_live("real") and len(held) == CONTAINERS and not any(each.stale for each in held)

    await one.until(seen, "the VM is live")


async def _watch(one: World, fewest: list[int]) -> None:
    """Note how few containers are shown."""
    while True:
        fewest.append(min(fewest.pop(), len(one.containers("real"))))
        await asyncio.sleep(LOOK_SECONDS)


async def test_a_vm_moves_from_ssh_to_tls_and_back(real_guest: RealGuest, real_set: RealSet, tmp_path: Path) -> None:
    """While Roadstead runs: its containers stay the same records, shown all the time, both ways lead to them, and its
    host key stays remembered.
    """
    await _secured(real_guest)
    async with _watched(tmp_path, real_guest, real_set) as one:
        vm, vms = one.vm("real"), one.core.commands.vms
        before = {each.id: each.created for each in one.containers("real").values()}
        await one.trust_tls("real", OURS)
        await one.until(lambda: config_keys.HOST_KEY in one.vm("real").settings, "its host key is remembered")
        pin, fewest = one.vm("real").settings[config_keys.HOST_KEY], [len(before)]
        async with asyncio.TaskGroup() as group:
            watching = tasks.spawn(group, _watch(one, fewest), "watch")
            for mode, relay in (("tls", "tls"), ("ssh", "streamlocal"), ("tls", "tls")):
                await vms.enable(vm.id, Reach(mode=mode))
                await one.until(partial(_is_over, one, relay), f"the link is {relay}")
                await _until_live(one)
                assert {each.id: each.created for each in one.containers("real").values()} == before
            watching.cancel()
        assert fewest == [CONTAINERS]
        assert one.vm("real").settings[config_keys.HOST_KEY] == pin

        name = next(each.name for each in one.containers("real").values() if each.state == "running")
        await real_guest.docker("rename", name, "renamed")
        await one.until(lambda: "renamed" in one.containers("real"), "an event came over TLS")


def _is_over(one: World, relay: str) -> bool:
    link = one.vm("real").link
    return link is not None and link.relay == relay and one.is_live("real")
