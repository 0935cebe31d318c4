"""How the master is searched, and which calls are made a second time: with hosts that behave as no lab does."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from roadstead.errors import PoolError
from roadstead.kit import tasks
from roadstead.peers.xapi import session
from roadstead.peers.xapi.trust import Trust
from tests.unit.peers_xapi import hosts
from tests.unit.peers_xapi.hosts import PASSWORD, SESSION, Request, bad, good, host, pinned, signing_in

MINE = hosts.identity(1)
SECOND = "127.0.0.2"
PATIENCE_SECONDS = 10.0


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


async def test_a_silent_masters_own_word_counts_more_than_a_strangers() -> None:
    """That nobody vouched for a member says nothing of why the master does not answer; a changed certificate does."""
    async with host(lambda _: bad("HOST_IS_SLAVE", "127.0.0.3"), MINE) as home:
        trust = Trust(fingerprints={"": MINE.fingerprint, "127.0.0.3": MINE.fingerprint})
        client = home.client(trust, members=(SECOND,))
        with pytest.raises(PoolError) as caught:
            await client.open()
        await client.close()

    assert (caught.value.code, caught.value.fields["address"]) == ("pool-unreachable", f"127.0.0.3:{home.port}")


@pytest.mark.parametrize("name", ["a..b", "a" * 64, "x." * 200, "fe80::1%\0", "ä"])
async def test_a_master_with_a_name_that_is_none(name: str) -> None:
    """It is the pool's answer that is wrong; nobody is asked, and nothing breaks."""
    async with host(lambda _: bad("HOST_IS_SLAVE", name), MINE) as member:
        client = member.client(pinned(MINE))
        with pytest.raises(PoolError, match="not XAPI"):
            await client.open()
        await client.close()


async def test_the_search_for_the_master_ends() -> None:
    """Members that name ever new masters are followed for as many hosts as a pool may have."""
    asked = 0

    def reply(_: Request) -> bytes:
        nonlocal asked
        asked += 1
        return bad("HOST_IS_SLAVE", f"127.0.1.{asked}")

    async with host(reply, MINE, "0.0.0.0") as member:
        trust = Trust(fingerprints={"": MINE.fingerprint, **{f"127.0.1.{n}": MINE.fingerprint for n in range(1, 99)}})
        client = member.client(trust)
        with pytest.raises(PoolError):
            await client.open()
        await client.close()

    assert asked == session.HOSTS == 64


OURS, OTHER = "11111111-aaaa-4000-8000-000000000001", "22222222-aaaa-4000-8000-000000000002"


def being(uuid: str) -> Callable[[Request], bytes | None]:
    """The master of the pool of this id."""

    def reply(request: Request) -> bytes:
        return good({"p": {"uuid": uuid, "name_label": "dock"}} if request.method == "pool.get_all_records" else 1)

    return signing_in(reply)


async def test_another_pool_is_signed_out_of_at_once() -> None:
    """Whoever expects a pool gets no session of another one: nothing is read from it or written to it."""
    async with host(being(OTHER), MINE) as served:
        client = served.client(pinned(MINE), id=OURS)
        for asking in (client.open(), client.call("VM.call")):
            with pytest.raises(PoolError) as caught:
                await asking
            assert caught.value.code == "pool-other-answers"
            assert (caught.value.fields["pool"], caught.value.fields["other"]) == ("harbour", f"dock ({OTHER})")
        await client.close()

    assert served.methods == ["session.login_with_password", "pool.get_all_records", "session.logout"]


async def test_our_pool_is_found_behind_a_host_that_left_it() -> None:
    """The members know better than the URL."""
    async with host(being(OTHER), MINE) as left, host(being(OURS), MINE, SECOND, left.port) as served:
        client = left.client(both(), members=(SECOND,), id=OURS)
        await client.open()
        assert client.master == served.address
        assert await client.call("VM.call") == 1
        await client.close()

    assert left.methods[-1] == "session.logout"


async def test_a_pool_of_another_id_behind_a_renewed_session_is_noticed() -> None:
    """The host may have changed pools between two calls."""
    mine, ended = True, False

    def reply(request: Request) -> bytes | None:
        nonlocal mine, ended
        if request.method == "VM.call" and not ended:
            mine, ended = False, True
            return bad("SESSION_INVALID", SESSION)
        return being(OURS if mine else OTHER)(request)

    async with host(reply, MINE) as served:
        client = served.client(pinned(MINE), id=OURS)
        await client.open()
        with pytest.raises(PoolError) as caught:
            await client.call("VM.call")
        await client.close()

    assert caught.value.code == "pool-other-answers"
    assert served.methods.count("VM.call") == 1


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


async def test_nobody_is_called_after_the_end() -> None:
    """A client that is closed while somebody's call signs in anew ends that, and asks no further host."""
    signs_in = iter((good(SESSION), b""))

    def reply(request: Request) -> bytes:
        return next(signs_in) if request.method == "session.login_with_password" else bad("SESSION_INVALID", SESSION)

    async with host(reply, MINE) as served, host(signing_in(lambda _: good(1)), MINE, SECOND, served.port) as other:
        client = served.client(both(), members=(SECOND,))
        await client.open()
        async with asyncio.TaskGroup() as group:
            calling = tasks.spawn(group, _outcome(client.call("VM.call")), "a call")
            await _until(lambda: served.methods.count("session.login_with_password") == 2)
            await client.close()
        assert calling.result() in {"pool-session-lost", "pool-unreachable"}
        await _until(lambda: served.open == 0)

    assert other.requests == []


async def test_a_session_that_comes_late_is_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sign-in that succeeds while the client says goodbye leaves no session in the pool."""
    monkeypatch.setattr(session, "LOGOUT_SECONDS", 0.3)

    def reply(request: Request) -> bytes:
        first = served.methods.count("session.login_with_password") == 1
        if request.method == "session.logout":
            return b"" if first else good("")
        return good("first" if first else "second")

    async with host(reply, MINE) as served:
        client = served.client(pinned(MINE))
        await client.open()
        async with asyncio.TaskGroup() as group:
            tasks.spawn(group, client.close(), "the end")
            await _until(lambda: "session.logout" in served.methods)
            await client.open()
        ended = [request.call["params"] for request in served.requests if request.method == "session.logout"]
        assert ended == [["first"], ["second"]]
        await _until(lambda: served.open == 0)


async def test_an_end_that_is_cut_short_ends_connections() -> None:
    """Whoever is cancelled while he says goodbye to a silent pool leaves no connection open."""
    batch = good({"events": [], "token": "1,1"})

    def reply(request: Request) -> bytes:
        if request.method == "session.logout":
            return b""
        return good(SESSION) if request.method == "session.login_with_password" else batch

    async with host(reply, MINE) as served:
        client = served.client(pinned(MINE))
        await client.open()
        await client.events(("vm",), "")
        assert served.open == 2
        async with asyncio.TaskGroup() as group:
            closing = tasks.spawn(group, client.close(), "the end")
            await _until(lambda: "session.logout" in served.methods)
            await tasks.stop(closing)
        await _until(lambda: served.open == 0)


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


async def _outcome(asking: Awaitable[object]) -> str:
    """The code of the error that this ends with."""
    with pytest.raises(PoolError) as caught:
        await asking
    return caught.value.code


async def _until(condition: Callable[[], bool]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)
