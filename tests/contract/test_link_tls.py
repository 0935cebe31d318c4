"""TLS links: whom they trust, what every refusal is called, and that a key is never a file."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from cryptography.hazmat.primitives import serialization

from roadstead.errors import LinkError
from roadstead.kit import clocks
from roadstead.kit.gates import Gate
from roadstead.lab.guests import tlsd
from roadstead.lab.guests.certificates import Authority, Form, Pair
from roadstead.lab.guests.guest import SimulatedGuest
from roadstead.lab.guests.simulated import lone_guest
from roadstead.peers.links.credentials import credentials
from roadstead.peers.links.dialing import Gates, dial
from roadstead.peers.links.faults import Server
from roadstead.peers.links.tls import TlsLink, TlsTarget, open_tls
from roadstead.peers.links.witness import Nobody
from tests.contract.links_contract import FAST, Sink, call_tls, engine_client, gates, refused, shown
from tests.unit.fakes.odd_certificates import of_version

HERE = "127.0.0.1"
PAST = dt.timedelta(days=-1)
SOON = dt.timedelta(minutes=1)
TODAY, HISTORIC, OTHER = Authority("today"), Authority("historic", form=Form.HISTORIC), Authority("other")


@asynccontextmanager
async def running(authority: Authority, server: Pair | None = None) -> AsyncIterator[SimulatedGuest]:
    """A guest whose engine shows a certificate of ``authority``, or this one."""
    guest = lone_guest("win", authority=authority)
    guest.certificate = server
    async with guest:
        yield guest


@asynccontextmanager
async def listening(context: ssl.SSLContext | None, says: bytes = b"") -> AsyncIterator[TlsTarget]:
    """A server with this context that answers anything with ``says`` and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(says)
        writer.close()

    server = await asyncio.start_server(serve, HERE, 0, ssl=context)
    yield TlsTarget(server.sockets[0].getsockname()[1], (HERE,))
    server.close()


async def _count(link: TlsLink) -> int:
    client = engine_client(link)
    await client.hello()
    count = len((await client.containers()).containers)
    client.close()
    link.close()
    return count


async def test_a_verified_engine_is_reached() -> None:
    """By its own CA and its address; the link knows when the first certificate ends."""
    soon = dt.timedelta(days=3)
    async with running(TODAY, TODAY.server([HERE], soon)) as guest:
        link = await call_tls(guest, await shown(TODAY))
        left = link.expiry.at - dt.datetime.now(dt.UTC)

        assert (await _count(link), link.relay, link.expiry.whose) == (3, "tls", "the VM's engine")
        assert dt.timedelta(days=2) < left < soon


@pytest.mark.parametrize(
    ("server", "code"),
    [
        pytest.param(None, "tls-untrusted", id="another-ca"),
        pytest.param(TODAY.server(["127.0.0.9"]), "tls-wrong-address", id="another-address"),
        pytest.param(TODAY.server([HERE], PAST), "tls-expired", id="expired"),
        pytest.param(TODAY.client(), "tls-untrusted", id="a-clients-certificate"),
    ],
)
async def test_a_wrong_certificate_is_told(server: Pair | None, code: str) -> None:
    """What is wrong with it decides the code; nothing is sent to such an engine."""
    authority = OTHER if server is None else TODAY
    async with running(authority, server) as guest:
        error = await refused(call_tls(guest, await shown(TODAY)))

        assert error.code == code
        assert guest.statistics()["streams"] == 0


async def test_historic_certificates_need_the_operators_word() -> None:
    """Without a key usage they are refused; with the legacy mode they are taken."""
    async with running(HISTORIC) as guest:
        error = await refused(call_tls(guest, await shown(HISTORIC)))
        assert (error.code, "--legacy-certificate on" in error.remedy) == ("tls-untrusted", True)

        assert await _count(await call_tls(guest, await shown(HISTORIC, is_legacy=True))) == 3


@pytest.mark.parametrize(
    ("server", "trusted", "code"),
    [
        pytest.param(HISTORIC.server([HERE]), OTHER, "tls-untrusted", id="another-ca"),
        pytest.param(HISTORIC.server(["127.0.0.9"]), HISTORIC, "tls-wrong-address", id="another-address"),
        pytest.param(HISTORIC.server([HERE], PAST), HISTORIC, "tls-expired", id="expired"),
    ],
)
async def test_the_legacy_mode_verifies_all_the_rest(server: Pair, trusted: Authority, code: str) -> None:
    """CA, address and dates count as ever."""
    async with running(HISTORIC, server) as guest:
        assert (await refused(call_tls(guest, await shown(trusted, is_legacy=True)))).code == code


async def test_a_certificate_that_cannot_be_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSL takes one of a version that there is none of, in the legacy mode: it is refused, the connection ends."""
    server = HISTORIC.server([HERE])
    odd = of_version(server.certificate, 7, HISTORIC._key)  # noqa: SLF001 - the CA's, to sign what it never would
    dialled: list[socket.socket] = []

    async def noted(address: str, port: int, server: Server, seconds: float) -> socket.socket:
        dialled.append(await dial(address, port, server, seconds))
        return dialled[-1]

    monkeypatch.setattr("roadstead.peers.links.tls.dial", noted)
    async with running(HISTORIC, Pair(odd, server.key)) as guest:
        error = await refused(call_tls(guest, await shown(HISTORIC, is_legacy=True)))

    assert (error.code, error.fields["reason"]) == ("tls-untrusted", "it cannot be read")
    assert [each.fileno() for each in dialled] == [-1]


async def test_a_later_certificate_that_cannot_be_read_is_told() -> None:
    """Each stream is looked at so."""
    server = HISTORIC.server([HERE])
    odd = of_version(server.certificate, 7, HISTORIC._key)  # noqa: SLF001 - the CA's, to sign what it never would
    async with running(HISTORIC, server) as guest:
        link = await call_tls(guest, await shown(HISTORIC, is_legacy=True))
        (await link.open(Sink())).abort()
        guest.certificate = Pair(odd, server.key)
        await guest.stop()
        await guest.start()
        error = await refused(link.open(Sink()))
        link.close()

    assert error.code == "tls-untrusted"


@pytest.mark.parametrize("is_legacy", [False, True])
async def test_only_the_strict_flag_differs(*, is_legacy: bool) -> None:
    """It is set or cleared explicitly, whatever the version of Python does by itself."""
    made = (await shown(TODAY, is_legacy=is_legacy)).context

    context = await asyncio.to_thread(made)
    assert bool(context.verify_flags & ssl.VERIFY_X509_STRICT) is not is_legacy
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


async def test_a_refused_client_is_told_at_the_first_read() -> None:
    """With TLS 1.3 the handshake is over before the engine has judged our certificate."""
    async with running(TODAY) as guest:
        link = await call_tls(guest, await shown(TODAY, OTHER.client()))
        client = engine_client(link)
        with pytest.raises(LinkError) as caught:
            await client.hello()
        client.close()
        link.close()

    assert (caught.value.code, caught.value.fields["reason"]) == (
        "tls-client-rejected",
        "it does not know the CA that signed it",
    )


async def test_a_refused_client_is_told_by_older_tls_too() -> None:
    """With TLS 1.2 the refusal is part of the handshake."""
    async with running(TODAY) as guest:
        guest.newest_tls = ssl.TLSVersion.TLSv1_2
        await guest.stop()
        await guest.start()

        assert (await refused(call_tls(guest, await shown(TODAY, OTHER.client())))).code == "tls-client-rejected"
        assert await _count(await call_tls(guest, await shown(TODAY))) == 3


@pytest.mark.parametrize(
    ("says", "code"),
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", "plain-http-engine", id="http"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", "tls-handshake-failed", id="ssh"),
        pytest.param(b"", "tls-handshake-failed", id="nothing"),
    ],
)
async def test_what_speaks_no_tls_is_told(says: bytes, code: str) -> None:
    """An open engine without TLS has a code of its own: it is never used."""
    async with listening(None, says) as target:
        error = await refused(open_tls(target, await shown(TODAY), settings=FAST, gates=gates()))

    assert error.code == code


@pytest.mark.parametrize("ciphers", ["ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA"])
async def test_ciphers_without_authentication_are_not_spoken(ciphers: str) -> None:
    """TLS 1.2 with AES-CBC is refused in the handshake."""
    context = await asyncio.to_thread(tlsd.context, TODAY.certificate, TODAY.server([HERE]))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    async with listening(context) as target:
        error = await refused(open_tls(target, await shown(TODAY), settings=FAST, gates=gates()))

    assert error.code == "tls-handshake-failed"


async def test_the_certificate_decides_whose_address_it_is() -> None:
    """Another guest's engine and a dead address lose the race; alone, another's is no answer."""
    async with running(TODAY) as ours:
        other = lone_guest("other", authority=OTHER, at=("127.0.0.3", ours.port))
        async with other:
            link = await call_tls(ours, await shown(TODAY), "127.0.0.2", "127.0.0.3", HERE)
            alone = await refused(call_tls(ours, await shown(TODAY), "127.0.0.2", "127.0.0.3"))

            assert (link.address, await _count(link)) == (HERE, 3)
            assert alone.code == "tls-untrusted"


async def test_each_stream_is_verified_anew() -> None:
    """An engine that shows another certificate later gets no further request, over a link that was good."""
    async with running(TODAY) as guest:
        link = await call_tls(guest, await shown(TODAY))
        (await link.open(Sink())).abort()
        guest.certificate = OTHER.server([HERE])
        await guest.stop()
        await guest.start()
        error = await refused(link.open(Sink()))
        link.close()

    assert error.code == "tls-untrusted"


async def test_nothing_of_a_key_becomes_a_file() -> None:
    """Neither when secrets are read nor when a handshake is made ready is any file opened by name."""
    opened: list[object] = []
    is_watching = True

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if is_watching and event == "open" and isinstance(arguments[0], str | bytes):
            opened.append(arguments[0])

    sys.addaudithook(watch)
    ours = await shown(TODAY)
    await asyncio.to_thread(ours.context)
    is_watching = False

    assert opened == []
    assert "PRIVATE KEY" not in repr(ours)


def _encrypted(key: str) -> bytes:
    loaded = serialization.load_pem_private_key(key.encode(), None)
    hidden = serialization.BestAvailableEncryption(b"secret")
    return loaded.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)


CLIENT = TODAY.client()
CERTIFICATE, KEY, CA = CLIENT.certificate.encode(), CLIENT.key.encode(), TODAY.certificate.encode()
ODD = of_version(TODAY.certificate, 7, TODAY._key).encode()  # noqa: SLF001 - the CA's, to sign what it never would
NO_PEM = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("pems", "key", "reason"),
    [
        pytest.param((NO_PEM, KEY, CA), "client-cert", "no certificate", id="certificate"),
        pytest.param((CERTIFICATE, KEY, NO_PEM), "ca-cert", "no certificate", id="ca"),
        pytest.param((ODD, KEY, CA), "client-cert", "no certificate", id="version"),
        pytest.param((CERTIFICATE, KEY, ODD), "ca-cert", "no certificate", id="version-of-ca"),
        pytest.param((CERTIFICATE, b"x", CA), "client-key", "no private key", id="key"),
        pytest.param((CERTIFICATE, _encrypted(CLIENT.key), CA), "client-key", "encrypted", id="encrypted"),
    ],
)
async def test_a_secret_that_cannot_be_used_is_named(pems: tuple[bytes, ...], key: str, reason: str) -> None:
    """By the VM's key that names it, with the reason; nobody is asked for a passphrase."""
    error = await refused(asyncio.to_thread(credentials, *pems, is_legacy=False))

    assert (error.code, error.fields["key"]) == ("secret-unusable", f"xscontainer-tls-{key}")
    assert reason in error.fields["reason"]


async def test_our_own_expired_certificate_is_told_before_anybody_is_called() -> None:
    """It says whose certificate it is, and since when."""
    error = await refused(shown(TODAY, TODAY.client(PAST)))

    assert (error.code, "Roadstead" in error.cause) == ("tls-expired", True)


async def test_handshakes_take_turns() -> None:
    """No more than the gate lets in are under way: each costs us milliseconds of the loop."""
    async with listening_silently() as somebody:
        narrow = Gates(Gate(8), Gate(1))
        ours = await shown(TODAY)
        async with asyncio.TaskGroup() as group:
            calls = [
                group.create_task(refused(open_tls(somebody.target, ours, settings=FAST, gates=narrow)))
                for _ in range(3)
            ]
            async with asyncio.timeout(10):
                while len(somebody.connected) < 3:
                    await asyncio.sleep(0.01)
                await somebody.greeted.wait()
            assert len(somebody.hellos) == 1
        assert {call.result().code for call in calls} == {"timed-out"}
        assert len(somebody.hellos) == 3


async def test_no_more_addresses_are_called_than_the_settings_allow() -> None:
    """A VM may announce any number of them."""
    async with running(TODAY) as guest:
        few = FAST.model_copy(update={"addresses": 2})
        addresses = ("127.0.0.2", "127.0.0.4", HERE)
        error = await refused(call_tls(guest, await shown(TODAY), *addresses, settings=few))
        link = await call_tls(guest, await shown(TODAY), *addresses[1:], settings=few)
        assert (error.code, link.address) == ("refused", HERE)
        link.close()


async def test_renegotiation_is_refused() -> None:
    """A guest that speaks TLS 1.2 could ask for any number of handshakes on one connection."""
    made = await asyncio.to_thread((await shown(TODAY)).context)
    assert made.options & ssl.OP_NO_RENEGOTIATION


async def test_an_engine_that_refuses_us_is_called_at_no_further_address() -> None:
    """It was verified, so it is the one: the race is over before the next address is due."""
    async with running(TODAY) as guest:
        guest.newest_tls = ssl.TLSVersion.TLSv1_2
        await guest.stop()
        await guest.start()
        ours = await shown(TODAY, OTHER.client())
        called = Steps()
        somebody = TlsTarget(guest.port, (HERE, "127.0.0.2"))
        patient = FAST.model_copy(update={"stagger_seconds": FAST.login_seconds})
        opening = open_tls(somebody, ours, settings=patient, gates=gates(), witness=called)
        assert (await refused(opening)).code == "tls-client-rejected"
        assert called.missed_at == [HERE]


async def test_an_idle_connection_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one for each of thousands of guests costs more than now and then a handshake."""
    monkeypatch.setattr(TlsLink, "idle_seconds", 0.05)
    async with running(TODAY) as guest:
        link = await call_tls(guest, await shown(TODAY))
        client = engine_client(link)
        await client.hello()
        async with asyncio.timeout(10):
            while link.streams:
                await asyncio.sleep(0.01)
        assert len((await client.containers()).containers) == 3
        client.close()
        link.close()


class Steps(Nobody):
    """Which addresses were given up."""

    def __init__(self) -> None:
        self.missed_at: list[str] = []

    def missed(self, address: str, error: LinkError) -> None:
        self.missed_at.append(address)


class Silent:
    """A server that takes connections, hears greetings and answers none."""

    def __init__(self) -> None:
        self.target = TlsTarget(0, (HERE,))
        self.connected: list[asyncio.StreamWriter] = []
        self.hellos: list[bytes] = []
        self.greeted = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected.append(writer)
        if hello := await reader.read(1):
            self.hellos.append(hello)
            self.greeted.set()


@asynccontextmanager
async def listening_silently() -> AsyncIterator[Silent]:
    """Such a server."""
    somebody = Silent()
    server = await asyncio.start_server(somebody.serve, HERE, 0)
    somebody.target = TlsTarget(server.sockets[0].getsockname()[1], (HERE,))
    yield somebody
    for writer in somebody.connected:
        writer.close()
    server.close()


@pytest.mark.parametrize("set_back", [dt.timedelta(hours=1), dt.timedelta(hours=-1)], ids=["back", "ahead"])
async def test_when_a_guest_was_heard_does_not_follow_the_clock(
    monkeypatch: pytest.MonkeyPatch, set_back: dt.timedelta
) -> None:
    """Somebody sets it, and a guest that was just heard was just heard, not in an hour nor an hour ago."""
    now = clocks.now
    async with running(TODAY) as guest:
        link = await call_tls(guest, await shown(TODAY))
        await _count(link)
        assert abs(link.heard - clocks.now()) < SOON
        monkeypatch.setattr(clocks, "now", lambda: now() - set_back)
        assert abs(link.heard - clocks.now()) < SOON
        link.close()


async def test_the_kernel_is_asked_to_look_after_a_silent_guest() -> None:
    """On each connection, also one on which something that we sent is unanswered, as patiently as SSH links do."""
    seconds = round(FAST.keepalive_seconds)
    wanted = {
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1,
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE): seconds,
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL): seconds,
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT): FAST.keepalive_count,
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT): seconds * (FAST.keepalive_count + 1) * 1000,
    }
    async with running(TODAY) as guest:
        link = await call_tls(guest, await shown(TODAY))
        for _ in range(2):
            await link.open(Sink())
        found = [{option: each._wire.sock.getsockopt(*option) for option in wanted} for each in link.streams]  # noqa: SLF001
        link.close()
    assert found == [wanted, wanted]
