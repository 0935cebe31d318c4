"""Signing in, following the master, and what becomes of sessions and tokens when a pool restarts or its master goes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from roadstead.errors import PoolError
from roadstead.kit import tasks
from roadstead.lab.pool.http import Mood
from roadstead.lab.pool.server import LabPool
from roadstead.peers.xapi import session
from roadstead.peers.xapi.client import XapiClient
from roadstead.peers.xapi.trust import Trust, fetch_fingerprint, parse_fingerprint
from tests.contract.xapi_pools import CLASSES, PATIENT, WAITING, address, all_pins, names, signed_in

HASTY = PATIENT.model_copy(update={"connect_seconds": 0.5, "call_seconds": 0.5})


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[LabPool]:
    """A pool of three hosts."""
    async with LabPool(tmp_path / "lab", hosts=3) as running:
        yield running


async def code_of(client: XapiClient) -> str:
    """The code with which signing in fails."""
    try:
        with pytest.raises(PoolError) as caught:
            await client.open()
    finally:
        await client.close()
    return caught.value.code


async def test_sessions_are_our_own_and_end_with_us(pool: LabPool) -> None:
    """Rule 5: one session of an originator that nobody else has; signed out at the end."""
    async with signed_in(address(pool)) as one, signed_in(address(pool)) as two:
        assert pool.core.sessions.originators() == {one.originator: 1, two.originator: 1}
        await one.open()
        assert pool.core.sessions.originators() == {one.originator: 1, two.originator: 1}

    assert len(pool.core.sessions) == 0


async def test_other_clients_cannot_push_us_out(pool: LabPool) -> None:
    """Rule 5: more sessions than a pool keeps, made by a client without an originator, leave ours alone."""
    async with signed_in(address(pool)) as client:
        for _ in range(510):
            await client.call("VM.get_all")
            pool.core.sessions.open(pool.core.sessions.find(_ref(client)).account, "", "OpaqueRef:NULL")

        before = _ref(client)
        await client.call("VM.get_all")
        assert _ref(client) == before


def _ref(client: XapiClient) -> str:
    return str(client._session._ref)  # noqa: SLF001 - the session's name is nobody's business, save that it stays


async def test_member_leads_to_the_master_on_the_same_port(pool: LabPool) -> None:
    """HOST_IS_SLAVE: the master is asked at the port of the URL, with the certificate pinned for it."""
    by_member = address(pool, host=3, trust=all_pins(pool))

    async with signed_in(by_member) as client:
        assert client.master == "127.88.0.1"
        assert len(await client.list_all("host")) == 3


async def test_master_that_nobody_vouched_for_is_not_trusted(pool: LabPool) -> None:
    """A member may name any master: without a pin for it no password goes there."""
    assert await code_of(XapiClient(address(pool, host=3), PATIENT)) == "pool-certificate-untrusted"
    assert len(pool.core.sessions) == 0


async def test_members_are_learned_over_the_trusted_connection(pool: LabPool) -> None:
    """All hosts' addresses and certificates are read from the pool; the confirmed pin stays, a stale one goes."""
    stale = {"127.88.0.2": "ab" * 32, "10.9.9.9": "cd" * 32}
    known = address(pool)
    known = replace(known, trust=Trust(fingerprints={**known.trust.fingerprints, **stale}), members=("10.9.9.9",))

    async with signed_in(known) as client:
        learned = await client.learn_members()

    assert learned.members == ("127.88.0.1", "127.88.0.2", "127.88.0.3")
    assert learned.trust.fingerprints == {"": parse_fingerprint(pool.fingerprint), **all_pins(pool).fingerprints}


async def test_old_token_is_refused_after_a_restart(pool: LabPool) -> None:
    """Rule 1: a token of a former session raises ``pool-session-lost``; from the empty one everything comes again."""
    await pool.create_vm("quay", addresses=())
    async with signed_in(address(pool)) as client:
        batch = await client.events(CLASSES, "")
        assert names(batch) == {"quay": "add"}
        batch = await client.events(CLASSES, batch.token)
        await pool.restart()

        with pytest.raises(PoolError) as caught:
            await client.events(CLASSES, batch.token)
        assert caught.value.code in {"pool-session-lost", "pool-unreachable"}
        await client.open()
        with pytest.raises(PoolError) as caught:
            await client.events(CLASSES, batch.token)
        assert caught.value.code == "pool-session-lost"
        assert names(await client.events(CLASSES, "")) == {"quay": "add"}


async def test_token_does_not_outlive_a_session_that_a_call_renewed(pool: LabPool) -> None:
    """Rule 1: when a call signs in again between two calls of event.from, the reader is told nevertheless."""
    async with signed_in(address(pool)) as client:
        batch = await client.events(CLASSES, "")
        pool.core.sessions.end_all()
        await client.call("VM.get_all")

        with pytest.raises(PoolError) as caught:
            await client.events(CLASSES, batch.token)
        assert caught.value.code == "pool-session-lost"


async def test_master_lost_and_its_numbers_lower(pool: LabPool) -> None:
    """Rule 1: after a failover the generation goes back; we are found again by the members, and see what changes."""
    uuid = await pool.create_vm("quay", addresses=())
    await pool.save()
    async with signed_in(address(pool)) as client:
        await client.learn_members()
        batch = await client.events(CLASSES, "")
        for turn in range(20):
            await client.set_vm_key(uuid, "xscontainer-username", f"user-{turn}")
        batch = await client.events(CLASSES, batch.token)

        await pool.move_master(2, lost=True, behind=5)
        assert pool.core.database.generation < int(batch.token.partition(",")[0])
        with pytest.raises(PoolError):
            await client.events(CLASSES, batch.token)
        await client.open()
        assert client.master == "127.88.0.2"

        batch = await client.events(CLASSES, "")
        assert names(batch) == {"quay": "add"}
        pool.rename_vm("quay", "berth")
        assert names(await client.events(CLASSES, batch.token)) == {"berth": "mod"}


async def test_master_that_stepped_down_sends_us_on(pool: LabPool) -> None:
    """The former master, now a member, is asked first and names the new one, in the middle of a call."""
    async with signed_in(address(pool)) as client:
        await client.learn_members()
        await pool.move_master(3)

        assert len(await client.call("VM.get_all")) > 0
        assert client.master == "127.88.0.3"


async def test_whole_pool_gone_and_back(pool: LabPool) -> None:
    """With no host left there is one clear error; when one comes back as the master, it is found."""
    async with signed_in(address(pool), HASTY) as client:
        await client.learn_members()
        for number in (1, 2, 3):
            await pool.kill_host(number)
        with pytest.raises(PoolError) as caught:
            await client.open()
        assert (caught.value.code, caught.value.fields["reason"]) == ("pool-unreachable", "connection refused")
        with pytest.raises(PoolError) as caught:
            await client.call("VM.get_all")
        assert caught.value.code == "pool-unreachable"

        for number in (2, 3):
            await pool.revive_host(number)
        await pool.move_master(2)
        await client.open()
        assert client.master == "127.88.0.2"


async def test_members_of_a_dead_master(pool: LabPool) -> None:
    """While members still name the dead master, the outage is said of the master."""
    async with signed_in(address(pool), HASTY) as client:
        await client.learn_members()
        await pool.kill_host(1)
        with pytest.raises(PoolError) as caught:
            await client.open()

    assert (caught.value.code, "127.88.0.1" in caught.value.fields["address"]) == ("pool-unreachable", True)


async def test_session_ended_by_the_pool_is_renewed_once_for_all(pool: LabPool) -> None:
    """SESSION_INVALID in many calls at once: one new sign-in, and every call is answered."""
    async with signed_in(address(pool)) as client:
        pool.core.sessions.end_all()

        assert len(await asyncio.gather(*(client.call("VM.get_all") for _ in range(12)))) == 12
        assert pool.core.sessions.originators() == {client.originator: 1}


async def test_waiting_for_events_ends_with_the_pool(pool: LabPool) -> None:
    """A restart in the middle of event.from is noticed at once, not at the end of the wait."""
    async with signed_in(address(pool), WAITING) as client, asyncio.TaskGroup() as group:
        batch = await client.events(CLASSES, "")
        waiting = tasks.spawn(group, _outcome(client, batch.token), "reader of events")
        await asyncio.sleep(0)
        await pool.restart()

        async with asyncio.timeout(5):
            assert await waiting in {"pool-session-lost", "pool-unreachable"}


async def _outcome(client: XapiClient, token: str) -> str:
    try:
        while True:
            token = (await client.events(CLASSES, token)).token
    except PoolError as error:
        return error.code


async def test_restarting_pool_is_an_outage(pool: LabPool) -> None:
    """While XAPI starts, connections are accepted and ended; afterwards everything works again."""
    async with signed_in(address(pool)) as client:
        pool.set_mood(Mood.CLOSES)
        await pool.drop_connections()
        with pytest.raises(PoolError) as caught:
            await client.open()
        assert caught.value.code == "pool-unreachable"

        pool.set_mood(Mood.WELL)
        await client.open()
        assert await client.call("VM.get_all")


async def test_silent_pool_runs_into_our_limits(pool: LabPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 6: every call, the wait for events, and saying goodbye have limits of our own."""
    monkeypatch.setattr(session, "LOGOUT_SECONDS", 0.2)
    async with signed_in(address(pool), HASTY) as client:
        batch = await client.events(CLASSES, "")
        pool.set_mood(Mood.SILENT)

        for waiting in (client.call("VM.get_all", seconds=0.2), client.events(CLASSES, batch.token), client.open()):
            with pytest.raises(PoolError) as caught:
                await waiting
            assert caught.value.code == "pool-timed-out"


async def test_garbage_is_no_pool(pool: LabPool) -> None:
    """An answer that is no JSON-RPC is told as such."""
    async with signed_in(address(pool)) as client:
        pool.set_mood(Mood.GARBAGE)
        for asking in (client.call("VM.get_all"), client.events(CLASSES, ""), client.open()):
            with pytest.raises(PoolError) as caught:
                await asking
            assert caught.value.code == "pool-answer-invalid"


async def test_wrong_password(pool: LabPool) -> None:
    """The refusal names the user; other members are not asked with the same password."""
    known = address(pool, password="wrong", trust=all_pins(pool), members=("127.88.0.2", "127.88.0.3"))

    assert await code_of(XapiClient(known, PATIENT)) == "pool-sign-in-failed"


async def test_changed_certificate_is_refused(pool: LabPool) -> None:
    """A host with another certificate is not given the password; with the new pin it is."""
    known = address(pool, trust=all_pins(pool), members=("127.88.0.2", "127.88.0.3"))
    await pool.change_certificate(1)

    assert await code_of(XapiClient(known, PATIENT)) == "pool-certificate-changed"
    assert len(pool.core.sessions) == 0
    assert await fetch_fingerprint(pool.url, 5) == parse_fingerprint(pool.fingerprint)
    async with signed_in(address(pool)) as client:
        assert await client.call("VM.get_all")


async def test_certificate_that_a_member_renewed_is_learned(pool: LabPool) -> None:
    """What the pool's own database says of another host's certificate counts, over the trusted connection."""
    async with signed_in(address(pool)) as client:
        before = await client.learn_members()
        await pool.change_certificate(2)
        after = await client.learn_members()
        assert before.trust.fingerprints["127.88.0.2"] != after.trust.fingerprints["127.88.0.2"]

        await pool.move_master(2)
        assert await client.call("VM.get_all")
        assert client.master == "127.88.0.2"


async def test_ca_file(pool: LabPool, tmp_path: Path) -> None:
    """With the host's own certificate as the CA file, chain and name are verified; other hosts are known by what the
    pool tells of them over that connection, and by nothing before.
    """
    (file,) = list((tmp_path / "lab").rglob("*1.pem"))
    known = address(pool, trust=Trust(ca_pem=await asyncio.to_thread(file.read_text)))

    async with signed_in(known) as stranger, signed_in(known) as client:
        assert await client.call("VM.get_all")
        learned = (await client.learn_members()).trust
        assert (learned.ca_pem, learned.fingerprints) == (known.trust.ca_pem, all_pins(pool).fingerprints)
        await pool.move_master(2)
        assert await client.call("VM.get_all")
        assert client.master == "127.88.0.2"
        with pytest.raises(PoolError) as caught:
            await stranger.call("VM.get_all")
        assert caught.value.code == "pool-certificate-untrusted"
