"""What reaches a host, what never does, and what becomes of answers that no pool gives."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from roadstead.errors import InputError, PoolError
from roadstead.kit import tasks
from roadstead.kit.text import fingerprint_digits
from roadstead.peers.xapi import wire
from roadstead.peers.xapi.client import XapiClient
from roadstead.peers.xapi.trust import PoolAddress, Trust, fetch_fingerprint, parse_url
from tests.unit.peers_xapi import hosts
from tests.unit.peers_xapi.hosts import PASSWORD, QUICK, SESSION, Last, bad, good, host, http, pinned, signing_in

MINE = hosts.identity(1)
THEIRS = hosts.identity(2)
NAMED = hosts.identity(3, "127.0.0.1")


async def failing(client: XapiClient) -> PoolError:
    """How signing in fails."""
    try:
        with pytest.raises(PoolError) as caught:
            await client.open()
    finally:
        await client.close()
    assert PASSWORD not in str(caught.value) + repr(caught.value.fields)
    return caught.value


def _told(error: PoolError) -> tuple[str | None, str | None]:
    """Which fingerprints an error names, each as openssl prints it."""
    assert error.fields["shown"].count(":") == 31
    return fingerprint_digits(error.fields["shown"]), fingerprint_digits(error.fields["trusted"])


async def test_requests_are_small_and_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 7: headers under 1,024 bytes with a Content-Length, nothing of the environment, no cookie sent back."""
    for name, value in hosts.PROXY.items():
        monkeypatch.setenv(name, value)
    cookie = "set-cookie: session_id=x\r\n"

    async with host(lambda _: http(b'{"result":""}', headers=cookie), MINE) as served:
        client = served.client(pinned(MINE))
        with pytest.raises(PoolError, match="names no session"):
            await client.open()
        with pytest.raises(PoolError):
            await client.open()
        await client.close()

    for request in served.requests:
        lines = request.head.lower().rstrip().split("\r\n")
        assert lines[0] == "post /jsonrpc http/1.1"
        assert len(request.head) < 256
        assert {line.split(":")[0] for line in lines[1:]} == {
            "host", "content-type", "user-agent", "accept", "content-length",
        }  # fmt: skip


async def test_cookies_are_not_kept() -> None:
    """Not even of a host with a name, of which a browser would keep them."""
    async with host(lambda _: http(b'{"result":""}', headers="set-cookie: session_id=x\r\n"), MINE) as served:
        client = XapiClient(PoolAddress(f"https://localhost:{served.port}", "root", PASSWORD, pinned(MINE)), QUICK)
        for _ in range(2):
            with pytest.raises(PoolError, match="names no session"):
                await client.open()
        await client.close()

    assert len(served.requests) == 2
    assert not any("cookie" in request.head.lower() for request in served.requests)


async def test_one_request_at_a_time_on_a_connection() -> None:
    """Rule 7: parallel calls take connections of their own, at most four; one after the other they share one."""
    async with host(signing_in(lambda request: good(request.call["params"][1])), MINE) as served:
        client = served.client(pinned(MINE))
        await client.open()
        assert [await client.call("VM.echo", n) for n in range(5)] == list(range(5))
        assert served.connections == 1

        assert await asyncio.gather(*(client.call("VM.echo", n) for n in range(20))) == list(range(20))
        assert served.connections <= wire.CONNECTIONS
        await client.close()


async def test_events_never_make_a_call_wait() -> None:
    """event.from has a connection of its own."""
    batch = {"events": [], "token": "t", "valid_ref_counts": {}}
    async with host(signing_in(lambda request: good(batch if request.method == "event.from" else 1)), MINE) as served:
        client = served.client(pinned(MINE))
        await client.open()
        await client.events(("vm",), "")
        await client.call("VM.call")
        await client.close()

    by_method = {request.method: request.connection for request in served.requests}
    assert by_method["event.from"] not in {by_method["VM.call"], by_method["session.login_with_password"]}


@pytest.mark.parametrize("turns", range(1, 6))
async def test_every_lane_ends_whenever_the_end_is_cut_short(turns: int) -> None:
    """Whoever is cancelled at any point of closing leaves no connection open."""
    async with host(lambda _: good(1), MINE) as served:
        address = PoolAddress(served.url, "root", PASSWORD, pinned(MINE))
        connections = wire.Wire(address, connect_seconds=1)
        for lane in wire.Lane:
            await connections.post(parse_url(served.url), b"{}", call="VM.call", seconds=1, lane=lane)
        assert served.open == len(wire.Lane)
        async with asyncio.TaskGroup() as group:
            closing = tasks.spawn(group, connections.close(), "the end")
            for _ in range(turns):
                await asyncio.sleep(0)
            await tasks.stop(closing)
        async with asyncio.timeout(5):
            while served.open:
                await asyncio.sleep(0.005)


async def test_password_never_reaches_another_certificate() -> None:
    """Another certificate than the pinned one: both are named, and not a byte was sent."""
    async with host(lambda _: good(SESSION), THEIRS) as served:
        error = await failing(served.client(pinned(MINE)))

    assert error.code == "pool-certificate-changed"
    assert _told(error) == (THEIRS.fingerprint, MINE.fingerprint)
    assert (served.requests, error.fields["pool"]) == ([], "harbour")


async def test_pinned_certificate_needs_no_name_and_no_authority() -> None:
    """A pool's certificates are self-signed and named after hosts: the pin alone counts."""
    async with host(signing_in(lambda _: good(1)), MINE) as served:
        client = served.client(pinned(MINE))
        await client.open()
        assert await client.call("VM.call") == 1
        await client.close()


async def test_ca_file_is_enough() -> None:
    """With a CA file chain and name are verified, and no pin is needed."""
    async with host(signing_in(lambda _: good(1)), NAMED) as served:
        client = served.client(hosts.ca_file(NAMED))
        await client.open()
        assert await client.call("VM.call") == 1
        await client.close()


@pytest.mark.parametrize(("shown", "authority"), [(MINE, MINE), (MINE, NAMED), (THEIRS, NAMED)])
async def test_ca_file_refuses_others(shown: hosts.Identity, authority: hosts.Identity) -> None:
    """A certificate for another name, or of nobody known, is refused before a byte was sent."""
    async with host(lambda _: good(SESSION), shown) as served:
        error = await failing(served.client(hosts.ca_file(authority)))

    assert (error.code, served.requests) == ("pool-certificate-untrusted", [])


@pytest.mark.parametrize("pins", [{}, {"127.0.0.1": THEIRS.fingerprint}], ids=["no-pin", "stale-pin"])
async def test_an_authority_is_enough_where_the_pin_is_stale(pins: dict[str, str]) -> None:
    """A renewed certificate of the operator's own CA needs nobody's word; later connections ask it first."""
    async with host(signing_in(lambda _: good(1)), NAMED) as served:
        client = served.client(Trust(ca_pem=NAMED.pem, fingerprints=pins))
        await client.open()
        assert await client.call("VM.call") == 1
        assert (await asyncio.gather(*(client.call("VM.call") for _ in range(4)))) == [1] * 4
        await client.close()
        assert served.connections <= wire.CONNECTIONS + len(pins)


async def test_a_pin_is_enough_where_the_authority_is_another() -> None:
    """Members whose certificates are self-signed are known by what the pool told of them."""
    async with host(signing_in(lambda _: good(1)), MINE) as served:
        client = served.client(Trust(ca_pem=NAMED.pem, fingerprints={"127.0.0.1": MINE.fingerprint}))
        await client.open()
        await client.close()


async def test_a_certificate_that_neither_pin_nor_authority_knows_has_changed() -> None:
    """Also with a CA file the two fingerprints are named, and not a byte was sent."""
    async with host(lambda _: good(SESSION), THEIRS) as served:
        trust = Trust(ca_pem=NAMED.pem, fingerprints={"127.0.0.1": MINE.fingerprint})
        error = await failing(served.client(trust))

    assert (error.code, served.requests) == ("pool-certificate-changed", [])
    assert _told(error) == (THEIRS.fingerprint, MINE.fingerprint)


async def test_an_unused_connection_is_ended_before_the_pool_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """XAPI closes it after 10 s; a request that meets that end would be lost."""
    assert wire.IDLE_SECONDS < 10
    monkeypatch.setattr(wire, "IDLE_SECONDS", 0.1)
    async with host(signing_in(lambda _: good(1)), MINE) as served:
        client = served.client(pinned(MINE))
        await client.open()
        async with asyncio.timeout(5):
            while served.open:
                await asyncio.sleep(0.01)
        assert await client.call("VM.call") == 1
        await client.close()


async def test_without_trust_nothing_is_connected() -> None:
    """Neither CA file nor pin: the host is not even asked."""
    async with host(lambda _: good(SESSION), MINE) as served:
        error = await failing(served.client(Trust()))

    assert (error.code, served.connections) == ("pool-certificate-untrusted", 0)


async def test_redirect_is_not_followed() -> None:
    """A redirect would carry the password elsewhere."""
    async with host(lambda _: good(SESSION), THEIRS) as elsewhere:
        moved = http(b"", "307 Temporary Redirect", f"location: {elsewhere.url}/jsonrpc\r\n")
        async with host(lambda _: moved, MINE) as served:
            error = await failing(served.client(pinned(MINE)))

    assert (error.code, error.fields["reason"]) == ("pool-answer-invalid", "HTTP status 307")
    assert elsewhere.connections == 0


@pytest.mark.parametrize(
    ("answer", "code", "reason"),
    [
        (http(b"<html>Additional information</html>", "500 Internal Server Error"), "pool-answer-invalid", "500"),
        (http(b"<html></html>"), "pool-answer-invalid", "no JSON"),
        (http(b"{}"), "pool-answer-invalid", "neither"),
        (good(None), "pool-answer-invalid", "names no session"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "pool-answer-invalid", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{", "pool-timed-out", ""),
        (Last(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{"), "pool-unreachable", "in the middle"),
        (b"", "pool-timed-out", ""),
        (None, "pool-unreachable", "without an answer"),
        (bad("HOST_STILL_BOOTING"), "pool-starting", ""),
        (bad("HOST_IS_SLAVE", "no address"), "pool-answer-invalid", "names no master"),
        (bad("HOST_IS_SLAVE"), "pool-answer-invalid", "names no master"),
        (bad("SESSION_AUTHENTICATION_FAILED", "root", "Authentication failure"), "pool-sign-in-failed", ""),
        (bad("RBAC_PERMISSION_DENIED", "session.login_with_password", "no roles"), "pool-not-permitted", ""),
        (bad("SOMETHING_ELSE", PASSWORD), "pool-call-failed", "SOMETHING_ELSE"),
    ],
)
async def test_what_answers_mean(answer: bytes | None, code: str, reason: str) -> None:
    """Every answer to a sign-in has its code; none of them repeats a secret or a page."""
    async with host(lambda _: answer, MINE) as served:
        error = await failing(served.client(pinned(MINE)))

    assert error.code == code
    assert reason in error.fields.get("reason", "")
    assert "Additional" not in str(error)


async def test_answer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endless answer is given up at the bound, not kept."""
    monkeypatch.setattr(wire, "ANSWER_BYTES", 100_000)
    async with host(lambda _: http(b" " * 200_000), MINE) as served:
        error = await failing(served.client(pinned(MINE)))

    assert (error.code, "larger" in error.fields["reason"]) == ("pool-answer-invalid", True)


async def test_server_without_tls() -> None:
    """Plain HTTP, or any other protocol, is no pool; nothing secret is sent to it."""
    async with host(lambda _: good(SESSION)) as served:
        error = await failing(served.client(pinned(MINE)))

    assert (error.code, served.requests) == ("pool-unreachable", [])


@pytest.fixture
def deaf() -> Iterator[int]:
    """A port that accepts connections (in the kernel) and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def nobody() -> int:
    """A port at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_silent_server_runs_into_our_limit(deaf: int) -> None:
    """Rule 6: a server that accepts and stays silent costs the limit on connecting, TLS included."""
    address = PoolAddress(f"https://127.0.0.1:{deaf}", "root", PASSWORD, pinned(MINE))
    error = await failing(XapiClient(address, QUICK.model_copy(update={"connect_seconds": 0.2})))

    assert (error.code, error.fields["reason"]) == ("pool-unreachable", "nothing answers there")
    with pytest.raises(PoolError, match="nothing answers"):
        await fetch_fingerprint(address.url, 0.2)


async def test_refused_and_unknown(nobody: int) -> None:
    """Nobody listens, or nobody knows the name: each in plain words."""
    refused = f"https://127.0.0.1:{nobody}"
    for url, reason in ((refused, "connection refused"), ("https://nowhere.invalid", "nobody knows this name")):
        error = await failing(XapiClient(PoolAddress(url, "root", PASSWORD, pinned(MINE)), QUICK))
        assert (error.code, error.fields["reason"]) == ("pool-unreachable", reason)
        with pytest.raises(PoolError, match=reason):
            await fetch_fingerprint(url, 5)


async def test_fingerprint_is_fetched_without_a_word() -> None:
    """The first contact shows the certificate; the server sees a handshake and nothing else."""
    async with host(lambda _: good(SESSION), MINE) as served:
        assert await fetch_fingerprint(served.url, 5) == MINE.fingerprint

    assert served.requests == []
    with pytest.raises(InputError, match="not a pool address"):
        await fetch_fingerprint("http://127.0.0.1", 5)


async def test_fingerprint_of_a_server_without_tls() -> None:
    """What speaks no TLS has none."""
    async with host(lambda _: None) as served:
        with pytest.raises(PoolError) as caught:
            await fetch_fingerprint(served.url, 0.3)
    assert caught.value.code == "pool-unreachable"
