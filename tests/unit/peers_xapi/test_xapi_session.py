"""How the master is searched, and which calls are made a second time: with hosts that behave as no lab does."""

import asyncio

import pytest

from roadstead.errors import PoolError
from roadstead.peers.xapi.trust import Trust
from tests.unit.peers_xapi import hosts
from tests.unit.peers_xapi.hosts import PASSWORD, SESSION, Request, bad, good, host, pinned, signing_in

MINE = hosts.identity(1)
SECOND = "127.0.0.2"


def both() -> Trust:
    """Trust in the URL's host and in the second one."""
    return Trust(fingerprints={"": MINE.fingerprint, SECOND: MINE.fingerprint, "::1": MINE.fingerprint})


@pytest.mark.parametrize("master", [SECOND, "::1", "0:0::1"])
async def test_master_is_followed_to_the_same_port(master: str) -> None:
    """HOST_IS_SLAVE names a bare address, which may be IPv6; the port is the URL's."""
    listening = SECOND if master == SECOND else "::1"
    async with (
        host(lambda _: bad("HOST_IS_SLAVE", master), MINE) as member,
        host(signing_in(lambda _: good(1)), MINE, listening, member.port) as served,
    ):
        client = member.client(both())
        await client.open()
        assert await client.call("VM.call") == 1
        assert client.master == listening
        await client.close()

    assert member.methods == ["session.login_with_password"]
    assert served.methods == ["session.login_with_password", "VM.call", "session.logout"]
    assert ("[::1]:" in served.requests[0].head) == (listening == "::1")


async def test_hosts_that_name_each_other() -> None:
    """Two members that take each other for the master end the search instead of running it for ever."""
    async with (
        host(lambda _: bad("HOST_IS_SLAVE", SECOND), MINE) as one,
        host(lambda _: bad("HOST_IS_SLAVE", "127.0.0.1"), MINE, SECOND, one.port) as two,
    ):
        client = one.client(both())
        with pytest.raises(PoolError, match="name each other"):
            await client.open()
        await client.close()

    assert (len(one.requests), len(two.requests)) == (1, 1)


async def test_of_several_errors_the_one_that_tells_most() -> None:
    """A host that shows another certificate is said, not the one that does not answer."""
    async with (
        host(lambda _: None, MINE) as silent,
        host(lambda _: None, hosts.identity(2), SECOND, silent.port) as other,
    ):
        client = silent.client(both(), members=(SECOND, "127.0.0.3"))
        with pytest.raises(PoolError) as caught:
            await client.open()
        await client.close()

    assert (caught.value.code, caught.value.fields["address"]) == ("pool-certificate-changed", f"{SECOND}:{other.port}")
    assert other.requests == []


async def test_other_members_are_tried() -> None:
    """When the URL's host talks nonsense, a member that answers is the master."""
    async with (
        host(lambda _: hosts.http(b"<html>", "502 Bad Gateway"), MINE) as broken,
        host(signing_in(lambda _: good(1)), MINE, SECOND, broken.port),
    ):
        client = broken.client(both(), members=("127.0.0.1", SECOND))
        await client.open()
        assert client.master == SECOND
        await client.close()


async def test_wrong_password_is_said_once() -> None:
    """A refused sign-in is not repeated at other hosts, nor by calls that come meanwhile."""
    refusal = bad("SESSION_AUTHENTICATION_FAILED", "root", "Authentication failure")
    async with host(lambda _: refusal, MINE) as one, host(lambda _: refusal, MINE, SECOND, one.port) as two:
        client = one.client(both(), members=(SECOND,))
        for asking in (client.open(), client.call("VM.call"), client.events(("vm",), "")):
            with pytest.raises(PoolError) as caught:
                await asking
            assert (caught.value.code, caught.value.fields["user"]) == ("pool-sign-in-failed", "root")
        await client.close()

    assert (len(one.requests), two.requests) == (1, [])


async def test_session_that_stays_invalid_is_told() -> None:
    """A pool that refuses also the renewed session is told, after one new sign-in."""
    async with host(signing_in(lambda _: bad("SESSION_INVALID", SESSION)), MINE) as served:
        client = served.client(pinned(MINE))
        await client.open()
        with pytest.raises(PoolError) as caught:
            await client.call("VM.call")
        await client.close()

    assert caught.value.code == "pool-session-lost"
    assert SESSION not in str(caught.value) + repr(caught.value.fields)
    assert served.methods.count("VM.call") == 2
    assert served.methods.count("session.login_with_password") == 3


@pytest.mark.parametrize(("method", "times"), [("VM.get_all", 2), ("VM.start", 1)])
async def test_only_questions_are_repeated(method: str, times: int) -> None:
    """A connection that ends without an answer: a question is asked again, a command is not given twice."""
    asked = 0

    def reply(request: Request) -> bytes | None:
        nonlocal asked
        asked += request.method == method
        return None if request.method == method and asked == 1 else good("answer")

    async with host(signing_in(reply), MINE) as served:
        client = served.client(pinned(MINE))
        await client.open()
        outcome = await asyncio.gather(client.call(method), return_exceptions=True)
        await client.close()

    assert served.methods.count(method) == times
    assert getattr(outcome[0], "code", outcome[0]) == ("answer" if times == 2 else "pool-unreachable")


async def test_token_does_not_outlive_a_lost_connection() -> None:
    """After any error of event.from the reader starts anew, also in a session that still lives."""
    batches: list[bytes | None] = [good({"events": [], "token": "1,1"}), None, good({"events": [], "token": "2,2"})]

    async with host(signing_in(lambda _: batches.pop(0)), MINE) as served:
        client = served.client(pinned(MINE))
        await client.open()
        token = (await client.events(("vm",), "")).token
        for code in ("pool-unreachable", "pool-session-lost"):
            with pytest.raises(PoolError) as caught:
                await client.events(("vm",), token)
            assert caught.value.code == code
        assert (await client.events(("vm",), "")).token == "2,2"
        await client.close()


async def test_nothing_is_called_before_the_sign_in() -> None:
    """A client that was not opened, or was closed, says so and connects to nobody."""
    async with host(signing_in(lambda _: good(1)), MINE) as served:
        client = served.client(pinned(MINE))
        for _ in range(2):
            for asking in (client.call("VM.call"), client.events(("vm",), "")):
                with pytest.raises(PoolError) as caught:
                    await asking
                assert caught.value.code == "pool-session-lost"
            await client.open()
            await client.close()

    assert set(served.methods) == {"session.login_with_password", "session.logout"}


async def test_what_is_printed_holds_no_secret() -> None:
    """Neither password nor session stands in the client's repr."""
    async with host(signing_in(lambda _: good(1)), MINE) as served:
        client = served.client(pinned(MINE))
        before = repr(client)
        await client.open()
        after = repr(client)
        await client.close()

    assert ("not signed in" in before, ", signed in" in after) == (True, True)
    assert not any(secret in before + after for secret in (PASSWORD, SESSION))


async def test_listing_that_is_none() -> None:
    """A pool whose listings are no listings, or hold no pool, is no pool."""
    async with host(signing_in(lambda request: good([] if request.method[:2] == "VM" else {})), MINE) as served:
        client = served.client(pinned(MINE))
        await client.open()
        for asking in (client.list_all("vm"), client.pool()):
            with pytest.raises(PoolError) as caught:
                await asking
            assert caught.value.code == "pool-answer-invalid"
        await client.close()


async def test_pool_from_before_certificates_were_objects() -> None:
    """Members are learned all the same; their certificates stay as they were known."""
    listing = {"h1": {"address": "127.0.0.1"}, "h2": {"address": SECOND}, "h3": {"address": "not an address"}}

    def reply(request: Request) -> bytes:
        known = request.method == "host.get_all_records"
        return good(listing) if known else bad("MESSAGE_METHOD_UNKNOWN", request.method)

    async with host(signing_in(reply), MINE) as served:
        client = served.client(both())
        await client.open()
        learned = await client.learn_members()
        await client.close()

    assert learned.members == ("127.0.0.1", SECOND)
    assert learned.trust.fingerprints == {"": MINE.fingerprint, SECOND: MINE.fingerprint}
