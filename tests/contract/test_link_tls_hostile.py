"""Engines that say over TLS what is no data, or too little of it: what ends them, when, and how it is called."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from roadstead.lab.guests.certificates import Authority
from roadstead.lab.guests.simulated import lone_guest
from roadstead.peers.links import faults, tls, tls_wire
from roadstead.peers.links.pacing import Share
from roadstead.peers.links.tls import TlsStream, TlsTarget, open_tls
from tests.contract.links_contract import FAST, Sink, call_tls, engine_client, gates, refused, shown

HERE = "127.0.0.1"
OURS = Authority("ours")
TLS_FLOODS = ("tls-tickets", "tls-key-updates", "tls-key-requests", "tls-empty-records", "tls-hello-requests")
SOON = FAST.model_copy(update={"login_seconds": 0.3})


@asynccontextmanager
async def serving(says: bytes) -> AsyncIterator[TlsTarget]:
    """A server that answers a greeting with ``says`` and goes no further."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(says)
        with suppress(ConnectionError):
            while await reader.read(2**16):
                pass
        writer.close()

    server = await asyncio.start_server(serve, HERE, 0)
    yield TlsTarget(server.sockets[0].getsockname()[1], (HERE,))
    server.close()


@pytest.mark.parametrize("trait", TLS_FLOODS)
async def test_who_says_no_data_at_length_is_cut_off(trait: str) -> None:
    """Under a name of its own, after a bounded number of bytes; well-behaved again it is taken back."""
    async with lone_guest("win", authority=OURS) as guest:
        await guest.misbehave(trait)
        link = await call_tls(guest, await shown(OURS))
        client = engine_client(link)
        error = await refused(client.hello())
        client.close()
        link.close()
        assert error.code == "tls-floods"

        await guest.misbehave()
        link = await call_tls(guest, await shown(OURS))
        client = engine_client(link)
        await client.hello()
        client.close()
        link.close()


@pytest.mark.parametrize("trait", ["tls-half-handshake", "tls-drips"])
async def test_a_handshake_has_its_time(trait: str) -> None:
    """Whatever is said meanwhile, and by name of what was being done."""
    async with lone_guest("win", authority=OURS) as guest:
        await guest.misbehave(trait)
        error = await refused(call_tls(guest, await shown(OURS), settings=SOON))

    assert (error.code, error.fields["step"]) == ("timed-out", faults.SHAKING_HANDS)


async def test_a_handshake_has_its_length() -> None:
    """OpenSSL passes over wishes to begin (RFC 5246, 7.4.1.1), however many there are."""
    hello_request = b"\x16\x03\x03\x00\x04\x00\x00\x00\x00"
    async with serving(hello_request * (tls_wire.HANDSHAKE_BYTES // 4)) as target:
        error = await refused(open_tls(target, await shown(OURS), settings=FAST, gates=gates()))

    assert error.code == "tls-floods"


async def test_data_among_the_rest_is_no_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what comes without any data in between counts."""
    monkeypatch.setattr(tls, "BARREN_BYTES", 2**11)
    async with lone_guest("win", authority=OURS) as guest:
        link = await call_tls(guest, await shown(OURS))
        client = engine_client(link)
        for _ in range(30):
            await client.hello()
        client.close()
        link.close()


async def test_an_ended_stream_takes_no_memory() -> None:
    """It is gone at once: collections are rare, and streams for requests come and go."""
    async with lone_guest("win", authority=OURS) as guest:
        link = await call_tls(guest, await shown(OURS))
        stream = await link.open(Sink())
        assert isinstance(stream, TlsStream)
        inner = weakref.ref(stream._wire.tls)  # noqa: SLF001 - what takes the memory
        gc.disable()
        try:
            stream.abort()
            for _ in range(3):
                await asyncio.sleep(0)
            assert inner() is None
        finally:
            gc.enable()
            link.close()


async def test_who_asks_and_does_not_listen_is_cut_off_by_what_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much it may say itself: our answers take memory once its system takes no more of them."""
    monkeypatch.setattr(tls, "BARREN_BYTES", 2**40)
    async with lone_guest("win", authority=OURS) as guest:
        await guest.misbehave("tls-key-requests")
        link = await call_tls(guest, await shown(OURS))
        monkeypatch.setattr(tls_wire.Wire, "send", lambda _: False)
        sink = Sink()
        stream = await link.open(sink)
        await sink.wait_until_ended()
        stream.abort()
        link.close()

    assert [getattr(error, "code", None) for error in sink.ends] == ["tls-floods"]


class Counted(Share):
    """Counts how often something was taken of it."""

    times = 0

    def spend(self, seconds: float) -> float:
        self.times += 1
        return super().spend(seconds)


async def test_all_connections_of_a_guest_have_one_share() -> None:
    """More of them make no guest be heard more."""
    async with lone_guest("win", authority=OURS) as guest:
        link = await call_tls(guest, await shown(OURS))
        link.share = share = Counted()
        times = []
        for _ in range(2):
            client = engine_client(link)
            await client.hello()
            client.close()
            times.append(share.times)
        link.close()

    assert times[1] > times[0] > 0


async def test_no_more_is_read_at_once_than_openssl_is_to_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a kilobyte in a handshake, since its buffer never shrinks, then no more than a record."""
    read = socket.socket.recv
    async with lone_guest("win", authority=OURS) as guest:
        asked: set[int] = set()

        def note(self: socket.socket, size: int, flags: int = 0) -> bytes:
            if self.family == socket.AF_INET and self.getpeername()[1] == guest.port:
                asked.add(size)
            return read(self, size, flags)

        monkeypatch.setattr(socket.socket, "recv", note)
        link = await call_tls(guest, await shown(OURS))
        handshake, asked = asked, set()
        client = engine_client(link)
        await client.hello()
        client.close()
        link.close()

    assert max(handshake) <= 2**9
    assert max(asked) <= 2**14
